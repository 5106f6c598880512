"""The outputs of the registration node: TF, the status, and pictures, in that order."""

from __future__ import annotations

from rclpy.node import Node
from tf2_ros import Buffer

from deeprs2v_ros.arm.chain import LinkTransform
from deeprs2v_ros.frames import CORRECTED, PREDICTED, VOLUME
from deeprs2v_ros.geometry import Array, inverse
from deeprs2v_ros.imaging.image_geometry import ImageGeometry
from deeprs2v_ros.msg import RegistrationStatus
from deeprs2v_ros.nodes.support import qos
from deeprs2v_ros.nodes.support.conversions import stamp_message, transform_messages
from deeprs2v_ros.nodes.support.parameters import digest
from deeprs2v_ros.nodes.support.pictures import Pictures
from deeprs2v_ros.nodes.support.status import status_message
from deeprs2v_ros.nodes.support.transforms import Broadcaster
from deeprs2v_ros.registration.guidance import Moment, Outcome
from deeprs2v_ros.registration.supervisor import State


class Results:
    """Says of one image after the other what became of it. Made after all parameters of the ``node`` are declared."""

    def __init__(self, node: Node, images: ImageGeometry, buffer: Buffer) -> None:
        self._clock, self._centre = node.get_clock(), images.centre
        self._pictures = Pictures(node, images.pixel_size, buffer)
        self._broadcaster = Broadcaster(node)
        self._status = node.create_publisher(RegistrationStatus, "registration/status", qos.STATUS)
        self._configuration = f"parameters {digest(node)}"

    def announce(self, outcome: Outcome) -> None:
        """Broadcast what may be believed, say so, then show it."""
        verdict = outcome.verdict
        looked_at = outcome.image is not None and (verdict.accepted or verdict.state is State.HOLDING)
        if looked_at and verdict.held is not None:
            self._broadcast(CORRECTED, verdict.held.motion, outcome.arrival.shown)
        message = status_message(outcome, self._centre, self._configuration)
        message.latency_published = (self._clock.now().nanoseconds - outcome.arrival.stamp) / 1e9
        self._status.publish(message)
        self._pictures.publish(outcome)

    def predict(self, moment: Moment, time: int) -> None:
        """Broadcast where the organ is at ``time`` (ns), if that is known."""
        if moment.predicted is not None:
            self._broadcast(PREDICTED, moment.predicted.motion, time)

    def _broadcast(self, child: str, motion: Array, time: int) -> None:
        place = LinkTransform(VOLUME, child, inverse(motion))
        self._broadcaster.sendTransform(transform_messages([place], stamp_message(time)))
