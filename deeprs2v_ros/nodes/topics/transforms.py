"""TF as a process knows it: one buffer for all of its nodes, where several run in one process.

Receiving TF messages in Python costs more than anything else that an idle cart does. So each message is received once
for all nodes, and those of the same process not at all: they go straight into the buffer, at the full rate of the
encoders, however few are broadcast for others.

What would do harm inside TF is refused before: a quaternion not of unit length, of which TF makes some rotation,
and a stamp far in the future, after which TF drops all others as too old.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from threading import Lock
from weakref import WeakKeyDictionary

from geometry_msgs.msg import TransformStamped
from rclpy.context import Context
from rclpy.node import Node
from rclpy.serialization import deserialize_message, serialize_message
from tf2_msgs.msg import TFMessage
from tf2_ros import Buffer, TransformBroadcaster

from deeprs2v_ros.nodes.topics import qos
from deeprs2v_ros.nodes.topics.conversions import nanoseconds

_MOST_UNDER_WAY = 200
"""How many of our own messages on their way back to us are remembered; others cost as much as foreign ones."""
_AUTHORITY = "default_authority"
_LENGTH_TOLERANCE = 1e-2
"""How far a quaternion's length may be from one."""
FUTURE_TOLERANCE = 1_000_000_000
"""ns by which a stamp may be ahead of the clock. When a recording begins again, those of its end are far ahead."""


class Transforms:
    """A ``buffer`` that the subscriptions of a node fill. All methods may be called from any thread.

    ``refused`` counts, by reason, the transforms that were not taken in.
    """

    def __init__(self, node: Node) -> None:
        self.buffer = Buffer(node=node)
        self.refused: Counter[str] = Counter()
        self._parents: dict[str, str] = {}
        self._clock, self._logger = node.get_clock(), node.get_logger()
        self._listeners: list[Callable[[], None]] = []
        self._sent: dict[bytes, None] = {}
        self._lock = Lock()
        node.create_subscription(TFMessage, "/tf", self._on_moving, qos.TRANSFORMS, raw=True)
        node.create_subscription(TFMessage, "/tf_static", self._on_static, qos.FIXED_TRANSFORMS, raw=True)

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call back whenever something is added, at once and from the thread that adds it, so it must not take long."""
        self._listeners.append(callback)

    def add(self, messages: Iterable[TransformStamped]) -> None:
        """Take in moving transforms, except those with a fault."""
        now = self._clock.now().nanoseconds  # a simulated clock that has not ticked yet is at zero, and sets no limit
        self._take_in(messages, now + FUTURE_TOLERANCE if now else math.inf, self.buffer.set_transform)

    def expect(self, data: bytes) -> None:
        """Note that a serialised message is about to be sent whose content is in the buffer already."""
        with self._lock:
            self._sent[data] = None
            if len(self._sent) > _MOST_UNDER_WAY:
                del self._sent[next(iter(self._sent))]

    def _on_moving(self, data: bytes) -> None:
        with self._lock:
            known = self._sent.pop(data, self) is None
        if not known:
            self.add(deserialize_message(data, TFMessage).transforms)

    def _on_static(self, data: bytes) -> None:
        self._take_in(deserialize_message(data, TFMessage).transforms, math.inf, self.buffer.set_transform_static)

    def _take_in(
        self, messages: Iterable[TransformStamped], latest: float, put: Callable[[TransformStamped, str], None]
    ) -> None:
        for message in messages:
            fault = _fault(message, latest) or self._stranger(message)
            if fault:
                self._refuse(message, fault)
            else:
                put(message, _AUTHORITY)
        self._tell()

    def _stranger(self, message: TransformStamped) -> str:
        """Whether it names a second parent: a frame keeps its first one, or it would jump to and fro."""
        parent = message.header.frame_id.lstrip("/")
        known = self._parents.setdefault(message.child_frame_id.lstrip("/"), parent)
        return "" if parent == known else f"a second parent beside {known}"

    def _refuse(self, message: TransformStamped, fault: str) -> None:
        with self._lock:
            self.refused[fault] += 1
            count = self.refused[fault]
        self._logger.warning(
            f"TF refused: {message.child_frame_id} in {message.header.frame_id} is {fault} ({count} so far)",
            throttle_duration_sec=2.0,
        )

    def _tell(self) -> None:
        for callback in self._listeners:
            callback()


def _fault(message: TransformStamped, latest: float) -> str:
    """What is wrong with a transform that is stamped ``latest`` (ns) at the latest, or an empty string."""
    to, turn = message.transform.translation, message.transform.rotation
    length = math.hypot(turn.x, turn.y, turn.z, turn.w)
    if not math.isfinite(to.x + to.y + to.z) or not abs(length - 1.0) <= _LENGTH_TOLERANCE:
        return "no rigid transform"
    return "stamped far in the future" if nanoseconds(message.header.stamp) > latest else ""


_SHARED: WeakKeyDictionary[Context, Transforms] = WeakKeyDictionary()


def share(node: Node) -> None:
    """From now on, new nodes in the context of ``node`` share what this one receives. The caller has to spin it."""
    _SHARED[node.context] = Transforms(node)


def end_sharing(context: Context) -> None:
    """From now on, new nodes listen for themselves."""
    _SHARED.pop(context, None)


def transforms_of(node: Node) -> Transforms:
    """The transforms that the nodes of this context share, or else those of ``node`` alone, which then subscribes."""
    return _SHARED.get(node.context) or Transforms(node)


class Broadcaster(TransformBroadcaster):
    """Broadcasts transforms; nodes of the same process that share theirs know them at once."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._shared = _SHARED.get(node.context)

    def sendTransform(self, transform: TransformStamped | Iterable[TransformStamped]) -> None:  # noqa: N802 (official)
        """Send a transform or several, in one message."""
        if self._shared is None:
            super().sendTransform(transform)
            return
        transforms = [transform] if isinstance(transform, TransformStamped) else list(transform)
        self._shared.add(transforms)
        data = serialize_message(TFMessage(transforms=transforms))
        self._shared.expect(data)
        self.pub_tf.publish(data)

    def tell_neighbours(self, transforms: Iterable[TransformStamped]) -> None:
        """Tell only the nodes of this process that share their transforms."""
        if self._shared is not None:
            self._shared.add(transforms)
