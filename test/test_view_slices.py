"""Pictures, against the geometry they claim."""

import numpy as np
import pytest
from bench import POSE, VOLUME_IMAGE
from phantoms import IMAGE_FROM_PIXEL, SHAPE, cut_frame, fan

from deeprs2v_ros.geometry import apply
from deeprs2v_ros.imaging.slicing import Lattice, take_slice
from deeprs2v_ros.nodes.topics import overlay
from deeprs2v_ros.registration.pyramid import sample_volume

PIXEL = (0.5, 0.5)


@pytest.fixture(scope="module")
def sampled():
    return sample_volume(VOLUME_IMAGE, 0.8)


def test_slice_has_every_value_at_its_pixel(sampled):
    shown = overlay.Slicer(sampled, np.ones(SHAPE, bool), PIXEL).slice(POSE)
    exact = take_slice(sampled, Lattice(SHAPE, PIXEL, (0.0, 0.0)), POSE, np.ones(SHAPE, bool)).values * 255.0
    inner = (slice(20, -20), slice(20, -20))
    assert np.abs(shown[inner] - exact[inner]).mean() < 2.0
    # A shift by half a pixel either way fits worse.
    shifts = [np.abs(shown[inner] - np.roll(exact, shift, (0, 1))[inner]).mean() for shift in ((1, 0), (0, 1), (-1, 0))]
    assert min(shifts) > 1.5 * np.abs(shown[inner] - exact[inner]).mean()


@pytest.mark.parametrize("shape", [(181, 240), (180, 241), (3, 5)])
def test_slice_is_as_large_as_the_frame(sampled, shape):
    assert overlay.Slicer(sampled, np.ones(shape, bool), PIXEL).slice(POSE).shape == shape


def test_blend_is_grey_where_frame_and_slice_agree():
    frame = cut_frame(VOLUME_IMAGE, POSE)
    picture = overlay.blend(frame, frame)
    assert (picture == frame[..., None]).all()


def outline(centre, radius):
    """Rows, columns and strength of what is drawn."""
    picture = np.zeros((*SHAPE, 3), np.uint8)
    overlay.draw_outline(picture, np.array(centre), radius, PIXEL)
    drawn = np.argwhere(picture.any(axis=-1))
    return drawn, picture[tuple(drawn.T)].sum(axis=-1)


def test_outline_is_where_the_plane_cuts_the_sphere():
    drawn, strength = outline((60.0, 45.0, 6.0), 10.0)  # a circle of 8 mm about pixel (120, 90)
    distances = 0.5 * np.linalg.norm(drawn - [90, 120], axis=1)
    assert np.average(distances, weights=strength) == pytest.approx(8.0, abs=0.1)
    assert np.average(drawn, axis=0, weights=strength) == pytest.approx([90.0, 120.0], abs=0.1)
    assert np.ptp(distances) < 3.5
    angles = np.arctan2(*(drawn - [90, 120]).T)
    assert np.histogram(angles, 12)[0].min() > 0


@pytest.mark.parametrize("centre", [(60.0, 45.0, 10.0), (60.0, 45.0, -11.0), (1e9, 0.0, 0.0), (-300.0, 0.0, 0.0)])
def test_sphere_that_the_picture_does_not_cut_is_not_drawn(centre):
    assert len(outline(centre, 10.0)[0]) == 0


def test_point_of_the_volume_appears_where_the_registered_plane_shows_it():
    pixel = np.array([100.0, 50.0, 0.0])
    tissue = apply(POSE @ IMAGE_FROM_PIXEL, pixel)
    assert overlay.point_in_image(tissue, POSE) == pytest.approx([50.0, 25.0, 0.0], abs=1e-9)


def test_refused_frame_is_grey_with_a_red_border_and_the_reason():
    frame = np.where(fan(), 100, 0).astype(np.uint8)
    picture = overlay.refused(frame, "LOW_LNCC").astype(int)
    red = (picture[..., 0] - picture[..., 1]) > 100
    assert red[0].all() and red[-1].all() and red[:, 0].all() and red[:, -1].all()
    assert red[5:-5, 5:-5].any()  # the reason
    assert (picture[~red] == picture[~red][:, :1]).mean() > 0.95
    assert not np.array_equal(picture, overlay.refused(frame, "OUT_OF_VOLUME"))
