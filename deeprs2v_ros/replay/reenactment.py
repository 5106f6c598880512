"""Feeds the live pipeline with recorded images as the nodes did, by what they said of each.

What time decided is taken from their statuses: which images were set aside, and when each was received and settled.
What pictures, stamps and poses decide is computed anew.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import Array
from deeprs2v_ros.messages import image_of, stamp_of
from deeprs2v_ros.registration.arrivals import Arrival, Refusal
from deeprs2v_ros.registration.gate import Reason
from deeprs2v_ros.registration.guidance import CONTRADICTED, Clock, GuidanceSettings, Outcome
from deeprs2v_ros.registration.prediction import Prediction
from deeprs2v_ros.registration.preparation import prepare
from deeprs2v_ros.registration.supervisor import State, Verdict
from deeprs2v_ros.replay.audit import Audit, Said
from deeprs2v_ros.replay.background import PREPARING, Background
from deeprs2v_ros.replay.clock import BagClock, Seen
from deeprs2v_ros.replay.player import Begin, Conclusion, Player, started
from deeprs2v_ros.replay.transforms import TransformTree

NOT_SEEN = "NOT_SEEN"
"""Reason of an image of which the nodes said nothing: they did not run yet, or it never reached them."""

MISSING = 10**9
"""ns for which what was said waits for its image: a recorder may write it later."""

REMEMBERED = 10**10
"""ns for which it is remembered how sure the arm was."""

_FINDING_MASK, _STARTING, _NO_VOLUME = Refusal.FINDING_MASK.value, Refusal.STARTING.value, Refusal.NO_VOLUME.value
_OVER = tuple(each.value for each in (Refusal.CLOCK_JUMP, Refusal.NEW_VOLUME, Refusal.MOVED_VOLUME, Refusal.RESET))
_STOPPED = (State.INACTIVE.name, State.UNCONFIGURED.name)
_STAMPS = tuple(
    each.value for each in (Refusal.ZERO_STAMP, Refusal.FAR_FUTURE, Refusal.DUPLICATE, Refusal.OUT_OF_ORDER)
)
_BY_PICTURE = tuple(each.value for each in (Refusal.FROZEN, Refusal.WRONG_SIZE, Refusal.UNREADABLE))
SET_ASIDE = (
    _STARTING, _FINDING_MASK, _NO_VOLUME, Refusal.SUPERSEDED.value, Refusal.NO_TRANSFORM.value, *_OVER, *_STOPPED,
    NOT_SEEN,
)  # fmt: skip
"""Reasons of images that only time kept from being registered."""


@dataclass(frozen=True)
class _Waiting:
    frame: int
    arrival: Arrival
    message: Any
    forecast: Prediction | None
    run: int  # number of times that everything had started over when it came


class Reenactment(Player):
    """The nodes' part once more: every image gets the treatment that ``audit`` says it got.

    ``located``: X is what the nodes said that it was, and not looked up.
    """

    def __init__(
        self,
        begin: Begin,
        settings: GuidanceSettings,
        audit: Audit,
        located: bool,
        centre: Array,
        clock: BagClock,
        tree: TransformTree,
        conclude: Callable[[Conclusion], None],
        log: Callable[[str], None],
    ) -> None:
        self._settings, self._audit, self._located = settings, audit, located
        self._background = Background()
        self._moments: deque[int] = deque([0])  # what the nodes' clock says when it is asked; the last one stays
        self._before_last: Callable[[], None] | None = None  # to be done before the last one is said
        self._steady = 0
        self._begin = lambda *_: begin(Clock(self._time, lambda: self._steady), self._background)
        super().__init__(self._begin, 0, centre, clock, tree, conclude, log)
        self._images: dict[int, _Waiting] = {}  # by the number of what was said of them
        self._unseen: deque[tuple[int, Arrival, int]] = deque()  # number, image, and until when it waits for TF
        self._recorded = self._settled = 0  # how much of the audit the bag has come to, and how much is done with
        self._received = 0  # when the last image was, on the nodes' clock
        self._run, self._prepared, self._over = 0, False, False
        self._arms: deque[tuple[int, Array]] = deque()  # when the arm said how sure it is, and what

    def on_arm(self, covariance: Array) -> None:
        """As for a `Player`. What was said before is remembered for images that the nodes began with then."""
        super().on_arm(covariance)
        self._arms.append((self._clock.steady, self._arm))
        while self._arms[0][0] < self._clock.steady - REMEMBERED:
            self._arms.popleft()

    def use_volume(self, path: str) -> None:
        """Take the volume at ``path``, and again whenever the nodes began anew."""
        self._path = path
        super().use_volume(path)

    def advance(self, received: int) -> None:
        """Go on to the time at which the next message was received."""
        self._clock.advance(received)

    def on_image(self, message: Any) -> None:
        """An image message: it waits for what was said of it."""
        stamp = stamp_of(message.header)
        if self._clock.see(stamp) is Seen.JUMPED_BACK:
            self.start_over()
        frame, self._count = self._count, self._count + 1
        number = self._audit.of_frame[frame]
        if number is None or number < self._settled:
            self._unseen.append((frame, self._unseen_arrival(stamp), self._clock.steady + MISSING))
            return
        said = self._audit.said[number]
        self._begin_anew(said)
        self._set_time(said.received)
        arrival = self._guidance.receive(stamp)
        forecast = self._guidance.at(arrival.shown).predicted
        self._images[number] = _Waiting(frame, arrival, message, forecast, self._run)

    def on_status(self, _: Any) -> None:
        """A status message: the bag has come to the next of what was said."""
        self._recorded += 1

    def work(self) -> None:
        """Do all that was said until now."""
        while self._unseen:
            frame, arrival, until = self._unseen[0]
            if self._look_up(arrival.shown) is None and self._clock.steady < until:
                break
            self._unseen.popleft()
            self._say(frame, self._unchanged(arrival, NOT_SEEN, self._clock.now), None)
        while self._settled < self._recorded:
            said = self._audit.said[self._settled]
            waiting = self._images.pop(self._settled, None)
            if said.of_image and waiting is None and self._clock.steady <= said.recorded + MISSING:
                return
            self._settled += 1
            if not said.of_image:
                self._change(said)
            elif waiting is not None:
                self._settle(said, waiting)

    def start_over(self) -> None:
        """Stamps have jumped back: earlier TF does not count. Everything else goes by what was said."""
        self._tree.clear()

    def finish(self) -> None:
        """The bag is over: what has not come will not."""
        self._clock.advance(self._clock.steady + MISSING + 1)
        self._recorded = len(self._audit.said)
        self.work()

    # --- One image ---

    def _settle(self, said: Said, waiting: _Waiting) -> None:
        self._start_over_if(said, waiting)
        doubt = self._is_doubt(said)
        meanwhile = doubt and said.registered is not None and not said.from_rest
        if doubt and not meanwhile:
            self._set_time(said.concluded)
            self._look_again()
        if said.accepted:
            self._over = False
        outcome = self._outcome(said, waiting, self._look_again if meanwhile else None)
        self._say(waiting.frame, outcome, waiting.forecast)

    def _outcome(self, said: Said, waiting: _Waiting, meanwhile: Callable[[], None] | None) -> Outcome:
        arrival, reason = waiting.arrival, said.reason
        self._set_time(said.concluded)
        if arrival.refusal:
            return self._guidance.aside(arrival)
        if reason in _STAMPS or reason == Refusal.SUPERSEDED.value:
            return self._guidance.aside(arrival, Refusal(reason))
        if reason == _NO_VOLUME:
            return self._guidance.refuse(arrival, Refusal.NO_VOLUME)
        known = said.registered is not None or said.state == State.FAULT.name or reason in (*SET_ASIDE, *_BY_PICTURE)
        if not known:
            return self._unchanged(arrival, reason, said.concluded)
        try:
            image = image_of(waiting.message)
        except InputError as error:
            self._log(str(error))
            return self._guidance.refuse(arrival, Refusal.UNREADABLE)
        held = {_FINDING_MASK: PREPARING, Refusal.NEW_VOLUME.value: PREPARING, _STARTING: (prepare,)}
        self._background.hold(*held.get(reason, ()))
        self._set_time(said.located, said.concluded, before_last=meanwhile)
        locate = partial(self._locate, said, arrival.shown)
        return self._guidance.on_image(arrival, image, locate, self._arm_at(said.began))

    def _locate(self, said: Said, shown: int, time: int) -> Array | None:
        if time != shown:  # asked whether the image is late: only where the nodes thought so, who knew more of the arm
            return self._look_up(time) if said.reason == Reason.STAMPED_LATE.value else None
        if said.reason == Refusal.NO_TRANSFORM.value:
            return None
        return said.tracked if self._located else self._look_up(time)

    def _arm_at(self, time: int) -> Array | None:
        """How sure the arm was when the nodes began with an image."""
        known = [covariance for said, covariance in self._arms if said <= time]
        return known[-1] if known else None

    def _unseen_arrival(self, stamp: int) -> Arrival:
        """An image that the nodes never saw must not even change what stamp may come next."""
        return Arrival(stamp, stamp - round(1e9 * self._settings.image_time_offset), self._clock.now, 0)

    def _unchanged(self, arrival: Arrival, reason: str, now: int) -> Outcome:
        """An image that changes nothing, for a reason of which nothing is known here."""
        moment = self._guidance.at(now)
        verdict = Verdict(moment.state, False, reason, moment.held, None if moment.held is None else moment.held.age)
        return Outcome(arrival, verdict, now, None, moment.predicted)

    # --- What happens beside images ---

    def _begin_anew(self, said: Said) -> None:
        """Before an image is received: the clock has jumped back, or what had been prepared is prepared again."""
        if self._received - said.received > round(1e9 * self._settings.future_tolerance):
            self._jump()
        elif self._prepared and said.reason == _FINDING_MASK:  # the node is another one
            self._guidance = started(self._begin())
            self._start_with_volume()
        elif self._prepared and said.reason in (_STARTING, _NO_VOLUME):
            self._start_with_volume()
        self._received = said.received
        self._prepared = self._prepared or bool(said.volume)

    def _start_over_if(self, said: Said, waiting: _Waiting) -> None:
        """Before an image that was in hand when everything started over."""
        if waiting.run != self._run or said.reason not in _OVER:
            return
        self._start_over_for(said.reason)

    def _start_over_for(self, reason: str) -> None:
        if reason == Refusal.NEW_VOLUME.value:
            self._start_with_volume()
        elif reason == Refusal.CLOCK_JUMP.value:
            self._jump()
        else:
            self._run += 1
            self._over = False
            begin_anew = self._guidance.reset if reason == Refusal.RESET.value else self._guidance.on_moved_volume
            begin_anew()

    def _jump(self) -> None:
        self._run += 1
        self._over = False
        self._guidance.on_jump()

    def _start_with_volume(self) -> None:
        self._run += 1
        self._prepared = self._over = False
        self._background.hold(*PREPARING)
        super().use_volume(self._path)

    def _change(self, said: Said) -> None:
        """What changed the nodes' state without an image."""
        self._set_time(said.concluded)
        if said.reason in _OVER:
            self._start_over_for(said.reason)
        elif said.reason in _STOPPED:
            self._run += 1
            self._guidance.stop()
        elif said.state == State.WAITING.name:
            self._guidance.start()
        elif said.reason == CONTRADICTED and not self._over:
            self._look_again()
        elif said.reason == Refusal.IMAGE_STALE.value:
            self._steady += round(1e9 * self._settings.image_timeout) + 1
            self._over = True
        changed = self._guidance.watch()
        if changed is not None:
            self._say(None, changed, None)

    def _is_doubt(self, said: Said) -> bool:
        """Whether this is the first that was said after a second look had contradicted what was followed."""
        # Otherwise nothing is lost before it is too old.
        fresh = said.state == State.LOST.name and said.age <= self._settings.trust.hold_timeout
        return not self._over and (said.reason == CONTRADICTED or fresh)

    def _look_again(self) -> None:
        self._over = True
        self._background.look_again(until=lambda: self._guidance.at(self._moments[-1]).state is State.LOST)

    # --- The clock ---

    def _set_time(self, *moments: int, before_last: Callable[[], None] | None = None) -> None:
        self._moments, self._before_last = deque(moments), before_last

    def _time(self) -> int:
        if len(self._moments) > 1:
            return self._moments.popleft()
        if self._before_last is not None:
            before_last, self._before_last = self._before_last, None
            before_last()
        return self._moments[0]
