"""The belief: what is expected of a pose, how it joins with the image, and how it steers the correction."""

import numpy as np
import pytest
from phantoms import CENTRE, cut_frame, displacement, fan, middle_pose, phantom
from scipy.stats import multivariate_t

from deeprs2v_ros.geometry import about, apply, from_motion, inverse, seen_from, to_motion
from deeprs2v_ros.registration.belief import TAIL, Belief, expected_scale, posterior_covariance, surprise
from deeprs2v_ros.registration.correction import correct, evaluate, on_level
from deeprs2v_ros.registration.pyramid import build_level
from deeprs2v_ros.registration.search import hypotheses
from deeprs2v_ros.registration.settings import LevelSettings, OrganMotion


def wide(millimetres=10.0, degrees=6.0):
    return np.diag([millimetres**2] * 3 + [np.radians(degrees) ** 2] * 3)


def moved(pose, motion):
    return pose @ about(CENTRE, from_motion(motion))


def task_for(volume, pose, beliefs, weight, spacing=3.2):
    level = build_level(volume, fan(), (0.5, 0.5), LevelSettings(spacing, 40.0, ()))
    frame = (fan() * cut_frame(volume, pose) / 255).astype(np.float32)
    return on_level(level, level.average(frame), level.mask, CENTRE, beliefs, weight / level.spacing)


def test_the_arm_and_the_organ_add_up():
    arm = np.diag([3.0, 0.0, 0.0, 0.0, 0.0, 0.04]) ** 2
    total = expected_scale(arm, OrganMotion(translation=4.0, rotation=np.degrees(0.03)))
    np.testing.assert_allclose(np.sqrt(np.diag(total)), [5.0, 4.0, 4.0, 0.03, 0.03, 0.05])


def test_information_of_image_and_beliefs_adds_up():
    rng = np.random.default_rng(0)
    image, *others = (each @ each.T for each in rng.normal(size=(3, 6, 6)))
    pose = middle_pose(phantom("spheres"))
    expected = np.linalg.inv(sum(np.linalg.inv(each) for each in (image, *others)))
    beliefs = [Belief(pose, each) for each in others]
    np.testing.assert_allclose(posterior_covariance(image, pose, beliefs, CENTRE), expected, rtol=1e-5, atol=1e-8)


def test_a_belief_that_turned_out_wrong_makes_no_pose_surer():
    pose = middle_pose(phantom("spheres"))
    elsewhere = Belief(moved(pose, [300.0, 0.0, 0.0, 0.0, 0.0, 0.0]), wide(1.0, 1.0))
    np.testing.assert_allclose(posterior_covariance(wide(), pose, [elsewhere], CENTRE), wide(), rtol=0.01)


def test_a_motion_seen_from_another_point_is_the_same_motion():
    motion = np.random.default_rng(1).normal(size=6) * 1e-7
    about_lever = from_motion(seen_from(CENTRE) @ motion)
    np.testing.assert_allclose(about(-CENTRE, from_motion(motion)), about_lever, atol=1e-11)


def test_surprise_counts_standard_deviations():
    pose = middle_pose(phantom("spheres"))
    belief = Belief(pose, wide(2.0, 3.0))
    assert surprise(pose, belief, CENTRE) == pytest.approx(0.0, abs=1e-6)
    away = moved(pose, [2.0, -2.0, 2.0, *(np.radians(3.0) * np.array([1.0, -1.0, 1.0]))])
    assert surprise(away, belief, CENTRE) == pytest.approx(1.0, rel=1e-6)


def test_the_score_is_lncc_by_the_root_of_the_overlap_less_the_cost_of_leaving_the_belief():
    volume = phantom("spheres")
    pose = middle_pose(volume, (50, 0, 0, 0, 0, 0))
    belief = Belief(moved(pose, [3.0, -2.0, 1.0, 0.1, -0.2, 0.15]), wide(4.0, 5.0))
    free = evaluate(task_for(volume, pose, [belief], 0.0), pose)
    bound = evaluate(task_for(volume, pose, [belief], 0.02), pose)
    motion = to_motion(about(-CENTRE, inverse(belief.pose) @ pose))
    squared = motion @ np.linalg.solve(belief.scale, motion)
    tails = multivariate_t(np.zeros(6), belief.scale, df=TAIL)
    log_odds = (tails.logpdf(np.zeros(6)) - tails.logpdf(motion)) * TAIL / (TAIL + 6.0)
    assert free.overlap < 0.8
    assert free.score == pytest.approx(free.lncc * np.sqrt(free.overlap))
    assert free.score - bound.score == pytest.approx(0.02 * log_odds)
    assert free.score - bound.score < 0.01 * squared


