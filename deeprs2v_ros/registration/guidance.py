"""The whole method over time: from each image that arrives to what may be shown at any moment.

    start      from now on images count; until then it is INACTIVE
    receive    an image arrives: can its stamp be believed?
    on_image   its turn has come: register it, judge it, and let the supervisor decide what it changes
    at         what is true now: the state, the correction that is held, and where the organ is predicted to be

A node feeds it topics, `deeprs2v replay` a bag, tests feed it faults; none of them decides anything. Times are whole
nanoseconds on a clock that is handed in. Only one thread may call `on_image`, any thread everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import Array, is_covariance, rounded
from deeprs2v_ros.imaging.image_geometry import ImageGeometry
from deeprs2v_ros.registration.arrivals import Arrival, Freeze, FreezeCheck, Refusal, StampCheck
from deeprs2v_ros.registration.prediction import Prediction
from deeprs2v_ros.registration.preparation import Preparation, Ready, Recipe
from deeprs2v_ros.registration.settings import Range, check_limits
from deeprs2v_ros.registration.supervisor import Held, State, Supervisor, SupervisorSettings, Verdict
from deeprs2v_ros.registration.tracker import Registration, Tracker

CONTRADICTED = "CONTRADICTED"
"""Reason of the images after a second look found a frame a better place than the one it was followed to."""


@dataclass(frozen=True)
class Clock:
    """``now`` is the time of the stamps, which may jump or stand still; ``steady`` always goes on. Both in ns."""

    now: Callable[[], int]
    steady: Callable[[], int]


@dataclass(frozen=True)
class GuidanceSettings:
    """What is asked of images beyond the registration itself; times in s. Raises InputError outside its limits."""

    trust: SupervisorSettings = field(default_factory=SupervisorSettings)
    mask_frames: int = 10
    """Images from which the valid area is found, if it is not given."""
    image_time_offset: float = 0.0
    """By how much images are stamped late: what an image stamped t shows was there at t less this."""
    future_tolerance: float = 0.1
    """How far a stamp may lie in the future."""
    frozen_distance: float = 2.0
    """mm that the plane may move while the picture stands still; 0: the same picture is a new one each time."""
    image_timeout: float = 1.0
    """How long there may be no usable image before that is said."""
    check_period: float = 1.0
    """How often a frame that was followed is searched as well, in the background; 0: never."""

    LIMITS: ClassVar[Mapping[str, Range]] = {
        "future_tolerance": Range(0.0, 60.0, above=True),
        "image_timeout": Range(0.0, 3600.0, above=True),
        "frozen_distance": Range(0.0, 1e6),
        "check_period": Range(0.0, 3600.0),
    }

    def __post_init__(self) -> None:
        check_limits("", self, self.LIMITS)


@dataclass(frozen=True)
class Outcome:
    """What became of one image: the ``verdict``, and whatever was found out about it.

    ``tracked`` is X (4, 4) mm, ``result`` the registration; ``located`` and ``concluded`` are when they were there, in
    ns. ``predicted`` is where the organ is predicted to be at ``time``, when all this was said; ``ready`` is what the
    image was or would have been registered with.
    """

    arrival: Arrival
    verdict: Verdict
    time: int
    ready: Ready | None
    predicted: Prediction | None = None
    image: NDArray[np.uint8] | None = None
    tracked: Array | None = None
    located: int | None = None
    result: Registration | None = None
    concluded: int | None = None


@dataclass(frozen=True)
class Moment:
    """What is true at a moment: the state, what is on TF, and the prediction for it, where they exist."""

    state: State
    held: Held | None
    predicted: Prediction | None


class Guidance:
    """The live pipeline for ``images`` with a valid area ``mask`` (rows, columns; None: found from them).

    It is INACTIVE until it is started; the volume is prepared meanwhile. ``background`` runs what no image waits for:
    loading a volume, second looks. ``log`` gets a line for everything that a user should know.
    """

    def __init__(
        self,
        images: ImageGeometry,
        mask: NDArray[np.bool_] | None,
        recipe: Recipe,
        settings: GuidanceSettings,
        clock: Clock,
        background: Executor,
        log: Callable[[str], None],
    ) -> None:
        self._settings, self._clock, self._background, self._log = settings, clock, background, log
        self._shape, self._offset = images.shape, round(1e9 * settings.image_time_offset)
        self._supervisor = Supervisor(settings.trust)
        self._supervisor.stop()
        self._stamps = StampCheck(round(1e9 * settings.future_tolerance))
        self._freeze = FreezeCheck(settings.frozen_distance, images.centre)
        self._preparation = Preparation(background, images, mask, settings.mask_frames, recipe, self._on_failure)
        self._lock = Lock()
        self._epoch, self._over = 0, Refusal.INACTIVE  # how often everything started over, and why the last time
        self._volume = ""
        self._said, self._because = State.INACTIVE, Refusal.INACTIVE.value  # the state last said; why the next differs
        self._tracker_epoch = 0
        self._usable: int | None = None  # when the last usable image came, on the steady clock
        self._check: Future[None] | None = None
        self._checked = 0

    # --- What happens ---

    def start(self) -> None:
        """Begin to register."""
        with self._lock:
            self._supervisor.start()
            self._because = Refusal.NONE.value

    def stop(self) -> None:
        """Register nothing, and show nothing, until the next `start`."""
        with self._lock:
            self._start_over(Refusal.INACTIVE)
            self._supervisor.stop()

    def reset(self) -> None:
        """Forget how the organ moved, and begin as with the first image."""
        with self._lock:
            self._start_over(Refusal.RESET)

    def clear_fault(self) -> bool:
        """End a latched fault and begin anew. Returns whether there was one."""
        with self._lock:
            if self._supervisor.state(self._clock.now()) is not State.FAULT:
                return False
            self._start_over(Refusal.RESET)
            self._supervisor.clear_fault()
            if self._preparation.ready is None:
                self._preparation.use_volume(self._volume)
            return True

    def on_volume(self, path: str) -> None:
        """Use another volume from now on; none at all if ``path`` is empty."""
        with self._lock:
            self._start_over(Refusal.NEW_VOLUME)
            self._volume = path
            self._preparation.use_volume(path)

    def on_moved_volume(self) -> None:
        """Start over: the place of the volume, or of the tumour in it, has changed."""
        with self._lock:
            self._start_over(Refusal.MOVED_VOLUME)

    def on_jump(self) -> None:
        """Start over: the clock has jumped back, and nothing from before counts."""
        with self._lock:
            self._start_over(Refusal.CLOCK_JUMP)

    def receive(self, stamp: int) -> Arrival:
        """Take in an image with ``stamp``. One that is refused changes nothing; only call `aside` for it."""
        now = self._clock.now()
        with self._lock:
            self._notice_jump(now)
            inactive = self._supervisor.state(now) is State.INACTIVE
            refusal = Refusal.INACTIVE if inactive else self._stamps.judge(stamp, now)
            return Arrival(stamp, stamp - self._offset, now, self._epoch, refusal)

    def aside(self, arrival: Arrival, refusal: Refusal | None = None) -> Outcome:
        """The outcome of an image that is not looked at, because of its stamp or for the reason given."""
        now = self._clock.now()
        with self._lock:
            return self._aside(arrival, (refusal or arrival.refusal).value, now)

    def _aside(self, arrival: Arrival, reason: str, now: int) -> Outcome:
        verdict = self._supervisor.aside(now, reason)
        self._said = verdict.state
        return Outcome(arrival, verdict, now, self._preparation.ready, self._predicted(verdict.state, now))

    def refuse(self, arrival: Arrival, refusal: Refusal) -> Outcome:
        """The outcome of an image that cannot be used, for a reason found outside: its pixels cannot be read."""
        return self._conclude(arrival, refusal)

    def on_image(
        self,
        arrival: Arrival,
        image: NDArray[np.uint8],
        locate: Callable[[int], Array | None],
        arm: Array | None = None,
    ) -> Outcome:
        """Register ``image`` (rows, columns), as far as that is possible.

        ``locate`` gives X, volume_from_image (4, 4) mm, at the time that the image shows, and at earlier ones; None if
        the arm has not said it. ``arm`` is the covariance (6, 6) of X about the image centre, in image axes, if known.
        """
        if arrival.epoch != self._epoch:  # it has waited while everything started over
            return self._conclude(arrival, self._over)
        if image.shape != self._shape:
            self._log(f"an image of {image.shape} pixels, not {self._shape}")
            return self._conclude(arrival, Refusal.WRONG_SIZE)
        with self._lock:
            missing = self._preparation.advance(image)
            ready = self._preparation.ready
            self._usable = self._clock.steady()
        if missing or ready is None:
            return self._conclude(arrival, missing, image)
        tracked = locate(arrival.shown)
        if tracked is None:
            return self._conclude(arrival, Refusal.NO_TRANSFORM, image)
        tracked = rounded(tracked)  # so that a replay of what is said of this image starts from the very same
        located = self._clock.now()
        refusal, still = self._first_look(arrival, image, tracked, ready)
        if refusal:
            return self._conclude(arrival, refusal, image, tracked, located, still=still)
        if arm is not None and not is_covariance(arm):
            self._log("the arm's covariance is none, and does not count")
            arm = None
        try:
            result = ready.tracker.register_frame(image, tracked, arrival.shown, arm, locate)
        except Exception as error:  # whatever it was, nothing may be shown as right any more
            self.fault(error)
            return self._conclude(arrival, Refusal.NONE, image, tracked, located)
        outcome = self._conclude(arrival, Refusal.NONE, image, tracked, located, result)
        self._look_again(outcome, ready.tracker)
        return outcome

    def still_true(self, outcome: Outcome) -> Outcome:
        """The same ``outcome`` as long as it holds.

        If everything has started over since, an outcome that says only that. If what it would show has expired or been
        contradicted, or something broke, an outcome that shows nothing.
        """
        with self._lock:
            now = self._clock.now()
            if outcome.arrival.epoch != self._epoch:
                return self._aside(outcome.arrival, self._over.value, now)
            if outcome.verdict.held is None or self._supervisor.held(now) is not None:
                return outcome
            verdict = self._supervisor.aside(now, outcome.verdict.reason or self._because)
            self._said = verdict.state
            return replace(outcome, verdict=verdict, time=now, predicted=None)

    def watch(self) -> Outcome | None:
        """What has become true without an image, once; None if nothing has. To be called often.

        IMAGE_STALE when no usable image has come for too long on the steady clock; EXPIRED when what was tracked is too
        old; otherwise why everything started over.
        """
        with self._lock:
            now = self._clock.now()
            self._notice_jump(now)
            patience = round(1e9 * self._settings.image_timeout)
            stale = self._usable is not None and self._clock.steady() - self._usable > patience
            if stale:
                self._usable = None
                self._supervisor.distrust()
            elif not self._is_news(self._supervisor.state(now)):
                return None
            reason = Refusal.IMAGE_STALE.value if stale else self._because
            outcome = self._aside(Arrival(now, now, now, self._epoch, of_image=False), reason, now)
        if stale:
            self._log(f"no usable images for {self._settings.image_timeout:g} s")
        return outcome

    def _is_news(self, state: State) -> bool:
        """Whether ``state`` has not been said yet, and the image at work will not say it."""
        first_image = self._said is State.WAITING and state is State.INITIALISING
        return state is not self._said and not first_image

    def fault(self, error: BaseException) -> None:
        """Latch a fault."""
        self._fault(f"{type(error).__name__}: {' '.join(str(error).split())}")

    def _fault(self, reason: str) -> None:
        self._log(f"FAULT: {reason}")
        self._supervisor.fault(reason)

    # --- What is true ---

    def at(self, time: int) -> Moment:
        """What is true at ``time``, now or soon; may be asked as often as one likes."""
        with self._lock:
            state = self._supervisor.state(time)
            return Moment(state, self._supervisor.held(time), self._predicted(state, time))

    def _predicted(self, state: State, time: int) -> Prediction | None:
        ready = self._preparation.ready
        known = ready is not None and state in (State.TRACKING, State.HOLDING)
        return ready.tracker.predict(time) if known else None

    # --- Steps ---

    def _first_look(
        self, arrival: Arrival, image: NDArray[np.uint8], tracked: Array, ready: Ready
    ) -> tuple[Refusal, bool]:
        """Why an image is not to be registered, if so, and whether the only reason is that everything stands still."""
        with self._lock:
            if arrival.epoch != self._epoch:
                return self._over, False
            if self._tracker_epoch != self._epoch:  # only here is nobody at work with it
                ready.tracker.reset()
                self._tracker_epoch = self._epoch
            self._supervisor.initialise()
            frozen = self._freeze.judge(image, ready.mask, tracked)
            return (Refusal.NONE if frozen is Freeze.NONE else Refusal.FROZEN), frozen is Freeze.STILL

    def _conclude(
        self,
        arrival: Arrival,
        refusal: Refusal,
        image: NDArray[np.uint8] | None = None,
        tracked: Array | None = None,
        located: int | None = None,
        result: Registration | None = None,
        still: bool = False,
    ) -> Outcome:
        """What an image changes: nothing at all if meanwhile everything has started over, or if it is no new one."""
        now = self._clock.now()
        supervisor = self._supervisor
        with self._lock:
            if arrival.epoch != self._epoch:
                verdict, result = supervisor.aside(now, self._over.value), None
            elif still:
                verdict = supervisor.aside(now, refusal.value)
            elif result is None or not result.accepted:
                verdict = supervisor.bad(now, (refusal if result is None else result.reason).value)
            else:
                covariance = self._preparation.ready.tracker.told_covariance(result)
                verdict = supervisor.good(arrival.stamp, now, result.motion, covariance)
                if verdict.accepted:
                    self._preparation.ready.tracker.plausibility.trust(result.motion)
                self._because = Refusal.EXPIRED.value
            self._said = verdict.state
            predicted = self._predicted(verdict.state, now)
            ready = self._preparation.ready
        concluded = None if result is None else now
        return Outcome(arrival, verdict, now, ready, predicted, image, tracked, located, result, concluded)

    def _look_again(self, outcome: Outcome, tracker: Tracker) -> None:
        """Now and then, search a frame that was followed, in the background, to find out a wrong summit."""
        result, time = outcome.result, outcome.arrival.shown
        due = 0.0 < round(1e9 * self._settings.check_period) <= abs(time - self._checked)
        if not due or result is None or not result.followed or (self._check and not self._check.done()):
            return
        self._checked = time
        self._check = self._background.submit(self._compare, outcome, tracker)

    def _compare(self, outcome: Outcome, tracker: Tracker) -> None:
        try:
            contradicted = tracker.contradicts(outcome.image, outcome.result)
        except Exception as error:  # as in `on_image`; otherwise it would go unnoticed
            self.fault(error)
            return
        if not contradicted:
            return
        with self._lock:
            if outcome.arrival.epoch == self._epoch:
                tracker.doubt()
                self._supervisor.distrust(CONTRADICTED)
                self._because = CONTRADICTED
        self._log(f"{CONTRADICTED}: an image was followed to the wrong place; starting over")

    def _notice_jump(self, now: int) -> None:
        """Notice a system clock that was set back: what was tracked would not expire before it has caught up."""
        if self._stamps.later_than(now):
            self._start_over(Refusal.CLOCK_JUMP)

    def _start_over(self, reason: Refusal) -> None:
        self._epoch += 1
        self._over, self._because = reason, reason.value
        self._supervisor.reset()
        self._stamps.reset()
        self._freeze.reset()

    def _on_failure(self, error: BaseException) -> None:
        """Take in that a volume or a mask could not be prepared: bad input is logged, anything else is a fault."""
        if isinstance(error, InputError):
            self._log(str(error))
        else:
            self.fault(error)
