"""The status message of one image: what was found, what is on TF, how sure all that is, and how long it took."""

from __future__ import annotations

import math

import numpy as np
from geometry_msgs.msg import Point, Pose, Quaternion

from deeprs2v_ros.frames import VOLUME
from deeprs2v_ros.geometry import Array, apply, geodesic_distance, turned_covariance
from deeprs2v_ros.msg import RegistrationStatus
from deeprs2v_ros.nodes.topics.conversions import METRES, covariance_message, pose_message, stamp_message
from deeprs2v_ros.registration.guidance import Outcome
from deeprs2v_ros.registration.tracker import Registration

UNKNOWN_COVARIANCE = np.full(36, math.nan)

_EVIDENCE = ("prior_distance_mm", "prior_distance_deg", "lncc_before", "lncc_after", "overlap")


def status_message(outcome: Outcome, centre: Array, configuration: str) -> RegistrationStatus:
    """Everything about one image except `latency_published`; ``centre`` (3,) mm is its centre in the image frame."""
    message = RegistrationStatus()
    verdict, arrival = outcome.verdict, outcome.arrival
    message.header.frame_id, message.header.stamp = VOLUME, stamp_message(arrival.stamp)
    message.state, message.accepted, message.reason = int(verdict.state), verdict.accepted, verdict.reason
    message.without_image = not arrival.of_image
    _fill_in_result(message, outcome, centre)
    _fill_in_motions(message, outcome)

    def since_stamp(time: int | None) -> float:
        return math.nan if time is None else (time - arrival.stamp) / 1e9

    message.latency_received = since_stamp(arrival.received)
    message.latency_transform = since_stamp(outcome.located)
    message.latency_correction = message.latency_network = since_stamp(outcome.concluded)
    message.latency_network -= math.nan if outcome.result is None else _after_network(outcome.result)
    message.correction_age = math.nan if verdict.age is None else verdict.age
    if outcome.ready is not None:
        message.volume, message.weights = outcome.ready.source, outcome.ready.weights
    message.configuration = configuration
    return message


def _fill_in_result(message: RegistrationStatus, outcome: Outcome, centre: Array) -> None:
    tracked, result = outcome.tracked, outcome.result
    message.tracked_pose = message.pose = _no_pose() if tracked is None else pose_message(tracked)
    message.covariance = UNKNOWN_COVARIANCE
    message.organ_motion.orientation.w = message.correction.orientation.w = 1.0
    for name in _EVIDENCE:
        setattr(message, name, math.nan)
    if result is None:
        return
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
    message.followed = result.followed


def _fill_in_motions(message: RegistrationStatus, outcome: Outcome) -> None:
    """What is on TF now, and what is predicted."""
    held, predicted = outcome.verdict.held, outcome.predicted
    message.broadcast_motion, message.broadcast_age = _no_pose(), math.nan
    message.broadcast_covariance = message.predicted_covariance = UNKNOWN_COVARIANCE
    message.predicted_motion = _no_pose()
    message.predicted_horizon = message.predicted_error_mm = math.nan
    message.middle = Point(x=math.nan, y=math.nan, z=math.nan)
    if outcome.ready is not None:
        x, y, z = (METRES * outcome.ready.tracker.middle).tolist()
        message.middle = Point(x=x, y=y, z=z)
    if held is not None:
        message.broadcast_motion, message.broadcast_age = pose_message(held.motion), held.age
        message.broadcast_covariance = covariance_message(held.covariance)
    message.predicted_at = stamp_message(outcome.time)
    if predicted is not None:
        message.predicted_motion = pose_message(predicted.motion)
        message.predicted_covariance = covariance_message(predicted.covariance)
        message.predicted_horizon, message.predicted_error_mm = predicted.horizon, predicted.recent_error


def _after_network(result: Registration) -> float:
    """Seconds from the network's answer to the end."""
    return result.runtime - result.network_runtime


def _no_pose() -> Pose:
    nan = math.nan
    return Pose(position=Point(x=nan, y=nan, z=nan), orientation=Quaternion(x=nan, y=nan, z=nan, w=nan))
