"""The policy of captured steps: overflow is seen one step later, and nothing is lost, doubled or out of order."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from avatars.errors import BackendError, InputError
from avatars.raster import cuda, ops
from avatars.raster.cuda_driver import BAD_CAMERA, OVERFLOW
from avatars.raster.cuda_graph import Captured, Inputs, Repeater

from ..raster import scenes
from .fake import Fake


class Device:
    """Steps that need a list as long as their input says; while a flag is up, none of them does anything."""

    def __init__(self, room: int) -> None:
        self.room, self.flag, self.needed = room, 0, 0
        self.done: list[int] = []
        self.captures = self.launches = self.behind = 0
        self.news: list[tuple[int, int]] = []

    def record(self, room: int) -> None:
        self.captures += 1
        self.room = max(self.room, room)

    def launch(self, inputs: Inputs) -> int:
        need, name = int(inputs["need"]), int(inputs["name"])
        if need < 0:
            self.flag |= BAD_CAMERA
        if need > self.room:
            self.flag |= OVERFLOW
            self.needed = max(self.needed, need)
        if not self.flag:
            self.done.append(name)
        self.launches += 1
        self.news.append((self.flag, self.needed))
        return len(self.news) - 1

    def flags(self, launched: int) -> tuple[int, int]:
        self.behind = max(self.behind, len(self.news) - 1 - launched)
        return self.news[launched]

    def clear(self) -> None:
        self.flag = self.needed = 0


def inputs(name: int, need: int) -> dict[str, Tensor]:
    return {"name": torch.tensor(name), "need": torch.tensor(need)}


@pytest.mark.parametrize("seed", range(30))
def test_every_step_counts_once_and_in_order(seed: int):
    rng = np.random.default_rng(seed)
    device = Device(room=1000)
    repeater = Repeater(device)
    needs = rng.choice([10, 900, 3000, 20000, 1_000_000], 40, p=[0.4, 0.4, 0.1, 0.07, 0.03])
    for name, need in enumerate(needs):
        repeater.step(inputs(name, int(need)))
    repeater.settle()
    assert device.done == list(range(40))
    assert device.behind == 1  # looked at while the next one ran
    assert device.launches == 40 + repeater.repeated


def test_without_overflow_nothing_is_captured_or_launched_twice():
    device = Device(room=1000)
    repeater = Repeater(device)
    for name in range(10):
        repeater.step(inputs(name, 500))
    repeater.settle()
    repeater.settle()
    assert (device.captures, device.launches, repeater.repeated) == (1, 10, 0)


def test_a_lone_step_is_right_once_settled():
    device = Device(room=10)
    repeater = Repeater(device)
    repeater.step(inputs(7, 5000))
    assert device.done == []
    repeater.settle()
    assert device.done == [7]


def test_a_bad_camera_is_told_one_step_later_and_the_next_steps_go_on():
    device = Device(room=10)
    repeater = Repeater(device)
    repeater.step(inputs(0, -1))
    with pytest.raises(InputError, match="captured step"):
        repeater.step(inputs(1, 5))
    repeater.step(inputs(2, 5))
    repeater.settle()
    assert device.done == [2]


def test_a_step_on_the_cpu_is_refused():
    with pytest.raises(BackendError, match="CUDA device"):
        Captured(lambda x: x, {"x": torch.zeros(1)})


class Emulated:
    """A recorder without graphs: a launch runs the step, by emulated kernels, as a replay would."""

    def __init__(self, work) -> None:
        self.later, self.work = cuda.Later(torch.zeros(2, dtype=torch.int32)), work

    def record(self, room: int) -> None:
        self.later.room = max(room, self.later.room)

    def launch(self, inputs: Inputs) -> tuple[int, int]:
        with cuda.deferred(self.later):
            self.work(inputs)
        flags, needed = self.later.status.tolist()
        return flags, needed

    def flags(self, launched: tuple[int, int]) -> tuple[int, int]:
        return launched

    def clear(self) -> None:
        self.later.status.zero_()


def train(steps: list[Tensor]) -> tuple[Tensor, int]:
    """Colours after a training on one set of vertices per step, and how many steps were repeated."""
    binding, tensors = scenes.bound(3, 1, 60)
    color, target = tensors[5].clone(), torch.full((1, 3, scenes.HEIGHT, scenes.WIDTH), 0.5)
    moments, lr = [torch.zeros_like(color) for _ in range(2)], torch.full((3,), 0.05)
    adam = cuda.CountingAdam(torch.device("cpu"))

    def work(inputs: Inputs) -> None:
        leaf = color.detach().requires_grad_()
        x = [inputs["vertices"], *tensors[1:5], leaf, *tensors[6:]]
        drawn = ops.render_bound(x[0], binding, *x[1:9], scenes.WIDTH, scenes.HEIGHT)
        (grad,) = torch.autograd.grad(ops.photometric_loss(drawn.color, target, None, 0.2), leaf)
        adam.step([(color, grad, *moments, lr)])

    repeater = Repeater(Emulated(work))
    for vertices in steps:
        repeater.step({"vertices": vertices})
    repeater.settle()
    assert int(adam.counter) == len(steps)
    return color, repeater.repeated


def test_a_training_with_too_little_room_ends_bit_equal(on_cuda: Fake, monkeypatch: pytest.MonkeyPatch):
    """Kernels, flags, Adam and policy together; coming nearer, the splats meet more and more tiles."""
    vertices = scenes.bound(3, 1, 60)[1][0]
    steps = [vertices - torch.tensor([0, 0, 0.1 * i]) for i in range(7)]
    plenty, repeated = train(steps)
    assert repeated == 0
    monkeypatch.setattr(cuda, "_LEAST_ROOM", 16)
    monkeypatch.setattr(cuda, "_ROOM_PER_SPLAT", 0)
    monkeypatch.setattr(cuda, "more_room", lambda needed: needed)
    scarce, repeated = train(steps)
    assert repeated >= 3
    assert torch.equal(scarce, plenty)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_captured_drawing_is_the_eager_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cuda, "_LEAST_ROOM", 16)
    monkeypatch.setattr(cuda, "_ROOM_PER_SPLAT", 0)
    binding, tensors = scenes.bound(1, 2, 200)
    tensors = [t.cuda() for t in tensors]

    def work(x: dict[str, Tensor]) -> Tensor:
        return ops.render_bound(x["vertices"], binding, *tensors[1:9], 50, 41).color

    captured = Captured(work, {"vertices": tensors[0]})
    for shift in (0.0, 0.01, 0.02):
        vertices = tensors[0] + shift
        captured.step(vertices=vertices)
        assert torch.equal(captured.settle(), work({"vertices": vertices}))
    assert captured.repeated > 0
