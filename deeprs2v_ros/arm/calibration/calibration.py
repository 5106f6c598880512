"""The three things that are done with pairs: calibrate an arm, judge a calibration, and find slipped zeros again.

A calibration is a document, the content of a YAML file: the arm's own with corrected numbers (`document`). Whatever is
said about its accuracy comes from an arm that was read back from such a document, as a cart reads it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deeprs2v_ros.arm.calibration.document import calibrated_document, rezeroed_document
from deeprs2v_ros.arm.calibration.fitting import SPREAD, Fit, Noise, descend, fit, fit_and_learn
from deeprs2v_ros.arm.calibration.mistakes import refuse_after, refuse_before
from deeprs2v_ros.arm.calibration.model import Model, Prediction, State
from deeprs2v_ros.arm.calibration.pairs import Pairs
from deeprs2v_ros.arm.calibration.unknowns import all_unknowns, base_unknowns, session_unknowns
from deeprs2v_ros.arm.description import Arm, arm_from
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import Array, seen_from

FEWEST_TO_CALIBRATE = 30
FEWEST_TO_REZERO = 6
DETERMINED = 0.5
"""Share of an unknown's expected variance that the pairs must remove for it to count as determined by them."""
UNSURE = np.radians(2.0)
"""Standard deviation above which a zero is not to be changed."""

Document = dict[str, Any]


@dataclass(frozen=True)
class Accuracy:
    """Seen minus predicted poses (N, 6) in the tracker's axes, mm and rad, and the covariances (N, 6, 6) claimed."""

    residuals: Array
    covariances: Array

    @property
    def position(self) -> Array:
        """Distance (N,) in mm."""
        return np.linalg.norm(self.residuals[:, :3], axis=1)

    @property
    def rotation(self) -> Array:
        """Angle (N,) in degrees."""
        return np.degrees(np.linalg.norm(self.residuals[:, 3:], axis=1))

    @property
    def distances(self) -> Array:
        """Squared errors (N,) in units of the claimed covariances; 6 on average where these are honest."""
        return np.einsum("ni,nij,nj->n", self.residuals, np.linalg.inv(self.covariances), self.residuals)

    def __str__(self) -> str:
        p = self.position
        return (
            f"position mean {p.mean():.2f} sd {p.std():.2f} p95 {np.percentile(p, 95):.2f} max {p.max():.2f} mm; "
            f"rotation mean {self.rotation.mean():.3f} deg; n {len(p)}"
        )


@dataclass(frozen=True)
class Calibrated:
    """A calibration's ``document``, the ``fit`` behind it, and its ``accuracy`` on the pairs it was made from."""

    document: Document
    fit: Fit
    accuracy: Accuracy


def calibrate(document: Document, path: Path, pairs: Pairs, progress: Callable[[], None] = lambda: None) -> Calibrated:
    """Calibrate the arm of ``document``, a file at ``path``, by ``pairs``.

    Raises InputError for too few pairs, pairs that move fewer than three joints or cannot be this arm's (`mistakes`),
    and an arm that is calibrated already: its curves would be fitted on top of themselves.
    """
    if "calibration" in document:
        raise InputError(f"{path}: is calibrated already; calibrate the arm's own file, or give this one to rezero")
    if len(pairs) < FEWEST_TO_CALIBRATE:
        raise InputError(f"{pairs.source}: {len(pairs)} pairs are too few, a calibration needs {FEWEST_TO_CALIBRATE}")
    arm = arm_from(document, path)
    unknowns = all_unknowns(arm, pairs)
    moving = len(pairs.names) - len(unknowns.locked)
    if moving < 3:
        small = np.abs(pairs.encoders).max() < np.radians(2.0 * np.pi)
        hint = ": are the encoders' angles in radians, not degrees?" if small else ""
        raise InputError(f"{pairs.source}: moves only {moving} joints, too few{hint}")
    refuse_before(arm, pairs)
    found = fit_and_learn(Model(arm, pairs, unknowns), progress)
    calibrated = calibrated_document(document, found, DETERMINED)
    refuse_after(arm, pairs, found.model.predict(found.state).residuals(pairs))
    return Calibrated(calibrated, found, accuracy(arm_from(calibrated, path), pairs))


