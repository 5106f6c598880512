"""What is believed of a pose before LNCC has its say: from the arm and the last motion, or from a network.

The correction climbs the posterior. LNCC is a log likelihood up to a factor: the number of points that speak for
themselves, which is the smaller the coarser the plane. A belief has heavier tails than a Gaussian, since it may be
plainly wrong: Student's t distribution with n degrees of freedom. So a pose scores

    LNCC - weight n / 2 log(1 + m^T P^-1 m / n),     m the motion from the believed pose to it, P the covariance.

Directions that the image shows well are decided by LNCC, those that it does not show stay where they are believed to
be; and a summit of LNCC that is far off, such as one where shadows of two acquisitions match, has to be that much
higher.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from deeprs2v_ros.geometry import Array, about, from_motion, inverse, to_motion
from deeprs2v_ros.registration.settings import OrganMotion


class Belief(NamedTuple):
    """A ``pose`` volume_from_image (4, 4), and the covariance (6, 6) of a small motion of it about the image centre.

    In image axes, mm and rad, as everywhere.
    """

    pose: Array
    covariance: Array


def expected_covariance(arm: Array | None, organ: OrganMotion) -> Array:
    """Covariance (6, 6) of the prior C X about the image centre: the organ has moved on, and the arm is not exact.

    ``arm`` is the covariance of the tracked pose, if it is known.
    """
    moved = np.diag([organ.translation**2] * 3 + [np.radians(organ.rotation) ** 2] * 3)
    return moved if arm is None else arm + moved


def agreed_covariance(image: Array, belief: Array) -> Array:
    """Covariance (6, 6) of the posterior of two independent measurements, ``(S^-1 + P^-1)^-1``; S may be singular."""
    return image - image @ np.linalg.solve(belief + image, image)


def joined(proposed: Belief, prior: Belief, centre: Array) -> Belief:
    """What is believed after both: the product of two Gaussians, about the ``proposed`` pose."""
    to_prior = to_motion(about(-centre, inverse(proposed.pose) @ prior.pose))
    share = np.linalg.solve(proposed.covariance + prior.covariance, to_prior)
    pose = proposed.pose @ about(centre, from_motion(proposed.covariance @ share))
    return Belief(pose, agreed_covariance(proposed.covariance, prior.covariance))


def surprise(pose: Array, belief: Belief, centre: Array) -> float:
    """How far ``pose`` is from what was believed, in standard deviations (root mean square over the six)."""
    motion = to_motion(about(-centre, inverse(belief.pose) @ pose))
    return float(np.sqrt(motion @ np.linalg.solve(belief.covariance, motion) / 6.0))
