"""Mattes against ones that are known, plates against backgrounds that are known."""

from __future__ import annotations

from functools import partial

import cv2
import numpy as np
import pytest

from avatars.capture import person
from avatars.capture.matte import Refiner, one_person, settle
from avatars.capture.person import PersonMask
from avatars.capture.plate import fill, find_plate, masked_quantile
from avatars.errors import AssetError, InputError

from .conftest import read_clip

SIZE = 192


def backdrop(seed: int = 0) -> np.ndarray:
    """[H, W, 3] uint8: a wall with a gradient, a frame and a plant's worth of texture."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    wall = np.dstack([170 + 40 * x, 165 + 30 * y, 150 + 20 * x]).astype(np.float32)
    wall[20:60, 10:80] = [60, 40, 30]
    blobs = cv2.GaussianBlur(random.normal(size=(SIZE, SIZE, 3)).astype(np.float32), (0, 0), 4)
    wall[:, 130:] += 220 * blobs[:, 130:]
    return wall.clip(0, 255).astype(np.uint8)


def figure(shift: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(colour [H, W, 3], true matte [H, W], rough mask [H, W]) of a head with strands of hair, moved by `shift` px.

    The rough mask is what a segmentation network gives: soft, and without the strands.
    """
    body = np.zeros((SIZE, SIZE), np.uint8)
    cv2.ellipse(body, (round(96 + shift), 90), (38, 50), 0, 0, 360, 255, -1, cv2.LINE_AA)
    cv2.ellipse(body, (round(96 + shift), 200), (80, 60), 0, 0, 360, 255, -1, cv2.LINE_AA)
    matte = body.copy()
    for i in range(10):
        angle = np.radians(-160 + 14 * i)
        start = np.array([96 + shift + 36 * np.cos(angle), 90 + 48 * np.sin(angle)])
        end = start + 9 * np.array([np.cos(angle + 0.4), np.sin(angle + 0.4)])
        cv2.line(matte, tuple(start.round().astype(int)), tuple(end.round().astype(int)), 255, 1, cv2.LINE_AA)
    rough = cv2.GaussianBlur(body, (0, 0), 2.0)
    color = np.zeros((SIZE, SIZE, 3), np.float32)
    color[:] = [70, 45, 35]
    cv2.ellipse(color, (round(96 + shift), 100), (26, 34), 0, 0, 360, (205, 160, 140), -1)
    color[150:] = [40, 50, 90]
    return color, matte, rough


