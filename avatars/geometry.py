"""Rotations and rigid transforms: pure functions on [..., k] tensors (torch).

Quaternions are `wxyz`; rotation vectors are axis times angle in radians; matrices act on column vectors.
"""

from __future__ import annotations

import torch
from torch import Tensor

_SMALL = 1e-6


def _products() -> Tensor:
    """[9, 16] 4 q q^T of a unit quaternion, less the identity, from the entries of its matrix."""
    out = torch.zeros(3, 3, 4, 4)
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        for a, sign in enumerate((1, 1 if i == 0 else -1, 1 if i == 1 else -1, 1 if i == 2 else -1)):
            out[i, i, a, a] = sign
        out[k, j, 0, i + 1] = out[k, j, i + 1, 0] = 1
        out[j, k, 0, i + 1] = out[j, k, i + 1, 0] = -1
        for row, column in ((j, k), (k, j)):
            out[row, column, j + 1, k + 1] = out[row, column, k + 1, j + 1] = 1
    return out.reshape(9, 16)


_PRODUCTS = _products()
_CROSS = torch.tensor(
    [[0, 0, 0, 0, 0, -1, 0, 1, 0], [0, 0, 1, 0, 0, 0, -1, 0, 0], [0, -1, 0, 1, 0, 0, 0, 0, 0]], dtype=torch.float32
)
"""[3, 9] cross-product matrix of each axis. Both as one product each: on single poses what takes time is the number of
operations.
"""


def normalize(v: Tensor, eps: float = 1e-12) -> Tensor:
    """Unit vectors [..., k]; a zero vector stays zero, with a finite gradient."""
    return v / v.square().sum(-1, keepdim=True).clamp_min(eps * eps).sqrt()


def quaternion_multiply(a: Tensor, b: Tensor) -> Tensor:
    """Hamilton product [..., 4]."""
    aw, ax, ay, az = a.unbind(-1)
    bw, bx, by, bz = b.unbind(-1)
    return torch.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        -1,
    )


def matrix_from_quaternion(wxyz: Tensor) -> Tensor:
    """Rotation matrices [..., 3, 3]; quaternions need not have unit length."""
    w, x, y, z = normalize(wxyz).unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, -1).reshape(*wxyz.shape[:-1], 3, 3)


def quaternion_from_matrix(matrix: Tensor) -> Tensor:
    """Unit quaternions [..., 4] with w >= 0.

    The largest of the four components is found first, which keeps the division well conditioned (Shepperd 1978).
    """
    candidates = (matrix.flatten(-2) @ _PRODUCTS.to(matrix)).unflatten(-1, (4, 4))
    candidates = candidates + torch.eye(4, dtype=matrix.dtype, device=matrix.device)
    squares = candidates.detach().diagonal(dim1=-2, dim2=-1)
    best = squares.argmax(-1)[..., None, None].expand(*squares.shape[:-1], 1, 4)
    q = normalize(candidates.gather(-2, best).squeeze(-2))
    return torch.where(q[..., :1] < 0, -q, q)


def matrix_from_rotvec(rotvec: Tensor) -> Tensor:
    """Rotation matrices [..., 3, 3] (Rodrigues), smooth through zero."""
    square = rotvec.square().sum(-1)
    small = square < _SMALL
    safe = torch.where(small, torch.ones_like(square), square)
    angle = safe.sqrt()
    sinc = torch.where(small, 1 - square / 6, angle.sin() / angle)
    cosc = torch.where(small, 0.5 - square / 24, (1 - angle.cos()) / safe)
    k = skew(rotvec)
    return (
        torch.eye(3, dtype=rotvec.dtype, device=rotvec.device)
        + sinc[..., None, None] * k
        + cosc[..., None, None] * (k @ k)
    )


def rotvec_from_matrix(matrix: Tensor) -> Tensor:
    """Rotation vectors [..., 3] of length at most pi."""
    q = quaternion_from_matrix(matrix)
    w, v = q[..., :1], q[..., 1:]
    length = v.square().sum(-1, keepdim=True).clamp_min(1e-24).sqrt()
    scale = torch.where(length < _SMALL, 2 - 2 * (w - 1) / 3, 2 * torch.atan2(length, w) / length)
    return v * scale


def skew(v: Tensor) -> Tensor:
    """Cross-product matrices [..., 3, 3]: skew(a) @ b = a × b."""
    return (v @ _CROSS.to(v)).unflatten(-1, (3, 3))


def rigid(rotation: Tensor, translation: Tensor) -> Tensor:
    """Homogeneous transforms [..., 4, 4] from [..., 3, 3] and [..., 3]."""
    top = torch.cat([rotation, translation[..., None]], -1)
    bottom = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=top.dtype, device=top.device).expand(*top.shape[:-2], 1, 4)
    return torch.cat([top, bottom], -2)


def invert_rigid(transform: Tensor) -> Tensor:
    """Inverse of rigid transforms [..., 4, 4]."""
    r = transform[..., :3, :3].transpose(-1, -2)
    return rigid(r, -(r @ transform[..., :3, 3:]).squeeze(-1))


def transform_points(transform: Tensor, points: Tensor) -> Tensor:
    """Apply [..., 4, 4] to points [..., n, 3]."""
    return points @ transform[..., :3, :3].transpose(-1, -2) + transform[..., None, :3, 3]