def cross_validate(
    document: Document, path: Path, pairs: Pairs, folds: int, progress: Callable[[], None] = lambda: None
) -> Accuracy:
    """The accuracy on pairs that the calibration has not seen: ``folds`` contiguous blocks, each left out once.

    Contiguous, because neighbouring pairs are alike. Raises InputError as `calibrate`.
    """
    if not 2 <= folds <= len(pairs):
        raise InputError(f"--cross-validate: {folds} blocks of {len(pairs)} pairs cannot be")
    parts = []
    for block in np.array_split(np.arange(len(pairs)), folds):
        others = np.setdiff1d(np.arange(len(pairs)), block)
        calibrated = calibrate(document, path, pairs[others], progress)
        parts.append(accuracy(arm_from(calibrated.document, path), pairs[block]))
    return Accuracy(
        np.concatenate([part.residuals for part in parts]), np.concatenate([part.covariances for part in parts])
    )


def accuracy(arm: Arm, pairs: Pairs) -> Accuracy:
    """How far ``pairs`` are from where a calibrated ``arm`` puts them. Raises InputError for one never calibrated."""
    model, state, noise = _as_calibrated(arm, pairs)
    prediction = model.predict(state)
    covariances = SPREAD**2 * noise.covariances(prediction.by_encoder) + _of_calibration(arm, state, prediction)
    return Accuracy(prediction.residuals(pairs), covariances)


def refit_base(document: Document, path: Path, pairs: Pairs) -> Document:
    """The document with the base where ``pairs`` put it, for a cart or a tracker that was moved; all else stays."""
    arm = arm_from(document, path)
    model, state, noise = _as_calibrated(arm, pairs)
    turns = pairs.tracker_from_tool @ np.linalg.inv(model.predict(state).tracker_from_tool)
    moved = State(turns[len(turns) // 2] @ state.tracker_from_base, state.flange_from_tool, state.values)
    found = descend(model, moved, model.unknowns.deviations, noise, 30)
    return rezeroed_document(document, found)


def rezero(document: Document, path: Path, pairs: Pairs) -> tuple[Document, Fit, list[str]]:
    """The document with zeros, base and tool as ``pairs`` of a new session show them; the rest stays.

    The tool is the tracker's marker on the arm, mounted anew like the base. A joint that the pairs do not move keeps
    its zero, and so does one whose zero they do not tell from the mounting of the marker or the place of the base: the
    names of these come last. Raises InputError for too few pairs, or an arm that was never calibrated.
    """
    if len(pairs) < FEWEST_TO_REZERO:
        raise InputError(f"{pairs.source}: {len(pairs)} pairs are too few, new zeros need {FEWEST_TO_REZERO}")
    arm = arm_from(document, path)
    noise = _noise(arm, pairs)
    found = fit(Model(arm, pairs, session_unknowns(pairs)), noise)
    zeros = found.model.unknowns.of("zero")
    unsure = [each.joint for each in zeros if found.covariance[each.where, each.where][0, 0] > UNSURE**2]
    if unsure:
        found = fit(Model(arm, pairs, session_unknowns(pairs, unsure)), noise)
    return rezeroed_document(document, found), found, unsure


def _as_calibrated(arm: Arm, pairs: Pairs) -> tuple[Model, State, Noise]:
    """The model of a calibrated arm, with nothing unknown but the base, and its state."""
    noise = _noise(arm, pairs)
    model = Model(arm, pairs, base_unknowns(pairs))
    state = State(arm.calibration.tracker_from_base, arm.calibration.flange_from_tool, np.zeros(model.unknowns.count))
    return model, state, noise


def _noise(arm: Arm, pairs: Pairs) -> Noise:
    if arm.calibration is None:
        raise InputError(f"arm {arm.name}: was never calibrated")
    deviations = np.array([arm.encoders.encoders[name].deviation for name in pairs.names])
    tracker = arm.calibration.tracker_position / SPREAD, arm.calibration.tracker_rotation / SPREAD
    return Noise(deviations / SPREAD, *tracker)


def _of_calibration(arm: Arm, state: State, prediction: Prediction) -> Array:
    """The calibration's own covariance, carried from the flange to the tool: (N, 6, 6) in the tracker's axes."""
    seen = prediction.tracker_from_tool
    turned = np.zeros((len(seen), 6, 6))
    turned[:, :3, :3] = turned[:, 3:, 3:] = seen[:, :3, :3] @ state.flange_from_tool[:3, :3].T
    moved = turned @ seen_from(state.flange_from_tool[:3, 3])
    return moved @ arm.calibration.covariance @ np.swapaxes(moved, 1, 2)
