"""The method on one screen: register live frames to the volume, one after the other.

The tracker carries C, the organ's motion in the volume frame: with X the tracked and Y the registered transform from
image to volume, C = Y X^-1. It stays true when the physician moves the probe, so the next frame starts from C X.

While the last result is good and fresh, a frame is followed: a few steps on fine levels from where the organ is
predicted to be. Where that leaves a doubt, and at the start, the frame is searched from many places; where even that is
not believed and nothing is known of the organ any more, from a thousand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from threading import Lock
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import Array, apply, geodesic_distance, image_centre, inverse, seen_from, turned_covariance
from deeprs2v_ros.imaging.beams import behind_wall
from deeprs2v_ros.imaging.volume import Volume
from deeprs2v_ros.registration.belief import SAME_IMAGE, Belief, expected_scale, posterior_covariance, surprise
from deeprs2v_ros.registration.correction import Evaluation, Task, correct, evaluate
from deeprs2v_ros.registration.frame import Frame
from deeprs2v_ros.registration.gate import Reason, Signals, judge
from deeprs2v_ros.registration.plausibility import Plausibility
from deeprs2v_ros.registration.prediction import MotionPredictor, Prediction, unmodelled
from deeprs2v_ros.registration.pyramid import build_levels
from deeprs2v_ros.registration.search import APART, FAR, NEAR, Found, Reach, distance, hypotheses, search
from deeprs2v_ros.registration.settings import RegistrationSettings
from deeprs2v_ros.registration.uncertainty import pose_covariance, weakest_direction

WORTH_A_LOOK = 0.05
"""Overlap at the prior below which no network is asked: the plane is outside the volume."""

FRESH = 0.5
"""Seconds since the last good result within which a frame is followed."""

FORGOTTEN = 1.0
"""Seconds of bad results after which the organ may be anywhere, and is taken to be at rest again."""

UNLIKE = 0.08
"""By how much LNCC may fall below what it has been lately before a frame that was followed is searched."""

BESIDE = ThreadPoolExecutor(1, thread_name_prefix="beside")
"""Threads for what is done while a followed frame climbs."""

SURPRISING = 1.5
"""Standard deviations from the prediction (RMS) beyond which a frame that was followed is searched."""

MEMORY = 0.1
"""Share of the newest frame in what LNCC has been lately."""


@dataclass(frozen=True)
class Registration:
    """The result for one frame.

    ``tracked``, ``prior`` and ``registered`` are volume_from_image (4x4, mm): X, the start C X, and Y. ``covariance``
    (6, 6) is that of a small motion of the registered plane about the image centre, in image axes (mm, rad).
    ``runtime`` is in seconds, ``network_runtime`` the part of it until the network had answered, NaN without one.
    ``followed`` says that no search was needed.
    """

    reason: Reason
    tracked: Array
    prior: Array
    registered: Array
    covariance: Array
    lncc_before: float
    signals: Signals
    iterations: int
    runtime: float
    network_runtime: float = np.nan
    followed: bool = False

    @property
    def accepted(self) -> bool:
        """Whether the gate believes the result."""
        return self.reason is Reason.NONE

    @property
    def correction(self) -> Array:
        """The paper's d, in the image frame: Y = X d."""
        return inverse(self.tracked) @ self.registered

    @property
    def motion(self) -> Array:
        """The organ's motion C, in the volume frame: Y = C X. Tissue at y in the volume is now at C^-1 y."""
        return self.registered @ inverse(self.tracked)


