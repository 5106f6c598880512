"""From single results to a state: what may be shown as right, what is held for a moment, and when to fall silent.

The gate judges one result, the supervisor the stream of them. It starts to trust after several good results in a row.
When a result is bad it holds the last trusted one for a moment, with a covariance that grows, and then says it is lost.

A state is true at the time at which it is asked for: it expires by itself, whatever arrives or does not arrive.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

import numpy as np

from deeprs2v_ros.geometry import Array
from deeprs2v_ros.registration.settings import Range, check_limits

CONFIRMING = "CONFIRMING"
"""Reason given for a good result that is not trusted yet, since too few came in a row."""

LATE = "LATE"
"""Reason given for a good result that took so long that it would not even be held any more."""

_DRIFT = np.array([20.0] * 3 + [np.radians(10.0)] * 3)  # per second: how fast breathing may carry the liver away


class State(IntEnum):
    """The states of `RegistrationStatus`, with its numbers."""

    UNCONFIGURED = 0
    INACTIVE = 1
    WAITING = 2
    INITIALISING = 3
    TRACKING = 4
    HOLDING = 5
    LOST = 6
    FAULT = 7


@dataclass(frozen=True)
class SupervisorSettings:
    """How long to hold, and how much it takes to trust. Raises InputError for a number outside its limits."""

    accept_in_a_row: int = 3
    """Good results in a row before a correction is broadcast, at the start and after every bad result."""
    hold_timeout: float = 0.5
    """For how many seconds after the last accepted image its correction is still broadcast."""

    LIMITS: ClassVar[Mapping[str, Range]] = {
        "accept_in_a_row": Range(1, 100),
        "hold_timeout": Range(0.0, 60.0, above=True),
    }

    def __post_init__(self) -> None:
        check_limits("trust.", self, self.LIMITS)


@dataclass(frozen=True)
class Held:
    """What is on TF: the organ's ``motion`` C (4, 4) of the image with ``stamp``, ``age`` seconds ago.

    ``covariance`` (6, 6) is that of the motion, about the point and in the axes it was given in; it grows with the age.
    """

    stamp: int
    motion: Array
    covariance: Array
    age: float


@dataclass(frozen=True)
class Verdict:
    """What becomes of one image, and what is on TF after it. ``age`` (s) is that of the last accepted image, if any."""

    state: State
    accepted: bool
    reason: str
    held: Held | None
    age: float | None


@dataclass(frozen=True)
class _Accepted:
    stamp: int
    motion: Array
    covariance: Array


class Supervisor:
    """The state machine. Stamps are those of the images, in nanoseconds; ``now`` is the time on the same clock."""

    def __init__(self, settings: SupervisorSettings | None = None) -> None:
        self._settings = settings or SupervisorSettings()
        self._timeout = round(1e9 * self._settings.hold_timeout)
        self._fault = ""
        self._stopped = False
        self.reset()

    def reset(self) -> None:
        """Back to WAITING: a new volume, or a clock that jumped back. A fault stays, and so does INACTIVE."""
        self._last: _Accepted | None = None
        self._good = 0
        self._initialised = self._doubted = self._over = False
        self._why = CONFIRMING

    def state(self, now: int) -> State:
        """The state at the time ``now``."""
        if self._fault:
            return State.FAULT
        if self._stopped:
            return State.INACTIVE
        if self._last is None:
            return State.INITIALISING if self._initialised else State.WAITING
        if self._expired(now):
            return State.INITIALISING if self._doubted and self._good else State.LOST
        return State.HOLDING if self._doubted else State.TRACKING

    def held(self, now: int) -> Held | None:
        """What may be broadcast at the time ``now``: the last accepted motion, while TRACKING or HOLDING."""
        if self._fault or self._stopped or self._last is None or self._expired(now):
            return None
        age = max(now - self._last.stamp, 0) / 1e9
        covariance = self._last.covariance + np.diag((age * _DRIFT) ** 2)
        return Held(self._last.stamp, self._last.motion, covariance, age)

    def good(self, stamp: int, now: int, motion: Array, covariance: Array) -> Verdict:
        """Take in a result that passed the gate: the organ's ``motion`` C (4, 4) and its ``covariance`` (6, 6)."""
        if now - stamp > self._timeout:
            return self.bad(now, LATE)
        if self._last is not None and self._expired(now) and not self._doubted:
            self._good = 0  # a gap after what was tracked: the count of good results begins anew
        self._doubted = True
        self._good += 1
        if self._good < self._settings.accept_in_a_row:
            return self.aside(now, self._why)
        if not self._fault:
            self._last = _Accepted(stamp, motion, covariance)
            self._doubted = self._over = False
            self._why = CONFIRMING
        return self._verdict(now, "", accepted=not self._fault)

    def bad(self, now: int, reason: str) -> Verdict:
        """Take in an image without a believable result; ``reason`` says why."""
        self._good = 0
        self._doubted = True
        return self.aside(now, reason)

    def aside(self, now: int, reason: str) -> Verdict:
        """Take in an image that says nothing about the organ, as one that a newer one replaced: nothing changes."""
        return self._verdict(now, reason, accepted=False)

    def initialise(self) -> None:
        """Note that images can be registered: volume, mask and transform are there."""
        self._initialised = True

    def distrust(self, why: str = CONFIRMING) -> None:
        """End what was tracked: no more images come, or a second look contradicts it.

        ``why`` is the reason given for good results until they are trusted again.
        """
        self._good = 0
        self._over = True
        self._why = why

    def stop(self) -> None:
        """INACTIVE from now on, until `start`; everything from before is forgotten."""
        self.reset()
        self._stopped = True

    def start(self) -> None:
        """Go from INACTIVE to WAITING."""
        self._stopped = False

    def fault(self, reason: str) -> None:
        """Latch a fault: only `clear_fault` ends it."""
        self._fault = reason

    def clear_fault(self) -> None:
        """Start anew after a fault, which the operator says is over."""
        self.reset()
        self._fault = ""

    def _verdict(self, now: int, reason: str, accepted: bool) -> Verdict:
        age = None if self._last is None else max(now - self._last.stamp, 0) / 1e9
        return Verdict(self.state(now), accepted, self._fault or reason, self.held(now), age)

    def _expired(self, now: int) -> bool:
        return self._last is not None and (self._over or now - self._last.stamp > self._timeout)
