"""The outputs of the registration node: TF, and then the status."""

from __future__ import annotations

from rclpy.node import Node

from deeprs2v_ros.arm.chain import LinkTransform
from deeprs2v_ros.frames import CORRECTED, PREDICTED, VOLUME
from deeprs2v_ros.geometry import Array, inverse
from deeprs2v_ros.msg import RegistrationStatus
from deeprs2v_ros.nodes.running.diagnostics import Inflow
from deeprs2v_ros.nodes.running.parameters import digest
from deeprs2v_ros.nodes.topics import qos
from deeprs2v_ros.nodes.topics.conversions import stamp_message, transform_messages
from deeprs2v_ros.nodes.topics.status import status_message
from deeprs2v_ros.nodes.topics.transforms import Broadcaster
from deeprs2v_ros.registration.arrivals import Arrival
from deeprs2v_ros.registration.guidance import Moment, Outcome
from deeprs2v_ros.registration.supervisor import State, Verdict


class Results:
    """Says of one image after the other what became of it. Made after all parameters of the ``node`` are declared.

    ``centre`` (3,) mm is the image centre in the image frame. ``said`` is the state that was last said, and why;
    ``inflow`` counts images.
    """

    def __init__(self, node: Node, centre: Array) -> None:
        self._clock, self._logger, self._centre = node.get_clock(), node.get_logger(), centre
        self._broadcaster = Broadcaster(node)
        self._status = node.create_publisher(RegistrationStatus, "registration/status", qos.STATUS)
        self._configuration = f"parameters {digest(node)}"
        self.said = (State.UNCONFIGURED, "")
        self._logged = State.UNCONFIGURED
        self.inflow = Inflow()

    def announce(self, outcome: Outcome) -> None:
        """Broadcast what may be believed, then say so."""
        verdict = outcome.verdict
        looked_at = outcome.image is not None and (verdict.accepted or verdict.state is State.HOLDING)
        if looked_at and verdict.held is not None:
            self._broadcast(CORRECTED, verdict.held.motion, outcome.arrival.shown)
        message = status_message(outcome, self._centre, self._configuration)
        message.latency_published = (self._clock.now().nanoseconds - outcome.arrival.stamp) / 1e9
        self._status.publish(message)
        if verdict.accepted:
            self.inflow.count(message.latency_published)
        elif not message.without_image:
            self.inflow.refuse(verdict.reason)
        self._log(verdict)

    def say(self, state: State, now: int, stamp: int | None = None) -> None:
        """Say that there is no pipeline, of an image with ``stamp`` or of nothing; ``now`` and ``stamp`` in ns."""
        verdict = Verdict(state, False, state.name, None, None)
        time = now if stamp is None else stamp
        self.announce(Outcome(Arrival(time, time, now, 0, of_image=stamp is not None), verdict, now, None))

    def predict(self, moment: Moment, time: int) -> None:
        """Broadcast where the organ is at ``time`` (ns), if that is known."""
        if moment.predicted is not None:
            self._broadcast(PREDICTED, moment.predicted.motion, time)

    def _log(self, verdict: Verdict) -> None:
        """Log changes of state but HOLDING, which ends by itself, one way or the other, in half a second."""
        state, self.said = verdict.state, (verdict.state, verdict.reason)
        if state in (self._logged, State.HOLDING):
            return
        line = f"{self._logged.name} -> {state.name}" + (f", {verdict.reason}" if verdict.reason else "")
        self._logged = state
        if state in (State.LOST, State.FAULT):
            self._logger.warning(line)
        else:
            self._logger.info(line)

    def _broadcast(self, child: str, motion: Array, time: int) -> None:
        place = LinkTransform(VOLUME, child, inverse(motion))
        self._broadcaster.sendTransform(transform_messages([place], stamp_message(time)))
