"""Canonical space shows the same picture as the track's own world, and has the axes it claims."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from avatars.errors import InputError
from avatars.export.posed import (
    Rest,
    canonical_camera,
    neutral_pose,
    pose_of_arkit,
    pose_of_row,
    posed,
)
from avatars.heads.arkit import INDEX
from avatars.raster import ops
from avatars.splats.model import camera_tensors


def draw(splats, camera, background=0.5):
    """[1, 3, H, W] and [1, 1, H, W] of posed splats."""
    t = [torch.from_numpy(np.ascontiguousarray(x))[None] for x in (splats.means, splats.wxyz, splats.scales)]
    t += [torch.from_numpy(splats.opacities)[None], torch.from_numpy(splats.colors)[None]]
    back = torch.full((3,), background)
    drawn = ops.rasterize(*t, *camera_tensors(camera), camera.width, camera.height, background=back)
    return drawn.color, drawn.alpha


@pytest.mark.parametrize("row", [0, 5])
def test_canonical_space_shows_the_same_picture(avatar, row):
    with torch.no_grad():
        pose = pose_of_row(avatar, row)
        native = avatar.model().render(pose, avatar.camera, torch.full((3,), 0.5)).color
        drawn, _ = draw(posed(avatar, pose), canonical_camera(avatar))
    # float32 rounding of means and of the camera: 2e-3 at the worst pixel, next to splats that swap order
    assert (native - drawn).abs().mean() < 2e-6


def test_axes_are_y_up_and_out_of_the_face(avatar):
    splats = posed(avatar, neutral_pose(avatar))
    vertices = avatar.model().vertices(neutral_pose(avatar))[0].numpy()
    frame = Rest.of(avatar).canonical_from_world
    at = vertices @ frame[:3, :3].T + frame[:3, 3]
    regions = avatar.head.regions
    assert at[regions["nose"], 2].mean() > at[regions["ears"], 2].mean() + 0.05
    assert at[regions["scalp"], 1].mean() > at[regions["lips"], 1].mean() + 0.1
    assert at[regions["eyeball_l"], 0].mean() > 0.02
    assert np.abs(np.median(splats.means, 0)).max() < 0.2


def test_turning_and_moving_follow_canonical_axes(avatar):
    turn, shift = np.array([[0.0, 0.3, 0.0]]), np.array([[0.01, 0.02, 0.03]])
    skin = avatar.head.skinning[:, 1] > 0.999
    frame = Rest.of(avatar).canonical_from_world

    def placed(pose):
        vertices = avatar.model().vertices(pose)[0].numpy()
        return (vertices @ frame[:3, :3].T + frame[:3, 3])[skin]

    usual = (Rest.of(avatar).rotation.T @ neutral_pose(avatar).rotation[0].numpy()).astype(float)
    c, s = np.cos(0.3), np.sin(0.3)
    extra = usual @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]) @ usual.T
    before = placed(neutral_pose(avatar))
    after = placed(pose_of_arkit(avatar, np.zeros((1, 52)), turn, shift))
    assert np.abs(after - (before @ extra.T + shift)).max() < 1e-4  # a thousandth of the torso's motion


def test_left_is_the_subjects_own(avatar):
    wink = np.zeros((1, 52))
    wink[0, INDEX["eyeBlinkLeft"]] = 1
    model = avatar.model()
    moved = (model.vertices(pose_of_arkit(avatar, wink)) - model.vertices(neutral_pose(avatar)))[0].norm(dim=1).numpy()
    assert np.average(avatar.head.template[:, 0], weights=moved) > 0.02


def test_bad_poses_are_refused(avatar):
    for bad in (np.zeros((1, 51)), np.full((1, 52), np.nan)):
        with pytest.raises(InputError):
            pose_of_arkit(avatar, bad)
    with pytest.raises(InputError):
        pose_of_row(avatar, 99)
