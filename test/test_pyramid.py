"""Levels of the volume: what a blur takes away and what it leaves."""

import cv2
import numpy as np
import pytest
from scipy import ndimage

from deeprs2v_ros.imaging.averaging import area_average
from deeprs2v_ros.imaging.volume import Volume
from deeprs2v_ros.registration.pyramid import blurred, coarsened

SPACING = np.array([0.8, 0.8, 1.6])


def speckled(rng, mean=100.0):
    array = rng.normal(mean, 20.0, (20, 40, 40)).clip(1.0).astype(np.float32)
    array[:, :, 30:] = 0.0
    return Volume(array, SPACING)


def test_a_blur_is_the_same_in_mm_along_every_axis_and_takes_speckle_away():
    volume = speckled(np.random.default_rng(0))
    inner = (slice(6, -6), slice(8, -8), slice(8, 20))
    alone = ndimage.gaussian_filter(volume.array.astype(float), (1.4 / 1.6, 1.4 / 0.8, 1.4 / 0.8))
    found = blurred(volume, 1.4).array
    assert np.allclose(found[inner], alone[inner], atol=0.3)
    assert found[inner].std() < 0.2 * volume.array[inner].std()


def test_a_blur_neither_darkens_nor_moves_the_border_of_the_data():
    even = speckled(np.random.default_rng(1))
    even.array[even.array > 0] = 100.0
    found = blurred(even, 1.4).array
    assert np.array_equal(found != 0, even.array != 0)
    assert np.allclose(found[found > 0], 100.0)


@pytest.mark.parametrize("shape", [(23, 41), (60, 80), (7, 80), (1, 1)])
def test_an_average_over_areas_is_that_of_opencv(shape):
    image = np.random.default_rng(2).random((60, 80), dtype=np.float32)
    expected = cv2.resize(image, shape[::-1], interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(area_average(image, shape), expected, atol=1e-5)


@pytest.mark.parametrize("spacing", [1.6, 3.2])
def test_a_coarser_volume_is_the_same_in_slabs_as_in_one_piece_and_lies_where_the_fine_one_does(spacing):
    rng = np.random.default_rng(3)
    array = ndimage.gaussian_filter(rng.normal(size=(90, 50, 40)), 2.0).astype(np.float32)
    array = 100.0 + 20.0 * array / array.std()
    array[:, :, 30:] = 0.0
    fine = Volume(array.clip(0.0), np.array([0.7, 0.8, 0.5]), np.array([5.0, -3.0, 8.0]))
    found = coarsened(fine, spacing)
    factor = (spacing / fine.spacing)[::-1]
    sigma = 0.4 * np.sqrt(factor**2 - 1.0)
    smooth, weight = (
        ndimage.gaussian_filter(each.astype(float), sigma, mode="constant", truncate=3.0)
        for each in (fine.array, fine.array != 0)
    )
    inside = np.argwhere(found.array != 0)
    places = (inside * factor).T
    expected, known = (ndimage.map_coordinates(each, places, order=1) for each in (smooth, weight))
    assert len(inside) > 0.6 * found.array.size
    np.testing.assert_allclose(found.array[tuple(inside.T)], expected / known, rtol=1e-4)
    assert np.allclose(found.spacing, spacing) and np.array_equal(found.origin, fine.origin)
