"""The corpus: speech with known sounds and mouth curves, in tar shards (WebDataset layout).

A shard holds, for each utterance, `KEY.wav` (16-bit mono 16 kHz), `KEY.json` (engine, voice, language, text, segments,
manner) and `KEY.npy` ([T, 52] float16 ARKit curves at 50 Hz). What is in a shard depends on the seed, the
shard's number and whether recordings are in the mix, so shards can be made anywhere in any order, for any number of
hours.
"""

from __future__ import annotations

import ctypes
import io
import json
import random
import tarfile
import wave
from dataclasses import asdict
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from avatars.errors import InputError
from avatars.files import atomic, read_json, write_json

from . import vocal
from .articulation import to_arkit
from .engines import espeak, festival, flite, recorded
from .engines.missing import require_all
from .engines.utterance import RATE, Segment, Utterance
from .targets import Manner, curves
from .text import sentence

SHARD_SECONDS = 300.0
"""Length of a shard, about."""
MIX = {"espeak": 0.40, "flite": 0.34, "festival": 0.20, "vocal": 0.06}
"""Share of the training time by engine."""
MIX_RECORDED = {"recorded": 0.40, "espeak": 0.23, "flite": 0.20, "festival": 0.12, "vocal": 0.05}
"""The same with recorded speech."""
RECORDED = "recorded.json"
"""Times of the sounds in all recordings, beside the shards."""
FLITE_TRAIN = ("slt", "rms", "awb")
FESTIVAL_TRAIN = tuple(voice for voice in festival.VOICES if voice != "kal_diphone")
TESTS = ("festival_kal", "flite_kal16", "flite_seen", "espeak_unseen")
"""Test sets. The speaker 'kal' is in no training shard, whichever engine speaks for him: the held-out voice."""
TEST_COUNT = 50
"""Utterances in a test set."""
_LANGUAGE_SHARES = {"en": 0.5, "de": 0.09, "es": 0.09, "it": 0.06, "fr": 0.07, "pt": 0.06, "zh": 0.08, "ja": 0.05}


def _seed_noise(seed: int) -> None:
    """espeak-ng's whispers use the C library's rand(): seed it, or a shard would depend on those before it."""
    ctypes.CDLL(None).srand(ctypes.c_uint(seed & 0xFFFFFFFF))


def _espeak(rng: random.Random, test: bool) -> Utterance | None:
    language = "en" if test else rng.choices(list(_LANGUAGE_SHARES), list(_LANGUAGE_SHARES.values()))[0]
    voice = rng.choice(espeak.VOICES[language])
    variant = rng.choice(espeak.TEST_VARIANTS if test else espeak.VARIANTS)
    pace = rng.randint(120, 240)
    text = sentence(language, rng, test)
    _seed_noise(rng.getrandbits(32))
    return espeak.synthesize(text, language, voice, variant, pace, rng.randint(15, 85), rng.randint(20, 90))


def _flite(rng: random.Random, voices: tuple[str, ...], test: bool) -> Utterance | None:
    voice = rng.choice(voices)
    stretch = 1.0 if test else rng.uniform(0.75, 1.35)
    pitch = None if test else flite.VOICES[voice] * rng.uniform(0.8, 1.25)
    return flite.synthesize(sentence("en", rng, test), voice, stretch, pitch)


def _festival(rng: random.Random, voice: str, count: int, test: bool) -> list[Utterance | None]:
    language = "en" if festival.LANGUAGE.get(voice) == "en" else "any"
    texts = [sentence(language, rng, test) for _ in range(count)]
    return festival.synthesize(texts, voice, 1.0 if test else rng.uniform(0.8, 1.3))


