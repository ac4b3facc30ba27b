"""Corpus shards, training steps, resuming, two processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from avatars.errors import BackendError, InputError
from avatars.speech import corpus, vocal
from avatars.speech.articulation import from_arkit
from avatars.speech.augment import codec, coloured_noise, degrade, hum, muted, room, spectral
from avatars.speech.batches import Pool, batch, load, random_style
from avatars.speech.condition import SIZE, STYLE, STYLE_REST, styled
from avatars.speech.engines import festival, flite
from avatars.speech.losses import IGNORED, Weights, losses
from avatars.speech.network import DILATIONS, Net, arrays
from avatars.speech.optimizer import Optimizer
from avatars.speech.publish import launcher
from avatars.speech.targets import Manner, curves
from avatars.speech.train import Recipe, fresh, resume, save, train, train_step

TINY = Recipe(steps=6, batch=2, frames=60, round_steps=3, warm_up=2)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two shards of sounds that need no engine."""
    folder = tmp_path_factory.mktemp("corpus")
    for number in range(2):
        rng = np.random.default_rng(number)
        batch_ = [maker(rng) for maker in vocal.MAKERS.values() for _ in range(2)]
        corpus.write_shard(folder / f"train-{number:05d}.tar", batch_, [Manner(lead=0.5)] * len(batch_))
    return folder


def same(a: Net, b: Net) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_shards_hold_what_was_written(shards: Path) -> None:
    rng = np.random.default_rng(0)
    wanted = vocal.laugh(rng)
    utterance, manner, motion = corpus.read_shard(shards / "train-00000.tar")[0]
    assert manner == Manner(lead=0.5)
    assert (utterance.voice, utterance.engine) == (wanted.voice, "vocal")
    np.testing.assert_allclose(utterance.pcm, wanted.pcm, atol=1 / 32000)
    assert len(utterance.segments) == len(wanted.segments)
    # float16 halves of a thousandth, and the segments' times rounded to 10 us
    np.testing.assert_allclose(
        from_arkit(motion.astype(np.float32)), curves(wanted.segments, wanted.pcm, manner), atol=5e-3
    )


