"""Forward kinematics of a tree of joints.

The frame of a joint's child in its parent is linear in three numbers: ``F = A + c B + s C``, where ``A, B, C`` are
constant 4x4 arrays and ``(c, s)`` is ``(cos q, sin q)`` of a revolute joint (Rodrigues' formula) and ``(0, q)`` of a
prismatic one. So all joints are evaluated at once, and the frames in the base are products along the tree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from deeprs2v_ros.arm.urdf import Joint, Mimic, read_joints
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import Array

# Indices of a cross product, a[NEXT] b[AFTER] - a[AFTER] b[NEXT]; np.cross costs several times as much on short arrays.
_NEXT, _AFTER = [1, 2, 0], [2, 0, 1]


class LinkTransform(NamedTuple):
    """Where the link ``child`` is in its ``parent``: a 4x4 transform in mm."""

    parent: str
    child: str
    parent_from_child: Array


class Chain:
    """The joints of one arm. "Base" is the root link, the one that is no joint's child.

    joint_names: the joints that have a value of their own (not fixed, not mimic), from the base outwards.
    joints: all joints by name, in mm and rad.
    Joint values are given by name, in rad (revolute) or mm (prismatic); names the arm does not have are ignored.
    """

    def __init__(self, joints: Sequence[Joint], source: str) -> None:
        """Raise InputError naming ``source``, the joint and the fault unless the joints form one tree."""
        ordered = _from_the_root(joints, source)
        self.source = source
        self.joints: dict[str, Joint] = {joint.name: joint for joint in ordered}
        self.joint_names = tuple(joint.name for joint in ordered if joint.kind != "fixed" and joint.mimic is None)
        self.root = ordered[0].parent
        self.links = (self.root, *(joint.child for joint in ordered))
        self._row = {link: row for row, link in enumerate(self.links)}
        self._parent_row = [self._row[joint.parent] for joint in ordered]
        self._path: dict[str, list[int]] = {self.root: []}
        for number, joint in enumerate(ordered):
            self._path[joint.child] = [*self._path[joint.parent], number]
        self._set_gains(ordered)
        self._constant, self._cosine, self._sine = (
            np.ascontiguousarray(part) for part in np.swapaxes([_linear_parts(joint) for joint in ordered], 0, 1)
        )
        self._axes = np.array([joint.axis for joint in ordered])
        self._prismatic = np.array([joint.kind == "prismatic" for joint in ordered])

    @classmethod
    def from_urdf(cls, path: str | Path) -> Chain:
        """The arm of a URDF file. Raises InputError naming the file, the joint and the fault."""
        return cls(read_joints(path), str(path))

    def with_fixed(self, joint: str, parent_from_child: Array) -> Chain:
        """The same arm with another transform (4, 4) mm in a fixed ``joint``, for the images or the mounting at hand.

        Raises InputError when there is no such joint or it can move.
        """
        if joint not in self.joints or self.joints[joint].kind != "fixed":
            raise InputError(f"{self.source}: has no fixed joint {joint}")
        changed = replace(self.joints[joint], parent_from_joint=np.array(parent_from_child, dtype=float))
        return Chain([changed if each.name == joint else each for each in self.joints.values()], self.source)

    def forward(self, joints: Mapping[str, float]) -> dict[str, Array]:
        """``base_from_link`` (4, 4) mm of every link by name. Raises InputError for a missing or non-finite joint."""
        return dict(zip(self.links, self._in_base(self._in_parent(joints)), strict=True))

    def base_from(self, link: str, joints: Mapping[str, float]) -> Array:
        """``base_from_link`` (4, 4) mm of one link. Raises InputError for an unknown link, as `forward` otherwise."""
        row = self._row_of(link)
        return self._in_base(self._in_parent(joints))[row]

    def moving_transforms(self, joints: Mapping[str, float]) -> list[LinkTransform]:
        """Parent, child and transform of every joint that can move, mimic joints included, as TF wants them."""
        return self._transforms(self._in_parent(joints), fixed=False)

    def fixed_transforms(self) -> list[LinkTransform]:
        """Parent, child and transform of every fixed joint: they hold for all joint values."""
        return self._transforms(self._constant, fixed=True)

    def jacobian(self, link: str, joints: Mapping[str, float], names: Sequence[str]) -> tuple[Array, Array]:
        """``base_from_link`` (4, 4) and its derivative (6, len(names)) by the joints ``names``.

        A column is the velocity of the link's origin and its angular velocity ``(vx, vy, vz, wx, wy, wz)`` in base
        axes, per unit of the joint. A mimic joint counts to the joint it follows. Raises InputError as `base_from`
        does, and for a name that is no joint with a value of its own.
        """
        unknown = [name for name in names if name not in self.joint_names]
        if unknown:
            raise InputError(f"{self.source}: has no joint {unknown[0]} that moves on its own")
        frames = self._in_base(self._in_parent(joints))
        base_from_link = frames[self._row_of(link)]
        path = self._path[link]
        poses = frames[1:][path]
        axes = (poses[:, :3, :3] @ self._axes[path, :, None])[..., 0]
        levers = base_from_link[:3, 3] - poses[:, :3, 3]
        prismatic = self._prismatic[path, None]
        swept = axes[:, _NEXT] * levers[:, _AFTER] - axes[:, _AFTER] * levers[:, _NEXT]
        twists = np.hstack([np.where(prismatic, axes, swept), np.where(prismatic, 0.0, axes)])
        columns = [self.joint_names.index(name) for name in names]
        return base_from_link, twists.T @ self._gain[path][:, columns]

    def _set_gains(self, ordered: Sequence[Joint]) -> None:
        """All joints' values (fixed and mimic ones too) as ``gain @ values of joint_names + offset``."""
        self._gain = np.zeros((len(ordered), len(self.joint_names)))
        self._offset = np.zeros(len(ordered))
        for row, joint in enumerate(ordered):
            if joint.kind == "fixed":
                continue
            mimic = joint.mimic or Mimic(joint.name, 1.0, 0.0)
            if mimic.joint not in self.joint_names:
                raise InputError(
                    f"{self.source}: joint {joint.name} mimics {mimic.joint}, which does not move on its own"
                )
            self._gain[row, self.joint_names.index(mimic.joint)] = mimic.multiplier
            self._offset[row] = mimic.offset

    def _row_of(self, link: str) -> int:
        if link not in self._row:
            raise InputError(f"{self.source}: has no link {link}")
        return self._row[link]

    def _in_parent(self, joints: Mapping[str, float]) -> Array:
        """``parent_from_child`` (J, 4, 4) of all joints, those nearer to the base first."""
        try:
            values = np.array([joints[name] for name in self.joint_names], dtype=float)
        except KeyError as error:
            raise InputError(f"{self.source}: no value for joint {error.args[0]}") from error
        if not np.isfinite(values).all():
            name = self.joint_names[int(np.argmin(np.isfinite(values)))]
            raise InputError(f"{self.source}: the value of joint {name} is {joints[name]}")
        values = self._gain @ values + self._offset
        sine = np.where(self._prismatic, values, np.sin(values))
        return self._constant + np.cos(values)[:, None, None] * self._cosine + sine[:, None, None] * self._sine

    def _in_base(self, in_parent: Array) -> Array:
        """``base_from_link`` (L, 4, 4) in the order of ``links``."""
        frames = [np.eye(4)]
        for parent, parent_from_child in zip(self._parent_row, in_parent, strict=True):
            frames.append(frames[parent] @ parent_from_child)
        return np.array(frames)

    def _transforms(self, in_parent: Array, fixed: bool) -> list[LinkTransform]:
        return [
            LinkTransform(joint.parent, joint.child, parent_from_child)
            for joint, parent_from_child in zip(self.joints.values(), in_parent, strict=True)
            if (joint.kind == "fixed") is fixed
        ]


