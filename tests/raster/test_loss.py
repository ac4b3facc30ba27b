"""Photometric loss against torch, SSIM against kornia."""

from __future__ import annotations

import kornia
import pytest
import torch
from torch.nn import functional

from avatars.errors import InputError
from avatars.raster import ops, reference


def pictures(seed: int, batch: int, height: int, width: int):
    g = torch.Generator().manual_seed(seed)
    smooth = functional.interpolate(torch.rand(batch, 3, 5, 5, generator=g), (height, width), mode="bicubic")
    image = (smooth + 0.1 * torch.randn(batch, 3, height, width, generator=g)).clamp(0, 1)
    return image, smooth.clamp(0, 1), torch.rand(batch, 1, height, width, generator=g)


@pytest.mark.parametrize("size", [(64, 64), (1, 1), (3, 200), (131, 37)])
@pytest.mark.parametrize("ssim_weight", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_loss_and_gradient_match_the_reference(size: tuple[int, int], ssim_weight: float, weighted: bool, variant: str):
    image, target, weight = pictures(1, 2, *size)
    mask = weight if weighted else None
    x, y = image.clone().requires_grad_(), image.double().requires_grad_()
    ours = ops.photometric_loss(x, target, mask, ssim_weight)
    theirs = reference.photometric_loss(y, target.double(), None if mask is None else mask.double(), ssim_weight)
    # float32 variances of smooth regions cost SSIM's gradient digits: measured 2e-5
    assert abs(ours.item() - theirs.item()) < 1e-5
    (a,), (b,) = torch.autograd.grad(ours * 3, x), torch.autograd.grad(theirs * 3, y)
    assert (a - b).abs().max() <= 1e-4 * b.abs().max()


def test_ssim_matches_kornia():
    image, target, _ = pictures(2, 2, 60, 47)
    # kornia filters without padding; ours sees zeros around the picture
    padded = [functional.pad(x.double(), (5, 5, 5, 5)) for x in (image, target)]
    expected = kornia.metrics.ssim(padded[0], padded[1], 11, 1.0, padding="valid")
    assert expected.shape[-2:] == image.shape[-2:]
    assert abs(float(ops.ssim(image, target)) - float(expected.mean())) < 1e-5
    assert abs(float(ops.ssim(image, image)) - 1) < 1e-6


def test_a_mask_without_weight_gives_zero():
    image, target, weight = pictures(3, 1, 20, 20)
    image.requires_grad_()
    loss = ops.photometric_loss(image, target, weight * 0, 0.2)
    loss.backward()
    assert loss.item() == 0
    assert float(image.grad.abs().max()) == 0


def test_pixels_outside_the_mask_matter_only_through_the_window():
    image, target, weight = pictures(4, 1, 40, 40)
    weight[..., 20:] = 0
    far = image.clone()
    far[..., 26:] = 0.3  # more than five pixels from the mask
    a, b = (ops.photometric_loss(x, target, weight, 0.5) for x in (image, far))
    assert torch.equal(a, b)


def test_wrong_images_are_refused():
    image, target, weight = pictures(5, 1, 20, 20)
    for bad in ((image[0], target, None), (image, target[..., :-1], None), (image.double(), target.double(), None)):
        with pytest.raises(InputError):
            ops.photometric_loss(*bad, 0.2)
    with pytest.raises(InputError):
        ops.photometric_loss(image, target, weight[:, 0], 0.2)
