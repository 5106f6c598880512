"""The buffer that nodes use."""

from __future__ import annotations

import time as wall
from collections.abc import Callable

import rclpy
from geometry_msgs.msg import TransformStamped
from rclpy.clock import Clock, JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.node import Node

from tf2_ros.buffer_core import DEFAULT_CACHE_TIME, AnyTime, BufferCore

NO_WAIT = Duration()
POLL_PERIOD = 0.02
"""Seconds between two attempts while a look-up waits."""


class Buffer(BufferCore):
    """A `BufferCore` that can wait, and that forgets everything when its clock jumps back.

    The official one offers a service `tf2_frames` as well; this one does not.
    """

    def __init__(self, cache_time: Duration | None = None, node: Node | None = None) -> None:
        """Make a buffer.

        :param cache_time: How long to keep transforms; 10 s if None.
        :param node: The node whose clock to watch; without one it is the system's.
        """
        super().__init__(cache_time if cache_time is not None else DEFAULT_CACHE_TIME)
        self.clock = node.get_clock() if node is not None else Clock()
        threshold = JumpThreshold(min_forward=None, min_backward=Duration(seconds=-1), on_clock_change=True)
        self.jump_handle = self.clock.create_jump_callback(threshold, post_callback=self.time_jump_callback)

    def time_jump_callback(self, time_jump: TimeJump) -> None:
        """Forget what was said before the jump."""
        rclpy.logging.get_logger("tf2_buffer").warning("Detected jump back in time. Clearing tf buffer.")
        self.clear()

    def lookup_transform(
        self, target_frame: str, source_frame: str, time: AnyTime, timeout: Duration = NO_WAIT
    ) -> TransformStamped:
        """Get the transform that maps coordinates in the source frame to the target frame.

        :param target_frame: Name of the frame to transform into.
        :param source_frame: Name of the input frame.
        :param time: The time at which to get the transform (0 will get the latest).
        :param timeout: How long to wait, blocking, for the transform to become available.
        """
        if timeout != NO_WAIT:
            self.can_transform(target_frame, source_frame, time, timeout)
        return self.lookup_transform_core(target_frame, source_frame, time)

    def lookup_transform_full(
        self,
        target_frame: str,
        target_time: AnyTime,
        source_frame: str,
        source_time: AnyTime,
        fixed_frame: str,
        timeout: Duration = NO_WAIT,
    ) -> TransformStamped:
        """Get the transform from the source frame at one time to the target frame at another.

        :param target_time: The time at which to take the target frame (0 will get the latest).
        :param source_time: The time at which to take the source frame (0 will get the latest).
        :param fixed_frame: Name of the frame that does not move between the two.
        """
        if timeout != NO_WAIT:
            self.can_transform_full(target_frame, target_time, source_frame, source_time, fixed_frame, timeout)
        return self.lookup_transform_full_core(target_frame, target_time, source_frame, source_time, fixed_frame)

    def can_transform(
        self,
        target_frame: str,
        source_frame: str,
        time: AnyTime,
        timeout: Duration = NO_WAIT,
        return_debug_tuple: bool = False,
    ) -> bool | tuple[bool, str]:
        """Check if a transform from the source frame to the target frame is possible.

        :param timeout: How long to wait, blocking, for the transform to become available.
        :param return_debug_tuple: Whether to return the reason as well.
        """
        result = _wait(lambda: self.can_transform_core(target_frame, source_frame, time), timeout)
        return result if return_debug_tuple else result[0]

    def can_transform_full(
        self,
        target_frame: str,
        target_time: AnyTime,
        source_frame: str,
        source_time: AnyTime,
        fixed_frame: str,
        timeout: Duration = NO_WAIT,
        return_debug_tuple: bool = False,
    ) -> bool | tuple[bool, str]:
        """Check if `lookup_transform_full` is possible; the last two parameters as for `can_transform`."""
        result = _wait(
            lambda: self.can_transform_full_core(target_frame, target_time, source_frame, source_time, fixed_frame),
            timeout,
        )
        return result if return_debug_tuple else result[0]


def _wait(attempt: Callable[[], tuple[bool, str]], timeout: Duration) -> tuple[bool, str]:
    """Repeat an attempt until it succeeds or the time, on the steady clock, is up; returns the last result."""
    deadline = wall.monotonic() + timeout.nanoseconds / 1e9
    result = attempt()
    while not result[0] and wall.monotonic() < deadline:
        wall.sleep(POLL_PERIOD)
        result = attempt()
    return result
