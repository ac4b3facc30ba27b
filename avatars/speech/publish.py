"""From a trained network to the files that ship: weights, replay, and how they were made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from avatars.files import read_json, save_tensors, sha256, write_json

from .network import Net, arrays
from .replay import make_replay
from .runtime import Runtime
from .score import score_all
from .train import Recipe


def launcher(environment: Mapping[str, str]) -> str:
    """What started a training, of the variables that torchrun sets: `avatars` by itself, or under torchrun on as many
    machines."""
    world, here = (int(environment.get(name, "1")) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    machines = f" --nnodes {world // here}" if world > here else ""
    return f"torchrun{machines} --nproc-per-node {here} -m avatars" if world > 1 else "avatars"


def publish(
    net: Net, corpus: Path, out: Path, recipe: Recipe, command: str, begin: Path | None = None
) -> dict[str, Any]:
    """Write `default.safetensors`, `replay.safetensors` and `default.json` into `out`; returns the JSON."""
    tensors = arrays(net)
    save_tensors(out / "default.safetensors", tensors)
    make_replay(sorted(corpus.glob("train-*.tar"))[0], out / "replay.safetensors", seed=recipe.seed)
    index = read_json(corpus / "index.json")
    log = read_json(out / "log.json") if (out / "log.json").exists() else []
    facts: dict[str, Any] = {
        "command": command,
        "corpus_command": f"avatars speech corpus -o CORPUS --hours {index['hours']:g} --seed {index['seed']}"
        + (" --recorded" if index.get("recorded") else ""),
        "corpus_seed": index["seed"],
        "corpus_hours": round(sum(s for n, s in index["seconds"].items() if n.startswith("train")) / 3600, 3),
        "recipe": asdict(recipe),
        "training_cpu_seconds": round(log[-1]["cpu_seconds"], 1) if log else None,
        "parameters": int(sum(v.size for v in tensors.values())),
        "sha256": sha256(out / "default.safetensors"),
        "scores": score_all(corpus, Runtime(tensors)),
    }
    if begin is not None:
        known = begin.with_suffix(".json")
        facts["begin"] = {"sha256": sha256(begin)} | (read_json(known) if known.exists() else {})
        facts["begin"].pop("scores", None)
    write_json(out / "default.json", facts)
    return facts
