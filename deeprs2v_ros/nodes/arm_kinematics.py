"""Node arm_kinematics: from joint states to TF, base_link to us_probe and us_image, and how sure that is."""

from __future__ import annotations

from functools import partial
from typing import Any

from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from tf2_ros import StaticTransformBroadcaster

from deeprs2v_ros.arm.uncertainty import UncertainArm
from deeprs2v_ros.arm.urdf import with_origins
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.frames import BASE, IMAGE
from deeprs2v_ros.nodes.support import qos
from deeprs2v_ros.nodes.support.clock import on_jump_back
from deeprs2v_ros.nodes.support.conversions import (
    joints_from_message,
    nanoseconds,
    transform_messages,
    uncertain_pose_message,
)
from deeprs2v_ros.nodes.support.ending import leave
from deeprs2v_ros.nodes.support.pace import Pace
from deeprs2v_ros.nodes.support.parameters import declare, declare_positive
from deeprs2v_ros.nodes.support.running import run
from deeprs2v_ros.nodes.support.scene import declare_arm, declare_images
from deeprs2v_ros.nodes.support.transforms import Broadcaster
from deeprs2v_ros.parameters.cart import declare_pose_rate

PERIOD_OF_WARNINGS = 2.0  # s


class ArmKinematics(Node):
    """Broadcasts every joint of the arm, the fixed ones once, and publishes the arm's description for RViz.

    What moves is broadcast ``tf_rate`` times a second at most; nodes of the same process get all of it. The image's
    pose is published with its covariance as well, less often: that changes slowly.
    """

    def __init__(self, **options: Any) -> None:
        """Raise InputError for an arm that cannot be used; ``options`` are those of rclpy's Node."""
        super().__init__("arm_kinematics", **options)
        images = declare_images(self)
        arm = declare_arm(self).holding(images.shape, images.image_from_pixel, images.face)
        self._tf_pace = Pace(declare_positive(self, "tf_rate", 50.0, "How often per second, at most, the arm is on TF"))
        self._pose_pace = Pace(declare_pose_rate(partial(declare, self)))
        self._chain, self._uncertain = arm.chain, UncertainArm(arm, IMAGE)
        self._uncertain.pose(arm.rest)  # compiles what is compiled
        self._fixed = StaticTransformBroadcaster(self)
        self._fixed.sendTransform(transform_messages(self._chain.fixed_transforms(), self.get_clock().now().to_msg()))
        self._moving = Broadcaster(self)
        self._messages = transform_messages(self._chain.moving_transforms(arm.rest), self.get_clock().now().to_msg())
        self._description = self.create_publisher(String, "robot_description", qos.LATCHED)
        self._description.publish(String(data=with_origins(self._chain.source, self._chain.joints, "fixed")))
        self._pose = self.create_publisher(PoseWithCovarianceStamped, "arm/image_pose", qos.STATUS)
        self._jump = on_jump_back(self, self._on_jump)
        self._subscription = self.create_subscription(JointState, "joint_states", self._on_joints, qos.JOINTS)

    def _on_joints(self, message: JointState) -> None:
        try:
            joints = joints_from_message(message, self._chain)
            transforms = self._chain.moving_transforms(joints)
        except InputError as error:
            self.get_logger().warning(f"joint state ignored: {error}", throttle_duration_sec=PERIOD_OF_WARNINGS)
            return
        messages = transform_messages(transforms, message.header.stamp, self._messages)
        stamp = nanoseconds(message.header.stamp)
        if self._tf_pace.due(stamp):
            self._moving.sendTransform(messages)
        else:
            self._moving.tell_neighbours(messages)
        if self._pose_pace.due(stamp):
            self._pose.publish(uncertain_pose_message(*self._uncertain.pose(joints), BASE, message.header.stamp))

    def _on_jump(self) -> None:
        self._tf_pace.reset()
        self._pose_pace.reset()


def main() -> int:
    """Run the node."""
    return run(ArmKinematics)


if __name__ == "__main__":
    leave(main())
