"""Everybody driven by everybody: contact sheets that show the driver's frame above each avatar's, and how well mouths
and lids follow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from avatars import files
from avatars.heads.anny import default_head
from avatars.motion.retarget import Manner, Retarget
from avatars.motion.smooth import steady
from avatars.motion.sources import motion_of_track
from avatars.splats.avatar import Avatar
from avatars.tracking.personal import personalise
from avatars.training.redetect import detect, lid_apertures, mouth_openings

from .pictures import draw
from .sheets import labelled, write_sheet
from .trial import source

_FRAMES = 10
_MEASURED = 32
"""Frames, evenly spread, on which landmarks are found again."""


def pairs(clips: Sequence[Path], avatars: Sequence[Path], work: Path, say: Callable[[str], None]) -> None:
    """Write `pairs-DRIVER.png` for each driver: frames of theirs where they do most, and what each avatar makes of it;
    and `pairs.json`: by driver and avatar, how well the avatar's mouth and lids follow (see `following`).

    Args:
        clips: videos or run directories (see `trial.source`).
        avatars: whom they drive.
        work: where sheets and captured clips go.
    """
    head = default_head()
    people = [(path.stem, Avatar.load(path)) for path in avatars]
    found: dict[str, dict[str, dict[str, float]]] = {}
    for path in clips:
        name, clip, tracked, _ = source(path, work, head)
        person, own = personalise(head, tracked)
        motion = steady(motion_of_track(own, person))
        manner = Manner.of(motion)
        rows = _telling(motion.arkit, manner.neutral)
        even = np.linspace(0, len(motion.times) - 1, min(_MEASURED, len(motion.times))).astype(int)
        seen, found[name] = detect(np.asarray(clip.frames[own.frame[row]]) for row in even), {}
        tiles = [labelled(np.asarray(clip.frames[own.frame[row]]), f"{name} {own.times[row]:.1f} s") for row in rows]
        for who, avatar in people:
            poses, model = Retarget(avatar, manner)(motion), avatar.model()
            tiles += [labelled(draw(model, poses[int(row)], avatar.camera), who) for row in rows]
            drawn = detect(draw(model, poses[int(row)], avatar.camera) for row in even)
            found[name][who] = each = following(seen, drawn)
            say(f"{who} driven by {name}: " + ", ".join(f"{words} {value:.2f}" for words, value in each.items()))
        write_sheet(tiles, work / f"pairs-{name}.png", len(rows))
        files.write_json(work / "pairs.json", found)


def following(driver: np.ndarray, driven: np.ndarray) -> dict[str, float]:
    """Correlations over time of a driver's mouth opening and lid apertures with those of whom they drive.

    Args:
        driver, driven: landmarks [T, 478, 2] px of the same moments; NaN where no face was found.

    Returns:
        `faces` (share of moments at which both were found), `mouth`, `lids` (mean of both eyes), and `mouth_gain`,
        `lids_gain`: how much wider the driven ones go for one unit of the driver.
    """
    good = np.isfinite(driver).all((1, 2)) & np.isfinite(driven).all((1, 2))
    out = {"faces": float(good.mean())}
    for name, measure in (("mouth", mouth_openings), ("lids", lid_apertures)):
        a, b = (measure(x[good]) - measure(x[good]).mean(0) for x in (driver, driven))
        spread = np.sqrt((a * a).sum(0) * (b * b).sum(0))
        out[name] = float(((a * b).sum(0) / np.maximum(spread, 1e-12)).mean())
        out[f"{name}_gain"] = float(((a * b).sum(0) / np.maximum((a * a).sum(0), 1e-12)).mean())
    return out


def _telling(arkit: np.ndarray, neutral: np.ndarray) -> list[int]:
    """Rows that differ most from the neutral and from each other, in order of time."""
    away = arkit - neutral
    chosen = [int(np.linalg.norm(away, axis=1).argmax())]
    nearest = np.linalg.norm(arkit - arkit[chosen[0]], axis=1)
    while len(chosen) < min(_FRAMES, len(arkit)):
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, np.linalg.norm(arkit - arkit[chosen[-1]], axis=1))
    return sorted(chosen)
