"""Errors of registered poses: what they are, and whose frame each belongs to."""

import sys

import numpy as np
import pytest
from evaluations import SHAPE, make_reference, moved, of_errors, poses, results, rows_of
from scipy.spatial.transform import Rotation

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.evaluation.errors import pose_errors
from deeprs2v_ros.evaluation.method import clip_names, method_from_poses, method_from_start, pooled
from deeprs2v_ros.evaluation.poses import read_poses, write_poses
from deeprs2v_ros.geometry import from_motion, rigid
from deeprs2v_ros.imaging.sequence import Sequence, read_sequence


@pytest.fixture
def reference():
    return make_reference()


def test_errors_are_the_motion_at_the_image_centre():
    truth = poses(20)
    motions = np.random.default_rng(1).normal(0, [3, 3, 3, 0.1, 0.1, 0.1], (20, 6))
    errors = pose_errors(truth, moved(truth, motions), SHAPE)
    np.testing.assert_allclose(errors.translation, motions[:, :3], atol=1e-9)
    np.testing.assert_allclose(errors.euclidean, np.linalg.norm(motions[:, :3], axis=1))
    np.testing.assert_allclose(errors.geodesic, np.degrees(np.linalg.norm(motions[:, 3:], axis=1)))


def test_euler_angles_are_those_about_the_image_axes():
    truth = poses(3)
    motions = np.zeros((3, 6))
    motions[:, 3:] = np.radians(np.diag([4.0, -7.0, 11.0]))
    np.testing.assert_allclose(pose_errors(truth, moved(truth, motions), SHAPE).euler, np.diag([4, -7, 11]), atol=1e-9)


def test_the_true_pose_has_no_error_and_another_world_changes_nothing():
    truth = poses(4)
    errors = pose_errors(truth, truth, SHAPE)
    assert max(errors.euclidean.max(), errors.geodesic.max()) < 1e-6
    result = moved(truth, np.random.default_rng(2).normal(0, 1, (4, 6)))
    world = rigid(Rotation.random(random_state=9).as_matrix(), [5, 6, 7])
    before, after = pose_errors(truth, result, SHAPE), pose_errors(world @ truth, world @ result, SHAPE)
    np.testing.assert_allclose(after.translation, before.translation, atol=1e-9)
    np.testing.assert_allclose(after.geodesic, before.geodesic, atol=1e-9)


def test_pixels_of_another_size_are_another_image():
    truth = poses(2)
    with pytest.raises(InputError, match=r"pose 0: has pixels of 0\.6 x 0\.8 mm, the reference of 0\.3 x 0\.4 mm"):
        pose_errors(truth, truth @ np.diag([2, 2, 1, 1]), SHAPE)


def test_repeats_belong_to_the_same_reference_frames(tmp_path, reference):
    method = method_from_poses("lncc", results(tmp_path, reference, 0.0, repeats=3), reference)
    assert len(method.rows) == 15
    assert method.errors.euclidean.max() < 1e-6


def test_order_of_rows_does_not_matter(tmp_path, reference):
    path = results(tmp_path, reference, 1.0)
    forwards = method_from_poses("lncc", path, reference).errors
    write_poses(path, read_poses(path)[::-1])
    np.testing.assert_array_equal(method_from_poses("lncc", path, reference).errors.euclidean, forwards.euclidean)


def test_frames_whose_reference_is_not_valid_are_left_out(tmp_path, reference):
    path = results(tmp_path, reference, 1.0)
    transforms, valid = reference.world_from_pixel.copy(), reference.valid.copy()
    transforms[2], valid[2] = np.nan, False
    partial = Sequence(reference.frames, transforms, reference.timestamps, valid)
    assert [row.frame for row in method_from_poses("lncc", path, partial).rows] == [0, 1, 3, 4]
    without = [row for row in read_poses(path) if row.frame != 2]
    write_poses(path, without)
    assert len(method_from_poses("lncc", path, partial).rows) == 4


def test_refused_combinations(tmp_path, reference):
    path = tmp_path / "POSES.csv"
    write_poses(path, rows_of(poses(4)))
    with pytest.raises(InputError, match=r"POSES\.csv: its 4 frames do not hold each of the reference's 5"):
        method_from_poses("a", path, reference)
    rows = rows_of(reference.world_from_pixel)
    write_poses(path, [*rows[:4], rows[0]])
    with pytest.raises(InputError, match=r"POSES\.csv: frame 0 appears more than once"):
        method_from_poses("a", path, reference)
    write_poses(path, rows_of(reference.world_from_pixel @ np.diag([3, 3, 1, 1])))
    with pytest.raises(InputError, match=r"POSES\.csv: pose 0: has pixels"):
        method_from_poses("a", path, reference)
    other = Sequence(
        reference.frames[:3], reference.world_from_pixel[:3], reference.timestamps[:3], reference.valid[:3]
    )
    with pytest.raises(InputError, match=r"START: holds 3 frames, not a multiple of the reference's 5"):
        method_from_start("START", other, reference)


def test_each_frame_knows_where_it_started(tmp_path, reference):
    path = results(tmp_path, reference, 1.0, repeats=2)
    transforms = np.tile(reference.world_from_pixel, (2, 1, 1))
    motions = np.zeros((10, 6))
    motions[:, 2] = np.arange(10)
    valid = np.ones(10, bool)
    valid[4] = False
    poses_before = Sequence(np.zeros((10, *SHAPE), np.uint8), moved(transforms, motions), np.arange(10) / 10, valid)
    start = method_from_start("start", poses_before, reference)
    method = method_from_poses("lncc", path, reference).from_start(start)
    np.testing.assert_allclose(method.before, [0, 1, 2, 3, np.nan, 5, 6, 7, 8, 9], atol=1e-9)
    assert np.isnan(method_from_poses("lncc", path, reference).before).all()


def test_pooled_clips_can_be_told_apart_again():
    parts = [of_errors("a", "one", [5, 6], [1, 2]), of_errors("a", "two", [7, 8, 9], [3, 4, 5], accepted=False)]
    both = pooled(parts)
    assert clip_names([both]) == ["one", "two"]
    np.testing.assert_array_equal(both.errors.euclidean, [1, 2, 3, 4, 5])
    assert both.accepted.tolist() == [True, True, False, False, False]
    for part in parts:
        again = both.of_clip(part.clips[0])
        np.testing.assert_array_equal(again.errors.euclidean, part.errors.euclidean)
        np.testing.assert_array_equal(again.before, part.before)
        assert again.rows == part.rows


def test_numbers_agree_with_an_independent_score(shared, monkeypatch, tmp_path):
    tools = shared.parent / "tools"
    if not tools.is_dir():
        pytest.skip(f"no independent score at {tools}")
    monkeypatch.setattr(sys, "path", [str(tools), *sys.path])
    score = pytest.importorskip("score")
    reference = read_sequence(shared / "liver_sweep" / "frames.igs.mha")
    shape = reference.frames.shape[1:]
    rng = np.random.default_rng(0)
    truth = np.tile(reference.world_from_pixel, (2, 1, 1))
    found = np.array(
        [t @ from_motion(m) for t, m in zip(truth, rng.normal(0, [9, 9, 2, 0, 0, 0.1], (28, 6)), strict=True)]
    )
    errors = pose_errors(truth, found, shape)
    expected = np.array([score.errors(a, b, shape) for a, b in zip(truth, found, strict=True)])
    np.testing.assert_allclose(np.stack([errors.euclidean, errors.geodesic], axis=1), expected, rtol=1e-7)
