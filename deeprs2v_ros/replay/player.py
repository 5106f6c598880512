"""Feeds the live pipeline with recorded images, each as soon as the arm has said where it was taken."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.frames import IMAGE, VOLUME
from deeprs2v_ros.geometry import Array, seen_from
from deeprs2v_ros.messages import image_of, stamp_of
from deeprs2v_ros.registration.arrivals import Arrival, Refusal
from deeprs2v_ros.registration.guidance import Clock, Guidance, Outcome
from deeprs2v_ros.registration.prediction import Prediction
from deeprs2v_ros.replay.clock import BagClock, Seen
from deeprs2v_ros.replay.transforms import TransformTree

Begin = Callable[[Clock, Executor], Guidance]
"""Makes the pipeline for a clock, and for an executor that runs what no image waits for."""


class AtOnce(Executor):
    """Runs what is submitted before it answers, so that the same bag takes the same course each time."""

    def submit(self, work: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        """Run ``work``; what it raises is in the future."""
        future: Future[Any] = Future()
        carry_out(future, partial(work, *arguments, **named))
        return future


def carry_out(future: Future[Any], job: Callable[[], Any]) -> None:
    """Do a ``job``; what it returns or raises is in the ``future``, as with any executor."""
    try:
        future.set_result(job())
    except Exception as error:
        future.set_exception(error)


@dataclass(frozen=True)
class Conclusion:
    """What became of image number ``frame``, counted as recorded from 0; None: of no image, since none came.

    ``tracked`` is X (4, 4) mm at the time that the image shows, wherever the arm has said it, be the image looked at or
    not. ``forecast`` is what had been predicted for that time when the image came.
    """

    frame: int | None
    outcome: Outcome
    tracked: Array | None
    forecast: Prediction | None


@dataclass(frozen=True)
class _Waiting:
    frame: int
    arrival: Arrival
    image: NDArray[np.uint8] | None
    forecast: Prediction | None
    until: int


class Player:
    """The node's part: receives messages in the order of their times, and says of every image what became of it.

    An image waits for the arm's transform for up to ``deadline`` ns of the bag's time, and those after it wait for it.
    Registration takes no time here, so that no image is superseded by the next one.
    """

    def __init__(
        self,
        begin: Begin,
        deadline: int,
        centre: Array,
        clock: BagClock,
        tree: TransformTree,
        conclude: Callable[[Conclusion], None],
        log: Callable[[str], None],
    ) -> None:
        """``centre`` (3,) is the image centre in the image frame, mm."""
        self._clock, self._tree, self._deadline, self._conclude, self._log = clock, tree, deadline, conclude, log
        self._guidance = started(begin(Clock(lambda: clock.now, lambda: clock.steady), AtOnce()))
        self._about_centre = seen_from(centre)
        self._waiting: deque[_Waiting] = deque()
        self._count = 0
        self._arm: Array | None = None

    def use_volume(self, path: str) -> None:
        """Take the volume at ``path``."""
        self._guidance.on_volume(path)

    def on_arm(self, covariance: Array) -> None:
        """How sure the arm is of us_image, (6, 6) about its origin, in its own axes."""
        self._arm = self._about_centre @ covariance @ self._about_centre.T

    def advance(self, received: int) -> None:
        """Go on to the time at which the next message was received: what waits in vain until then is given up."""
        while self._waiting and self._waiting[0].until < received:
            self._clock.advance(self._waiting[0].until + 1)
            self.work()
        self._clock.advance(received)
        stale = self._guidance.watch()
        if stale is not None:
            self._say(None, stale, None)

    def on_image(self, message: Any) -> None:
        """An image message."""
        stamp = stamp_of(message.header)
        if self._clock.see(stamp) is Seen.JUMPED_BACK:
            self.start_over()
        arrival = self._guidance.receive(stamp)
        forecast = self._guidance.at(arrival.shown).predicted
        frame, self._count = self._count, self._count + 1
        if arrival.refusal:
            self._say(frame, self._guidance.aside(arrival), forecast)
            return
        try:
            image = image_of(message)
        except InputError as error:
            self._log(str(error))
            image = None
        ahead = max(0, arrival.shown - arrival.stamp)
        until = self._clock.steady + self._deadline + ahead
        self._waiting.append(_Waiting(frame, arrival, image, forecast, until))

    def work(self) -> None:
        """Register what has waited for long enough; to be called after every message."""
        while self._waiting:
            next_one = self._waiting[0]
            tracked = self._look_up(next_one.arrival.shown)
            if next_one.image is not None and tracked is None and self._clock.steady <= next_one.until:
                return
            self._waiting.popleft()
            self._process(next_one)

    def start_over(self) -> None:
        """The clock has jumped back: nothing earlier counts, and waiting images are given up."""
        self._log("the stamps went back: started over")
        self._tree.clear()
        self._guidance.on_jump()
        while self._waiting:
            given_up = self._waiting.popleft()
            self._say(given_up.frame, self._guidance.aside(given_up.arrival, Refusal.CLOCK_JUMP), given_up.forecast)

    def finish(self) -> None:
        """The bag is over: nothing that anyone waits for will come."""
        while self._waiting:
            self._clock.advance(self._waiting[0].until + 1)
            self.work()

    def _process(self, taken: _Waiting) -> None:
        if taken.image is None:
            outcome = self._guidance.refuse(taken.arrival, Refusal.UNREADABLE)
        else:
            outcome = self._guidance.on_image(taken.arrival, taken.image, self._look_up, self._arm)
        self._say(taken.frame, outcome, taken.forecast)

    def _say(self, frame: int | None, outcome: Outcome, forecast: Prediction | None) -> None:
        tracked = self._look_up(outcome.arrival.shown) if outcome.tracked is None else outcome.tracked
        self._conclude(Conclusion(frame, outcome, tracked, forecast))

    def _look_up(self, time: int) -> Array | None:
        # Before time began nothing is known; to TF, zero would mean the latest.
        return self._tree.lookup(VOLUME, IMAGE, time) if time > 0 else None


def started(guidance: Guidance) -> Guidance:
    """The same, started, without a status that says so."""
    guidance.start()
    guidance.watch()
    return guidance
