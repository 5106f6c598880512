"""What a replay says of every image: its row of POSES.csv, and everything else as a line of JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from deeprs2v_ros.evaluation.poses import ACCEPTED, REJECTED, PoseRow
from deeprs2v_ros.files import written_whole
from deeprs2v_ros.geometry import Array
from deeprs2v_ros.registration.guidance import Outcome
from deeprs2v_ros.registration.prediction import Prediction
from deeprs2v_ros.registration.supervisor import Held
from deeprs2v_ros.replay.player import Conclusion


@dataclass(frozen=True)
class Status:
    """One line of the statuses, in the order in which things were concluded. mm, rad; times in ns, ages in s.

    ``frame`` is the row of POSES.csv, None for IMAGE_STALE, which is about no image. ``shown`` is the time that the
    image shows, ``received`` and ``concluded`` are on the bag's clock. Transforms are 4x4: ``tracked`` X, ``prior``,
    ``registered`` Y (volume_from_image), ``motion`` C; ``covariance`` (6, 6) is Y's about the image centre, in image
    axes. ``broadcast_*`` is what is on TF after this image, ``predicted_*`` the prediction for ``concluded``, and
    ``forecast_*`` that for ``shown``, as it stood before the image was looked at; their covariances are about the
    middle of the volume, in its axes. What there is not is None or NaN, in the file null.
    """

    frame: int | None
    stamp: int
    shown: int
    received: int
    concluded: int
    state: str
    accepted: bool
    reason: str
    tracked: Array | None
    prior: Array | None
    registered: Array | None
    motion: Array | None
    covariance: Array | None
    lncc_before: float
    lncc: float
    overlap: float
    margin: float
    sigma: float
    surprise: float
    translation: float
    rotation: float
    iterations: int | None
    followed: bool | None
    broadcast_motion: Array | None
    broadcast_covariance: Array | None
    broadcast_age: float
    predicted_motion: Array | None
    predicted_covariance: Array | None
    predicted_horizon: float
    predicted_error: float
    forecast_motion: Array | None
    forecast_covariance: Array | None
    forecast_horizon: float
    forecast_error: float
    correction_age: float
    volume: str
    weights: str
    configuration: str


_SIGNALS = ("lncc", "overlap", "margin", "sigma", "surprise", "translation", "rotation")


def status_of(conclusion: Conclusion, configuration: str) -> Status:
    """Everything about one image. ``configuration`` says which parameters were used."""
    outcome = conclusion.outcome
    arrival, verdict, ready = outcome.arrival, outcome.verdict, outcome.ready
    return Status(
        frame=conclusion.frame,
        stamp=arrival.stamp,
        shown=arrival.shown,
        received=arrival.received,
        concluded=outcome.time,
        state=verdict.state.name,
        accepted=verdict.accepted,
        reason=verdict.reason,
        tracked=conclusion.tracked,
        **_result(outcome),
        **_broadcast(verdict.held),
        **_prediction("predicted", outcome.predicted),
        **_prediction("forecast", conclusion.forecast),
        correction_age=math.nan if verdict.age is None else verdict.age,
        volume=ready.source if ready else "",
        weights=ready.weights if ready else "",
        configuration=configuration,
    )


def row_of(status: Status, image_from_pixel: Array) -> PoseRow:
    """The row of an image in POSES.csv: the registered pose, where there is none the tracked one.

    Where the arm has not even said that, the image is put at the origin of the volume: a matrix has to be there.
    Runtimes are 0, since they are the only thing that differs from one run to the next.
    """
    pose = next((each for each in (status.registered, status.tracked) if each is not None), np.eye(4))
    return PoseRow(
        status.frame,
        status.stamp / 1e9,
        ACCEPTED if status.accepted else REJECTED,
        status.reason,
        status.lncc,
        status.overlap,
        0.0,
        pose @ image_from_pixel,
    )


def write_statuses(path: Path, statuses: Sequence[Status]) -> None:
    """Write a line of JSON for each, whole or not at all. Raises InputError when its folder cannot be written."""
    with written_whole(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for status in statuses:
            plain = {each.name: _plain(getattr(status, each.name)) for each in fields(status)}
            file.write(json.dumps(plain, allow_nan=False) + "\n")


def _result(outcome: Outcome) -> dict[str, Any]:
    result = outcome.result
    if result is None:
        nothing = dict.fromkeys(("prior", "registered", "motion", "covariance", "iterations", "followed"))
        return nothing | dict.fromkeys(("lncc_before", *_SIGNALS), math.nan)
    return {
        "prior": result.prior,
        "registered": result.registered,
        "motion": result.motion,
        "covariance": result.covariance,
        "lncc_before": result.lncc_before,
        **{name: getattr(result.signals, name) for name in _SIGNALS},
        "iterations": result.iterations,
        "followed": result.followed,
    }


def _broadcast(held: Held | None) -> dict[str, Any]:
    if held is None:
        return {"broadcast_motion": None, "broadcast_covariance": None, "broadcast_age": math.nan}
    return {"broadcast_motion": held.motion, "broadcast_covariance": held.covariance, "broadcast_age": held.age}


def _prediction(name: str, found: Prediction | None) -> dict[str, Any]:
    return {
        f"{name}_motion": None if found is None else found.motion,
        f"{name}_covariance": None if found is None else found.covariance,
        f"{name}_horizon": math.nan if found is None else found.horizon,
        f"{name}_error": math.nan if found is None else found.recent_error,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return [_plain(each) for each in value.tolist()]
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value
