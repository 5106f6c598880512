"""The compiled core of the forward kinematics: frames of all links, and how one of them moves with the joints.

The frame of a joint's child in its parent is linear in three numbers: ``F = A + c B + s C``, where ``A, B, C`` are
constant 4x4 arrays and ``(c, s)`` is ``(cos q, sin q)`` of a revolute joint (Rodrigues' formula) and ``(0, q)`` of a
prismatic one. The frames in the base are products along the tree.

A bearing gives under the weight that hangs on it: its child turns by ``compliance * m``, where ``m = (p - o) x g`` is
the moment about the joint's origin o of a unit force along gravity, g = (0, 0, -1) in the root frame (REP-103), that
acts at the flange's origin p. Compliance is in rad per mm of lever, since the weight itself is not known, for each axis
of the child. The moments are those of the arm without sag; what sag does to the lever is of second order.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from deeprs2v_ros.geometry import Array


class Tree(NamedTuple):
    """The joints (J) of an arm as arrays, every one after the joint that carries its parent; mm and rad.

    ``constant, cosine, sine`` (J, 4, 4) are A, B, C; ``axes`` (J, 3) unit vectors in the child's frame; ``parents``
    (J,) rows of links, where row 0 is the root and row j + 1 the child of joint j; ``compliance`` (J, 3);
    ``flange`` the row of the link on which the weight hangs.
    """

    constant: Array
    cosine: Array
    sine: Array
    axes: Array
    prismatic: np.ndarray
    parents: np.ndarray
    compliance: Array
    flange: int


@numba.njit(cache=True, nogil=True)
def place(tree, values):  # noqa: ANN001, ANN201 (compiled)
    """``parent_from_child`` (J, 4, 4) and ``base_from_link`` (J + 1, 4, 4) at the joints' ``values`` (J,)."""
    in_parent = np.empty_like(tree.constant)
    for j in range(len(values)):
        c, s = (0.0, values[j]) if tree.prismatic[j] else (np.cos(values[j]), np.sin(values[j]))
        for row in range(4):
            for column in range(4):
                in_parent[j, row, column] = (
                    tree.constant[j, row, column] + c * tree.cosine[j, row, column] + s * tree.sine[j, row, column]
                )
    in_base = np.empty((len(values) + 1, 4, 4))
    _multiply(in_parent, tree.parents, in_base)
    if tree.compliance.any():
        load = in_base[tree.flange, :3, 3]
        sagging = in_parent.copy()
        for j in range(len(values)):
            if tree.compliance[j].any():
                turn = tree.compliance[j] * moment(in_base[j + 1], load)
                sagging[j] = in_parent[j] @ _turned(turn)
        in_parent = sagging
        _multiply(in_parent, tree.parents, in_base)
    return in_parent, in_base


@numba.njit(cache=True, nogil=True)
def place_all(tree, values):  # noqa: ANN001, ANN201 (compiled)
    """``base_from_link`` (N, J + 1, 4, 4) for ``values`` (N, J)."""
    frames = np.empty((len(values), values.shape[1] + 1, 4, 4))
    for n in range(len(values)):
        frames[n] = place(tree, values[n])[1]
    return frames


@numba.njit(cache=True, nogil=True)
def moment(frame, load):  # noqa: ANN001, ANN201 (compiled)
    """``(load - o) x g`` in the axes of ``frame`` (4, 4), whose origin is o; ``load`` (3,) mm in the base."""
    x, y = load[0] - frame[0, 3], load[1] - frame[1, 3]
    in_base = (-y, x, 0.0)  # of a lever (x, y, z) and g = (0, 0, -1)
    result = np.empty(3)
    for axis in range(3):
        result[axis] = in_base[0] * frame[0, axis] + in_base[1] * frame[1, axis]
    return result


@numba.njit(cache=True, nogil=True)
def twists(tree, in_base, point):  # noqa: ANN001, ANN201 (compiled)
    """What one unit of every joint does to a body at ``point`` (3,) in the base: (J, 6), velocity then turn."""
    result = np.zeros((len(tree.parents), 6))
    for j in range(len(tree.parents)):
        frame = in_base[j + 1]
        axis = np.empty(3)
        for row in range(3):
            axis[row] = (
                frame[row, 0] * tree.axes[j, 0] + frame[row, 1] * tree.axes[j, 1] + frame[row, 2] * tree.axes[j, 2]
            )
        if tree.prismatic[j]:
            result[j, :3] = axis
            continue
        x, y, z = point[0] - frame[0, 3], point[1] - frame[1, 3], point[2] - frame[2, 3]
        result[j, 0] = axis[1] * z - axis[2] * y
        result[j, 1] = axis[2] * x - axis[0] * z
        result[j, 2] = axis[0] * y - axis[1] * x
        result[j, 3:] = axis
    return result


@numba.njit(cache=True, nogil=True)
def _multiply(in_parent, parents, in_base):  # noqa: ANN001, ANN202 (compiled)
    in_base[0] = np.eye(4)
    for j in range(len(parents)):
        parent, child = in_base[parents[j]], in_base[j + 1]
        for row in range(4):
            for column in range(4):
                child[row, column] = (
                    parent[row, 0] * in_parent[j, 0, column]
                    + parent[row, 1] * in_parent[j, 1, column]
                    + parent[row, 2] * in_parent[j, 2, column]
                    + parent[row, 3] * in_parent[j, 3, column]
                )


@numba.njit(cache=True, nogil=True)
def _turned(vector):  # noqa: ANN001, ANN202 (compiled)
    """The rotation (4, 4) of a rotation vector (3,)."""
    result = np.eye(4)
    angle = np.sqrt((vector**2).sum())
    if angle > 0.0:
        x, y, z = vector / angle
        cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
        result[:3, :3] += np.sin(angle) * cross + (1.0 - np.cos(angle)) * (cross @ cross)
    return result
