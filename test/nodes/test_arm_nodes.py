"""Counts to joint states to TF."""

import numpy as np
import pytest
import rclpy
from bench import overrides
from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.time import Time
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from tf2_ros import Buffer, TransformListener

from deeprs2v_ros.arm.description import read_arm
from deeprs2v_ros.arm.uncertainty import UncertainArm
from deeprs2v_ros.arm.urdf import read_joints
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import apply
from deeprs2v_ros.nodes.arm_encoders import ArmEncoders
from deeprs2v_ros.nodes.arm_kinematics import ArmKinematics
from deeprs2v_ros.nodes.support import qos
from deeprs2v_ros.nodes.support.conversions import (
    covariance_from_pose,
    joint_state,
    nanoseconds,
    stamp_message,
    transform_from_message,
    transform_from_pose,
)
from deeprs2v_ros.resources import resource

ARM = read_arm(resource("config/arm/liver.yaml"))
IMAGES = {"image.rows": 300, "image.columns": 401, "image.pixel_size": [0.4, 0.4], "image.face": [210.0, 12.0]}


@pytest.fixture
def hand(ros, keep):
    return keep(rclpy.create_node("hand", context=ros))


@pytest.fixture
def listen(hand):
    """Joint states received."""
    received = []
    hand.create_subscription(JointState, "joint_states", received.append, qos.JOINTS)
    return received


@pytest.fixture
def kinematics(ros, keep):
    return keep(ArmKinematics(context=ros, parameter_overrides=overrides(IMAGES | {"pose_rate": 20.0})))


@pytest.fixture
def buffer(hand):
    buffer = Buffer(node=hand)
    buffer.listener = TransformListener(buffer, hand)
    return buffer


def write_log(path, rows, joints=ARM.chain.joint_names):
    lines = [",".join(["stamp", *joints])]
    lines += [",".join(map(str, [stamp, *(counts[name] for name in joints)])) for stamp, counts in rows]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def encoders(ros, keep, path, **parameters):
    values = {"source": "log", "log.file": path, "log.loop": False} | parameters
    return keep(ArmEncoders(context=ros, parameter_overrides=overrides(values)))


def moved(k):
    """Counts a little away from rest."""
    return ARM.encoders.counts(ARM.rest | {"j1": ARM.rest["j1"] + 0.004 * k, "translate": 0.2 * k})


def test_the_mounting_is_a_parameter(ros, keep, hand, buffer, spin_until, tmp_path):
    mount = [0.1, -0.2, 0.3, -1.4, 0.05, 0.6]
    node = keep(ArmKinematics(context=ros, parameter_overrides=overrides(IMAGES | {"arm_mount": mount})))
    described = []
    hand.create_subscription(String, "robot_description", described.append, qos.LATCHED)
    spin_until(lambda: described and buffer.can_transform("base_link", "arm_base", Time()), node, hand)
    found = transform_from_message(buffer.lookup_transform("base_link", "arm_base", Time()).transform)
    assert found[:3, 3] == pytest.approx([100.0, -200.0, 300.0])
    assert found[:3, :3] == pytest.approx(Rotation.from_euler("xyz", mount[3:]).as_matrix())
    # and the description says the same
    (tmp_path / "arm.urdf").write_text(described[0].data)
    joints = {joint.name: joint for joint in read_joints(tmp_path / "arm.urdf")}
    assert joints["mount"].parent_from_joint == pytest.approx(found, abs=1e-6)
    assert set(joints) == set(ARM.chain.joints)


