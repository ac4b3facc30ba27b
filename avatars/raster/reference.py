"""The rasterizer's specification in plain torch: differentiable, float64-able, slow.

Gaussians are projected with the perspective map linearised at their means (EWA splatting, Zwicker et al. 2001), get a
low-pass of LOW_PASS px^2 with their opacity scaled by sqrt(det / det_blurred) (Mip-Splatting, Yu et al. 2024), and are
blended front to back (3D Gaussian splatting, Kerbl et al. 2023). The native kernels are tested against this file.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ..geometry import matrix_from_quaternion

LOW_PASS = 0.3
ALPHA_MIN, ALPHA_MAX = 1 / 255, 0.999
TRANSMITTANCE_STOP = 1e-4
NEAR, FAR = 0.01, 1e6
MAX_COLOR = 1e6
FRUSTUM_MARGIN = 0.3
MAX_VARIANCE = 1e12
MIN_RATIO = 1e-12
MIN_QUATERNION = 1e-30


def rotations_from(quats: Tensor) -> Tensor:
    """Rotations [..., 3, 3]; a quaternion without direction gives NaN."""
    largest = quats.abs().amax(-1, keepdim=True)
    return matrix_from_quaternion(
        torch.where(largest > MIN_QUATERNION, quats / largest.clamp_min(MIN_QUATERNION).detach(), torch.nan)
    )


def shapes_from(quats: Tensor, scales: Tensor) -> Tensor:
    """Matrices M [..., 3, 3] with covariance M M^T; a quaternion without direction gives NaN."""
    return rotations_from(quats) * scales[..., None, :]


def normals_from(means: Tensor, rotations: Tensor, scales: Tensor, colors: Tensor, camera_from_world: Tensor) -> Tensor:
    """Unit normals [B, N, 3] of Gaussians in the world: their shortest axes, the first of equals, towards the camera.

    Args:
        means, scales, colors: [B, N, 3]; rotations: [B, N, 3, 3]; camera_from_world: [B, 4, 4].

    A colour that cannot be drawn gives NaN, so that normals are pruned with it.
    """
    shortest = scales.abs().argmin(-1)[..., None, None].expand(*scales.shape, 1)
    axis = rotations.gather(-1, shortest).squeeze(-1)
    turn, shift = camera_from_world[:, None, :3, :3], camera_from_world[:, None, :3, 3]
    point, way = ((turn @ v[..., None]).squeeze(-1) for v in (means, axis))
    away = (way * (point + shift)).sum(-1, keepdim=True) > 0
    usable = (colors.abs() <= MAX_COLOR).all(-1, keepdim=True)
    return torch.where(usable, torch.where(away, -axis, axis), torch.nan)


def project(
    means: Tensor, shapes: Tensor, intrinsics: Tensor, camera_from_world: Tensor, width: int, height: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Screen means [N, 2] px, conics [N, 3] (xx, xy, yy), opacity factors [N] and depths [N] of one view.

    Args:
        means: [N, 3] m; shapes: [N, 3, 3], covariance is shapes @ shapes^T.
        intrinsics: [4] fx, fy, cx, cy px; camera_from_world: [4, 4].
    """
    fx, fy, cx, cy = intrinsics
    rotation, translation = camera_from_world[:3, :3], camera_from_world[:3, 3]
    x, y, z = (means @ rotation.T + translation).unbind(-1)
    u, v = x / z, y / z
    screen = torch.stack([fx * u + cx, fy * v + cy], -1)
    # Outside the picture the Jacobian is held, so that splats far off-screen do not blow up.
    margin_x, margin_y = FRUSTUM_MARGIN * 0.5 * width / fx, FRUSTUM_MARGIN * 0.5 * height / fy
    held_u = torch.minimum(torch.maximum(u, (-cx / fx - margin_x).detach()), ((width - cx) / fx + margin_x).detach())
    held_v = torch.minimum(torch.maximum(v, (-cy / fy - margin_y).detach()), ((height - cy) / fy + margin_y).detach())
    m = rotation @ shapes
    t0 = (fx / z)[:, None] * (m[:, 0] - held_u[:, None] * m[:, 2])
    t1 = (fy / z)[:, None] * (m[:, 1] - held_v[:, None] * m[:, 2])
    var_x, cov, var_y = t0.square().sum(-1) + LOW_PASS, (t0 * t1).sum(-1), t1.square().sum(-1) + LOW_PASS
    det = torch.linalg.cross(t0, t1).square().sum(-1)
    det_blurred = det + LOW_PASS * (var_x + var_y) - LOW_PASS**2
    conic = torch.stack([var_y / det_blurred, -cov / det_blurred, var_x / det_blurred], -1)
    factor = (det / det_blurred).clamp_min(MIN_RATIO).sqrt()
    usable = (var_x <= MAX_VARIANCE) & (var_y <= MAX_VARIANCE)
    return screen, conic, torch.where(usable, factor, torch.nan), z


