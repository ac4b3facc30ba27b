"""Training on another device: every tensor of a step is where the kernels want it.

Without a GPU torch's meta tensors stand for CUDA's: they compute nothing, but refuse to mix devices as CUDA's would.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from avatars.data import Clip, Track
from avatars.heads.head import Head
from avatars.raster import checks, cpu, dispatch
from avatars.training.loop import Trainer
from avatars.training.presets import Preset

PRESET = Preset(size=64, splats=200, bases=4, iterations=40, refine_from=2.0, random_background=0.5)
ROWS = np.arange(19)


class Shapes:
    """A backend that makes tensors of the right shapes and devices."""

    def __init__(self) -> None:
        self.devices: set[str] = set()

    def Frame(self) -> SimpleNamespace:
        return SimpleNamespace(pruned=lambda batch: 0)

    def _note(self, *tensors: Tensor | None) -> None:
        self.devices |= {t.device.type for t in tensors if t is not None}

    def bound_forward(self, frame, binding, inputs, cameras, background, kind, width, height):
        self._note(*inputs, *cameras, background)
        return cpu.pictures(inputs[0], len(inputs[0]), width, height)

    def bound_backward(self, frame, binding, inputs, cameras, out, grads, wants, want_cameras):
        self._note(*inputs, *cameras, *out, *grads)
        return cpu.room(inputs, wants) + cpu.room(cameras, [want_cameras] * 2)

    def combine(self, bases, weights):
        self._note(bases, weights)
        return bases.new_empty(len(weights), len(bases), 9)

    def combine_backward(self, bases, weights, g_delta, want_bases):
        self._note(bases, weights, g_delta)
        return torch.empty_like(bases) if want_bases else None, torch.empty_like(weights)

    def loss(self, image, target, weight, ssim_weight, want_grad):
        self._note(image, target, weight)
        return image.new_empty(()), image.new_empty(()), torch.empty_like(image) if want_grad else None

    def adam_(self, param, grad, m, v, lr, *rest):
        self._note(param, grad, m, v, lr)

    def adam_outer_(self, bases, m, v, grad_delta, weights, lr, *rest):
        self._note(bases, m, v, grad_delta, weights, lr)


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Shapes:
    """Meta tensors may be drawn; numbers that would be read from them are made up."""
    shapes = Shapes()
    monkeypatch.setattr(dispatch, "backend_of", lambda device: shapes)
    monkeypatch.setattr(checks, "DEVICES", ("cpu", "cuda", "meta"))
    monkeypatch.setattr(torch.Tensor, "__float__", lambda self: 0.5)
    copy = torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, "cpu", lambda t: torch.zeros(t.shape, dtype=t.dtype) if t.is_meta else copy(t))
    return shapes


def test_every_tensor_of_a_step_is_on_the_device(scene: tuple[Head, Clip, Track], backend: Shapes) -> None:
    head, clip, track = scene
    trainer = Trainer(head.shape(track.identity), clip, track, ROWS, PRESET, "meta")
    slim = trainer.optimizer.slim  # which finds no long hair among numbers that are made up
    slim.splats, slim._depth = torch.arange(5, device="meta"), torch.empty((5, 3), device="meta")
    for iteration in range(PRESET.iterations):  # both levels, with and without bases, and the two calmings
        assert trainer.iteration == iteration
        trainer.step()
    assert trainer.optimizer.basis_steps > 0
    assert backend.devices == {"meta"}
    trainer.optimizer.tensors()  # what a checkpoint holds comes to the host


def test_a_trained_model_comes_back_to_the_host(scene: tuple[Head, Clip, Track]) -> None:
    head, clip, track = scene
    trainer = Trainer(head.shape(track.identity), clip, track, ROWS, PRESET)
    before = trainer.model
    trainer.step()
    trainer.to_cpu()
    assert trainer.model is before
    assert trainer.model.device == trainer.store.device == torch.device("cpu")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_training_on_a_gpu_goes_the_way_of_one_on_the_cpu(scene: tuple[Head, Clip, Track]) -> None:
    head, clip, track = scene
    preset = Preset(size=64, splats=400, bases=4, iterations=60)
    losses = []
    for device in ("cpu", "cuda"):
        trainer = Trainer(head.shape(track.identity), clip, track, ROWS, preset, device)
        losses.append([trainer.step() for _ in range(preset.iterations)])
        trainer.to_cpu()
        trainer.model.splats(trainer.seeded)
    early, late = (np.abs(np.subtract(*losses))[part].max() for part in (slice(10), slice(50, 60)))
    assert early < 1e-4
    assert late < 0.1 * np.mean(losses[0][50:])
