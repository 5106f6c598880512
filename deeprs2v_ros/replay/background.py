"""What the nodes do in the background, done when a replay says that it is done."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from typing import Any

from deeprs2v_ros.imaging.mask import find_mask
from deeprs2v_ros.registration.guidance import Guidance
from deeprs2v_ros.registration.preparation import prepare
from deeprs2v_ros.replay.player import carry_out

PREPARING = (find_mask, prepare)
"""What takes seconds in the background before an image can be registered."""


class Background(Executor):
    """Does at once what is submitted, but for what is held back, and for second looks, which are done when told."""

    LOOKS = 3
    """Second looks that are remembered: where computing was slow, a look began with an earlier image than here."""

    def __init__(self) -> None:
        self._held: tuple[Callable[..., Any], ...] = PREPARING
        self._waiting: list[tuple[Callable[..., Any], Callable[[], None]]] = []
        self._looks: deque[Callable[[], Any]] = deque(maxlen=self.LOOKS)

    def submit(self, work: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        """Do ``work``, or remember it."""
        future: Future[Any] = Future()
        job = partial(work, *arguments, **named)
        if isinstance(getattr(work, "__self__", None), Guidance):
            self._looks.append(job)
            future.set_result(None)  # so that the next one is due when it was
        elif work in self._held:
            self._waiting.append((work, partial(carry_out, future, job)))
        else:
            carry_out(future, job)
        return future

    def hold(self, *works: Callable[..., Any]) -> None:
        """Hold these back from now on, and do all others that were."""
        self._held = works
        waiting, self._waiting = self._waiting, []
        for work, do in waiting:
            if work in works:
                self._waiting.append((work, do))
            else:
                do()

    def look_again(self, until: Callable[[], bool]) -> None:
        """Do second looks, the newest first, until one has changed what it should."""
        while self._looks:
            self._looks.pop()()
            if until():
                return
