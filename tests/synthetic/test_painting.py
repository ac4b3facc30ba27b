"""The parts that a synthetic picture is made of, against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix, identity

from avatars.heads.eyeballs import eyeball_directions, eyeball_faces
from avatars.heads.head import Head
from avatars.synthetic import shading
from avatars.synthetic.canvas import Canvas, smooth_line
from avatars.synthetic.clothes import _clip, _subdivide
from avatars.synthetic.noise import field, smoothstep, wander
from avatars.synthetic.shadow import ShadowMap, bake_occlusion
from avatars.synthetic.texels import Texels


def test_noise_has_unit_variance_and_the_size_asked_for() -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 1, (20000, 3))
    for octaves in (1, 3):
        values = field(points, 0.02, rng, octaves)
        assert abs(values.mean()) < 0.05
        assert values.std() == pytest.approx(1, abs=0.06)
    rng = np.random.default_rng(1)
    near = field(np.concatenate([points, points + 0.002]), 0.02, rng)
    far = field(np.concatenate([points, points + 0.1]), 0.02, rng)
    assert np.corrcoef(near[:20000], near[20000:])[0, 1] > 0.8
    assert abs(np.corrcoef(far[:20000], far[20000:])[0, 1]) < 0.1


def test_wander_is_smooth_and_of_unit_variance() -> None:
    curve = wander(np.arange(20000) / 50.0, 1.0, np.random.default_rng(2), 3)
    assert curve.std() == pytest.approx(1, abs=0.1)
    assert np.abs(np.diff(curve, axis=0)).max() < 0.25


def test_texels_lie_on_the_head_and_know_slopes(default_head: Head) -> None:
    texels = Texels(default_head, 512)
    low, high = default_head.template.min(0) - 1e-6, default_head.template.max(0) + 1e-6
    assert (texels.position >= low).all()
    assert (texels.position <= high).all()
    # The slope of a linear height is the part of its gradient that lies in the surface; compare on flat triangles.
    gradient = np.array([0.3, -0.2, 0.1], np.float32)
    slope = texels.slope(texels.position @ gradient)
    corners = default_head.template[texels.corners]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    tangent = gradient - (normal @ gradient)[:, None] * normal
    known = np.abs(slope).sum(1) > 0
    assert known.mean() > 0.7
    error = np.linalg.norm(slope[known] - tangent[known], axis=1)
    assert np.median(error) < 0.01  # texels across an edge see two triangles


def test_canvas_draws_where_it_is_told() -> None:
    square = np.array([[0.01, 0.01], [0.03, 0.01], [0.03, 0.04], [0.01, 0.04]])
    canvas = Canvas().polygon(square)
    points = np.array([[0.02, 0.02, 0], [0.0, 0.0, 0], [0.029, 0.039, 0], [0.032, 0.02, 0]])
    np.testing.assert_allclose(canvas.at(points), [1, 0, 1, 0], atol=1e-6)
    ring = smooth_line(square, 400, closed=True)
    assert np.linalg.norm(ring[:, None] - square[None], axis=-1).min(0).max() < 1e-9


def test_clipping_keeps_area_up_to_the_line() -> None:
    points = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], float)
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    mix, split = _subdivide(faces, 4)
    for line in (0.3, 0.5, 0.77):
        cut, kept = _clip(mix, split, (mix @ points)[:, 0] - line)
        corners = (cut @ points)[kept]
        assert corners[..., 0].max() == pytest.approx(line)
        normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 2]
        assert (normal > -1e-12).all()  # orientation stays
        assert normal.sum() / 2 == pytest.approx(line)
    cut, kept = _clip(csr_matrix(identity(4)), faces, np.full(4, -1.0))
    assert len(kept) == 2


def test_a_ball_shades_the_floor_and_part_of_the_sky() -> None:
    turned = eyeball_directions()[:, [0, 2, 1]] * (1, -1, 1)  # the ball's open back looks up
    ball = turned * 0.05 + [0, 0.12, 0]
    floor = np.array([[-0.3, 0, -0.3], [0.3, 0, -0.3], [0.3, 0, 0.3], [-0.3, 0, 0.3]])
    vertices = np.concatenate([ball, floor])
    faces = np.concatenate([eyeball_faces(), np.array([[0, 2, 1], [0, 3, 2]]) + len(ball)])
    up = np.array([0.0, 1.0, 0.0])
    seen = ShadowMap(vertices, faces, up, 256)
    lit = seen.lit(np.array([[0.0, 0.001, 0.02], [0.2, 0.001, 0.2]]), 0.003)
    np.testing.assert_allclose(lit, [0, 1])
    places = np.array([[0.0, 0.0, 0.0], [0.28, 0.0, 0.28]])
    open_sky = bake_occlusion(vertices, faces, places, np.tile(up, (2, 1)), directions=400)
    # A ball of radius r whose middle is d above takes (r / d)² of a sky that is weighted by the cosine.
    assert open_sky[0] == pytest.approx(1 - (5 / 12) ** 2, abs=0.03)
    assert open_sky[1] == pytest.approx(1, abs=0.02)


def test_skin_answers_to_lamp_and_sky_as_it_should() -> None:
    lights = shading.Lights(torch.tensor([0.0, 0.0, -1.0]), torch.ones(3, 1), torch.full((3, 1), 0.5))
    toward, away = torch.tensor([[0.0], [0.0], [-1.0]]), torch.tensor([[0.0], [0.0], [1.0]])
    albedo, matt = torch.tensor([[0.6], [0.4], [0.3]]), torch.zeros(2, 1)
    one, none = torch.ones(1, 1), torch.zeros(1, 1)

    def light(normal: torch.Tensor, sky: torch.Tensor, lit: torch.Tensor, gloss: torch.Tensor = matt) -> torch.Tensor:
        return shading.skin(lights, normal, normal, toward, sky, lit, albedo, gloss)

    torch.testing.assert_close(light(toward, none, one), albedo)
    torch.testing.assert_close(light(away, none, one), torch.zeros(3, 1))
    torch.testing.assert_close(light(toward, one, none), albedo * 0.5 * 0.78)
    side = torch.tensor([[1.0], [0.0], [0.0]])
    glow = light(side, none, one) / albedo
    assert glow[0] > glow[1] > glow[2] > 0  # red light wraps the farthest
    assert (light(toward, none, one, torch.ones(2, 1)) > albedo).all()


def test_smoothstep_runs_either_way() -> None:
    x = np.array([-1.0, 0.0, 0.5, 1.0, 2.0])
    np.testing.assert_allclose(smoothstep(0, 1, x), [0, 0, 0.5, 1, 1])
    np.testing.assert_allclose(smoothstep(1, 0, x), [1, 1, 0.5, 0, 0])
