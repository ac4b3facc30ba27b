"""The Head's file and the HeadModel's geometry, against references written here."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from avatars.errors import FileFormatError
from avatars.files import load_tensors, save_tensors
from avatars.heads.anny import default_head
from avatars.heads.head import Head, HeadModel


@pytest.fixture(scope="module")
def head() -> Head:
    return default_head()


def _pose(batch: int = 1, dtype: torch.dtype = torch.float64):
    eye, zero = torch.eye(3, dtype=dtype).expand(batch, 3, 3), torch.zeros(batch, 3, dtype=dtype)
    return eye, zero


def _turn(rng: np.random.Generator, size: float = 0.5) -> torch.Tensor:
    return torch.as_tensor(Rotation.from_rotvec(rng.normal(size=3) * size).as_matrix())[None]


def test_file_gives_back_the_same_head(head: Head, tmp_path) -> None:
    head.save(tmp_path / "h.safetensors")
    again = Head.load(tmp_path / "h.safetensors")
    ours, words = head.tensors()
    theirs, same = again.tensors()
    assert words == same
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert value.dtype == theirs[name].dtype
        np.testing.assert_array_equal(value, theirs[name])


def test_damaged_newer_and_foreign_files_are_refused(head: Head, tmp_path) -> None:
    path = tmp_path / "h.safetensors"
    head.save(path)
    data = path.read_bytes()
    for size in (0, 8, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:size])
        with pytest.raises(FileFormatError):
            Head.load(path)
    path.write_bytes(data)
    arrays, words = load_tensors(path)
    save_tensors(path, arrays, {**words, "format": "99"})
    with pytest.raises(FileFormatError, match="newer"):
        Head.load(path)
    save_tensors(path, arrays, {**words, "kind": "tail"})
    with pytest.raises(FileFormatError, match="not a head"):
        Head.load(path)
    save_tensors(path, {k: v for k, v in arrays.items() if k != "skinning"}, words)
    with pytest.raises(FileFormatError, match="skinning"):
        Head.load(path)


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("skinning", lambda a: a * 1.001),
        ("faces", lambda a: np.where(np.arange(a.size).reshape(a.shape) == 5, len(a) * 9, a).astype(a.dtype)),
        ("landmark_faces", lambda a: np.where(np.arange(len(a)) == 3, 10**7, a).astype(a.dtype)),
        ("template", lambda a: np.where(np.arange(a.size).reshape(a.shape) == 7, np.nan, a).astype(a.dtype)),
        ("expression_basis", lambda a: a[:, :-1]),
        ("parents", lambda a: a[::-1].copy()),
        ("expression_low", lambda a: a + 2),
    ],
)
def test_validate_names_what_is_wrong(head: Head, name: str, spoil) -> None:
    with pytest.raises(FileFormatError, match=name):
        replace(head, **{name: spoil(getattr(head, name))}).validate()


def test_rest_is_the_linear_combination(head: Head) -> None:
    model, rng = HeadModel(head, dtype=torch.float64), np.random.default_rng(0)
    weights = rng.uniform(0, 1, (3, model.size))
    rest = model.rest(torch.as_tensor(weights)).numpy()
    expected = head.template + np.einsum("be,evd->bvd", weights, head.expression_basis.astype(float))
    np.testing.assert_allclose(rest, expected, atol=1e-12)


def test_neutral_pose_is_the_template(head: Head) -> None:
    model = HeadModel(head, dtype=torch.float64)
    still, here = _pose()
    posed = model.pose(torch.zeros(1, model.size, dtype=torch.float64), still, here, still, here)[0]
    np.testing.assert_allclose(posed, head.template, atol=1e-7)  # skinning weights sum to 1 within float32


def test_head_and_torso_move_rigidly_and_apart(head: Head) -> None:
    model, rng = HeadModel(head, dtype=torch.float64), np.random.default_rng(1)
    state = torch.zeros(1, model.size, dtype=torch.float64)
    turn, shift, torso, slide = (
        _turn(rng),
        torch.as_tensor(rng.normal(size=(1, 3))),
        _turn(rng),
        torch.full((1, 3), 0.02),
    )
    posed = model.pose(state, turn, shift, torso, slide.double())[0].numpy()
    skull, chest = head.skinning[:, 0] < 1e-6, head.skinning[:, 0] > 1 - 1e-6
    assert skull.sum() > 1000
    assert chest.sum() > 100
    np.testing.assert_allclose(posed[skull], head.template[skull] @ turn[0].numpy().T + shift.numpy(), atol=1e-6)
    base = head.joints[0].astype(float)
    expected = (head.template[chest] - base) @ torso[0].numpy().T + base + 0.02
    np.testing.assert_allclose(posed[chest], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("action", "axis", "sign", "degrees"),
    [
        ("eyeLookUpLeft", 1, 1, 25), ("eyeLookDownLeft", 1, -1, 25), ("eyeLookOutLeft", 0, 1, 32),
        ("eyeLookInLeft", 0, -1, 32), ("eyeLookUpRight", 1, 1, 25), ("eyeLookOutRight", 0, -1, 32),
        ("eyeLookInRight", 0, 1, 32),
    ],
)  # fmt: skip
def test_gaze_turns_the_eyeball(head: Head, action: str, axis: int, sign: int, degrees: float) -> None:
    """The subject's left is +x: looking out with the left eye moves its front to +x."""
    model = HeadModel(head, dtype=torch.float64)
    state = torch.zeros(1, model.size, dtype=torch.float64)
    state[0, head.expression_names.index(action)] = 1
    still, here = _pose()
    posed = model.pose(state, still, here, still, here)[0].numpy()
    side = "l" if action.endswith("Left") else "r"
    rows = np.flatnonzero(head.regions[f"eyeball_{side}"])
    center = head.joints[head.joint_names.index(f"eye_{side}")]
    pole = rows[head.template[rows, 2].argmax()]
    before, after = head.template[pole] - center, posed[pole] - center
    cosine = before @ after / np.linalg.norm(before) / np.linalg.norm(after)
    assert np.degrees(np.arccos(cosine)) == pytest.approx(degrees, abs=0.1)
    assert sign * after[axis] > 0.4 * np.linalg.norm(after)
    other = head.regions["eyeball_r" if side == "l" else "eyeball_l"]
    np.testing.assert_allclose(posed[other], head.template[other], atol=1e-7)


