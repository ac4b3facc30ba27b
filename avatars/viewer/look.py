"""What a visitor may change about how the avatar is shown."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BACKGROUND = (38, 40, 46)
"""sRGB bytes: dark and a little cold, so that skin and hair stand out."""
PATHS = ("server", "client")
"""Where splats are drawn: by the native rasterizer here, or by the page."""


@dataclass(frozen=True)
class Look:
    """Replaced as a whole when something changes."""

    path: str = "server"
    background: tuple[int, int, int] = BACKGROUND
    show: str = "picture"
    """One of `figure.SHOWN`."""
    wireframe: bool = False
    landmarks: bool = False

    @property
    def layers(self) -> bool:
        """Whether the page draws something of its own over the picture."""
        return self.wireframe or self.landmarks


def backdrop(plate: np.ndarray | None) -> tuple[int, int, int]:
    """The background to begin with: the colour that the person was filmed before, against which edges look right.

    Args:
        plate: [H, W, 3] uint8, None where the camera moved.
    """
    if plate is None:
        return BACKGROUND
    r, g, b = np.median(plate.reshape(-1, 3), axis=0).astype(int).tolist()
    return r, g, b
