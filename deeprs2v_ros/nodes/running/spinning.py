"""Calling the callbacks of nodes: an executor in a thread of its own.

For every single message, rclpy's usual executors go through everything that their nodes have. Since Kilted there is one
that does not; with it, an idle cart takes half the time or less.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from traceback import clear_frames
from typing import TypeVar

from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.task import Future

try:
    from rclpy.experimental import EventsExecutor
except ImportError:  # ROS 2 Jazzy
    EventsExecutor = None

AnyNode = TypeVar("AnyNode", bound=Node)

QUICK = EventsExecutor is not None
"""Whether the executor stays as quick when it serves more nodes."""

_LONGEST_SPIN = 600.0  # s. Without any limit, the events executor of the PyPI wheels never sleeps: its clock overflows.


class Spinner:
    """Runs the callbacks of its ``nodes``, one after the other, until it is ended or one of them raises something."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self._executor = EventsExecutor() if QUICK else SingleThreadedExecutor()
        self._stop: Future[None] = Future(executor=self._executor)
        self._pool = ThreadPoolExecutor(1, "spin")
        self._thread = self._pool.submit(self._spin)

    def add(self, make: Callable[[], AnyNode]) -> AnyNode:
        """Make a node and run its callbacks as well. Raises what making it raises."""
        try:
            node = make()
        except BaseException as error:
            # As long as anybody holds the unfinished node, rclpy destroys it with the context as if it were whole.
            clear_frames(error.__traceback__)
            gc.collect()
            raise
        self.nodes.append(node)
        self._executor.add_node(node)
        return node

    def remove(self, node: Node) -> None:
        """Destroy one of the nodes before the others."""
        self.nodes.remove(node)
        self._executor.remove_node(node)
        node.destroy_node()

    def wait(self) -> None:
        """Wait for the end. Raises what a callback raised."""
        self._thread.result()

    def check(self) -> None:
        """Raise what a callback raised, if one did."""
        if self._thread.done():
            self._thread.result()

    def end(self) -> None:
        """Stop, and destroy the nodes, the last one first."""
        # An events executor that is shut down while it spins waits for itself.
        self._stop.set_result(None)
        self._pool.shutdown()
        self._executor.shutdown()
        with ExitStack() as ending:
            for node in self.nodes:
                ending.callback(node.destroy_node)

    def _spin(self) -> None:
        while not self._stop.done():
            self._executor.spin_until_future_complete(self._stop, _LONGEST_SPIN)
