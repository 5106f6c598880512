"""The figures of a calibration's report."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from deeprs2v_ros.arm.calibration.calibration import Accuracy
from deeprs2v_ros.arm.calibration.fitting import Fit
from deeprs2v_ros.arm.curves import harmonics, table_error
from deeprs2v_ros.geometry import Array
from deeprs2v_ros.pages import png

_COLUMNS = 3


def joint_figure(found: Fit) -> bytes:
    """PNG: for every joint, its error curve over the angles seen, with its deviation, and what each pair leaves of it.

    A point is the most probable error of the encoder in one pair, drawn on top of the curve: a pattern among the points
    is what the calibration has missed.
    """
    prediction = found.model.predict(found.state)
    residuals = prediction.residuals(found.model.pairs)
    precisions = np.linalg.inv(found.noise.covariances(prediction.by_encoder))
    share = np.einsum("e,nie,nij,nj->ne", found.noise.encoders**2, prediction.by_encoder, precisions, residuals)
    joints = found.model.joints(found.state)
    names = found.model.pairs.names
    figure = Figure(figsize=(4.2 * _COLUMNS, 2.9 * -(-len(names) // _COLUMNS)), layout="constrained")
    grid = figure.subplots(-(-len(names) // _COLUMNS), _COLUMNS, squeeze=False).ravel()
    for axes, e, name in zip(grid, range(len(names)), names, strict=False):
        angles = joints.angles[:, e]
        along = np.linspace(angles.min(), angles.max(), 300)
        curve, deviation = _curve(found, name, along)
        here = _curve(found, name, angles)[0]
        axes.fill_between(
            *np.degrees([along, curve - deviation, curve + deviation]), color="C0", alpha=0.25, linewidth=0
        )
        axes.plot(*np.degrees([along, curve]), color="C0")
        axes.scatter(*np.degrees([angles, here + share[:, e]]), s=5, color="0.35", zorder=3)
        scale = np.degrees(found.noise.encoders[e])
        locked = ", locked" if name in found.model.unknowns.locked else ""
        axes.set_title(f"{name}{locked}   left: {scale:.3f} deg", fontsize=10)
        axes.set_xlabel("encoder (deg)", fontsize=8)
        axes.set_ylabel("joint - encoder (deg)", fontsize=8)
        axes.tick_params(labelsize=8)
    for axes in grid[len(names) :]:
        axes.set_axis_off()
    return png(figure, dpi=110)


def error_figure(found: Fit, fitted: Accuracy, judged: Accuracy) -> bytes:
    """PNG: distributions of the errors, and the errors in the order in which the pairs were taken."""
    figure = Figure(figsize=(12.6, 6.4), layout="constrained")
    (position, rotation), (over_position, over_rotation) = figure.subplots(2, 2)
    quantities = (
        (position, over_position, "position error (mm)", lambda a: a.position),
        (rotation, over_rotation, "rotation error (deg)", lambda a: a.rotation),
    )
    shown = [(fitted, "pairs it was made from", "0.6" if judged is not fitted else "C0")]
    if judged is not fitted:
        shown.append((judged, "judged", "C0"))
    for left, over, label, of in quantities:
        for each, name, colour in shown:
            errors = np.sort(of(each))
            left.step(errors, np.arange(1, len(errors) + 1) / len(errors), where="post", color=colour, label=name)
        left.set_xlabel(label)
        left.set_ylabel("share of pairs")
        left.set_xlim(left=0.0)
        left.legend(fontsize=8, loc="lower right")
        gross = found.gross
        over.plot(found.model.pairs.lines, of(judged), ".", markersize=4, color="C0")
        over.plot(found.model.pairs.lines[gross], of(judged)[gross], "o", mfc="none", color="C3", label="gross")
        over.set_xlabel("pair, in the order taken")
        over.set_ylabel(label)
        if gross.any():
            over.legend(fontsize=8)
    return png(figure, dpi=110)


def _curve(found: Fit, name: str, angles: Array) -> tuple[Array, Array]:
    """Error of a joint's encoder at ``angles``, and its standard deviation, rad."""
    encoder = found.model.arm.encoders.encoders[name]
    error = table_error(encoder.table, angles)
    for block in found.model.unknowns.of("harmonic"):
        if block.joint == name:
            basis = harmonics(angles, len(block.deviations) // 2)
            covariance = found.covariance[block.where, block.where]
            variance = np.einsum("na,ab,nb->n", basis, covariance, basis)
            return error + basis @ found.state.values[block.where], np.sqrt(variance)
    return error, np.zeros_like(angles)