def test_the_slope_of_the_score_leads_up_to_the_belief():
    """Where the image says nothing, LNCC is flat, and the gradient is that of the belief's cost alone."""
    volume = phantom("spheres")
    pose = middle_pose(volume)
    belief = Belief(moved(pose, [3.0, -2.0, 1.0, 0.02, -0.03, 0.02]), wide(4.0, 5.0))
    task = task_for(volume, pose, [belief], 0.02)
    pull = evaluate(task, pose).gradient - evaluate(task._replace(weight=0.0), pose).gradient

    def cost(step):
        at = moved(pose, step)
        return evaluate(task._replace(weight=0.0), at).score - evaluate(task, at).score

    steps = 1e-4 * np.eye(6)
    numeric = np.array([cost(-step) - cost(step) for step in steps]) / 2e-4
    np.testing.assert_allclose(pull, numeric, rtol=0.1, atol=0.02 * np.abs(numeric).max())


def test_a_direction_that_the_image_does_not_show_stays_where_it_is_believed():
    volume = phantom("columns")  # the same all along z: only depth and turns across it are to be seen
    truth = middle_pose(volume)
    sure_of_z = Belief(moved(truth, [4.0, -3.0, 0.0, 0.0, 0.0, 0.0]), np.diag([100.0, 100.0, 0.25, 0.01, 0.01, 0.01]))
    start = moved(truth, [3.0, -2.0, 6.0, 0.0, 0.0, 0.0])
    best, _ = correct(task_for(volume, truth, [sure_of_z], 0.02), start, 60)
    off = apply(inverse(truth) @ best.pose, CENTRE) - CENTRE
    assert np.abs(off[:2]).max() < 0.3
    assert abs(off[2]) < 0.5


def test_a_sure_belief_is_not_left_for_a_higher_summit_and_a_vague_one_is():
    volume = phantom("spheres")
    truth = middle_pose(volume)
    believed = truth @ displacement((6.0, 5.0, -3.0, 0.0, 0.0, 6.0))
    for deviation, expected in ((0.05, 0.0), (20.0, 8.37)):
        belief = Belief(believed, wide(deviation, deviation))
        best, _ = correct(task_for(volume, truth, [belief], 0.02), believed, 60)
        left = np.linalg.norm(apply(best.pose, CENTRE) - apply(believed, CENTRE))
        assert left == pytest.approx(expected, abs=0.6)


def test_of_two_beliefs_that_contradict_one_another_the_image_chooses():
    """Wherever the wrong one lies, and in whichever order they come."""
    volume = phantom("spheres")
    truth = middle_pose(volume)
    right, wrong = (Belief(moved(truth, [x, 0.0, 0.0, 0.0, 0.0, 0.0]), wide(2.0, 2.0)) for x in (1.0, 40.0))
    for beliefs in ([right, wrong], [wrong, right]):
        best, _ = correct(task_for(volume, truth, beliefs, 0.02), right.pose, 60)
        assert np.linalg.norm(apply(best.pose, CENTRE) - apply(truth, CENTRE)) < 0.5


def test_hypotheses_lie_where_the_belief_is_least_sure():
    covariance = wide(1.0, 0.5)
    covariance[2, 2] = 20.0**2
    belief = Belief(middle_pose(phantom("spheres")), covariance)
    prior = Belief(moved(belief.pose, [5.0, 0.0, 0.0, 0.0, 0.0, 0.0]), wide())
    poses = hypotheses([belief, prior], CENTRE)
    np.testing.assert_allclose(poses[0], belief.pose)
    np.testing.assert_allclose(poses[1], prior.pose)
    offsets = np.array([apply(inverse(belief.pose) @ pose, CENTRE) - CENTRE for pose in poses])
    assert {round(z) for z in offsets[:, 2]} >= {30, -30}


def test_starts_are_drawn_around_the_prior_in_all_directions_at_once():
    prior = Belief(middle_pose(phantom("spheres")), wide(6.0, 4.0))
    poses = hypotheses([prior], CENTRE)
    np.testing.assert_allclose(poses[0], prior.pose)
    motions = np.array([to_motion(about(-CENTRE, inverse(prior.pose) @ pose)) for pose in poses[1:]])
    deviations = motions.std(axis=0) / np.sqrt(np.diag(prior.scale))
    assert ((deviations > 1.4) & (deviations < 2.8)).all()
    assert np.abs(motions / motions.std(axis=0)).min(axis=1).max() > 0.5
    assert np.array_equal(poses, hypotheses([prior], CENTRE))


def test_a_belief_covaries_as_students_t_distribution():
    rng = np.random.default_rng(0)
    scale = wide(3.0, 2.0)
    drawn = multivariate_t.rvs(np.zeros(6), scale, df=TAIL, size=100_000, random_state=rng)
    covariance = Belief(np.eye(4), scale).covariance
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), drawn.std(axis=0), rtol=0.1)
    np.testing.assert_allclose(Belief.with_covariance(np.eye(4), covariance).scale, scale)
    np.testing.assert_allclose(Belief(np.eye(4), scale).weakened(2.0).covariance, 4.0 * covariance)
