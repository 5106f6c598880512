"""Pictures, against the geometry they claim."""

import numpy as np
import pytest
from bench import POSE, VOLUME_IMAGE
from phantoms import SHAPE, cut_frame

from deeprs2v_ros.imaging.slicing import Lattice, take_slice
from deeprs2v_ros.registration.pyramid import sample_volume
from deeprs2v_ros.view import slices

PIXEL = (0.5, 0.5)


@pytest.fixture(scope="module")
def sampled():
    return sample_volume(VOLUME_IMAGE, float(VOLUME_IMAGE.spacing.min()))


def test_slice_has_every_value_at_its_pixel(sampled):
    shown = slices.Slicer(VOLUME_IMAGE, np.ones(SHAPE, bool), PIXEL).slice(POSE)
    exact = take_slice(sampled, Lattice(SHAPE, PIXEL, (0.0, 0.0)), POSE, np.ones(SHAPE, bool)).values * 255.0
    inner = (slice(20, -20), slice(20, -20))
    assert np.abs(shown[inner] - exact[inner]).mean() < 2.0
    # A shift by half a pixel either way fits worse.
    shifts = [np.abs(shown[inner] - np.roll(exact, shift, (0, 1))[inner]).mean() for shift in ((1, 0), (0, 1), (-1, 0))]
    assert min(shifts) > 1.5 * np.abs(shown[inner] - exact[inner]).mean()


@pytest.mark.parametrize("shape", [(181, 240), (180, 241), (3, 5)])
def test_slice_is_as_large_as_the_frame(shape):
    assert slices.Slicer(VOLUME_IMAGE, np.ones(shape, bool), PIXEL).slice(POSE).shape == shape


def test_blend_is_grey_where_frame_and_slice_agree():
    frame = cut_frame(VOLUME_IMAGE, POSE)
    picture = slices.blend(frame, frame)
    assert (picture == frame[..., None]).all()
