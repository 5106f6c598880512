"""What lies between an encoder's angle and its joint's: a table of pairs, an error curve, a coupling to another joint.

All are strictly increasing, so all can be inverted; the simulator needs that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from deeprs2v_ros.geometry import Array

FULL_TURN = 2.0 * np.pi
_NEWTON_STEPS = 50
_STEPS = 1440  # of a periodic table, 0.25 degrees each


class OutsideCurveError(ValueError):
    """A value for which a table or a coupling says nothing."""


@dataclass(frozen=True)
class Table:
    """Pairs of encoder and joint values (rad or mm), both (N,) and strictly increasing, joined by straight lines.

    A table that spans exactly one turn on both sides is periodic; any other one ends where its pairs end.
    """

    encoder: Array
    joint: Array

    def __post_init__(self) -> None:
        """Raise ValueError unless there are two or more finite pairs that increase strictly on both sides."""
        pairs = np.array([self.encoder, self.joint])
        if pairs.ndim != 2 or pairs.shape[1] < 2 or not np.isfinite(pairs).all():
            raise ValueError("needs at least two pairs of finite numbers")
        if not (np.diff(pairs) > 0.0).all():
            raise ValueError("must increase strictly on both sides")

    @cached_property
    def periodic(self) -> bool:
        """Whether the table goes on after one turn."""
        spans = [self.encoder[-1] - self.encoder[0], self.joint[-1] - self.joint[0]]
        return bool(np.allclose(spans, FULL_TURN, rtol=0.0, atol=1e-9))

    def joint_from(self, encoder: float) -> float:
        """The joint's value at an encoder value. Raises OutsideCurveError beyond the ends of the table."""
        return self._interpolate(encoder, self.encoder, self.joint)

    def encoder_from(self, joint: float) -> float:
        """Inverse of `joint_from`."""
        return self._interpolate(joint, self.joint, self.encoder)

    def _interpolate(self, value: float, from_: Array, to: Array) -> float:
        turns = FULL_TURN * math.floor((value - from_[0]) / FULL_TURN) if self.periodic else 0.0
        if not from_[0] <= value - turns <= from_[-1]:
            raise OutsideCurveError("is outside the joint's table")
        return float(np.interp(value - turns, from_, to) + turns)


def harmonics(angles: Array, orders: int) -> Array:
    """``cos k a, sin k a`` for k = 1 .. ``orders``, by turns: (..., 2 orders), the basis of an error curve."""
    phases = angles[..., None] * np.arange(1, orders + 1)
    return np.stack([np.cos(phases), np.sin(phases)], axis=-1).reshape(*angles.shape, 2 * orders)


def table_error(table: Table | None, angles: Array) -> Array:
    """Joint minus encoder angle of a ``table`` at ``angles``, of any shape; interpolated around the turn, rad."""
    if table is None:
        return np.zeros_like(angles)
    return np.interp(angles, table.encoder, table.joint - table.encoder, period=FULL_TURN)


def around_the_turn(table: Table | None, coefficients: Array) -> Table:
    """A periodic table of the errors of ``table`` and the error curve ``harmonics(a) @ coefficients`` (2K,), in rad.

    Raises ValueError where their sum falls.
    """
    angles = np.linspace(-np.pi, np.pi, _STEPS + 1)
    errors = table_error(table, angles) + harmonics(angles, len(coefficients) // 2) @ coefficients
    errors[-1] = errors[0]
    return Table(angles, angles + errors)


@dataclass(frozen=True)
class Coupling:
    """A joint that depends on its own encoder's angle t and on the angle h of another joint, in rad.

    q = sum over ``terms`` of ``c t^i h^j``; ``terms`` maps (i, j) to c, ``joint`` is the name of the other joint.
    """

    joint: str
    terms: dict[tuple[int, int], float]

    def joint_from(self, encoder: float, other: float) -> float:
        """The joint's angle q at t = ``encoder`` and h = ``other``, numbers or arrays."""
        return sum(c * encoder**i * other**j for (i, j), c in self.terms.items())

    def slopes(self, encoder: float, other: float) -> tuple[float, float]:
        """The derivatives of `joint_from` by t and by h, numbers or arrays."""
        by_encoder = sum(c * i * encoder ** (i - 1) * other**j for (i, j), c in self.terms.items() if i)
        by_other = sum(c * j * encoder**i * other ** (j - 1) for (i, j), c in self.terms.items() if j)
        return by_encoder, by_other

    def encoder_from(self, joint: float, other: float) -> float:
        """The t at which `joint_from` is ``joint``, on the rising branch through t = 0, by Newton's method.

        Raises OutsideCurveError where that branch does not reach ``joint``.
        """
        t = 0.0
        for _ in range(_NEWTON_STEPS):
            slope = self.slopes(t, other)[0]
            if slope <= 0.0:
                break
            step = (joint - self.joint_from(t, other)) / slope
            t += step
            if abs(step) < 1e-13:
                return t
        raise OutsideCurveError("is out of the coupling's reach")
