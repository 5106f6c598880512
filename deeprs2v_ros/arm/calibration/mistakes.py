"""Pairs that cannot be an arm's, and which of the usual mistakes made them.

Before it is calibrated, an arm whose base, tool and zeros are fitted is off by what its encoders' curves and its joints
do. The worst that was recorded, a liver arm whose first encoder errs by 8 degrees within a turn, is off by 19 mm and
2.3 degrees on average. `BEFORE` is twice that. Afterwards such arms are off by 1 to 3 mm and 0.3 to 0.5 degrees, a few
times what 12-bit encoders allow (0.4 mm); `AFTER` is four times that. Medians are compared, so that gross pairs among
good ones do not count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
from scipy.spatial.transform import Rotation

from deeprs2v_ros.arm.calibration.fitting import Noise, fit
from deeprs2v_ros.arm.calibration.model import Model
from deeprs2v_ros.arm.calibration.pairs import Pairs
from deeprs2v_ros.arm.calibration.unknowns import session_unknowns
from deeprs2v_ros.arm.description import Arm
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import Array

BEFORE = np.array([38.0, np.radians(4.6)])
"""Median error of an arm with only base, tool and zeros fitted, mm and rad, above which the pairs are not its."""
AFTER = np.array([10.0, np.radians(2.0)])
"""The same, of an arm whose calibration is complete."""
BETTER = 0.5
"""A mistake fits when, undone, it leaves less than this share of the error."""
CLEAR = 0.5
"""And it is clear when that is less than this share of `BEFORE`."""
MOST = 40
"""Pairs that are looked at."""
_ENCODER = np.radians(2.0)
"""Expected error of an encoder without a curve."""

Undo = Callable[[Pairs], Pairs]


def refuse_before(arm: Arm, pairs: Pairs) -> None:
    """Raise InputError if ``pairs`` cannot be those of ``arm``, however its encoders and joints are off."""
    error = _before(arm, pairs)
    if (error > BEFORE).any():
        raise InputError(f"{_told(pairs, error)} with base, tool and zeros fitted: {_cause(arm, pairs, error)}")


def refuse_after(arm: Arm, pairs: Pairs, residuals: Array) -> None:
    """Raise InputError if what a calibration of ``arm`` leaves of ``pairs`` (N, 6) is more than any arm's.

    ``arm`` is as it was before.
    """
    error = _median(residuals)
    if (error > AFTER).any():
        raise InputError(f"{_told(pairs, error)} after all: {_cause(arm, pairs, _before(arm, pairs))}")


def _told(pairs: Pairs, error: Array) -> str:
    return f"{pairs.source}: half of the pairs are off by more than {error[0]:.0f} mm or {np.degrees(error[1]):.1f} deg"


def _cause(arm: Arm, pairs: Pairs, error: Array) -> str:
    """Which mistake makes the ``error`` small when it is undone; the first that leaves what a good arm leaves is it."""
    least, cause = min(1.0, BETTER * (error / BEFORE).max()), ""
    for name, undo in _usual(pairs.names):
        left = (_before(arm, undo(pairs)) / BEFORE).max()
        if left < least:
            least, cause = left, f"{name}?"
            if left < CLEAR:
                break
    return cause or "they are not this arm's, and none of the usual mistakes explains it"


def _before(arm: Arm, pairs: Pairs) -> Array:
    """Median error (2,) in mm and rad of some of the pairs, with base, tool and zeros fitted to them."""
    some = pairs[np.unique(np.linspace(0, len(pairs) - 1, MOST).astype(int))]
    noise = Noise(np.full(len(pairs.names), _ENCODER), 0.5, np.radians(0.1))
    found = fit(Model(arm, some, session_unknowns(some)), noise)
    return _median(found.model.predict(found.state).residuals(some))


def _median(residuals: Array) -> Array:
    return np.median(np.linalg.norm(residuals.reshape(-1, 2, 3), axis=2), axis=0)


# --- The usual mistakes, each with what undoes it ---


def _usual(names: Sequence[str]) -> Iterator[tuple[str, Undo]]:
    yield "are the poses inverted (tracker in the tool)", _inverted
    yield "are the rotations transposed", _transposed
    yield (
        "are the quaternions behind the poses in another order (w first, taken as last)",
        partial(_quaternion, shift=-1),
    )
    yield (
        "are the quaternions behind the poses in another order (w last, taken as first)",
        partial(_quaternion, shift=1),
    )
    yield "are positions in metres, not mm", partial(_scaled, factor=1e3)
    yield "are positions in centimetres, not mm", partial(_scaled, factor=1e1)
    yield "are the encoders' angles in radians, not degrees", _in_degrees
    yield "does each pose belong to the encoders of the line before", partial(_shifted, by=-1)
    yield "does each pose belong to the encoders of the line after", partial(_shifted, by=1)
    for name in names:
        yield f"is the sign of {name} wrong", partial(_turned_round, joint=name)
    for one, other in pairwise(names):
        yield f"are the columns of {one} and {other} exchanged", partial(_exchanged, one=one, other=other)
    yield "are the joints in the opposite order", lambda given: replace(given, encoders=given.encoders[:, ::-1])


def _inverted(pairs: Pairs) -> Pairs:
    return replace(pairs, tracker_from_tool=np.linalg.inv(pairs.tracker_from_tool))


def _with_rotations(pairs: Pairs, rotations: Array) -> Pairs:
    poses = pairs.tracker_from_tool.copy()
    poses[:, :3, :3] = rotations
    return replace(pairs, tracker_from_tool=poses)


def _transposed(pairs: Pairs) -> Pairs:
    return _with_rotations(pairs, np.swapaxes(pairs.tracker_from_tool[:, :3, :3], 1, 2))


def _quaternion(pairs: Pairs, shift: int) -> Pairs:
    found = Rotation.from_matrix(pairs.tracker_from_tool[:, :3, :3]).as_quat()
    return _with_rotations(pairs, Rotation.from_quat(np.roll(found, shift, axis=1)).as_matrix())


def _scaled(pairs: Pairs, factor: float) -> Pairs:
    poses = pairs.tracker_from_tool.copy()
    poses[:, :3, 3] *= factor
    return replace(pairs, tracker_from_tool=poses)


def _in_degrees(pairs: Pairs) -> Pairs:
    return replace(pairs, encoders=np.degrees(pairs.encoders))


def _shifted(pairs: Pairs, by: int) -> Pairs:
    """Every pose with the encoders of the pair ``by`` further on."""
    last = len(pairs) - 1
    poses, encoders = (slice(1, None), slice(None, last)) if by < 0 else (slice(None, last), slice(1, None))
    return replace(pairs[poses], encoders=pairs.encoders[encoders])


def _turned_round(pairs: Pairs, joint: str) -> Pairs:
    encoders = pairs.encoders.copy()
    encoders[:, pairs.names.index(joint)] *= -1.0
    return replace(pairs, encoders=encoders)


def _exchanged(pairs: Pairs, one: str, other: str) -> Pairs:
    columns = list(range(len(pairs.names)))
    a, b = pairs.names.index(one), pairs.names.index(other)
    columns[a], columns[b] = b, a
    return replace(pairs, encoders=pairs.encoders[:, columns])
