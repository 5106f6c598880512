"""Node target_monitor: where the tumour is, looked up in TF as any other program would."""

from __future__ import annotations

import math
from collections import deque
from functools import partial
from time import monotonic
from typing import Any

from geometry_msgs.msg import PointStamped
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.time import Time
from tf2_ros import TransformException
from visualization_msgs.msg import MarkerArray

from deeprs2v_ros.frames import BASE, TUMOR, TUMOR_PREDICTED
from deeprs2v_ros.geometry import Array
from deeprs2v_ros.msg import RegistrationStatus
from deeprs2v_ros.nodes.running.clock import on_jump_back
from deeprs2v_ros.nodes.running.diagnostics import OK, WARN, Condition, Diagnostics, Inflow
from deeprs2v_ros.nodes.running.ending import leave
from deeprs2v_ros.nodes.running.parameters import declare, declare_positive
from deeprs2v_ros.nodes.running.program import run
from deeprs2v_ros.nodes.topics import qos
from deeprs2v_ros.nodes.topics.conversions import METRES, nanoseconds, point_message, transform_from_message
from deeprs2v_ros.nodes.topics.markers import tumour_now
from deeprs2v_ros.nodes.topics.transforms import transforms_of
from deeprs2v_ros.parameters.guidance import declare_image_time_offset

RATE = 50.0
"""Times a second at which TF is asked, as a needle's robot or a display would."""

EVERY = 5
"""So many times it is asked for each marker."""

SHOWN = (RegistrationStatus.TRACKING, RegistrationStatus.HOLDING)

OUT_OF_DATE = 0.6
"""Seconds after which a status says nothing of now any more: a registration that has died says nothing either."""

STALE = 0.1
"""Seconds after which a prediction on TF is one that nobody renews: TF goes on giving it away for ever."""


class TargetMonitor(Node):
    """Publishes where TF says that the tumour is, in base_link.

    ``monitor/target``: at the time that an image shows whose registration was accepted, which is the message's stamp.
    ``monitor/target_now``: the latest corrected position, asked `RATE` times a second while TRACKING or HOLDING.
    ``monitor/target_predicted``: the predicted position, asked at the same moments; silent when none is broadcast.
    Both have the moment at which they were asked as their stamp. ``monitor/markers`` shows the predicted tumour in
    RViz, and goes away by itself.
    """

    def __init__(self, **options: Any) -> None:
        """Raise InputError for parameters that cannot be met; ``options`` are those of rclpy's Node."""
        super().__init__("target_monitor", **options)
        self._deadline = declare_positive(
            self, "transform_deadline", 0.1, "Seconds to wait for the transform at the time that an image shows", 10.0
        )
        self._offset = declare_image_time_offset(partial(declare, self))
        self._radius = declare_positive(self, "tumor.radius", 0.01, "Radius of the tumour in m", 1.0) / METRES
        self._waiting: deque[tuple[Time, float]] = deque()
        self._state, self._until = RegistrationStatus.WAITING, 0.0  # of the last status, and when it is out of date
        self._asked = 0
        self._buffer = transforms_of(self).buffer
        self._at_stamp = self.create_publisher(PointStamped, "monitor/target", qos.STATUS)
        self._now = self.create_publisher(PointStamped, "monitor/target_now", qos.STATUS)
        self._predicted = self.create_publisher(PointStamped, "monitor/target_predicted", qos.STATUS)
        self._markers = self.create_publisher(MarkerArray, "monitor/markers", qos.STATUS)
        self._subscription = self.create_subscription(
            RegistrationStatus, "registration/status", self._on_status, qos.STATUS
        )
        self._timer = self.create_timer(1.0 / RATE, self._ask)
        self._statuses, self._predictions = Inflow(), Inflow()
        self._diagnostics = Diagnostics(self, self._condition)
        self._jump = on_jump_back(self, self._waiting.clear)

    def _on_status(self, status: RegistrationStatus) -> None:
        self._state, self._until = status.state, monotonic() + OUT_OF_DATE
        self._statuses.count()
        if status.state != RegistrationStatus.TRACKING or not status.accepted:
            return
        clock_type = self.get_clock().clock_type
        shown = Time(nanoseconds=nanoseconds(status.header.stamp) - self._offset, clock_type=clock_type)
        self._waiting.append((shown, monotonic() + self._deadline))
        self._publish_what_is_there()

    def _ask(self) -> None:
        self._publish_what_is_there()
        now = self.get_clock().now()
        latest = Time(clock_type=now.clock_type)
        if self._state in SHOWN and monotonic() < self._until:
            self._publish(self._now, TUMOR, latest, now)
        self._asked += 1
        predicted = self._publish(self._predicted, TUMOR_PREDICTED, latest, now, STALE)
        if predicted is not None:
            self._predictions.count()
        if predicted is not None and self._asked % EVERY == 0:
            held = self._state == RegistrationStatus.HOLDING
            self._markers.publish(tumour_now(predicted, self._radius, held, now.to_msg()))

    def _condition(self) -> Condition:
        values = {**self._statuses.values("statuses"), **self._predictions.values("predictions of the tumour")}
        if monotonic() >= self._until:
            return Condition(WARN, "the registration says nothing", values)
        if (self._predictions.silence() or 0.0) > 1.0 and self._state in SHOWN:
            return Condition(WARN, "no prediction of the tumour", values)
        return Condition(OK, "asks where the tumour is", values)

    def _publish_what_is_there(self) -> None:
        while self._waiting:
            time, deadline = self._waiting[0]
            if self._publish(self._at_stamp, TUMOR, time, time) is None and monotonic() < deadline:
                break
            self._waiting.popleft()

    def _publish(
        self, publisher: Publisher[PointStamped], frame: str, time: Time, stamp: Time, stale: float = math.inf
    ) -> Array | None:
        """Publish where ``frame`` is at ``time``, with ``stamp``: (3,) mm. None if unknown, or ``stale`` s old."""
        try:
            message = self._buffer.lookup_transform(BASE, frame, time)
        except TransformException:
            return None
        if (stamp.nanoseconds - nanoseconds(message.header.stamp)) / 1e9 > stale:
            return None
        place = transform_from_message(message.transform)[:3, 3]
        publisher.publish(point_message(place, BASE, stamp.to_msg()))
        return place


def main() -> int:
    """Run the node."""
    return run(TargetMonitor)


if __name__ == "__main__":
    leave(main())
