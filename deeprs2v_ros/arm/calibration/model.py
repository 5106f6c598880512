"""Where the tracker should see the tool, given everything that is unknown about the arm, and the derivatives of that.

    tracker_from_tool = tracker_from_base . arm(q) . flange_from_tool

with joint values q from the encoders' angles a: ``t = a + zero + slip``, ``v = t + table(t) + curve(t)``, and ``q = v``
or, for a coupled joint, ``q = coupling(v, other q)``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from deeprs2v_ros.arm.calibration.pairs import Pairs
from deeprs2v_ros.arm.calibration.unknowns import RUN, Block, Unknowns
from deeprs2v_ros.arm.chain import Chain, Corrections
from deeprs2v_ros.arm.curves import harmonics, table_error
from deeprs2v_ros.arm.description import Arm
from deeprs2v_ros.arm.posing import place_all
from deeprs2v_ros.geometry import Array, inverse, rigid

_SLOPE_STEP = np.radians(1.0)  # tables are rough: their slope is that of a chord


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


@dataclass(frozen=True)
class Joints:
    """Of every pair (N, E): ``angles`` t in the tables' argument, ``uncoupled`` v, ``values`` q, ``slopes`` dv/dt."""

    angles: Array
    uncoupled: Array
    values: Array
    slopes: Array


