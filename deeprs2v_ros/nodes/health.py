"""Node health: whether all nodes of the cart are alive, and the worst that they report of themselves."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.nodes.running.diagnostics import PERIOD
from deeprs2v_ros.nodes.running.ending import leave
from deeprs2v_ros.nodes.running.parameters import declare
from deeprs2v_ros.nodes.running.program import run
from deeprs2v_ros.nodes.topics import qos
from deeprs2v_ros.parameters.names import NAMES

SILENT = 3.0
"""Seconds of silence after which a node counts as dead: a living one reports every second."""

STARTING = 60.0
"""Seconds within which a node has to report for the first time: it may be acquiring a volume."""


class Health(Node):
    """Sums up ``/diagnostics`` of the nodes of its own namespace on ``health``, once a second.

    A node that has been silent for `SILENT` seconds is STALE: whatever it last said is out of date, and that is worse
    than anything that it could report.
    """

    def __init__(self, usual: Sequence[str] = tuple(sorted({*NAMES} - {"health"})), **options: Any) -> None:
        """``usual`` are the nodes that have to be alive unless the parameter ``nodes`` says others.

        Raise InputError if that is empty; ``options`` are those of rclpy's Node.
        """
        super().__init__("health", **options)
        self._expected: list[str] = declare(self, "nodes", list(usual), "Names of the nodes that have to be alive")
        if not self._expected:
            raise InputError("parameter nodes: is empty")
        self._heard: dict[str, tuple[DiagnosticStatus, float]] = {}
        self._since = monotonic()
        self._last = b""
        self._publisher = self.create_publisher(DiagnosticStatus, "health", qos.STATUS)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, qos.STATUS)
        self.create_timer(PERIOD, self._sum_up, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        prefix = f"{self.get_namespace().rstrip('/')}/"
        for status in message.status:
            name = status.name.removeprefix(prefix)
            if name in self._expected:
                self._heard[name] = (status, monotonic())

    def _sum_up(self) -> None:
        now = monotonic()
        said = {name: self._condition(name, now) for name in self._expected}
        worst = max((level for level, _ in said.values()), default=DiagnosticStatus.OK)
        wrong = [f"{name}: {text}" for name, (level, text) in said.items() if level != DiagnosticStatus.OK]
        summary = DiagnosticStatus(
            level=worst,
            name=self.get_fully_qualified_name(),
            message="; ".join(wrong) or "all is well",
            values=[KeyValue(key=name, value=text) for name, (_, text) in said.items()],
        )
        self._publisher.publish(summary)
        stale, was_stale = (level == DiagnosticStatus.STALE for level in (worst, self._last))
        if stale and not was_stale:  # rclpy raises where one call logs at several levels, so these are two
            self.get_logger().error(summary.message)
        elif was_stale and not stale:
            self.get_logger().info(summary.message)
        self._last = worst

    def _condition(self, name: str, now: float) -> tuple[bytes, str]:
        status, since = self._heard.get(name, (None, self._since))
        if now - since > (STARTING if status is None else SILENT):
            return DiagnosticStatus.STALE, f"silent for {now - since:.0f} s"
        if status is None:
            return DiagnosticStatus.WARN, "not heard of yet"
        return status.level, status.message


def main() -> int:
    """Run the node."""
    return run(Health)


if __name__ == "__main__":
    leave(main())
