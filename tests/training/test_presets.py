from __future__ import annotations

import json
import math
from dataclasses import fields, replace
from pathlib import Path

import pytest

from avatars.errors import AvatarError, InputError
from avatars.training.presets import Preset, load_preset, parse_preset, presets_directory, suited


def test_shipped_presets_load_and_round_trip() -> None:
    names = sorted(p.stem for p in presets_directory().glob("*.json"))
    assert {"tiny", "fast", "default", "best"} <= set(names)
    for name in names:
        preset = load_preset(name)
        assert parse_preset(preset.to_json()) == preset


def test_short_films_take_fewer_steps() -> None:
    fast = Preset(iterations=13000, splats=777)
    assert suited(fast, 150) == suited(fast, 600) == fast
    assert suited(fast, 75) == replace(fast, iterations=6500)
    assert suited(fast, 40).iterations == suited(fast, 8).iterations == 4000
    small = Preset(iterations=300)
    assert suited(small, 8) == small
    assert suited(suited(fast, 120), 150) == suited(fast, 120)


def test_a_preset_file_of_the_users_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"splats": 777}))
    assert load_preset(path).splats == 777
    assert load_preset(path, seed=5).seed == 5


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"splat": 10}, "splat"),
        ({"splats": 1.5}, "splats"),
        ({"splats": True}, "splats"),
        ({"splats": -1}, "splats"),
        ({"ssim": math.nan}, "ssim"),
        ({"ssim": "0.2"}, "ssim"),
        ({"iterations": 0}, "iterations"),
    ],
)
def test_wild_values_are_refused_by_name(values: dict[str, object], named: str) -> None:
    with pytest.raises(InputError, match=named):
        parse_preset(values)


def test_nan_in_a_file_and_missing_presets(tmp_path: Path) -> None:
    path = tmp_path / "nan.json"
    path.write_text('{"ssim": NaN}')
    with pytest.raises(AvatarError, match="NaN"):
        load_preset(path)
    with pytest.raises(InputError, match="tiny"):
        load_preset("no-such-preset")
    path.write_text("[1]")
    with pytest.raises(InputError, match="object"):
        load_preset(path)


def test_every_field_has_limits() -> None:
    assert set(Preset._LIMITS) == {f.name for f in fields(Preset)}
