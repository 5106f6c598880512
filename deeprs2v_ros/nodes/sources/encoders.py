"""Where a node's encoder counts come from, by its parameters."""

from __future__ import annotations

from rclpy.node import Node
from rclpy.parameter import Parameter

from deeprs2v_ros.arm.description import Arm
from deeprs2v_ros.arm.line_protocol import CHECKSUMS, LineFormat
from deeprs2v_ros.arm.serial_encoders import SerialEncoders
from deeprs2v_ros.arm.serial_port import SerialPort
from deeprs2v_ros.arm.sources import Clock, EncoderSource, Sample
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.nodes.running.parameters import declare, declare_choice, declare_path, declare_positive
from deeprs2v_ros.nodes.sources.encoder_log import EncoderLog
from deeprs2v_ros.nodes.sources.scene import declare_arm, declare_cart, declare_images
from deeprs2v_ros.parameters.cart import FASTEST
from deeprs2v_ros.simulation.cart import Cart

SECOND = 1_000_000_000


class SceneEncoders(EncoderSource):
    """The encoders of a simulated ``cart``: one sample whenever asked, every ``period`` s."""

    def __init__(self, cart: Cart, period: float) -> None:
        super().__init__()
        self._cart, self.period = cart, period

    def due(self, clock: Clock) -> list[Sample]:
        """What the encoders say now."""
        now = clock()
        time = now / SECOND
        return [Sample(self._cart.counts(time), now, time)]


def declare_encoders(node: Node) -> tuple[Arm, EncoderSource]:
    """The arm and the source of its counts, by the parameters ``source``, ``arm`` and those of each source.

    Raises InputError for parameters that cannot be met.
    """
    kind = declare_choice(node, "source", ("scene", "log", "serial"), "Where the encoders' counts come from")
    if kind == "scene":
        period = 1.0 / declare_positive(node, "rate", 100.0, "Samples per second of a scene", 10 * FASTEST)
        cart = declare_cart(node, declare_images(node))
        if cart is None:
            raise InputError("parameter source: is scene, but scene.kind is none")
        return cart.arm, SceneEncoders(cart, period)
    arm = declare_arm(node)
    if kind == "serial":
        return arm, _declare_serial(node, arm)
    path = declare_path(node, "log.file", "Log of counts: a CSV file with a column 'stamp' (s) and one for each joint")
    return arm, EncoderLog(path, declare(node, "log.loop", True, "Whether the log starts again when it ends"))


def _declare_serial(node: Node, arm: Arm) -> SerialEncoders:
    names = arm.chain.joint_names
    given = declare(
        node,
        "serial.joints",
        Parameter.Type.STRING_ARRAY,
        "Joints in the order of the counts in a line; left out: the arm's order",
    )
    joints = tuple(given or names)
    if sorted(joints) != sorted(names):
        raise InputError(f"parameter serial.joints: is {list(joints)}, not the arm's {list(names)} in some order")
    checksum = declare_choice(node, "serial.checksum", tuple(CHECKSUMS), "Checksum of the board's lines")
    line_format = LineFormat([arm.encoders.encoders[name].bits for name in joints], checksum)
    port = SerialPort(
        declare_path(node, "serial.port", "Device file of the encoder board"),
        declare_positive(node, "serial.baud", 921600, "Bits per second on the line", 10_000_000),
        line_format.length,
    )
    stall_after = declare_positive(
        node, "serial.stall_after", 0.5, "Seconds of silence on the line that count as a stall", 60.0
    )
    return SerialEncoders(port, line_format, joints, stall_after)
