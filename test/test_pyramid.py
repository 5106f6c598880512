"""Levels of the volume: what a blur takes away and what it leaves."""

import cv2
import numpy as np
import pytest
from scipy import ndimage

from deeprs2v_ros.imaging.averaging import area_average
from deeprs2v_ros.imaging.volume import Volume
from deeprs2v_ros.registration.pyramid import blurred

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
