"""Records every topic to a rosbag2 directory in MCAP storage, which `ros2 bag` and Foxglove read.

A thread of its own fetches messages now and then, as they come off the wire, without conversion. Until then they wait
in the middleware, so that a slow disk delays nobody. No executor is woken for each of them, which in Python would cost
more than writing them.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

from rclpy.duration import Duration
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from rclpy.topic_endpoint_info import TopicEndpointInfo
from rosbags.interfaces import Connection, Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.nodes.composed.definitions import message_class, message_definition

PERIOD = 0.05
"""Seconds between two looks for messages and for new topics."""

DEPTH = 500
"""Messages of one topic that may wait for the recorder, several seconds of the fastest one."""


class BagRecorder(Node):
    """Subscribes to every topic that appears, hidden ones aside, and writes it to the new folder ``bag``.

    Each topic is recorded with the QoS that its publishers offer, so that a replay offers the same. `destroy_node`
    ends the recording. A full disk ends it as well, which is said at once and disturbs nobody else.
    Raises rosbags' WriterError if ``bag`` exists.
    """

    def __init__(self, bag: Path) -> None:
        super().__init__("bag_recorder", start_parameter_services=False)
        self._bag = bag
        self._writer = Writer(bag, version=9, storage_plugin=StoragePlugin.MCAP)
        self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        self._topics: dict[str, tuple[Subscription[Any], Connection]] = {}
        self._stopping = Event()
        self._pool = ThreadPoolExecutor(1, "bag_recorder")
        self._recording = self._pool.submit(self._record)

    def check(self) -> None:
        """Raise the error that has ended the recording, if one has and it was not the disk."""
        if self._recording.done() and not isinstance(self._recording.exception(), OSError):
            self._recording.result()

    def destroy_node(self) -> None:
        """Write what has come in so far, and the index. Raises what `check` does, and InputError for a full disk."""
        self._stopping.set()
        self._pool.shutdown()
        super().destroy_node()
        try:
            self._recording.result()
        except OSError as error:
            raise InputError(f"{self._bag}: is not whole ({error.strerror or error})") from error

    def _record(self) -> None:
        try:
            with self._writer:
                while not self._stopping.wait(PERIOD):
                    self._discover()
                    self._take()
                self._take()
        except OSError as error:
            self.get_logger().error(f"nothing is recorded any more, the guidance goes on: {error.strerror or error}")
            raise

    def _discover(self) -> None:
        for topic, types in self.get_topic_names_and_types():
            if topic in self._topics or any(part.startswith("_") for part in topic.split("/")):
                continue
            offers = self.get_publishers_info_by_topic(topic)
            if offers:
                self._topics[topic] = (self._subscribe(topic, types[0], offers), self._connect(topic, types[0], offers))

    def _subscribe(self, topic: str, message_type: str, offers: Sequence[TopicEndpointInfo]) -> Subscription[Any]:
        return self.create_subscription(
            message_class(message_type),
            topic,
            lambda _: None,
            requested_qos(offers),
            event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=False),
            raw=True,
        )

    def _connect(self, topic: str, message_type: str, offers: Sequence[TopicEndpointInfo]) -> Connection:
        return self._writer.add_connection(
            topic,
            message_type,
            msgdef=message_definition(message_type),
            rihs01=str(offers[0].topic_type_hash),
            offered_qos_profiles=[_recorded(offer.qos_profile) for offer in offers],
        )

    def _take(self) -> None:
        """Write all that has come in, in the order of time."""
        taken = []
        for subscription, connection in self._topics.values():
            with subscription.handle:
                while (found := subscription.handle.take_message(subscription.msg_type, True)) is not None:
                    message, info = found
                    taken.append((info["received_timestamp"], connection, message))
        for received, connection, message in sorted(taken, key=lambda item: item[0]):
            self._writer.write(connection, received, message)


def requested_qos(offers: Sequence[TopicEndpointInfo]) -> QoSProfile:
    """The strictest QoS that is compatible with every one of ``offers``."""
    profiles = [offer.qos_profile for offer in offers]
    reliable = all(profile.reliability == ReliabilityPolicy.RELIABLE for profile in profiles)
    latched = all(profile.durability == DurabilityPolicy.TRANSIENT_LOCAL for profile in profiles)
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=DEPTH,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


def _recorded(profile: QoSProfile) -> Qos:
    return Qos(
        history=QosHistory[profile.history.name],
        depth=profile.depth,
        reliability=QosReliability[profile.reliability.name],
        durability=QosDurability[profile.durability.name],
        deadline=_time(profile.deadline),
        lifespan=_time(profile.lifespan),
        liveliness=QosLiveliness[profile.liveliness.name],
        liveliness_lease_duration=_time(profile.liveliness_lease_duration),
        avoid_ros_namespace_conventions=profile.avoid_ros_namespace_conventions,
    )


def _time(duration: Duration) -> QosTime:
    return QosTime(*divmod(duration.nanoseconds, 10**9))