def test_gradients_match_finite_differences(head: Head) -> None:
    model, rng = HeadModel(head, dtype=torch.float64), np.random.default_rng(2)
    weights = torch.as_tensor(rng.normal(size=(1, model.vertices, 3)))
    state = torch.as_tensor(rng.uniform(0.1, 0.9, (1, model.size)))
    inputs = [
        state,
        _turn(rng),
        torch.as_tensor(rng.normal(size=(1, 3))),
        _turn(rng),
        torch.as_tensor(rng.normal(size=(1, 3))),
    ]

    def loss(*args: torch.Tensor) -> torch.Tensor:
        return (model.pose(*args) * weights).sum()

    wanted = [value.clone().requires_grad_() for value in inputs]
    loss(*wanted).backward()
    for i, value in enumerate(inputs):
        way = torch.as_tensor(rng.normal(size=value.shape))
        step = 1e-5
        ahead = loss(*[v + step * way if k == i else v for k, v in enumerate(inputs)])
        behind = loss(*[v - step * way if k == i else v for k, v in enumerate(inputs)])
        analytic = float((wanted[i].grad * way).sum())  # type: ignore[operator]
        assert float(ahead - behind) / (2 * step) == pytest.approx(analytic, rel=1e-6, abs=1e-6)


def test_chain_matches_a_loop_over_joints(head: Head) -> None:
    model, rng = HeadModel(head, dtype=torch.float64), np.random.default_rng(3)
    rotations, shift = rng.normal(size=(1, 5, 3)) * 0.4, rng.normal(size=3)
    got = model.chain(torch.as_tensor(rotations), torch.as_tensor(shift)[None])[0].numpy()
    world: list[np.ndarray] = []
    for j, parent in enumerate(head.parents):
        local = np.eye(4)
        local[:3, :3] = Rotation.from_rotvec(rotations[0, j]).as_matrix()
        local[:3, 3] = head.joints[j] - (head.joints[parent] if parent >= 0 else 0)
        world.append(local if parent < 0 else world[parent] @ local)
    for j, matrix in enumerate(world):
        rest = np.eye(4)
        rest[:3, 3] = -head.joints[j].astype(float)
        expected = matrix @ rest
        expected[:3, 3] += shift
        np.testing.assert_allclose(got[j], expected, atol=1e-10)


def test_batches_are_independent(head: Head) -> None:
    model, rng = HeadModel(head, dtype=torch.float64), np.random.default_rng(4)
    state = torch.as_tensor(rng.uniform(0, 1, (3, model.size)))
    turns, shift = torch.cat([_turn(rng) for _ in range(3)]), torch.as_tensor(rng.normal(size=(3, 3)))
    together = model.pose(state, turns, shift, turns, shift)
    for i in range(3):
        one = [value[i : i + 1] for value in (state, turns, shift, turns, shift)]
        torch.testing.assert_close(together[i : i + 1], model.pose(*one), atol=1e-12, rtol=0)


def test_landmarks_lie_on_their_triangles_and_missing_ones_are_nan(head: Head) -> None:
    where = head.landmark_faces.copy()
    where[10] = -1
    model = HeadModel(replace(head, landmark_faces=where), dtype=torch.float64)
    vertices = torch.as_tensor(head.template.astype(float))[None].requires_grad_()
    points = model.landmarks(vertices)
    assert torch.isnan(points[0, 10]).all()
    assert torch.isfinite(points[0, :10]).all()
    expected = head.landmark_barycentric[20].astype(float) @ head.template[head.faces[where[20]]]
    np.testing.assert_allclose(points[0, 20].detach(), expected, atol=1e-12)
    points[:, 11:].sum().backward()
    assert torch.isfinite(vertices.grad).all()  # type: ignore[arg-type]


def test_a_personalised_head_is_the_linear_shape(head: Head) -> None:
    rng = np.random.default_rng(5)
    identity, extra = rng.normal(size=len(head.identity_basis)), rng.normal(size=head.template.shape) * 1e-3
    person = head.shape(identity, extra)
    expected = head.template + np.tensordot(identity, head.identity_basis.astype(float), 1) + extra
    np.testing.assert_allclose(person.template, expected, atol=1e-6)
    joints = head.joints + np.tensordot(identity, head.joint_identity.astype(float), 1)
    np.testing.assert_allclose(person.joints, joints, atol=1e-6)
    assert person.identity_basis.shape == (0, *head.template.shape)
    kept = [i for i, name in enumerate(head.expression_names) if not name.startswith("eyeBlink")]
    np.testing.assert_array_equal(person.expression_basis[kept], head.expression_basis[kept])
    person.validate()
