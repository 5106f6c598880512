"""What a tf2_ros.Buffer takes in and keeps, and what it refuses to look up. Runs against the official one as well."""

import numpy as np
import pytest
import tf2_ros
from geometry_msgs.msg import TransformStamped
from numpy.testing import assert_allclose
from rclpy.duration import Duration
from rclpy.time import Time
from scipy.spatial.transform import Rotation
from transforms import at, history, matrix, message, put, put_static, shifted


@pytest.fixture
def buffer():
    return tf2_ros.Buffer()


# --- What is taken in ---


def test_transforms_may_come_out_of_order(buffer):
    history(buffer, "base", "probe", 1.0, 4.0, 2.0, 3.0)
    put(buffer, "base", "probe", 2.5, shifted(9.0))
    assert matrix(buffer.lookup_transform("base", "probe", at(2.5)))[0, 3] == 9.0
    assert matrix(buffer.lookup_transform("base", "probe", at(1.5)))[0, 3] == pytest.approx(1.5)
    assert buffer.lookup_transform("base", "probe", Time()).header.stamp == at(4.0).to_msg()


def test_what_is_older_than_the_cache_time_is_rejected(buffer):
    history(buffer, "base", "probe", 20.0, 9.0)
    with pytest.raises(tf2_ros.ExtrapolationException):
        buffer.lookup_transform("base", "probe", at(9.0))
    put(buffer, "base", "probe", 10.5, shifted(10.5))
    assert buffer.can_transform("base", "probe", at(15.0))


def test_history_is_ten_seconds_by_default(buffer):
    history(buffer, "base", "probe", *range(1, 31))
    assert not buffer.can_transform("base", "probe", at(18.0))
    assert buffer.can_transform("base", "probe", at(20.0))


def test_cache_time_is_what_was_asked_for():
    buffer = tf2_ros.Buffer(Duration(seconds=2))
    history(buffer, "base", "probe", *range(1, 11))
    assert not buffer.can_transform("base", "probe", at(6.5))
    assert buffer.can_transform("base", "probe", at(8.0))


def spoiled(name):
    stamped = message("base", "child", 1.0)
    rotation = stamped.transform.rotation
    if name == "nan":
        stamped.transform.translation.y = float("nan")
    elif name == "zero quaternion":
        rotation.w = 0.0
    elif name == "infinite quaternion":
        rotation.w = float("inf")
    elif name == "own parent":
        stamped.header.frame_id = "child"
    elif name == "no parent":
        stamped.header.frame_id = ""
    return stamped


@pytest.mark.parametrize("name", ["nan", "zero quaternion", "infinite quaternion", "own parent", "no parent"])
def test_what_is_no_transform_is_ignored(buffer, name):
    buffer.set_transform(spoiled(name), "test")
    with pytest.raises(tf2_ros.LookupException):
        buffer.lookup_transform("base", "child", at(1.0))


@pytest.mark.parametrize("length", [1.001, 1.1, 0.5, 100.0])
def test_a_quaternion_of_any_length_is_made_a_unit_one(buffer, length):
    """Whoever wants those refused that are far from one has to do so before they get here."""
    turned = np.eye(4)
    turned[:3, :3] = Rotation.from_euler("xyz", [0.3, -0.2, 2.0]).as_matrix()
    stamped = message("base", "child", 1.0, turned)
    rotation = stamped.transform.rotation
    rotation.x, rotation.y, rotation.z, rotation.w = (
        length * part for part in (rotation.x, rotation.y, rotation.z, rotation.w)
    )
    buffer.set_transform(stamped, "test")
    found = buffer.lookup_transform("base", "child", at(1.0))
    r = found.transform.rotation
    assert np.linalg.norm([r.x, r.y, r.z, r.w]) == pytest.approx(1.0, abs=1e-15)
    assert_allclose(matrix(found), turned, atol=1e-14)


def test_a_slash_in_front_of_a_received_frame_is_dropped(buffer):
    put(buffer, "/base", "/child", 1.0)
    assert buffer.can_transform("base", "child", at(1.0))