def utterances(
    seed: int, shard: int, mix: dict[str, float] | None = None, speakers: dict[str, list[recorded.Prompt]] | None = None
) -> list[Utterance]:
    """Training utterances of one shard, about SHARD_SECONDS.

    Args:
        speakers: prompts by speaker, where the mix has a share of recorded speech.

    Raises:
        BackendError: an engine or a voice is not installed; it names the Debian package.
    """
    rng = random.Random(f"avatars-speech-{seed}-{shard}")
    out: list[Utterance] = []
    for engine, share in (mix or MIX).items():
        seconds = share * SHARD_SECONDS
        made = 0.0
        while made < seconds:
            if engine == "espeak":
                batch = [_espeak(rng, False)]
            elif engine == "flite":
                batch = [_flite(rng, FLITE_TRAIN, False)]
            elif engine == "festival":
                batch = _festival(rng, rng.choice(FESTIVAL_TRAIN), 5, False)
            elif engine == "recorded" and speakers:
                batch = [recorded.speak(rng, *rng.choice(sorted(speakers.items())))]
            elif engine == "vocal":
                kind = rng.choice(list(vocal.MAKERS))
                batch = [vocal.MAKERS[kind](np.random.default_rng(rng.getrandbits(64)))]
            else:
                raise InputError(
                    f"Unknown engine '{engine}'", fix="Choose from espeak, flite, festival, recorded, vocal"
                )
            for utterance in batch:
                if utterance is not None:
                    out.append(utterance)
                    made += len(utterance.pcm) / RATE
    rng.shuffle(out)
    return out


def test_utterances(name: str, seed: int, count: int) -> list[Utterance]:
    """A test set of `TESTS`: unseen words, and unseen voices but for 'flite_seen'."""
    rng = random.Random(f"avatars-speech-test-{name}-{seed}")
    if name == "festival_kal":
        batch = _festival(rng, "kal_diphone", count, True)
    elif name == "flite_kal16":
        batch = [_flite(rng, ("kal16",), True) for _ in range(count)]
    elif name == "flite_seen":
        batch = [_flite(rng, FLITE_TRAIN, True) for _ in range(count)]
    elif name == "espeak_unseen":
        batch = [_espeak(rng, True) for _ in range(count)]
    else:
        raise InputError(f"Unknown test set '{name}'", fix=f"Choose from {', '.join(TESTS)}")
    return [u for u in batch if u is not None]


test_utterances.__test__ = False  # type: ignore[attr-defined]  # not a test, whatever its name


def random_manner(rng: np.random.Generator) -> Manner:
    """A speaker's timing: neutral one time in four."""
    return Manner() if rng.random() < 0.25 else Manner(*np.clip(rng.normal(0, 0.8, 4), -1.5, 1.5).round(3).tolist())


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def write_shard(path: Path, batch: list[Utterance], manners: list[Manner]) -> float:
    """Write one shard; returns its seconds."""
    seconds = 0.0
    with atomic(path) as temporary, tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar:
        for i, (utterance, manner) in enumerate(zip(batch, manners, strict=True)):
            stem = f"{path.stem}-{i:05d}"
            sound = io.BytesIO()
            with wave.open(sound, "wb") as file:
                file.setparams((1, 2, RATE, 0, "NONE", ""))
                file.writeframes((np.clip(utterance.pcm, -1, 1) * 32767).round().astype("<i2").tobytes())
            _add(tar, stem + ".wav", sound.getvalue())
            facts = {k: getattr(utterance, k) for k in ("engine", "voice", "language", "text")}
            facts["segments"] = [[round(a, 5), round(b, 5), v, p] for a, b, v, p in utterance.segments]
            facts["manner"] = asdict(manner)
            _add(tar, stem + ".json", json.dumps(facts, ensure_ascii=False).encode())
            motion = io.BytesIO()
            np.save(motion, to_arkit(curves(utterance.segments, utterance.pcm, manner)).astype(np.float16))
            _add(tar, stem + ".npy", motion.getvalue())
            seconds += len(utterance.pcm) / RATE
    return seconds


