"""The verbs `avatars speech corpus | train | teacher | distil | evaluate | personalize`, as dataclasses for tyro."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass
class SpeechCorpus:
    """Make the speech corpus: tar shards of sound, phoneme times and mouth curves."""

    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Directory of the shards; finished ones are kept."""
    hours: float = 4.0
    """Length of the training part."""
    seed: int = 0
    """Another seed, another corpus."""
    workers: int = 1
    """Processes."""
    recorded: bool = False
    """Take recorded speakers into the mix, from Debian's packages asterisk-core-sounds-{en,es,fr,it,ru} and
    asterisk-core-sounds-{en,es,fr,it,ru}-g722."""

    def run(self) -> None:
        """Make it."""
        from .corpus import make

        seconds = make(self.output, self.hours, self.seed, self.workers, self.recorded)
        print(f"{len(seconds)} shards, {sum(seconds.values()) / 3600:.2f} h in {self.output}")


@dataclass
class SpeechTrain:
    """Train the speech network on a corpus. Under torchrun, one process per device or machine."""

    corpus: tyro.conf.Positional[Path]
    """Directory of shards."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Directory of the checkpoint; a run found there goes on."""
    steps: int = 27000
    """Optimiser steps."""
    batch: int = 16
    """Crops of 3 s per step and process."""
    seed: int = 0
    rate: float = 2e-3
    """Largest learning rate; a tenth of it when going on from other weights."""
    begin: Path | None = None
    """Weights (.safetensors) to begin with instead of random ones."""
    breaths: bool = True
    """Teach the mouth to open for breaths between utterances."""
    half: bool = False
    """Multiply in bfloat16: half the time on processors with matrix instructions for it (AMX), and on GPUs."""
    threads: int = 1
    """Threads of each process."""

    def run(self) -> None:
        """Train, then write weights, replay and scores."""
        import os
        import sys

        import torch

        from .publish import launcher, publish
        from .runtime import default_weights
        from .train import Recipe, train

        torch.set_num_threads(self.threads)
        recipe = Recipe(
            steps=self.steps, batch=self.batch, seed=self.seed, rate=self.rate, breaths=self.breaths, half=self.half
        )
        begin = default_weights(self.begin) if self.begin else None
        net = train(self.corpus, self.output, recipe, begin=begin)
        if int(os.environ.get("RANK", "0")) == 0:
            command = " ".join([launcher(os.environ), "speech", "train", *sys.argv[3:]])
            facts = publish(net, self.corpus, self.output, recipe, command, self.begin)
            for name, figures in facts["scores"].items():
                print(name, figures)


@dataclass
class SpeechTeacher:
    """Train a network on the features of a larger audio encoder, as a teacher for the live one.

    Needs transformers (pip install 'avatars[encoders]') and a wav2vec 2.0, HuBERT or WavLM model that you have on
    disk; nothing is downloaded.
    """

    corpus: tyro.conf.Positional[Path]
    """Directory of shards."""
    encoder: Path
    """The encoder's model directory: config.json and safetensors weights."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Weights to write (.safetensors)."""
    steps: int = 4000
    """Utterances to learn from."""
    seed: int = 0

    def run(self) -> None:
        """Train and write."""
        from avatars.files import require_writable, save_tensors

        from .encoders import fit, load_encoder
        from .network import arrays

        require_writable(self.output)
        net, losses = fit(
            load_encoder(self.encoder), sorted(self.corpus.glob("train-*.tar")), self.steps, seed=self.seed
        )
        save_tensors(self.output, arrays(net))
        print(f"{self.output}: loss {_mean(losses[:20]):.3f} -> {_mean(losses[-20:]):.3f}")


@dataclass
class SpeechDistil:
    """Teach the live network what a larger encoder's network hears in speech without labels, such as your own.

    Needs the same as `avatars speech teacher`, and what that wrote.
    """

    sounds: tyro.conf.Positional[tuple[Path, ...]]
    """Sound or video files, 0.2 s or more each."""
    encoder: Path
    """The encoder's model directory."""
    teacher: Path
    """Weights of the teacher, as `avatars speech teacher` wrote them."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Weights to write (.safetensors), for `avatars speech evaluate --weights` and `Stream(weights=...)`."""
    begin: Path | None = None
    """Weights to begin with; the ones that ship by default."""
    steps: int = 500
    """Optimiser steps."""
    seed: int = 0

    def run(self) -> None:
        """Teach and write."""
        from avatars.capture.audio import read_audio
        from avatars.errors import InputError
        from avatars.files import load_tensors, require_writable, save_tensors

        from .encoders import distil, load_encoder, teacher
        from .network import arrays, from_arrays
        from .runtime import WEIGHTS, default_weights

        require_writable(self.output)
        heard = []
        for path in self.sounds:
            pcm = read_audio(path)
            if pcm is None:
                raise InputError("The video has no sound", where=path)
            heard.append(pcm)
        known = teacher(load_encoder(self.encoder), from_arrays(load_tensors(self.teacher)[0]))
        student = from_arrays(dict(default_weights(self.begin or WEIGHTS)))
        losses = distil(student, known, heard, self.steps, seed=self.seed)
        save_tensors(self.output, arrays(student))
        print(f"{self.output}: loss {_mean(losses[:20]):.3f} -> {_mean(losses[-20:]):.3f}")


def _mean(values: list[float]) -> float:
    return sum(values) / max(len(values), 1)


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
    weights: Path | None = None
    """Score these weights (.safetensors) instead of the ones that ship."""

    def run(self) -> None:
        """Print, and write what was asked for."""
        from avatars.capture.audio import read_audio
        from avatars.errors import InputError
        from avatars.files import write_json

        from .evaluate import Evaluation, evaluate_clip
        from .report import write_report
        from .runtime import Runtime, default_weights
        from .score import score_all
        from .style import Style
        from .tracked import load_motion

        weights = default_weights(self.weights) if self.weights else None
        if self.source.is_dir():
            result = Evaluation(dict(score_all(self.source, Runtime(weights))))
        elif self.motion is not None:
            pcm = read_audio(self.source)
            if pcm is None:
                raise InputError("The video has no sound", where=self.source)
            style = Style.load(self.style) if self.style else None
            result = evaluate_clip(pcm, load_motion(self.motion), style, weights)
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
        print(f"Accepted: {', '.join(style.facts['accepted']) or 'nothing; the usual way of speaking stays'}")
