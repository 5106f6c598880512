"""What every node reports on /diagnostics once a second: that it is alive, what comes in, and what is wrong."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from deeprs2v_ros.nodes.topics import qos

PERIOD = 1.0  # s
OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR

_PAGE_MB = 4096 / 1e6


class Inflow:
    """Statistics of one kind of input: how often it came, when last, what was refused and why, how long it took.

    Counted by one thread and read by another: a figure may be a little out of date, but no more than that.
    """

    def __init__(self) -> None:
        self.good = 0
        self.refused: Counter[str] = Counter()
        self._last: float | None = None
        self._latencies: deque[float] = deque(maxlen=100)
        self._reported = (monotonic(), 0)

    def count(self, latency: float | None = None) -> None:
        """Count a good one, ``latency`` s after it was made."""
        self.good += 1
        self._last = monotonic()
        if latency is not None:
            self._latencies.append(latency)

    def refuse(self, reason: str) -> None:
        """Count one that was refused, and why."""
        self.refused[reason] += 1

    def silence(self) -> float | None:
        """Seconds since the last good one, on the steady clock; None if there was none yet."""
        return None if self._last is None else monotonic() - self._last

    def values(self, things: str) -> dict[str, str]:
        """All of it in words, and the rate since this was last asked for."""
        now = monotonic()
        then, good = self._reported
        self._reported = (now, self.good)
        silence, latencies = self.silence(), list(self._latencies)
        values = {
            f"{things} per second": f"{(self.good - good) / max(now - then, 1e-3):.1f}",
            f"good {things}": str(self.good),
            f"seconds since the last of the good {things}": "never" if silence is None else f"{silence:.2f}",
        }
        if latencies:
            values["latency, median of the last 100 (ms)"] = f"{1e3 * float(np.median(latencies)):.0f}"
        refused = sorted(self.refused.copy().items())
        return values | {f"{things} refused, {reason}": str(count) for reason, count in refused}


@dataclass(frozen=True)
class Condition:
    """The condition of a node: a level of DiagnosticStatus, a line that says why, and figures."""

    level: bytes = OK
    message: str = "all is well"
    values: Mapping[str, Any] = field(default_factory=dict)


class Diagnostics:
    """Publishes the ``condition`` of a node every second of the steady clock, so also while a recording is paused."""

    def __init__(self, node: Node, condition: Callable[[], Condition]) -> None:
        self._node, self._condition = node, condition
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", qos.STATUS)
        self._timer = node.create_timer(PERIOD, self.report, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def report(self) -> None:
        """Publish it now."""
        condition = self._condition()
        values = {**condition.values, "memory of the process (MB)": f"{_resident():.0f}"}
        status = DiagnosticStatus(
            level=condition.level,
            name=self._node.get_fully_qualified_name(),
            message=condition.message,
            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
        )
        message = DiagnosticArray(status=[status])
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)


def _resident() -> float:
    """Memory of this process in MB that is in use now; NaN where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_MB
    except OSError:
        return float("nan")
