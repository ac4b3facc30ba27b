"""The verb: a video becomes a Clip.

Two looks at the file: the first, small and a few times a second, finds out whose clip it is and which part of the
picture to keep; the second reads that part at working size and finds landmarks and masks in every frame. The mattes
are made last, from the frames on disk, when the background plate is known. Memory stays bounded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..data import Clip
from ..errors import FileFormatError, InputError
from ..files import read_json, require_writable, sha256
from .audio import SAMPLE_RATE, read_audio
from .crop import choose_box
from .probe import VideoInfo, probe
from .quality import assess
from .sightings import FirstLook, look_through
from .store import load_clip, replacing, save_rest
from .subject import CHOICES, choose_subject, is_photograph
from .video import MIN_FRAMES
from .working import Findings, cut_out, look_closely

REVISION = 3
"""Of this procedure: a clip made by another one is made again."""
MOST_LOST = 0.7
"""Share of frames that may be rejected."""
_ADVICE = {
    "no face": "keep the face in view and lit",
    "another face": "film one person alone, or say whom with --subject",
    "face cut by the border": "keep the whole head in the picture",
    "face too small": "come closer",
    "extreme yaw": "look towards the camera more often",
    "landmarks jump": "copy the video again, it seems damaged",
    "blurred": "move slowly and add light",
}

Progress = Callable[[str, float], None]
"""Called with the name of a step and how much of it is done, 0 to 1."""


def capture(
    path: Path | str,
    out_dir: Path | str,
    *,
    size: int = 512,
    max_frames: int | None = None,
    subject: str | None = None,
    progress: Progress | None = None,
) -> Clip:
    """Make the clip of one person's head from a video, and save it in a directory.

    A directory that already holds the complete clip of this very file and these options is read instead.

    Args:
        path: mp4, mov, mkv, webm or avi.
        out_dir: created if need be; an earlier clip in it is replaced once this one is complete.
        size: longest side of the working frames, px; nothing is enlarged.
        max_frames: use only the first so many frames.
        subject: whom to take if several people are in view: None (an error if two faces are similarly large),
            "largest", or "left" or "right" as the picture shows them.
        progress: told how far each step is.

    Returns:
        The clip as read back from the directory: frames and matte memory-mapped.

    Raises:
        InputError: the video cannot be read or is too short, nothing moves, there is no face or no telling which,
            or more than 70 % of the frames are lost.
        AssetError: the models are missing.
        AvatarError: the directory cannot be written or the disk is full; what was there before stays.
    """
    _require_options(size, max_frames, subject)
    out_dir = Path(out_dir)
    report = progress or (lambda step, done: None)
    info = probe(path)
    options = {"size": size, "max_frames": max_frames, "subject": subject, "revision": REVISION}
    key = {"sha256": sha256(info.path), **options}
    if _key_of(out_dir) == key:
        return load_clip(out_dir)

    warnings = list(info.warnings)
    first = look_through(info, max_frames, warnings, lambda done: report("looking for the face", done))
    if len(first.times) < MIN_FRAMES:
        broken = f" ({'; '.join(warnings)})" if warnings else ""
        what = f"Only {len(first.times)} pictures can be read{broken}, at least {MIN_FRAMES} are needed"
        raise InputError(what, where=info.path, fix="Film ten seconds or more")
    people = choose_subject(first.looks, subject)
    if is_photograph(people[0]):
        raise InputError("Nothing moves in the video", where=info.path, fix="Film a living face, not a photograph")
    box, working = choose_box(people[0], info.width, info.height, size)
    require_writable(out_dir / "clip.json", 5 * len(first.times) * working[0] * working[1])
    audio = _sound(info, first, max_frames, warnings)

    with replacing(out_dir) as work:
        following = lambda done: report("following the face", done)  # noqa: E731
        found = look_closely(info, first.times, box, working, people, work, following)
        _require_enough(found, info.path)
        plate = cut_out(work, lambda done: report("cutting the person out", done))
        (work / "masks.npy").unlink()
        clip = Clip(
            frames=np.load(work / "frames.npy", mmap_mode="r", allow_pickle=False),
            times=first.times,
            landmarks=found.landmarks,
            matte=np.load(work / "matte.npy", mmap_mode="r", allow_pickle=False),
            rejects=found.rejects,
            audio=audio,
            plate=None if plate is None else plate.image,
            plate_seen=None if plate is None else plate.seen.astype(np.uint8) * 255,
        )
        clip.source = _describe(info, key, clip, found, warnings) | {"box": list(box), "others": len(people[1])}
        save_rest(clip.validate(), work)
    return load_clip(out_dir)


def _require_options(size: int, max_frames: int | None, subject: str | None) -> None:
    if not 64 <= size <= 2048:
        raise InputError(f"A working size of {size} px", where="size", fix="Choose 64 to 2048")
    if max_frames is not None and max_frames < MIN_FRAMES:
        raise InputError(f"At least {MIN_FRAMES} frames are needed", where="max_frames")
    if subject is not None and subject not in CHOICES:
        raise InputError(f"There is no subject {subject!r}", where="subject", fix=f"Use one of {', '.join(CHOICES)}")


def _key_of(directory: Path) -> dict[str, Any] | None:
    """What the clip in a directory was made from, or None where there is no whole clip."""
    if not (directory / "clip.json").exists():
        return None
    try:
        return read_json(directory / "clip.json")["source"]["key"] if load_clip(directory) else None
    except (FileFormatError, KeyError, TypeError):
        return None


def _sound(info: VideoInfo, first: FirstLook, max_frames: int | None, warnings: list[str]) -> np.ndarray | None:
    """Sound over the frames that are used; damage to it is no reason to lose the picture."""
    if not info.has_audio:
        return None
    try:
        sound = read_audio(info.path)
    except InputError as error:
        warnings.append(f"the sound was left out: {error.what}")
        return None
    if sound is None or max_frames is None or len(first.times) < max_frames:
        return sound
    return sound[: round((float(first.times[-1]) + 1 / info.rate) * SAMPLE_RATE)]


def _require_enough(found: Findings, path: Path) -> None:
    reasons = Counter(reason for reason in found.rejects if reason)
    lost, count = sum(reasons.values()), len(found.rejects)
    if lost <= MOST_LOST * count and count - lost >= MIN_FRAMES:
        return
    listed = ", ".join(f"{reason}: {number}" for reason, number in reasons.most_common())
    what = f"{lost} of {count} frames cannot be used ({listed})"
    raise InputError(what, where=path, fix=f"Film again: {_ADVICE[reasons.most_common(1)[0][0]]}")


def _describe(info: VideoInfo, key: dict[str, Any], clip: Clip, found: Findings, warnings: list[str]) -> dict[str, Any]:
    face = float(np.median(np.ptp(clip.landmarks[clip.used][..., :2], axis=1).max(-1)))
    return {
        "name": info.path.name,
        "sha256": key["sha256"],
        "key": key,
        "codec": info.codec,
        "width": info.width,
        "height": info.height,
        "rate": info.rate,
        "rotation": 90 * info.orientation.quarters,
        "mirrored": info.orientation.mirrored,
        "static_camera": clip.plate is not None,
        "rejected": dict(Counter(reason for reason in clip.rejects if reason)),
        "quality": assess(found.sharpness, found.brightness, face, clip.used),
        "warnings": warnings,
        "versions": {"avatars": __version__, "mediapipe": version("mediapipe"), "av": version("av")},
    }
