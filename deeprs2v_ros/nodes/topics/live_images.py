"""Receiving live images: all of them, if the publisher allows it."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.clock import Clock, ClockType
from rclpy.event_handler import QoSRequestedIncompatibleQoSInfo, SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.timer import Timer
from sensor_msgs.msg import Image

from deeprs2v_ros.nodes.topics import qos


class LiveImages:
    """Subscribes a ``node`` to ``us/image``.

    Best effort loses images in colour, which are larger than what the middleware keeps in shared memory. But a reliable
    subscription gets nothing from drivers that publish with best effort. So it is reliable until one of those is there.
    """

    def __init__(self, node: Node, callback: Callable[[Image], None]) -> None:
        self._node, self._callback = node, callback
        events = SubscriptionEventCallbacks(incompatible_qos=self._on_incompatible)
        self._subscription = node.create_subscription(
            Image, "us/image", callback, qos.EVERY_IMAGE, event_callbacks=events
        )
        self._switching: Timer | None = None

    def end(self) -> None:
        """Receive no more."""
        if self._switching is not None:
            self._node.destroy_timer(self._switching)
        self._node.destroy_subscription(self._subscription)

    def _on_incompatible(self, _: QoSRequestedIncompatibleQoSInfo) -> None:
        if self._switching is None:  # a subscription cannot be destroyed by its own event
            self._switching = self._node.create_timer(0.0, self._switch, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _switch(self) -> None:
        self._switching.cancel()
        if self._subscription.qos_profile.reliability == qos.LIVE.reliability:
            return
        self._node.get_logger().info("us/image comes with best effort: some images may be lost on the way")
        self._node.destroy_subscription(self._subscription)
        self._subscription = self._node.create_subscription(Image, "us/image", self._callback, qos.LIVE)
