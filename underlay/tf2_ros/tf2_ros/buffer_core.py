"""Stores transforms and looks them up."""

from __future__ import annotations

import math
import threading

from builtin_interfaces.msg import Time as TimeMessage
from geometry_msgs.msg import TransformStamped
from rclpy.duration import Duration
from rclpy.logging import get_logger
from rclpy.time import Time

from tf2_ros.exceptions import InvalidArgumentException, LookupException, TransformException
from tf2_ros.frame_tree import FrameTree
from tf2_ros.rigid import Rigid, compose, normalised

DEFAULT_CACHE_TIME = Duration(seconds=10)

AnyTime = Time | TimeMessage


class BufferCore:
    """A tree of frames that speaks in messages. Every method may be called from any thread."""

    def __init__(self, cache_time: Duration = DEFAULT_CACHE_TIME) -> None:
        self._tree = FrameTree(cache_time.nanoseconds)
        self._lock = threading.Lock()

    def set_transform(self, transform: TransformStamped, authority: str) -> None:
        """Add the place of ``child_frame_id`` in ``header.frame_id`` at the header's stamp.

        What is no transform (NaN, a quaternion without length, a frame in itself, no frame) is logged and ignored, and
        so is what is older than the cache time. A quaternion of any other length is taken for the unit one along it.
        """
        self._insert(transform, authority, is_static=False)

    def set_transform_static(self, transform: TransformStamped, authority: str) -> None:
        """Add a transform that holds at any time. Otherwise as `set_transform`."""
        self._insert(transform, authority, is_static=True)

    def lookup_transform_core(self, target_frame: str, source_frame: str, time: AnyTime) -> TransformStamped:
        """The transform that maps coordinates in the source frame to the target frame; time 0 is the latest common one.

        Raises LookupException, ConnectivityException, ExtrapolationException or InvalidArgumentException.
        """
        found, stamp = self._lookup(target_frame, source_frame, time)
        return _message(found, stamp, target_frame, source_frame)

    def lookup_transform_full_core(
        self, target_frame: str, target_time: AnyTime, source_frame: str, source_time: AnyTime, fixed_frame: str
    ) -> TransformStamped:
        """From the source frame at one time to the target frame at another, by a frame that is fixed in between."""
        fixed_from_source, _ = self._lookup(fixed_frame, source_frame, source_time)
        target_from_fixed, stamp = self._lookup(target_frame, fixed_frame, target_time)
        return _message(compose(target_from_fixed, fixed_from_source), stamp, target_frame, source_frame)

    def can_transform_core(self, target_frame: str, source_frame: str, time: AnyTime) -> tuple[bool, str]:
        """Whether `lookup_transform_core` would succeed, and why not."""
        try:
            self._lookup(target_frame, source_frame, time)
        except TransformException as error:
            return False, str(error)
        return True, ""

    def can_transform_full_core(
        self, target_frame: str, target_time: AnyTime, source_frame: str, source_time: AnyTime, fixed_frame: str
    ) -> tuple[bool, str]:
        """Whether `lookup_transform_full_core` would succeed, and why not."""
        possible, reason = self.can_transform_core(fixed_frame, source_frame, source_time)
        return self.can_transform_core(target_frame, fixed_frame, target_time) if possible else (False, reason)

    def get_latest_common_time(self, target_frame: str, source_frame: str) -> Time:
        """The latest time at which a transform between the frames is known; 0 if nothing between them moves."""
        with self._lock:
            self._validate("target_frame", target_frame)
            self._validate("source_frame", source_frame)
            return Time(nanoseconds=self._tree.latest_common_time(target_frame, source_frame))

    def clear(self) -> None:
        """Forget all transforms but the static ones."""
        with self._lock:
            self._tree.clear()

    def _insert(self, message: TransformStamped, authority: str, is_static: bool) -> None:
        parent, child = message.header.frame_id.removeprefix("/"), message.child_frame_id.removeprefix("/")
        translation, rotation = message.transform.translation, message.transform.rotation
        vector = (translation.x, translation.y, translation.z)
        quaternion = (rotation.x, rotation.y, rotation.z, rotation.w)
        fault = _fault(parent, child, vector, quaternion)
        if fault:
            get_logger("tf2").error(f'{fault}: ignoring the transform of "{child}" in "{parent}" from "{authority}"')
            return
        stamp = _nanoseconds(message.header.stamp)
        with self._lock:
            inserted = self._tree.insert(parent, child, stamp, (vector, normalised(quaternion)), is_static)
        if not inserted:
            get_logger("tf2").warning(
                f'TF_OLD_DATA: ignoring data from the past for "{child}" at time {stamp / 1e9:.6f} from "{authority}"'
            )

    def _lookup(self, target: str, source: str, time: AnyTime) -> tuple[Rigid, int]:
        with self._lock:
            if target != source:
                self._validate("target_frame", target)
                self._validate("source_frame", source)
            return self._tree.lookup(target, source, _nanoseconds(time))

    def _validate(self, argument: str, frame: str) -> None:
        if not frame:
            raise InvalidArgumentException(f"{argument} is empty")
        if frame.startswith("/"):
            raise InvalidArgumentException(f'{argument} "{frame}" starts with a slash')
        if frame not in self._tree.frames:
            raise LookupException(f'{argument} "{frame}" does not exist')


def _fault(parent: str, child: str, vector: tuple[float, ...], quaternion: tuple[float, ...]) -> str:
    """The name of what is wrong with a transform, or an empty string."""
    if not child:
        return "TF_NO_CHILD_FRAME_ID"
    if not parent:
        return "TF_NO_FRAME_ID"
    if child == parent:
        return "TF_SELF_TRANSFORM"
    # The official one makes a matrix of the quaternion, and of the matrix a quaternion, before it looks for NaN.
    if any(math.isnan(part) for part in vector) or not 0.0 < math.hypot(*quaternion) < math.inf:
        return "TF_NAN_INPUT"
    return ""


def _nanoseconds(time: AnyTime) -> int:
    if hasattr(time, "nanosec"):
        return time.sec * 1_000_000_000 + time.nanosec
    if hasattr(time, "nanoseconds"):
        return time.nanoseconds
    raise TypeError("time must have sec and nanosec, or nanoseconds.")


def _message(target_from_source: Rigid, stamp: int, target: str, source: str) -> TransformStamped:
    message = TransformStamped()
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 1_000_000_000)
    message.header.frame_id, message.child_frame_id = target, source
    translation, rotation = message.transform.translation, message.transform.rotation
    (translation.x, translation.y, translation.z), quaternion = target_from_source
    rotation.x, rotation.y, rotation.z, rotation.w = normalised(quaternion)
    return message
