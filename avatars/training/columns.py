"""Figures of several avatars side by side: which there are, what they are called, which way is better."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """One figure."""

    key: str
    words: str
    unit: str = ""
    better: int = 1
    """1 if more is better, -1 if less is, 0 if neither."""


COLUMNS = (
    Column("psnr", "PSNR, poses fitted to the pixels", "dB"),
    Column("ssim", "SSIM, poses fitted to the pixels"),
    Column("psnr_landmark", "PSNR, poses from landmarks", "dB"),
    Column("psnr_face", "PSNR of the face", "dB"),
    Column("psnr_mouth", "PSNR of the mouth", "dB"),
    Column("psnr_eyes", "PSNR of the eyes", "dB"),
    Column("psnr_below_chin", "PSNR below the chin", "dB"),
    Column("redetected_px", "landmarks found again, at 512", "px", -1),
    Column("redetected_px_lips", "  lips", "px", -1),
    Column("redetected_px_lids", "  lids", "px", -1),
    Column("redetected_px_irises", "  irises", "px", -1),
    Column("lid_correlation", "correlation of eyelid apertures"),
    Column("mouth_correlation", "correlation of mouth openings"),
    Column("landmark_redetected_px_lips", "by landmarks: lips", "px", -1),
    Column("landmark_redetected_px_lids", "by landmarks: lids", "px", -1),
    Column("landmark_redetected_px_irises", "by landmarks: irises", "px", -1),
    Column("landmark_lid_correlation", "by landmarks: eyelid apertures"),
    Column("landmark_mouth_correlation", "by landmarks: mouth openings"),
    Column("novel_view_30", "PSNR of unseen views at 30 degrees", "dB"),
    Column("novel_view_45", "PSNR of unseen views at 45 degrees", "dB"),
    Column("holes_percent", "holes within the true outline", "%", -1),
    Column("holes_side_percent", "  from unseen views", "%", -1),
    Column("landmark_rmse_px", "landmark error of the track, at 512", "px", 0),
    Column("splats", "splats", "", 0),
    Column("megabytes", "splats and networks on disk", "MB", -1),
    Column("file_megabytes", "whole avatar on disk", "MB", -1),
    Column("iterations_per_second", "training steps per second", "1/s", 0),
    Column("frames_per_second", "frames drawn per second", "1/s"),
    Column("train_seconds", "training", "s", 0),
    Column("processor_seconds", "training, processor time", "s", 0),
)


def lines(
    figures: Mapping[str, Mapping[str, object]], columns: Sequence[Column] = COLUMNS
) -> Iterator[tuple[str, list[str], list[bool]]]:
    """(words, value of each avatar, whether it is the best) for every figure that some avatar has.

    Args:
        figures: by avatar, in order.
        columns: figures that are shown.
    """
    for column in columns:
        values = [each.get(column.key) for each in figures.values()]
        known = [float(v) for v in values if isinstance(v, (int, float))]
        if not known:
            continue
        shown = ["-" if not isinstance(v, (int, float)) else f"{v:.4g}" if abs(v) < 1e4 else f"{v:.0f}" for v in values]
        best = (max if column.better > 0 else min)(known) if column.better and len(known) > 1 else None
        told = f"{column.words}, {column.unit}" if column.unit else column.words
        yield told, shown, [isinstance(v, (int, float)) and float(v) == best for v in values]


def table(figures: Mapping[str, Mapping[str, object]], columns: Sequence[Column] = COLUMNS) -> str:
    """A plain text table; the best value of a line has a star.

    Args:
        figures, columns: see `lines`.
    """
    width = max([10, *(len(name) + 1 for name in figures)])
    out = [" " * 40 + "".join(f"{name:>{width}} " for name in figures)]
    for words, shown, best in lines(figures, columns):
        cells = (f"{value:>{width}}{'*' if star else ' '}" for value, star in zip(shown, best, strict=True))
        out.append(f"{words:<40}{''.join(cells)}".rstrip())
    return "\n".join(out)
