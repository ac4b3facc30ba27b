"""Which head: by name, from the user's cache."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import AssetError
from ..files import load_tensors, user_cache

if TYPE_CHECKING:
    from ..heads.head import Head

DEFAULT = "default"


def installed() -> dict[str, Path]:
    """Heads in the user's cache, by name; the default head is listed once built."""
    from ..heads.anny import cache_path

    folder = user_cache() / "heads"
    built = cache_path()
    out = {DEFAULT: built} if built.is_file() else {}
    for path in sorted(folder.glob("flame-*.safetensors")):
        out[describe(path)[0]] = path
    return out


def describe(path: Path) -> tuple[str, str]:
    """(name, version) of a head file."""
    import json

    _, words = load_tensors(path, finite=False)
    about = json.loads(words.get("head", "{}"))
    return str(about.get("name", path.stem)), str(about.get("version", ""))


def find_head(name: str, progress: Callable[[float, str], None]) -> Head:
    """The head of that name; the default one is built where it is not yet.

    Raises:
        AssetError: there is none.
    """
    from ..heads.anny import default_head
    from ..heads.head import Head

    if name == DEFAULT:
        return default_head(lambda what, share: progress(share, what))
    known = installed()
    if name not in known:
        raise AssetError(
            f"No head '{name}' is installed",
            fix=f"Known: {', '.join(known) or DEFAULT}. Install a FLAME file with `avatars head install FILE.pkl`",
        )
    return Head.load(known[name])
