"""Where to begin: the places of tracker and tool when nothing is known about either.

For a given orientation of the base the rest is almost linear: the tool's orientation is a mean of rotations, and both
positions follow by least squares. So only the three numbers of that orientation are searched, by descent from many
random ones. Poses of a single joint, which leave the orientations of base and tool ambiguous, are no obstacle.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from deeprs2v_ros.arm.calibration.model import Model, State, differences
from deeprs2v_ros.geometry import Array, inverse, rigid

STARTS = 16
MOST = 25
"""Pairs that are looked at."""
EXPECTED = np.array([10.0] * 3 + [np.radians(3.0)] * 3)
"""Errors of an uncalibrated arm, mm and rad."""
DIFFERENT = np.radians(6.0)
KEPT = 4
SEED = 0


def starting_states(model: Model) -> list[State]:
    """The best distinct guesses, best first, with all other unknowns at zero."""
    pairs = model.pairs[np.unique(np.linspace(0, len(model.pairs) - 1, MOST).astype(int))]
    unmoved = State(np.eye(4), np.eye(4), np.zeros(model.unknowns.count))
    base_from_flange = Model(model.arm, pairs, model.unknowns).predict(unmoved).tracker_from_tool
    seen = pairs.tracker_from_tool

    def residuals(turn: Array, start: Rotation) -> Array:
        base, tool = _given((Rotation.from_rotvec(turn) * start).as_matrix(), base_from_flange, seen)
        return np.arcsinh(differences(seen, base @ base_from_flange @ tool) / EXPECTED).ravel()

    found: list[tuple[float, Array, Array]] = []
    for start in Rotation.random(STARTS, random_state=SEED):
        descent = least_squares(residuals, np.zeros(3), args=(start,), max_nfev=40)
        turn = (Rotation.from_rotvec(descent.x) * start).as_matrix()
        found.append((descent.cost, *_given(turn, base_from_flange, seen)))
    found.sort(key=lambda each: each[0])
    kept: list[State] = []
    for _, base, tool in found:
        turns = [inverse(state.tracker_from_base) @ base for state in kept]
        if all(Rotation.from_matrix(turn[:3, :3]).magnitude() > DIFFERENT for turn in turns):
            kept.append(State(base, tool, unmoved.values))
    return kept[:KEPT]


def _given(base_turn: Array, base_from_flange: Array, seen: Array) -> tuple[Array, Array]:
    """``tracker_from_base`` and ``flange_from_tool`` that fit best with the base turned by ``base_turn`` (3, 3)."""
    turned = base_turn @ base_from_flange[:, :3, :3]
    tool_turn = Rotation.from_matrix(np.swapaxes(turned, 1, 2) @ seen[:, :3, :3]).mean().as_matrix()
    left = seen[:, :3, 3] - base_from_flange[:, :3, 3] @ base_turn.T
    # left = base + turned tool, with a slight pull of the tool to the flange for poses that all look the same way
    normal = np.zeros((6, 6))
    normal[:3, :3] = len(seen) * np.eye(3)
    normal[:3, 3:] = turned.sum(axis=0)
    normal[3:, :3] = normal[:3, 3:].T
    normal[3:, 3:] = (1.0 + 1e-3) * len(seen) * np.eye(3)
    right = np.concatenate([left.sum(axis=0), np.einsum("nij,ni->j", turned, left)])
    solution = np.linalg.solve(normal, right)
    return rigid(base_turn, solution[:3]), rigid(tool_turn, solution[3:])