def test_the_images_pose_is_published_with_its_covariance_less_often(kinematics, hand, spin_until):
    publisher = hand.create_publisher(JointState, "joint_states", qos.JOINTS)
    poses = []
    hand.create_subscription(PoseWithCovarianceStamped, "arm/image_pose", poses.append, qos.STATUS)
    spin_until(lambda: publisher.get_subscription_count() == 1, kinematics, hand)
    spin_until(lambda: kinematics.count_subscribers("/arm/image_pose") == 1, kinematics, hand)
    began = hand.get_clock().now().nanoseconds
    for k in range(21):  # 0.2 s at 100 Hz
        stamp = stamp_message(began + k * 10_000_000)
        publisher.publish(joint_state(ARM.rest | {"j1": ARM.rest["j1"] + 0.01 * k}, ARM.chain, stamp))
    spin_until(lambda: len(poses) == 5, kinematics, hand)
    arm = ARM.holding((300, 401), np.diag([0.4, 0.4, 1.0, 1.0]), (210.0, 12.0))
    uncertain = UncertainArm(arm, "us_image")
    for message, k in zip(poses, (0, 5, 10, 15, 20), strict=True):
        expected = uncertain.pose(ARM.rest | {"j1": ARM.rest["j1"] + 0.01 * k})
        assert message.header.frame_id == "base_link"
        assert nanoseconds(message.header.stamp) == began + k * 10_000_000
        assert transform_from_pose(message.pose.pose) == pytest.approx(expected.base_from_link, abs=1e-6)
        found = covariance_from_pose(message.pose)
        assert found == pytest.approx(expected.covariance, rel=1e-6, abs=1e-9)
        # In the message it is along base_link's axes, in metres: the share of the vertical.
        down = expected.base_from_link[:3, :3].T @ [0.0, 0.0, 1.0]
        assert message.pose.covariance[14] == pytest.approx(1e-6 * down @ found[:3, :3] @ down)


def test_kinematics_on_tf_equals_the_chain(kinematics, hand, buffer, spin_until):
    publisher = hand.create_publisher(JointState, "joint_states", qos.JOINTS)
    joints = ARM.rest | {"j2": -1.6, "j6": 0.2, "translate": 17.0, "tilt": 0.3}
    stamp = hand.get_clock().now().to_msg()
    spin_until(lambda: publisher.get_subscription_count() == 1, kinematics, hand)
    spin_until(lambda: kinematics.count_subscribers("/tf") == 1, kinematics, hand)
    publisher.publish(joint_state(joints, ARM.chain, stamp))
    time = Time.from_msg(stamp)
    spin_until(lambda: buffer.can_transform("base_link", "us_image", time), kinematics, hand)
    chain = ARM.holding((300, 401), np.diag([0.4, 0.4, 1.0, 1.0]), (210.0, 12.0)).chain
    for link in chain.links[1:]:
        found = transform_from_message(buffer.lookup_transform("base_link", link, time).transform)
        assert found == pytest.approx(chain.base_from(link, joints), abs=1e-6), link
    # The image hangs where the geometry of the images says: the pixel at the face lies in the probe's origin.
    probe_from_image = transform_from_message(buffer.lookup_transform("us_probe", "us_image", time).transform)
    assert apply(probe_from_image, [210.0 * 0.4, 12.0 * 0.4, 0.0]) == pytest.approx([0.0, 0.0, 0.0], abs=1e-9)


def test_joint_missing_makes_tf_go_stale(kinematics, hand, buffer, spin_until):
    publisher = hand.create_publisher(JointState, "joint_states", qos.JOINTS)
    spin_until(lambda: publisher.get_subscription_count() == 1, kinematics, hand)
    spin_until(lambda: kinematics.count_subscribers("/tf") == 1, kinematics, hand)
    without, nan, fine = (joint_state(ARM.rest, ARM.chain, stamp_message(k)) for k in (1, 2, 3))
    without.name, without.position = without.name[1:], without.position[1:]
    nan.position[2] = float("nan")
    for message in (without, nan, fine):
        publisher.publish(message)
    spin_until(lambda: buffer.can_transform("base_link", "us_probe", Time(nanoseconds=3)), kinematics, hand)
    assert not buffer.can_transform("base_link", "us_probe", Time(nanoseconds=2))


def test_description_is_there_for_who_comes_later(kinematics, hand, spin_until):
    received = []
    hand.create_subscription(String, "robot_description", received.append, qos.LATCHED)
    spin_until(lambda: received, kinematics, hand)
    assert "<robot" in received[0].data


