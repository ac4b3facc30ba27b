"""Live Link Face CSV: what the iPhone app (and the programs that imitate it) record of a face.

One row per frame: `Timecode` (HH:MM:SS:FRAME.part), `BlendShapeCount`, the 52 ARKit coefficients, then head and eye
angles in radians. Columns are found by name, so their order and missing eye angles do not matter.

The publisher does not document the signs of the angles. Here, as in the programs that drive y-up characters with it:
yaw is positive towards the subject's left, pitch positive downwards, roll positive towards the subject's left shoulder.
"""

from __future__ import annotations

import csv
import io
import math
import re
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from ..data import Motion
from ..errors import InputError
from ..files import write_bytes
from ..heads.arkit import INDEX, NAMES

HEAD = ("HeadYaw", "HeadPitch", "HeadRoll")
EYES = tuple(f"{side}Eye{axis}" for side in ("Left", "Right") for axis in ("Yaw", "Pitch", "Roll"))
HEADER = ("Timecode", "BlendShapeCount", *(name[0].upper() + name[1:] for name in NAMES), *HEAD, *EYES)
"""The app's own columns, in its order."""

_RATE = 60
"""Frames per second of the app's timecode."""
_OTHER_RATES = (24, 25, 30, 48, 50, 60, 120)
_LOOK = math.radians(30.0)
"""rad that an eyeLook coefficient of 1 stands for in the eye columns."""
_MOST_BAD = 0.1
"""Share of damaged rows that is dropped; more is an error."""
_LARGEST = 1.5
"""Coefficients leave [0, 1] a little after the app's calibration; beyond this they are no coefficients."""
_MAX_BYTES = 512 << 20
_TIMECODE = re.compile(r"(\d+):(\d{1,2}):(\d{1,2})[:;](\d{1,3}(?:\.\d+)?)")


def read_csv(path: Path | str, warnings: list[str] | None = None) -> Motion:
    """Read a recording; times start at 0.

    Rows without values (the app writes them while it sees no face) and single damaged rows are left out.

    Args:
        warnings: what was left out is appended here.

    Returns:
        A motion whose translation is zero: the app does not record it.

    Raises:
        InputError: not such a file, or more than a tenth of its rows are damaged; the first one is named.
    """
    path = Path(path)
    rows = _rows(path)
    columns, first = _columns(rows, path)
    stamps: list[tuple[int, float]] = []
    values: list[np.ndarray] = []
    empty, bad = 0, []
    for line, row in rows[first:]:
        try:
            parsed = _parse(row, columns)
        except ValueError as error:
            bad.append(f"line {line}: {error}")
            continue
        if parsed is None:
            empty += 1
            continue
        stamps.append(parsed[0])
        values.append(parsed[1])
    if bad and len(bad) > max(1, _MOST_BAD * (len(values) + len(bad))):
        what = f"{len(bad)} of {len(bad) + len(values) + empty} rows cannot be read; the first is {bad[0]}"
        raise InputError(what, where=path, fix="Export the recording again")
    if not values:
        raise InputError(
            "The recording holds no frame with a face", where=path, fix="Record again with the face in view"
        )
    times, kept = _clock(stamps)
    notes = warnings if warnings is not None else []
    if empty:
        notes.append(f"{empty} rows without a face were left out")
    if bad:
        notes.append(f"{len(bad)} damaged rows were left out, the first is {bad[0]}")
    if len(kept) < len(values):
        notes.append(f"{len(values) - len(kept)} rows with times that do not increase were left out")
    table = np.stack(values)[kept]
    return Motion(
        times=times,
        arkit=np.clip(table[:, :52], 0, 1),
        rotation=_rotation(table[:, 52:55]),
        translation=np.zeros((len(times), 3)),
    ).validate()


def write_csv(motion: Motion, path: Path | str) -> None:
    """Write a motion as the app would; translation is not part of the format and is lost."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEADER)
    angles = Rotation.from_rotvec(motion.rotation).as_euler("YXZ") * np.array([1.0, 1.0, -1.0])
    eyes = _eye_angles(motion.arkit)
    for time, row, head, eye in zip(motion.times - motion.times[0], motion.arkit, angles, eyes, strict=True):
        numbers = [f"{value:.9g}" for value in (*row, *head, *eye)]
        writer.writerow([_timecode(float(time)), len(numbers), *numbers])
    write_bytes(path, out.getvalue().encode())


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    """(line number, cells) of each line that is not blank."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise InputError("The file is too large for a recording of a face", where=path)
        text = path.read_bytes().decode("utf-8-sig")
        table = list(csv.reader(io.StringIO(text)))
    except FileNotFoundError as error:
        raise InputError("No such file", where=path) from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"Not a CSV file: {error}", where=path, fix="Give the CSV that Live Link Face exports"
        ) from error
    return [(i + 1, row) for i, row in enumerate(table) if any(cell.strip() for cell in row)]


