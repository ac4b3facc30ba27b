"""A tiny clip with a known track, drawn from the default head: no detector, no video, a second to make."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from avatars import geometry
from avatars.data import Camera, Clip, Track
from avatars.heads.anny import default_head
from avatars.heads.head import Head, HeadModel
from avatars.raster.mesh import rasterize_mesh
from avatars.tracking.habit import Habit


def make_scene(frames: int = 24, size: int = 96, seed: int = 3) -> tuple[Head, Clip, Track]:
    """(generic head, clip, true track) of a painted head that talks, blinks and turns."""
    head = default_head()
    rng = np.random.default_rng(seed)
    phase = np.linspace(0, 2 * np.pi, frames)
    expression = np.zeros((frames, len(head.expression_names)), np.float32)
    for name, amount in {"jawOpen": 0.4, "mouthSmileLeft": 0.5, "eyeBlinkLeft": 0.8, "eyeBlinkRight": 0.8}.items():
        expression[:, head.expression_names.index(name)] = amount * (0.5 + 0.5 * np.sin(phase * 2 + rng.uniform(0, 6)))
    facing = np.array([np.pi, 0.0, 0.0])
    turn = np.stack([0.1 * np.sin(phase), 0.25 * np.sin(phase + 1), 0.05 * np.cos(phase)], 1)
    rotation = geometry.rotvec_from_matrix(
        geometry.matrix_from_rotvec(torch.tensor(turn))
        @ geometry.matrix_from_rotvec(torch.tensor(facing, dtype=torch.float64))
    ).numpy()
    translation = np.tile([0.0, 0.03, 0.8], (frames, 1)) + 0.01 * np.stack([np.sin(phase), np.cos(phase), 0 * phase], 1)
    neck = head.joints[0].astype(float)
    below = Rotation.from_rotvec(facing).apply(neck) - neck  # the torso turns about its own joint
    camera = Camera(2.8 * size, 2.8 * size, size / 2, size / 2, size, size)
    track = Track(
        identity=np.zeros(head.identity_basis.shape[0], np.float32),
        camera=camera,
        frame=np.arange(frames),
        times=np.arange(frames) / 25.0,
        expression=expression,
        rotation=rotation.astype(np.float32),
        translation=translation.astype(np.float32),
        torso_rotation=np.tile(facing, (frames, 1)).astype(np.float32),
        torso_translation=np.tile(translation.mean(0) + below, (frames, 1)).astype(np.float32),
        landmark_offsets=np.zeros((478, 3), np.float32),
        confidence=np.ones(frames, np.float32),
        head={"name": head.name, "version": head.version, "sha256": head.sha256},
    ).validate()
    return head, draw(head, track, size, rng), track


_PAINT = {
    "lips": (0.7, 0.25, 0.25), "brows": (0.2, 0.15, 0.1), "scalp": (0.25, 0.2, 0.15), "shoulders": (0.2, 0.3, 0.5),
}  # fmt: skip


def draw(
    head: Head, track: Track, size: int, rng: np.random.Generator,
    paint: dict[str, tuple[float, float, float]] = _PAINT,
) -> Clip:  # fmt: skip
    """Film a head of one colour, its regions painted, along a track."""
    model = HeadModel(head)
    colors = np.full((len(head.template), 3), 0.55) + 0.06 * rng.normal(size=(len(head.template), 3))
    for region, color in paint.items():
        colors[head.regions[region]] = color
    background = np.array([0.8, 0.85, 0.8])
    images, mattes, marks = [], [], []
    for t in range(len(track.frame)):
        args = [torch.from_numpy(np.asarray(x[t : t + 1])) for x in (track.rotation, track.torso_rotation)]
        r, b = (geometry.matrix_from_rotvec(x) for x in args)
        e, move, shift = (
            torch.from_numpy(x[t : t + 1]) for x in (track.expression, track.translation, track.torso_translation)
        )
        vertices = model.pose(e, r, move, b, shift)
        v = vertices[0].numpy()
        camera = track.camera
        screen = np.stack(
            [v[:, 0] / v[:, 2] * camera.fx + camera.cx, v[:, 1] / v[:, 2] * camera.fy + camera.cy, v[:, 2]], 1
        )
        buffers = rasterize_mesh(screen.astype(np.float32), head.faces, size, size)
        corners = head.faces[buffers.face.clip(0)]
        image = (colors[corners] * buffers.barycentric[..., None]).sum(2)
        seen = buffers.face >= 0
        images.append(np.where(seen[..., None], image, background))
        mattes.append(seen)
        moves = Habit.of(head).moves(track.expression[t : t + 1], r.numpy(), track.translation[t : t + 1])
        points = model.landmarks(vertices)[0].numpy() + moves[0] @ r[0].numpy().T
        marks.append(
            np.stack(
                [
                    points[:, 0] / points[:, 2] * camera.fx + camera.cx,
                    points[:, 1] / points[:, 2] * camera.fy + camera.cy,
                    points[:, 2] * 0,
                ],
                1,
            )
        )
    return Clip(
        frames=(np.clip(images, 0, 1) * 255).round().astype(np.uint8),
        times=track.times,
        landmarks=np.array(marks, np.float32),
        matte=(np.array(mattes) * 255).astype(np.uint8),
        rejects=[""] * len(images),
        plate=np.tile((background * 255).astype(np.uint8), (size, size, 1)),
        plate_seen=np.full((size, size), 255, np.uint8),
        source={"name": "scene", "sha256": "0" * 64},
    ).validate()
