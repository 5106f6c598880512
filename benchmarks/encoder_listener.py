"""What the soak of the encoders' node hears: joint states, held against the samples that were sent; diagnostics."""

from __future__ import annotations

from bisect import bisect
from collections import Counter
from threading import Thread

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile
from sensor_msgs.msg import JointState

from deeprs2v_ros.arm.description import read_arm
from deeprs2v_ros.nodes.topics.conversions import joint_state, nanoseconds, stamp_message
from deeprs2v_ros.resources import resource

SECOND = 1_000_000_000
ARM = read_arm(resource("config/arm/liver.yaml"))
NAMES = ARM.chain.joint_names
REST = ARM.encoders.counts(ARM.rest)
SETTLED = SECOND
"""How long after a start or a reset (ns) a stamp counts as one of the first."""
PERIOD_OF_NUMBERS = 4**7


def counts_of(number: int) -> dict[str, int]:
    """Plausible counts that tell the number of the sample: two bits in each of the seven joints of the arm."""
    return {**REST, **{name: REST[name] + (number >> 2 * k & 3) for k, name in enumerate(NAMES[:7])}}


class Listener:
    """Compares what is published with what was sent.

    ``times``: when each sample was taken; ``bad``: numbers of those that must not be published; ``starts``: when the
    board's clock started. All in ns.
    """

    def __init__(self) -> None:
        self.times: list[int] = []
        self.bad: set[int] = set()
        self.starts: list[int] = []
        self.received, self.wrong, self.last = 0, 0, -1
        self.first_errors: list[int] = []
        self.errors: list[int] = []
        self.counts: Counter[str] = Counter()
        self.trouble = "nothing heard"
        self._numbers = {self._key(counts_of(number)): number for number in range(PERIOD_OF_NUMBERS)}
        self.node = rclpy.create_node("listener")
        self.node.create_subscription(JointState, "joint_states", self._on_joints, QoSProfile(depth=5000))
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_report, 10)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self._thread = Thread(target=self._executor.spin)
        self._thread.start()

    def end(self) -> None:
        """Stop listening."""
        self._executor.shutdown()
        self._thread.join()
        self.node.destroy_node()

    @staticmethod
    def _key(counts: dict[str, int]) -> tuple[float, ...]:
        message = joint_state(ARM.encoders.joints(counts), ARM.chain, stamp_message(0))
        return tuple(message.position)

    def _on_report(self, message: DiagnosticArray) -> None:
        (status,) = message.status
        self.counts = Counter({each.key: int(each.value) for each in status.values})
        self.trouble = status.message if "ttyUSB0" in status.message else ""

    def _on_joints(self, message: JointState) -> None:
        self.received += 1
        within = self._numbers.get(tuple(message.position))
        if within is None:
            self.wrong += 1
            return
        stamp = nanoseconds(message.header.stamp)
        near = bisect(self.times, stamp)
        number = within + PERIOD_OF_NUMBERS * round((near - within) / PERIOD_OF_NUMBERS)
        if number in self.bad or not self.last < number < len(self.times):
            self.wrong += 1
            return
        self.last = number
        taken = self.times[number]
        settled = taken - self.starts[bisect(self.starts, taken) - 1] > SETTLED
        (self.errors if settled else self.first_errors).append(stamp - taken)
