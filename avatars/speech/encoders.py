"""Larger audio encoders (wav2vec 2.0, HuBERT, WavLM) behind the network's own interface, and as teachers.

Optional: needs `transformers` and a model that the user has on disk; nothing is downloaded and nothing else here
imports it. A `Net` of the encoder's width is trained on its features (`fit`) and answers from them as the default one
does from the front end's; what it answers on speech without labels can be taught to the default network (`distil`),
which then runs live.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional as F

from avatars.errors import BackendError, FileFormatError, InputError

from . import corpus
from .articulation import from_arkit
from .augment import degrade
from .batches import labels_of
from .condition import DEFAULT_LOOK_AHEAD, condition
from .engines.utterance import RATE
from .features import FrontEnd
from .losses import Weights, losses
from .network import Net

HOP = 320
"""Samples per frame of these encoders at 16 kHz: the network's own 20 ms."""
_KINDS = ("wav2vec2", "hubert", "wavlm")
Teacher = Callable[[np.ndarray], tuple[Tensor, Tensor]]
"""(viseme logits [T, 14], articulators [T, 11]) of [samples] at 16 kHz."""


class Encoder(nn.Module):
    """Features of a whole sound.

    Args:
        model: of transformers, one of wav2vec2, hubert and wavlm; it is not trained here.

    Raises:
        InputError: another kind of model, or one with another frame rate.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        kind, strides = getattr(model.config, "model_type", "?"), getattr(model.config, "conv_stride", ())
        if kind not in _KINDS:
            raise InputError(f"'{kind}' is no audio encoder that is known", fix=f"Use one of {', '.join(_KINDS)}")
        if int(np.prod(strides)) != HOP:
            raise InputError(f"The encoder makes a frame of {int(np.prod(strides))} samples, not {HOP}")
        self.model = model.eval().requires_grad_(False)
        self.width = int(model.config.hidden_size)

    @torch.no_grad()
    def forward(self, pcm: np.ndarray) -> Tensor:
        """[T, width] for the T whole 20 ms frames of [samples] at 16 kHz, normalised as these models expect."""
        frames = len(pcm) // HOP
        if frames == 0:
            return torch.zeros(0, self.width)
        sound = torch.from_numpy(np.asarray(pcm, np.float32))
        sound = (sound - sound.mean()) / torch.sqrt(sound.var(unbiased=False) + 1e-7)
        found = self.model(F.pad(sound, (0, 2 * HOP))[None]).last_hidden_state[0]
        return found[:frames]


def load_encoder(path: Path) -> Encoder:
    """An encoder from a model directory on disk (safetensors weights; no code in it is run).

    Raises:
        BackendError: transformers is not installed. FileFormatError: no such model, or damaged.
    """
    try:
        from transformers import AutoModel  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise BackendError("Larger encoders need transformers", fix="pip install 'avatars[encoders]'") from error
    if not (path / "config.json").is_file():
        raise FileFormatError("Not a model directory", where=path, fix="Give a folder with config.json and weights")
    try:
        model = AutoModel.from_pretrained(path, local_files_only=True, trust_remote_code=False, use_safetensors=True)
    except (OSError, ValueError, SafetensorError) as error:
        raise FileFormatError(f"The model cannot be read: {error}", where=path) from error
    return Encoder(model)


def fit(
    encoder: Encoder, shards: Sequence[Path], steps: int, rate: float = 1e-3, seed: int = 0
) -> tuple[Net, list[float]]:
    """(a network on the encoder's features, the losses) from corpus shards, one degraded utterance a step.

    The encoder hears whole utterances, so the network is trained without a delay.

    Raises:
        InputError: no shards, or not of the corpus.
    """
    sounds = [(u, from_arkit(m.astype(np.float32))) for path in shards for u, _, m in corpus.read_shard(path)]
    sounds = [(u, curves) for u, curves in sounds if len(u.pcm) >= RATE // 5]
    if not sounds:
        raise InputError("No training shards", fix="Make them first: avatars speech corpus")
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    net = Net(inputs=encoder.width)
    told = torch.from_numpy(condition(look_ahead=0))[None]
    optimizer = torch.optim.AdamW(net.parameters(), rate, weight_decay=0.01)
    out = []
    for step in range(steps):
        utterance, curves = sounds[int(rng.integers(len(sounds)))]
        heard = encoder(degrade(utterance.pcm, rng))
        count = min(len(heard), len(curves))
        label, vocal = (torch.from_numpy(a[None, :count]) for a in labels_of(utterance, count))
        visemes, made, classes = net(heard[None, :count], told)
        wanted = torch.from_numpy(curves[None, :count])
        loss = torch.stack(list(losses(visemes, made, classes, label, wanted, vocal, Weights()).values())).sum()
        for group in optimizer.param_groups:
            group["lr"] = rate * (1 - step / steps)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        out.append(float(loss.detach()))
    return net, out


def teacher(encoder: Encoder, net: Net) -> Teacher:
    """What a network on an encoder's features makes of a whole sound; it hears all of it, so nothing is delayed.

    Raises:
        InputError: the network was made for features of another width.
    """
    if net.entry.in_features != encoder.width:
        raise InputError(f"The network takes {net.entry.in_features} features, the encoder makes {encoder.width}")
    told = torch.from_numpy(condition(look_ahead=0))[None]

    @torch.no_grad()
    def answer(pcm: np.ndarray) -> tuple[Tensor, Tensor]:
        visemes, curves, _ = net.eval()(encoder(pcm)[None], told)
        return visemes[0], curves[0]

    return answer


def distil(
    student: Net, known: Teacher, sounds: Sequence[np.ndarray], steps: int, rate: float = 5e-4, seed: int = 0
) -> list[float]:
    """Teach the default network, in place, what a teacher makes of sounds without labels; returns the losses.

    Curves by L1, visemes by cross-entropy against the teacher's probabilities (Hinton et al. 2015).

    Args:
        sounds: [samples] at 16 kHz each, 0.2 s or more.

    Raises:
        InputError: no sounds, or too short ones.
    """
    if not sounds or min(len(s) for s in sounds) < RATE // 5:
        raise InputError("There is nothing to learn from", fix="Give sounds of 0.2 s or more")
    rng = np.random.default_rng(seed)
    told = torch.from_numpy(condition(look_ahead=DEFAULT_LOOK_AHEAD))[None]
    ending = np.zeros(DEFAULT_LOOK_AHEAD * HOP, np.float32)
    optimizer = torch.optim.AdamW(student.parameters(), rate)
    out = []
    for step in range(steps):
        pcm = sounds[int(rng.integers(len(sounds)))]
        wanted, shape = known(pcm)
        heard = torch.from_numpy(FrontEnd()(np.concatenate([pcm, ending])))
        visemes, curves, _ = student(heard[None], told)
        count = min(len(wanted), len(heard) - DEFAULT_LOOK_AHEAD)
        late = slice(DEFAULT_LOOK_AHEAD, DEFAULT_LOOK_AHEAD + count)
        loss = 4 * (curves[0, late] - shape[:count]).abs().mean()
        loss = loss + 0.3 * F.cross_entropy(visemes[0, late], wanted[:count].softmax(-1))
        for group in optimizer.param_groups:
            group["lr"] = rate * (1 - step / steps)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step()
        out.append(float(loss.detach()))
    return out
