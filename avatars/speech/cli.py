"""The verbs `avatars speech corpus | train | evaluate | personalize`, as dataclasses for tyro."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass
class SpeechCorpus:
    """Make the synthetic speech corpus: tar shards of sound, phoneme times and mouth curves."""

    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Directory of the shards; finished ones are kept."""
    hours: float = 4.0
    """Length of the training part."""
    seed: int = 0
    """Another seed, another corpus."""
    workers: int = 1
    """Processes."""

    def run(self) -> None:
        """Make it."""
        from .corpus import make

        seconds = make(self.output, self.hours, self.seed, self.workers)
        print(f"{len(seconds)} shards, {sum(seconds.values()) / 3600:.2f} h in {self.output}")


@dataclass
class SpeechTrain:
    """Train the speech network on a corpus. Under torchrun, one process per device or machine."""

    corpus: tyro.conf.Positional[Path]
    """Directory of shards."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Directory of the checkpoint; a run found there goes on."""
    steps: int = 12000
    """Optimiser steps."""
    batch: int = 16
    """Crops of 3 s per step and process."""
    seed: int = 0
    threads: int = 1
    """Threads of each process."""

    def run(self) -> None:
        """Train, then write weights, replay and scores."""
        import os
        import sys

        import torch

        from .publish import publish
        from .train import Recipe, train

        torch.set_num_threads(self.threads)
        recipe = Recipe(steps=self.steps, batch=self.batch, seed=self.seed)
        net = train(self.corpus, self.output, recipe)
        if int(os.environ.get("RANK", "0")) == 0:
            command = " ".join(["avatars", "speech", "train", *sys.argv[3:]])
            facts = publish(net, self.corpus, self.output, recipe, command)
            for name, figures in facts["scores"].items():
                print(name, figures)


@dataclass
class SpeechEvaluate:
    """Score the speech runtime: on a corpus' test sets, or on a sound with its tracked motion."""

    source: tyro.conf.Positional[Path]
    """Corpus directory, or a sound file."""
    motion: Path | None = None
    """Tracked motion of the sound: safetensors with times, arkit, rotation, translation."""
    style: Path | None = None
    """The subject's style."""
    json: Path | None = None
    """Write the figures here."""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """Write an HTML page here."""

    def run(self) -> None:
        """Print, and write what was asked for."""
        from avatars.capture.audio import read_audio
        from avatars.errors import InputError
        from avatars.files import write_json

        from .evaluate import Evaluation, evaluate_clip
        from .report import write_report
        from .runtime import Runtime
        from .score import score_all
        from .style import Style
        from .tracked import load_motion

        if self.source.is_dir():
            result = Evaluation(dict(score_all(self.source, Runtime())))
        elif self.motion is not None:
            pcm = read_audio(self.source)
            if pcm is None:
                raise InputError("The video has no sound", where=self.source)
            result = evaluate_clip(pcm, load_motion(self.motion), Style.load(self.style) if self.style else None)
        else:
            raise InputError("A sound needs its tracked motion to be scored", fix="Pass --motion FILE")
        for name, value in result.figures.items():
            print(f"{name}: {value}")
        if self.json:
            write_json(self.json, result.figures)
        if self.output:
            write_report(self.output, f"Speech: {self.source.name}", result)


@dataclass
class SpeechPersonalize:
    """Learn a subject's way of speaking from a sound and its tracked motion."""

    source: tyro.conf.Positional[Path]
    """Sound or video file."""
    motion: tyro.conf.Positional[Path]
    """Tracked motion: safetensors with times, arkit, rotation, translation."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Style file (.safetensors, with a .json beside it)."""

    def run(self) -> None:
        """Learn, report, write."""
        from avatars.capture.audio import read_audio
        from avatars.errors import InputError

        from .personal import personalize
        from .tracked import load_motion

        pcm = read_audio(self.source)
        if pcm is None:
            raise InputError("The video has no sound", where=self.source)
        style = personalize(pcm, load_motion(self.motion), report=print)
        style.save(self.output)
        print(f"Accepted: {', '.join(style.facts['accepted']) or 'nothing; the usual style is as good'}")
