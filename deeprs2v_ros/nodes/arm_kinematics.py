"""Node arm_kinematics: from joint states to TF, base_link to us_probe and us_image, and how sure that is."""

from __future__ import annotations

from functools import partial
from typing import Any

from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from tf2_ros import StaticTransformBroadcaster

from deeprs2v_ros.arm.joint_check import FAULTS, JointCheck
from deeprs2v_ros.arm.motion_check import JointSample
from deeprs2v_ros.arm.refusals import SampleError, Tally
from deeprs2v_ros.arm.uncertainty import UncertainArm
from deeprs2v_ros.arm.urdf import with_origins
from deeprs2v_ros.frames import BASE, IMAGE
from deeprs2v_ros.nodes.running.clock import on_jump_back
from deeprs2v_ros.nodes.running.diagnostics import ERROR, OK, WARN, Condition, Diagnostics, Inflow
from deeprs2v_ros.nodes.running.ending import leave
from deeprs2v_ros.nodes.running.pace import Pace
from deeprs2v_ros.nodes.running.parameters import declare, declare_positive
from deeprs2v_ros.nodes.running.program import run
from deeprs2v_ros.nodes.sources.scene import declare_arm, declare_images
from deeprs2v_ros.nodes.topics import qos
from deeprs2v_ros.nodes.topics.conversions import (
    joints_from_message,
    nanoseconds,
    stamp_message,
    transform_messages,
    uncertain_pose_message,
)
from deeprs2v_ros.nodes.topics.transforms import Broadcaster
from deeprs2v_ros.parameters.cart import FASTEST, declare_pose_rate

PERIOD_OF_WARNINGS = 2.0  # s
SILENT = 1.0  # s without a joint state after which it is said
FAULT_AFTER = 20  # joint states refused in a row


class ArmKinematics(Node):
    """Broadcasts every joint of the arm, the fixed ones once, and publishes the arm's description for RViz.

    Moving joints are broadcast at most ``tf_rate`` times a second; nodes of the same process get every sample. The
    image's pose is also published with its covariance, less often, since the covariance changes slowly.

    A joint state that `JointCheck` refuses is counted and goes nowhere, so TF goes stale. Twenty in a row are a fault.
    The first one that passes ends it, since the driver may be somebody else's and nobody could tell this node that it
    was mended. The check alone decides what passes: a jump does not become good by lasting.
    """

    def __init__(self, **options: Any) -> None:
        """Raise InputError for an arm that cannot be used; ``options`` are those of rclpy's Node."""
        super().__init__("arm_kinematics", **options)
        images = declare_images(self)
        arm = declare_arm(self).holding(images.shape, images.image_from_pixel, images.face)
        self._tf_pace = Pace(
            declare_positive(self, "tf_rate", 50.0, "The most times a second that the arm is broadcast on TF", FASTEST)
        )
        self._pose_pace = Pace(declare_pose_rate(partial(declare, self)))
        self._chain, self._uncertain = arm.chain, UncertainArm(arm, IMAGE)
        self._check, self.tally = JointCheck(arm.encoders), Tally(FAULTS, FAULT_AFTER)
        self._uncertain.pose(arm.rest)  # so that compiling is over before the first sample
        self._fixed = StaticTransformBroadcaster(self)
        self._fixed.sendTransform(transform_messages(self._chain.fixed_transforms(), self.get_clock().now().to_msg()))
        self._moving = Broadcaster(self)
        self._messages = transform_messages(self._chain.moving_transforms(arm.rest), self.get_clock().now().to_msg())
        self._description = self.create_publisher(String, "robot_description", qos.LATCHED)
        self._description.publish(String(data=with_origins(self._chain.source, self._chain.joints, "fixed")))
        self._pose = self.create_publisher(PoseWithCovarianceStamped, "arm/image_pose", qos.STATUS)
        self._inflow = Inflow()
        self._diagnostics = Diagnostics(self, self._condition)
        self._jump = on_jump_back(self, self._on_jump)
        self._subscription = self.create_subscription(JointState, "joint_states", self._on_joints, qos.JOINTS)

    def _on_joints(self, message: JointState) -> None:
        now = self.get_clock().now().nanoseconds
        try:
            joints = joints_from_message(message, self._chain)
            samples = self._check.take(joints, nanoseconds(message.header.stamp), now)
        except SampleError as error:
            self._refuse(error)
            return
        for sample in samples:
            self._publish(sample)
            self._inflow.count()
        self._accept(len(samples))

    def _publish(self, sample: JointSample) -> None:
        stamp = stamp_message(sample.stamp)
        messages = transform_messages(self._chain.moving_transforms(sample.values), stamp, self._messages)
        if self._tf_pace.due(sample.stamp):
            self._moving.sendTransform(messages)
        else:
            self._moving.tell_neighbours(messages)
        if self._pose_pace.due(sample.stamp):
            self._pose.publish(uncertain_pose_message(*self._uncertain.pose(sample.values), BASE, stamp))

    def _accept(self, samples: int) -> None:
        if samples and self.tally.fault:
            self.get_logger().info(f"over: {self.tally.fault}")
            self.tally.clear()
        self.tally.accept(samples)

    def _refuse(self, error: SampleError) -> None:
        known = bool(self.tally.fault)
        self.tally.refuse(error)
        text = f"joint state refused ({self.tally.rejected.total()} so far): {error}"
        self.get_logger().warning(text, throttle_duration_sec=PERIOD_OF_WARNINGS)
        if self.tally.fault and not known:
            self.get_logger().error(self.tally.fault)

    def _condition(self) -> Condition:
        values = {**self._inflow.values("joint states"), **self.tally.rejected}
        if self.tally.fault:
            return Condition(ERROR, self.tally.fault, values)
        silence = self._inflow.silence()
        if silence is None or silence > SILENT:
            return Condition(WARN, "no joint states that can be used", values)
        return Condition(OK, "the arm is on TF", values)

    def _on_jump(self) -> None:
        self._check.reset()
        self._tf_pace.reset()
        self._pose_pace.reset()


def main() -> int:
    """Run the node."""
    return run(ArmKinematics)


if __name__ == "__main__":
    leave(main())
