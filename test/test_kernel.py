"""The compiled kernel against its definition, written down plainly: slice, LNCC on cells, chain rule."""

import numpy as np
import pytest
from phantoms import CENTRE, cut_frame, fan, middle_pose, phantom

from deeprs2v_ros.geometry import about, from_motion
from deeprs2v_ros.imaging.packing import pack
from deeprs2v_ros.imaging.slicing import SampledVolume, take_slice
from deeprs2v_ros.registration.belief import Belief
from deeprs2v_ros.registration.cells import division
from deeprs2v_ros.registration.correction import correct, evaluate, on_level, score, screen
from deeprs2v_ros.registration.pyramid import build_level
from deeprs2v_ros.registration.settings import LevelSettings
from deeprs2v_ros.registration.uncertainty import by_block, measured_curvature, pose_covariance, slopes
from deeprs2v_ros.similarity import masked_lncc

LEVELS = {
    "cells of one point": LevelSettings(6.4, 30.0, ()),
    "of two": LevelSettings(3.2, 32.0, ()),
    "of three": LevelSettings(2.0, 30.0, ()),
}
INSIDE, ACROSS_THE_BORDER = (2, 3, -4, 5, -6, 7), (45, -10, 12, 20, 30, -15)
WIDE = np.diag([100.0] * 3 + [0.01] * 3)


@pytest.fixture(scope="module")
def spheres():
    volume = phantom("spheres")
    volume.array[40:44, 50:60, 60:70] = 0  # a hole in the data
    return volume


@pytest.fixture(scope="module", params=LEVELS, ids=lambda name: name.replace(" ", "-"))
def level(request, spheres):
    return build_level(spheres, fan(), (0.5, 0.5), LEVELS[request.param])


def frame_on(level, spheres):
    return level.average((fan() * cut_frame(spheres, middle_pose(spheres)) / 255).astype(np.float32))


def task_on(level, spheres, weight=0.0):
    return on_level(level, frame_on(level, spheres), level.mask, CENTRE, [Belief(middle_pose(spheres), WIDE)], weight)


def plainly(level, frame, pose):
    """LNCC, overlap, its slope and curvature by the motion, and the gradient's share of each point, in NumPy."""
    cut = take_slice(level.volume, level.lattice, pose, level.mask)
    size, reach = division(level.window)
    lncc, by_point, twice = masked_lncc(frame, cut.values, cut.mask, 2 * reach + 1, size)
    y, x = np.meshgrid(level.lattice.y - CENTRE[1], level.lattice.x - CENTRE[0], indexing="ij")
    moved = np.cross(np.stack([x, y, 0 * x], axis=-1), np.moveaxis(cut.gradient, 0, -1))
    jacobian = np.concatenate([np.moveaxis(cut.gradient, 0, -1), moved], axis=-1)[cut.mask]
    pulls = jacobian * by_point[cut.mask][:, None]
    curvature = jacobian.T @ (jacobian * twice[cut.mask][:, None])
    return lncc, cut.mask.sum() / level.mask.sum(), pulls.sum(axis=0), curvature


@pytest.mark.parametrize("motion", [INSIDE, ACROSS_THE_BORDER])
def test_an_evaluation_agrees_with_its_definition(level, spheres, motion):
    pose = middle_pose(spheres, motion)
    lncc, overlap, slope, curvature = plainly(level, frame_on(level, spheres), pose)
    found = evaluate(task_on(level, spheres), pose)
    assert 0.1 < overlap <= 1.0
    assert found.overlap == pytest.approx(overlap, abs=1e-3)
    assert found.lncc == pytest.approx(lncc, abs=2e-4)
    scale = np.array([1.0, 1.0, 1.0, 50.0, 50.0, 50.0])
    np.testing.assert_allclose(found.gradient / scale, slope / scale, atol=1e-2 * np.abs(slope / scale).max())
    # The kernel takes the middle of a cell for all of it; with cells of one point it is exact.
    np.testing.assert_allclose(
        found.curvature / np.outer(scale, scale),
        curvature / np.outer(scale, scale),
        atol=1e-2 * np.abs(curvature / np.outer(scale, scale)).max(),
    )


