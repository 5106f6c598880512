"""The most probable arm, given the pairs, and how sure that is.

Every unknown is Gaussian around zero (`unknowns`). A pair is off for three reasons: its encoders (their quantum,
their play, the give of their couplings), and what the tracker adds in position and in rotation. An encoder's error
moves the tool by the column ``j_e`` of the Jacobian, so the covariance of a pair is
``S = sum_e s_e^2 j_e j_e^T + tracker``, which weighs position against rotation pose by pose. Gross pairs lose their
weight by Student's t distribution: ``w = (nu + 6) / (nu + r^T S^-1 r)``.

Gauss-Newton steps find the maximum; between them the deviations of encoders, tracker and groups of unknowns are
re-estimated by expectation maximisation (the evidence framework: MacKay, Neural Computation 4, 1992). So how rough an
encoder's curve may be, or how far an axis may lean, is learnt from the pairs at hand.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from deeprs2v_ros.arm.calibration.model import Model, Prediction, State
from deeprs2v_ros.arm.calibration.start import starting_states
from deeprs2v_ros.arm.calibration.unknowns import session_unknowns
from deeprs2v_ros.geometry import Array

FREEDOM = 5.0
"""nu of Student's t."""
SPREAD = np.sqrt(FREEDOM / (FREEDOM - 2.0))
"""Standard deviation of Student's t in units of its scale, which is what `Noise` holds."""
GROSS = 50.0
"""Squared distance of a pair, in deviations, from which it is called gross."""
UNCORRECTED = np.radians(0.3)
"""Deviation of an encoder's errors before anything is known about them."""
ROUNDS = 30
SETTLED = 0.02
"""Change of the logarithms of all deviations in one round at which they have settled."""
_SMALLEST_ENCODER = np.radians(0.005)
_SMALLEST_TRACKER = np.array([0.01, np.radians(0.002)])


@dataclass(frozen=True)
class Noise:
    """Scales of the errors of the encoders (E,) in rad, and of the tracker: ``position`` in mm, ``rotation`` in rad."""

    encoders: Array
    position: float
    rotation: float

    def covariances(self, by_encoder: Array) -> Array:
        """Of the residuals of all pairs: (N, 6, E) -> (N, 6, 6)."""
        tracker = np.diag([self.position**2] * 3 + [self.rotation**2] * 3)
        return np.einsum("nie,e,nje->nij", by_encoder, self.encoders**2, by_encoder) + tracker


@dataclass(frozen=True)
class Fit:
    """The best ``state`` of ``model``, the deviations (P,) expected of the unknowns, the noise, and what is left.

    ``covariance`` (P, P) of all unknowns; ``distances`` (N,) of the pairs, squared and in deviations.
    """

    model: Model
    state: State
    deviations: Array
    noise: Noise
    covariance: Array
    distances: Array
    value: float

    @property
    def gross(self) -> NDArray[np.bool_]:
        """Which pairs (N,) are too far off to belong to this arm."""
        return self.distances > GROSS

    @property
    def known(self) -> Array:
        """How much the pairs say about every unknown (P,): 1 all, 0 nothing, it stays where it was expected."""
        return 1.0 - np.diag(self.covariance) / self.deviations**2


def fit(model: Model, noise: Noise) -> Fit:
    """Fit the unknowns of ``model`` from nowhere, at the deviations expected of them and the given ``noise``."""
    states = [descend(model, state, model.unknowns.deviations, noise, 15) for state in starting_states(model)]
    best = min(states, key=lambda found: found.value)
    return descend(model, best.state, best.deviations, noise, 30)


def fit_and_learn(model: Model, progress: Callable[[], None] = lambda: None) -> Fit:
    """Fit the unknowns of ``model`` from nowhere, and all deviations with them. ``progress`` is called each round."""
    noise = Noise(np.full(len(model.pairs.names), UNCORRECTED), 0.5, np.radians(0.1))
    rough = fit(Model(model.arm, model.pairs, session_unknowns(model.pairs)), noise).state
    start = State(rough.tracker_from_base, rough.flange_from_tool, np.zeros(model.unknowns.count))
    best = descend(model, start, model.unknowns.deviations, noise, 15)
    for _ in range(ROUNDS):
        deviations, noise = _learnt(best)
        before = np.log([*_finite(best.deviations), *best.noise.encoders])
        best = descend(model, best.state, deviations, noise, 1)
        progress()
        if np.abs(np.log([*_finite(deviations), *noise.encoders]) - before).max() < SETTLED:
            break
    return descend(model, best.state, best.deviations, best.noise, 10)


