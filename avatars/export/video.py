"""Motion as pictures: .mp4 over a flat colour, or a numbered PNG sequence with alpha."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from .. import files
from ..data import Camera
from ..errors import InputError
from ..splats.avatar import Avatar
from ..splats.model import Pose

Progress = Callable[[float], None]


@torch.no_grad()
def pictures(avatar: Avatar, pose: Pose, camera: Camera) -> Iterator[np.ndarray]:
    """[H, W, 4] float32 of each pose: premultiplied sRGB and alpha, in [0, 1]."""
    model = avatar.model()
    for i in range(len(pose)):
        drawn = model.render(pose[i], camera)
        alpha = drawn.alpha[0].clamp(0, 1)
        color = torch.minimum(drawn.color[0].clamp(min=0), alpha)
        yield torch.cat([color, alpha]).permute(1, 2, 0).numpy()


def straight(picture: np.ndarray) -> np.ndarray:
    """[H, W, 4] uint8 with straight (not premultiplied) alpha, as PNG wants it."""
    alpha = picture[..., 3:]
    color = np.where(alpha > 0, picture[..., :3] / np.maximum(alpha, 1e-6), 0)
    return np.round(np.concatenate([color, alpha], 2).clip(0, 1) * 255).astype(np.uint8)


def save_png(
    avatar: Avatar, pose: Pose, directory: Path | str, camera: Camera, progress: Progress | None = None
) -> list[Path]:
    """Write `frame0001.png` ... with alpha into a new directory, which appears when complete."""
    import cv2

    directory = Path(directory)
    names = [f"frame{i + 1:04d}.png" for i in range(len(pose))]
    with files.atomic_directory(directory) as temporary:
        for i, picture in enumerate(pictures(avatar, pose, camera)):
            done, data = cv2.imencode(".png", straight(picture)[..., [2, 1, 0, 3]])
            if not done:
                raise InputError("A frame could not be encoded", where=names[i])
            files.write_bytes(temporary / names[i], data.tobytes())
            if progress:
                progress((i + 1) / len(pose))
    return [directory / name for name in names]


def save_mp4(
    avatar: Avatar,
    pose: Pose,
    fps: float,
    path: Path | str,
    camera: Camera,
    background: tuple[float, float, float] = (0.5, 0.5, 0.5),
    progress: Progress | None = None,
) -> None:
    """Write H.264 video that any player takes (yuv420p, even size, index in front).

    Args:
        fps: frames per second of the poses.
        background: sRGB in [0, 1].

    Raises:
        InputError: no pose, or a rate out of range.
    """
    import av

    if len(pose) == 0 or not 1 <= fps <= 240:
        raise InputError(f"A video needs a frame and a rate between 1 and 240 per second, not {len(pose)} and {fps}")
    size = (camera.width // 2 * 2, camera.height // 2 * 2)
    behind = np.array(background, np.float32)
    with (
        files.atomic(path) as temporary,
        av.open(str(temporary), "w", format="mp4", options={"movflags": "faststart"}) as out,
    ):
        stream = out.add_stream(
            "libx264", rate=round(fps * 1000) / 1000 if fps % 1 else int(fps), options={"crf": "16"}
        )
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for i, picture in enumerate(pictures(avatar, pose, camera)):
            color = picture[..., :3] + (1 - picture[..., 3:]) * behind
            image = np.round(color[: size[1], : size[0]].clip(0, 1) * 255).astype(np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")):
                out.mux(packet)
            if progress:
                progress((i + 1) / len(pose))
        for packet in stream.encode():
            out.mux(packet)