def test_damaged_shards_are_refused(shards: Path, tmp_path: Path) -> None:
    data = (shards / "train-00000.tar").read_bytes()
    for number, part in enumerate((data[:1000], b"not a tar" * 100, data[: len(data) // 2])):
        path = tmp_path / f"{number}.tar"
        path.write_bytes(part)
        with pytest.raises(InputError, match="shard"):
            corpus.read_shard(path)


def test_a_shard_depends_on_seed_and_number_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "SHARD_SECONDS", 12.0)
    only = {"vocal": 1.0}
    first, again, other = (corpus.utterances(s, 3, only) for s in (0, 0, 1))
    assert [u.pcm.tobytes() for u in first] == [u.pcm.tobytes() for u in again]
    assert [u.pcm.tobytes() for u in first] != [u.pcm.tobytes() for u in other]
    with pytest.raises(InputError, match="Unknown engine"):
        corpus.utterances(0, 0, {"robot": 1.0})


@pytest.mark.skipif(not festival.installed("kal_diphone"), reason="apt-get install espeak-ng flite festival")
def test_making_a_corpus_names_all_missing_voices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(festival, "installed", lambda voice: voice == "kal_diphone")
    with pytest.raises(BackendError, match=r"voice ked_diphone is not installed; .*czech_machac") as caught:
        corpus.make(tmp_path, 0.01)
    others = [package for voice, package in festival.VOICES.items() if voice != "kal_diphone"]
    assert f"apt-get install --no-install-recommends {' '.join(others)}." in str(caught.value)
    monkeypatch.setattr(festival, "installed", lambda voice: voice != "ked_diphone")
    with pytest.raises(BackendError, match=r"ked_diphone is not installed \(festival\)\. Install it: .* festvox-kdl"):
        corpus.make(tmp_path, 0.01)
    with pytest.raises(InputError, match="zero hours"):
        corpus.make(tmp_path, 0)
    assert "kal16" not in corpus.FLITE_TRAIN
    assert "kal_diphone" not in corpus.FESTIVAL_TRAIN
    assert "kal16" in flite.VOICES


def test_every_damage_keeps_length_and_sense() -> None:
    voice = vocal.sing(np.random.default_rng(0)).pcm[:24000]
    for seed in range(6):
        rng = np.random.default_rng(seed)
        for damage in (room, spectral, codec, degrade):
            out = damage(voice, rng)
            assert out.shape == voice.shape
            assert np.isfinite(out).all()
            assert out.std() > 1e-4
        assert abs(np.square(coloured_noise(8000, rng)).mean() - 1) < 1e-3
        assert abs(np.square(hum(8000, rng)).mean() - 1) < 1e-3
        assert np.abs(muted(8000, rng)).max() <= 1


def test_styles_scale_curves() -> None:
    made = np.full((1, 5, 11), 0.4, np.float32)
    style = np.zeros((1, STYLE), np.float32)
    style[0, 0] = 1.0
    style[0, STYLE_REST] = 1.0
    out = styled(made, style, np.zeros((1, 8), np.float32))
    assert out[0, 0, 0] == pytest.approx(0.4 * np.exp(0.5))
    assert out[0, 0, 5] == pytest.approx(0.4 + 0.15)
    assert out[0, 0, 1] == pytest.approx(0.4)
    rng = np.random.default_rng(0)
    assert any(not random_style(rng, np.zeros(4, np.float32)).any() for _ in range(30))


def test_batches_delay_the_answer_by_the_look_ahead(shards: Path) -> None:
    examples = Pool.of(load([shards / "train-00000.tar"], np.random.default_rng(0)))
    data = batch(examples, np.random.default_rng(1), 8, 100)
    assert data.inputs.shape == (8, 100, 86)
    assert data.condition.shape == (8, SIZE)
    assert data.target.shape == (8, 100, 11)
    assert np.isfinite(data.inputs).all()
    assert (data.label[:, :20] == IGNORED).all()
    again = batch(examples, np.random.default_rng(1), 8, 100)
    np.testing.assert_array_equal(data.inputs, again.inputs)


def test_losses_punish_open_bilabials_and_closed_vowels() -> None:
    label = torch.full((1, 10), 1)
    target = torch.zeros(1, 10, 11)
    vocal_class = torch.ones(1, 10, dtype=torch.long)
    logits = (torch.zeros(1, 10, 14), torch.zeros(1, 10, 6))

    def total(gap: float, kind: int, wanted: float, name: str) -> float:
        made = torch.zeros(1, 10, 11)
        made[..., 1] = gap
        aim = target.clone()
        aim[..., 1] = wanted
        return float(
            losses(logits[0], made, logits[1], torch.full_like(label, kind), aim, vocal_class, Weights())[name]
        )

    assert total(0.3, 1, 0.0, "curve") == pytest.approx(16 * total(0.3, 4, 0.0, "curve"), rel=1e-5)
    assert total(0.0, 9, 0.8, "false_closure") > 0
    assert total(0.6, 9, 0.8, "false_closure") == 0
    assert 0 < total(0.0, 4, 0.8, "false_closure") < 0.1 * total(0.0, 9, 0.8, "false_closure")  # t, d, n
    assert total(0.0, 1, 0.8, "false_closure") == 0
    assert total(0.3, 0, 0.0, "stability") > 0
    ignored = losses(logits[0], target, logits[1], torch.full_like(label, 0), target, vocal_class, Weights())
    assert all(torch.isfinite(v) for v in ignored.values())


def test_training_resumes_to_the_bit(shards: Path, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    straight = train(shards, tmp_path / "a", TINY, report=lambda text: None)
    stopped = tmp_path / "b"
    state = fresh(TINY)
    from avatars.speech.train import pool

    for turn in (0, 1):
        examples = pool(sorted(shards.glob("*.tar")), TINY, turn, 0, 1)
        while state.step < min(3 * (turn + 1), 4):
            train_step(state, examples, TINY)
    stopped.mkdir()
    save(stopped / "checkpoint.safetensors", state, TINY)
    assert resume(stopped / "checkpoint.safetensors", TINY).step == 4
    resumed = train(shards, stopped, TINY, report=lambda text: None)
    assert same(straight, resumed)
    with pytest.raises(InputError, match="other numbers"):
        resume(stopped / "checkpoint.safetensors", Recipe(steps=7))
    log = json.loads((tmp_path / "a" / "log.json").read_text())
    assert log[-1]["step"] == 6


def test_training_learns(shards: Path) -> None:
    torch.set_num_threads(1)
    recipe = Recipe(steps=40, batch=4, frames=80, warm_up=5)
    state = fresh(recipe)
    examples = Pool.of(load([shards / "train-00000.tar"], np.random.default_rng(0)))
    terms = [train_step(state, examples, recipe)["curve"] for _ in range(40)]
    assert np.mean(terms[-8:]) < 0.6 * np.mean(terms[:4])


def test_training_begins_with_the_weights_that_it_is_given(shards: Path, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    taught = train(shards, tmp_path / "a", TINY, report=lambda text: None)
    state = fresh(TINY, arrays(taught))
    assert same(state.net, taught)
    assert same(state.average, taught)
    still = Recipe(steps=1, batch=2, frames=60, round_steps=3, rate=0.0)
    assert same(train(shards, tmp_path / "b", still, report=lambda text: None, begin=arrays(taught)), taught)


@pytest.mark.parametrize("half", [False, True])
def test_convolutions_move_by_orthogonal_steps(half: bool) -> None:
    """Muon's step is U V' of the gradient's singular vectors, in size as AdamW's would be; AdamW's first step is the
    gradient's sign."""
    torch.manual_seed(0)
    net = Net()
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    for p in net.parameters():
        p.grad = torch.randn(p.shape)
    grads = {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}
    optimizer = Optimizer(net, 1e-3, 0.0, half)
    optimizer.step(2e-3)  # the rate is each step's own
    for name, p in net.named_parameters():
        moved = (before[name] - p.detach()) / 2e-3
        if name.startswith("convs.") and name.endswith("weight"):
            left, _, right = torch.linalg.svd(grads[name].flatten(1), full_matrices=False)
            moved, wanted = moved.flatten(1) / (0.2 * 384**0.5), left @ right
            assert float(functional.cosine_similarity(moved.flatten(), wanted.flatten(), dim=0)) > 0.97
            stretch = torch.linalg.svdvals(moved)
            assert 0.6 < float(stretch.min()) < float(stretch.max()) < 1.3  # Newton and Schulz stop half way
        else:
            torch.testing.assert_close(moved, grads[name].sign(), atol=2e-3, rtol=0)
    optimizer.zero_grad()
    assert all(p.grad is None for p in net.parameters())


def test_steps_in_whole_and_half_precision_go_the_same_way() -> None:
    """Three steps with decay: torch's Muon, whose products are in bfloat16, is the reference."""
    torch.manual_seed(0)
    nets = [Net(), Net()]
    nets[1].load_state_dict(nets[0].state_dict())
    start = {name: p.detach().clone() for name, p in nets[0].named_parameters()}
    optimizers = [Optimizer(net, 1e-3, 0.1, half) for net, half in zip(nets, (False, True), strict=True)]
    for _ in range(3):
        gradients = {name: torch.randn(p.shape) for name, p in nets[0].named_parameters()}
        for net, optimizer in zip(nets, optimizers, strict=True):
            for name, p in net.named_parameters():
                p.grad = gradients[name].clone()
            optimizer.step(1e-3)
    for (name, whole), half in zip(nets[0].named_parameters(), nets[1].parameters(), strict=True):
        moved, wanted = (whole - start[name]).flatten(), (half - start[name]).flatten()
        assert float((moved - wanted).detach().norm() / wanted.detach().norm()) < 0.02, name  # .0097 measured
    assert {k: v.shape for k, v in optimizers[0].moments().items()} == {
        k: v.shape for k, v in optimizers[1].moments().items()
    }


def convolved(net: Net, x: torch.Tensor) -> torch.Tensor:
    """What the network should say, by convolutions over the last axis; the film is left out."""
    h = net.norm(functional.silu(net.entry(x))).transpose(1, 2)
    for conv, dilation in zip(net.convs, DILATIONS, strict=True):
        h = h + 0.5 * functional.silu(conv(functional.pad(h, (2 * dilation, 0))))
    return net.head(h.transpose(1, 2))


def test_network_is_causal_convolutions() -> None:
    torch.manual_seed(0)
    net, x = Net(), torch.randn(2, 40, 86)
    out = net(x, torch.zeros(2, SIZE))  # the film of a fresh network is zero
    expected = convolved(net, x)
    for part, where in zip(out, expected.split([14, 11, 6], -1), strict=True):
        wanted = 1.5 * torch.sigmoid(where) if part.shape[-1] == 11 else where
        assert float((part - wanted).detach().abs().max()) < 1e-5


def test_half_precision_walks_the_same_way(shards: Path) -> None:
    """Products in bfloat16 keep 8 bits: the first step's gradient points where that of float32 does."""
    torch.set_num_threads(1)
    examples = Pool.of(load([shards / "train-00000.tar"], np.random.default_rng(0)))
    found = []
    for half in (False, True):
        recipe = replace(TINY, half=half)
        state = fresh(recipe)
        terms = train_step(state, examples, recipe)
        found.append((terms, torch.cat([p.grad.flatten() for p in state.net.parameters() if p.grad is not None])))
        assert all(p.dtype == torch.float32 for p in state.net.parameters())
    (exact, straight), (rounded, near) = found
    assert rounded != exact
    for name, value in exact.items():
        assert rounded[name] == pytest.approx(value, rel=0.01, abs=1e-3)
    assert float(functional.cosine_similarity(straight, near, dim=0)) > 0.995


def test_no_shards_no_training(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="0 training shards"):
        train(tmp_path, tmp_path / "out", TINY)


def test_the_published_command_says_how_many_processes_there_were() -> None:
    assert launcher({}) == "avatars"
    assert launcher({"WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1"}) == "avatars"
    assert launcher({"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}) == "torchrun --nproc-per-node 2 -m avatars"
    spread = launcher({"WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"})
    assert spread == "torchrun --nnodes 2 --nproc-per-node 4 -m avatars"


def test_two_processes_agree(shards: Path, tmp_path: Path) -> None:
    """Gradients are averaged: both processes end with the same network, which is not that of one process."""
    script = tmp_path / "job.py"
    script.write_text(
        "import os, sys, torch\nfrom pathlib import Path\n"
        "from avatars.speech.network import arrays\nfrom avatars.speech.train import Recipe, train\n"
        "from avatars.files import save_tensors\ntorch.set_num_threads(1)\n"
        "recipe = Recipe(steps=3, batch=2, frames=60, round_steps=3, warm_up=2)\n"
        "net = train(Path(sys.argv[1]), Path(sys.argv[2]), recipe)\n"
        "save_tensors(Path(sys.argv[2]) / f'rank{os.environ[\"RANK\"]}.safetensors', arrays(net))\n"
        "assert not torch.distributed.is_initialized()\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    root = str(Path(__file__).resolve().parents[2])
    environment = {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [*command, str(shards), str(tmp_path)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    first, second = ((tmp_path / f"rank{i}.safetensors").read_bytes() for i in (0, 1))
    assert first == second
