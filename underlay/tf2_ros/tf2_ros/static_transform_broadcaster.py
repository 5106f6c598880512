"""Sends transforms that never change."""

from __future__ import annotations

from collections.abc import Iterable

from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile
from tf2_msgs.msg import TFMessage


class StaticTransformBroadcaster:
    """Sends transforms on ``/tf_static``, where those who come later find them.

    Every message holds all that were sent so far. As in the official one, the first transform of a child frame stays: a
    second one is ignored, so a changed calibration needs a new broadcaster.
    """

    def __init__(self, node: Node, qos: QoSProfile | int | None = None) -> None:
        """Make the publisher.

        :param node: The ROS 2 node.
        :param qos: A QoSProfile or a history depth to apply to the publisher.
        """
        if qos is None:
            qos = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL, history=HistoryPolicy.KEEP_LAST)
        self.pub_tf = node.create_publisher(TFMessage, "/tf_static", qos)
        self.net_message = TFMessage()
        self._child_frame_ids: set[str] = set()

    def sendTransform(self, transform: TransformStamped | Iterable[TransformStamped]) -> None:  # noqa: N802 (official)
        """Add a transform or several, and send all."""
        for added in [transform] if isinstance(transform, TransformStamped) else transform:
            if added.child_frame_id not in self._child_frame_ids:
                self._child_frame_ids.add(added.child_frame_id)
                self.net_message.transforms.append(added)
        self.pub_tf.publish(self.net_message)
