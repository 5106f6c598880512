"""Where the tracker should see the tool, given everything that is unknown about the arm, and the derivatives of that.

    tracker_from_tool = tracker_from_base . arm(q) . flange_from_tool

with the joint values q that `readings` makes of the encoders.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from deeprs2v_ros.arm.calibration.pairs import Pairs
from deeprs2v_ros.arm.calibration.readings import Joints, during, encoders_to_joints
from deeprs2v_ros.arm.calibration.unknowns import Block, Unknowns
from deeprs2v_ros.arm.chain import Chain, Corrections
from deeprs2v_ros.arm.curves import harmonics
from deeprs2v_ros.arm.description import Arm
from deeprs2v_ros.arm.posing import place_all
from deeprs2v_ros.geometry import Array, rigid


@dataclass(frozen=True)
class State:
    """A guess: ``tracker_from_base`` and ``flange_from_tool`` (4, 4) mm, and the ``values`` (P,) of the unknowns.

    The first twelve values, base and tool, are always zero: steps of them go into the two transforms.
    """

    tracker_from_base: Array
    flange_from_tool: Array
    values: Array

    def stepped(self, step: Array) -> State:
        """The state after a ``step`` (P,) of all unknowns."""
        base, tool = self.tracker_from_base, self.flange_from_tool
        values = self.values + step
        values[:12] = 0.0
        return State(
            rigid(_turn(step[3:6]) @ base[:3, :3], base[:3, 3] + step[:3]),
            rigid(tool[:3, :3] @ _turn(step[9:12]), tool[:3, 3] + step[6:9]),
            values,
        )


@dataclass(frozen=True)
class Prediction:
    """``tracker_from_tool`` (N, 4, 4) and what it does with every unknown (N, 6, P) and every encoder (N, 6, E).

    A column is the velocity of the tool's origin and its turn, in the tracker's axes, mm and rad.
    """

    tracker_from_tool: Array
    by_unknown: Array
    by_encoder: Array

    def residuals(self, pairs: Pairs) -> Array:
        """Seen minus predicted (N, 6): position, then the rotation vector that is left, in the tracker's axes."""
        return differences(pairs.tracker_from_tool, self.tracker_from_tool)


class _Posed(NamedTuple):
    """All pairs (N) at one state, in the tracker's axes: what the derivatives are made of."""

    state: State
    joints: Joints
    chain: Chain
    frames: Array
    flange: Array
    tool: Array
    by_uncoupled: Array
    by_encoder: Array

    @property
    def tip(self) -> Array:
        """The tool's origins (N, 3)."""
        return self.tool[:, :3, 3]