class Model:
    """The arm ``arm`` at ``pairs``, with the ``unknowns``."""

    def __init__(self, arm: Arm, pairs: Pairs, unknowns: Unknowns) -> None:
        self.arm = arm
        self.pairs = pairs
        self.unknowns = unknowns
        self._encoders = [arm.encoders.encoders[name] for name in pairs.names]
        self._flange = arm.chain.row_of(arm.flange)
        self._path = [list(arm.chain.joints).index(name) for name in arm.chain.path_to(arm.flange)]
        self._gain = arm.chain.gain[self._path][:, [arm.chain.joint_names.index(name) for name in pairs.names]]

    def predict(self, state: State) -> Prediction:
        """The pose of the tool at every pair, and its derivatives."""
        joints = self.joints(state.values)
        chain = self.chain(state.values)
        frames = state.tracker_from_base @ self._frames(chain, joints.values)
        flange = frames[:, self._flange]
        tool = flange @ state.flange_from_tool
        tip = tool[:, :3, 3]

        placed = frames[:, 1:][:, self._path]
        axes = np.einsum("njik,jk->nji", placed[:, :, :3, :3], chain.tree.axes[self._path])
        by_joint = np.einsum("njc,je->nce", _twists(axes, placed[:, :, :3, 3], tip[:, None]), self._gain)
        by_uncoupled = by_joint @ self._coupled(joints)
        by_encoder = by_uncoupled * joints.slopes[:, None, :]

        columns = np.zeros((len(self.pairs), 6, self.unknowns.count))
        for block in self.unknowns.blocks:
            if block.kind == "base":
                columns[:, :3, block.where.start : block.where.start + 3] = np.eye(3)
                columns[:, :, block.where.start + 3 : block.where.stop] = _columns(
                    np.broadcast_to(np.eye(3), (len(tip), 3, 3)), state.tracker_from_base[:3, 3], tip
                )
            elif block.kind == "tool":
                columns[:, :3, block.where.start : block.where.start + 3] = flange[:, :3, :3]
                columns[:, 3:, block.where.start + 3 : block.where.stop] = tool[:, :3, :3]
            elif block.kind in ("zero", "slip", "harmonic"):
                e = self.pairs.names.index(block.joint)
                if block.kind == "harmonic":
                    basis = harmonics(joints.angles[:, e], len(block.deviations) // 2)
                    columns[:, :, block.where] = by_uncoupled[:, :, e, None] * basis[:, None, :]
                else:
                    during = self._during(block)
                    columns[:, :, block.where] = (by_encoder[:, :, e] * during[:, None])[:, :, None]
            else:
                columns[:, :, block.where] = self._bent(block, state, chain, frames, tip)
        return Prediction(tool, columns, by_encoder)

    def joints(self, values: Array) -> Joints:
        """From the encoders to the joints, with the unknowns' ``values`` (P,)."""
        angles = self.pairs.encoders * [e.sign for e in self._encoders] + [e.zero for e in self._encoders]
        for block in (*self.unknowns.of("zero"), *self.unknowns.of("slip")):
            angles[:, self.pairs.names.index(block.joint)] += values[block.where] * self._during(block)
        curves = {block.joint: values[block.where] for block in self.unknowns.of("harmonic")}
        uncoupled, slopes = np.empty_like(angles), np.empty_like(angles)
        for e, (name, encoder) in enumerate(zip(self.pairs.names, self._encoders, strict=True)):
            angles[:, e] = _wrapped(angles[:, e], encoder.wrap)
            t = angles[:, e] + np.array([[0.0], [_SLOPE_STEP], [-_SLOPE_STEP]])
            errors = table_error(encoder.table, t)
            if name in curves:
                errors += harmonics(t, len(curves[name]) // 2) @ curves[name]
            uncoupled[:, e] = angles[:, e] + errors[0]
            slopes[:, e] = 1.0 + (errors[1] - errors[2]) / (2.0 * _SLOPE_STEP)
        coupled = uncoupled.copy()
        for e, encoder in enumerate(self._encoders):
            if encoder.coupling is not None:
                other = uncoupled[:, self.pairs.names.index(encoder.coupling.joint)]
                coupled[:, e] = encoder.coupling.joint_from(uncoupled[:, e], other)
        return Joints(angles, uncoupled, coupled, slopes)

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

    def _during(self, block: Block) -> Array:
        """1 for the pairs (N,) that the zero or slip applies to, otherwise 0."""
        if block.kind == "zero":
            return np.ones(len(self.pairs))
        return (self.pairs.lines // RUN == block.run).astype(float)

    def _coupled(self, joints: Joints) -> Array:
        """dq/dv (N, E, E)."""
        result = np.tile(np.eye(len(self._encoders)), (len(self.pairs), 1, 1))
        for e, encoder in enumerate(self._encoders):
            if encoder.coupling is not None:
                other = self.pairs.names.index(encoder.coupling.joint)
                slopes = encoder.coupling.slopes(joints.uncoupled[:, e], joints.uncoupled[:, other])
                result[:, e, e], result[:, e, other] = slopes
        return result

    def _bent(self, block: Block, state: State, chain: Chain, frames: Array, tip: Array) -> Array:
        """Columns (N, 6, axes) of a joint's origin or compliance."""
        joint = chain.joints[block.joint]
        child = frames[:, chain.row_of(joint.child)]
        if block.kind == "compliance":
            base = state.tracker_from_base
            lever = inverse(base)[:3, :3] @ (frames[:, self._flange, :3, 3] - child[:, :3, 3])[..., None]
            moments = np.stack([-lever[:, 1, 0], lever[:, 0, 0], np.zeros(len(tip))], axis=1)
            in_child = np.einsum("nji,jk,nk->ni", child[:, :3, :3], base[:3, :3], moments)
            chosen = list(block.axes)
            return _columns(child[:, :3, chosen], child[:, :3, 3], tip) * in_child[:, None, chosen]
        nominal = frames[:, chain.row_of(joint.parent)] @ joint.parent_from_joint
        turn = chain.corrections.origins[block.joint][3:]
        columns = []
        for axis in block.axes:
            if axis < 3:
                columns.append(np.concatenate([nominal[:, :3, axis], np.zeros((len(tip), 3))], axis=1))
            else:  # to second order, a rotation vector's derivative is the axis turned half way
                unit = np.eye(3)[axis - 3]
                turned = nominal[:, :3, :3] @ (unit + 0.5 * np.cross(turn, unit))
                columns.append(_twists(turned, child[:, :3, 3], tip))
        return np.stack(columns, axis=2)


def differences(seen: Array, predicted: Array) -> Array:
    """Position of ``seen`` minus that of ``predicted``, and the rotation vector between them: (N, 4, 4) -> (N, 6)."""
    turned = seen[:, :3, :3] @ np.swapaxes(predicted[:, :3, :3], 1, 2)
    return np.hstack([seen[:, :3, 3] - predicted[:, :3, 3], Rotation.from_matrix(turned).as_rotvec()])


def _wrapped(angles: Array, wrap: tuple[float, float]) -> Array:
    """Angles into (low, high]."""
    low, high = wrap
    return high - (high - angles) % (high - low)


def _twists(axes: Array, origins: Array, tip: Array) -> Array:
    """Velocity of ``tip`` and turn (..., 6) of a unit turn about ``axes`` through ``origins``, each (..., 3)."""
    axes = np.broadcast_to(axes, np.broadcast_shapes(axes.shape, tip.shape))
    return np.concatenate([np.cross(axes, tip - origins), axes], axis=-1)


def _columns(axes: Array, origins: Array, tip: Array) -> Array:
    """Twists (N, 6, A) about the columns of ``axes`` (N, 3, A), through ``origins`` (N, 3) or (3,)."""
    lever = (tip - origins)[:, :, None]
    return np.concatenate([np.cross(axes, lever, axis=1), axes], axis=1)


def _turn(vector: Array) -> Array:
    return Rotation.from_rotvec(vector).as_matrix()