def scene(count: int, seed: int = 0, shake: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(frames, true mattes, rough masks, background) of the figure swaying in front of the backdrop."""
    random = np.random.default_rng(seed)
    wall = backdrop()
    frames, mattes, masks = [], [], []
    for i in range(count):
        color, matte, rough = figure(20 * np.sin(2 * np.pi * i / count))
        move = np.array([[1, 0, random.normal(0, shake)], [0, 1, random.normal(0, shake)]], np.float32)
        behind = cv2.warpAffine(wall, move, (SIZE, SIZE), borderMode=cv2.BORDER_REFLECT)
        alpha = matte[..., None] / 255.0
        picture = color * alpha + behind * (1 - alpha) + random.normal(0, 2, color.shape)
        frames.append(picture.clip(0, 255).astype(np.uint8))
        mattes.append(matte)
        masks.append(rough)
    return np.stack(frames), np.stack(mattes), np.stack(masks), wall


refiner = partial(Refiner, SIZE, SIZE)


def test_plate_is_the_background() -> None:
    frames, mattes, masks, wall = scene(30)
    plate = find_plate(frames, masks, refiner)
    assert plate is not None
    never = (mattes > 0).all(0)
    assert not plate.seen[never].any()
    ever = (mattes == 0).mean(0) > 0.5
    assert plate.seen[ever].mean() > 0.85
    # Noise of 2 levels, median over at least 3 samples: 3 sigma.
    gap = np.abs(plate.image.astype(int) - wall)[plate.seen]
    assert np.median(gap) <= 1
    assert np.percentile(gap, 99) < 8


def test_a_shaken_camera_has_no_plate() -> None:
    """A hand shakes by a few pixels of a 512 px picture: 2 px here."""
    frames, _, masks, _ = scene(30, shake=2.0)
    assert find_plate(frames, masks, refiner) is None


def test_all_person_has_no_plate() -> None:
    frames = np.full((10, 64, 64, 3), 99, np.uint8)
    assert find_plate(frames, np.full((10, 64, 64), 255, np.uint8), partial(Refiner, 64, 64)) is None


def test_matte_with_a_plate_finds_the_strands() -> None:
    """Near the edge the error at least halves against the network's mask (measured: 0.12 to 0.03)."""
    frames, mattes, masks, _ = scene(30)
    plate = find_plate(frames, masks, refiner)
    refine = refiner(plate)
    before, after = [], []
    for picture, truth, mask in zip(frames[::5], mattes[::5], masks[::5], strict=True):
        edge = cv2.dilate(((truth > 0) & (truth < 255)).astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
        known = edge & (plate.seen if plate else False)
        before.append(np.abs(mask.astype(float) - truth)[known].mean())
        after.append(np.abs(refine(picture, mask).astype(float) - truth)[known].mean())
    assert np.mean(after) < 0.5 * np.mean(before)


def test_matte_without_a_plate_is_no_worse_than_the_mask() -> None:
    frames, mattes, masks, _ = scene(10, shake=2.0)
    refine = refiner(None)
    gaps = [np.abs(refine(f, m).astype(float) - t).mean() for f, m, t in zip(frames, masks, mattes, strict=True)]
    assert np.mean(gaps) <= np.abs(masks.astype(float) - mattes).mean()


def test_a_moving_camera_s_wall_is_told_from_hair_too() -> None:
    """Before a plain wall one frame shows what lies behind the person as well as many do."""
    wall, body, refine = backdrop()[:, :, ::-1] // 8 + 190, [], refiner(None)
    for i in range(6):
        color, matte, rough = figure(20 * np.sin(i))
        color, matte = (cv2.GaussianBlur(x, (0, 0), 2 * SIZE / 512) for x in (color, matte))
        alpha = matte[..., None] / 255.0
        picture = (color * alpha + np.roll(wall, 7 * i, 1) * (1 - alpha)).clip(0, 255).astype(np.uint8)
        edge = (matte > 8) & (matte < 248)
        found = refine(picture, rough)[edge].astype(float) - matte[edge]
        body.append([np.abs(found).mean(), found.mean(), np.abs(rough[edge].astype(float) - matte[edge]).mean()])
    wrong, wide, before = np.mean(body, 0)
    assert wrong < 0.65 * before  # measured .53; .83 by the guided filter alone
    assert abs(wide) < 25


def test_a_frame_full_of_person_says_nothing_of_what_lies_behind() -> None:
    picture = np.full((64, 64, 3), 120, np.uint8)
    mask = np.full((64, 64), 255, np.uint8)
    assert Refiner(64, 64, None)(picture, mask).min() == 255
    mask[:, :3] = 90
    assert Refiner(64, 64, None)(picture, mask)[:, 16:].min() == 255


def test_certain_regions_stay_certain() -> None:
    """Far inside and far outside the mask nothing changes, whatever the colours."""
    frames, _, masks, wall = scene(6)
    disguised = frames.copy()
    disguised[:, 80:110, 80:110] = wall[80:110, 80:110]  # wears the wall's colours
    refine = refiner(find_plate(frames, masks, refiner))
    for picture, mask in zip(disguised, masks, strict=True):
        matte = refine(picture, mask)
        assert matte[85:105, 85:105].min() == 255
        inside = cv2.distanceTransform((mask > 242).astype(np.uint8), cv2.DIST_L2, 3) > 10
        outside = cv2.distanceTransform((mask < 13).astype(np.uint8), cv2.DIST_L2, 3) > 10
        assert matte[inside].min() == 255
        assert matte[outside].max() == 0


@pytest.mark.footage
def test_white_background_gives_a_near_perfect_matte() -> None:
    """obama_512 is cut out on white already: what is white is background, what is not is person."""
    frames = read_clip("obama_512.mp4", 40)[::4]
    with PersonMask() as segment:
        masks = np.stack([segment.detect(f) for f in frames])
    make = partial(Refiner, 512, 512)
    plate = find_plate(frames, masks, make)
    assert plate is not None
    assert plate.image[plate.seen].min() > 230  # its first row of pixels is a little grey
    refine = make(plate)
    for picture, mask in zip(frames, masks, strict=True):
        matte = refine(picture, mask)
        white = picture.min(-1) > 250
        outside = cv2.distanceTransform((mask < 128).astype(np.uint8), cv2.DIST_L2, 3) > 4
        assert matte[white & outside].mean() < 1
        inside = cv2.distanceTransform((picture.min(-1) <= 250).astype(np.uint8), cv2.DIST_L2, 3) > 6
        person_pixels = picture.max(-1) < 150  # skin, hair and suit; not the shirt
        assert (matte[person_pixels & inside] > 240).mean() > 0.99  # measured .995
        assert (matte[person_pixels] > 240).mean() > 0.98  # the soft outline included; measured .985


def test_a_soft_outline_takes_nothing_of_the_wall() -> None:
    """Blurred by a lens (2 px at 512), the matte is as wide as the person: a rim would show what lies behind."""
    wall = backdrop()
    frames, mattes, masks = [], [], []
    for i in range(24):
        color, matte, rough = figure(20 * np.sin(2 * np.pi * i / 24))
        color, matte = (cv2.GaussianBlur(x, (0, 0), 2 * SIZE / 512) for x in (color, matte))
        alpha = matte[..., None] / 255.0
        frames.append((color * alpha + wall * (1 - alpha)).clip(0, 255).astype(np.uint8))
        mattes.append(matte)
        masks.append(rough)
    plate = find_plate(np.stack(frames), np.stack(masks), refiner)
    assert plate is not None
    refine = refiner(plate)
    wide = []
    for picture, truth, mask in zip(frames[::4], mattes[::4], masks[::4], strict=True):
        edge = (truth > 64) & (truth < 250) & plate.seen
        wide.append((refine(picture, mask)[edge].astype(float) - truth[edge]).mean() / 255)
    assert abs(np.mean(wide)) < 0.1  # measured .08; .15 where the outline is as full as the inside


def test_settling_averages_only_what_stands_still() -> None:
    random = np.random.default_rng(0)
    still = np.full((32, 32, 3), 120, np.uint8)
    window = [(still, random.integers(90, 110, (32, 32)).astype(np.uint8)) for _ in range(3)]
    calm = settle(window, 1)
    assert calm.std() < 0.7 * window[1][1].std()
    other = (255 - still, np.full((32, 32), 255, np.uint8))
    assert np.abs(settle([other, window[1], other], 1).astype(int) - window[1][1]).max() <= 1


def test_only_the_subject_stays() -> None:
    mask = np.zeros((128, 256), np.uint8)
    mask[30:120, 20:100] = 255
    mask[10:120, 140:250] = 255  # a larger stranger
    points = np.random.default_rng(0).uniform([40, 50, 0], [80, 90, 1], (478, 3)).astype(np.float32)
    kept = one_person(mask, points)
    assert kept[30:120, 20:100].min() == 255
    assert kept[:, 140:].max() == 0
    assert one_person(mask, None)[:, :100].max() == 0


def test_fill_keeps_known_and_stays_within_range() -> None:
    random = np.random.default_rng(0)
    image = random.uniform(0.2, 0.8, (37, 53, 3)).astype(np.float32)
    weight = (random.uniform(size=(37, 53)) < 0.1).astype(np.float32)
    filled = fill(image, weight)
    np.testing.assert_allclose(filled[weight > 0], image[weight > 0], atol=1e-6)
    assert filled.min() >= 0.2 - 1e-5
    assert filled.max() <= 0.8 + 1e-5
    np.testing.assert_allclose(fill(np.full_like(image, 0.5), weight), 0.5, atol=1e-6)


def test_masked_quantile_is_the_median_of_what_counts() -> None:
    random = np.random.default_rng(0)
    values = random.integers(0, 256, (9, 6, 7, 3), dtype=np.uint8)
    valid = random.uniform(size=(9, 6, 7)) < 0.6
    median, enough = masked_quantile(values, valid)
    for y in range(6):
        for x in range(7):
            kept = np.sort(values[valid[:, y, x], y, x], axis=0)
            assert enough[y, x] == (len(kept) >= 3)
            if len(kept):
                assert (median[y, x] == kept[(len(kept) - 1) // 2]).all()


@pytest.mark.filterwarnings("ignore:MessageFactory")
def test_both_segmenters_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Tasks API runs the very model of the wheel."""
    mediapipe = pytest.importorskip("mediapipe")
    model = next((p for p in [*mediapipe.__path__]), "") + "/modules/selfie_segmentation/selfie_segmentation.tflite"
    image = scene(1)[0][0]
    monkeypatch.setenv("AVATARS_SELFIE_SEGMENTER", model)
    found = {}
    for legacy in (True, False):
        monkeypatch.setattr(person, "has_legacy", lambda legacy=legacy: legacy)
        with PersonMask() as segment:
            found[legacy] = segment.detect(image)
    gap = np.abs(found[True].astype(int) - found[False])
    assert gap.mean() < 0.5  # they scale pictures up and down a little differently


def test_segmenter_refuses_what_is_no_image(monkeypatch: pytest.MonkeyPatch) -> None:
    with PersonMask() as segment, pytest.raises(InputError, match="uint8 image"):
        segment.detect(np.zeros((4, 4)))
    monkeypatch.setattr(person, "has_legacy", lambda: False)
    monkeypatch.setenv("AVATARS_SELFIE_SEGMENTER", "/nowhere.tflite")
    with pytest.raises(AssetError, match="AVATARS_SELFIE_SEGMENTER"):
        PersonMask()


@pytest.mark.footage
def test_real_static_cameras_have_plates_and_handheld_ones_have_none() -> None:
    """talk_katie_512 stands still; moved by a hand's tremble of 2 px it does not."""
    frames = read_clip("talk_katie_512.mp4", 60)[::3]
    with PersonMask() as segment:
        masks = np.stack([segment.detect(f) for f in frames])
    make = partial(Refiner, 512, 512)
    assert find_plate(frames, masks, make) is not None
    random = np.random.default_rng(0)
    moves = [np.array([[1, 0, dx], [0, 1, dy]], np.float32) for dx, dy in random.normal(0, 2, (len(frames), 2))]
    shaken = [
        np.stack(
            [cv2.warpAffine(p, m, (512, 512), borderMode=cv2.BORDER_REFLECT) for p, m in zip(s, moves, strict=True)]
        )
        for s in (frames, masks)
    ]
    assert find_plate(shaken[0], shaken[1], make) is None
