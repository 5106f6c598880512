"""What nodes have to do when time jumps back, as it does when a recording starts again."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.clock import JumpHandle, JumpThreshold
from rclpy.duration import Duration
from rclpy.node import Node


def on_jump_back(node: Node, callback: Callable[[], None]) -> JumpHandle:
    """Call ``callback`` whenever the node's clock goes backwards, or changes between system and simulated time.

    The handle has to be kept; it ends with it.
    """
    threshold = JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=True)
    return node.get_clock().create_jump_callback(threshold, post_callback=lambda _: callback())