def blend_view(
    screen: Tensor,
    conic: Tensor,
    opacity: Tensor,
    color: Tensor,
    depth: Tensor,
    background: Tensor | None,
    width: int,
    height: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Blend one view: colour [3, H, W], alpha [1, H, W], expected depth [1, H, W]."""
    finite = torch.isfinite(torch.cat([screen, conic, opacity[:, None], color, depth[:, None]], -1)).all(-1)
    usable = finite & (depth >= NEAR) & (depth <= FAR) & (opacity >= ALPHA_MIN) & (color.abs() <= MAX_COLOR).all(-1)
    keep = torch.nonzero(usable).squeeze(-1)
    order = keep[torch.argsort(depth.detach()[keep], stable=True)]
    y, x = torch.meshgrid(
        torch.arange(height, dtype=screen.dtype) + 0.5, torch.arange(width, dtype=screen.dtype) + 0.5, indexing="ij"
    )
    through = torch.ones(height, width, dtype=screen.dtype)
    total = torch.zeros(3, height, width, dtype=screen.dtype)
    far = torch.zeros(height, width, dtype=screen.dtype)
    for i in order.tolist():
        dx, dy = x - screen[i, 0], y - screen[i, 1]
        power = 0.5 * (conic[i, 0] * dx * dx + conic[i, 2] * dy * dy) + conic[i, 1] * dx * dy
        alpha = (opacity[i] * torch.exp(-power)).clamp_max(ALPHA_MAX)
        alpha = torch.where((alpha >= ALPHA_MIN) & (through >= TRANSMITTANCE_STOP), alpha, torch.zeros_like(alpha))
        weight = alpha * through
        total = total + weight * color[i, :, None, None]
        far = far + weight * depth[i]
        through = through - weight
    opaque = 1 - through
    hit = opaque > 0
    far = torch.where(hit, far / torch.where(hit, opaque, torch.ones_like(opaque)), torch.zeros_like(far))
    if background is not None:
        total = total + through * (background[:, None, None] if background.ndim == 1 else background)
    return total, opaque[None], far[None]


def rasterize_shapes(
    means: Tensor,
    shapes: Tensor,
    opacities: Tensor,
    colors: Tensor,
    intrinsics: Tensor,
    camera_from_world: Tensor,
    width: int,
    height: int,
    background: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Batched `project` and `blend_view` of Gaussians given as means [B, N, 3] and shapes [B, N, 3, 3]."""
    views = []
    for b in range(len(means)):
        screen, conic, factor, depth = project(means[b], shapes[b], intrinsics[b], camera_from_world[b], width, height)
        behind = background[b] if background is not None and background.ndim == 4 else background
        views.append(blend_view(screen, conic, opacities[b] * factor, colors[b], depth, behind, width, height))
    color, alpha, depth = (torch.stack(parts) for parts in zip(*views, strict=True))
    return color, alpha, depth


def rasterize(
    means: Tensor,
    quats: Tensor,
    scales: Tensor,
    opacities: Tensor,
    colors: Tensor,
    intrinsics: Tensor,
    camera_from_world: Tensor,
    width: int,
    height: int,
    background: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Colour [B, 3, H, W], alpha and depth [B, 1, H, W]; arguments as `ops.rasterize`, of any float dtype."""
    shapes = shapes_from(quats, scales)
    return rasterize_shapes(means, shapes, opacities, colors, intrinsics, camera_from_world, width, height, background)


def rasterize_normals(
    means: Tensor,
    quats: Tensor,
    scales: Tensor,
    opacities: Tensor,
    colors: Tensor,
    intrinsics: Tensor,
    camera_from_world: Tensor,
    width: int,
    height: int,
) -> Tensor:
    """`ops.Rendered.normal` [B, 3, H, W]; arguments as `rasterize`."""
    normals = normals_from(means, rotations_from(quats), scales, colors, camera_from_world)
    return rasterize(means, quats, scales, opacities, normals, intrinsics, camera_from_world, width, height)[0]


def ssim_map(image: Tensor, target: Tensor) -> Tensor:
    """SSIM [B, C, H, W] (Wang et al. 2004): 11-tap Gaussian window of sigma 1.5, zero padding, values in [0, 1]."""
    tap = torch.exp(-torch.arange(-5, 6, dtype=image.dtype).square() / (2 * 1.5**2))
    tap = tap / tap.sum()
    channels = image.shape[1]

    def blur(x: Tensor) -> Tensor:
        x = functional.conv2d(x, tap.view(1, 1, 1, 11).expand(channels, 1, 1, 11), padding=(0, 5), groups=channels)
        return functional.conv2d(x, tap.view(1, 1, 11, 1).expand(channels, 1, 11, 1), padding=(5, 0), groups=channels)

    a, b = blur(image), blur(target)
    variance = blur(image * image + target * target) - a * a - b * b
    covariance = blur(image * target) - a * b
    c1, c2 = 0.01**2, 0.03**2
    return (2 * a * b + c1) * (2 * covariance + c2) / ((a * a + b * b + c1) * (variance + c2))


def photometric_loss(image: Tensor, target: Tensor, weight: Tensor | None, ssim_weight: float) -> Tensor:
    """Weighted mean of (1 - l) |image - target| + l (1 - SSIM); arguments as `ops.photometric_loss`."""
    term = (1 - ssim_weight) * (image - target).abs() + ssim_weight * (1 - ssim_map(image, target))
    if weight is None:
        return term.mean()
    total = weight.sum() * image.shape[1]
    return (weight * term).sum() / total if total > 0 else (weight * term).sum() * 0
