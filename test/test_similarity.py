import cv2
import numpy as np
import pytest

from deeprs2v_ros.similarity import NOISE_VARIANCE, SUFFICIENT_COVERAGE, masked_lncc

SHAPE, WINDOW = (44, 52), 9


def sector(shape=SHAPE):
    mask = np.zeros(shape, np.uint8)
    cv2.ellipse(mask, (shape[1] // 2, -8), (48, 48), 0, 55, 125, 1, -1)
    return mask.astype(bool)


def polygon(shape=SHAPE):
    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, [np.array([[3, 30], [25, 4], [50, 20], [30, 42]])], 1)
    return mask.astype(bool)


MASKS = {
    "sector": sector(),
    "polygon": polygon(),
    "rectangle": np.pad(np.ones((30, 40), bool), ((6, 8), (5, 7))),
    "small overlap": sector() & np.roll(polygon(), 22, axis=1),
    "whole": np.ones(SHAPE, bool),
}


def direct_lncc(fixed, moving, mask, window):
    """The definition, window by window, in float64."""
    half, values, weights = window // 2, [], []
    for row, column in np.argwhere(mask):
        rows = slice(max(row - half, 0), row + half + 1)
        columns = slice(max(column - half, 0), column + half + 1)
        inside = mask[rows, columns]
        if inside.sum() < SUFFICIENT_COVERAGE * window**2:
            continue
        a, b = fixed[rows, columns][inside], moving[rows, columns][inside]
        covariance = np.mean((a - a.mean()) * (b - b.mean()))
        values.append(covariance / np.sqrt((a.var() + NOISE_VARIANCE) * (b.var() + NOISE_VARIANCE)))
        weights.append(np.sqrt(a.var() + NOISE_VARIANCE))
    return float(np.average(values, weights=weights)) if values else 0.0


@pytest.fixture(params=MASKS, ids=lambda name: name.replace(" ", "-"))
def pair(request):
    rng = np.random.default_rng(7)
    fixed = cv2.GaussianBlur(rng.random(SHAPE), (0, 0), 1.5)
    moving = 0.6 * fixed + 0.4 * cv2.GaussianBlur(rng.random(SHAPE), (0, 0), 1.5)
    return fixed, moving, MASKS[request.param]


def test_value_agrees_with_the_definition(pair):
    fixed, moving, mask = pair
    assert mask.any()
    assert masked_lncc(fixed, moving, mask, WINDOW).value == pytest.approx(direct_lncc(*pair, WINDOW), abs=1e-10)


def test_gradient_agrees_with_differences_of_the_definition(pair):
    fixed, moving, mask = pair
    result = masked_lncc(fixed, moving, mask, WINDOW)
    rng = np.random.default_rng(1)
    for row, column in rng.permutation(np.argwhere(mask))[:25]:
        step = np.zeros(SHAPE)
        step[row, column] = 1e-5
        ahead, behind = (direct_lncc(fixed, moving + s * step, mask, WINDOW) for s in (1, -1))
        assert result.gradient[row, column] == pytest.approx((ahead - behind) / 2e-5, abs=1e-6)
    assert np.all(result.gradient[~mask] == 0.0)


def test_pixels_outside_the_mask_do_not_matter(pair):
    fixed, moving, mask = pair
    spoiled = np.where(mask, moving, 99.0)
    assert masked_lncc(fixed, spoiled, mask, WINDOW).value == pytest.approx(
        masked_lncc(fixed, moving, mask, WINDOW).value, abs=1e-12
    )


def test_float32_images_keep_five_digits(pair):
    fixed, moving, mask = pair
    single = masked_lncc(fixed.astype(np.float32), moving.astype(np.float32), mask, WINDOW)
    double = masked_lncc(fixed, moving, mask, WINDOW)
    assert single.value == pytest.approx(double.value, abs=1e-5)
    assert np.allclose(single.gradient, double.gradient, atol=1e-5)


def test_gain_and_offset_of_either_image_hardly_change_it(pair):
    fixed, _, mask = pair
    assert masked_lncc(fixed, 0.7 * fixed + 0.2, mask, WINDOW).value > 0.9


def test_no_overlap_is_zero_and_finite():
    image = np.random.default_rng(0).random(SHAPE)
    result = masked_lncc(image, image, np.zeros(SHAPE, bool), WINDOW)
    assert result.value == 0.0
    assert np.isfinite(result.gradient).all()


def test_anatomy_outweighs_speckle():
    """Two acquisitions share an edge, but not the speckle beside it."""
    rng = np.random.default_rng(2)
    edge = np.where(np.arange(SHAPE[1]) < 12, 0.2, 0.8)
    fixed, moving = (edge + 0.01 * rng.standard_normal(SHAPE) for _ in range(2))
    mask = np.ones(SHAPE, bool)
    beside = mask & (np.arange(SHAPE[1]) > 20)
    assert abs(masked_lncc(fixed, moving, beside, WINDOW).value) < 0.2
    assert masked_lncc(fixed, moving, mask, WINDOW).value > 0.7


def test_flat_images_are_neither_alike_nor_infinite():
    result = masked_lncc(np.full(SHAPE, 0.5), np.full(SHAPE, 0.5), np.ones(SHAPE, bool), WINDOW)
    assert result.value == pytest.approx(0.0, abs=1e-6)
    assert np.isfinite(result.gradient).all()
