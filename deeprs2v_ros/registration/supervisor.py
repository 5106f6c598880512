"""From single results to a state: what may be shown as right, what is held for a moment, and when to fall silent.

The gate judges one result, the supervisor the stream of them. It starts to trust after several good results in a row.
When a result is bad it holds the last trusted one for a moment, with a covariance that grows, and then says it is lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from deeprs2v_ros.geometry import Array

CONFIRMING = "CONFIRMING"
"""Reason of a good result that is not trusted yet, since too few came in a row."""

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
    """How long to hold, and how much it takes to trust."""

    accept_in_a_row: int = 3
    """Good results in a row before a correction is broadcast, at first and after any bad one."""
    hold_timeout: float = 0.5
    """Seconds after the last accepted image during which its correction is still broadcast."""


@dataclass(frozen=True)
class Verdict:
    """What becomes of one image.

    ``broadcast`` is the organ's motion C (4, 4) to put on TF, if any, and ``covariance`` (6, 6) that of the pose that
    belongs to it, in the axes it was given in. ``age`` is the time in s since the last accepted image, None if there
    was none.
    """

    state: State
    accepted: bool
    reason: str
    broadcast: Array | None
    covariance: Array | None
    age: float | None


@dataclass(frozen=True)
class _Accepted:
    stamp: int
    motion: Array
    covariance: Array


class Supervisor:
    """The state machine. Stamps are those of the images, in nanoseconds, and grow."""

    def __init__(self, settings: SupervisorSettings | None = None) -> None:
        self._settings = settings or SupervisorSettings()
        self._fault = ""
        self.reset()

    def reset(self) -> None:
        """Back to WAITING: a new volume, or a clock that jumped back. A fault stays."""
        self.state = State.FAULT if self._fault else State.WAITING
        self._last: _Accepted | None = None
        self._good = 0

    def good(self, stamp: int, motion: Array, covariance: Array) -> Verdict:
        """A result that passed the gate: the organ's ``motion`` C (4, 4) and the pose's ``covariance`` (6, 6)."""
        if self._fault:
            return self.aside(stamp, self._fault)
        if self.state is State.TRACKING and self._too_old(stamp):
            self._good = 0
        self._good += 1
        if self._good >= self._settings.accept_in_a_row:
            self.state = State.TRACKING
            self._last = _Accepted(stamp, motion, covariance)
            return Verdict(self.state, True, "", motion, covariance, 0.0)
        if self._last is None or self._too_old(stamp):
            self.state = State.INITIALISING
            return self.aside(stamp, CONFIRMING)
        return self._hold(stamp, CONFIRMING)

    def bad(self, stamp: int, reason: str) -> Verdict:
        """An image without a result that could be believed, and why."""
        if self._fault:
            return self.aside(stamp, self._fault)
        self._good = 0
        if self._last is None:
            if self.state is not State.WAITING:
                self.state = State.INITIALISING
            return self.aside(stamp, reason)
        if self._too_old(stamp):
            self.state = State.LOST
            return self.aside(stamp, reason)
        return self._hold(stamp, reason)

    def aside(self, stamp: int, reason: str) -> Verdict:
        """An image that says nothing about the organ, such as one that a newer one replaced: the state stays."""
        return Verdict(self.state, False, self._fault or reason, None, None, self._age(stamp))

    def initialise(self) -> None:
        """The first image can be registered: volume, mask and transform are there."""
        if self.state is State.WAITING:
            self.state = State.INITIALISING

    def stale(self) -> None:
        """No images come any more: what was tracked is over."""
        if not self._fault:
            self.state = State.WAITING if self._last is None else State.LOST
        self._good = 0

    def fault(self, reason: str) -> None:
        """Latch a fault; only a restart clears it."""
        self._fault, self.state = reason, State.FAULT

    def _hold(self, stamp: int, reason: str) -> Verdict:
        assert self._last is not None
        self.state = State.HOLDING
        age = (stamp - self._last.stamp) / 1e9
        covariance = self._last.covariance + np.diag((age * _DRIFT) ** 2)
        return Verdict(self.state, False, reason, self._last.motion, covariance, age)

    def _age(self, stamp: int) -> float | None:
        return None if self._last is None else (stamp - self._last.stamp) / 1e9

    def _too_old(self, stamp: int) -> bool:
        return self._last is not None and stamp - self._last.stamp > self._settings.hold_timeout * 1e9
