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
from std_srvs.srv import Trigger
from tf2_ros import Buffer, TransformListener

from deeprs2v_ros.arm.description import read_arm
from deeprs2v_ros.arm.uncertainty import UncertainArm
from deeprs2v_ros.arm.urdf import read_joints
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import apply
from deeprs2v_ros.nodes.arm_encoders import ArmEncoders
from deeprs2v_ros.nodes.arm_kinematics import ArmKinematics
from deeprs2v_ros.nodes.topics import qos
from deeprs2v_ros.nodes.topics.conversions import (
    covariance_from_pose,
    joint_state,
    nanoseconds,
    stamp_message,
    transform_from_message,
    transform_from_pose,
)
from deeprs2v_ros.resources import resource

ARM = read_arm(resource("config/arm/liver.yaml"))
HOLDING = ARM.holding((300, 401), np.diag([0.4, 0.4, 1.0, 1.0]), (210.0, 12.0))
SECOND = 1_000_000_000
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
    return keep(
        ArmKinematics(context=ros, parameter_overrides=overrides(IMAGES | {"pose_rate": 20.0, "tf_rate": 1000.0}))
    )


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
    began = hand.get_clock().now().nanoseconds - 250_000_000
    for k in range(21):  # 0.2 s at 100 Hz
        stamp = stamp_message(began + k * 10_000_000)
        publisher.publish(joint_state(ARM.rest | {"j1": ARM.rest["j1"] + 0.01 * k}, ARM.chain, stamp))
    spin_until(lambda: len(poses) == 5, kinematics, hand)
    uncertain = UncertainArm(HOLDING, "us_image")
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


