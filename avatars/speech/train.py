"""Training the network on corpus shards: plain PyTorch, data parallel under torchrun, resumable to the bit.

Everything random in step n derives from (seed, n, rank), and the pool of utterances from (seed, round, rank), so a run
that was stopped goes on exactly as it would have.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from avatars.errors import InputError, TrainingError
from avatars.files import load_tensors, save_tensors, write_json

from .batches import Pool, batch, load
from .losses import Weights, losses
from .network import Net, arrays, from_arrays
from .optimizer import Optimizer


@dataclass(frozen=True)
class Recipe:
    """Numbers of a training run."""

    steps: int = 27000
    batch: int = 16
    """Crops per step on each process."""
    frames: int = 150
    """Length of a crop, 20 ms each."""
    rate: float = 2e-3
    warm_up: int = 100
    decay: float = 0.05
    average: float = 0.999
    """Decay of the averaged weights that are kept."""
    round_steps: int = 4500
    """Steps between loading (and degrading) utterances anew."""
    round_hours: float = 2.7
    """Most sound in memory at once, hours on each process."""
    seed: int = 0
    breaths: bool = True
    """Whether to teach breaths between utterances (see `breaths`), in the rounds after two thirds of the steps and in
    the last: what voices say is learned better without."""
    half: bool = False
    """Whether the network's products are taken in bfloat16; parameters, losses and the optimiser stay in float32."""


@dataclass
class State:
    """A run between two steps."""

    net: Net
    average: Net
    optimizer: Optimizer
    step: int = 0


def _device() -> torch.device:
    """The GPU of this process, where there is one."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def fresh(recipe: Recipe, begin: Mapping[str, np.ndarray] | None = None) -> State:
    """State before the first step, from random parameters or from those of another run."""
    torch.manual_seed(recipe.seed)
    net, average = (Net(), Net()) if begin is None else (from_arrays(dict(begin)), Net())
    average.load_state_dict(net.state_dict())
    net, average = net.to(_device()), average.to(_device())
    return State(net, average, Optimizer(net, recipe.rate, recipe.decay, recipe.half))


def save(path: Path, state: State, recipe: Recipe) -> None:
    """Write a checkpoint: parameters, their average and the optimiser's moments."""
    tensors = {f"net.{k}": v for k, v in arrays(state.net).items()}
    tensors |= {f"average.{k}": v for k, v in arrays(state.average).items()}
    tensors |= {f"optimizer.{k}": np.atleast_1d(v.cpu().numpy()) for k, v in state.optimizer.moments().items()}
    save_tensors(path, tensors, {"step": str(state.step), "recipe": json.dumps(asdict(recipe))})


def resume(path: Path, recipe: Recipe) -> State:
    """State from a checkpoint.

    Raises:
        FileFormatError: damaged. InputError: made by another recipe.
    """
    tensors, metadata = load_tensors(path)
    if json.loads(metadata.get("recipe", "{}")) != asdict(recipe):
        raise InputError("The checkpoint was made with other numbers", where=path, fix="Use another output directory")
    state = fresh(recipe)
    for prefix, net in (("net.", state.net), ("average.", state.average)):
        net.load_state_dict({k: torch.from_numpy(tensors[prefix + k].copy()) for k in net.state_dict()})
    prefix = "optimizer."
    kept = {k[len(prefix) :]: torch.from_numpy(v.copy()) for k, v in tensors.items() if k.startswith(prefix)}
    # How many steps there were is a number on its own, everything else has its parameter's shape.
    kept = {k: v.squeeze() if k.startswith("step.") else v for k, v in kept.items()}
    state.optimizer.remember({k: v.to(_device()) for k, v in kept.items()})
    state.step = int(metadata["step"])
    return state


def _share_gradients(net: nn.Module) -> None:
    """Average gradients over all processes, in one message."""
    gradients = [p.grad for p in net.parameters() if p.grad is not None]
    flat = torch.cat([g.reshape(-1) for g in gradients])
    torch.distributed.all_reduce(flat)
    flat /= torch.distributed.get_world_size()
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def learning_rate(recipe: Recipe, step: int) -> float:
    """Warm-up, then half a cosine down to zero."""
    return recipe.rate * min(1, (step + 1) / recipe.warm_up) * (0.5 + 0.5 * math.cos(math.pi * step / recipe.steps))


