"""What is expected of a pose before the image is seen, and how it joins with what the image says.

The prior C X is off because the arm is, by its covariance, and because the organ has moved since C was found. Image and
prior are two independent measurements of one pose, so they join as in a Kalman filter: with P the covariance of the
prior, S that of the registration, and m the motion from the registered pose to the prior,

    pose = registered . exp(S (P + S)^-1 m),    covariance = S - S (P + S)^-1 S.

A direction that the image shows well stays as it was registered; one that it does not show goes to the prior.
"""

from __future__ import annotations

import numpy as np

from deeprs2v_ros.geometry import Array, about, from_motion, inverse, to_motion
from deeprs2v_ros.registration.settings import OrganMotion


def expected_covariance(arm: Array | None, organ: OrganMotion) -> Array:
    """P: covariance (6, 6) of the prior about the image centre, in image axes, mm and rad; ``arm`` is the arm's own."""
    moved = np.diag([organ.translation**2] * 3 + [np.radians(organ.rotation) ** 2] * 3)
    return moved if arm is None else arm + moved


def joined(registered: Array, covariance: Array, prior: Array, expected: Array, centre: Array) -> tuple[Array, Array]:
    """The most probable pose (4, 4), and its covariance (6, 6).

    ``covariance`` is that of ``registered``, ``expected`` that of ``prior``, both poses volume_from_image (4, 4) mm.
    Covariances are those of small motions about the image ``centre`` (3,), in image axes.
    """
    gain = np.linalg.solve(expected + covariance, covariance).T
    to_prior = to_motion(about(-centre, inverse(registered) @ prior))
    return registered @ about(centre, from_motion(gain @ to_prior)), covariance - gain @ covariance
