"""The replay reads messages and looks up transforms as the nodes do, with cv_bridge and tf2_ros."""

import numpy as np
import pytest
from cv_bridge import CvBridge
from geometry_msgs.msg import PoseWithCovarianceStamped, TransformStamped
from rclpy.time import Time
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage
from tf2_ros import BufferCore, TransformException

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import rigid, rounded
from deeprs2v_ros.messages import covariance_of, image_of, rigid_from, transforms_of
from deeprs2v_ros.nodes.topics.conversions import (
    covariance_from_pose,
    image_from_message,
    pose_message,
    stamp_message,
    transform_from_message,
    uncertain_pose_message,
)
from deeprs2v_ros.replay.transforms import TransformTree

SECOND = 10**9


@pytest.mark.parametrize(("encoding", "pixel"), [("mono8", 1), ("mono16", 2), ("rgb8", 3), ("bgr8", 3), ("bgra8", 4)])
def test_grey_levels_are_those_of_cv_bridge(encoding, pixel):
    rng = np.random.default_rng(1)
    step = 8 * pixel  # rows are padded
    data = rng.integers(0, 256, 4 * step, dtype=np.uint8)
    message = Image(height=4, width=5, encoding=encoding, step=step, data=data.tobytes())
    expected = CvBridge().imgmsg_to_cv2(message, "mono8")
    np.testing.assert_array_equal(image_of(message), expected)
    np.testing.assert_array_equal(image_from_message(message), expected)


@pytest.mark.parametrize("wrong", [{"encoding": "32FC1"}, {"encoding": "yuv9"}, {"step": 3}, {"height": 9}])
def test_what_the_node_cannot_read_the_replay_cannot(wrong):
    message = Image(**{"height": 2, "width": 4, "encoding": "mono8", "step": 4, "data": bytes(8)} | wrong)
    for read in (image_of, image_from_message):
        with pytest.raises(InputError, match="image"):
            read(message)


def test_covariances_are_the_same():
    rng = np.random.default_rng(2)
    pose = rigid(Rotation.random(random_state=rng).as_matrix(), rng.uniform(-100, 100, 3))
    root = rng.standard_normal((6, 6))
    message = uncertain_pose_message(pose, root @ root.T, "base_link", stamp_message(SECOND))
    assert isinstance(message, PoseWithCovarianceStamped)
    np.testing.assert_array_equal(covariance_of(message), covariance_from_pose(message.pose))
    np.testing.assert_allclose(covariance_of(message), root @ root.T, rtol=1e-9, atol=1e-9)


def test_covariances_that_the_node_refuses_the_replay_refuses():
    for wrong in (np.full((6, 6), np.nan), -np.eye(6), np.triu(np.ones((6, 6)))):
        message = uncertain_pose_message(np.eye(4), np.eye(6), "base_link", stamp_message(SECOND))
        message.pose.covariance = wrong.ravel()
        for read in (covariance_of, lambda given: covariance_from_pose(given.pose)):
            with pytest.raises(InputError, match="covariance"):
                read(message)


def test_what_a_status_says_of_the_arm_is_what_the_node_had_to_the_last_bit():
    rng = np.random.default_rng(4)
    for _ in range(100):
        tracked = rounded(rigid(Rotation.random(random_state=rng).as_matrix(), rng.uniform(-500, 500, 3)))
        at, turn = (message := pose_message(tracked)).position, message.orientation
        told = rigid_from((at.x, at.y, at.z), (turn.x, turn.y, turn.z, turn.w), "pose")
        np.testing.assert_array_equal(rounded(told), tracked)


def test_transforms_are_looked_up_as_tf_does():
    rng = np.random.default_rng(3)
    buffer, tree = BufferCore(), TransformTree()
    for parent, child, period in (("base", "arm", 9_000_000), ("arm", "hand", 31_000_000), ("base", "organ", 0)):
        for number in range(40 if period else 1):
            place = TransformStamped(header=Header(frame_id=parent), child_frame_id=child)
            place.header.stamp = stamp_message(SECOND + number * period)
            to, turn = place.transform.translation, place.transform.rotation
            to.x, to.y, to.z = rng.uniform(-1, 1, 3).tolist()
            turn.x, turn.y, turn.z, turn.w = Rotation.random(random_state=rng).as_quat().tolist()
            (buffer.set_transform if period else buffer.set_transform_static)(place, "test")
            for found in transforms_of(TFMessage(transforms=[place])):
                tree.insert(*found, fixed=not period)
    known = 0
    for time in rng.integers(SECOND - 10**7, SECOND + 4 * 10**8, 200).tolist():
        ours = tree.lookup("organ", "hand", time)
        try:
            theirs = buffer.lookup_transform_core("organ", "hand", Time(nanoseconds=time))
        except TransformException:
            assert ours is None
            continue
        known += 1
        np.testing.assert_allclose(ours, transform_from_message(theirs.transform), atol=1e-9)
    assert 100 < known < 200
