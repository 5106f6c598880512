"""The status message of one image: what was found, how sure it is, how long it took, and with what."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from geometry_msgs.msg import Point, Pose, Quaternion

from deeprs2v_ros.geometry import Array, apply, geodesic_distance
from deeprs2v_ros.msg import RegistrationStatus
from deeprs2v_ros.nodes.support.conversions import covariance_message, pose_message, stamp_message, turned_covariance
from deeprs2v_ros.nodes.support.frames import VOLUME
from deeprs2v_ros.registration.supervisor import Verdict
from deeprs2v_ros.registration.tracker import Registration

UNKNOWN_COVARIANCE = np.full(36, math.nan)


@dataclass
class Timing:
    """When each stage of one image ended, in nanoseconds on the node's clock; None if it never ran.

    ``stamp`` is the image's own, ``shown`` when that which it shows was there: the time of all its transforms.
    """

    stamp: int
    shown: int
    received: int
    transform: int | None = None
    correction: int | None = None

    def since_stamp(self, time: int | None) -> float:
        """Seconds from the image's stamp to ``time``, NaN for None."""
        return math.nan if time is None else (time - self.stamp) / 1e9


@dataclass(frozen=True)
class Provenance:
    """Name and SHA-256 of what was used."""

    volume: str
    weights: str
    configuration: str


def status_message(
    timing: Timing,
    verdict: Verdict,
    tracked: Array | None,
    result: Registration | None,
    centre: Array,
    provenance: Provenance,
) -> RegistrationStatus:
    """Everything about one image but `latency_published`.

    ``tracked`` is volume_from_image (4, 4) mm if the transform was there, ``result`` the registration if it ran,
    ``centre`` (3,) the image centre in the image frame.
    """
    message = RegistrationStatus()
    message.header.frame_id, message.header.stamp = VOLUME, stamp_message(timing.stamp)
    message.state, message.accepted, message.reason = int(verdict.state), verdict.accepted, verdict.reason
    message.covariance = UNKNOWN_COVARIANCE
    message.tracked_pose = message.pose = _no_pose() if tracked is None else pose_message(tracked)
    message.organ_motion.orientation.w = message.correction.orientation.w = 1.0
    evidence = ("prior_distance_mm", "prior_distance_deg", "lncc_before", "lncc_after", "overlap")
    for name in evidence:
        setattr(message, name, math.nan)
    if result is not None:
        _fill_in(message, result, centre)
    if verdict.covariance is not None:
        message.covariance = covariance_message(verdict.covariance)
    message.latency_received = timing.since_stamp(timing.received)
    message.latency_transform = timing.since_stamp(timing.transform)
    message.latency_correction = message.latency_network = timing.since_stamp(timing.correction)
    message.latency_network -= math.nan if result is None else result.runtime - result.network_runtime
    message.correction_age = math.nan if verdict.age is None else verdict.age
    message.volume, message.weights = provenance.volume, provenance.weights
    message.configuration = provenance.configuration
    return message


def _no_pose() -> Pose:
    nan = math.nan
    return Pose(position=Point(x=nan, y=nan, z=nan), orientation=Quaternion(x=nan, y=nan, z=nan, w=nan))


def _fill_in(message: RegistrationStatus, result: Registration, centre: Array) -> None:
    message.pose = pose_message(result.registered)
    message.organ_motion = pose_message(result.motion)
    message.correction = pose_message(result.correction)
    message.covariance = covariance_message(turned_covariance(result.covariance, result.registered))
    message.prior_distance_mm = float(np.linalg.norm(apply(result.registered, centre) - apply(result.prior, centre)))
    message.prior_distance_deg = float(np.degrees(geodesic_distance(result.registered[:3, :3], result.prior[:3, :3])))
    message.lncc_before = float(result.lncc_before)
    message.lncc_after = float(result.signals.lncc)
    message.overlap = float(result.signals.overlap)
    message.iterations = int(result.iterations)
