"""The model behind the calibration: its derivatives, its agreement with the true arm, and where the search begins."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from synthetic_arm import JOINTS, coupled, drawn_arm, faulty_arm, placed, postures, write_pairs

from deeprs2v_ros.arm.calibration.model import Model, State, differences
from deeprs2v_ros.arm.calibration.pairs import read_pairs
from deeprs2v_ros.arm.calibration.start import starting_states
from deeprs2v_ros.arm.calibration.unknowns import all_unknowns, session_unknowns
from deeprs2v_ros.arm.description import read_arm

NOMINAL = Path(__file__).resolve().parents[1] / "config" / "arm" / "liver.yaml"


@pytest.fixture(scope="module")
def arm():
    return read_arm(NOMINAL)


@pytest.fixture
def pairs_of(arm, tmp_path):
    """Gives the pairs of a true arm at some angles of its discs, without any rounding."""

    def give(true, discs):
        return read_pairs(write_pairs(tmp_path / "pairs.csv", discs - true.zeros, true.poses(discs)), arm)

    return give


def state_of(true, unknowns):
    """The state in which the model is the arm ``true``."""
    values = np.zeros(unknowns.count)
    for block in unknowns.blocks:
        if block.kind == "zero":
            values[block.where] = np.radians(true.zeros[JOINTS.index(block.joint)])
        elif block.kind == "harmonic":
            for k, cosine, sine in true.curves.get(block.joint, []):
                values[block.where][2 * k - 2 : 2 * k] = np.radians([cosine, sine])
        elif block.kind == "origin":
            shift, lean = true.shifts.get(block.joint, np.zeros(3)), true.leans.get(block.joint, np.zeros(3))
            values[block.where] = np.array([*shift, *np.radians(lean)])[list(block.axes)]
        elif block.kind == "compliance":
            values[block.where] = np.radians(true.sag[block.joint])[list(block.axes)] / 1000.0
    return State(true.tracker_from_base, true.flange_from_tool, values)


def expressible(true):
    """The same arm without what has no unknown: leans about a joint's own axis, zeros of locked and end joints."""
    leans = {"j2": [1, 0, 1], "j3": [1, 1, 0], "j3m": [1, 1, 0], "j4": [1, 0, 1], "j5": [0, 1, 1], "j6": [1, 1, 0]}
    leans = {name: true.leans[name] * mask for name, mask in (leans | {"j7": [1, 0, 1]}).items()}
    zeros = np.where(np.isin(JOINTS, ["j1", "j4", "j7"]), 0.0, true.zeros)
    return replace(true, leans=leans, zeros=zeros)


def test_the_model_is_the_true_arm_when_its_unknowns_are(arm, pairs_of):
    true = expressible(faulty_arm(np.random.default_rng(0)))
    pairs = pairs_of(true, postures(np.random.default_rng(1), 30))
    unknowns = all_unknowns(arm, pairs)
    residuals = Model(arm, pairs, unknowns).predict(state_of(true, unknowns)).residuals(pairs)
    np.testing.assert_allclose(residuals[:, :3], 0.0, atol=2e-3)  # the coupling is a series in the description
    np.testing.assert_allclose(residuals[:, 3:], 0.0, atol=1e-5)


STIFF = {"j1": np.zeros(3), "j2": np.zeros(3)}
SOFT = {"j1": np.array([0.8, 0.0, 0.5]), "j2": np.array([0.4, 0.0, 0.3])}


def check(column, ahead, behind, step, share, parts):
    """A derivative (N, 6) against differences, to a ``share`` of the largest one, of positions and of turns apart."""
    expected = differences(ahead, behind) / (2.0 * step)
    for part in parts:
        largest = max(np.abs(expected[:, part]).max(), 1e-6)
        np.testing.assert_allclose(column[:, part] / largest, expected[:, part] / largest, atol=share)


@pytest.mark.parametrize(
    ("sag", "share", "parts"),
    [(STIFF, 1e-4, (slice(0, 3), slice(3, 6))), (SOFT, 0.03, (slice(0, 3),))],
    ids=["stiff", "soft"],
)
def test_the_derivatives_agree_with_differences(arm, pairs_of, sag, share, parts):
    """How the sag itself changes with an unknown is left out of them: a hundredth of what the unknown does."""
    true = replace(expressible(faulty_arm(np.random.default_rng(2))), sag=sag)
    pairs = pairs_of(true, postures(np.random.default_rng(3), 8))
    unknowns = all_unknowns(arm, pairs)
    model, state = Model(arm, pairs, unknowns), state_of(true, unknowns)
    prediction = model.predict(state)
    of_many = {n for block in unknowns.of("harmonic") for n in range(block.where.start + 4, block.where.stop - 2)}
    for n in sorted(set(range(unknowns.count)) - of_many):
        size = 1e-5 if np.abs(prediction.by_unknown[:, :3, n]).max() > 2.0 else 1e-3
        step = size * np.eye(unknowns.count)[n]
        ahead, behind = (model.predict(state.stepped(sign * step)).tracker_from_tool for sign in (1.0, -1.0))
        check(prediction.by_unknown[:, :, n], ahead, behind, size, share, parts)
    for e in range(len(pairs.names)):
        step = 1e-5 * np.eye(len(pairs.names))[e]
        ahead, behind = (
            Model(arm, replace(pairs, encoders=pairs.encoders + sign * step), unknowns).predict(state).tracker_from_tool
            for sign in (1.0, -1.0)
        )
        check(prediction.by_encoder[:, :, e], ahead, behind, 1e-5, share, parts)


@pytest.mark.parametrize("joint", ["j1", "j3", "j7"])
def test_base_and_tool_are_found_where_a_single_joint_moves(arm, pairs_of, joint):
    """Whatever they are, and they are not unique here: they explain the poses."""
    true = drawn_arm(np.random.default_rng(4))
    everywhere = postures(np.random.default_rng(5), 30)
    discs = np.tile(everywhere[0], (30, 1))
    discs[:, JOINTS.index(joint)] = everywhere[:, JOINTS.index(joint)]
    pairs = pairs_of(true, discs)
    model = Model(arm, pairs, session_unknowns(pairs))
    residuals = model.predict(starting_states(model)[0]).residuals(pairs)
    assert np.abs(residuals[:, :3]).max() < 1.0
    assert np.abs(residuals[:, 3:]).max() < np.radians(0.1)


def test_base_and_tool_are_found_where_all_joints_move(arm, pairs_of):
    base, tool = placed(np.random.default_rng(6))
    true = replace(drawn_arm(np.random.default_rng(4)), tracker_from_base=base, flange_from_tool=tool)
    pairs = pairs_of(true, postures(np.random.default_rng(7), 30))
    model = Model(arm, pairs, session_unknowns(pairs))
    found = starting_states(model)[0]
    # the tool is pulled to the flange a little
    np.testing.assert_allclose(found.tracker_from_base, base, atol=0.5)
    np.testing.assert_allclose(found.flange_from_tool, tool, atol=0.5)


def test_joint_five_goes_through_its_coupling(arm, pairs_of):
    discs = postures(np.random.default_rng(8), 20)
    pairs = pairs_of(drawn_arm(np.random.default_rng(4)), discs)
    unknowns = session_unknowns(pairs)
    found = Model(arm, pairs, unknowns).joints(State(np.eye(4), np.eye(4), np.zeros(unknowns.count))).values[:, 4]
    np.testing.assert_allclose(np.degrees(found), coupled(discs[:, 4], discs[:, 5]), atol=1e-4)
