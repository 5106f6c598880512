"""Where an organ is and how it moves, from noisy measurements: Kalman filters of different agility side by side.

Each filter holds position, velocity and acceleration of a six-vector in mm (see `Snapshot`). The acceleration fades
with a time constant tau and is driven by white noise that keeps it at a standard deviation sigma (Singer, IEEE
Transactions on Aerospace and Electronic Systems 6, 1970). Breathing moves an organ along nearly one path, so the calm
filters expect accelerations in proportion to the velocities seen lately; the most agile one, for coughs, expects them
in any direction. Every filter is weighted by how probable it found the recent measurements (static multiple models
with forgetting: Magill, IEEE Transactions on Automatic Control 10, 1965).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deeprs2v_ros.geometry import Array

SIGMA = np.array([3.0, 12.0, 400.0])
"""mm/s^2, one for each filter."""
TAU = np.array([0.5, 0.5, 0.2])
"""s after which a third of an acceleration is left, likewise."""
FADES = np.array([1e6, 1e6, 0.15])
"""s after which a third of a velocity is left, likewise: a cough is over soon."""
STRANGE = np.array([False, False, True])
"""Which filters expect motion in any direction."""
SPEED = 12.0
"""mm/s along each axis: what the velocity may be when nothing but one position is known."""
FORGETTING = 0.5
"""s after which a measurement counts a third in the weights of the filters."""
LEAST_WEIGHT = 1e-3
"""The least weight of a filter, so that it is there at once when it is needed."""
TAIL = 4.0
"""Degrees of freedom of Student's t distribution for the innovations: an outlier pulls less than it would."""
ANYWHERE = 0.035
"""Variance left to a direction in which nothing has moved, as a share of a third of that of all accelerations."""
DIRECTIONS_LAST = 30.0
"""s over which the directions of motion are learned."""
STILL = 0.1
"""mm/s in every direction that are added to what was seen, since an organ at rest has no direction."""

_NODES, _NODE_WEIGHTS = np.polynomial.legendre.leggauss(5)


@dataclass(frozen=True)
class Snapshot:
    """What the filters knew after one measurement.

    The six-vector is in mm: a translation, then a rotation vector times a lever. ``states`` (filters, 3, 6) are its
    position, velocity and acceleration, ``covariances`` (filters, 3, 6, 3, 6), ``weights`` (filters,) sum up to one,
    ``noise`` (filters, 6, 6) is the covariance of an acceleration, (mm/s^2)^2.
    """

    states: Array
    covariances: Array
    weights: Array
    noise: Array

    def mean(self) -> Array:
        """Position, velocity and acceleration (3, 6) over all filters."""
        return np.einsum("m,mai->ai", self.weights, self.states)

    def after(self, horizon: float) -> tuple[Array, Array]:
        """The position (6,) ``horizon`` s later, before if it is negative, and its covariance (6, 6).

        The covariance is what each filter says of its own position, and how far these are apart.
        """
        row = _transition(horizon)[:, 0]
        positions = np.einsum("ma,mai->mi", row, self.states)
        position = self.weights @ positions
        apart = positions - position
        carried = np.einsum("ma,maibj,mb->mij", row, self.covariances, row)
        driven = _driven(abs(horizon))[:, 0, 0, None, None] * self.noise
        each = carried + driven + apart[:, :, None] * apart[:, None, :]
        return position, np.einsum("m,mij->ij", self.weights, each)


