"""Speech in, moving face out, as it is spoken. NumPy only.

    stream = Stream(fps=25)
    motion = stream.feed(pcm, 48000)   # any length, any rate, mono or not; frames that are ready
    motion = stream.flush()            # the last ones

A frame at time t needs sound up to about t + 90 ms: 60 ms of look-ahead, the rest of its own 20 ms and interpolation.
Feeding a sound in pieces of any size gives the same frames as feeding it whole.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from avatars.data import Motion
from avatars.errors import InputError

from .articulation import ARTICULATORS
from .condition import EMOTIONS, STYLE, condition, emotion_vector
from .drone import Drone
from .face import WIDTH, Face
from .features import RATE, FrontEnd
from .habits import Amounts, Habits
from .inhale import Inhale, part
from .resample import Resampler
from .runtime import Runtime
from .sound import channels_first
from .steady import Steady, waits
from .style import Style

HZ = 50
_FRAME = RATE // HZ
_BLOCK = 512
_EASE = 8
"""Frames over which an interrupted mouth comes to rest: 160 ms."""
_NOTHING = np.zeros(0), np.zeros((0, WIDTH), np.float32)
_EMOTION_TIME = 0.3
"""s over which a new emotion is taken on."""


class Stream:
    """One speaker's running face.

    Args:
        fps: of the frames that come out.
        look_ahead_ms: 0, 40, 60, 80 or 160: more is better and later. With 160 lips are also kept from flickering (see
            `steady`), which waits for 40 ms more.
        seed: of blinks, gaze, head and brows.
        style: a subject's way of speaking (see `personal`), None for the usual one.
        habits: a subject's blinks, gaze and head (see `habits.fit`).
        amounts: how much of each movement, 0 for none.
        language: a code of `phonemes.LANGUAGES` if known.
        weights: the network's parameters, None for the committed ones.

    Raises:
        InputError: an argument out of range.
    """

    def __init__(
        self,
        fps: float = 25.0,
        look_ahead_ms: int = 60,
        seed: int = 0,
        style: Style | None = None,
        habits: Habits | None = None,
        amounts: Amounts | None = None,
        language: str | None = None,
        weights: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        if not (np.isfinite(fps) and 1 <= fps <= 1000):
            raise InputError(f"The frame rate must lie between 1 and 1000, not {fps}")
        self.fps, self._ahead, self._language = float(fps), round(look_ahead_ms / 20), language
        if self._ahead * 20 != look_ahead_ms:
            raise InputError(f"The look-ahead cannot be {look_ahead_ms} ms", fix="Choose 0, 40, 60, 80 or 160 ms")
        condition(look_ahead=self._ahead)
        self._weights = weights
        self._goal = np.zeros(len(EMOTIONS), np.float32)
        amounts = amounts or Amounts()
        self._face, self._breathes = Face(habits or Habits(), amounts, seed), min(amounts.nonverbal, 1.0)
        self._inhale, self._drone = Inhale(), Drone()
        self._steady = Steady() if waits(self._ahead) else None
        self._delay = self._ahead + waits(self._ahead)
        self.set_style(style)
        self.reset()

    @property
    def latency_ms(self) -> float:
        """Most sound beyond a frame's time that the frame waits for, ms: look-ahead, its own 20 ms, interpolation."""
        return 20.0 * self._delay + 30.0 + (1000 * self._resampler.delay if self._resampler else 0.0)

    def reset(self) -> None:
        """Forget everything: the next sound starts at time 0, with the same seed. Style and emotion stay."""
        self._resampler: Resampler | None = None
        self._front: FrontEnd | None = None
        self._face.reset()
        self._unhear()
        self._samples = 0  # heard, at 16 kHz
        self._frames = 0  # network frames made, the first `_delay` of them before time 0
        self._out = 0  # frames given
        self._inputs = np.zeros((0, 86), np.float32)  # heard, not yet answered
        self._last = np.zeros((0, WIDTH), np.float32)  # newest face, for interpolation
        self._index = 0  # network frames in _last began here
        self._held = np.zeros(len(ARTICULATORS), np.float32)
        self._easing: np.ndarray | None = None
        self._eased = 0
        self._emotion = self._goal
        self._ended = False

    def set_style(self, style: Style | None) -> None:
        """Speak as this subject from the next frame on; None for the usual way."""
        self._style = style
        runtime = Runtime(style.apply(self._weights) if style else self._weights)
        if hasattr(self, "_runtime"):
            runtime.take_over(self._runtime)  # in mid-speech the network goes on with what it heard
        self._runtime = runtime
        self._condition()

    def set_emotion(self, weights: Mapping[str, float], intensity: float = 1.0) -> None:
        """Take on an emotion within 0.3 s, such as {"happy": 0.6, "surprise": 0.2}.

        Raises:
            InputError: an unknown emotion or a number out of range.
        """
        self._goal = emotion_vector(weights, intensity)
        self._condition()

    def _condition(self) -> None:
        vector = self._style.vector if self._style else np.zeros(STYLE, np.float32)
        self._runtime.set_condition(condition(vector, self._goal, self._language, self._ahead))

    def feed(self, pcm: np.ndarray, sample_rate: int) -> Motion:
        """Frames that this sound completes, perhaps none.

        Args:
            pcm: [n], [n, channels] or [channels, n] of floats in [-1, 1] or of integers of any width.
            sample_rate: Hz, the same in every call.

        Raises:
            InputError: not sound, not finite, another rate or number of channels than before, or after `flush`.
        """
        if self._ended:
            raise InputError("The stream was flushed", fix="Call reset() before the next sound")
        sound = channels_first(pcm)
        if self._resampler is None or self._front is None:
            self._resampler, self._front = Resampler(int(sample_rate), len(sound)), FrontEnd(len(sound))
        elif self._resampler.rate != sample_rate or self._front.channels != len(sound):
            fix = "Call reset() before another kind of sound"
            raise InputError(f"The stream began with {self._resampler.rate} Hz x {self._front.channels}", fix=fix)
        return self._advance(self._resampler(sound), False)

    def flush(self) -> Motion:
        """The frames up to the end of the sound; then the stream waits for `reset`."""
        self._ended = True
        if self._resampler is None or self._front is None:
            return _motion(np.zeros(0), np.zeros((0, WIDTH), np.float32))
        rest = self._resampler(np.zeros((self._front.channels, 0), np.float32), last=True)
        return self._advance(rest, True)

    def interrupt(self) -> None:
        """The speaker was cut off: forget what was said, bring the mouth to rest within 160 ms; the clock goes on."""
        self._unhear()
        if self._front is not None:
            self._front.analysis.hush()
        self._easing, self._eased = self._held.copy(), 0

    def _unhear(self) -> None:
        """What answers from the past of the sound forgets it."""
        for part_of_it in (self._runtime, self._inhale, self._drone, self._steady):
            if part_of_it is not None:
                part_of_it.reset()

    def _advance(self, sound: np.ndarray, last: bool) -> Motion:
        """Take 16 kHz sound [channels, n] and give what is ready."""
        assert self._front is not None
        self._samples += sound.shape[1]
        if last:
            whole = -(-self._samples // _FRAME)
            silence = (whole + self._delay) * _FRAME - self._samples
            sound = np.concatenate([sound, np.zeros((len(sound), silence), np.float32)], 1)
        if not last and sound.shape[1] < _BLOCK * _FRAME:  # the usual case of a live stream
            inputs = self._front(sound)
            if len(inputs):
                self._extend(inputs)
            return _motion(*self._interpolate(False))
        times, rows = [], []
        step = _BLOCK * _FRAME
        for start in range(0, max(sound.shape[1], 1), step):
            inputs = self._front(sound[:, start : start + step])
            if len(inputs):
                self._extend(inputs)
            ending = last and start + step >= sound.shape[1]
            ready = self._interpolate(ending)
            times.append(ready[0])
            rows.append(ready[1])
        return _motion(np.concatenate(times), np.concatenate(rows))

    def _extend(self, inputs: np.ndarray) -> None:
        """Network and face for the next inputs [n, 86]; the first answers lie before time 0 and are dropped."""
        visemes, curves, classes = self._runtime(inputs)
        shut = self._drone(inputs)
        if np.count_nonzero(shut):
            curves = curves * (1 - shut)[:, None]
        breath = self._inhale(inputs, classes)
        if self._breathes and np.count_nonzero(breath):
            curves = part(curves, self._breathes * breath)
        if self._steady is not None:
            curves, classes = self._steady(visemes, curves, classes)
        self._inputs = np.concatenate([self._inputs, inputs])
        skip = min(max(self._delay - self._frames, 0), len(inputs))
        self._frames += len(inputs)
        curves, classes = curves[skip:], classes[skip:]
        count = len(curves)
        if count == 0:
            return
        heard, self._inputs = self._inputs[:count], self._inputs[count:]
        if self._style is not None:
            curves = self._style.shape(curves)
        if self._easing is not None:
            share = np.clip(1 - (self._eased + 1 + np.arange(count)) / _EASE, 0, 1).astype(np.float32)[:, None]
            curves = (1 - share) * curves + share * self._easing
            self._eased += count
            self._easing = self._easing if self._eased < _EASE else None
        self._held = curves[-1]
        emotion = self._felt(count)
        self._last = np.concatenate([self._last, self._face(curves, classes, heard, emotion)])

    def _felt(self, count: int) -> np.ndarray:
        """[count, 8] emotion of the next frames, on its way to the one that was asked for."""
        if self._emotion is self._goal:
            return self._goal[None] if count == 1 else np.repeat(self._goal[None], count, 0)
        away = self._emotion - self._goal
        fade = (1 - 1 / HZ / _EMOTION_TIME) ** np.arange(1, count + 1)
        emotion = self._goal + away * fade[:, None].astype(np.float32)
        self._emotion = emotion[-1] if np.abs(emotion[-1] - self._goal).max() > 1e-7 else self._goal
        return emotion

    def _interpolate(self, last: bool) -> tuple[np.ndarray, np.ndarray]:
        """(times [n], rows [n, 58]) of output frames that lie between known network frames."""
        known = self._index + len(self._last)
        if known == 0:
            return _NOTHING
        end = self._samples / RATE if last else (known - 0.5) / HZ
        first = self._out
        stop = int(np.ceil(end * self.fps - 1e-9)) if last else int(np.floor(end * self.fps + 1e-9)) + 1
        if stop <= first:
            return _NOTHING
        times = np.arange(first, stop) / self.fps
        position = np.minimum(np.maximum(times * HZ - (0.5 + self._index), 0), len(self._last) - 1)
        low = np.minimum(position.astype(int), max(len(self._last) - 2, 0))
        high = np.minimum(low + 1, len(self._last) - 1)
        share = (position - low).astype(np.float32)[:, None]
        rows = (1 - share) * self._last[low] + share * self._last[high]
        self._out = stop
        keep = max(min(int(np.floor(stop / self.fps * HZ - 0.5)) - self._index, len(self._last) - 1), 0)
        self._last, self._index = self._last[keep:], self._index + keep
        return times, rows


def _motion(times: np.ndarray, rows: np.ndarray) -> Motion:
    arkit, pose = rows[:, : WIDTH - 6], rows[:, WIDTH - 6 :]
    return Motion(times.astype(float), arkit, pose[:, :3], pose[:, 3:])
