"""How sure the arm is of a pose.

The covariance of a link's pose is the sum of what the encoders are off by, each through its column of the Jacobian, and
of the calibration's own covariance at the flange. Beyond the angles that the calibration saw, its error curves say
nothing, and an encoder is worth no more than one that was never corrected.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numba
import numpy as np

from deeprs2v_ros.arm.description import Arm
from deeprs2v_ros.arm.posing import place, twists
from deeprs2v_ros.geometry import Array

UNCORRECTED = math.radians(1.0)
"""Standard deviation of an encoder's error without a calibration: such errors reach several degrees."""
NOMINAL = np.diag([2.0**2] * 3 + [math.radians(0.5) ** 2] * 3)
"""Covariance at the flange of a geometry that was never calibrated, mm and rad."""


class UncertainPose(NamedTuple):
    """``base_from_link`` (4, 4) mm, and the covariance (6, 6) of a small motion of the link about its origin.

    The motion is in the link's axes, translation first, in mm and rad.
    """

    base_from_link: Array
    covariance: Array


class UncertainArm:
    """Forward kinematics with covariance, of one ``link`` of an ``arm``."""

    def __init__(self, arm: Arm, link: str) -> None:
        """Raise InputError for a link that the arm does not have."""
        self._chain = arm.chain
        self._link = arm.chain.row_of(link)
        path = arm.chain.path_to(link)
        self._gain = arm.chain.gain * [[name in path] for name in arm.chain.joints]
        self._at_flange = NOMINAL if arm.calibration is None else arm.calibration.covariance
        self._limits, self._deviations = (
            np.array(each) for each in zip(*(_expected(arm, name) for name in arm.chain.joint_names), strict=True)
        )

    def pose(self, joints: Mapping[str, float]) -> UncertainPose:
        """The link at ``joints`` (rad, mm). Raises InputError for a joint that is missing or not finite."""
        values = self._chain.values(joints)
        own = np.array([joints[name] for name in self._chain.joint_names])
        return UncertainPose(
            *_pose(
                self._chain.tree, values, self._gain, own, self._limits, self._deviations, self._link, self._at_flange
            )
        )


@numba.njit(cache=True, nogil=True)
def _pose(tree, values, gain, own, limits, deviations, link, at_flange):  # noqa: ANN001, ANN202 (compiled)
    in_base = place(tree, values)[1]
    frame, flange = in_base[link], in_base[tree.flange]
    by_joint = twists(tree, in_base, frame[:3, 3])
    covariance = np.zeros((6, 6))
    for e in range(len(own)):
        column = np.zeros(6)
        for j in range(len(gain)):
            if gain[j, e] != 0.0:
                column += gain[j, e] * by_joint[j]
        known = limits[e, 0] <= own[e] <= limits[e, 1]
        column *= deviations[e, 0] if known else deviations[e, 1]
        covariance += np.outer(column, column)

    x, y, z = frame[0, 3] - flange[0, 3], frame[1, 3] - flange[1, 3], frame[2, 3] - flange[2, 3]
    lever = np.array([[0.0, z, -y], [-z, 0.0, x], [y, -x, 0.0]])
    turn = np.ascontiguousarray(flange[:3, :3])
    moved = np.zeros((6, 6))
    moved[:3, :3] = turn
    moved[3:, 3:] = turn
    moved[:3, 3:] = lever @ turn
    covariance += moved @ at_flange @ moved.T

    back = np.zeros((6, 6))
    back[:3, :3] = frame[:3, :3].T
    back[3:, 3:] = frame[:3, :3].T
    return frame, back @ covariance @ back.T


def _expected(arm: Arm, name: str) -> tuple[tuple[float, float], tuple[float, float]]:
    """Of one joint: the values between which its encoder is known, and the deviations there and beyond (rad, mm)."""
    encoder = arm.encoders.encoders[name]
    if name not in arm.chain.path_to(arm.flange):  # a motor of the scanner counts steps
        return (-math.inf, math.inf), (encoder.deviation, encoder.deviation)
    gain = 1.0 if encoder.coupling is None else encoder.coupling.slopes(0.0, 0.0)[0]
    if arm.calibration is None:
        return (math.inf, -math.inf), (math.nan, gain * UNCORRECTED)
    low, high = (
        angle if encoder.table is None else encoder.table.joint_from(angle) for angle in arm.calibration.seen[name]
    )
    slack = math.radians(1.0)
    return (gain * low - slack, gain * high + slack), (gain * encoder.deviation, gain * UNCORRECTED)