class Tracker:
    """Registers frames to one ``volume``.

    ``mask`` (rows, columns) is the frames' valid area, of which what lies behind the abdominal wall is compared, and
    ``image_from_pixel`` (4x4) their pixel size. With ``temporal``
    the organ's motion is carried from frame to frame, otherwise each frame starts from its tracked transform.
    ``propose``, a network in front of the volume, says for an image and its prior where the image is, whenever a search
    leaves a doubt. Without ``correction``, it is always asked, and what it says is the result.
    """

    def __init__(
        self,
        volume: Volume,
        mask: NDArray[np.bool_],
        image_from_pixel: Array,
        settings: RegistrationSettings | None = None,
        temporal: bool = True,
        propose: Callable[[NDArray[np.uint8], Array], Belief] | None = None,
        correction: bool = True,
    ) -> None:
        self.settings = settings or RegistrationSettings()
        self.temporal = temporal
        self.propose = propose
        self.correction = correction
        self.centre = image_centre(mask.shape, image_from_pixel)
        pixel_size = (image_from_pixel[0, 0], image_from_pixel[1, 1])
        organ = behind_wall(mask, pixel_size, self.settings.abdominal_wall)
        if not organ.any():
            raise InputError(f"abdominal_wall: {self.settings.abdominal_wall:g} mm leave nothing of the images")
        self.mask = organ.astype(np.float32)
        self.levels = build_levels(volume, organ, pixel_size, self.settings.levels)
        self.middle = apply(volume.volume_from_voxel, (np.array(volume.size) - 1) / 2.0)
        self._predictor = MotionPredictor(self.middle, self.settings.prediction)
        self.plausibility = Plausibility(self.middle, self.settings.organ.range)
        self._lock = Lock()  # of the predictor: what is predicted is asked for by other threads
        self.reset()

    def register_frame(
        self,
        image: NDArray[np.uint8],
        tracked: Array,
        time: int = 0,
        arm: Array | None = None,
        tracked_at: Callable[[int], Array | None] = lambda _: None,
    ) -> Registration:
        """Register one ``image`` (rows, columns), whose tracked volume_from_image (4x4 mm) is ``tracked``.

        ``time`` (ns) is when it showed what it shows. ``arm`` is the covariance (6, 6) of the tracked pose about the
        image centre, in image axes, if it is known. ``tracked_at`` gives the tracked pose at earlier times, if known.
        """
        began = perf_counter()
        frame = Frame(image, self.mask, self.levels)
        expected = self._expected(tracked, time, arm)
        registration = self._follow(frame, tracked, expected) if self._fresh(time) else None
        if registration is None or not self._as_usual(registration):
            registration = self._search(frame, tracked, self._doubtful(tracked, arm), time, began)
        if registration.accepted:
            why = self.plausibility.judge(registration.registered, tracked, time, tracked_at)
            registration = replace(registration, reason=why)
        if self.temporal:
            self._remember(registration, time)
        return replace(registration, runtime=perf_counter() - began)

    def told_covariance(self, found: Registration) -> Array:
        """The covariance (6, 6) to publish for the motion found: about the `middle` of the volume, in its axes."""
        return self._motion_covariance(found) + unmodelled(self.settings.prediction)

    def _motion_covariance(self, found: Registration) -> Array:
        shift = seen_from(self.middle - apply(found.registered, self.centre))
        return shift @ turned_covariance(found.covariance, found.registered) @ shift.T

    def predict(self, time: int) -> Prediction | None:
        """Where the organ is, or will be, at a ``time`` (ns); None if that cannot be known. From any thread."""
        with self._lock:
            return self._predictor.predict(time)

    def contradicts(self, image: NDArray[np.uint8], found: Registration) -> bool:
        """Whether a search finds a better place for a followed frame, which then was on the wrong summit.

        Takes as long as a search, but may run in any thread without disturbing the others.
        """
        frame = Frame(image, self.mask, self.levels)
        prior = Belief(found.registered, expected_scale(None, self.settings.organ))
        tasks = self._tasks(frame, [prior])
        better = search(tasks, hypotheses([prior], self.centre), self.settings, NEAR.starts, alone=True).best
        apart = distance(better.pose, found.registered, self.centre) > APART * tasks[1].spacing
        least = (1.0 + self.settings.gate.minimum_margin) * evaluate(tasks[-1], found.registered).score
        return bool(apart and better.score > least)

    def doubt(self) -> None:
        """Distrust where the organ was found lately: search the next frame as if nothing were known."""
        self._in_doubt = True

    def reset(self) -> None:
        """Forget the organ's motion, and how the patient breathes."""
        self._forget()
        self.plausibility.reset()
        with self._lock:
            self._predictor.reset()

    def _forget(self) -> None:
        self.motion = np.eye(4)
        self._known: int | None = None  # the time at which the motion was last found
        self._missed = False  # since then, a frame was rejected
        self._usual = np.nan  # LNCC of the last good frames
        self._in_doubt = False

    # --- What is expected ---

    def _expected(self, tracked: Array, time: int, arm: Array | None) -> Belief:
        """The prior: where the organ is predicted to be. The longer ago it was seen, the less sure."""
        if self._in_doubt:
            self.reset()
        elif self._missed and self._known is not None and self._elapsed(time) > FORGOTTEN:
            self._forget()
        if self._known is None or not self.temporal:
            return Belief(tracked, expected_scale(arm, self.settings.organ))
        # The arm's own error is in C already, and changes as slowly as the arm moves.
        elapsed = self._elapsed(time)
        if not 0.0 < elapsed <= FRESH:
            return Belief(self.motion @ tracked, expected_scale(None, self.settings.organ))
        motion = self._predictor.expect(time).motion
        return Belief(motion @ tracked, expected_scale(None, self.settings.organ, elapsed))

    def _doubtful(self, tracked: Array, arm: Array | None) -> Belief:
        """The prior of a search: where the organ was last found, however long ago. A prediction may have misled."""
        return Belief(self.motion @ tracked, expected_scale(arm if self._known is None else None, self.settings.organ))

    def _elapsed(self, time: int) -> float:
        return (time - self._known) / 1e9

    def _fresh(self, time: int) -> bool:
        known = self.temporal and self.correction and self._known is not None
        return known and 0.0 < self._elapsed(time) <= FRESH

    # --- How the frame is registered ---

    def _follow(self, frame: Frame, tracked: Array, expected: Belief) -> Registration:
        """A few steps from where the frame is expected.

        While the coarser level is climbed, the finest is prepared; while that is climbed, it is found out how sure the
        result will be.
        """
        (coarse, first), (fine, then) = self.settings.follow
        task = self._task(frame, coarse, [expected])
        finest = BESIDE.submit(self._task, frame, fine, [expected])
        near, tried = correct(task, expected.pose, first)
        covariance = BESIDE.submit(pose_covariance, task, near.pose, alone=True)
        best, more = correct(finest.result(), near.pose, then)
        before = evaluate(finest.result(), expected.pose).lncc
        sure = posterior_covariance(covariance.result(), best.pose, [expected], self.centre)
        found = Found(best, margin=1.0, iterations=tried + more)
        return self._registration(frame, tracked, expected, [expected], found, before, sure, followed=True)

    def _as_usual(self, found: Registration) -> bool:
        """Whether a followed frame leaves no doubt."""
        signals = found.signals
        return found.accepted and signals.lncc > self._usual - UNLIKE and signals.surprise < SURPRISING

    def _search(self, frame: Frame, tracked: Array, expected: Belief, time: int, began: float) -> Registration:
        """Search around the prior; if that fails, also where a network says; if the organ is lost, far and wide."""
        before = evaluate(self._task(frame, -1, [expected]), expected.pose)
        if not self.correction:
            return self._proposed(frame, tracked, expected, before, began)
        result = self._searched(frame, tracked, expected, [expected], NEAR, before.lncc)
        beliefs, network_runtime = [expected], np.nan
        if not result.accepted and self.propose is not None and before.overlap > WORTH_A_LOOK:
            beliefs = [self.propose(frame.image, expected.pose).weakened(SAME_IMAGE), expected]
            network_runtime = perf_counter() - began
            told = self._searched(frame, tracked, expected, beliefs, NEAR, before.lncc)
            result = told if told.accepted or not self._clearly_worse(told, result) else result
        if not result.accepted and (self._known is None or self._elapsed(time) > FRESH):
            wide = Belief(expected.pose, self.settings.lost**2 * expected.scale)
            far = self._searched(frame, tracked, wide, [*beliefs[:-1], wide], FAR, before.lncc)
            result = far if far.accepted or self._clearly_worse(result, far) else result
        return replace(result, network_runtime=network_runtime)

    def _clearly_worse(self, one: Registration, other: Registration) -> bool:
        """Whether ``one`` scores clearly less than ``other``, by what no search was told to expect."""
        worth, more = (found.signals.lncc * np.sqrt(found.signals.overlap) for found in (one, other))
        return more > (1.0 + self.settings.gate.minimum_margin) * worth

    def _proposed(
        self, frame: Frame, tracked: Array, expected: Belief, before: Evaluation, began: float
    ) -> Registration:
        """The proposal itself, uncorrected: the result of a network alone."""
        proposed, network_runtime = expected, np.nan
        if self.propose is not None and before.overlap > WORTH_A_LOOK:
            proposed = self.propose(frame.image, expected.pose)
            network_runtime = perf_counter() - began
        found = Found(evaluate(self._task(frame, -1, [expected]), proposed.pose), margin=1.0, iterations=0)
        result = self._registration(frame, tracked, expected, [expected], found, before.lncc, proposed.covariance)
        return replace(result, network_runtime=network_runtime)

    def _searched(
        self, frame: Frame, tracked: Array, expected: Belief, beliefs: Sequence[Belief], reach: Reach, before: float
    ) -> Registration:
        starts = hypotheses(beliefs, self.centre, reach)
        found = search(self._tasks(frame, beliefs), starts, self.settings, reach.starts)
        return self._registration(frame, tracked, expected, beliefs, found, before, far=reach is FAR)

    def _registration(
        self,
        frame: Frame,
        tracked: Array,
        expected: Belief,
        beliefs: Sequence[Belief],
        found: Found,
        before: float,
        covariance: Array | None = None,
        followed: bool = False,
        far: bool = False,
    ) -> Registration:
        """The result, with everything that the gate needs to know about it."""
        pose = found.best.pose
        if covariance is None:
            image = pose_covariance(self._task(frame, -2, beliefs), pose)
            covariance = posterior_covariance(image, pose, beliefs, self.centre)
        signals = Signals(
            lncc=found.best.lncc,
            overlap=found.best.overlap,
            margin=found.margin,
            sigma=weakest_direction(covariance),
            surprise=surprise(pose, expected, self.centre),
            translation=float(np.linalg.norm(apply(pose, self.centre) - apply(expected.pose, self.centre))),
            rotation=float(np.degrees(geodesic_distance(pose[:3, :3], expected.pose[:3, :3]))),
        )
        gate = self.settings.gate
        reason = judge(signals, gate.widened(self.settings.lost) if far else gate)
        return Registration(
            reason, tracked, expected.pose, pose, covariance, before, signals, found.iterations, 0.0, followed=followed
        )

    def _task(self, frame: Frame, number: int, beliefs: Sequence[Belief]) -> Task:
        return frame.on_level(number, self.centre, beliefs, self.settings.belief_weight)

    def _tasks(self, frame: Frame, beliefs: Sequence[Belief]) -> list[Task]:
        return [self._task(frame, number, beliefs) for number in range(len(self.levels))]

    # --- What is kept ---

    def _remember(self, found: Registration, time: int) -> None:
        self._missed = not found.accepted
        if not found.accepted:
            return
        self.motion, self._known = found.motion, time
        newest = found.signals.lncc
        self._usual = newest if np.isnan(self._usual) else (1.0 - MEMORY) * self._usual + MEMORY * newest
        with self._lock:
            if not self._predictor.awaits(time):  # a time that does not grow teaches nothing
                self._predictor.reset()
            self._predictor.update(time, found.motion, self._motion_covariance(found))
