"""What is believed of a pose before LNCC is asked: from the arm and the last motion, or from a network.

The correction climbs the posterior. LNCC is a log likelihood up to a factor: the number of independent points, which is
smaller on a coarser plane. A belief has heavier tails than a Gaussian, since it may be
plainly wrong: Student's t distribution with n degrees of freedom. So a pose scores

    LNCC - weight sum_beliefs n / 2 log(1 + m^T P^-1 m / n),

with m the motion from the believed pose to it and P the scale. Where prior and network agree, both pull; where
they do not, the pose may side with one, and the other then hardly counts.

Directions that the image shows well are decided by LNCC; those that it does not show stay where they are believed to
be. A summit of LNCC that is far off, such as one where the shadows of two acquisitions match, has to be much higher.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from deeprs2v_ros.geometry import Array, about, inverse, to_motion
from deeprs2v_ros.registration.settings import OrganMotion

TAIL = 4.0
"""Degrees of freedom of Student's t distribution, which say how heavy the tails of a belief are."""


SAME_IMAGE = 8.0
"""Factor on a network's standard deviations where LNCC counts as well: both look at the same image, so the network is
no independent evidence, and where it errs, LNCC can tell."""


class Belief(NamedTuple):
    """A ``pose`` volume_from_image (4, 4), and the scale P (6, 6) of a small motion of it about the image centre.

    In image axes, mm and rad, as everywhere.
    """

    pose: Array
    scale: Array

    @classmethod
    def with_covariance(cls, pose: Array, covariance: Array) -> Belief:
        """The belief with this `covariance`."""
        return cls(pose, (TAIL - 2.0) / TAIL * covariance)

    @property
    def covariance(self) -> Array:
        """Covariance (6, 6) of that motion: because of the heavy tails it is larger than the scale."""
        return TAIL / (TAIL - 2.0) * self.scale

    def weakened(self, factor: float) -> Belief:
        """The same pose, ``factor`` times less sure."""
        return self._replace(scale=factor**2 * self.scale)


def expected_scale(arm: Array | None, organ: OrganMotion, elapsed: float = np.inf) -> Array:
    """Scale (6, 6) of the prior C X about the image centre: the organ has moved on, and the arm is not exact.

    ``arm`` is the covariance of the tracked pose, if it is to count. The organ was where the prior has it ``elapsed``
    seconds ago. Its motion is modelled as an Ornstein-Uhlenbeck process, whose variance grows with time to that of
    ``organ``.
    """
    share = -np.expm1(-2.0 * elapsed / organ.memory)
    moved = share * np.diag([organ.translation**2] * 3 + [np.radians(organ.rotation) ** 2] * 3)
    return moved if arm is None else arm + moved


def posterior_covariance(image: Array, pose: Array, beliefs: Sequence[Belief], centre: Array) -> Array:
    """Covariance (6, 6) of ``pose`` after all: ``image``, that by LNCC alone, which may be singular, and the beliefs.

    Each belief is a Gaussian of the width that fits Student's t at the pose: the farther off, the less it counts.
    """
    covariance = image
    for belief in beliefs:
        wide = belief.scale * (TAIL + squared_distance(pose, belief, centre)) / TAIL
        covariance = covariance - covariance @ np.linalg.solve(wide + covariance, covariance)
    return covariance


def squared_distance(pose: Array, belief: Belief, centre: Array) -> float:
    """The squared Mahalanobis distance of ``pose`` from what is believed."""
    motion = to_motion(about(-centre, inverse(belief.pose) @ pose))
    return float(motion @ np.linalg.solve(belief.scale, motion))


def surprise(pose: Array, belief: Belief, centre: Array) -> float:
    """How far ``pose`` is from what was believed, in standard deviations: root mean square over the six."""
    return float(np.sqrt(squared_distance(pose, belief, centre) / 6.0))
