"""The verbs, as tyro reads them, and the files they meet."""

from __future__ import annotations

import ctypes.util
import json
import wave
from pathlib import Path

import numpy as np
import pytest
import tyro

from avatars.data import Motion
from avatars.errors import AvatarError, InputError
from avatars.speech import corpus, vocal
from avatars.speech.cli import SpeechCorpus, SpeechEvaluate, SpeechPersonalize, SpeechTrain
from avatars.speech.speak import speak, voices
from avatars.speech.targets import Manner
from avatars.speech.tracked import save_motion


def write_wave(path: Path, pcm: np.ndarray) -> None:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes((pcm * 32767).astype("<i2").tobytes())


def motion(seconds: float) -> Motion:
    times = np.arange(int(25 * seconds)) / 25
    still = np.zeros((len(times), 3))
    return Motion(times, np.zeros((len(times), 52)), still, still)


def test_arguments_are_read() -> None:
    made = tyro.cli(SpeechCorpus, args=["-o", "out", "--hours", "0.5", "--workers", "2"])
    assert (made.output, made.hours, made.seed, made.workers) == (Path("out"), 0.5, 0, 2)
    trained = tyro.cli(SpeechTrain, args=["corpus", "-o", "run", "--steps", "5"])
    assert (trained.corpus, trained.steps, trained.batch) == (Path("corpus"), 5, 16)
    personal = tyro.cli(SpeechPersonalize, args=["a.wav", "m.safetensors", "-o", "s.safetensors"])
    assert personal.motion == Path("m.safetensors")


def test_a_corpus_folder_is_scored(tmp_path: Path) -> None:
    batch = [vocal.sing(np.random.default_rng(i)) for i in range(3)]
    corpus.write_shard(tmp_path / "test-song.tar", batch, [Manner()] * 3)
    out = tmp_path / "scores.json"
    tyro.cli(SpeechEvaluate, args=[str(tmp_path), "--json", str(out), "-o", str(tmp_path / "page.html")]).run()
    figures = json.loads(out.read_text())["song"]
    assert figures["utterances"] == 3
    assert 0 <= figures["viseme_accuracy"] <= 1
    assert "viseme_accuracy" in (tmp_path / "page.html").read_text()
    with pytest.raises(InputError, match="No test sets"):
        tyro.cli(SpeechEvaluate, args=[str(tmp_path / "..")]).run()


def test_bad_files_give_one_clear_error(tmp_path: Path) -> None:
    sound, track = tmp_path / "a.wav", tmp_path / "m.safetensors"
    write_wave(sound, vocal.sing(np.random.default_rng(0)).pcm[:48000])
    save_motion(track, motion(3))
    with pytest.raises(InputError, match="--motion"):
        tyro.cli(SpeechEvaluate, args=[str(sound)]).run()
    cut = tmp_path / "cut.wav"
    cut.write_bytes(sound.read_bytes()[:20])
    silent = tmp_path / "silent.wav"
    write_wave(silent, np.zeros(48000))
    short = tmp_path / "short.wav"
    write_wave(short, np.full(100, 0.1))
    for path, words in ((cut, None), (tmp_path / "none.wav", None), (silent, "silent"), (short, "overlap")):
        with pytest.raises(AvatarError, match=words):
            tyro.cli(SpeechPersonalize, args=[str(path), str(track), "-o", str(tmp_path / "s.safetensors")]).run()


def test_a_film_without_sound_is_one_clear_error(tmp_path: Path) -> None:
    import av

    film = tmp_path / "mute.mp4"
    with av.open(str(film), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for _ in range(30):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))))
        container.mux(stream.encode())
    track = tmp_path / "m.safetensors"
    save_motion(track, motion(1))
    with pytest.raises(InputError, match="no sound"):
        tyro.cli(SpeechPersonalize, args=[str(film), str(track), "-o", str(tmp_path / "s.safetensors")]).run()
    with pytest.raises(InputError, match="no sound"):
        tyro.cli(SpeechEvaluate, args=[str(film), "--motion", str(track)]).run()


def test_unknown_voices_and_empty_texts_are_refused() -> None:
    with pytest.raises(InputError, match="Unknown voice 'robbie'"):
        speak("hello", "robbie")
    with pytest.raises(InputError, match="no text"):
        speak("  ")
    assert "slt" in voices()


@pytest.mark.skipif(ctypes.util.find_library("espeak-ng") is None, reason="apt-get install espeak-ng")
def test_texts_are_spoken() -> None:
    pcm = speak("Maybe my mother bought a pump.", "en+f2")
    assert pcm.dtype == np.float32
    assert 1 < len(pcm) / 16000 < 5
    with pytest.raises(InputError, match="no voice"):
        speak("hello", "en+nobody")
