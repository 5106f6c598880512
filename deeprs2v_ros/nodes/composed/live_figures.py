"""What is known about a run while it is going on: the state, how many images were accepted, the error, the latency."""

from __future__ import annotations

import math
from collections import Counter
from time import monotonic
from typing import Any

import numpy as np
from geometry_msgs.msg import PointStamped
from rclpy.node import Node

from deeprs2v_ros.msg import RegistrationStatus
from deeprs2v_ros.nodes.topics import qos

_STATES = {value: name for name, value in vars(RegistrationStatus).items() if name.isupper() and type(value) is int}
_KEPT = 100
"""True positions that are kept until the look-up for the same image arrives."""


class LiveFigures(Node):
    """Listens, and keeps the latest figures.

    ``state`` and ``reason`` of the latest image, its ``latency`` in s, ``counts`` of images accepted and not, ``error``
    in mm of the latest look-up of the target; ``tracking_since`` is the monotonic time when tracking began.
    """

    def __init__(self, **options: Any) -> None:
        """The ``options`` are those of rclpy's Node."""
        super().__init__("live_figures", **options)
        self.state = self.reason = ""
        self.counts: Counter[bool] = Counter()
        self.error = math.nan
        self.latency = math.nan
        self.tracking_since: float | None = None
        self._truth: dict[tuple[int, int], np.ndarray] = {}
        self.create_subscription(RegistrationStatus, "registration/status", self._on_status, qos.STATUS)
        self.create_subscription(PointStamped, "simulation/target", self._on_truth, qos.STATUS)
        self.create_subscription(PointStamped, "monitor/target", self._on_target, qos.STATUS)

    @property
    def doing(self) -> str:
        """The state and, where images are not registered, why."""
        return f"{self.state:12} {self.reason:12}"

    def __str__(self) -> str:
        error = "" if math.isnan(self.error) else f", tumour error {self.error:.2f} mm"
        latency = "" if math.isnan(self.latency) else f", latency {1e3 * self.latency:.0f} ms"
        return f"{self.counts[True]} accepted, {self.counts[False]} rejected{error}{latency}"

    def _on_status(self, status: RegistrationStatus) -> None:
        self.state, self.reason = _STATES[status.state], status.reason
        self.counts[status.accepted] += 1
        self.latency = status.latency_published
        if status.state == RegistrationStatus.TRACKING and self.tracking_since is None:
            self.tracking_since = monotonic()

    def _on_truth(self, target: PointStamped) -> None:
        self._truth[_key(target)] = _vector(target)
        while len(self._truth) > _KEPT:
            del self._truth[next(iter(self._truth))]

    def _on_target(self, target: PointStamped) -> None:
        true = self._truth.get(_key(target))
        if true is not None:
            self.error = 1e3 * float(np.linalg.norm(_vector(target) - true))


def _key(message: PointStamped) -> tuple[int, int]:
    return message.header.stamp.sec, message.header.stamp.nanosec


def _vector(message: PointStamped) -> np.ndarray:
    return np.array([message.point.x, message.point.y, message.point.z])
