"""Node arm_encoders: from encoder counts to joint states. What is not plausible is counted and never published."""

from __future__ import annotations

from collections import Counter
from typing import Any

from rclpy.node import Node
from sensor_msgs.msg import JointState

from deeprs2v_ros.arm.encoders import FAULTS, EncoderError, EncoderStream
from deeprs2v_ros.arm.sources import Sample
from deeprs2v_ros.nodes.support import qos
from deeprs2v_ros.nodes.support.clock import on_jump_back
from deeprs2v_ros.nodes.support.conversions import joint_state, stamp_message
from deeprs2v_ros.nodes.support.diagnostics import ERROR, OK, WARN, Condition, Diagnostics
from deeprs2v_ros.nodes.support.encoder_sources import declare_encoders
from deeprs2v_ros.nodes.support.ending import leave
from deeprs2v_ros.nodes.support.parameters import declare_positive
from deeprs2v_ros.nodes.support.running import run

PERIOD_OF_WARNINGS = 2.0  # s


class ArmEncoders(Node):
    """Publishes ``joint_states`` from a simulated cart's encoders, a log of counts, or a board on a serial line.

    How many samples were published, and what was wrong with the others, is on ``/diagnostics``.
    """

    def __init__(self, **options: Any) -> None:
        """Raise InputError for parameters that cannot be met; ``options`` are those of rclpy's Node."""
        super().__init__("arm_encoders", **options)
        self._arm, self.source = declare_encoders(self)
        self._fault_after = declare_positive(self, "fault_after", 20, "Rejected samples in a row that latch a fault")
        self.published = 0
        self.rejected = Counter(dict.fromkeys(FAULTS, 0))
        self._in_a_row = 0
        self._fault = self._trouble = ""
        self._reported = 0
        self._stream = EncoderStream(self._arm.encoders)
        self._publisher = self.create_publisher(JointState, "joint_states", qos.JOINTS)
        self._jump = on_jump_back(self, self._reset)
        self._timer = self.create_timer(self.source.period, self._tick)
        self._diagnostics = Diagnostics(self, self._condition)

    def destroy_node(self) -> None:
        """Close the source as well."""
        self.source.close()
        super().destroy_node()

    def _reset(self) -> None:
        self._stream.reset()
        self.source.restart()

    def _now(self) -> int:
        return self.get_clock().now().nanoseconds

    def _tick(self) -> None:
        for sample in self.source.due(self._now):
            if not self._fault:
                self._publish(sample)
        if self.source.trouble:
            self.get_logger().warning(self.source.trouble, throttle_duration_sec=PERIOD_OF_WARNINGS)
        elif self._trouble:
            self.get_logger().info(f"over: {self._trouble}")
        self._trouble = self.source.trouble

    def _publish(self, sample: Sample) -> None:
        if sample.first:
            self._stream.reset()
        try:
            joints = self._stream.joints(sample.counts, sample.time)
        except EncoderError as error:
            self._reject(error)
            return
        self._in_a_row = 0
        self.published += 1
        self._publisher.publish(joint_state(joints, self._arm.chain, stamp_message(sample.stamp)))

    def _reject(self, error: EncoderError) -> None:
        self.rejected[error.fault] += 1
        self._in_a_row += 1
        self.get_logger().warning(
            f"sample rejected ({self.rejected.total()} so far): {error}", throttle_duration_sec=PERIOD_OF_WARNINGS
        )
        if self._in_a_row >= self._fault_after:
            self._fault = f"FAULT: {self._in_a_row} samples rejected in a row, the last one: {error}"
            self.get_logger().error(self._fault)

    def _condition(self) -> Condition:
        """ERROR for a latched fault, WARN while there is trouble or if a sample was refused since the last report."""
        faults = self.rejected.copy()
        faults.update(self.source.faults)
        new, self._reported = faults.total() - self._reported, faults.total()
        values = {"published": self.published, **faults}
        if self._fault:
            return Condition(ERROR, self._fault, values)
        if self.source.trouble or new:
            return Condition(WARN, self.source.trouble or f"{new} new faults", values)
        return Condition(OK, "all samples published", values)


def main() -> int:
    """Run the node."""
    return run(ArmEncoders)


if __name__ == "__main__":
    leave(main())
