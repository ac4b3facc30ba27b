"""The face by hand: presets, head and gaze, and the 52 ARKit coefficients in groups."""

from __future__ import annotations

import re

import numpy as np
import viser

from ...heads import arkit
from ...heads.arkit import INDEX, NAMES
from .. import presets
from ..stage import Stage
from .calls import on_loop

GROUPS = {
    "Brows": arkit.BROWS, "Eyes": arkit.EYES, "Jaw": arkit.JAW, "Mouth": arkit.MOUTH, "Cheeks and nose": arkit.CHEEKS,
    "Tongue": arkit.TONGUE,
}  # fmt: skip
_TURNS = (("Nod", 25.0), ("Turn", 35.0), ("Tilt", 20.0))
_LOOKS = (("Look aside", 30.0), ("Look up", 25.0))


def title(name: str) -> str:
    """'mouthSmileLeft' -> 'Smile L'; the group's own word is left out."""
    words = re.findall(r"[A-Z]?[a-z]+", name)
    side = {"Left": " L", "Right": " R"}.get(words[-1], "") if len(words) > 2 else ""
    kept = words[1:-1] if side else words[1:] if words[0] in ("mouth", "eye", "brow", "jaw", "tongue") else words
    kept = words[:-1] if side and words[0] in ("cheek", "nose") else kept
    return " ".join(kept).capitalize() + side


class FaceTab:
    """Sliders on top of whatever drives.

    Args:
        gui: viser's.
        stage: whose puppet is posed.
    """

    def __init__(self, gui: viser.GuiApi, stage: Stage) -> None:
        self._stage, self._sliders = stage, stage.puppet.sliders
        names = tuple(presets.FACES)
        self.presets = [gui.add_button_group("Presets" if i == 0 else " ", names[i : i + 4]) for i in (0, 4)]
        for group in self.presets:
            group.on_click(on_loop(lambda event: self.show(event.target.value)))
        self.reset = gui.add_button("Reset", icon=viser.Icon.REFRESH, color="gray")
        self.reset.on_click(on_loop(lambda _: self.clear()))
        with gui.add_folder("Head and gaze"):
            self.turns = [gui.add_slider(f"{name} (°)", -most, most, 0.5, 0.0) for name, most in _TURNS]
            self.looks = [gui.add_slider(f"{name} (°)", -most, most, 0.5, 0.0) for name, most in _LOOKS]
        for handle in (*self.turns, *self.looks):
            handle.on_update(on_loop(lambda _: self._read_pose()))
        self.alike = gui.add_checkbox("Both sides", True, hint="Left and right move together")
        self.sliders: dict[int, viser.GuiInputHandle[float]] = {}
        for group, members in GROUPS.items():
            with gui.add_folder(group, expand_by_default=False):
                for i in members:
                    self.sliders[i] = gui.add_slider(title(NAMES[i]), 0.0, 1.0, 0.01, 0.0, hint=NAMES[i])
                    self.sliders[i].on_update(on_loop(lambda event, i=i: self._moved(i, event)))

    def _moved(self, i: int, event: viser.GuiEvent) -> None:
        value = min(max(float(self.sliders[i].value), 0.0), 1.0)
        self._sliders.arkit[i] = value
        twin = arkit.MIRROR[i]
        if (
            event.client is not None
            and self.alike.value
            and twin != i
            and not NAMES[i].startswith(("jaw", "mouthLeft", "mouthRight"))
        ):
            self.sliders[twin].value = value
            self._sliders.arkit[twin] = value
        self._stage.renderer.wake()

    def _read_pose(self) -> None:
        def read(handles: list, limits: tuple) -> np.ndarray:
            return np.array(
                [min(max(float(h.value), -most), most) for h, (_, most) in zip(handles, limits, strict=True)]
            )

        self._sliders.turn, self._sliders.gaze = read(self.turns, _TURNS), read(self.looks, _LOOKS)
        self._stage.renderer.wake()

    def show(self, name: str) -> None:
        """Set the sliders to a preset."""
        if name in presets.FACES:
            self._set(presets.face(name))

    def clear(self) -> None:
        """All sliders to zero."""
        self._set(np.zeros(len(NAMES)))
        for handle in (*self.turns, *self.looks):
            handle.value = 0.0
        self._read_pose()

    def _set(self, coefficients: np.ndarray) -> None:
        for i, handle in self.sliders.items():
            if handle.value != coefficients[i]:
                handle.value = float(coefficients[i])
        self._sliders.arkit = coefficients.copy()
        self._stage.renderer.wake()


assert sorted(i for members in GROUPS.values() for i in members) == list(range(len(INDEX)))
