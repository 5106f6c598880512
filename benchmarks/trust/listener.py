"""The node that listens as any subscriber would, and holds what it hears against the truth."""

from __future__ import annotations

import time
from typing import Any

from geometry_msgs.msg import PointStamped
from rclpy.node import Node

from deeprs2v_ros.msg import RegistrationStatus
from deeprs2v_ros.nodes.topics import qos
from deeprs2v_ros.nodes.topics.conversions import METRES, nanoseconds, transform_from_pose
from deeprs2v_ros.registration.supervisor import State
from trust.judging import Answer, Said
from trust.truth import Truth


class Listener(Node):
    """Keeps all that was ``said`` and answered, in order, until it is told to ``forget``."""

    def __init__(self, truth: Truth, **options: Any) -> None:
        super().__init__("listener", **options)
        self._truth = truth
        self.forget()
        self.create_subscription(RegistrationStatus, "registration/status", self._on_status, qos.STATUS)
        for topic, name in (("monitor/target_now", "now"), ("monitor/target_predicted", "predicted")):
            self.create_subscription(
                PointStamped, topic, lambda message, name=name: self._on_target(name, message), qos.STATUS
            )

    def forget(self) -> None:
        """Begin anew."""
        self.said: list[Said] = []
        self.now: list[Answer] = []
        self.predicted: list[Answer] = []

    def _on_status(self, status: RegistrationStatus) -> None:
        at, stamp, error, seen = time.time(), nanoseconds(status.header.stamp), float("nan"), float("nan")
        if status.accepted:
            motion = transform_from_pose(status.broadcast_motion)
            error = self._truth.error(stamp, motion)
            seen = self._truth.seen(stamp, motion, transform_from_pose(status.tracked_pose))
        state = State(status.state).name
        self.said.append(Said(at, stamp, state, status.accepted, status.reason, error, seen))

    def _on_target(self, name: str, target: PointStamped) -> None:
        point = [target.point.x / METRES, target.point.y / METRES, target.point.z / METRES]
        getattr(self, name).append(Answer(time.time(), self._truth.off(nanoseconds(target.header.stamp), point)))