class MotionFilter:
    """The filters. `start` comes first."""

    def __init__(self) -> None:
        self._directions = np.eye(6)

    def start(self, position: Array, covariance: Array) -> Snapshot:
        """Begin at a ``position`` (6,) with its ``covariance`` (6, 6). Directions learned before are kept."""
        filters = len(SIGMA)
        self._states = np.zeros((filters, 18))
        self._states[:, :6] = position
        self._covariances = np.zeros((filters, 18, 18))
        self._covariances[:, :6, :6] = covariance
        self._covariances[:, 6:12, 6:12] = SPEED**2 * np.eye(6)
        self._noise = self._accelerations()
        self._covariances[:, 12:, 12:] = self._noise
        self._weights = np.full(filters, 1.0 / filters)
        return self._snapshot()

    def update(self, elapsed: float, position: Array, covariance: Array) -> Snapshot:
        """Take in the ``position`` (6,) measured ``elapsed`` s after the last one, with its ``covariance`` (6, 6)."""
        filters = len(SIGMA)
        steps = np.einsum("mab,ij->maibj", _transition(elapsed), np.eye(6)).reshape(filters, 18, 18)
        driven = np.einsum("mab,mij->maibj", _driven(elapsed), self._noise).reshape(filters, 18, 18)
        states = (steps @ self._states[:, :, None])[:, :, 0]
        covariances = steps @ self._covariances @ steps.transpose(0, 2, 1) + driven
        innovation = position - states[:, :6]
        total = covariances[:, :6, :6] + covariance
        squared = np.einsum("mi,mi->m", innovation, np.linalg.solve(total, innovation[:, :, None])[:, :, 0])
        likelihood = -0.5 * np.linalg.slogdet(total)[1] - 0.5 * (TAIL + 6.0) * np.log1p(squared / TAIL)
        doubt = np.maximum(1.0, (TAIL + squared) / (TAIL + 6.0))
        total = covariances[:, :6, :6] + doubt[:, None, None] * covariance
        gains = np.linalg.solve(total, covariances[:, :6, :]).transpose(0, 2, 1)
        self._states = states + (gains @ innovation[:, :, None])[:, :, 0]
        covariances = covariances - gains @ covariances[:, :6, :]
        self._covariances = 0.5 * (covariances + covariances.transpose(0, 2, 1))
        self._weigh(np.exp(-elapsed / FORGETTING) * np.log(self._weights) + likelihood)
        self._learn_directions(elapsed)
        return self._snapshot()

    def _weigh(self, logarithms: Array) -> None:
        weights = np.exp(logarithms - logarithms.max())
        weights = np.maximum(weights / weights.sum(), LEAST_WEIGHT)
        self._weights = weights / weights.sum()

    def _learn_directions(self, elapsed: float) -> None:
        if self._weights[STRANGE].sum() < 0.5:  # a cough teaches nothing about breathing
            velocity = self._weights @ self._states[:, 6:12]
            self._directions = np.exp(-elapsed / DIRECTIONS_LAST) * self._directions
            self._directions = self._directions + elapsed * (np.outer(velocity, velocity) + STILL**2 * np.eye(6))
        self._noise = self._accelerations()

    def _accelerations(self) -> Array:
        learned = 3.0 * (1.0 - 2.0 * ANYWHERE) * self._directions / np.trace(self._directions) + ANYWHERE * np.eye(6)
        return np.where(STRANGE[:, None, None], np.eye(6), learned) * SIGMA[:, None, None] ** 2

    def _snapshot(self) -> Snapshot:
        shape = (len(SIGMA), 3, 6)
        return Snapshot(
            self._states.reshape(shape), self._covariances.reshape(*shape, 3, 6), self._weights, self._noise
        )


def _transition(elapsed: float) -> Array:
    """(filters, 3, 3): what position, velocity and acceleration become in ``elapsed`` s, undriven."""
    steps = np.zeros((len(TAU), 3, 3))
    steps[:, 0, 0] = 1.0
    steps[:, 0, 1], steps[:, 1, 1] = -FADES * np.expm1(-elapsed / FADES), np.exp(-elapsed / FADES)
    steps[:, 0, 2], steps[:, 1, 2], steps[:, 2, 2] = _answer(np.asarray(elapsed))
    return steps


def _driven(elapsed: float) -> Array:
    """(filters, 3, 3): the covariance that noise adds in ``elapsed`` s for an acceleration of variance one.

    The integral of 2 / tau g g^T over time, with g the last column of `_transition`, by Gauss and Legendre.
    """
    reached = np.stack(_answer(0.5 * elapsed * (_NODES[:, None] + 1.0)))
    return np.einsum("anm,bnm,n,m->mab", reached, reached, 0.5 * elapsed * _NODE_WEIGHTS, 2.0 / TAU)


def _answer(times: Array) -> tuple[Array, Array, Array]:
    """Position, velocity and acceleration, ``times`` (s) after an acceleration of one; the filters on the last axis."""
    by_velocity, by_acceleration = -np.expm1(-times / FADES), -np.expm1(-times / TAU)
    apart = 1.0 / TAU - 1.0 / FADES
    return (
        (FADES * by_velocity - TAU * by_acceleration) / apart,
        (by_acceleration - by_velocity) / apart,
        1.0 - by_acceleration,
    )