def descend(model: Model, state: State, deviations: Array, noise: Noise, steps: int) -> Fit:
    """Levenberg's steps at fixed deviations; ``value`` of the result is twice the negative logarithm of probability.

    While it descends, the pairs' covariances are those at the beginning: a step is not judged by what it does to them.
    """
    precisions = _precisions(model, state, noise)
    current = _evaluated(model, state, deviations, noise, precisions)
    damping = 1e-6
    for _ in range(steps):
        normal, right, found = current
        scale = np.diag(np.diag(normal))
        stepped = state.stepped(np.linalg.solve(normal + damping * scale, right))
        tried = _evaluated(model, stepped, deviations, noise, precisions)
        gain = found.value - tried[2].value
        if gain > 0.0:
            state, current, damping = stepped, tried, damping / 10.0
        else:
            damping = max(damping, 1e-7) * 30.0
        if abs(gain) < 1e-5 or damping > 1e6:
            break
    normal, _, found = _evaluated(model, state, deviations, noise, _precisions(model, state, noise))
    return replace(found, covariance=cho_solve(cho_factor(normal), np.eye(len(normal))))


def _evaluated(
    model: Model, state: State, deviations: Array, noise: Noise, precisions: Array
) -> tuple[Array, Array, Fit]:
    """Normal matrix (P, P), right-hand side (P,), and the fit without a covariance."""
    prediction = model.predict(state)
    residuals = prediction.residuals(model.pairs)
    distances = np.einsum("ni,nij,nj->n", residuals, precisions, residuals)
    weights = precisions * _robust(distances)[:, None, None]
    expected = 1.0 / deviations**2
    n, p = len(residuals), model.unknowns.count
    jacobian = prediction.by_unknown.reshape(6 * n, p)
    weighted = (weights @ prediction.by_unknown).reshape(6 * n, p)
    normal = jacobian.T @ weighted + np.diag(expected)
    right = weighted.T @ residuals.ravel() - expected * state.values
    value = (
        ((FREEDOM + 6.0) * np.log1p(distances / FREEDOM)).sum()
        - np.linalg.slogdet(precisions)[1].sum()
        + (expected * state.values**2).sum()
    )
    return normal, right, Fit(model, state, deviations, noise, np.empty(0), distances, float(value))


def _precisions(model: Model, state: State, noise: Noise) -> Array:
    """Inverse covariances (N, 6, 6) of the residuals of all pairs."""
    return np.linalg.inv(noise.covariances(model.predict(state).by_encoder))


def _robust(distances: Array) -> Array:
    """The weights (N,) of pairs at squared ``distances`` (N,), by Student's t."""
    return (FREEDOM + 6.0) / (FREEDOM + distances)


def _learnt(found: Fit) -> tuple[Array, Noise]:
    """One round of expectation maximisation: new deviations of the unknowns (P,), and new noise."""
    deviations = found.deviations.copy()
    first = found.model.unknowns.deviations
    groups = found.model.unknowns.groups
    spread = (found.state.values**2 + np.diag(found.covariance)) / first**2
    for group in np.unique(groups[groups != ""]):
        deviations[groups == group] = first[groups == group] * np.sqrt(spread[groups == group].mean())
    return deviations, _learnt_noise(found, found.model.predict(found.state))


def _learnt_noise(found: Fit, prediction: Prediction) -> Noise:
    """Encoder and tracker errors are hidden variables of each pair: their second moments, given the residuals."""
    noise = found.noise
    residuals = prediction.residuals(found.model.pairs)
    precisions = np.linalg.inv(noise.covariances(prediction.by_encoder))
    robust = _robust(found.distances)
    spread = np.einsum("nip,pq,njq->nij", prediction.by_unknown, found.covariance, prediction.by_unknown, optimize=True)
    spread += robust[:, None, None] * residuals[:, :, None] * residuals[:, None, :]
    surplus = precisions @ spread @ precisions - precisions
    by_encoder = np.einsum("nie,nij,nje->ne", prediction.by_encoder, surplus, prediction.by_encoder).mean(axis=0)
    encoders = noise.encoders**2 + noise.encoders**4 * by_encoder
    diagonal = np.einsum("nii->ni", surplus)
    position = noise.position**2 + noise.position**4 * diagonal[:, :3].mean()
    rotation = noise.rotation**2 + noise.rotation**4 * diagonal[:, 3:].mean()
    return Noise(
        np.sqrt(np.maximum(encoders, _SMALLEST_ENCODER**2)),
        *np.sqrt(np.maximum([position, rotation], _SMALLEST_TRACKER**2)).tolist(),
    )


def _finite(deviations: Array) -> Array:
    return deviations[np.isfinite(deviations)]
