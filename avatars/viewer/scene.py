"""What the page draws itself: layers over the picture, and the splats where that was asked for."""

from __future__ import annotations

import viser

from .figure import Figure
from .look import Look

_WIRE, _POINT = (90, 200, 255), (255, 214, 80)
_POINT_SIZE = 0.16
"""Page units."""


class Scene:
    """Nodes of the page's scene, made when they are first needed.

    Args:
        api: viser's scene, shared by all visitors.
    """

    def __init__(self, api: viser.SceneApi) -> None:
        self._api = api
        self._splats: viser.GaussianSplatHandle | None = None
        self._mesh: viser.MeshHandle | None = None
        self._points: viser.PointCloudHandle | None = None

    def reset(self) -> None:
        """Forget the nodes: another avatar may have another number of everything."""
        for handle in (self._splats, self._mesh, self._points):
            if handle is not None:
                handle.remove()
        self._splats = self._mesh = self._points = None

    def update(self, figure: Figure, look: Look) -> None:
        """Show a pose."""
        self._wireframe(figure, look.wireframe)
        self._landmarks(figure, look.landmarks)
        self._gaussians(figure, look.path == "client" and look.show == "picture")

    def _wireframe(self, figure: Figure, visible: bool) -> None:
        if not visible:
            if self._mesh is not None:
                self._mesh.visible = False
        elif self._mesh is None:
            self._mesh = self._api.add_mesh_simple(
                "/rig", vertices=figure.mesh(), faces=figure.faces, color=_WIRE, wireframe=True, cast_shadow=False,
                receive_shadow=False,
            )  # fmt: skip
        else:
            self._mesh.visible, self._mesh.vertices = True, figure.mesh()

    def _landmarks(self, figure: Figure, visible: bool) -> None:
        if not visible:
            if self._points is not None:
                self._points.visible = False
        elif self._points is None:
            self._points = self._api.add_point_cloud(
                "/landmarks", figure.landmarks(), _POINT, point_size=_POINT_SIZE, point_shape="circle",
                precision="float32", point_shading="flat",
            )  # fmt: skip
        else:
            self._points.visible, self._points.points = True, figure.landmarks()

    def _gaussians(self, figure: Figure, visible: bool) -> None:
        if not visible:
            if self._splats is not None:
                self._splats.visible = False
            return
        s = figure.splats()
        if self._splats is None:
            self._splats = self._api.add_gaussian_splats("/splats", s.centers, s.covariances, s.colors, s.opacities)
        else:
            self._splats.visible = True
            self._splats.set_gaussians(s.centers, s.covariances, s.colors, s.opacities)
