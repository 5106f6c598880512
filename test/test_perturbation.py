import subprocess
import sys

import numpy as np
import pytest

from deeprs2v_ros.evaluation.errors import pose_errors
from deeprs2v_ros.evaluation.perturbation import ROTATION, TRANSLATION, perturbed
from deeprs2v_ros.geometry import rigid
from deeprs2v_ros.imaging.sequence import Sequence, read_sequence

SHAPE = (30, 50)


def clip(count=4):
    rng = np.random.default_rng(3)
    rotations = np.linalg.qr(rng.normal(size=(count, 3, 3)))[0]
    rotations *= np.linalg.det(rotations)[:, None, None]
    transforms = [rigid(r, rng.normal(0, 40, 3)) @ np.diag([0.3, 0.4, 1.0, 1.0]) for r in rotations]
    frames = np.random.default_rng(0).integers(0, 255, (count, *SHAPE), dtype=np.uint8)
    return Sequence(frames, np.array(transforms), np.arange(count) / 20.0, np.ones(count, bool))


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_displacements_are_drawn_evenly_from_the_papers_range(scale):
    start = perturbed(clip(), 5, scale, repeats=400)
    errors = pose_errors(np.tile(clip().world_from_pixel, (400, 1, 1)), start.world_from_pixel, SHAPE)
    for found, reach in ((errors.translation, scale * TRANSLATION), (errors.euler, scale * ROTATION)):
        assert (np.abs(found) <= reach + 1e-9).all()
        # Of an even distribution over +-1: mean 0, variance 1/3, and a quarter of it beyond +-3/4.
        np.testing.assert_allclose((found / reach).mean(axis=0), 0.0, atol=0.05)
        np.testing.assert_allclose((found / reach).var(axis=0), 1 / 3, atol=0.02)
        np.testing.assert_allclose((np.abs(found / reach) > 0.75).mean(axis=0), 0.25, atol=0.04)


def test_seeds_repeat_and_differ():
    first, again, other = (perturbed(clip(), seed, 1.0, 2).world_from_pixel for seed in (7, 7, 8))
    assert np.array_equal(first, again)
    assert np.abs(first - other).max() > 1.0
    assert np.abs(first[:4] - first[4:]).max() > 1.0
    assert not np.array_equal(first, perturbed(clip(), (7, 1), 1.0, 2).world_from_pixel)


def test_the_frames_are_those_of_the_clip_and_their_pixels_keep_their_size():
    start = perturbed(clip(), 1, 2.0, repeats=3)
    assert np.array_equal(start.frames, np.tile(clip().frames, (3, 1, 1)))
    assert np.array_equal(np.diff(start.timestamps) > 0, np.ones(11, bool))
    np.testing.assert_allclose(np.linalg.norm(start.world_from_pixel[:, :3, 0], axis=1), 0.3)
    np.testing.assert_allclose(np.linalg.norm(start.world_from_pixel[:, :3, 1], axis=1), 0.4)


def test_a_frame_that_is_not_valid_changes_nothing_for_the_others():
    whole = perturbed(clip(), 1)
    broken = clip()
    broken.valid[1], broken.world_from_pixel[1] = False, np.nan
    partial = perturbed(broken, 1)
    assert partial.valid.tolist() == [True, False, True, True]
    assert np.array_equal(partial.world_from_pixel[[0, 2, 3]], whole.world_from_pixel[[0, 2, 3]])


def test_the_same_poses_as_an_independent_tool(shared, tmp_path):
    tool = shared.parent / "tools" / "perturb.py"
    if not tool.is_file():
        pytest.skip(f"no {tool}")
    truth = shared / "liver_sweep" / "frames.igs.mha"
    subprocess.run([sys.executable, tool, truth, tmp_path / "start.igs.mha", "7", "2", "3"], check=True)
    theirs = read_sequence(tmp_path / "start.igs.mha")
    ours = perturbed(read_sequence(truth), 7, 2.0, 3)
    np.testing.assert_allclose(ours.world_from_pixel, theirs.world_from_pixel, atol=1e-5)
    assert np.array_equal(ours.frames, theirs.frames)
    np.testing.assert_allclose(ours.timestamps, theirs.timestamps)
