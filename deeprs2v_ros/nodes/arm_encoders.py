"""Node arm_encoders: from encoder counts to joint states. What is not plausible is counted and never published."""

from __future__ import annotations

import sys
from typing import Any

from rclpy.node import Node
from sensor_msgs.msg import JointState

from deeprs2v_ros.arm.encoders import EncoderError, EncoderStream
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.nodes.support import qos
from deeprs2v_ros.nodes.support.clock import on_jump_back
from deeprs2v_ros.nodes.support.conversions import SECOND, joint_state, stamp_message
from deeprs2v_ros.nodes.support.encoder_log import EncoderLog
from deeprs2v_ros.nodes.support.parameters import declare, declare_choice, declare_path, declare_positive
from deeprs2v_ros.nodes.support.running import run
from deeprs2v_ros.nodes.support.scene import declare_arm, declare_cart, declare_images

PERIOD_OF_WARNINGS = 2.0  # s


class ArmEncoders(Node):
    """Publishes ``joint_states`` from a simulated cart's encoders or from a log of counts."""

    def __init__(self, **options: Any) -> None:
        """Raise InputError for parameters that cannot be met; ``options`` are those of rclpy's Node."""
        super().__init__("arm_encoders", **options)
        source = declare_choice(self, "source", ("scene", "log"), "Where the counts come from")
        self._fault_after = declare_positive(self, "fault_after", 20, "Rejected samples in a row that latch a fault")
        if source == "scene":
            period = 1.0 / declare_positive(self, "rate", 100.0, "Samples per second")
            cart = declare_cart(self, declare_images(self))
            if cart is None:
                raise InputError("parameter source: is scene, but scene.kind is none")
            self._arm, self._cart, self._log = cart.arm, cart, None
        else:
            self._arm, self._cart = declare_arm(self), None
            self._log = EncoderLog(
                declare_path(self, "log.file", "CSV file: a line 'stamp,<joint>,...', then seconds and counts"),
                declare(self, "log.loop", True, "Start again at the end of the log"),
            )
            period = self._log.period / 4.0
        self.rejected = 0
        self._in_a_row = 0
        self._faulty = False
        self._stream = EncoderStream(self._arm.encoders)
        self._publisher = self.create_publisher(JointState, "joint_states", qos.JOINTS)
        self._jump = on_jump_back(self, self._reset)
        self._timer = self.create_timer(period, self._tick)

    def _reset(self) -> None:
        self._stream.reset()
        if self._log is not None:
            self._log.restart()

    def _tick(self) -> None:
        if self._faulty:
            return
        now = self.get_clock().now().nanoseconds
        if self._cart is not None:
            self._publish(self._cart.counts(now / SECOND), now)
        else:
            for sample in self._log.due(now):
                if sample.first:
                    self._stream.reset()
                self._publish(sample.counts, sample.stamp)

    def _publish(self, counts: dict[str, float], stamp: int) -> None:
        try:
            joints = self._stream.joints(counts, stamp / SECOND)
        except EncoderError as error:
            self._reject(error)
            return
        self._in_a_row = 0
        self._publisher.publish(joint_state(joints, self._arm.chain, stamp_message(stamp)))

    def _reject(self, error: EncoderError) -> None:
        self.rejected += 1
        self._in_a_row += 1
        self.get_logger().warning(
            f"sample rejected ({self.rejected} so far): {error}", throttle_duration_sec=PERIOD_OF_WARNINGS
        )
        if self._in_a_row >= self._fault_after:
            self._faulty = True
            self.get_logger().error(f"FAULT: {self._in_a_row} samples rejected in a row, the last one: {error}")


def main() -> int:
    """Run the node."""
    return run(ArmEncoders)


if __name__ == "__main__":
    sys.exit(main())
