"""Who drives, and the controls that belong to that source."""

from __future__ import annotations

import asyncio
import html
import time
from collections.abc import Callable

import numpy as np
import viser

from ...errors import AvatarError
from ...speech.condition import EMOTIONS
from ...speech.habits import Amounts
from .. import sound_page
from ..clock import SPEEDS
from ..server import Later
from ..sources.base import Learning
from ..sources.speech import Delivery
from ..stage import Stage
from .calls import on_loop

_HANDS_OFF = 0.6
"""s after a visitor's touch of the timeline in which it is not moved from here."""
_FRAME = (
    f'<iframe src="{sound_page.PATH}" allow="microphone; autoplay" style="border:0;width:100%;height:150px"></iframe>'
)


class Drive:
    """Source, timeline and voice.

    Args:
        gui: viser's.
        stage: what is driven.
        hear: called when the source changes.
        later: runs what goes to a page.
    """

    def __init__(self, gui: viser.GuiApi, stage: Stage, hear: Callable[[], None], later: Later) -> None:
        self._stage, self._hear, self._later, self._touched = stage, hear, later, 0.0
        self.source = gui.add_dropdown("Driven by", stage.names, initial_value=stage.name)
        self._news = gui.add_html("", visible=False)
        with gui.add_folder(None, visible=False) as self._camera:
            self._seen = gui.add_image(np.zeros((2, 2, 3), np.uint8), jpeg_quality=80, visible=False)
            self.learn = gui.add_button(
                "Take this as the resting face", icon=viser.Icon.FOCUS_CENTERED, color="gray",
                hint="When the face is calm and the lips are closed: what follows is measured against it",
            )  # fmt: skip
        with gui.add_folder(None) as self._timeline:
            self.time = gui.add_slider("Time (s)", 0.0, 1.0, 0.01, 0.0)
            self.play = gui.add_button("Pause", icon=viser.Icon.PLAYER_PAUSE)
            self.speed = gui.add_dropdown("Speed", tuple(SPEEDS), initial_value="1×")
            self.loop = gui.add_checkbox("Loop", True)
        self._sound = gui.add_html(_FRAME, visible=False)
        with gui.add_folder("Delivery", expand_by_default=False, visible=False) as self._manner:
            self.style = gui.add_dropdown(
                "Style",
                tuple(stage.sources.voices),
                hint="Whose lips, blinks and head movements the voice brings along",
            )
            self.emotion = gui.add_dropdown("Emotion", EMOTIONS, initial_value="neutral")
            self.intensity = gui.add_slider("Intensity", 0.0, 1.5, 0.05, 0.8)
            self._amounts = {
                name: gui.add_slider(
                    name.capitalize(), 0.0, 2.0, 0.1, 1.0, hint=f"How much of {name}; a microphone takes it on anew"
                )
                for name in ("blinks", "gaze", "head", "brows")
            }
        self._connect()
        stage.tell = self.news
        self.refresh()

    def _connect(self) -> None:
        self.source.on_update(self._choose)
        self.play.on_click(on_loop(lambda _: self._toggle()))
        self.time.on_update(on_loop(self._scrub))
        self.speed.on_update(on_loop(self._set_speed))
        self.loop.on_update(on_loop(self._set_loop))
        for handle in (self.style, self.emotion, self.intensity, *self._amounts.values()):
            handle.on_update(on_loop(lambda _: self._deliver()))
        self.learn.on_click(on_loop(lambda _: self._learn()))
        self._stage.show = self.preview

    def preview(self, picture: np.ndarray) -> None:
        """Show what a camera sees [h, w, 3]; from any thread."""
        self._later(self._show_seen, picture)

    def _show_seen(self, picture: np.ndarray) -> None:
        self._seen.image = picture
        self._seen.visible = True

    def _learn(self) -> None:
        source = self._stage.puppet.source
        if isinstance(source, Learning):
            source.learn()

    def news(self, text: str) -> None:
        """Show a line of the source's; from any thread."""
        self._later(self._show_news, text)

    def _show_news(self, text: str) -> None:
        style = "padding:2px 1em 6px;font-size:0.85em;opacity:0.75"
        self._news.content = f'<div style="{style}">{html.escape(text)}</div>'
        self._news.visible = bool(text)

    async def _choose(self, event: viser.GuiEvent) -> None:
        name = self.source.value
        if name == self._stage.name:
            return
        try:
            await asyncio.to_thread(self._stage.choose, name)
        except AvatarError as error:
            self.source.value = self._stage.name
            if event.client is not None:
                event.client.add_notification("This source cannot be used", str(error), color="red")
        self.refresh()

    def refresh(self) -> None:
        """Show the controls of the present source."""
        recording, speech = self._stage.recording, self._stage.speech
        self._timeline.visible = recording is not None
        self._sound.visible = self._manner.visible = speech is not None
        self._camera.visible = isinstance(self._stage.puppet.source, Learning)
        self._seen.visible = False  # until the camera has seen something
        self._hear()
        if recording is not None:
            self.time.max = max(round(recording.clock.duration, 2), 0.01)
            self.speed.value, self.loop.value = "1×", True
            self._show_playing(recording.clock.playing)

    def _with_clock(self, change: Callable) -> None:
        recording = self._stage.recording
        if recording is not None:
            change(recording.clock, time.monotonic())
            self._stage.renderer.wake()

    def _toggle(self) -> None:
        def change(clock, now: float) -> None:
            clock.pause(now) if clock.playing else clock.play(now)
            self._show_playing(clock.playing)

        self._with_clock(change)

    def _show_playing(self, playing: bool) -> None:
        self.play.label = "Pause" if playing else "Play"
        self.play.icon = viser.Icon.PLAYER_PAUSE if playing else viser.Icon.PLAYER_PLAY

    def _scrub(self, event: viser.GuiEvent) -> None:
        if event.client is not None:  # a visitor's hand, not our own update
            self._touched = time.monotonic()
            self._with_clock(lambda clock, now: clock.seek(float(self.time.value), now))

    def _set_loop(self, _: viser.GuiEvent) -> None:
        self._with_clock(lambda clock, now: clock.set_loop(bool(self.loop.value), now))

    def _set_speed(self, _: viser.GuiEvent) -> None:
        speed = SPEEDS.get(self.speed.value)
        if speed is not None:
            self._with_clock(lambda clock, now: clock.set_speed(speed, now))

    def _deliver(self) -> None:
        feeling, voices = self.emotion.value, self._stage.sources.voices
        weights = {feeling: 1.0} if feeling in EMOTIONS and feeling != "neutral" else {}
        amounts = {name: min(max(float(h.value), 0.0), 2.0) for name, h in self._amounts.items()}
        delivery = Delivery(
            voices.get(self.style.value, self._stage.delivery.voice), weights,
            min(max(float(self.intensity.value), 0.0), 1.5), Amounts(**amounts),
        )  # fmt: skip
        self._stage.deliver(delivery)

    def tick(self, now: float) -> None:
        """Move the timeline along; a few times a second."""
        recording = self._stage.recording
        if recording is None:
            return
        if now - self._touched > _HANDS_OFF:
            stands = round(recording.clock.time(now), 2)
            if self.time.value != stands:
                self.time.value = stands
            elif self._touched:
                # An update of ours may have crossed the visitor's touch on the way: say again where it stands.
                self.time.value = stands + 1e-6
                self.time.value = stands
            self._touched = 0.0
        if (self.play.label == "Pause") != recording.clock.playing:
            self._show_playing(recording.clock.playing)
