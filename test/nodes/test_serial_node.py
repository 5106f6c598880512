"""The encoder board to joint states: what is published is what was sent, and everything else is counted."""

import termios

import numpy as np
import pytest
import rclpy
from bench import overrides
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.qos import QoSProfile
from sensor_msgs.msg import JointState

from deeprs2v_ros.arm.description import read_arm
from deeprs2v_ros.arm.line_protocol import LineFormat
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.nodes.arm_encoders import ArmEncoders
from deeprs2v_ros.nodes.topics import qos
from deeprs2v_ros.nodes.topics.conversions import nanoseconds
from deeprs2v_ros.resources import resource
from deeprs2v_ros.simulation.encoder_board import BadLine, EncoderBoard, PseudoPort

ARM = read_arm(resource("config/arm/liver.yaml"))
NAMES = ARM.chain.joint_names
BITS = {name: ARM.encoders.encoders[name].bits for name in NAMES}
REST = ARM.encoders.counts(ARM.rest)
FAR = REST["j1"] + 900  # 79 degrees away, for which the joint needs 0.4 s
PERIOD = 2_000_000  # ns between samples
HALF_FULL = 2048  # bytes that wait in the terminal, after which this thread, which also reads them, must not write on


class Cart:
    """A node on a pseudo-terminal, and a board that takes a sample every 2 ms of the node's own time."""

    def __init__(self, context, keep, spin_until, path, joints=NAMES, checksum="crc16", **parameters):
        self._spin_until, self._joints = spin_until, joints
        self.port = PseudoPort(path)
        self.port.plug()
        values = {"source": "serial", "serial.port": str(path), "serial.checksum": checksum} | parameters
        self.node = keep(ArmEncoders(context=context, parameter_overrides=overrides(values)))
        self.hand = keep(rclpy.create_node("hand", context=context))
        self.states, self.reports = [], []
        self.hand.create_subscription(JointState, "joint_states", self.states.append, QoSProfile(depth=1000))
        self.hand.create_subscription(DiagnosticArray, "/diagnostics", self._on_report, qos.STATUS)
        self.board = EncoderBoard(LineFormat([BITS[name] for name in joints], checksum))
        self.sent, self.damage = [], None
        self.until(
            lambda: self.node.count_subscribers("joint_states") == 1 and self.hand.count_publishers("/diagnostics")
        )
        self.connect()
        self.board.start(self._next)

    def _on_report(self, message):
        (status,) = message.status
        self.reports.append((status.level, status.message, {each.key: int(each.value) for each in status.values}))

    def connect(self):
        """Wait until the port is open; the line feed ends what may have been half a line."""
        self.until(lambda: not self.node.source.trouble)
        self.port.write(b"\n")
        self.skip(0.0)

    def now(self):
        return self.node.get_clock().now().nanoseconds

    def until(self, condition):
        self._spin_until(condition, self.node, self.hand)

    def until_report(self, level, **counts):
        """Wait until the latest report is of ``level`` and has these counts; returns its text."""
        self.until(
            lambda: self.reports and self.reports[-1][0] == level and counts.items() <= self.reports[-1][2].items()
        )
        return self.reports[-1][1]

    def withheld(self):
        """Samples that arrived but could not be dated well enough: some of the first, more where the host is busy."""
        return self.node.source.faults["stamp"] + self.node.source.faults["late"]

    def settle(self):
        """Wait until every sample that the board took is accounted for, the last one being sound."""

        def accounted():
            lost = self.node.source.faults["gap"] + self.node.tally.rejected.total() + self.withheld()
            return self.node.tally.published + lost

        self.until(lambda: accounted() >= self.board.taken)
        assert accounted() == self.board.taken

    def run(self, samples, **counts):
        """Take and send samples; no two are alike, since the translation counts them."""
        end = self.board.taken + samples

        def done():
            while self._next <= self.now() and self.board.taken < end and self.port.unread() < HALF_FULL:
                taken = REST | {"translate": self.board.taken} | counts
                line = self.board.line(self._next, [taken[name] for name in self._joints])
                self.sent.append((self._next, taken))
                self.port.write(line if self.damage is None else self.damage.carry(line))
                self._next += PERIOD
            return self.board.taken == end

        self.until(done)

    def skip(self, seconds):
        """Time passes in which the board takes no sample."""
        until = self.now() + round(seconds * 1e9)
        self.until(lambda: self.now() > until)
        self._next = self.now()

    def published(self):
        """Numbers of the samples published, each found to be what was sent, and the errors of their stamps in s."""
        self.until(lambda: len(self.states) == self.node.tally.published)
        numbers, errors = [], []
        for state in self.states:
            position = dict(zip(state.name, state.position, strict=True))
            number = round(position["translate"] * 1e6)  # of a micrometre each
            stamp, counts = self.sent[number]
            joints = ARM.encoders.joints(counts)
            assert position == {name: joints[name] * (1e-3 if name == "translate" else 1.0) for name in NAMES}
            numbers.append(number)
            errors.append(1e-9 * (nanoseconds(state.header.stamp) - stamp))
        assert numbers == sorted(set(numbers))
        return numbers, np.array(errors)