def test_clear_forgets_all_but_static_transforms(buffer):
    history(buffer, "base", "probe", 1.0, 2.0)
    put_static(buffer, "probe", "image")
    buffer.clear()
    assert not buffer.can_transform("base", "probe", at(1.5))
    assert buffer.can_transform("probe", "image", at(1.5))
    history(buffer, "base", "probe", 0.1, 0.2)
    assert buffer.can_transform("base", "image", at(0.15))


# --- What cannot be looked up ---


@pytest.mark.parametrize(("seconds", "side"), [(2.5, "future"), (0.5, "past")])
def test_no_extrapolation(buffer, seconds, side):
    history(buffer, "base", "probe", 1.0, 2.0)
    with pytest.raises(tf2_ros.ExtrapolationException, match=rf"into the {side}.*{seconds}.*\[probe\].*\[base\]"):
        buffer.lookup_transform("base", "probe", at(seconds))
    with pytest.raises(tf2_ros.ExtrapolationException, match=side):
        buffer.lookup_transform("probe", "base", at(seconds))


def test_a_single_transform_holds_at_its_own_time_only(buffer):
    history(buffer, "base", "probe", 1.0)
    assert buffer.can_transform("base", "probe", at(1.0))
    with pytest.raises(tf2_ros.ExtrapolationException):
        buffer.lookup_transform("base", "probe", at(1.000000001))


def test_unknown_frame(buffer):
    history(buffer, "base", "probe", 1.0)
    for target, source in (("base", "nowhere"), ("nowhere", "base")):
        with pytest.raises(tf2_ros.LookupException, match="nowhere"):
            buffer.lookup_transform(target, source, at(1.0))


def test_unconnected_trees(buffer):
    history(buffer, "base", "probe", 1.0)
    history(buffer, "map", "robot", 1.0)
    for time in (at(1.0), Time()):
        with pytest.raises(tf2_ros.ConnectivityException, match=r"base.*robot|robot.*base"):
            buffer.lookup_transform("base", "robot", time)


def test_a_loop_is_found(buffer):
    for parent, child in (("a", "b"), ("b", "c"), ("c", "a")):
        put(buffer, parent, child, 1.0)
    put(buffer, "x", "y", 1.0)
    for time in (at(1.0), Time()):
        with pytest.raises(tf2_ros.LookupException, match="loop"):
            buffer.lookup_transform("y", "a", time)


@pytest.mark.parametrize("name", ["", "/base"])
def test_names_that_no_frame_has(buffer, name):
    history(buffer, "base", "probe", 1.0)
    with pytest.raises(tf2_ros.InvalidArgumentException):
        buffer.lookup_transform(name, "probe", at(1.0))


def test_time_must_be_a_time(buffer):
    history(buffer, "base", "probe", 1.0)
    with pytest.raises(TypeError):
        buffer.lookup_transform("base", "probe", 1.0)


def test_a_stamp_of_a_message_will_do(buffer):
    history(buffer, "base", "probe", 1.0, 2.0)
    assert matrix(buffer.lookup_transform("base", "probe", at(1.5).to_msg()))[0, 3] == pytest.approx(1.5)


def test_can_transform_says_why_not(buffer):
    history(buffer, "base", "probe", 1.0, 2.0)
    possible, reason = buffer.can_transform("base", "probe", at(3.0), return_debug_tuple=True)
    assert not possible
    assert "future" in reason
    possible, reason = buffer.can_transform("base", "nowhere", at(1.0), return_debug_tuple=True)
    assert not possible
    assert "nowhere" in reason
    assert buffer.can_transform("base", "probe", at(1.5), return_debug_tuple=True) == (True, "")


def test_every_exception_is_a_transform_exception():
    names = ("Lookup", "Connectivity", "Extrapolation", "InvalidArgument", "Timeout")
    assert all(issubclass(getattr(tf2_ros, f"{name}Exception"), tf2_ros.TransformException) for name in names)


def test_results_are_messages_that_can_be_sent_on(buffer):
    history(buffer, "base", "probe", 1.0)
    found = buffer.lookup_transform("base", "probe", at(1.0))
    assert isinstance(found, TransformStamped)
    other = tf2_ros.Buffer()
    other.set_transform(found, "test")
    assert other.lookup_transform("base", "probe", at(1.0)) == found
