"""The liver's motion: smooth, irregular, different in and out, nothing at end-expiration, and the truth it gives."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import apply, from_motion, geodesic_distance, inverse
from deeprs2v_ros.simulation.breathing import Breathing, deformation, fit_rigid

POINTS = np.random.default_rng(5).uniform([-60, 20, -60], [60, 120, 60], size=(200, 3))
EPOCHS = [0.0, -37.0, 1.8e9]


def travel(breathing, times):
    return np.array([apply(breathing.rigid(t), breathing.centre)[2] - breathing.centre[2] for t in times])


@pytest.mark.parametrize("epoch", EPOCHS)
def test_motion_is_smooth_at_any_time(epoch):
    breathing = Breathing(seed=3)
    times = epoch + np.arange(0.0, 24.0, 0.01)
    path = np.array([breathing.displace(POINTS[:5], t) for t in times])
    velocity = np.diff(path, axis=0) / 0.01
    assert np.abs(velocity).max() < 40.0  # mm/s: a breath of 15 mm in 1.5 s peaks at 19
    assert np.abs(np.diff(velocity, axis=0)).max() < 1.5  # and no corner anywhere


@pytest.mark.parametrize("epoch", EPOCHS)
def test_every_breath_starts_at_rest_and_reaches_about_its_amplitude(epoch):
    breathing = Breathing(seed=1, amplitude_mm=15.0, period_s=4.0, irregularity=0.15)
    times = epoch + np.arange(0.0, 80.0, 0.02)
    down = -travel(breathing, times)
    assert down.min() == 0.0
    at_rest = times[down == 0.0]
    np.testing.assert_array_equal(breathing.displace(POINTS, at_rest[0]), POINTS)
    starts = np.flatnonzero((down[:-1] == 0.0) & (down[1:] > 0.0))
    assert 19 <= len(starts) <= 21
    peaks = np.array([down[a:b].max() for a, b in pairwise(starts)])
    assert peaks.min() >= 15.0 * 0.85 - 0.1
    assert peaks.max() <= 15.0 * 1.15 + 0.1
    assert np.ptp(peaks) > 1.0  # irregular in depth
    assert np.ptp(np.diff(times[starts])) > 0.2  # and in time


def test_the_way_out_differs_from_the_way_in():
    breathing = Breathing(seed=0, amplitude_mm=20.0, nonrigid_mm=0.0, irregularity=0.0)
    times = np.arange(0.0, 4.0, 0.005)
    path = np.array([apply(breathing.rigid(t), breathing.centre) for t in times]) - breathing.centre
    top = int(np.argmin(path[:, 2]))
    half_in = int(np.argmin(np.abs(path[:top, 2] + 10.0)))
    half_out = top + int(np.argmin(np.abs(path[top:, 2] + 10.0)))
    assert abs(path[half_in, 1] - path[half_out, 1]) > 1.0
    assert path[half_in, 2] == pytest.approx(path[half_out, 2], abs=0.2)


def test_motion_depends_on_the_seed_and_not_on_the_order_of_asking():
    first, second = Breathing(seed=7), Breathing(seed=7)
    times = [11.3, 2.9, 1.8e9 + 0.7]
    forwards = [first.displace(POINTS, t) for t in times]
    backwards = [second.displace(POINTS, t) for t in reversed(times)][::-1]
    np.testing.assert_array_equal(forwards, backwards)
    assert not np.array_equal(forwards[0], Breathing(seed=8).displace(POINTS, times[0]))


def test_rest_undoes_displace():
    breathing = Breathing(seed=2, nonrigid_mm=2.0)
    for t in (1.0, 1.7, 2.6):
        np.testing.assert_allclose(breathing.rest(breathing.displace(POINTS, t), t), POINTS, atol=1e-8)


def test_deformation_has_the_size_asked_for_and_the_kernel_agrees():
    breathing = Breathing(seed=4, nonrigid_mm=1.5, irregularity=0.0)
    full = 4.0 * 0.38
    undone = apply(inverse(breathing.rigid(full)), breathing.displace(POINTS, full)) - POINTS
    assert 0.8 < np.sqrt(np.mean(np.sum(undone**2, axis=1))) < 2.2
    compiled = np.array([deformation(*point, breathing.waves(full)) for point in POINTS])
    np.testing.assert_allclose(compiled, undone, atol=2e-5)


def test_correction_is_the_inverse_of_the_rigid_part_when_nothing_deforms():
    breathing = Breathing(seed=2, nonrigid_mm=0.0)
    for t in (0.9, 2.2, 1.8e9 + 1.3):
        np.testing.assert_allclose(breathing.correction(POINTS, t) @ breathing.rigid(t), np.eye(4), atol=1e-9)


def test_correction_fits_better_than_the_rigid_part_alone_when_it_deforms():
    breathing = Breathing(seed=2, nonrigid_mm=1.5)
    t = 1.6
    seen = breathing.displace(POINTS, t)
    fitted = np.linalg.norm(apply(breathing.correction(seen, t), seen) - POINTS, axis=1)
    rigid_only = np.linalg.norm(apply(inverse(breathing.rigid(t)), seen) - POINTS, axis=1)
    assert np.sum(fitted**2) < np.sum(rigid_only**2)


def test_rigid_fit_against_scipy():
    rng = np.random.default_rng(0)
    truth = from_motion([10.0, -4.0, 3.0, 0.4, -0.9, 0.2])
    target = apply(truth, POINTS) + rng.normal(scale=0.5, size=POINTS.shape)
    fitted = fit_rigid(POINTS, target)
    expected, _ = Rotation.align_vectors(target - target.mean(axis=0), POINTS - POINTS.mean(axis=0))
    assert geodesic_distance(fitted[:3, :3], expected.as_matrix()) < 1e-6
    np.testing.assert_allclose(apply(fitted, POINTS.mean(axis=0)), target.mean(axis=0), atol=1e-9)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"period_s": 0.0}, "period_s"),
        ({"period_s": float("nan")}, "period_s"),
        ({"amplitude_mm": -1.0}, "amplitude_mm"),
        ({"nonrigid_mm": float("nan")}, "nonrigid_mm"),
        ({"irregularity": 0.8}, "irregularity"),
    ],
)
def test_impossible_breathing_is_refused_by_name(values, named):
    with pytest.raises(InputError, match=named):
        Breathing(**values)


def test_rigid_fit_of_two_points_is_refused():
    with pytest.raises(InputError, match="three or more"):
        fit_rigid(POINTS[:2], POINTS[:2])