def _linear_parts(joint: Joint) -> Array:
    """The arrays A, B, C of ``parent_from_child = A + c B + s C``, stacked (3, 4, 4)."""
    parts = np.zeros((3, 4, 4))
    if joint.kind == "prismatic":
        parts[0] = np.eye(4)
        parts[2, :3, 3] = joint.axis
    elif joint.kind == "fixed":
        parts[0] = np.eye(4)
    else:
        x, y, z = joint.axis
        along = np.outer(joint.axis, joint.axis)
        parts[0, :3, :3], parts[0, 3, 3] = along, 1.0
        parts[1, :3, :3] = np.eye(3) - along
        parts[2, :3, :3] = [[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]]
    return joint.parent_from_joint @ parts


def _from_the_root(joints: Sequence[Joint], source: str) -> list[Joint]:
    """The joints, every one after the joint that carries its parent."""
    by_child: dict[str, Joint] = {}
    for joint in joints:
        if joint.child in by_child:
            raise InputError(f"{source}: joint {joint.name} has the child {joint.child}, which already has a parent")
        by_child[joint.child] = joint
    roots = sorted({joint.parent for joint in joints} - by_child.keys())
    if len(roots) > 1:
        raise InputError(f"{source}: the links {' and '.join(roots)} have no parent; there must be one root")
    ordered: list[Joint] = []
    reached = set(roots)
    waiting = list(joints)
    while waiting:
        ready = [joint for joint in waiting if joint.parent in reached]
        if not ready:
            raise InputError(f"{source}: joint {waiting[0].name} is part of a loop")
        ordered += ready
        reached.update(joint.child for joint in ready)
        waiting = [joint for joint in waiting if joint.child not in reached]
    return ordered
