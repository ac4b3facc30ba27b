"""Whole steps as CUDA graphs: launched without the host, looked at one step later.

A step that asked for longer tile lists than there is room for draws a truncated picture and raises a flag, which also
keeps every `cuda.CountingAdam` from moving anything. The host looks at the flag while the next step already runs;
both are then void, the step is captured again with more room, and both are repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from ..errors import BackendError, InputError
from . import cuda
from .cuda_driver import BAD_CAMERA, OVERFLOW, STATUS_WORDS

Inputs = Mapping[str, Tensor]


class Recorder(Protocol):
    """What `Repeater` needs of a device."""

    def record(self, room: int) -> None:
        """Capture the step with room for so many list entries per view; what it would move stays where it is."""
        ...

    def launch(self, inputs: Inputs) -> Any:
        """Start a step; the answer names it in `flags`."""
        ...

    def flags(self, launched: Any) -> tuple[int, int]:
        """Flags and largest list as they were after that step; waits for it."""
        ...

    def clear(self) -> None:
        """Lower the flags."""
        ...


class Repeater:
    """Launches steps one ahead of the news about them, and repeats those that had too little room, in order."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.repeated = 0
        """Steps that ran twice or more."""
        self._open: tuple[Any, Inputs] | None = None
        recorder.record(0)

    def step(self, inputs: Inputs) -> None:
        """Start a step, then look at the one before it.

        Args:
            inputs: must keep their values until the next call of `step` or `settle` returns.

        Raises:
            InputError: a camera of the step before was not finite.
            BackendError: out of memory for the lists.
        """
        before, self._open = self._open, (self.recorder.launch(inputs), inputs)
        if before is not None:
            self._look([before, self._open])

    def settle(self) -> None:
        """Wait for the last step; repeat it if it had too little room. Its results are then right."""
        if self._open is not None:
            last, self._open = self._open, None
            self._look([last])

    def _look(self, steps: list[tuple[Any, Inputs]]) -> None:
        """The first of `steps` is examined; where it raised a flag, all of them are void."""
        flags, needed = self.recorder.flags(steps[0][0])
        if not flags:
            return
        if flags & BAD_CAMERA:
            self._open = None
            self.recorder.flags(steps[-1][0])
            self.recorder.clear()
            raise InputError("The camera is not finite, or its focal length is not positive", where="a captured step")
        for launched, _ in steps:
            needed = max(needed, self.recorder.flags(launched)[1])
        for _, inputs in steps:
            self.repeated += 1
            while True:
                self.recorder.record(cuda.more_room(needed))
                self.recorder.clear()
                flags, again = self._alone(inputs)
                if not flags & OVERFLOW:
                    break
                needed = max(again, 2 * needed)
        self._open = None

    def _alone(self, inputs: Inputs) -> tuple[int, int]:
        return self.recorder.flags(self.recorder.launch(inputs))


@dataclass
class _Launched:
    words: Tensor
    event: torch.cuda.Event


class Captured:
    """A step that a CUDA device replays from a graph.

    Args:
        work: the step; gets `inputs` (the graph's own tensors) and returns its results. Drawings, losses and gradients
            (`torch.autograd.grad`) may be in it; whatever it changes for good it must change by `cuda.CountingAdam`
            or by operations that change nothing the second time, such as clamps.
        inputs: tensors of the shapes and on the device of every later call.
    """

    def __init__(self, work: Callable[[dict[str, Tensor]], Any], inputs: Inputs) -> None:
        device = next(iter(inputs.values())).device
        if device.type != "cuda":
            raise BackendError(f"A step on {device} cannot be captured", fix="Move its inputs to a CUDA device")
        self._work = work
        self._inputs = {name: value.clone() for name, value in inputs.items()}
        self._later = cuda.Later(torch.zeros(STATUS_WORDS, dtype=torch.int32, device=device))
        self._pinned = [torch.zeros(STATUS_WORDS, dtype=torch.int32).pin_memory() for _ in range(3)]
        self._turn = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self.results: Any = None
        """What `work` returned: the graph's own tensors, overwritten by every step and right after `settle`."""
        self._repeater = Repeater(self)

    def step(self, **inputs: Tensor) -> None:
        """Start a step; see `Repeater.step`. Inputs that are not named keep their values."""
        self._repeater.step(inputs)

    def settle(self) -> Any:
        """Wait for the last step, repeat it if need be, and return the results."""
        self._repeater.settle()
        return self.results

    @property
    def repeated(self) -> int:
        """Steps that ran twice."""
        return self._repeater.repeated

    def record(self, room: int) -> None:
        """See `Recorder.record`."""
        if room and room <= self._later.room:
            return
        self._later.room = max(room, self._later.room)
        self._graph, self.results = None, None  # the old graph's memory is free for the new one
        device = self._later.status.device
        with torch.cuda.device(device):
            side = torch.cuda.Stream(device)
            side.wait_stream(torch.cuda.current_stream(device))
            with torch.cuda.stream(side), cuda.deferred(self._later):
                self._later.status.fill_(OVERFLOW)  # rehearsed with the flag raised: Adam moves nothing
                for _ in range(2):
                    self._work(self._inputs)
            torch.cuda.current_stream(device).wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            with cuda.deferred(self._later), torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self.results = self._work(self._inputs)
            self._graph = graph
        self.clear()

    def launch(self, inputs: Inputs) -> _Launched:
        """See `Recorder.launch`."""
        assert self._graph is not None
        for name, value in inputs.items():
            self._inputs[name].copy_(value, non_blocking=True)
        self._graph.replay()
        self._turn = (self._turn + 1) % len(self._pinned)
        words, event = self._pinned[self._turn], torch.cuda.Event()
        words.copy_(self._later.status, non_blocking=True)
        event.record()
        return _Launched(words, event)

    def flags(self, launched: _Launched) -> tuple[int, int]:
        """See `Recorder.flags`."""
        launched.event.synchronize()
        flags, needed = launched.words.tolist()
        return flags, needed

    def clear(self) -> None:
        """See `Recorder.clear`."""
        self._later.status.zero_()
