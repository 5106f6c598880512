"""What becomes of a process that everything else rests on, once it has ended."""

from __future__ import annotations

from collections import deque
from time import monotonic

import launch.logging
from launch import LaunchContext
from launch.events.process import ProcessExited

from deeprs2v_ros.nodes.support.running import BAD_INPUT

RESPAWN_DELAY = 1.0
"""Seconds until a process that has died is started again."""

MOST_DEATHS, PERIOD = 3, 60.0
"""So often, in so many seconds, it may die."""


class Needed:
    """Called when a process has ended, which launch starts again: says so, or ends the launch with a status of 1.

    Half a cart must not run on: one that refuses its input will refuse it again, and one that keeps dying helps nobody.
    Launch has a status other than 0 only when something is raised.
    """

    def __init__(self) -> None:
        self._deaths: deque[float] = deque(maxlen=MOST_DEATHS)

    def __call__(self, event: ProcessExited, context: LaunchContext) -> None:
        """Raise RuntimeError to end the launch."""
        if context.is_shutdown:
            return
        if event.returncode == BAD_INPUT:
            raise RuntimeError(f"{event.process_name} refuses its input, as it says above")
        now = monotonic()
        if len(self._deaths) == MOST_DEATHS and now - self._deaths[0] < PERIOD:
            raise RuntimeError(f"{event.process_name} keeps dying, with status {event.returncode} now")
        self._deaths.append(now)
        launch.logging.get_logger(event.process_name).error(
            f"has ended with status {event.returncode}: started again in {RESPAWN_DELAY:g} s"
        )
