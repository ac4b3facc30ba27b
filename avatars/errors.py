"""The one family of errors that a user can meet.

A message says what happened, where, and what to do. The command line prints it without a traceback.
"""

from __future__ import annotations


class AvatarError(Exception):
    """Something the user can act on.

    Args:
        what: what happened, as a sentence without the full stop.
        where: file, field or stage it happened in.
        fix: what to do about it.
    """

    def __init__(self, what: str, *, where: object = "", fix: str = "") -> None:
        self.what, self.where, self.fix = what, str(where), fix
        place = f" ({self.where})" if self.where else ""
        advice = f" {fix.rstrip('.')}." if fix else ""
        super().__init__(f"{what.rstrip('.')}{place}.{advice}")


class InputError(AvatarError):
    """A video, sound, image or argument cannot be used."""


class AssetError(AvatarError):
    """A model file (head, detector) is missing, wrong or hostile."""


class TrackingError(AvatarError):
    """The footage does not determine a head."""


class TrainingError(AvatarError):
    """Training cannot go on."""


class FileFormatError(AvatarError):
    """A file of ours is damaged, newer than this program, or of another kind."""


class BackendError(AvatarError):
    """A native library or a device cannot be used."""
