"""Processes that everything else depends on: what becomes of the launch once one of them has ended."""

from __future__ import annotations

from collections import deque
from time import monotonic
from typing import Any

import launch.logging
from launch import LaunchContext
from launch.actions import TimerAction
from launch.events.process import ProcessExited
from launch_ros.actions import Node

from deeprs2v_ros.nodes.running.program import BAD_INPUT

DELAY = 1.0
"""Seconds until a process that has died is started again."""

MOST_DEATHS, PERIOD = 3, 60.0
"""How often it may die, and within how many seconds."""


class Needed:
    """A process that is started again when it dies, which is said; ``options`` are those of launch_ros' Node.

    Half a cart must not run on: a process that refuses its input, and so would refuse it again, ends the launch, and so
    does one that keeps dying. Launch has a status other than 0 only when something is raised. Its own ``respawn`` does
    not tell the two apart, and a launch that uses it may wait for ever at the end.
    """

    def __init__(self, **options: Any) -> None:
        self._options = options
        self._deaths: deque[float] = deque(maxlen=MOST_DEATHS)

    def start(self) -> Node:
        """The process."""
        return Node(**self._options, on_exit=self._on_exit)

    def _on_exit(self, event: ProcessExited, context: LaunchContext) -> TimerAction | None:
        """Raises RuntimeError to end the launch."""
        if context.is_shutdown:
            return None
        if event.returncode == BAD_INPUT:
            raise RuntimeError(f"{event.process_name} refuses its input, as it says above")
        now = monotonic()
        if len(self._deaths) == MOST_DEATHS and now - self._deaths[0] < PERIOD:
            raise RuntimeError(f"{event.process_name} keeps dying, with status {event.returncode} now")
        self._deaths.append(now)
        launch.logging.get_logger(event.process_name).error(
            f"has ended with status {event.returncode}: started again in {DELAY:g} s"
        )
        return TimerAction(period=DELAY, actions=[self.start()])