def read_shard(path: Path) -> list[tuple[Utterance, Manner, np.ndarray]]:
    """(utterance, manner, ARKit curves [T, 52] float16) for each sample of a shard.

    Raises:
        InputError: not a shard of this layout.
    """
    out = []
    try:
        with tarfile.open(path) as tar:
            files = {m.name: tar.extractfile(m).read() for m in tar if m.isfile()}  # type: ignore[union-attr]
        for name in sorted(n for n in files if n.endswith(".json")):
            facts = json.loads(files[name])
            stem = name[: -len(".json")]
            with wave.open(io.BytesIO(files[stem + ".wav"])) as file:
                pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32767
            motion = np.load(io.BytesIO(files[stem + ".npy"]), allow_pickle=False)
            segments = [Segment(a, b, v, p) for a, b, v, p in facts["segments"]]
            known = (facts[k] for k in ("engine", "voice", "language", "text"))
            out.append((Utterance(pcm, segments, *known), Manner(**facts["manner"]), motion))
    except (OSError, tarfile.TarError, KeyError, ValueError, TypeError, EOFError) as error:
        raise InputError(f"Not a speech corpus shard: {error}", where=path) from error
    return out


def _align(name: str) -> list[dict]:
    return [prompt.to_json() for prompt in recorded.align_prompts(name)]


@lru_cache(1)
def _speakers(path: Path) -> dict[str, list[recorded.Prompt]] | None:
    if not path.exists():
        return None
    return {name: [recorded.Prompt.from_json(p) for p in rows] for name, rows in read_json(path).items()}


def _make(job: tuple[str, int, int]) -> float:
    path, seed, shard = Path(job[0]), job[1], job[2]
    if path.exists():
        return sum(len(u.pcm) / RATE for u, _, _ in read_shard(path))
    if shard < 0:
        batch = test_utterances(TESTS[-1 - shard], seed, TEST_COUNT)
        manners = [Manner()] * len(batch)
    else:
        speakers = _speakers(path.with_name(RECORDED))
        batch = utterances(seed, shard, MIX_RECORDED if speakers else MIX, speakers)
        rng = np.random.default_rng([seed, shard])
        manners = [random_manner(rng) for _ in batch]
    return write_shard(path, batch, manners)


def make(out: Path, hours: float, seed: int = 0, workers: int = 1, with_recorded: bool = False) -> dict[str, float]:
    """Write `train-NNNNN.tar` and `test-NAME.tar` into `out`, and `index.json`; finished shards are kept.

    Args:
        with_recorded: whether to take recorded speech into the mix (see `engines.recorded`).

    Returns:
        Seconds by file name.
    """
    if not hours > 0:
        raise InputError("The corpus needs more than zero hours", where="--hours")
    voices = [partial(festival.require, voice) for voice in ("kal_diphone", *FESTIVAL_TRAIN)]
    speakers = [partial(recorded.require, name) for name in recorded.SPEAKERS] if with_recorded else []
    require_all([espeak.require, flite.require, *voices, *speakers])
    if not with_recorded and (out / RECORDED).exists():
        raise InputError("This corpus was begun with recorded speech", where=out, fix="Go on with --recorded")
    jobs = [(str(out / f"test-{name}.tar"), seed, -1 - i) for i, name in enumerate(TESTS)]
    count = int(np.ceil(hours * 3600 / SHARD_SECONDS))
    jobs += [(str(out / f"train-{i:05d}.tar"), seed, i) for i in range(count)]
    out.mkdir(parents=True, exist_ok=True)
    # A fresh process for each shard: espeak-ng carries state from one utterance to the next.
    with get_context("spawn").Pool(workers, maxtasksperchild=1) as pool:
        if with_recorded and not (out / RECORDED).exists():
            names = list(recorded.SPEAKERS)
            write_json(out / RECORDED, dict(zip(names, pool.map(_align, names, chunksize=1), strict=True)))
        seconds = pool.map(_make, jobs, chunksize=1)
    index = {Path(job[0]).name: round(s, 2) for job, s in zip(jobs, seconds, strict=True)}
    write_json(out / "index.json", {"seed": seed, "hours": hours, "recorded": with_recorded, "seconds": index})
    return index