def train_step(state: State, examples: Pool, recipe: Recipe, rank: int = 0, world: int = 1) -> dict[str, float]:
    """One step in place; returns the loss terms."""
    rng = np.random.default_rng([recipe.seed, 1, state.step, rank])
    data = batch(examples, rng, recipe.batch, recipe.frames)
    device = next(state.net.parameters()).device
    inputs, condition, label, vocal, target = (
        torch.from_numpy(a).to(device) for a in (data.inputs, data.condition, data.label, data.vocal, data.target)
    )
    with torch.autocast(device.type, torch.bfloat16, enabled=recipe.half):
        visemes, curves, classes = state.net(inputs, condition)
    terms = losses(visemes, curves, classes, label, target, vocal, Weights())
    total = torch.stack(list(terms.values())).sum()
    state.optimizer.zero_grad()
    total.backward()
    if world > 1:
        _share_gradients(state.net)
    norm = nn.utils.clip_grad_norm_(state.net.parameters(), 1.0)
    if not torch.isfinite(norm):
        raise TrainingError("The loss is no longer a number", where=f"step {state.step}", fix="Lower the learning rate")
    state.optimizer.step(learning_rate(recipe, state.step))
    keep = min(recipe.average, (state.step + 1) / (state.step + 10))
    with torch.no_grad():
        for slow, fast in zip(state.average.parameters(), state.net.parameters(), strict=True):
            slow.lerp_(fast, 1 - keep)
    state.step += 1
    return {name: float(value.detach()) for name, value in terms.items()}


def pool(shards: list[Path], recipe: Recipe, turn: int, rank: int, world: int) -> Pool:
    """Utterances of one round on one process: a seeded choice of shards, each process its own."""
    order = np.random.default_rng([recipe.seed, 2, turn]).permutation(len(shards))
    most = max(int(recipe.round_hours * 12), 1)  # shards last five minutes
    mine = [shards[i] for i in order[rank::world]][:most]
    late = 3 * turn * recipe.round_steps >= 2 * recipe.steps or (turn + 1) * recipe.round_steps >= recipe.steps
    return Pool.of(load(mine, np.random.default_rng([recipe.seed, 3, turn, rank]), recipe.breaths and late))


def train(
    corpus: Path,
    out: Path,
    recipe: Recipe,
    save_every: int = 500,
    report=print,
    begin: Mapping[str, np.ndarray] | None = None,
) -> Net:
    """Train on `corpus` into `out`, going on from `out/checkpoint.safetensors` if there is one.

    Without one the first parameters are `begin`, or random ones.

    Under torchrun every process calls this; process 0 writes. Returns the averaged network.

    Raises:
        InputError: no shards, or fewer than processes. TrainingError: the loss is no longer finite.
    """
    world, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    shards = sorted(corpus.glob("train-*.tar"))
    if len(shards) < world:
        fix = "Make the corpus first: avatars speech corpus"
        raise InputError(f"{len(shards)} training shards for {world} processes", where=corpus, fix=fix)
    began_group = world > 1 and not torch.distributed.is_initialized()
    if began_group:
        torch.distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    checkpoint = out / "checkpoint.safetensors"
    state = resume(checkpoint, recipe) if checkpoint.exists() else fresh(recipe, begin)
    turn, examples = -1, Pool()
    log: list[dict[str, float]] = []
    began = time.process_time()
    while state.step < recipe.steps:
        if state.step // recipe.round_steps != turn:
            turn = state.step // recipe.round_steps
            examples = pool(shards, recipe, turn, rank, world)
        terms = train_step(state, examples, recipe, rank, world)
        if rank == 0 and (state.step % 100 == 0 or state.step == recipe.steps):
            log.append({"step": state.step, "cpu_seconds": time.process_time() - began, **terms})
            report(" ".join(f"{k} {v:.4g}" for k, v in log[-1].items()))
        if rank == 0 and (state.step % save_every == 0 or state.step == recipe.steps):
            save(checkpoint, state, recipe)
            write_json(out / "log.json", log)
    if began_group:
        torch.distributed.destroy_process_group()
    return state.average
