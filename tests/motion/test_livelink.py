from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from avatars.data import Motion
from avatars.errors import InputError
from avatars.heads.arkit import INDEX, NAMES
from avatars.motion.livelink import HEADER, read_csv, write_csv


def motion(count: int = 40, rate: float = 30.0, seed: int = 0) -> Motion:
    rng = np.random.default_rng(seed)
    return Motion(
        times=np.arange(count) / rate,
        arkit=rng.uniform(size=(count, 52)),
        rotation=0.4 * rng.normal(size=(count, 3)),
        translation=np.zeros((count, 3)),
    )


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


@pytest.mark.parametrize("rate", [24.0, 25.0, 29.97, 30.0, 60.0, 120.0])
def test_round_trip(tmp_path: Path, rate: float) -> None:
    sent = motion(150, rate)
    write_csv(sent, tmp_path / "x.csv")
    back = read_csv(tmp_path / "x.csv")
    # Timecode holds thousandths of a sixtieth of a second.
    np.testing.assert_allclose(back.times, sent.times, atol=0.51e-3 / 60)
    np.testing.assert_allclose(back.arkit, sent.arkit, atol=1e-8)
    np.testing.assert_allclose(back.rotation, sent.rotation, atol=1e-7)


def test_header_is_the_apps(tmp_path: Path) -> None:
    write_csv(motion(2), tmp_path / "x.csv")
    header = lines(tmp_path / "x.csv")[0].split(",")
    assert header[:4] == ["Timecode", "BlendShapeCount", "EyeBlinkLeft", "EyeLookDownLeft"]
    assert header[53:57] == ["TongueOut", "HeadYaw", "HeadPitch", "HeadRoll"]
    assert len(header) == 63
    assert lines(tmp_path / "x.csv")[1].split(",")[1] == "61"


def test_angles_mean_what_the_module_says(tmp_path: Path) -> None:
    row = dict.fromkeys(HEADER, "0") | {"Timecode": "01:00:00:00.000", "HeadYaw": "0.3"}
    nod = row | {"Timecode": "01:00:00:01.000", "HeadYaw": "0", "HeadPitch": "0.2"}
    tilt = row | {"Timecode": "01:00:00:02.000", "HeadYaw": "0", "HeadRoll": "0.1"}
    text = "\n".join([",".join(HEADER), *(",".join(r.values()) for r in (row, nod, tilt))])
    (tmp_path / "x.csv").write_text(text)
    # Head coordinates: x to the subject's left, y up, z out of the face.
    np.testing.assert_allclose(
        read_csv(tmp_path / "x.csv").rotation, [[0, 0.3, 0], [0.2, 0, 0], [0, 0, -0.1]], atol=1e-12
    )


def test_columns_are_found_by_name(tmp_path: Path) -> None:
    sent = motion(5)
    write_csv(sent, tmp_path / "x.csv")
    table = [line.split(",") for line in lines(tmp_path / "x.csv")]
    order = np.random.default_rng(1).permutation(54)  # the eye angles are left out altogether
    table[0] = [name.upper() for name in table[0]]
    (tmp_path / "y.csv").write_text("\ufeff" + "\r\n".join(",".join(row[i] for i in order) for row in table))
    back = read_csv(tmp_path / "y.csv")
    np.testing.assert_allclose(back.arkit, sent.arkit, atol=1e-8)


def test_rows_without_a_face_and_single_damaged_ones_are_left_out(tmp_path: Path) -> None:
    write_csv(motion(60), tmp_path / "x.csv")
    text = lines(tmp_path / "x.csv")
    text[5] = text[5].split(",")[0] + ",0"
    text[6] = text[6].split(",")[0] + ",0" + "," * 61
    text[9] = text[9][: len(text[9]) // 2]
    text[20] = text[20].replace(",", ";")
    text[30] = text[29]
    (tmp_path / "y.csv").write_text("\n".join(text))
    notes: list[str] = []
    back = read_csv(tmp_path / "y.csv", notes)
    assert len(back.times) == 55
    assert any("2 rows without a face" in note for note in notes)
    assert any("2 damaged rows" in note and "line 10" in note for note in notes)
    assert any("1 rows with times" in note for note in notes)


def test_midnight(tmp_path: Path) -> None:
    sent = motion(4, 2.0)
    write_csv(sent, tmp_path / "x.csv")
    text = lines(tmp_path / "x.csv")
    stamps = ["23:59:59:00.000", "23:59:59:30.000", "00:00:00:00.000", "00:00:00:30.000"]
    text[1:] = [stamp + line[line.index(",") :] for stamp, line in zip(stamps, text[1:], strict=True)]
    (tmp_path / "x.csv").write_text("\n".join(text))
    np.testing.assert_allclose(read_csv(tmp_path / "x.csv").times, [0, 0.5, 1, 1.5], atol=1e-9)


def test_a_timecode_of_thirty_frames_is_noticed(tmp_path: Path) -> None:
    sent = motion(90)
    write_csv(sent, tmp_path / "x.csv")
    text = lines(tmp_path / "x.csv")
    text[1:] = [f"10:00:{i // 30:02d}:{i % 30:02d}.000{line[line.index(',') :]}" for i, line in enumerate(text[1:])]
    (tmp_path / "x.csv").write_text("\n".join(text))
    np.testing.assert_allclose(read_csv(tmp_path / "x.csv").times, np.arange(90) / 30, atol=1e-9)


def spoil(text: list[str], column: str, value: str) -> list[str]:
    at = HEADER.index(column)
    return [text[0], *(",".join([*row[:at], value, *row[at + 1 :]]) for row in (line.split(",") for line in text[1:]))]


@pytest.mark.parametrize(
    ("column", "value", "named"),
    [
        ("JawOpen", "nan", "not finite"),
        ("JawOpen", "inf", "not finite"),
        ("JawOpen", "87", "jawOpen = 87"),
        ("JawOpen", "wide", "wide"),
        ("HeadYaw", "-35", "radians"),
        ("Timecode", "12:34", "timecode"),
    ],
)
def test_one_clear_error(tmp_path: Path, column: str, value: str, named: str) -> None:
    write_csv(motion(20), tmp_path / "x.csv")
    (tmp_path / "x.csv").write_text("\n".join(spoil(lines(tmp_path / "x.csv"), column, value)))
    with pytest.raises(InputError) as caught:
        read_csv(tmp_path / "x.csv")
    message = str(caught.value)
    assert "20 of 20 rows" in message
    assert "line 2" in message
    assert named in message
    assert "x.csv" in message


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "lacks timecode"),
        (b"\x89PNG\r\n\x1a\n\x00\xff", "Not a CSV"),
        (
            b"Timecode,BlendShapeCount,JawOpen\n1,2,3\n",
            "lacks eyeblinkleft, eyelookdownleft, eyelookinleft and 48 more",
        ),
        ((",".join(HEADER) + "\n").encode(), "no frame with a face"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes, named: str) -> None:
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_csv(tmp_path / "x.csv")
    assert named in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_csv(tmp_path / "x.csv")


def test_slightly_wild_values_are_clipped(tmp_path: Path) -> None:
    write_csv(motion(20), tmp_path / "x.csv")
    (tmp_path / "x.csv").write_text("\n".join(spoil(lines(tmp_path / "x.csv"), "JawOpen", "1.02")))
    assert read_csv(tmp_path / "x.csv").arkit[:, INDEX["jawOpen"]].max() == 1.0
    assert len(NAMES) == 52
