"""Ours against the ideas of others, and against what a picky eye sees: one harness, one tracker, one protocol.

    python scripts/compare.py table CLIP... --out DIR [--minutes 1 3 5] [--preset fast] [--test tail] [--frames 16]
    python scripts/compare.py page --out DIR
    python scripts/compare.py sweep X.avatar... --out DIR [--raw]
    python scripts/compare.py still CLIP X.avatar --out DIR
    python scripts/compare.py short CLIP --out DIR [--frames 50] [--preset fast]
    python scripts/compare.py length CLIP --out DIR --seconds 10 30 60 [--preset fast] [--iterations N]
    python scripts/compare.py pairs CLIP... --avatars X.avatar... --out DIR

`table` trains ours, then each baseline for as much processor time as ours took (on a busy machine that is fairer than
the clock), on the same landmark track, frames and background, and measures all alike. With --minutes ours takes as many
steps as fit into each of these times on an idle machine, which a short pilot tells. What is finished lies under DIR and
is not done again: a table that was stopped goes on, and clips can be added to it. A CLIP is a video (NAME.truth beside
it makes it a synthetic one, see `avatars synth`) or a run directory. LPIPS is not among the columns: its weights are
not at hand. Everything is written under DIR: JSON, pictures, one HTML page, which `page` writes again.
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
    """Train and measure all methods on all clips and budgets."""
    from comparison.columns import COLUMNS
    from comparison.trial import trial

    from avatars.training.columns import table as written
    from avatars.training.presets import load_preset

    changes = {} if given.iterations is None else {"iterations": given.iterations}
    preset = load_preset(given.preset, **changes)
    for minutes in given.minutes or (None,):
        for path in given.clips:
            shelf = trial(path, given.out, preset, given.test, given.frames, say, minutes, given.cores)
            say(f"{shelf.title}\n{written(shelf.figures(), COLUMNS)}")
            page(given)  # after each: a long run that is stopped shows what it found


def page(given: argparse.Namespace) -> None:
    """The page, the tables as text and all figures as JSON, of what is finished."""
    from comparison.columns import COLUMNS
    from comparison.pages import comparison_page
    from comparison.shelf import Shelf

    from avatars import files
    from avatars.training.columns import table as written

    shelves = Shelf.all(given.out)
    comparison_page(shelves, given.out / "compare.html")
    found = {shelf.title: shelf.figures() for shelf in shelves}
    files.write_json(given.out / "compare.json", found)
    text = "\n\n".join(f"{title}\n{written(figures, COLUMNS)}" for title, figures in found.items())
    files.write_bytes(given.out / "compare.txt", f"{text}\n".encode())


def sweep(given: argparse.Namespace) -> None:
    """Full-range expressions."""
    from comparison.sheets import sheet
    from comparison.sweeps import sweep as swept

    from avatars.splats.avatar import Avatar

    for path in given.avatars:
        avatar = Avatar.load(path)
        found = swept(avatar, raw=given.raw)
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


def length(given: argparse.Namespace) -> None:
    """More and more of a clip."""
    from comparison.lengths import lengths

    from avatars import files
    from avatars.training.columns import table as written
    from avatars.training.presets import load_preset

    changes = {} if given.iterations is None else {"iterations": given.iterations}
    found = lengths(given.clip, given.out, load_preset(given.preset, **changes), given.seconds, say)
    named = {f"{seconds:g} s": figures for seconds, figures in found.items()}
    say(written(named))
    files.write_json(given.out / "length.json", named)


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
    one.add_argument("--minutes", nargs="+", type=float, help="of training, on an idle machine; each is a table")
    one.add_argument("--cores", type=float, help="processor seconds per second of an idle machine; measured if missing")
    one.add_argument("--iterations", type=int, help="of ours, instead of the preset's; --minutes goes first")
    one.add_argument("--test", default="tail", choices=("tail", "fifth"))
    one.add_argument("--frames", type=int, default=16, help="most held-out frames that are measured")
    one.set_defaults(run=table)
    one = kinds.add_parser("page", help="the page and the tables again, of what is finished")
    one.set_defaults(run=page)
    one = kinds.add_parser("sweep", help="each ARKit coefficient at 1, and random combinations")
    one.add_argument("avatars", nargs="+", type=Path)
    one.add_argument("--raw", action="store_true", help="without the limits of what the subject can do")
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
    one = kinds.add_parser("length", help="train on more and more seconds, measure on the same end")
    one.add_argument("clip", type=Path)
    one.add_argument("--seconds", nargs="+", type=float, required=True)
    one.add_argument("--preset", default="fast")
    one.add_argument("--iterations", type=int, help="instead of the preset's")
    one.set_defaults(run=length)
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
