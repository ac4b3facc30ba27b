"""Where finished methods lie on disk, so that a comparison that was stopped goes on and its page needs no training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from avatars import files
from avatars.errors import FileFormatError

_WORDS, _DONE = "trial.json", "figures.json"
FILM = "film"


@dataclass(frozen=True)
class Shelf:
    """One trial: a clip, a budget, and what was found of each method, a folder each."""

    folder: Path

    @staticmethod
    def all(out: Path) -> list[Shelf]:
        """Those of a comparison's directory that hold a method, by name and budget."""
        found = [Shelf(path.parent) for path in out.glob(f"trials/*/{_WORDS}")]
        order = sorted(found, key=lambda each: (each.words["name"], each.words.get("minutes") or 0.0))
        return [each for each in order if each.figures()]

    def begin(self, words: Mapping[str, Any]) -> None:
        """Write what the trial is."""
        files.write_json(self.folder / _WORDS, dict(words))

    @property
    def begun(self) -> bool:
        """Whether `begin` was called."""
        return (self.folder / _WORDS).is_file()

    @property
    def words(self) -> dict[str, Any]:
        """What `begin` wrote."""
        return files.read_json(self.folder / _WORDS)

    @property
    def title(self) -> str:
        """Clip and budget."""
        words = self.words
        minutes = words.get("minutes")
        return words["name"] + ("" if minutes is None else f", {minutes:g} min")

    def keep(self, method: str, figures: Mapping[str, Any], pictures: Mapping[str, np.ndarray]) -> None:
        """Write a finished method: pictures first, so that figures vouch for them."""
        for name, image in pictures.items():
            good, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
            assert good
            files.write_bytes(self.folder / method / f"{name}.png", data.tobytes())
        files.write_json(self.folder / method / _DONE, dict(figures))

    def has(self, method: str) -> bool:
        """Whether the method is finished."""
        return (self.folder / method / _DONE).is_file()

    def figures(self) -> dict[str, dict[str, Any]]:
        """By finished method, in the order in which they were trained."""
        found = {}
        for path in self.folder.glob(f"*/{_DONE}"):
            if path.parent.name != FILM:
                found[path.parent.name] = files.read_json(path)
        return dict(sorted(found.items(), key=lambda item: item[1].get("order", 0)))

    def picture(self, method: str, name: str) -> np.ndarray:
        """[H, W, 3] uint8.

        Raises:
            FileFormatError: it is not there.
        """
        path = self.folder / method / f"{name}.png"
        image = cv2.imread(str(path))
        if image is None:
            raise FileFormatError("A picture of a finished method is missing", where=path, fix="Remove its folder")
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
