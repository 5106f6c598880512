"""Forward kinematics of a tree of joints: the arm of a URDF file, as it was drawn or as calibration found it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from deeprs2v_ros.arm.posing import Tree, place, twists
from deeprs2v_ros.arm.urdf import Joint, Mimic, read_joints
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import Array, from_motion


class LinkTransform(NamedTuple):
    """Where the link ``child`` is in its ``parent``: a 4x4 transform in mm."""

    parent: str
    child: str
    parent_from_child: Array


@dataclass(frozen=True)
class Corrections:
    """How an arm differs from its URDF, by the names of its joints.

    ``origins``: a small motion (6,) (mm, rad) of the joint, in its own nominal frame: ``parent_from_joint @ motion``.
    ``compliance``: rad of sag per mm of lever about the axes (3,) of the joint's child, see `posing`; the weight hangs
    on the link ``flange``.
    """

    flange: str
    origins: Mapping[str, Array] = field(default_factory=dict)
    compliance: Mapping[str, Array] = field(default_factory=dict)


class Chain:
    """The joints of one arm. "Base" is the root link, the one that is no joint's child.

    joint_names: the joints that have a value of their own (not fixed, not mimic), from the base outwards.
    joints: all joints by name, in mm and rad.
    Joint values are given by name, in rad (revolute) or mm (prismatic); names the arm does not have are ignored.
    """

    def __init__(self, joints: Sequence[Joint], source: str, corrections: Corrections | None = None) -> None:
        """Raise InputError naming ``source``, the joint and the fault unless the joints form one tree.

        The same for ``corrections`` of joints or a flange that are not there.
        """
        ordered = _from_the_root(joints, source)
        self.source = source
        self.corrections = corrections
        self.joints: dict[str, Joint] = {joint.name: joint for joint in ordered}
        self.joint_names = tuple(joint.name for joint in ordered if joint.kind != "fixed" and joint.mimic is None)
        self.root = ordered[0].parent
        self.links = (self.root, *(joint.child for joint in ordered))
        self._row = {link: row for row, link in enumerate(self.links)}
        self._path: dict[str, list[int]] = {self.root: []}
        for number, joint in enumerate(ordered):
            self._path[joint.child] = [*self._path[joint.parent], number]
        self._set_gains(ordered)
        self.tree = self._tree(ordered, corrections or Corrections(self.root))

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
        joints = [changed if each.name == joint else each for each in self.joints.values()]
        return Chain(joints, self.source, self.corrections)

    def corrected(self, corrections: Corrections) -> Chain:
        """The same arm with other ``corrections``. Raises InputError for a joint or a flange that it does not have."""
        return Chain(list(self.joints.values()), self.source, corrections)

    def forward(self, joints: Mapping[str, float]) -> dict[str, Array]:
        """``base_from_link`` (4, 4) mm of every link by name. Raises InputError for a missing or non-finite joint."""
        return dict(zip(self.links, place(self.tree, self.values(joints))[1], strict=True))

    def base_from(self, link: str, joints: Mapping[str, float]) -> Array:
        """``base_from_link`` (4, 4) mm of one link. Raises InputError for an unknown link, as `forward` otherwise."""
        row = self.row_of(link)
        return place(self.tree, self.values(joints))[1][row]

    def moving_transforms(self, joints: Mapping[str, float]) -> list[LinkTransform]:
        """Parent, child and transform of every joint that can move, mimic joints included, as TF wants them."""
        return self._transforms(place(self.tree, self.values(joints))[0], fixed=False)

    def fixed_transforms(self) -> list[LinkTransform]:
        """Parent, child and transform of every fixed joint: they hold for all joint values."""
        return self._transforms(self.tree.constant, fixed=True)

    def jacobian(self, link: str, joints: Mapping[str, float], names: Sequence[str]) -> tuple[Array, Array]:
        """``base_from_link`` (4, 4) and its derivative (6, len(names)) by the joints ``names``.

        A column is the velocity of the link's origin and its angular velocity ``(vx, vy, vz, wx, wy, wz)`` in base
        axes, per unit of the joint. A mimic joint counts to the joint it follows. Raises InputError as `base_from`
        does, and for a name that is no joint with a value of its own.
        """
        unknown = [name for name in names if name not in self.joint_names]
        if unknown:
            raise InputError(f"{self.source}: has no joint {unknown[0]} that moves on its own")
        frames = place(self.tree, self.values(joints))[1]
        base_from_link = frames[self.row_of(link)]
        path = self._path[link]
        by_joint = twists(self.tree, frames, base_from_link[:3, 3])[path]
        columns = [self.joint_names.index(name) for name in names]
        return base_from_link, by_joint.T @ self.gain[path][:, columns]

    def values(self, joints: Mapping[str, float]) -> Array:
        """Values (J,) of all joints in the order of ``joints``, fixed and mimic ones included.

        Raises InputError for a joint that is missing or not finite.
        """
        try:
            values = np.array([joints[name] for name in self.joint_names], dtype=float)
        except KeyError as error:
            raise InputError(f"{self.source}: no value for joint {error.args[0]}") from error
        if not np.isfinite(values).all():
            name = self.joint_names[int(np.argmin(np.isfinite(values)))]
            raise InputError(f"{self.source}: the value of joint {name} is {joints[name]}")
        return self.gain @ values + self.offset

    def row_of(self, link: str) -> int:
        """The row of a link in ``links``. Raises InputError if there is none of that name."""
        if link not in self._row:
            raise InputError(f"{self.source}: has no link {link}")
        return self._row[link]

    def path_to(self, link: str) -> tuple[str, ...]:
        """The names of the joints between the root and ``link``. Raises InputError as `row_of`."""
        self.row_of(link)
        names = tuple(self.joints)
        return tuple(names[number] for number in self._path[link])

    def _set_gains(self, ordered: Sequence[Joint]) -> None:
        """All joints' values (fixed and mimic ones too) as ``gain @ values of joint_names + offset``."""
        self.gain = np.zeros((len(ordered), len(self.joint_names)))
        self.offset = np.zeros(len(ordered))
        for row, joint in enumerate(ordered):
            if joint.kind == "fixed":
                continue
            mimic = joint.mimic or Mimic(joint.name, 1.0, 0.0)
            if mimic.joint not in self.joint_names:
                raise InputError(
                    f"{self.source}: joint {joint.name} mimics {mimic.joint}, which does not move on its own"
                )
            self.gain[row, self.joint_names.index(mimic.joint)] = mimic.multiplier
            self.offset[row] = mimic.offset

    def _tree(self, ordered: Sequence[Joint], corrections: Corrections) -> Tree:
        for name in (*corrections.origins, *corrections.compliance):
            if name not in self.joints:
                raise InputError(f"{self.source}: has no joint {name} to correct")
        parts = np.array([_linear_parts(joint, corrections.origins.get(joint.name)) for joint in ordered])
        constant, cosine, sine = np.ascontiguousarray(np.swapaxes(parts, 0, 1))
        return Tree(
            constant,
            cosine,
            sine,
            axes=np.array([joint.axis for joint in ordered]),
            prismatic=np.array([joint.kind == "prismatic" for joint in ordered]),
            parents=np.array([self._row[joint.parent] for joint in ordered]),
            compliance=np.array([corrections.compliance.get(joint.name, np.zeros(3)) for joint in ordered]),
            flange=self.row_of(corrections.flange),
        )

    def _transforms(self, in_parent: Array, fixed: bool) -> list[LinkTransform]:
        return [
            LinkTransform(joint.parent, joint.child, parent_from_child)
            for joint, parent_from_child in zip(self.joints.values(), in_parent, strict=True)
            if (joint.kind == "fixed") is fixed
        ]


def _linear_parts(joint: Joint, motion: Array | None) -> Array:
    """A, B, C of ``parent_from_child = A + c B + s C``, stacked (3, 4, 4), of a joint displaced by ``motion``."""
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
    moved = joint.parent_from_joint if motion is None else joint.parent_from_joint @ from_motion(motion)
    return moved @ parts


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
