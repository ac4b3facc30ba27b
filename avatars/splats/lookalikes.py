"""After whom an unseen splat takes: the kind of surface it lies on, and what the seen ones of that kind show."""

from __future__ import annotations

import numpy as np
from scipy.spatial import KDTree

from ..heads.head import Head
from .interior import INTERIOR

FACE, TORSO, SCALP, NECK, EYES, MOUTH, EARS, BACK, BESIDE = range(9)
"""Kinds of surface, as far as looks go; the back is what of the torso lies behind the neck. Beside skin lie hair and
collars."""
SKIN = (EARS, FACE, NECK)
_CROWN, _HAIR = 0.6, 0.15
"""Quantile of the height above which a scalp shows hair if it has any, and how far, in sRGB, hair is from skin."""
_HAIRY = 0.9
"""How far on the way from skin to the crown's hair a colour must be to be hair and no shaded or shorn temple."""
_LEAST = 20
"""Splats of a kind from which it is known what it looks like."""
_SPREAD = 1e-4
"""Least variance of a colour, sRGB squared."""


def lookalikes(
    head: Head,
    triangle: np.ndarray,
    rest: np.ndarray,
    color: np.ndarray,
    seen: np.ndarray,
    count: int = 1,
    free: np.ndarray | None = None,
) -> np.ndarray:
    """[unseen, count] indices of the seen splats that unseen ones should look like.

    Nearest on either side of the face and of the same kind (hair after hair, neck after neck, the white of an eye
    after the white of an eye), in a space where height counts most: what lies behind takes after what is seen beside
    it, not after the ear or the neck that happens to be closest. Backs of clothes take after shoulders as far behind,
    since a tie and an open collar are worn in front.

    Args:
        triangle: [N]; rest: [N, 3] m, splat centres at rest; color: [N, 3] of those seen; seen: [N] bool.
        free: [N] bool, splats that lie beside the mesh. Those carried by skin are none: they take after what is seen
            beside the mesh next to them.
    """
    place = rest * np.array([0.7, 2.0, 0.5])
    kind = kinds(head)[triangle]
    torso = kind == TORSO
    kind[torso & behind_neck(head, rest)] = BACK
    free = np.zeros(len(triangle), bool) if free is None else free
    kind[free & np.isin(kind, SKIN)] = BESIDE
    temples = bare_scalp(kind, rest, color, seen)
    anyone = np.flatnonzero(seen & (kind != EARS))
    if len(anyone) < count:
        anyone = np.flatnonzero(seen)
    found = np.empty((len(triangle), count), np.int64)
    for value in np.unique(kind[~seen]):
        kin = seen & (kind == value)
        kinsfolk = {EARS: (), TORSO: (seen & torso,), BACK: (kin, seen & torso), BESIDE: (seen & free,)}
        known = kinsfolk.get(int(value), (kin & ~temples, kin))
        source = next((np.flatnonzero(k) for k in known if k.sum() >= max(count, _LEAST)), anyone)
        tree = KDTree(np.concatenate([place[source], place[source] * np.array([-1.0, 1.0, 1.0])]))
        target = np.flatnonzero(~seen & (kind == value))
        near = np.asarray(tree.query(place[target], k=count)[1]).reshape(-1, count)
        found[target] = source[near % len(source)]
    return found[~seen]


def behind_neck(head: Head, rest: np.ndarray) -> np.ndarray:
    """[N] bool: which of the places [N, 3], m at rest, lie behind the middle of the neck; none where there is none."""
    if "neck" not in head.regions:
        return np.zeros(len(rest), bool)
    return rest[:, 2] < head.template[head.regions["neck"], 2].mean()


def bare_scalp(kind: np.ndarray, rest: np.ndarray, color: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """[N] bool: seen splats of the scalp that show skin, where others show hair.

    A hairline lies inside the mesh's scalp, and what is behind the head at the height of a bare temple is not bare.
    """
    scalp, face = seen & (kind == SCALP), seen & (kind == FACE)
    bare = np.zeros(len(kind), bool)
    if scalp.sum() < _LEAST or face.sum() < _LEAST:
        return bare
    skin = np.median(color[face], 0)
    top = scalp & (rest[:, 1] >= np.quantile(rest[scalp, 1], _CROWN))
    crown = np.median(color[top], 0)
    if np.linalg.norm(crown - skin) > _HAIR:
        # Along Fisher's discriminant: shades of one skin differ much, and the way they do says nothing about hair.
        spread = np.cov(color[face].T) + np.cov(color[top].T) + _SPREAD * np.eye(3)
        way = np.linalg.solve(spread, crown - skin)
        bare[scalp] = (color[scalp] - skin) @ way < _HAIRY * (crown - skin) @ way
    return bare


def kinds(head: Head) -> np.ndarray:
    """[F] what a triangle is part of, as far as looks go."""
    kind = np.zeros(len(head.faces), int)
    kind[head.torso_faces()] = TORSO
    groups = {SCALP: ("scalp",), NECK: ("neck",), EYES: ("eyeball_l", "eyeball_r"), MOUTH: INTERIOR, EARS: ("ears",)}
    for value, names in groups.items():
        known = [name for name in names if name in head.regions]
        if known:
            kind[head.faces_of(*known)] = value
    return kind
