"""Node arm_encoders: from encoder counts to joint states. Implausible samples are counted and never published."""

from __future__ import annotations

from typing import Any

from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger

from deeprs2v_ros.arm.encoders import FAULTS, EncoderStream
from deeprs2v_ros.arm.refusals import SampleError, Tally
from deeprs2v_ros.arm.sources import Sample
from deeprs2v_ros.nodes.running.clock import on_jump_back
from deeprs2v_ros.nodes.running.diagnostics import ERROR, OK, WARN, Condition, Diagnostics
from deeprs2v_ros.nodes.running.ending import leave
from deeprs2v_ros.nodes.running.parameters import declare_positive
from deeprs2v_ros.nodes.running.program import run
from deeprs2v_ros.nodes.sources.encoders import declare_encoders
from deeprs2v_ros.nodes.topics import qos
from deeprs2v_ros.nodes.topics.conversions import joint_state, stamp_message

PERIOD_OF_WARNINGS = 2.0  # s


class ArmEncoders(Node):
    """Publishes ``joint_states`` from a simulated cart's encoders, a log of counts, or a board on a serial line.

    ``/diagnostics`` says how many samples were published and what was wrong with the others. ``fault_after`` samples
    rejected in a row latch a fault. Then nothing is published until the service ``arm_encoders/clear_fault`` is called:
    the encoders are ours, and somebody should have looked at them.
    """

    def __init__(self, **options: Any) -> None:
        """Raise InputError for parameters that cannot be met; ``options`` are those of rclpy's Node."""
        super().__init__("arm_encoders", **options)
        self._arm, self.source = declare_encoders(self)
        fault_after = declare_positive(
            self,
            "fault_after",
            20,
            "Rejected samples in a row after which nothing is published until the fault is cleared",
        )
        self.tally = Tally(FAULTS, fault_after)
        self._trouble = ""
        self._reported = 0
        self._stream = EncoderStream(self._arm.encoders)
        self._publisher = self.create_publisher(JointState, "joint_states", qos.JOINTS)
        self._clearing = self.create_service(Trigger, "arm_encoders/clear_fault", self._clear_fault)
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
            if not self.tally.fault:
                self._publish(sample)
        if self.source.trouble:
            self.get_logger().warning(self.source.trouble, throttle_duration_sec=PERIOD_OF_WARNINGS)
        elif self._trouble:
            self.get_logger().info(f"over: {self._trouble}")
        self._trouble = self.source.trouble

    def _publish(self, sample: Sample) -> None:
        try:
            good = self._stream.take(sample)
        except SampleError as error:
            self._reject(error)
            return
        for stamp, joints in good:
            self._publisher.publish(joint_state(joints, self._arm.chain, stamp_message(stamp)))
        self.tally.accept(len(good))

    def _reject(self, error: SampleError) -> None:
        self.tally.refuse(error)
        text = f"sample rejected ({self.tally.rejected.total()} so far): {error}"
        self.get_logger().warning(text, throttle_duration_sec=PERIOD_OF_WARNINGS)
        if self.tally.fault:
            self.get_logger().error(self.tally.fault)

    def _clear_fault(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = bool(self.tally.fault)
        response.message = f"cleared: {self.tally.fault}" if self.tally.fault else "there is no fault to clear"
        if self.tally.fault:
            self.get_logger().info(response.message)
            self.tally.clear()
            self._stream.reset()
        return response

    def _condition(self) -> Condition:
        """ERROR for a latched fault, WARN while there is trouble or if a sample was refused since the last report."""
        faults = self.tally.rejected.copy()
        faults.update(self.source.faults)
        new, self._reported = faults.total() - self._reported, faults.total()
        values = {"published": self.tally.published, **faults}
        if self.tally.fault:
            return Condition(ERROR, self.tally.fault, values)
        if self.source.trouble or new:
            return Condition(WARN, self.source.trouble or f"{new} new faults", values)
        return Condition(OK, "all samples published", values)


def main() -> int:
    """Run the node."""
    return run(ArmEncoders)


if __name__ == "__main__":
    leave(main())