class Driver:
    """Somebody else's: its joint states are 10 ms apart, and come all at once."""

    def __init__(self, hand, kinematics, spin_until):
        self._publisher = hand.create_publisher(JointState, "joint_states", qos.JOINTS)
        self._now, self._kinematics = lambda: hand.get_clock().now().nanoseconds, kinematics
        self._spin = lambda condition: spin_until(condition, kinematics, hand)
        self._spin(lambda: self._publisher.get_subscription_count() == 1)
        self._spin(lambda: kinematics.count_subscribers("/tf") == 1)
        self._spin(lambda: kinematics.count_subscribers("/arm/image_pose") == 1)
        self.stamp, self._sent = self._now() - SECOND // 2, 0

    def send(self, count=1, off=0, edit=lambda message: None, **joints):
        """Joint states at rest but for ``joints``, with stamps that are ``off`` by ns; gives the last one's time."""
        for _ in range(count):
            self.stamp = max(self.stamp + SECOND // 100, self._now() - 9 * SECOND // 10)
            message = joint_state(ARM.rest | joints, ARM.chain, stamp_message(self.stamp + off))
            edit(message)
            self._publisher.publish(message)
        self._sent += count
        return self.stamp

    def settle(self):
        """Wait until all of them were used or refused."""
        self._spin(lambda: self._kinematics.tally.published + self._kinematics.tally.rejected.total() == self._sent)


@pytest.fixture
def poses(hand):
    """Poses of the image received, by stamp."""
    found = {}
    hand.create_subscription(
        PoseWithCovarianceStamped,
        "arm/image_pose",
        lambda message: found.update({nanoseconds(message.header.stamp): message}),
        qos.STATUS,
    )
    return found


@pytest.fixture
def driver(hand, kinematics, buffer, poses, spin_until):
    """One that has sent ten good joint states."""
    driver = Driver(hand, kinematics, spin_until)
    driver.send(10)
    return driver


def without_first(message):
    message.name, message.position = message.name[1:], message.position[1:]


def twice(message):
    message.name, message.position = [*message.name, "j1"], [*message.position, 0.0]


def unstamped(message):
    message.header.stamp = stamp_message(0)


def shorter(message):
    message.position = message.position[1:]


REFUSED = {
    "hour_ahead": ({"off": 3600 * SECOND}, "far_future"),
    "hour_behind": ({"off": -3600 * SECOND}, "far_behind"),
    "out_of_order": ({"off": -SECOND // 20}, "out_of_order"),
    "duplicate": ({"off": -SECOND // 100}, "duplicate"),
    "zero_stamp": ({"edit": unstamped}, "zero_stamp"),
    "nan": ({"j3": float("nan")}, "nan"),
    "infinite": ({"j3": float("inf")}, "nan"),
    "out_of_limits": ({"j3": 1.5}, "limits"),
    "faster_than_possible": ({"j1": 1.2}, "speed"),
    "joint_missing": ({"edit": without_first}, "missing"),
    "duplicated_name": ({"edit": twice}, "malformed"),
    "unequal_lengths": ({"edit": shorter}, "malformed"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_joint_states_never_reach_tf_and_never_end_it(driver, kinematics, hand, buffer, spin_until, case):
    """One of a foreign driver is counted, TF lacks it, and with the next good one all is well."""
    changes, fault = REFUSED[case]
    bad, good = driver.send(**changes), driver.send(3)
    driver.settle()
    assert +kinematics.tally.rejected == {fault: 1}
    assert kinematics.tally.published == 13
    spin_until(lambda: buffer.can_transform("base_link", "us_image", Time(nanoseconds=good)), kinematics, hand)
    latest = buffer.get_latest_common_time("base_link", "us_image").nanoseconds
    assert latest == good
    held = buffer.lookup_transform("base_link", "us_image", Time(nanoseconds=bad))
    assert transform_from_message(held.transform) == pytest.approx(
        HOLDING.chain.base_from("us_image", ARM.rest), abs=1e-6
    )


def test_refused_joint_states_in_a_row_are_a_fault_that_good_ones_end(driver, kinematics):
    driver.send(19, j3=1.5)
    driver.settle()
    assert kinematics.tally.fault == ""
    driver.send(j3=1.5)
    driver.settle()
    assert kinematics.tally.fault.startswith(
        "FAULT: 20 samples rejected in a row, the last one: j3: 85.9 deg is outside"
    )
    assert kinematics.tally.published == 10
    driver.send(3)
    driver.settle()
    assert kinematics.tally.fault == ""
    assert kinematics.tally.published == 13


def test_lost_counts_of_a_foreign_driver_stay_a_fault(driver, kinematics):
    driver.send(10)
    driver.send(29, j1=ARM.rest["j1"] + 0.2)
    driver.settle()
    assert kinematics.tally.published == 20
    assert "j1: jumped by 0.2 (rad or mm): counts were lost" in kinematics.tally.fault


def test_wild_first_joint_state_is_never_shown(hand, kinematics, buffer, poses, spin_until):
    driver = Driver(hand, kinematics, spin_until)
    wild = driver.send(j1=1.2)
    good = driver.send(12)
    spin_until(lambda: buffer.can_transform("base_link", "us_image", Time(nanoseconds=good)), kinematics, hand)
    assert +kinematics.tally.rejected == {"speed": 1}
    assert not buffer.can_transform("base_link", "us_image", Time(nanoseconds=wild))
    assert all(stamp > wild for stamp in poses)


def test_kinematics_on_tf_equals_the_chain(kinematics, hand, buffer, spin_until, poses):
    joints = {"j2": -1.6, "j6": 0.2, "translate": 17.0, "tilt": 0.3}
    stamp = Driver(hand, kinematics, spin_until).send(3, **joints)
    joints, time = ARM.rest | joints, Time(nanoseconds=stamp)
    spin_until(lambda: buffer.can_transform("base_link", "us_image", time), kinematics, hand)
    chain = HOLDING.chain
    for link in chain.links[1:]:
        found = transform_from_message(buffer.lookup_transform("base_link", link, time).transform)
        assert found == pytest.approx(chain.base_from(link, joints), abs=1e-6), link
    # The image hangs where the geometry of the images says: the pixel at the face lies in the probe's origin.
    probe_from_image = transform_from_message(buffer.lookup_transform("us_probe", "us_image", time).transform)
    assert apply(probe_from_image, [210.0 * 0.4, 12.0 * 0.4, 0.0]) == pytest.approx([0.0, 0.0, 0.0], abs=1e-9)


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
    path = write_log(tmp_path / "counts.csv", [(0.02 * k, moved(0.3 * k)) for k in range(4)])
    node = encoders(ros, keep, path, **{"log.loop": True})
    spin_until(lambda: len(listen) >= 8, node, hand)
    stamps = [nanoseconds(message.header.stamp) for message in listen]
    assert stamps == sorted(set(stamps))
    assert node.tally.rejected.total() == 0


def test_implausible_samples_are_counted_and_not_published(ros, keep, hand, listen, spin_until, tmp_path):
    fast, outside = moved(0) | {"j1": 4000}, moved(1) | {"j2": 9999}
    bad = [fast, outside, moved(3) | {"j3": "nan"}]
    rows = [(0.02 * k, counts) for k, counts in enumerate([*map(moved, range(3)), *bad, moved(6)])]
    node = encoders(ros, keep, write_log(tmp_path / "counts.csv", rows))
    spin_until(lambda: len(listen) == 4, node, hand)
    assert +node.tally.rejected == {"speed": 1, "count": 1, "nan": 1}
    found = [dict(zip(message.name, message.position, strict=True)) for message in listen]
    good = [ARM.encoders.joints(moved(k))["j1"] for k in (0, 1, 2, 6)]
    assert [each["j1"] for each in found] == pytest.approx(good)


def test_one_bad_first_count_is_neither_published_nor_a_fault(ros, keep, hand, listen, spin_until, tmp_path):
    wild = moved(0) | {"j1": moved(0)["j1"] + 900}
    rows = [(0.002 * k, moved(0) if k else wild) for k in range(60)]
    node = encoders(ros, keep, write_log(tmp_path / "counts.csv", rows))
    spin_until(lambda: len(listen) == 59, node, hand)
    assert (node.tally.published, node.tally.fault, +node.tally.rejected) == (59, "", {"speed": 1})
    found = [message.position[message.name.index("j1")] for message in listen]
    assert found == pytest.approx([ARM.encoders.joints(moved(0))["j1"]] * 59)


def test_lost_counts_latch_a_fault(ros, keep, hand, listen, spin_until, tmp_path):
    """Twelve degrees, for which the arm would need 60 ms: it was seen not to move there."""
    slipped = moved(0) | {"j1": moved(0)["j1"] + 137}
    rows = [(0.01 * k, moved(0) if k < 30 else slipped) for k in range(60)]
    node = encoders(ros, keep, write_log(tmp_path / "counts.csv", rows))
    spin_until(lambda: node.tally.fault, node, hand)
    spin_until(lambda: len(listen) == 30, node, hand)
    assert node.tally.published == 30
    assert "counts were lost" in node.tally.fault


@pytest.fixture
def call(hand, spin_until):
    """Calls a service without arguments of a node; gives the answer."""

    def run(node, name):
        client = hand.create_client(Trigger, name)
        spin_until(client.service_is_ready, node, hand)
        answer = client.call_async(Trigger.Request())
        spin_until(answer.done, node, hand)
        return answer.result()

    return run


def test_several_rejected_in_a_row_latch_a_fault(ros, keep, hand, listen, spin_until, call, tmp_path):
    broken = moved(0) | {"j2": 9999}
    rows = [(0.01 * k, broken if 4 <= k < 9 else moved(0)) for k in range(20)]
    node = encoders(ros, keep, write_log(tmp_path / "counts.csv", rows), fault_after=5)
    answer = call(node, "arm_encoders/clear_fault")
    assert (answer.success, answer.message) == (False, "there is no fault to clear")
    spin_until(lambda: node.tally.rejected.total() == 5, node, hand)
    end = node.get_clock().now().nanoseconds + 250_000_000  # the log ends before that
    spin_until(lambda: node.get_clock().now().nanoseconds > end, node, hand)
    assert len(listen) == 4  # the good ones that came later stay unpublished


def test_a_fault_that_was_cleared_is_over(ros, keep, hand, listen, spin_until, call, tmp_path):
    broken = moved(0) | {"j2": 9999}
    rows = [(0.01 * k, broken if 4 <= k < 10 else moved(0)) for k in range(20)]
    path = write_log(tmp_path / "counts.csv", rows)
    node = encoders(ros, keep, path, fault_after=5, **{"log.loop": True})
    spin_until(lambda: node.tally.fault, node, hand)
    spin_until(lambda: len(listen) == 4, node, hand)
    answer = call(node, "arm_encoders/clear_fault")
    assert answer.success
    assert answer.message.startswith("cleared: FAULT: 5 samples rejected in a row, the last one: j2")
    spin_until(lambda: len(listen) > 4, node, hand)


def test_joint_that_the_log_lacks_is_a_rejected_sample(ros, keep, hand, spin_until, tmp_path):
    path = write_log(tmp_path / "counts.csv", [(0.01 * k, moved(0)) for k in range(3)], ARM.chain.joint_names[1:])
    node = encoders(ros, keep, path)
    spin_until(lambda: node.tally.rejected.total() == 3, node, hand)


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