def _columns(rows: list[tuple[int, list[str]]], path: Path) -> tuple[list[int], int]:
    """Where timecode, the 52 coefficients and the three head angles stand (-1: not there), and the first data row."""
    names = {cell.strip().lower(): i for i, cell in enumerate(rows[0][1])} if rows else {}
    wanted = ["timecode", *(name.lower() for name in NAMES), *(name.lower() for name in HEAD)]
    missing = [name for name in wanted[:53] if name not in names]
    if missing:
        listed = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        raise InputError(
            f"Not a Live Link Face recording: the header lacks {listed}", where=path,
            fix="Give the CSV that Live Link Face exports, header included",
        )  # fmt: skip
    return [names.get(name, -1) for name in wanted], 1


def _parse(row: list[str], columns: list[int]) -> tuple[tuple[int, float], np.ndarray] | None:
    """((second, frame), [55] values) of a row, or None where it holds no face."""
    stamp = row[columns[0]].strip() if len(row) > columns[0] else ""
    match = _TIMECODE.fullmatch(stamp)
    if not match:
        raise ValueError(f"{stamp[:40]!r} is not a timecode (HH:MM:SS:FRAME)")
    if not any(i < len(row) and row[i].strip() for i in columns[1:53]):
        return None
    if len(row) <= max(columns[:53]):
        raise ValueError(f"{len(row)} cells, at least {max(columns[:53]) + 1} expected")
    hours, minutes, seconds, frame = match.groups()
    numbers = np.array([float(row[i]) if 0 <= i < len(row) and row[i].strip() else 0.0 for i in columns[1:]])
    if not np.isfinite(numbers).all():
        raise ValueError("a value is not finite")
    far = np.flatnonzero((numbers[:52] < 1 - _LARGEST) | (numbers[:52] > _LARGEST))
    if len(far):
        raise ValueError(f"{NAMES[far[0]]} = {numbers[far[0]]:g} is not a coefficient")
    if np.abs(numbers[52:]).max() > 2 * math.pi:
        raise ValueError("a head angle is not in radians")
    return (3600 * int(hours) + 60 * int(minutes) + int(seconds), float(frame)), numbers


def _clock(stamps: list[tuple[int, float]]) -> tuple[np.ndarray, np.ndarray]:
    """Times in s from 0, and the indices of the rows they belong to (those where time increases)."""
    second = np.array([s for s, _ in stamps], float)
    frame = np.array([f for _, f in stamps])
    second += 86400 * np.cumsum(np.r_[0, np.diff(second) < -43200])  # past midnight
    times = second + frame / _rate(second, frame)
    kept = [0]
    for i in range(1, len(times)):
        if times[i] > times[kept[-1]]:
            kept.append(i)
    return times[kept] - times[0], np.array(kept)


def _rate(second: np.ndarray, frame: np.ndarray) -> int:
    """Frames per second of the timecode: the app counts to 60; other rates show by every lower number being there."""
    whole = np.unique(frame.astype(int))
    counted = int(whole[-1]) + 1
    if counted > _RATE:
        return next((rate for rate in _OTHER_RATES if rate >= counted), counted)
    if second[-1] - second[0] >= 2 and len(whole) == counted >= min(_OTHER_RATES):
        return next(rate for rate in _OTHER_RATES if rate >= counted)
    return _RATE


def _timecode(time: float) -> str:
    thousandths = round(time * _RATE * 1000)
    seconds, part = divmod(thousandths, _RATE * 1000)
    hours, rest = divmod(seconds, 3600)
    return f"{hours:02d}:{rest // 60:02d}:{rest % 60:02d}:{part // 1000:02d}.{part % 1000:03d}"


def _rotation(angles: np.ndarray) -> np.ndarray:
    """[T, 3] axis-angle of yaw, pitch and roll [T, 3]."""
    return Rotation.from_euler("YXZ", angles * np.array([1.0, 1.0, -1.0])).as_rotvec()


def _eye_angles(arkit: np.ndarray) -> np.ndarray:
    """[T, 6] yaw, pitch and roll of the left and the right eye, rad."""
    out = np.zeros((len(arkit), 6))
    for k, (side, sign) in enumerate((("Left", 1.0), ("Right", -1.0))):
        look = {way: arkit[:, INDEX[f"eyeLook{way}{side}"]] for way in ("Out", "In", "Up", "Down")}
        out[:, 3 * k] = sign * _LOOK * (look["Out"] - look["In"])
        out[:, 3 * k + 1] = _LOOK * (look["Down"] - look["Up"])
    return out
