"""Whose clip it is: one person is chosen by a stated rule and never exchanged for another.

Faces are joined from look to look by place and size alone, and only while no other face is near; where faces touch,
the thread is cut. The pieces are then put together by appearance. The subject is the person whose face fills most of
the clip (area times time). Two faces of similar size for much of the clip are a question to the user.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..errors import InputError
from .sightings import Face, Look

CHOICES = ("largest", "left", "right")
_STEP = 0.6
"""Face sizes that a face may move between looks."""
_LOST = 0.5
"""s without a face after which a thread ends."""
_TOUCH = 1.0
"""Mean face sizes between two centres below which faces count as touching."""
_SAME = 0.45
"""Likeness from which two pieces are one person (measured: one person >= 0.6 for pieces of a second, two <= 0.2)."""
_STEADY = 0.3
"""Likeness that one face keeps from look to look."""
_STIR, _CHANGE = 0.008, 8.0
"""Face sizes that landmarks move and CIE lightness that changes in any living clip (measured: in one second at least
0.013 and 10; photographs with the noise of a sensor at most 0.005 and 6)."""
_RIVAL_SIZE, _RIVAL_TIME = 0.6, 0.5
"""Another face this large and this often there, relative to the subject's, makes the choice ambiguous."""


@dataclass(eq=False)
class Thread:
    """One face followed without doubt."""

    seen: list[tuple[Look, Face]] = field(default_factory=list)

    @property
    def portrait(self) -> np.ndarray:
        """[48, 48, 3] mean patch."""
        return np.mean([face.patch for _, face in self.seen], 0)


@dataclass(eq=False)
class Person:
    """All threads of one face."""

    threads: list[Thread]

    @property
    def seen(self) -> list[tuple[Look, Face]]:
        """Sightings in order of time."""
        return sorted((s for t in self.threads for s in t.seen), key=lambda s: s[0].time)

    @property
    def size(self) -> float:
        """Typical size of the face, px."""
        return float(np.median([face.size for _, face in self.seen]))

    @property
    def weight(self) -> float:
        """Area times time."""
        return float(sum(face.size**2 for _, face in self.seen))

    @property
    def x(self) -> float:
        """Typical place from left to right, px."""
        return float(np.median([face.center[0] for _, face in self.seen]))

    @property
    def portrait(self) -> np.ndarray:
        """[48, 48, 3] mean patch."""
        return np.mean([face.patch for _, face in self.seen], 0)


def choose_subject(looks: Sequence[Look], wish: str | None = None) -> tuple[Person, list[Person]]:
    """(the subject, everyone else) of a clip.

    Args:
        looks: of the first pass.
        wish: None for the rule of this module, "largest" to apply it although it is a close thing, "left" or "right"
            for the leftmost or rightmost person as the picture shows them.

    Raises:
        InputError: no face at all, two candidates and no wish, or an unknown wish.
    """
    if wish is not None and wish not in CHOICES:
        raise InputError(f"There is no subject {wish!r}", where="--subject", fix=f"Use one of {', '.join(CHOICES)}")
    people = sorted(_people(_threads(looks)), key=lambda p: -p.weight)
    if not people:
        raise InputError(
            f"No face was found in any of the {len(looks)} pictures looked at",
            where="capture",
            fix="Film a face from the front in good light, at least a tenth of the picture high",
        )
    subject = people[0]
    if wish in ("left", "right"):
        real = [p for p in people if p.weight > 0.1 * subject.weight]
        subject = min(real, key=lambda p: p.x) if wish == "left" else max(real, key=lambda p: p.x)
    elif wish is None:
        for other in people[1:]:
            often = len(other.seen) >= _RIVAL_TIME * len(subject.seen)
            if often and other.size >= _RIVAL_SIZE * subject.size:
                raise InputError(
                    f"Two people share the picture: a face {subject.size:.0f} px large around x = {subject.x:.0f} and "
                    f"one {other.size:.0f} px large around x = {other.x:.0f}",
                    where="capture",
                    fix="Say whom you mean with --subject left, right or largest",
                )
    return subject, [p for p in people if p is not subject]


def is_photograph(person: Person) -> bool:
    """Whether a face never moves: neither its landmarks nor, brought to one place, its light and dark."""
    first = person.seen[0][1]
    shifts = [np.linalg.norm((face.points - first.points)[:, :2], axis=1).mean() for _, face in person.seen]
    changes = [np.percentile(np.abs(face.patch - first.patch)[..., 0], 98) for _, face in person.seen]
    return max(shifts) < _STIR * first.size and max(changes) < _CHANGE


def likeness(a: np.ndarray, b: np.ndarray) -> float:
    """How alike two portraits [48, 48, 3] Lab are; 1 = the same picture."""
    x, y = (p[..., 0] - p[..., 0].mean() for p in (a, b))
    pattern = float((x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum() + 1e-9))
    tint = float(np.linalg.norm(a[..., 1:].mean((0, 1)) - b[..., 1:].mean((0, 1))))
    return pattern - tint / 30


def _threads(looks: Sequence[Look]) -> list[Thread]:
    done: list[Thread] = []
    active: list[Thread] = []
    for look in looks:
        ended = [t for t in active if look.time - t.seen[-1][0].time > _LOST]
        done += ended
        active = [t for t in active if t not in ended]
        clear = [f for f in look.faces if not any(_touch(f, g) for g in look.faces if g is not f)]
        # A face that comes near where another was last seen may be either: both threads are cut.
        doubtful = {id(f) for f in clear if sum(_follows(t, f) for t in active) > 1}
        for face in look.faces:
            matches = [t for t in active if _follows(t, face)]
            if face in clear and id(face) not in doubtful and len(matches) == 1:
                matches[0].seen.append((look, face))
                continue
            done += matches
            active = [t for t in active if t not in matches]
            if face in clear:
                active.append(Thread([(look, face)]))
    return [t for t in done + active if t.seen]


def _follows(thread: Thread, face: Face) -> bool:
    last = thread.seen[-1][1]
    near = np.linalg.norm(face.center - last.center) < _STEP * max(face.size, last.size)
    return bool(near and 0.6 < face.size / last.size < 1.67 and likeness(face.patch, last.patch) > _STEADY)


def _touch(a: Face, b: Face) -> bool:
    return bool(np.linalg.norm(a.center - b.center) < _TOUCH * (a.size + b.size) / 2)


def _people(threads: list[Thread]) -> list[Person]:
    """Threads put together by likeness, longest first; threads that overlap in time are different people."""
    people: list[Person] = []
    for thread in sorted(threads, key=lambda t: -len(t.seen)):
        free = [p for p in people if not any(_together(thread, t) for t in p.threads)]
        scored = [(likeness(thread.portrait, p.portrait), p) for p in free]
        best = max(scored, key=lambda s: s[0], default=(-1.0, None))
        if best[1] is not None and best[0] >= _SAME:
            best[1].threads.append(thread)
        else:
            people.append(Person([thread]))
    return people


def _together(a: Thread, b: Thread) -> bool:
    return bool({look.frame for look, _ in a.seen} & {look.frame for look, _ in b.seen})
