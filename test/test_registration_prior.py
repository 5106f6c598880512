"""Image and prior, joined: against the least-squares solution, and what each has to say where the other is blind."""

import numpy as np
import pytest
from scipy.optimize import minimize

from deeprs2v_ros.geometry import about, from_motion, inverse, rigid, seen_from, to_motion
from deeprs2v_ros.registration.prior import expected_covariance, joined
from deeprs2v_ros.registration.settings import OrganMotion

CENTRE = np.array([80.0, 60.0, 0.0])


def covariance(rng, millimetres, radians):
    shape = rng.normal(size=(6, 6)) * np.array([millimetres] * 3 + [radians] * 3)[:, None]
    return shape @ shape.T


def moved(pose, motion):
    return pose @ about(CENTRE, from_motion(motion))


def test_the_joined_pose_is_the_most_probable_one():
    rng = np.random.default_rng(0)
    registered = rigid(from_motion(rng.normal(size=6))[:3, :3], rng.normal(size=3) * 50)
    image, expected = covariance(rng, 1.0, 0.01), covariance(rng, 2.0, 0.02)
    apart = rng.normal(size=6) * [0.5, 0.5, 0.5, 1e-3, 1e-3, 1e-3]
    pose, joint = joined(registered, image, moved(registered, apart), expected, CENTRE)

    def improbable(motion):
        return motion @ np.linalg.solve(image, motion) + (motion - apart) @ np.linalg.solve(expected, motion - apart)

    best = minimize(improbable, np.zeros(6), method="Nelder-Mead", options={"maxiter": 20000, "fatol": 1e-12})
    best = minimize(improbable, best.x, method="BFGS", options={"gtol": 1e-12})
    step = to_motion(about(-CENTRE, inverse(registered) @ pose))
    assert improbable(step) == pytest.approx(best.fun, rel=1e-6)
    np.testing.assert_allclose(np.linalg.inv(joint), np.linalg.inv(image) + np.linalg.inv(expected), rtol=1e-6)


def test_a_direction_that_the_image_shows_stays_and_one_it_does_not_goes_to_the_prior():
    image = np.diag([1e-2, 1e-2, 1e6, 1e-6, 1e-6, 1e-6]) ** 2
    expected = expected_covariance(None, OrganMotion(translation=5.0, rotation=3.0))
    prior = moved(np.eye(4), [4.0, -3.0, 7.0, 0.0, 0.0, 0.0])
    pose, joint = joined(np.eye(4), image, prior, expected, CENTRE)
    np.testing.assert_allclose(pose[:3, 3], [0.0, 0.0, 7.0], atol=1e-3)
    assert np.sqrt(joint[2, 2]) == pytest.approx(5.0, rel=1e-3)


def test_the_arm_and_the_organ_add_up():
    arm = np.diag([3.0, 0.0, 0.0, 0.0, 0.0, 0.04]) ** 2
    total = expected_covariance(arm, OrganMotion(translation=4.0, rotation=np.degrees(0.03)))
    np.testing.assert_allclose(np.sqrt(np.diag(total)), [5.0, 4.0, 4.0, 0.03, 0.03, 0.05])


def test_a_motion_seen_from_another_point_is_the_same_motion():
    rng = np.random.default_rng(1)
    motion = rng.normal(size=6) * 1e-7
    about_lever = from_motion(seen_from(CENTRE) @ motion)
    np.testing.assert_allclose(about(-CENTRE, from_motion(motion)), about_lever, atol=1e-11)
