"""Node target_monitor: where the tumour is, looked up in TF as any other program would."""

from __future__ import annotations

import sys
from collections import deque
from time import monotonic
from typing import Any

from geometry_msgs.msg import PointStamped
from rclpy.node import Node
from rclpy.time import Time
from tf2_ros import Buffer, TransformException, TransformListener

from deeprs2v_ros.msg import RegistrationStatus
from deeprs2v_ros.nodes.support import qos
from deeprs2v_ros.nodes.support.clock import on_jump_back
from deeprs2v_ros.nodes.support.conversions import nanoseconds, point_message, transform_from_message
from deeprs2v_ros.nodes.support.frames import BASE, TUMOR
from deeprs2v_ros.nodes.support.parameters import declare_image_time_offset, declare_positive
from deeprs2v_ros.nodes.support.running import run

POLL_PERIOD = 0.005  # s


class TargetMonitor(Node):
    """Publishes the tumour in base_link at the time that every image shows whose registration was accepted.

    ``monitor/target`` is what TF says for that time, which is its stamp: the image's less ``image_time_offset``.
    ``monitor/target_now`` is what TF says at the moment.
    """

    def __init__(self, **options: Any) -> None:
        """Raise InputError for parameters that cannot be met; ``options`` are those of rclpy's Node."""
        super().__init__("target_monitor", **options)
        self._deadline = declare_positive(
            self, "transform_deadline", 0.1, "Seconds to wait for the transform at the time that an image shows"
        )
        self._offset = declare_image_time_offset(self)
        self._waiting: deque[tuple[Time, float]] = deque()
        self._buffer = Buffer(node=self)
        self._listener = TransformListener(self._buffer, self)
        self._at_stamp = self.create_publisher(PointStamped, "monitor/target", qos.STATUS)
        self._now = self.create_publisher(PointStamped, "monitor/target_now", qos.STATUS)
        self._subscription = self.create_subscription(
            RegistrationStatus, "registration/status", self._on_status, qos.STATUS
        )
        self._timer = self.create_timer(POLL_PERIOD, self._publish_what_is_there)
        self._timer.cancel()
        self._jump = on_jump_back(self, self._waiting.clear)

    def _on_status(self, status: RegistrationStatus) -> None:
        if status.state != RegistrationStatus.TRACKING or not status.accepted:
            return
        now = self.get_clock().now()
        latest = self._look_up(Time(clock_type=now.clock_type))
        if latest is not None:
            latest.header.stamp = now.to_msg()
            self._now.publish(latest)
        shown = Time(nanoseconds=nanoseconds(status.header.stamp) - self._offset, clock_type=now.clock_type)
        self._waiting.append((shown, monotonic() + self._deadline))
        self._publish_what_is_there()

    def _publish_what_is_there(self) -> None:
        while self._waiting:
            time, deadline = self._waiting[0]
            target = self._look_up(time)
            if target is not None:
                self._at_stamp.publish(target)
            elif monotonic() < deadline:
                break
            self._waiting.popleft()
        if not self._waiting:
            self._timer.cancel()
        elif self._timer.is_canceled():
            self._timer.reset()

    def _look_up(self, time: Time) -> PointStamped | None:
        try:
            message = self._buffer.lookup_transform(BASE, TUMOR, time)
        except TransformException:
            return None
        base_from_tumor = transform_from_message(message.transform)
        return point_message(base_from_tumor[:3, 3], BASE, time.to_msg())


def main() -> int:
    """Run the node."""
    return run(TargetMonitor)


if __name__ == "__main__":
    sys.exit(main())