@pytest.fixture
def make(ros, keep, spin_until, tmp_path):
    return lambda **options: Cart(ros, keep, spin_until, tmp_path / "ttyUSB0", **options)


def test_what_is_published_was_sent_and_every_fault_is_counted(make):
    cart = make(**{"serial.stall_after": 30.0})
    cart.run(100)
    cart.damage = BadLine(0.3, seed=3)
    cart.run(500)
    caused, cart.damage = cart.damage.caused, None
    cart.run(10)
    before = cart.withheld()
    cart.run(5, j3=None)  # no reading
    cart.run(10)
    cart.run(4, j2=9 << 8)  # out of its limits
    cart.run(10)
    cart.run(3, j1=REST["j1"] + 300)  # too fast
    cart.run(10)
    cart.settle()
    rejected, withheld = cart.node.tally.rejected, cart.withheld()
    for kind, count in {"nan": 5, "limits": 4, "speed": 3}.items():
        assert count - (withheld - before) <= rejected[kind] <= count
    numbers, errors = cart.published()
    assert len(numbers) + rejected.total() + withheld + caused["gap"] == cart.board.taken == 652
    cart.until_report(DiagnosticStatus.OK, **caused, **+rejected, published=len(numbers), stall=0)
    assert min(caused.values()) > 5
    assert abs(errors).max() < 0.25  # or it would have been withheld; only without a real clock can it be told better


def test_pulled_cable_is_no_fault_and_the_arm_may_move_meanwhile(make):
    cart = make(fault_after=3)
    cart.run(50)
    cart.settle()
    cart.port.pull()
    cart.until(lambda: "was lost" in cart.node.source.trouble)
    cart.port.plug()
    cart.connect()
    cart.run(50, j1=FAR)
    cart.settle()
    numbers = cart.published()[0]
    assert len(numbers) + cart.withheld() == 100
    assert numbers[-1] == 99
    cart.until_report(DiagnosticStatus.WARN, reconnect=1, gap=0, speed=0, published=len(numbers))


def test_stall_is_said_and_counted(make):
    cart = make(**{"serial.stall_after": 0.05})
    cart.run(50)
    cart.skip(0.1)
    assert cart.node.source.faults["stall"] > 0
    cart.run(50, j1=FAR)
    cart.settle()
    numbers = cart.published()[0]
    assert len(numbers) + cart.withheld() == 100
    assert cart.node.tally.rejected.total() == 0
    assert "no sound line" in cart.until_report(DiagnosticStatus.WARN, published=len(numbers))


def test_implausible_samples_latch_a_fault(make):
    cart = make(fault_after=5)
    cart.run(10)
    cart.settle()
    before = cart.published()[0]
    cart.run(40, j2=9 << 8)
    assert "FAULT: 5 samples rejected in a row" in cart.until_report(DiagnosticStatus.ERROR, limits=5)
    cart.skip(0.0)
    cart.run(40)
    assert cart.published()[0] == before


def test_joints_order_checksum_and_baud_rate_are_parameters(make):
    options = {"serial.joints": list(NAMES[::-1]), "serial.baud": 115200}
    cart = make(joints=NAMES[::-1], checksum="xor", **options)
    assert termios.tcgetattr(cart.port.terminal)[4] == termios.B115200
    cart.run(50)
    cart.settle()
    assert len(cart.published()[0]) + cart.withheld() == 50
    assert cart.published()[0][-1] == 49


@pytest.mark.parametrize(
    ("parameters", "fault"),
    [
        ({}, r"serial\.port: is empty"),
        ({"serial.port": "/dev/null", "serial.baud": 0}, r"serial\.baud"),
        ({"serial.port": "/dev/null", "serial.stall_after": 0.0}, r"serial\.stall_after"),
        ({"serial.checksum": "md5"}, r"serial\.checksum: is 'md5', not one of crc16, xor, none"),
        ({"serial.joints": ["j1", "j2"]}, r"serial\.joints: is \['j1', 'j2'\], not the arm's"),
        ({"serial.joints": [*NAMES[:-1], "j1"]}, r"serial\.joints"),
    ],
)
def test_parameters_that_cannot_be_met_are_refused(ros, parameters, fault):
    with pytest.raises(InputError, match=fault):
        ArmEncoders(context=ros, parameter_overrides=overrides({"source": "serial"} | parameters))
