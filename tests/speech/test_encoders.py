"""Larger encoders: a tiny one with random weights stands for them."""

from __future__ import annotations

import sys
import wave
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from avatars.cli import parse
from avatars.errors import BackendError, FileFormatError, InputError
from avatars.speech import corpus, encoders
from avatars.speech.encoders import HOP, Encoder, distil, fit, load_encoder, teacher
from avatars.speech.network import Net
from avatars.speech.runtime import default_weights
from avatars.speech.targets import Manner
from avatars.speech.vocal import sing

SOUND = sing(np.random.default_rng(0)).pcm[:24000]


class Tiny(torch.nn.Module):
    """What is asked of a model of transformers: strided convolutions, `config`, `last_hidden_state`."""

    def __init__(self, kind: str = "wav2vec2", strides: tuple[int, ...] = (5, 8, 8)) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.config = SimpleNamespace(model_type=kind, conv_stride=strides, hidden_size=12)
        self.conv = torch.nn.Conv1d(1, 12, 400, int(np.prod(strides)))

    def forward(self, sound: torch.Tensor) -> Any:
        return SimpleNamespace(last_hidden_state=torch.tanh(self.conv(sound[:, None])).transpose(1, 2))


def test_features_stand_on_the_networks_clock() -> None:
    encoder = Encoder(Tiny())
    for samples in (0, 100, HOP, 5 * HOP + 1, 16000):
        assert encoder(SOUND[:samples]).shape == (samples // HOP, 12)
    # Loudness and offset of the recording do not matter.
    torch.testing.assert_close(encoder(0.1 * SOUND + 0.2), encoder(SOUND), atol=2e-3, rtol=0)


def test_other_models_are_refused() -> None:
    with pytest.raises(InputError, match="whisper"):
        Encoder(Tiny("whisper"))
    with pytest.raises(InputError, match="160 samples"):
        Encoder(Tiny(strides=(5, 8, 4)))
    with pytest.raises(InputError, match="86 features"):
        teacher(Encoder(Tiny()), Net())


def test_a_teacher_teaches_the_default_network() -> None:
    torch.manual_seed(1)
    encoder = Encoder(Tiny())
    known = teacher(encoder, Net(inputs=encoder.width))
    visemes, curves = known(SOUND)
    assert visemes.shape == (len(SOUND) // HOP, 14)
    assert curves.shape == (len(SOUND) // HOP, 11)
    losses = distil(Net(), known, [SOUND, SOUND[8000:]], steps=30, rate=2e-3)
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])
    with pytest.raises(InputError, match="nothing to learn"):
        distil(Net(), known, [], steps=1)


def test_a_network_is_trained_on_an_encoders_features(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    corpus.write_shard(tmp_path / "train-00000.tar", [sing(rng) for _ in range(3)], [Manner()] * 3)
    encoder = Encoder(Tiny())
    net, losses = fit(encoder, [tmp_path / "train-00000.tar"], steps=60, rate=3e-3)
    assert net.entry.in_features == encoder.width
    assert np.mean(losses[-8:]) < 0.8 * np.mean(losses[:8])
    assert teacher(encoder, net)(SOUND)[1].shape == (len(SOUND) // HOP, 11)
    with pytest.raises(InputError, match="speech corpus"):
        fit(encoder, [], steps=1)


def test_the_verbs_make_a_teacher_and_a_student(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoders, "load_encoder", lambda path: Encoder(Tiny()))
    rng = np.random.default_rng(0)
    corpus.write_shard(tmp_path / "train-00000.tar", [sing(rng) for _ in range(2)], [Manner()] * 2)
    with wave.open(str(tmp_path / "own.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes((SOUND * 32767).astype("<i2").tobytes())
    known, out = str(tmp_path / "teacher.safetensors"), str(tmp_path / "student.safetensors")
    parse(["speech", "teacher", str(tmp_path), "--encoder", "x", "-o", known, "--steps", "3"]).run()
    parse(["speech", "distil", str(tmp_path / "own.wav"), "--encoder", "x", "--teacher", known, "-o", out,
           "--steps", "2"]).run()  # fmt: skip
    student, usual = default_weights(Path(out)), default_weights()
    assert {k: v.shape for k, v in student.items()} == {k: v.shape for k, v in usual.items()}
    assert any(not np.array_equal(student[k], usual[k]) for k in usual)


def test_a_missing_package_and_a_missing_model_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(BackendError, match=r"transformers.*avatars\[encoders\]"):
        load_encoder(tmp_path)
    monkeypatch.setitem(sys.modules, "transformers", SimpleNamespace(AutoModel=None))
    with pytest.raises(FileFormatError, match="model directory"):
        load_encoder(tmp_path)


def test_a_real_architecture_is_loaded_from_disk(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="pip install transformers")
    settings = transformers.Wav2Vec2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, conv_dim=(8,) * 7,
        num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.Wav2Vec2Model(settings).save_pretrained(tmp_path)
    encoder = load_encoder(tmp_path)
    assert encoder.width == 16
    assert encoder(SOUND).shape == (len(SOUND) // HOP, 16)
    (tmp_path / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(FileFormatError):
        load_encoder(tmp_path)
