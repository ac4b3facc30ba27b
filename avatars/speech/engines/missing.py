"""What a machine lacks to speak, all of it in one message."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from avatars.errors import BackendError


class NotInstalled(BackendError):
    """Something that Debian packages bring is not there.

    Args:
        what: what is missing, as a sentence without the full stop.
        where: the engine or the speaker.
        packages: that bring it.
    """

    def __init__(self, what: str, *, where: str, packages: tuple[str, ...]) -> None:
        self.packages = packages
        them = "them" if len(packages) > 1 else "it"
        command = f"apt-get install --no-install-recommends {' '.join(packages)}"
        super().__init__(what, where=where, fix=f"Install {them}: {command}")


def require_all(checks: Iterable[Callable[[], object]]) -> None:
    """Run checks that each raise `NotInstalled` or return; raise one error for all that is missing."""
    lost: list[NotInstalled] = []
    for check in checks:
        try:
            check()
        except NotInstalled as error:
            lost.append(error)
    if len(lost) == 1:
        raise lost[0]
    if lost:
        packages = tuple(dict.fromkeys(name for error in lost for name in error.packages))
        raise NotInstalled("; ".join(dict.fromkeys(error.what for error in lost)), where="", packages=packages)