class Model:
    """The arm ``arm`` at ``pairs``, with the ``unknowns``."""

    def __init__(self, arm: Arm, pairs: Pairs, unknowns: Unknowns) -> None:
        self.arm = arm
        self.pairs = pairs
        self.unknowns = unknowns
        self._flange = arm.chain.row_of(arm.flange)
        self._path = [list(arm.chain.joints).index(name) for name in arm.chain.path_to(arm.flange)]
        self._gain = arm.chain.gain[self._path][:, [arm.chain.joint_names.index(name) for name in pairs.names]]

    def predict(self, state: State) -> Prediction:
        """The pose of the tool at every pair, and its derivatives."""
        joints = self.joints(state)
        chain = self.chain(state.values)
        frames = state.tracker_from_base @ self._frames(chain, joints.values)
        flange = frames[:, self._flange]
        tool = flange @ state.flange_from_tool

        placed = frames[:, 1:][:, self._path]
        axes = np.einsum("njik,jk->nji", placed[:, :, :3, :3], chain.tree.axes[self._path])
        by_joint = np.einsum("njc,je->nce", _twists(axes, placed[:, :, :3, 3], tool[:, None, :3, 3]), self._gain)
        by_uncoupled = by_joint @ joints.coupled
        by_encoder = by_uncoupled * joints.slopes[:, None, :]
        posed = _Posed(state, joints, chain, frames, flange, tool, by_uncoupled, by_encoder)

        columns = np.zeros((len(self.pairs), 6, self.unknowns.count))
        by_kind = {
            "base": self._by_base,
            "tool": self._by_tool,
            "zero": self._by_zero,
            "slip": self._by_zero,
            "harmonic": self._by_harmonic,
            "origin": self._by_origin,
            "compliance": self._by_compliance,
        }
        for block in self.unknowns.blocks:
            columns[:, :, block.where] = by_kind[block.kind](block, posed)
        return Prediction(tool, columns, by_encoder)

    def joints(self, state: State) -> Joints:
        """What the encoders of all pairs say of the joints."""
        return encoders_to_joints(self.arm, self.pairs, self.unknowns, state.values)

    def chain(self, values: Array) -> Chain:
        """The arm's chain with the origins and compliances among ``values`` added to its own corrections."""
        own = self.arm.chain.corrections or Corrections(self.arm.flange)
        origins, compliance = dict(own.origins), dict(own.compliance)
        for kind, size, corrections in (("origin", 6, origins), ("compliance", 3, compliance)):
            for block in self.unknowns.of(kind):
                added = np.zeros(size)
                added[list(block.axes)] = values[block.where]
                corrections[block.joint] = corrections.get(block.joint, np.zeros(size)) + added
        return self.arm.chain.corrected(Corrections(self.arm.flange, origins, compliance))

    def _frames(self, chain: Chain, joints: Array) -> Array:
        """``base_from_link`` (N, L, 4, 4). Joints without an encoder between base and flange rest."""
        values = {name: np.full(len(joints), rest) for name, rest in self.arm.rest.items()}
        values.update(zip(self.pairs.names, joints.T, strict=True))
        stacked = np.stack([values[name] for name in chain.joint_names], axis=1)
        return place_all(chain.tree, stacked @ chain.gain.T + chain.offset)

    def _by_base(self, block: Block, posed: _Posed) -> Array:
        return _rigid_columns(np.eye(3), posed.state.tracker_from_base[:3, 3], posed.tip)

    def _by_tool(self, block: Block, posed: _Posed) -> Array:
        along, about = posed.flange[:, :3, :3], posed.tool[:, :3, :3]
        nothing = np.zeros_like(along)
        return np.block([[along, nothing], [nothing, about]])

    def _by_zero(self, block: Block, posed: _Posed) -> Array:
        column = posed.by_encoder[:, :, self.pairs.names.index(block.joint)]
        return (column * during(block, self.pairs)[:, None])[:, :, None]

    def _by_harmonic(self, block: Block, posed: _Posed) -> Array:
        e = self.pairs.names.index(block.joint)
        basis = harmonics(posed.joints.angles[:, e], len(block.deviations) // 2)
        return posed.by_uncoupled[:, :, e, None] * basis[:, None, :]

    def _by_origin(self, block: Block, posed: _Posed) -> Array:
        joint = posed.chain.joints[block.joint]
        nominal = (posed.frames[:, posed.chain.row_of(joint.parent)] @ joint.parent_from_joint)[:, :3, :3]
        x, y, z = posed.chain.corrections.origins[block.joint][3:]
        # to second order, a rotation vector's derivative is the axis turned half way
        turned = nominal @ (np.eye(3) + 0.5 * np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]]))
        origins = posed.frames[:, posed.chain.row_of(joint.child), :3, 3]
        moved = _rigid_columns(nominal, origins, posed.tip)[:, :, :3]
        turned = _rigid_columns(turned, origins, posed.tip)[:, :, 3:]
        return np.concatenate([moved, turned], axis=2)[:, :, list(block.axes)]

    def _by_compliance(self, block: Block, posed: _Posed) -> Array:
        child = posed.frames[:, posed.chain.row_of(posed.chain.joints[block.joint].child)]
        base_turn = posed.state.tracker_from_base[:3, :3]
        lever = (posed.flange[:, :3, 3] - child[:, :3, 3]) @ base_turn
        moments = np.stack([-lever[:, 1], lever[:, 0], np.zeros(len(lever))], axis=1) @ base_turn.T
        in_child = np.einsum("nji,nj->ni", child[:, :3, :3], moments)
        columns = _rigid_columns(child[:, :3, :3], child[:, :3, 3], posed.tip)[:, :, 3:] * in_child[:, None, :]
        return columns[:, :, list(block.axes)]


def differences(seen: Array, predicted: Array) -> Array:
    """Position of ``seen`` minus that of ``predicted``, and the rotation vector between them: (N, 4, 4) -> (N, 6)."""
    turned = seen[:, :3, :3] @ np.swapaxes(predicted[:, :3, :3], 1, 2)
    return np.hstack([seen[:, :3, 3] - predicted[:, :3, 3], Rotation.from_matrix(turned).as_rotvec()])


def _twists(axes: Array, origins: Array, tip: Array) -> Array:
    """Velocity of ``tip`` and turn (..., 6) of a unit turn about ``axes`` through ``origins``, each (..., 3)."""
    axes = np.broadcast_to(axes, np.broadcast_shapes(axes.shape, tip.shape))
    return np.concatenate([np.cross(axes, tip - origins), axes], axis=-1)


def _rigid_columns(axes: Array, origins: Array, tip: Array) -> Array:
    """What moves along and turns about the columns of ``axes`` (N, 3, 3) through ``origins`` (N, 3) do: (N, 6, 6)."""
    axes = np.broadcast_to(axes, (len(tip), 3, 3))
    swept = np.cross(axes, (tip - origins)[:, :, None], axis=1)
    return np.block([[axes, swept], [np.zeros_like(axes), axes]])


def _turn(vector: Array) -> Array:
    return Rotation.from_rotvec(vector).as_matrix()