def test_log_is_played_at_its_own_pace(ros, keep, hand, listen, spin_until, tmp_path):
    path = write_log(tmp_path / "counts.csv", [(100.0 + 0.02 * k, moved(k)) for k in range(10)])
    node = encoders(ros, keep, path)
    spin_until(lambda: len(listen) == 10, node, hand)
    stamps = [nanoseconds(message.header.stamp) for message in listen]
    assert np.diff(stamps) == pytest.approx(np.full(9, 20_000_000), abs=2)
    last = dict(zip(listen[-1].name, listen[-1].position, strict=True))
    expected = ARM.encoders.joints(moved(9))
    assert last["j1"] == pytest.approx(expected["j1"])
    assert last["translate"] == pytest.approx(expected["translate"] * 1e-3)


def test_log_starts_again_at_its_end(ros, keep, hand, listen, spin_until, tmp_path):
    path = write_log(tmp_path / "counts.csv", [(0.02 * k, moved(30 * (k // 2))) for k in range(2)])
    node = encoders(ros, keep, path, **{"log.loop": True})
    spin_until(lambda: len(listen) >= 6, node, hand)
    stamps = [nanoseconds(message.header.stamp) for message in listen]
    assert stamps == sorted(set(stamps))
    assert node.rejected.total() == 0


def test_implausible_samples_are_counted_and_not_published(ros, keep, hand, listen, spin_until, tmp_path):
    fast, outside, good = moved(0) | {"j1": 4000}, moved(1) | {"j2": 9999}, moved(4)
    rows = [(0.0, moved(0)), (0.02, fast), (0.04, outside), (0.06, moved(3) | {"j3": "nan"}), (0.08, good)]
    node = encoders(ros, keep, write_log(tmp_path / "counts.csv", rows))
    spin_until(lambda: len(listen) == 2, node, hand)
    assert node.rejected.total() == 3
    found = [dict(zip(message.name, message.position, strict=True)) for message in listen]
    assert [each["j1"] for each in found] == pytest.approx([ARM.encoders.joints(c)["j1"] for c in (moved(0), good)])


def test_several_rejected_in_a_row_latch_a_fault(ros, keep, hand, listen, spin_until, tmp_path):
    broken = moved(0) | {"j2": 9999}
    rows = [(0.01 * k, broken if 2 <= k < 7 else moved(0)) for k in range(20)]
    node = encoders(ros, keep, write_log(tmp_path / "counts.csv", rows), fault_after=5)
    spin_until(lambda: node.rejected.total() == 5, node, hand)
    end = node.get_clock().now().nanoseconds + 250_000_000  # the log ends before that
    spin_until(lambda: node.get_clock().now().nanoseconds > end, node, hand)
    assert len(listen) == 2  # the good ones that came later stay unpublished


def test_joint_that_the_log_lacks_is_a_rejected_sample(ros, keep, hand, spin_until, tmp_path):
    path = write_log(tmp_path / "counts.csv", [(0.01 * k, moved(0)) for k in range(3)], ARM.chain.joint_names[1:])
    node = encoders(ros, keep, path)
    spin_until(lambda: node.rejected.total() == 3, node, hand)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("time,j1\n1,2\n2,3\n", "does not begin"),
        ("stamp,j1\n1,2\n", "fewer than two"),
        ("stamp,j1\n1,2\n1,3\n", "line 3"),
        ("stamp,j1\n1,2\n2,x\n", "line 3"),
        ("stamp,j1\n1,2\n2,3,4\n", "line 3"),
    ],
)
def test_log_that_cannot_be_played_is_refused(ros, tmp_path, text, fault):
    path = tmp_path / "counts.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=f"counts.csv.*{fault}"):
        ArmEncoders(context=ros, parameter_overrides=overrides({"source": "log", "log.file": str(path)}))


def test_sources_without_what_they_need_are_refused(ros):
    for values, fault in (({"source": "log"}, "log.file: is empty"), ({"source": "scene"}, "scene.kind is none")):
        with pytest.raises(InputError, match=fault):
            ArmEncoders(context=ros, parameter_overrides=overrides(values))
