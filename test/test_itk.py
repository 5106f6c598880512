import numpy as np
import pytest
from phantoms import CENTRE, IMAGE_FROM_PIXEL, cut_frame, displacement, fan, middle_pose, phantom

from deeprs2v_ros.geometry import apply, geodesic_distance, rigid
from deeprs2v_ros.registration.gate import Reason
from deeprs2v_ros.registration.itk import ItkTracker

START = (4, -3, 2, 2, -2, 4)


@pytest.fixture(scope="module")
def spheres():
    return phantom("spheres")


@pytest.fixture(scope="module")
def tracker(spheres):
    return ItkTracker(spheres, fan(), IMAGE_FROM_PIXEL)


@pytest.fixture(scope="module")
def result(spheres, tracker):
    truth = middle_pose(spheres)
    return tracker.register_frame(cut_frame(spheres, truth), truth @ displacement(START))


def test_a_small_displacement_is_undone(spheres, result):
    truth = middle_pose(spheres)
    assert result.accepted
    assert np.linalg.norm(apply(truth, CENTRE) - apply(result.registered, CENTRE)) < 0.3
    assert np.degrees(geodesic_distance(truth[:3, :3], result.registered[:3, :3])) < 0.4
    assert np.allclose(result.registered[:3, :3] @ result.registered[:3, :3].T, np.eye(3), atol=1e-9)
    assert result.signals.lncc > result.lncc_before
    assert result.signals.overlap > 0.9
    assert (np.linalg.eigvalsh(result.covariance) > 0).all()


def test_same_input_gives_the_same_output_bit_for_bit(spheres, tracker, result):
    truth = middle_pose(spheres)
    again = tracker.register_frame(cut_frame(spheres, truth), truth @ displacement(START))
    assert np.array_equal(again.registered, result.registered)
    assert np.array_equal(again.covariance, result.covariance)


@pytest.mark.parametrize("shift", [60.0, 500.0])
def test_a_frame_outside_the_volume_is_rejected(spheres, tracker, shift):
    truth = middle_pose(spheres)
    outside = tracker.register_frame(cut_frame(spheres, truth), truth @ rigid(translation=[0, 0, shift + 60]))
    assert outside.reason is Reason.OUT_OF_VOLUME
    assert np.isfinite(outside.registered).all()


def test_motion_of_the_organ_is_carried_and_forgotten(spheres):
    tracker = ItkTracker(spheres, fan(), IMAGE_FROM_PIXEL, temporal=True)
    truth = middle_pose(spheres)
    first = tracker.register_frame(cut_frame(spheres, truth), truth @ displacement(START))
    assert np.array_equal(tracker.motion, first.motion)
    tracker.reset()
    assert np.array_equal(tracker.motion, np.eye(4))
