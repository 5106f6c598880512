"""Units and messages, against what the messages mean."""

from array import array

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Quaternion, Transform, Vector3
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import Image, JointState

from deeprs2v_ros.arm.chain import LinkTransform
from deeprs2v_ros.arm.description import read_arm
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import about, apply, from_motion, inverse, rigid, to_motion, turned_covariance
from deeprs2v_ros.nodes.topics import conversions as c
from deeprs2v_ros.resources import resource

POSE = rigid(Rotation.from_euler("xyz", [20, -50, 130], degrees=True).as_matrix(), (120.0, -45.0, 800.0))
STAMP = Time(sec=1_763_800_000, nanosec=123_456_789)


@pytest.fixture(scope="module")
def chain():
    return read_arm(resource("config/arm/liver.yaml")).chain


def test_millimetres_become_metres_and_matrices_quaternions():
    (message,) = c.transform_messages([LinkTransform("a", "b", POSE)], STAMP)
    assert (message.header.frame_id, message.child_frame_id, message.header.stamp) == ("a", "b", STAMP)
    t, q = message.transform.translation, message.transform.rotation
    assert (t.x, t.y, t.z) == pytest.approx((0.120, -0.045, 0.800))
    # The quaternion's rotation of a vector, by Hamilton's formula.
    v, u = np.array([1.0, 2.0, 3.0]), np.array([q.x, q.y, q.z])
    turned = v + 2.0 * np.cross(u, np.cross(u, v) + q.w * v)
    assert turned == pytest.approx(POSE[:3, :3] @ v)


def test_transforms_come_back():
    (message,) = c.transform_messages([LinkTransform("a", "b", POSE)], STAMP)
    assert c.transform_from_message(message.transform) == pytest.approx(POSE)
    assert c.transform_from_pose(c.pose_message(POSE)) == pytest.approx(POSE)


def test_what_is_no_rotation_is_refused():
    message = Transform(translation=Vector3(x=1.0), rotation=Quaternion(x=0.0, y=0.0, z=0.0, w=0.5))
    with pytest.raises(InputError, match="no rigid transform"):
        c.transform_from_message(message)


def test_stamps_keep_every_nanosecond():
    assert c.nanoseconds(STAMP) == 1_763_800_000_123_456_789
    assert c.stamp_message(c.nanoseconds(STAMP)) == STAMP


def test_covariance_turns_and_scales_like_samples_do():
    rng = np.random.default_rng(3)
    root = rng.normal(size=(6, 6)) * np.array([[1.0] * 3 + [0.01] * 3]).T
    centre = np.array([30.0, 60.0, 0.0])
    motions = rng.normal(size=(20000, 6)) @ root.T * 1e-3
    # A small motion of the plane about its centre, seen from the volume: p -> m p becomes p -> X m X^-1 p, about X c.
    seen = [
        to_motion(about(-apply(POSE, centre), POSE @ about(centre, from_motion(motion)) @ inverse(POSE)))
        for motion in motions[:4000]
    ]
    expected = np.cov(np.array(seen).T) * np.outer([1e-3] * 3 + [1.0] * 3, [1e-3] * 3 + [1.0] * 3)
    covariance = np.cov(motions[:4000].T)
    message = np.reshape(c.covariance_message(turned_covariance(covariance, POSE)), (6, 6))
    assert message == pytest.approx(expected, rel=1e-3, abs=1e-3 * np.abs(expected).max())


def test_images_are_arrays_of_bytes_and_come_back():
    image = np.arange(35, dtype=np.uint8).reshape(5, 7)
    message = c.image_message(image[:, ::-1], "mono8", "us_image", STAMP)
    assert isinstance(message.data, array) and message.data.typecode == "B"
    assert (message.height, message.width, message.header.frame_id) == (5, 7, "us_image")
    assert np.array_equal(c.image_from_message(message), image[:, ::-1])


def test_image_that_is_too_short_is_refused():
    with pytest.raises(InputError, match="image"):
        c.image_from_message(Image(encoding="mono8", height=5, width=7, step=7))


def test_joints_are_in_radians_and_metres(chain):
    joints = {name: 0.1 * k for k, name in enumerate(chain.joint_names)} | {"translate": 12.5}
    message = c.joint_state(joints, chain, STAMP)
    values = dict(zip(message.name, message.position, strict=True))
    assert values["translate"] == pytest.approx(0.0125)
    assert values["j2"] == joints["j2"]
    assert c.joints_from_message(message, chain) == pytest.approx(joints)


def test_joint_states_without_positions_are_refused(chain):
    with pytest.raises(InputError, match="2 names with 1 positions"):
        c.joints_from_message(JointState(name=["j1", "j2"], position=[0.0]), chain)


def test_points_are_in_metres():
    message = c.point_message([1.0, -2.0, 3000.0], "base_link", STAMP)
    assert (message.point.x, message.point.y, message.point.z) == pytest.approx((0.001, -0.002, 3.0))


def test_quaternions_are_those_of_scipy_for_turns_of_every_kind():
    rng = np.random.default_rng(4)
    axes = np.concatenate([rng.normal(size=(200, 3)), np.eye(3), -np.eye(3)])
    angles = np.concatenate([rng.uniform(0.0, np.pi, 100), np.pi - 10.0 ** rng.uniform(-12, -1, 106)])
    turns = Rotation.from_rotvec(angles[:, None] * axes / np.linalg.norm(axes, axis=1, keepdims=True))
    half, quarter = Rotation.from_euler("xyz", np.pi * np.eye(3)), Rotation.from_euler("xyz", np.pi / 2 * np.eye(3))
    turns = Rotation.concatenate([turns, half, quarter, Rotation.identity(1)])
    places = [LinkTransform("a", "b", rigid(turn.as_matrix())) for turn in turns]
    rotations = [message.transform.rotation for message in c.transform_messages(places, STAMP)]
    found = np.array([[q.x, q.y, q.z, q.w] for q in rotations])
    assert np.linalg.norm(found, axis=1) == pytest.approx(1.0, abs=1e-15)
    assert (Rotation.from_quat(found) * turns.inv()).magnitude().max() < 1e-14


def test_messages_can_be_filled_anew():
    other = Time(sec=5)
    made = c.transform_messages([LinkTransform("a", "b", np.eye(4)), LinkTransform("b", "c", POSE)], STAMP)
    again = [LinkTransform("a", "b", POSE), LinkTransform("b", "c", np.eye(4))]
    filled = c.transform_messages(again, other, made)
    assert all(one is other for one, other in zip(filled, made, strict=True))
    assert filled == c.transform_messages(again, other)
