"""What the page draws itself: layers over the picture, and the splats where that was asked for."""

from __future__ import annotations

import numpy as np
import viser

from .figure import Figure, Splatted
from .look import Look
from .server import Later

_WIRE, _POINT = (90, 200, 255), (255, 214, 80)
_POINT_SIZE = 0.1
"""Page units."""


class Scene:
    """Nodes of the page's scene, made when they are first needed.

    Args:
        api: viser's scene, shared by all visitors.
        later: runs what changes it.
    """

    def __init__(self, api: viser.SceneApi, later: Later) -> None:
        self._api, self._later = api, later
        self.behind = False
        """Whether the last update is still to be made."""
        self._splats: viser.GaussianSplatHandle | None = None
        self._mesh: viser.MeshHandle | None = None
        self._points: viser.PointCloudHandle | None = None

    def reset(self) -> None:
        """Forget the nodes: another avatar may have another number of everything; from any thread."""
        self._later(self._reset)

    def _reset(self) -> None:
        for handle in (self._splats, self._mesh, self._points):
            if handle is not None:
                handle.remove()
        self._splats = self._mesh = self._points = None

    def update(self, figure: Figure, look: Look) -> None:
        """Show a pose; from the renderer's thread, where everything is computed."""
        self.behind = True
        drawn = look.path == "client" and look.show == "picture"
        self._later(
            self._update, figure.mesh() if look.wireframe else None, figure.faces,
            figure.landmarks() if look.landmarks else None, figure.splats() if drawn else None,
        )  # fmt: skip

    def _update(
        self, mesh: np.ndarray | None, faces: np.ndarray, landmarks: np.ndarray | None, splats: Splatted | None
    ) -> None:
        self.behind = False
        self._wireframe(mesh, faces)
        self._landmarks(landmarks)
        self._gaussians(splats)

    def _wireframe(self, mesh: np.ndarray | None, faces: np.ndarray) -> None:
        if mesh is None:
            if self._mesh is not None:
                self._mesh.visible = False
        elif self._mesh is None:
            self._mesh = self._api.add_mesh_simple(
                "/rig", vertices=mesh, faces=faces, color=_WIRE, wireframe=True, cast_shadow=False,
                receive_shadow=False,
            )  # fmt: skip
        else:
            self._mesh.visible, self._mesh.vertices = True, mesh

    def _landmarks(self, points: np.ndarray | None) -> None:
        if points is None:
            if self._points is not None:
                self._points.visible = False
        elif self._points is None:
            self._points = self._api.add_point_cloud(
                "/landmarks", points, _POINT, point_size=_POINT_SIZE, point_shape="circle",
                precision="float32", point_shading="flat",
            )  # fmt: skip
        else:
            self._points.visible, self._points.points = True, points

    def _gaussians(self, s: Splatted | None) -> None:
        if s is None:
            if self._splats is not None:
                self._splats.visible = False
            return
        if self._splats is None:
            self._splats = self._api.add_gaussian_splats("/splats", s.centers, s.covariances, s.colors, s.opacities)
        else:
            self._splats.visible = True
            self._splats.set_gaussians(s.centers, s.covariances, s.colors, s.opacities)
