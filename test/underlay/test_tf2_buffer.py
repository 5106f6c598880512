"""What a tf2_ros.Buffer promises, held to scipy and to the documentation. Runs against the official one as well."""

import numpy as np
import pytest
import tf2_ros
from numpy.testing import assert_allclose
from rclpy.time import Time
from scipy.spatial.transform import Rotation, Slerp
from transforms import at, history, matrix, message, put, put_static, random_matrix, shifted


@pytest.fixture
def buffer():
    return tf2_ros.Buffer()


@pytest.fixture
def rng():
    return np.random.default_rng(0)


# --- Between two transforms ---


@pytest.mark.parametrize("fraction", [0.0, 0.25, 0.5, 0.9, 1.0])
def test_translation_is_linear_and_rotation_slerp(buffer, rng, fraction):
    for pair in range(20):
        start, end = random_matrix(rng), random_matrix(rng)
        child = f"child{pair}"
        put(buffer, "base", child, 1.0, start)
        put(buffer, "base", child, 3.0, end)
        found = matrix(buffer.lookup_transform("base", child, at(1.0 + 2.0 * fraction)))
        slerp = Slerp([0.0, 1.0], Rotation.from_matrix([start[:3, :3], end[:3, :3]]))
        assert_allclose(found[:3, :3], slerp(fraction).as_matrix(), atol=1e-12)
        assert_allclose(found[:3, 3], (1.0 - fraction) * start[:3, 3] + fraction * end[:3, 3], atol=1e-12)


@pytest.mark.parametrize("angle", [0.0, 1e-12, 1e-8, 1e-4, np.pi - 1e-6])
def test_slerp_of_tiny_and_of_half_turns(buffer, angle):
    """A turn of which the cosine of the half is one, in floating point, is none until it is over."""
    end = np.eye(4)
    end[:3, :3] = Rotation.from_rotvec([0.0, angle, 0.0]).as_matrix()
    put(buffer, "base", "child", 1.0)
    put(buffer, "base", "child", 2.0, end)
    halfway, over = (buffer.lookup_transform("base", "child", at(t)).transform.rotation.y for t in (1.5, 2.0))
    assert halfway == pytest.approx(np.sin(angle / 4.0) if angle > 2.2e-8 else 0.0, rel=1e-9, abs=1e-15)
    assert over == pytest.approx(np.sin(angle / 2.0), rel=1e-9, abs=1e-15)


def test_a_quaternion_and_its_negative_are_one_rotation(buffer, rng):
    turn = random_matrix(rng)
    negative = message("base", "child", 2.0, turn)
    rotation = negative.transform.rotation
    rotation.x, rotation.y, rotation.z, rotation.w = -rotation.x, -rotation.y, -rotation.z, -rotation.w
    put(buffer, "base", "child", 1.0, turn)
    buffer.set_transform(negative, "test")
    assert_allclose(matrix(buffer.lookup_transform("base", "child", at(1.3))), turn, atol=1e-12)


# --- Through the tree ---


def test_chain_through_a_common_ancestor(buffer, rng):
    tree = {
        "arm": "base",
        "probe": "arm",
        "image": "probe",
        "volume": "base",
        "corrected": "volume",
        "tumor": "corrected",
    }
    base_from = {"base": np.eye(4)}
    for child, parent in tree.items():
        step = random_matrix(rng)
        base_from[child] = base_from[parent] @ step
        (put_static if child in ("image", "tumor") else lambda *a: put(a[0], a[1], a[2], 5.0, a[3]))(
            buffer, parent, child, step
        )
    for target, base_from_target in base_from.items():
        for source, base_from_source in base_from.items():
            found = buffer.lookup_transform(target, source, at(5.0))
            assert_allclose(matrix(found), np.linalg.inv(base_from_target) @ base_from_source, atol=1e-12)
            assert (found.header.frame_id, found.child_frame_id) == (target, source)
            assert found.header.stamp == at(5.0).to_msg()


def test_history_above_the_common_ancestor_is_not_needed(buffer):
    history(buffer, "map", "base", 100.0, 101.0)
    history(buffer, "base", "left", 1.0, 2.0)
    history(buffer, "base", "right", 1.0, 2.0)
    assert buffer.can_transform("left", "right", at(1.5))


def test_each_link_is_interpolated_at_the_same_time(buffer):
    history(buffer, "base", "arm", 1.0, 2.0)
    history(buffer, "arm", "probe", 0.8, 1.7)
    assert matrix(buffer.lookup_transform("base", "probe", at(1.25)))[0, 3] == pytest.approx(2.5)


def test_a_new_parent_takes_over_at_its_time(buffer):
    put(buffer, "left", "child", 1.0, shifted(1.0))
    put(buffer, "right", "child", 2.0, shifted(2.0))
    assert matrix(buffer.lookup_transform("left", "child", at(1.9)))[0, 3] == 1.0
    assert matrix(buffer.lookup_transform("right", "child", at(2.0)))[0, 3] == 2.0
    with pytest.raises(tf2_ros.ConnectivityException):
        buffer.lookup_transform("right", "child", at(1.9))


def test_full_lookup_goes_by_the_fixed_frame(buffer):
    history(buffer, "base", "probe", 1.0, 2.0)
    found = buffer.lookup_transform_full("probe", at(2.0), "probe", at(1.0), "base")
    assert matrix(found)[0, 3] == pytest.approx(-1.0)
    assert buffer.can_transform_full("probe", at(2.0), "probe", at(1.0), "base")
    assert not buffer.can_transform_full("probe", at(3.0), "probe", at(1.0), "base")
    with pytest.raises(tf2_ros.ExtrapolationException):
        buffer.lookup_transform_full("probe", at(2.0), "probe", at(0.5), "base")


# --- Time 0, static transforms ---


def test_time_zero_is_the_latest_common_time(buffer):
    history(buffer, "base", "arm", 1.0, 2.0, 3.0)
    history(buffer, "arm", "probe", 1.0, 2.5)
    put_static(buffer, "probe", "image", shifted(10.0))
    found = buffer.lookup_transform("base", "image", Time())
    assert found.header.stamp == at(2.5).to_msg()
    assert matrix(found)[0, 3] == pytest.approx(15.0)
    assert buffer.get_latest_common_time("base", "image").nanoseconds == at(2.5).nanoseconds


def test_a_slow_frame_beside_the_path_does_not_hold_the_latest_time_back(buffer):
    history(buffer, "map", "base", 0.5)
    history(buffer, "base", "left", 2.0)
    history(buffer, "base", "right", 2.0)
    assert buffer.lookup_transform("left", "right", Time()).header.stamp == at(2.0).to_msg()


def test_static_transforms_hold_at_any_time(buffer):
    put_static(buffer, "base", "volume", shifted(3.0))
    for seconds in (0.0, 1e-9, 5.0, 1e9):
        found = buffer.lookup_transform("volume", "base", at(seconds))
        assert matrix(found)[0, 3] == -3.0
        assert found.header.stamp == at(seconds).to_msg()


def test_the_last_static_transform_replaces_those_before(buffer):
    put_static(buffer, "base", "volume", shifted(3.0))
    put_static(buffer, "base", "volume", shifted(4.0))
    assert matrix(buffer.lookup_transform("base", "volume", Time()))[0, 3] == 4.0


def test_a_frame_in_itself_is_the_identity(buffer):
    found = buffer.lookup_transform("anything", "anything", at(7.0))
    assert_allclose(matrix(found), np.eye(4))
    assert found.header.stamp == at(7.0).to_msg()
