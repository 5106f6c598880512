"""Inverse kinematics: the joint values that bring a link to a wanted pose, from a guess nearby.

Damped Gauss-Newton (Levenberg-Marquardt) with the geometric Jacobian. Six residuals in mm: the error of the link's
origin, and its rotation error as an arc at a lever of 100 mm, which is where an image shows tissue. A joint at its
limit that a step would push out is held there for that step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from deeprs2v_ros.arm.chain import Chain
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import Array

FREE_JOINTS = ("j1", "j2", "j3", "j5", "j6", "j7")
LEVER = 100.0
TOLERANCE = 0.01

_ITERATIONS = 100
_CONVERGED = 1e-9
_SCALE = np.array([1.0, 1.0, 1.0, LEVER, LEVER, LEVER])


class UnreachableError(InputError):
    """A pose that the arm cannot take; ``residual`` is what is left of it, in mm."""

    def __init__(self, message: str, residual: float) -> None:
        """Keep the residual beside the message."""
        super().__init__(message)
        self.residual = residual


def solve(
    chain: Chain,
    base_from_link: Array,
    start: Mapping[str, float],
    *,
    link: str = "us_image",
    free: Sequence[str] = FREE_JOINTS,
) -> dict[str, float]:
    """Joint values (rad, mm) at which ``link`` is at ``base_from_link`` (4, 4), within the joints' limits.

    start: values of all joints; the solution is the one that descent from there finds. Joints not in ``free`` keep
    theirs: joint 4 is locked during a session, and the scanner moves on its own.

    Raises UnreachableError when more than 0.01 mm is left (see the module's residual), InputError for unknown names.
    """
    lower, upper = (np.array([getattr(chain.joints[name], end) for name in free]) for end in ("lower", "upper"))
    joints = dict(start)

    def residual_at(values: Array) -> tuple[Array, Array]:
        joints.update(zip(free, values.tolist(), strict=True))
        now, jacobian = chain.jacobian(link, joints, free)
        turn = Rotation.from_matrix(base_from_link[:3, :3] @ now[:3, :3].T).as_rotvec()
        return _SCALE * np.concatenate([base_from_link[:3, 3] - now[:3, 3], turn]), _SCALE[:, None] * jacobian

    values = np.clip([joints[name] for name in free], lower, upper)
    residual, jacobian = residual_at(values)
    damping = 1e-6
    for _ in range(_ITERATIONS):
        if np.linalg.norm(residual) < _CONVERGED or damping > 1e9:
            break
        gradient = jacobian.T @ residual
        held = ((values <= lower) & (gradient < 0.0)) | ((values >= upper) & (gradient > 0.0))
        normal = jacobian.T @ jacobian
        normal[held] = normal[:, held] = 0.0
        normal[np.diag_indices_from(normal)] += damping * np.trace(normal) / len(free) + held
        step = np.linalg.solve(normal, np.where(held, 0.0, gradient))
        tried = np.clip(values + step, lower, upper)
        tried_residual, tried_jacobian = residual_at(tried)
        if np.linalg.norm(tried_residual) < np.linalg.norm(residual):
            values, residual, jacobian = tried, tried_residual, tried_jacobian
            damping = max(damping * 0.1, 1e-12)
        else:
            damping *= 10.0

    left = float(np.linalg.norm(residual))
    if not left <= TOLERANCE:
        at_limit = [name for name, at in zip(free, (values <= lower) | (values >= upper), strict=True) if at]
        reason = f", {' and '.join(at_limit)} at the limit" if at_limit else ""
        raise UnreachableError(f"{link} cannot be brought there: {left:.3g} mm are left{reason}", left)
    joints.update(zip(free, values.tolist(), strict=True))
    return joints
