"""The page that comes with every avatar: what was filmed, what came out, how good it is, what to film again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..data import Clip, Track
from ..splats.avatar import Avatar
from ..tracking.report import MOVES, quality
from . import page as html
from .evaluate import Evaluation
from .report_pictures import Painter

if TYPE_CHECKING:
    from .loop import Trainer

_TURN = range(-36, 37, 6)
_SIDES = (-30, -15, 15, 30)
_HELD_OUT, _WORST = 4, 3
_APART = 0.3
"""s between two of the worst frames."""
_SECTIONS = ("psnr", "ssim", "psnr_face", "psnr_mouth", "psnr_eyes", "psnr_above_chin", "psnr_below_chin")


def report(
    avatar: Avatar, clip: Clip, track: Track, trainer: Trainer, result: Evaluation | None, timings: dict[str, float]
) -> str:
    """The page of a training that has just ended, self-contained HTML; arguments as for `page`."""
    return page(avatar, clip, track, result, history=trainer.history, timings=timings)


def page(
    avatar: Avatar,
    clip: Clip,
    track: Track,
    result: Evaluation | None,
    *,
    history: Sequence[tuple[int, float]],
    timings: dict[str, float],
) -> str:
    """One self-contained HTML page, under 4 MB: pictures and curves lie inside, no link leads outside.

    Args:
        avatar: with the refined poses of the track's rows.
        clip: footage.
        track: the same rows as landmarks left them.
        result: figures of held-out frames; None where there are none.
        history: (iteration, loss) of the training, where it is at hand.
        timings: s by stage.
    """
    painter = Painter(avatar, clip, track)
    found = quality(replace(track, landmark_offsets=avatar.track.landmark_offsets), clip, avatar.head)
    body = [
        _top(avatar, result, found, timings),
        _first_look(painter, result),
        _frames(painter, track, result),
        _sides(painter),
        _expressions(painter),
        _curves(track, result, history),
        _footage(found),
        _details(avatar, clip, result, timings),
    ]
    return html.document(f"{_name(avatar)}, avatar", "".join(body))


def _name(avatar: Avatar) -> str:
    return str(avatar.manifest.get("name") or "Avatar")


def _top(avatar: Avatar, result: Evaluation | None, found: dict[str, Any], timings: dict[str, float]) -> str:
    made = avatar.manifest.get("provenance", {})
    film = made.get("source", {}).get("name", "a film")
    words = f"Made from {film}, {found['frames']} frames of {found['seconds']:.0f} s"
    if made.get("built"):
        words += f", {str(made['built'])[:10]}"
    tiles = []
    if result is not None:
        tiles = [
            (f"{result.photometric['psnr']:.1f} dB", "PSNR of unseen frames, poses fitted"),
            (f"{result.landmark['psnr']:.1f} dB", "PSNR of unseen frames, from landmarks"),
            (f"{result.photometric['ssim']:.3f}", "SSIM of unseen frames"),
        ]
    tiles.append((f"{found['landmark_rmse_px']['all']:.2f} px", "landmark error at 512 px"))
    tiles.append((f"{len(avatar.splats):,}".replace(",", " "), "splats"))
    if timings.get("train"):
        tiles.append((_duration(timings["train"]), "training"))
    consent = html.text(avatar.manifest.get("consent", "not stated"))
    head = f"<h1>{html.text(_name(avatar))}</h1><p>{html.text(words)}. Consent: {consent}.</p>"
    return head + html.tiles(tiles)


def _first_look(painter: Painter, result: Evaluation | None) -> str:
    """What a user tries first: turn the head, wipe between film and avatar."""
    rows = painter.usual(result, 1)
    if result is not None:  # the typical frame, not the best
        scores = [row["psnr"] for row in result.photometric_rows]
        rows = [int(result.rows[sorted(range(len(scores)), key=scores.__getitem__)[len(scores) // 2]])]
    compared = painter.pair(rows[0])
    turn = html.section(
        "Turn the head", "Move the pointer over it; unseen sides are guessed.",
        html.turntable([painter.around(degrees) for degrees in _TURN], "view"),
    )  # fmt: skip
    what = "A typical frame that training never saw." if result is not None else "A training frame; none was held out."
    both = html.section("Film or avatar?", what, html.wipe(compared[0], compared[1], ("film", "avatar")))
    return f'<div class="pair">{turn}{both}</div>'


def _frames(painter: Painter, track: Track, result: Evaluation | None) -> str:
    """Film against avatar, by both protocols, and the worst frames."""
    if result is None:
        rows = [html.row(painter.training_row(row), "three") for row in painter.usual(None, _HELD_OUT)]
        return html.section("Film against avatar", "Training frames: nothing was held out.", "".join(rows))
    pairs = zip(result.photometric_rows, result.landmark_rows, strict=True)
    score = {int(row): pair for row, pair in zip(result.rows, pairs, strict=True)}
    usual = painter.usual(result, _HELD_OUT)
    worst = _worst(track, {row: a["psnr"] for row, (a, _) in score.items()})
    words = (
        "None of these frames was trained on. 'Fitted' poses the avatar by the frame's pixels, 'landmarks' by "
        "landmarks of the face and features followed on the torso. Differences are four times enlarged. Click a "
        "picture to enlarge it."
    )
    seen = html.section(
        "Unseen frames", words, "".join(html.row(painter.held_out_row(row, *score[row]), "five") for row in usual)
    )
    bad = html.section(
        "The worst of them", "Where the avatar is furthest from the film.",
        "".join(html.row(painter.held_out_row(row, *score[row]), "five") for row in worst),
    )  # fmt: skip
    return seen + bad


def _worst(track: Track, score: dict[int, float]) -> list[int]:
    """Rows with the lowest score, each some time away from the others: one mishap is shown once."""
    out: list[int] = []
    for row in sorted(score, key=score.__getitem__):
        if all(abs(track.times[row] - track.times[other]) > _APART for other in out):
            out.append(row)
    return out[:_WORST]


def _sides(painter: Painter) -> str:
    views = [html.picture(painter.around(degrees), f"{degrees:+d}°") for degrees in _SIDES]
    words = "The camera goes around the resting head; positive angles show the person's own left."
    return html.section("From the side", words, html.row(views))


def _expressions(painter: Painter) -> str:
    faces = [html.picture(image, name) for name, image in painter.expressions().items()]
    words = (
        "The neutral face, and single actions at full strength: further than most people go, and than the film went."
    )
    return html.section("Expressions", words, html.row(faces, "five"))


def _curves(track: Track, result: Evaluation | None, history: Sequence[tuple[int, float]]) -> str:
    parts = []
    if history:
        loss = html.curve([("loss", [i for i, _ in history], [v for _, v in history])], "iteration", "loss")
        parts.append(f"<div>{loss}</div>")
    if result is not None:
        times = [float(track.times[row]) for row in result.rows]
        fitted = [row["psnr"] for row in result.photometric_rows]
        free = [row["psnr"] for row in result.landmark_rows]
        drawn = html.curve(
            [("fitted", times, fitted), ("landmarks", times, free)], "s of film", "PSNR of unseen frames, dB"
        )
        parts.append(f"<div>{drawn}</div>")
    return html.section("Curves", "", f'<div class="pair">{"".join(parts)}</div>') if parts else ""


def _footage(found: dict[str, Any]) -> str:
    """How well the face was followed, what the film covers, what to film again."""
    advice = "".join(f"<li>{html.text(line)}</li>" for line in found["advice"])
    said = "<p>The footage leaves little to wish for.</p>"
    if advice:
        said = f"<b>Film again for a better avatar:</b><ul>{advice}</ul>"
    rmse = [(name, f"{value:.2f} px") for name, value in found["landmark_rmse_px"].items()]
    rmse.append(("trembling of a still head", f"{found['jitter_px']:.2f} px"))
    moves = html.bars((name, found["coverage"][name], f"{found['moves_mm'][name]:.1f} mm") for name in MOVES)
    yaw = html.columns(found["yaw_histogram"], "frames (positive: to the right of the picture)")
    moved = f"<div><p>How far the face moved, against what a good film shows</p>{moves}</div>"
    turned = f"<div><p>Turn of the head, degrees</p>{yaw}<br><p>Landmark error, at 512 px</p>{html.table(rmse)}</div>"
    return html.section("The film", "", f'{said}<div class="pair">{moved}{turned}</div>')


def _details(avatar: Avatar, clip: Clip, result: Evaluation | None, timings: dict[str, float]) -> str:
    made = avatar.manifest.get("provenance", {})
    origin = clip.source
    facts: list[tuple[object, ...]] = [
        ("film", f"{origin.get('name', '')}, {origin.get('width', '?')} × {origin.get('height', '?')} px"),
        ("sha256", origin.get("sha256", "")),
        (
            "working size",
            f"{clip.size[0]} × {clip.size[1]} px, {int(clip.used.sum())} of {len(clip.times)} frames usable",
        ),
        ("head model", f"{avatar.head.name}, {avatar.head.version}"),
        ("program", made.get("program", "")),
        *((f"  {name}", value) for name, value in made.get("versions", {}).items()),
        ("held out", avatar.manifest.get("test", "")),
    ]
    facts += [(f"unusable: {reason}", f"{count} frames") for reason, count in origin.get("rejected", {}).items()]
    facts += [("warning", line) for line in origin.get("warnings", [])]
    spent = [(name, _duration(value)) for name, value in timings.items()]
    settings = list(avatar.manifest.get("preset", {}).items())
    columns = [f"<div><p>Origin</p>{html.table(facts)}</div>", f"<div><p>Time spent</p>{html.table(spent)}</div>"]
    if result is not None:
        known = [name for name in _SECTIONS if name in result.photometric]
        both = [(name, f"{result.photometric[name]:.4g}", f"{result.landmark[name]:.4g}") for name in known]
        columns.append(f"<div><p>Unseen frames: fitted, landmarks</p>{html.table(both)}</div>")
    columns.append(f"<div><p>Settings</p>{html.table(settings)}</div>")
    return html.section("Figures, versions, settings", "", f'<div class="facts">{"".join(columns)}</div>')


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{math.floor(seconds / 60)} min {seconds % 60:.0f} s"
