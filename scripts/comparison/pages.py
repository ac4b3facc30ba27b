"""What comparisons show: a page with table and pictures, and contact sheets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from avatars import files
from avatars.data import Camera
from avatars.splats.avatar import Avatar
from avatars.splats.model import AvatarModel, Pose
from avatars.training import page as html
from avatars.training.columns import lines
from avatars.training.frames import region_box
from avatars.training.views import facing, orbit

from .measure import Measured
from .trial import Trial

_SHOWN = 3
_CLOSE = ((0, 17, 61, 291), (33, 263, 105, 334))
"""Landmarks around the mouth and around the eyes."""
_SIDES = (-45, -30, 30, 45)
_TILE, _COLUMNS = 224, 10


def comparison_page(trials: Sequence[Trial], path: Path) -> None:
    """One HTML page with every clip's table and pictures."""
    body = ["<h1>Ours and others, one harness</h1>"]
    words = (
        "Every method had the same landmark track, frames, background and processor time. Held-out frames are posed by "
        "fitting them with the avatar frozen, unless a line says otherwise. The best of a line is marked with a star."
    )
    for trial in trials:
        heads = ("", *trial.figures())
        rows = [(told, *(f"{v} *" if b else v for v, b in zip(shown, best, strict=True)))
                for told, shown, best in lines(trial.figures())]  # fmt: skip
        body.append(html.section(trial.name, words, html.table([heads, *rows])))
        body.append(html.section(f"{trial.name}: held-out frames", "", _frames(trial)))
        body.append(html.section(f"{trial.name}: from the side", "", _sides(trial)))
    files.write_bytes(path, html.document("Comparison", "".join(body)).encode())


def _frames(trial: Trial) -> str:
    store, first = trial.shop.store, trial.methods[0].result
    out = []
    for i in np.linspace(0, len(first.rows) - 1, _SHOWN + 2).astype(int)[1:-1]:
        row = int(first.rows[i])
        seen = _picture(store.get(row, 0).image)
        whole = [html.picture(seen, "film")]
        close: list[list[str]] = [[html.picture(_crop(seen, store.landmarks[row], group), "film")] for group in _CLOSE]
        for method in trial.methods:
            drawn = _drawn(trial, method, int(i), row)
            value = method.result.photometric_rows[int(i)]["psnr"]
            whole.append(html.picture(drawn, f"{method.trained.name}, {value:.1f} dB"))
            for part, group in zip(close, _CLOSE, strict=True):
                part.append(html.picture(_crop(drawn, store.landmarks[row], group), method.trained.name))
        out += [html.row(whole), *(html.row(part) for part in close)]
    return "".join(out)


def _sides(trial: Trial) -> str:
    out = []
    for method in trial.methods:
        pose = method.result.fitted[0]
        camera, center = trial.shop.camera, pose.translation[0].numpy().astype(float)
        views = [
            html.picture(
                draw(method.trained.model, pose, orbit(camera, center, facing(pose, camera) + math.radians(angle))),
                f"{method.trained.name}, {angle:+d}°",
            )
            for angle in _SIDES
        ]
        out.append(html.row(views))
    return "".join(out)


def _drawn(trial: Trial, method: Measured, index: int, row: int) -> np.ndarray:
    background = trial.shop.store.get(row, 0).background
    return draw(method.trained.model, method.result.fitted[index], trial.shop.camera, background)


@torch.no_grad()
def draw(model: AvatarModel, pose: Pose, camera: Camera, background: torch.Tensor | None = None) -> np.ndarray:
    """[H, W, 3] uint8, over white unless a background is given."""
    behind = torch.ones(3) if background is None else background
    return _picture(model.render(pose, camera, behind).color)


def _picture(image: torch.Tensor) -> np.ndarray:
    return (image[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()


def _crop(image: np.ndarray, landmarks: np.ndarray, group: tuple[int, ...]) -> np.ndarray:
    x0, y0, x1, y1 = region_box(landmarks, group, image.shape[1], image.shape[0])
    part = image[y0:y1, x0:x1]
    return cv2.resize(part, (320, max(1, round(320 * part.shape[0] / part.shape[1]))), interpolation=cv2.INTER_CUBIC)


def sheet(avatar: Avatar, poses: Sequence[tuple[str, Pose]], path: Path) -> None:
    """A contact sheet of named poses, PNG."""
    model, camera = avatar.model(), avatar.camera
    tiles = []
    for name, pose in poses:
        tiles.append(labelled(draw(model, pose, camera), name))
    write_sheet(tiles, path, _COLUMNS)


def labelled(image: np.ndarray, name: str, side: int = _TILE) -> np.ndarray:
    """A tile with its name."""
    scale = side / max(image.shape[:2])
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    tile = np.full((side, side, 3), 255, np.uint8)
    tile[: size[1], : size[0]] = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    cv2.putText(tile, name, (4, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (200, 0, 0), 1, cv2.LINE_AA)
    return tile


def write_sheet(tiles: Sequence[np.ndarray], path: Path, columns: int) -> None:
    """Tiles of one size in rows, PNG."""
    filled = list(tiles) + [np.full_like(tiles[0], 255)] * (-len(tiles) % columns)
    rows = [np.hstack(filled[i : i + columns]) for i in range(0, len(filled), columns)]
    good, data = cv2.imencode(".png", cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR))
    assert good
    files.write_bytes(path, data.tobytes())
