"""An avatar's own way of speaking: learned from the sound and the track of its clip, kept in the avatar."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..data import Motion
from ..errors import AvatarError, FileFormatError, InputError
from ..speech.habits import Habits, fit
from ..speech.reach import reach_gain
from ..speech.style import Style
from ..splats.avatar import MANIFEST, TENSORS, Avatar
from .retarget import Manner
from .sources import motion_of_track

SPEECH = "speech"
"""Where the manifest keeps what is not a tensor of a style."""
ENOUGH = 3.0
"""s of speech in a clip from which a style is worth learning."""


def movement(avatar: Avatar) -> Motion:
    """What the subject did in their clip, as movement from their own rest; coefficients fall below 0 where the resting
    face holds more of them.

    Speech moves an avatar by adding to its resting face (see `Retarget`), so what is learned for it must not hold that
    face a second time. Nothing is cut off at 0: lips that close less than at rest (mouthClose) are lips that part.
    """
    return from_rest(motion_of_track(avatar.track, avatar.head))


def from_rest(motion: Motion) -> Motion:
    """A motion as movement from its own rest, as `movement` has it."""
    return replace(motion, arkit=motion.arkit - Manner.of(motion).neutral)


def learn_style(
    avatar: Avatar,
    sound: np.ndarray | None,
    report: Callable[[str], None] = lambda text: None,
    motion: Motion | None = None,
) -> Style:
    """The subject's style, from the track and the sound of the clip that the avatar was made from.

    Args:
        sound: [samples] float32 mono at 16 kHz, sample 0 at time 0 of the track (`Clip.audio`).
        report: called with a line of text per step.
        motion: all of the clip as `movement` has it; what the avatar itself holds by default, from which long clips
            have lost frames.

    Raises:
        InputError: the clip has no sound, is silent, or too short.
    """
    from ..speech.personal import personalize

    if sound is None:
        raise InputError("The clip has no sound", fix="Build the avatar from a film in which the subject speaks")
    return personalize(sound, motion or movement(avatar), report=report)


def with_style(avatar: Avatar, style: Style) -> Avatar:
    """The avatar with this way of speaking in it, in place of any it had."""
    return replace(avatar, speech=style.tensors(), manifest=avatar.manifest | {SPEECH: style.to_json()})


def save_style(style: Style, avatar: Path) -> None:
    """Write an avatar directory anew with a style in it; interrupted anywhere, it is whole with or without.

    Raises:
        InputError: the avatar is a zip.
        FileFormatError: not an avatar.
    """
    if avatar.is_file():
        raise InputError("A style can only be added to an avatar directory", where=avatar, fix="Unzip it first")
    spoken = with_style(Avatar.load(avatar), style)
    others = {p.name: p.read_bytes() for p in avatar.iterdir() if p.is_file() and p.name not in (MANIFEST, TENSORS)}
    spoken.save(avatar, overwrite=True, extras=others)


def style_of(avatar: Avatar | Path) -> Style | None:
    """The style in an avatar, or in an avatar's directory or zip; None where nothing was learned.

    Raises:
        FileFormatError: damaged, or not an avatar.
    """
    loaded = avatar if isinstance(avatar, Avatar) else Avatar.load(avatar)
    if SPEECH not in loaded.manifest:
        return None
    try:
        return Style.from_parts(loaded.speech, loaded.manifest[SPEECH])
    except FileFormatError as error:
        where = None if isinstance(avatar, Avatar) else avatar
        raise FileFormatError(error.what, where=error.where or where, fix=error.fix) from error


def teach(
    path: Path,
    sound: np.ndarray | None,
    report: Callable[[str], None] = lambda text: None,
    watch: Callable[[Avatar], Motion] = movement,
) -> str:
    """Let a new avatar learn to speak like its subject, where its clip has enough speech; never an error.

    Args:
        path: the avatar's directory.
        sound: of its clip, as for `learn_style`.
        watch: gives all of the clip's motion as `movement` has it.

    Returns:
        A line that says what was learned, or why nothing was.
    """
    from ..speech.score import spoken_seconds

    if sound is None:
        return "the clip has no sound; the usual way of speaking is used"
    seconds = spoken_seconds(sound)
    if seconds < ENOUGH:
        return f"{seconds:.1f} s of speech are too little to learn from; the usual way of speaking is used"
    try:
        avatar = Avatar.load(path)
        style = learn_style(avatar, sound, report, watch(avatar))
    except AvatarError as error:
        return f"the usual way of speaking is used: {error.what}"
    save_style(style, path)
    return taken(style)


def taken(style: Style) -> str:
    """What personalisation took, as a line."""
    rungs = ", ".join(style.facts["accepted"])
    if not style.facts.get("together", True):
        return "blinks, gaze and head are the subject's; the lips do not follow the sound, so they speak the usual way"
    if not rungs:
        return "blinks, gaze and head are the subject's; the usual way of speaking is as good as any that was tried"
    before, after = style.facts["base"], style.facts["personal"]
    return (
        f"{rungs}; on held-out seconds the error of the mouth fell from {before['error']:.3f} to {after['error']:.3f}, "
        f"the lip gap's correlation went from {before['lip_gap_correlation']:.2f} to {after['lip_gap_correlation']:.2f}"
    )


def voice_of(avatar: Avatar) -> Style:
    """How the avatar speaks: the style in it, or, where nothing was learned, the usual way of speaking with what the
    track alone tells of the subject: how far the lips go, blinks, gaze, head and brows.

    Raises:
        FileFormatError: the style in the avatar is damaged.
    """
    own = style_of(avatar)
    if own is not None:
        return own
    moved = movement(avatar)
    return Style(gain=reach_gain(moved), habits=fit(moved))


def habits_of(avatar: Avatar) -> Habits:
    """How the subject blinks, looks and moves the head, from the track alone."""
    return fit(movement(avatar))
