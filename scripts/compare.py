"""Ours against the ideas of others, and against what a picky eye sees: one harness, one tracker, one protocol.

    python scripts/compare.py table CLIP... --out DIR [--preset fast] [--iterations N] [--test tail] [--frames 16]
    python scripts/compare.py sweep X.avatar... --out DIR
    python scripts/compare.py still CLIP X.avatar --out DIR
    python scripts/compare.py short CLIP --out DIR [--frames 50] [--preset fast]
    python scripts/compare.py pairs CLIP... --avatars X.avatar... --out DIR

`table` trains ours, then each baseline for as much processor time as ours took (on a busy machine that is fairer than
the clock), on the same landmark track, frames and background, and measures all alike. A CLIP is a video (NAME.truth
beside it makes it a synthetic one, see `avatars synth`) or a run directory. LPIPS is not among the columns: its weights
are not at hand. Everything is written under DIR: JSON, pictures, one HTML page.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that spin would be charged for it

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

from avatars.errors import AvatarError  # noqa: E402


def say(line: str) -> None:
    """Print at once."""
    print(line, flush=True)


def table(given: argparse.Namespace) -> None:
    """Train and measure all methods on all clips."""
    from comparison.pages import comparison_page
    from comparison.trial import save, trial

    from avatars.training.columns import table as written
    from avatars.training.presets import load_preset

    changes = {} if given.iterations is None else {"iterations": given.iterations}
    preset = load_preset(given.preset, **changes)
    trials = []
    for path in given.clips:
        trials.append(trial(path, given.out, preset, given.test, given.frames, say))
        say(written(trials[-1].figures()))
        save(trials, given.out)  # after each: a long run that is stopped keeps what it found
        comparison_page(trials, given.out / "compare.html")


def sweep(given: argparse.Namespace) -> None:
    """Full-range expressions."""
    from comparison.pages import sheet
    from comparison.sweeps import sweep as swept

    from avatars.splats.avatar import Avatar

    for path in given.avatars:
        avatar = Avatar.load(path)
        found = swept(avatar)
        bad = [f"{face.name} (reach {face.reach:.2f}, holes {face.holes:.2%})" for face in found if not face.good]
        reach, holes = max(face.reach for face in found), max(face.holes for face in found)
        say(f"{path.stem}: {len(found)} faces; reach {reach:.2f} head radii, holes {holes:.3%}; bad: {bad or 'none'}")
        sheet(avatar, [(face.name, face.pose) for face in found], given.out / f"sweep-{path.stem}.png")


def still(given: argparse.Namespace) -> None:
    """One frame again and again."""
    from comparison.stillness import stillness

    from avatars import files

    found = stillness(given.clip, given.avatar, given.out, given.seconds)
    for name, value in found.items():
        say(f"{name:<32} {value:.3f}")
    files.write_json(given.out / "still.json", found)


def short(given: argparse.Namespace) -> None:
    """The beginning of a clip only."""
    from comparison.short import short as built

    from avatars import files
    from avatars.training.presets import load_preset

    found = built(given.clip, given.out, load_preset(given.preset), given.frames, say)
    for name, value in found.items():
        say(f"{name:<32} {value:.3f}")
    files.write_json(given.out / "short.json", found)


def pairs(given: argparse.Namespace) -> None:
    """Everybody driven by everybody."""
    from comparison.pairs import pairs as driven

    driven(given.clips, given.avatars, given.out, say)


def parser() -> argparse.ArgumentParser:
    """The subcommands and what they take."""
    top = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = top.add_subparsers(required=True, metavar="TRIAL")
    one = kinds.add_parser("table", help="ours and the baselines, trained and measured alike")
    one.add_argument("clips", nargs="+", type=Path)
    one.add_argument("--preset", default="fast")
    one.add_argument("--iterations", type=int, help="of ours, instead of the preset's")
    one.add_argument("--test", default="tail", choices=("tail", "fifth"))
    one.add_argument("--frames", type=int, default=16, help="most held-out frames that are measured")
    one.set_defaults(run=table)
    one = kinds.add_parser("sweep", help="each ARKit coefficient at 1, and random combinations")
    one.add_argument("avatars", nargs="+", type=Path)
    one.set_defaults(run=sweep)
    one = kinds.add_parser("still", help="one frame repeated, with noise of one grey level")
    one.add_argument("clip", type=Path)
    one.add_argument("avatar", type=Path)
    one.add_argument("--seconds", type=float, default=10.0)
    one.set_defaults(run=still)
    one = kinds.add_parser("short", help="train on the first frames, measure on the rest")
    one.add_argument("clip", type=Path)
    one.add_argument("--frames", type=int, default=50)
    one.add_argument("--preset", default="fast")
    one.set_defaults(run=short)
    one = kinds.add_parser("pairs", help="every avatar driven by every clip")
    one.add_argument("clips", nargs="+", type=Path)
    one.add_argument("--avatars", nargs="+", type=Path, required=True)
    one.set_defaults(run=pairs)
    for each in kinds.choices.values():
        each.add_argument("--out", type=Path, required=True, help="directory to write to")
    return top


if __name__ == "__main__":
    given = parser().parse_args()
    try:
        given.run(given)
    except AvatarError as error:
        raise SystemExit(f"error: {error}") from None
