"""From the encoders of all pairs to their joints, given everything that is unknown about them.

With a the angle that an encoder reads: ``t = a + zero + slip``, ``v = t + table(t) + curve(t)``, and ``q = v`` or, for
a coupled joint, ``q = coupling(v, other q)``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deeprs2v_ros.arm.calibration.pairs import Pairs
from deeprs2v_ros.arm.calibration.unknowns import Block, Unknowns, runs
from deeprs2v_ros.arm.curves import harmonics, table_error
from deeprs2v_ros.arm.description import Arm
from deeprs2v_ros.geometry import Array

_STEP = np.radians(1.0)  # tables are rough: their slope is that of a chord


@dataclass(frozen=True)
class Joints:
    """Of every pair: ``angles`` t in the tables' argument (N, E), ``values`` q (N, E), ``slopes`` dv/dt (N, E).

    ``coupled`` (N, E, E) is dq/dv.
    """

    angles: Array
    values: Array
    slopes: Array
    coupled: Array


def encoders_to_joints(arm: Arm, pairs: Pairs, unknowns: Unknowns, values: Array) -> Joints:
    """The joints of all pairs, with the ``values`` (P,) of the ``unknowns``."""
    encoders = [arm.encoders.encoders[name] for name in pairs.names]
    angles = pairs.encoders * [e.sign for e in encoders] + [e.zero for e in encoders]
    for block in (*unknowns.of("zero"), *unknowns.of("slip")):
        angles[:, pairs.names.index(block.joint)] += values[block.where] * during(block, pairs)
    curves = {block.joint: values[block.where] for block in unknowns.of("harmonic")}
    uncoupled, slopes = np.empty_like(angles), np.empty_like(angles)
    for e, (name, encoder) in enumerate(zip(pairs.names, encoders, strict=True)):
        low, high = encoder.wrap
        angles[:, e] = high - (high - angles[:, e]) % (high - low)
        around = angles[:, e] + np.array([[0.0], [_STEP], [-_STEP]])
        errors = table_error(encoder.table, around)
        if name in curves:
            errors += harmonics(around, len(curves[name]) // 2) @ curves[name]
        uncoupled[:, e] = angles[:, e] + errors[0]
        slopes[:, e] = 1.0 + (errors[1] - errors[2]) / (2.0 * _STEP)

    joints = uncoupled.copy()
    coupled = np.tile(np.eye(len(encoders)), (len(pairs), 1, 1))
    for e, encoder in enumerate(encoders):
        if encoder.coupling is not None:
            other = pairs.names.index(encoder.coupling.joint)
            joints[:, e] = encoder.coupling.joint_from(uncoupled[:, e], uncoupled[:, other])
            coupled[:, e, e], coupled[:, e, other] = encoder.coupling.slopes(uncoupled[:, e], uncoupled[:, other])
    return Joints(angles, joints, slopes, coupled)


def during(block: Block, pairs: Pairs) -> Array:
    """1 for the pairs (N,) that a zero or a slip applies to, otherwise 0."""
    return np.ones(len(pairs)) if block.kind == "zero" else (runs(pairs) == block.run).astype(float)
