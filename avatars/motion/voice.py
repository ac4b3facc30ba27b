"""An avatar's own way of speaking: learned from the sound and the track of its clip, kept beside the avatar's files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..data import Motion
from ..errors import InputError
from ..speech.habits import Habits, fit
from ..speech.style import Style
from ..splats.avatar import Avatar
from .retarget import Manner
from .sources import motion_of_track

STYLE = "style.safetensors"
"""In the avatar's directory, with style.json; both are ignored by what only draws the avatar."""


def movement(avatar: Avatar) -> Motion:
    """What the subject did in their clip, as movement from their own rest; coefficients fall below 0 where the resting
    face holds more of them.

    Speech moves an avatar by adding to its resting face (see `Retarget`), so what is learned for it must not hold that
    face a second time. Nothing is cut off at 0: lips that close less than at rest (mouthClose) are lips that part.
    """
    own = motion_of_track(avatar.track, avatar.head)
    return replace(own, arkit=own.arkit - Manner.of(own).neutral)


def learn_style(avatar: Avatar, sound: np.ndarray | None, report: Callable[[str], None] = lambda text: None) -> Style:
    """The subject's style, from the track in the avatar and the sound of the clip it was made from.

    Args:
        sound: [samples] float32 mono at 16 kHz, sample 0 at time 0 of the track (`Clip.audio`).
        report: called with a line of text per step.

    Raises:
        InputError: the clip has no sound, is silent, or too short.
    """
    from ..speech.personal import personalize

    if sound is None:
        raise InputError("The clip has no sound", fix="Build the avatar from a film in which the subject speaks")
    return personalize(sound, movement(avatar), report=report)


def save_style(style: Style, avatar: Path) -> Path:
    """Put a style into an avatar's directory; interrupted anywhere, the avatar has a whole style or none.

    Raises:
        InputError: the avatar is a zip.
    """
    if not avatar.is_dir():
        raise InputError("A style can only be added to an avatar directory", where=avatar, fix="Unzip it first")
    path = avatar / STYLE
    path.with_suffix(".json").unlink(missing_ok=True)  # it is written last: without it there is no style
    style.save(path)
    return path


def style_of(avatar: Path) -> Style | None:
    """The style in an avatar's directory, None where nothing was learned.

    Raises:
        FileFormatError: damaged.
    """
    path = avatar / STYLE
    return Style.load(path) if path.with_suffix(".json").is_file() else None


def habits_of(avatar: Avatar) -> Habits:
    """How the subject blinks, looks and moves the head, from the track alone."""
    return fit(movement(avatar))
