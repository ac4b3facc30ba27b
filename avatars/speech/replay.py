"""A minute of other speakers, kept beside the weights, so that a personalised network does not forget lip closures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from avatars.files import load_tensors, save_tensors

from .batches import load
from .condition import DEFAULT_LOOK_AHEAD
from .features import FLOOR, LevelState, levels

PATH = Path(__file__).parent / "weights" / "replay.safetensors"
FRAMES = 150
SYNTHETIC = frozenset(("espeak", "flite", "festival", "vocal"))


def make_replay(shard: Path, path: Path = PATH, count: int = 24, seed: int = 0) -> None:
    """Write the network inputs of `count` crops of 3 s of one training shard, [count, 150, 86] float16.

    Of synthetic speech alone: recordings have owners, and this file is shipped.
    """
    rng = np.random.default_rng(seed)
    examples = [e for e in load([shard], rng, engines=SYNTHETIC) if len(e.label) >= FRAMES and e.language]
    rows = []
    for i in rng.permutation(len(examples))[:count]:
        example = examples[int(i)]
        mel = np.exp(example.mel.astype(np.float32)) + np.float32(FLOOR)
        rows.append(levels(mel, example.voicing, example.pitch, LevelState.start())[:FRAMES])
    save_tensors(path, {"inputs": np.stack(rows).astype(np.float16)})


def replay_inputs(path: Path = PATH) -> torch.Tensor:
    """[R, 150, 86] float32.

    Raises:
        FileFormatError: missing or damaged.
    """
    return torch.from_numpy(load_tensors(path)[0]["inputs"].astype(np.float32))


assert FRAMES > DEFAULT_LOOK_AHEAD
