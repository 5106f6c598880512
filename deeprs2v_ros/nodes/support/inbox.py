"""What waits for the thread of the registration node, in the order in which it came."""

from __future__ import annotations

from dataclasses import dataclass
from queue import Empty, SimpleQueue

from sensor_msgs.msg import Image

from deeprs2v_ros.nodes.support.status import Timing


@dataclass(frozen=True)
class Arrival:
    """An image; ``since`` is when it came, on the steady clock (s)."""

    message: Image
    timing: Timing
    since: float


@dataclass(frozen=True)
class NewVolume:
    """The volume at ``path`` is to be used from now on."""

    path: str


@dataclass(frozen=True)
class ClockJump:
    """The clock went backwards."""


@dataclass(frozen=True)
class Stop:
    """The thread has to end."""


Event = Arrival | NewVolume | ClockJump | Stop


class Inbox:
    """A queue that is emptied at once, so that whoever takes sees which image is the newest."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Event] = SimpleQueue()

    def put(self, event: Event) -> None:
        """Add an event, from any thread."""
        self._queue.put(event)

    def take(self, timeout: float) -> list[Event]:
        """All events, oldest first; waits for the first one, and returns none if ``timeout`` (s) passes."""
        try:
            events = [self._queue.get(timeout=timeout)]
        except Empty:
            return []
        while not self._queue.empty():
            events.append(self._queue.get())
        return events