def test_the_slope_is_the_derivative_of_the_value(level, spheres):
    """The interpolant has kinks, where a step meets another voxel: the steps are small, and few points meet one."""
    task, pose = task_on(level, spheres), middle_pose(spheres, INSIDE)
    found = evaluate(task, pose).gradient
    for axis, length in enumerate([4e-3] * 3 + [8e-5] * 3):
        step = np.zeros(6)
        step[axis] = length
        ahead, behind = (evaluate(task, pose @ about(CENTRE, from_motion(s * step))).lncc for s in (1, -1))
        scale = np.abs(found[:3]).max() if axis < 3 else np.abs(found[3:]).max()
        assert found[axis] == pytest.approx((ahead - behind) / (2 * length), abs=0.02 * scale)


def test_poses_are_screened_by_the_score_that_they_are_evaluated_to(level, spheres):
    task = task_on(level, spheres, 0.02)
    poses = np.stack([middle_pose(spheres, motion) for motion in (INSIDE, ACROSS_THE_BORDER, (0,) * 6, (500,) * 6)])
    expected = [evaluate(task, pose).score for pose in poses]
    np.testing.assert_allclose(screen(task, poses), expected, atol=1e-9)
    assert score(task, poses[0]) == screen(task, poses)[0]


@pytest.mark.parametrize("shift", [500.0, 1e9, np.inf, np.nan])
def test_a_plane_that_is_nowhere_near_the_volume_is_nothing(level, spheres, shift):
    pose = middle_pose(spheres)
    pose[:3, 3] += shift
    found = evaluate(task_on(level, spheres), pose)
    assert (found.lncc, found.overlap) == (0.0, 0.0)
    if np.isfinite(shift):
        assert not found.gradient.any()
        assert not found.curvature.any()


def test_a_frame_with_nothing_to_see_is_nothing(level, spheres):
    seen = np.zeros_like(level.mask)
    task = on_level(level, frame_on(level, spheres), seen, CENTRE, [Belief(middle_pose(spheres), WIDE)], 0.0)
    found = evaluate(task, middle_pose(spheres))
    assert (found.lncc, found.overlap) == (0.0, 0.0)
    assert np.isfinite(pose_covariance(task, middle_pose(spheres))).all()


def test_same_input_gives_the_same_output_bit_for_bit(level, spheres):
    task, pose = task_on(level, spheres, 0.02), middle_pose(spheres, INSIDE)
    first, second = correct(task, pose, 10), correct(task_on(level, spheres, 0.02), pose, 10)
    for one, other in zip((*first[0], first[1]), (*second[0], second[1]), strict=True):
        assert np.array_equal(one, other)


def test_blocks_add_up_to_the_slope_and_slopes_to_the_measured_curvature(level, spheres):
    task, pose = task_on(level, spheres), middle_pose(spheres, INSIDE)
    whole = evaluate(task, pose)
    lncc, overlap, expected, pulls = by_block(task, pose)
    assert len(pulls) > 4
    assert (lncc, overlap) == (whole.lncc, whole.overlap)
    np.testing.assert_allclose(pulls.sum(axis=0), whole.gradient, rtol=1e-4, atol=1e-6 * np.abs(whole.gradient).max())
    np.testing.assert_allclose(expected, whole.curvature)
    np.testing.assert_allclose(slopes(task, pose[None])[0], whole.gradient, rtol=1e-6, atol=1e-9)
    assert np.array_equal(measured_curvature(task, pose), measured_curvature(task, pose).T)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_packing_keeps_the_intensities(dtype):
    rng = np.random.default_rng(3)
    array = rng.integers(1, 200, (7, 9, 11)).astype(dtype).astype(np.float32) / 199 - 0.3
    array[rng.random(array.shape) < 0.05] = np.nan
    packed = pack(SampledVolume(array, np.eye(4)))
    assert packed.words.ctypes.data % 64 == 0
    for k, j, i in np.ndindex(6, 8, 10):
        word = packed.words[(k + 1) // 2, (j + 1) // 2, (i + 1) // 2]
        word = int(word[(i + 1) % 2 + 2 * ((j + 1) % 2) + 4 * ((k + 1) % 2)])
        corners = array[k, j : j + 2, i : i + 2].ravel()
        if np.isnan(corners).any():
            assert word == 0
        else:
            codes = [word >> 16 * corner & 0xFFFF for corner in range(4)]
            np.testing.assert_allclose([packed.darkest + packed.step * (c - 1) for c in codes], corners, atol=1e-5)
    assert not packed.words[0, :, :, :4].any()


def test_an_empty_volume_can_be_packed():
    assert not pack(SampledVolume(np.full((3, 3, 3), np.nan, np.float32), np.eye(4))).words.any()
