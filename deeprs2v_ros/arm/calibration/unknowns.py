"""What a calibration can learn, each unknown with what is expected of it before any pair has been seen.

Every unknown but the tracker's place and the tool's is expected to be zero, give or take a standard deviation. That
bounds it, and it makes the problem have one answer: an unknown that the pairs say nothing about stays where it is, and
one that only shows in sum with others shares with them. Most of these deviations are themselves estimated from the
pairs (see `fitting`), so what is written here is where that begins.

    base        tracker_from_base: translation, and turn about the base's origin
    tool        flange_from_tool
    zero        of an encoder; zeros slip by up to 12 degrees between sessions
    harmonic    an encoder's error curve; its coefficients in bands, each with a deviation of its own
    origin      where a joint sits and how its axis points, in the joint's nominal frame
    compliance  how a bearing gives under the weight, about the two axes across its own
    slip        of an encoder's zero for a while, within the session: a nuisance, not part of the calibration
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deeprs2v_ros.arm.calibration.pairs import Pairs
from deeprs2v_ros.arm.description import Arm
from deeprs2v_ros.geometry import Array

BANDS = ((1, 2), (3, 5), (6, 10), (11, 16), (17, 24))
"""First and last harmonic of each band."""
ORDERS = BANDS[-1][1]

ZERO = np.radians(10.0)
CURVE = np.radians(0.3)
"""Root mean square of one band of an error curve."""
ORIGIN = 1.0
AXIS = np.radians(0.5)
COMPLIANCE = np.radians(1.0) / 1000.0
"""A degree for a metre of lever."""
SLIP = np.radians(0.1)
RUN = 20
"""Pairs during which a slipped zero is taken to stay."""

HELD = 1e-9
"""Deviation of what is not to be found."""
LOCKED = np.radians(1.0)
"""A joint that moves by less says nothing about its encoder."""


@dataclass(frozen=True)
class Block:
    """Some unknowns of one kind: ``where`` they stand among all, their deviations, and the groups these belong to.

    ``joint`` is the joint's name, "" for base and tool; ``axes`` which components of a six-vector they are, for an
    origin or a compliance; ``run`` the number of a slip's run.
    """

    kind: str
    joint: str
    where: slice
    deviations: Array
    groups: tuple[str, ...]
    axes: tuple[int, ...] = ()
    run: int = -1


@dataclass(frozen=True)
class Unknowns:
    """All blocks of one problem. ``locked`` are the joints that the pairs do not move."""

    blocks: tuple[Block, ...]
    locked: tuple[str, ...]

    @property
    def count(self) -> int:
        """How many unknowns there are."""
        return self.blocks[-1].where.stop

    @property
    def deviations(self) -> Array:
        """The deviations (P,) that are expected at first."""
        return np.concatenate([block.deviations for block in self.blocks])

    @property
    def groups(self) -> NDArray[np.str_]:
        """The names (P,) of the groups whose deviations are estimated together; "" where they are not."""
        return np.array([group for block in self.blocks for group in block.groups])

    def of(self, kind: str) -> list[Block]:
        """The blocks of one kind."""
        return [block for block in self.blocks if block.kind == kind]


def base_unknowns(pairs: Pairs) -> Unknowns:
    """Where the base is; the tool is held."""
    return _Composer().setting(tool=HELD).done(_locked(pairs))


def session_unknowns(pairs: Pairs, known: Collection[str] = ()) -> Unknowns:
    """What changes from session to session: tracker, tool, and the zeros of all joints that are not ``known``."""
    return _Composer().setting().zeros(pairs, known).done(_locked(pairs))


def all_unknowns(arm: Arm, pairs: Pairs) -> Unknowns:
    """Everything that the pairs may tell about the arm.

    The zeros of the first and the last joint cannot be told from the places of base and tool, unless a look-up table
    says how these joints' errors lie around the turn.
    """
    ends = (pairs.names[0], pairs.names[-1])
    known = [name for name in ends if arm.encoders.encoders[name].table is None]
    composer = _Composer().setting().zeros(pairs, known)
    moving = [name for name in pairs.names if name not in _locked(pairs)]
    octaves = np.concatenate([[band] * (2 * (last - first + 1)) for band, (first, last) in enumerate(BANDS)])
    deviations = CURVE / np.sqrt(np.bincount(octaves))[octaves]
    for name in moving:
        composer.add("harmonic", name, deviations, [f"{name} band {band}" for band in octaves])
    for name in arm.chain.path_to(arm.flange)[1:]:
        joint = arm.chain.joints[name]
        if joint.kind == "fixed" or name == pairs.names[0]:
            continue  # a fixed joint moves with the next one, and the first joint with the base
        across = [axis for axis in range(3) if abs(joint.axis[axis]) < 0.9]
        composer.add("origin", name, np.full(3, ORIGIN), ["origins"] * 3, (0, 1, 2))
        composer.add("origin", name, np.full(len(across), AXIS), ["axes"] * len(across), [3 + a for a in across])
    for name in arm.bearings:
        across = [axis for axis in range(3) if abs(arm.chain.joints[name].axis[axis]) < 0.9]
        composer.add("compliance", name, np.full(len(across), COMPLIANCE), ["compliance"] * len(across), across)
    for run in np.unique(runs(pairs)):
        for name in moving:
            composer.add("slip", name, np.array([SLIP]), [f"{name} slip"], run=int(run))
    return composer.done(_locked(pairs))


def runs(pairs: Pairs) -> NDArray[np.int64]:
    """The number (N,) of the run that every pair belongs to; what is left over at the end belongs to the last one."""
    last = max((pairs.lines.max() + 1) // RUN - 1, 0)
    return np.minimum(pairs.lines // RUN, last)


def _locked(pairs: Pairs) -> tuple[str, ...]:
    return tuple(name for name, a in zip(pairs.names, pairs.encoders.T, strict=True) if np.ptp(a) < LOCKED)


class _Composer:
    def __init__(self) -> None:
        self._blocks: list[Block] = []
        self._count = 0

    def add(self, kind, joint, deviations, groups, axes=(), run=-1) -> None:  # noqa: ANN001 (the fields of a Block)
        where = slice(self._count, self._count + len(deviations))
        self._blocks.append(Block(kind, joint, where, np.asarray(deviations), tuple(groups), tuple(axes), run))
        self._count = where.stop

    def setting(self, tool: float = np.inf) -> _Composer:
        for kind, deviation in (("base", np.inf), ("tool", tool)):
            self.add(kind, "", np.full(6, deviation), [""] * 6, range(6))
        return self

    def zeros(self, pairs: Pairs, known: Collection[str] = ()) -> _Composer:
        for name in pairs.names:
            if name not in _locked(pairs) and name not in known:
                self.add("zero", name, np.array([ZERO]), [""])
        return self

    def done(self, locked: tuple[str, ...]) -> Unknowns:
        return Unknowns(tuple(self._blocks), locked)
