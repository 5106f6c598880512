import numpy as np
import pytest
from scipy.spatial.transform import Rotation, Slerp

from deeprs2v_ros import geometry as g

RNG = np.random.default_rng(1)


def random_rigid():
    return g.rigid(Rotation.random(random_state=RNG.integers(1 << 31)).as_matrix(), RNG.normal(0, 50, 3))


def test_inverse_undoes_a_transform_and_works_on_stacks():
    transforms = np.stack([random_rigid() for _ in range(5)])
    assert np.allclose(g.inverse(transforms) @ transforms, np.eye(4), atol=1e-12)
    assert np.allclose(g.inverse(transforms), np.linalg.inv(transforms), atol=1e-12)


def test_apply_agrees_with_homogeneous_coordinates():
    transform, points = random_rigid(), RNG.normal(size=(7, 3))
    assert np.allclose(g.apply(transform, points), (transform @ np.c_[points, np.ones(7)].T).T[:, :3])


def test_motion_round_trip():
    motion = np.array([3.0, -2.0, 1.0, 0.2, -0.5, 0.1])
    assert np.allclose(g.to_motion(g.from_motion(motion)), motion)
    assert np.allclose(g.from_motion(motion)[:3, :3], Rotation.from_rotvec(motion[3:]).as_matrix())


def test_motion_about_a_point_leaves_that_point_to_the_translation_alone():
    centre, motion = np.array([40.0, 30.0, 0.0]), np.array([1.0, 2.0, 3.0, 0.3, 0.2, 0.1])
    assert np.allclose(g.apply(g.about(centre, g.from_motion(motion)), centre), centre + motion[:3])


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-4, 0.5, 3.0, np.pi - 1e-6, np.pi])
def test_geodesic_distance_is_exact_from_zero_to_half_a_turn(angle):
    start = Rotation.random(random_state=3)
    turned = start * Rotation.from_rotvec(angle * np.array([0.6, 0.0, 0.8]))
    assert g.geodesic_distance(start.as_matrix(), turned.as_matrix()) == pytest.approx(angle, abs=2e-8, rel=1e-6)


def test_six_dimensional_rotation_round_trip_and_scale_invariance():
    rotation = Rotation.random(20, random_state=4).as_matrix()
    six = g.rotation_to_6d(rotation)
    assert np.allclose(g.rotation_from_6d(six), rotation)
    stretched = np.concatenate([3.0 * six[:, :3], six[:, 3:] + 0.7 * six[:, :3]], axis=1)
    assert np.allclose(g.rotation_from_6d(stretched), rotation)


def test_interpolation_agrees_with_slerp():
    a, b = random_rigid(), random_rigid()
    expected = Slerp([0, 1], Rotation.from_matrix([a[:3, :3], b[:3, :3]]))(0.3).as_matrix()
    middle = g.interpolate(a, b, 0.3)
    assert np.allclose(middle[:3, :3], expected)
    assert np.allclose(middle[:3, 3], 0.7 * a[:3, 3] + 0.3 * b[:3, 3])


def test_pixel_transform_splits_into_a_rigid_pose_and_a_scale():
    pose, scale = random_rigid(), np.diag([0.3, 0.25, 1.0, 1.0])
    world_from_image, image_from_pixel = g.split_pixel_transform(pose @ scale)
    assert np.allclose(world_from_image, pose)
    assert np.allclose(image_from_pixel, scale)
    assert np.allclose(g.image_centre((101, 201), scale), [30.0, 12.5, 0.0])


@pytest.mark.parametrize("angle", [0.0, 1e-12, 1e-7, 1e-3, 1.0, 1.5707, 1.5709, 3.0, np.pi - 1e-9])
def test_the_motion_of_a_transform_is_scipys_rotation_vector_at_any_angle(angle):
    axis = np.random.default_rng(7).normal(size=3)
    turn = Rotation.from_rotvec(angle * axis / np.linalg.norm(axis))
    transform = g.rigid(turn.as_matrix(), (1.0, -2.0, 3.0))
    np.testing.assert_allclose(g.to_motion(transform), [1.0, -2.0, 3.0, *turn.as_rotvec()], atol=1e-11, rtol=1e-9)


def test_a_rounded_transform_survives_metres_and_a_quaternion_to_the_last_bit():
    for _ in range(200):
        transform = random_rigid()
        rounded = g.rounded(transform)
        assert np.abs(rounded - transform)[:3, 3].max() <= 1e-6
        assert g.geodesic_distance(rounded[:3, :3], transform[:3, :3]) < 1e-7
        metres, quaternion = 1e-3 * rounded[:3, 3], Rotation.from_matrix(rounded[:3, :3]).as_quat()
        told = g.rigid(Rotation.from_quat(quaternion).as_matrix(), 1e3 * metres)
        np.testing.assert_array_equal(g.rounded(told), rounded)
