"""How well a recorded run knew where the target was, how fast, and whether every image was accounted for."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.stats import chi2

from deeprs2v_ros.demo.recording import Points, Recording, Stamps
from deeprs2v_ros.geometry import Array, apply, inverse

WRONG = 5.0
"""mm: clinically acceptable error at the target. An accepted registration beyond it is wrong."""

TRACKING = "TRACKING"

IN_FLIGHT = 10**9
"""ns: an image as young as this when the recording ended may still have been at work."""


@dataclass(frozen=True)
class Spread:
    """Statistics of ``count`` values; NaN when there is none."""

    count: int
    rms: float
    mean: float
    median: float
    p95: float
    max: float


@dataclass(frozen=True)
class Accounting:
    """Images and their statuses. ``missing`` and ``repeated`` are the stamps of images with none and with several,
    ``unknown`` those of statuses of no image.

    Not counted are images taken before the first status, when nobody listened yet, and those that were still at work
    when the recording ended.
    """

    images: int
    missing: list[int] = field(default_factory=list)
    repeated: list[int] = field(default_factory=list)
    unknown: list[int] = field(default_factory=list)

    @property
    def exactly_one(self) -> bool:
        """Whether every image has exactly one status."""
        return self.images > 0 and not (self.missing or self.repeated or self.unknown)


@dataclass(frozen=True)
class Summary:
    """The numbers of a run. Errors in mm, latencies in ms, rates per second.

    ``states``, ``reasons`` and ``accepted_share`` are those of images.
    ``target`` is the error of the look-ups at the image's stamp while TRACKING, ``uncorrected`` what it would have been
    for the same images if the organ had been taken to be at rest. ``target_now`` is that of the latest correction,
    asked many times a second, against the truth at that moment; ``target_predicted`` that of the prediction, asked at
    the same moments, and ``predicted_share`` at how many of them there was one. The true position was ``inside`` so
    many of the predictions' own ellipsoids for 95 %. ``registered`` is the error at the
    target of the accepted registrations themselves; ``wrong`` of them are off by more than `WRONG`. ``latency`` is from
    the image's stamp until the correction was broadcast, as the registration says; ``latency_seen`` until it was
    recorded.
    """

    duration: float
    tracking: float
    accounting: Accounting
    states: dict[str, int]
    reasons: dict[str, int]
    accepted_share: float
    target: Spread
    uncorrected: Spread
    target_now: Spread
    target_predicted: Spread
    predicted_share: float
    inside: float
    registered: Spread
    wrong: int
    latency: Spread
    latency_seen: Spread
    image_rate: float
    encoder_rate: float

    def to_json(self) -> dict[str, object]:
        """As plain numbers, with None for what does not exist."""
        plain = asdict(self) | {"exactly_one_status": self.accounting.exactly_one}
        return {name: _plain(value) for name, value in plain.items()}


def summarise(recording: Recording) -> Summary:
    """The numbers of ``recording``."""
    statuses = recording.statuses
    tracking = {status.stamp for status in statuses if status.state == TRACKING}
    of_images = [status for status in statuses if status.of_image]
    accepted = [status for status in of_images if status.accepted]
    looked_up = _at(recording.target, tracking & set(recording.truth.stamps.tolist()))
    registered = registered_target(recording)
    wrong = distances(registered, recording.truth)
    ordered = np.sort(recording.images)
    now, predicted = (within(p, recording.truth.stamps) for p in (recording.target_now, recording.target_predicted))
    return Summary(
        duration=(recording.end - ordered[0]) / 1e9,
        tracking=len(tracking) * float(np.median(np.diff(ordered))) / 1e9 if len(ordered) > 1 else 0.0,
        accounting=account(recording),
        states=dict(Counter(status.state for status in of_images)),
        reasons=dict(Counter(status.reason.partition(" ")[0] for status in of_images if not status.accepted)),
        accepted_share=len(accepted) / max(len(of_images), 1),
        target=spread(distances(looked_up, recording.truth)),
        uncorrected=spread(distances(at_rest(recording, looked_up.stamps), recording.truth)),
        target_now=spread(distances(now, recording.truth)),
        target_predicted=spread(distances(predicted, recording.truth)),
        predicted_share=len(predicted.stamps) / max(len(now.stamps), 1),
        inside=share_inside(recording),
        registered=spread(wrong),
        wrong=int(np.count_nonzero(wrong > WRONG)),
        latency=spread([status.latency / 1e6 for status in accepted]),
        latency_seen=spread((recording.broadcasts_received - recording.broadcasts) / 1e6),
        image_rate=_rate(recording.images),
        encoder_rate=_rate(recording.encoders),
    )


def tracking_began(recording: Recording) -> int:
    """Stamp of the first image that was tracked, which is time 0 of the report."""
    return min(status.stamp for status in recording.statuses if status.state == TRACKING)


def account(recording: Recording) -> Accounting:
    """Check that every image got exactly one status."""
    stamps = [status.stamp for status in recording.statuses if status.of_image]
    if not stamps:
        return Accounting(0)
    began, ended = min(stamps), recording.end - IN_FLIGHT
    counts = Counter(stamps)
    taken = zip(recording.images.tolist(), recording.images_received.tolist(), strict=True)
    due = [stamp for stamp, received in taken if stamp >= began and (received <= ended or stamp in counts)]
    return Accounting(
        images=len(due),
        missing=[stamp for stamp in due if counts[stamp] == 0],
        repeated=[stamp for stamp in due if counts[stamp] > 1],
        unknown=sorted(stamp for stamp in counts.keys() - set(due) if stamp > recording.images.min()),
    )


def distances(points: Points, truth: Points) -> Array:
    """Distance (N,) in mm of ``points`` from the truth at their stamps, which lie among those of ``truth``."""
    if not len(points.stamps):
        return np.zeros(0)
    return np.linalg.norm(points.positions - true_positions(truth, points.stamps), axis=1)


def true_positions(truth: Points, stamps: Stamps) -> Array:
    """Where the target was at ``stamps``: (N, 3), exact at those of ``truth``, a cubic spline in between."""
    times, first = np.unique(truth.stamps, return_index=True)
    if len(times) == 1:
        return np.broadcast_to(truth.positions[0], (len(stamps), 3))
    return CubicSpline((times - times[0]) / 1e9, truth.positions[first])((stamps - times[0]) / 1e9)


def registered_target(recording: Recording) -> Points:
    """Where each accepted registration puts the target in base_link: tissue at y in the volume is now at C^-1 y."""
    known = set(recording.truth.stamps.tolist())
    accepted = [status for status in recording.statuses if status.accepted and status.stamp in known]
    moved = [apply(inverse(status.motion), recording.target_in_volume) for status in accepted]
    stamps = np.array([status.stamp for status in accepted], dtype=np.int64)
    return Points(stamps, apply(recording.base_from_volume, np.array(moved).reshape(-1, 3)))


def share_inside(recording: Recording, probability: float = 0.95) -> float:
    """In how many of the ellipsoids that should hold it with ``probability`` the target truly was; NaN without any.

    The prediction of each status is asked for the target at y: with G a small motion of C about the middle m of the
    volume, it is at C^-1 G^-1 y, so a motion (t, w) of G moves it by -R^T (t + w x (y - m)), R being that of C.
    """
    began, ended = recording.truth.stamps.min(), recording.truth.stamps.max()
    told = [s for s in recording.statuses if np.isfinite(s.predicted).all() and began <= s.predicted_at <= ended]
    if not told:
        return float("nan")
    stamps = np.array([status.predicted_at for status in told], dtype=np.int64)
    truth = apply(inverse(recording.base_from_volume), true_positions(recording.truth, stamps))
    within = []
    for status, true in zip(told, truth, strict=True):
        x, y, z = recording.target_in_volume - status.middle
        moves = np.hstack([np.eye(3), [[0.0, z, -y], [-z, 0.0, x], [y, -x, 0.0]]])
        moves = -status.predicted[:3, :3].T @ moves
        off = true - apply(inverse(status.predicted), recording.target_in_volume)
        within.append(off @ np.linalg.solve(moves @ status.uncertainty @ moves.T, off))
    return float(np.mean(np.array(within) <= chi2.ppf(probability, 3)))


def at_rest(recording: Recording, stamps: Stamps) -> Points:
    """Where the target would be looked up at ``stamps`` without any correction."""
    position = apply(recording.base_from_volume, recording.target_in_volume)
    return Points(stamps, np.broadcast_to(position, (len(stamps), 3)))


def spread(values: NDArray[np.float64] | list[float]) -> Spread:
    """Statistics of ``values`` (N,)."""
    values = np.asarray(values, dtype=float)
    if not len(values):
        return Spread(0, *[float("nan")] * 5)
    median, p95 = np.percentile(values, [50, 95])
    rms = np.sqrt(np.mean(values**2))
    return Spread(len(values), *(float(value) for value in (rms, values.mean(), median, p95, values.max())))


def _at(points: Points, stamps: set[int]) -> Points:
    chosen = np.isin(points.stamps, np.array(sorted(stamps), dtype=np.int64))
    return Points(points.stamps[chosen], points.positions[chosen])


def within(points: Points, stamps: Stamps) -> Points:
    """The points between the first and the last of ``stamps``: beyond them the truth is not known."""
    inside = (points.stamps >= stamps.min()) & (points.stamps <= stamps.max())
    return Points(points.stamps[inside], points.positions[inside])


def _rate(stamps: Stamps) -> float:
    length = float(np.ptp(stamps)) / 1e9 if len(stamps) > 1 else 0.0
    return (len(stamps) - 1) / length if length > 0.0 else float("nan")


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return None if isinstance(value, float) and np.isnan(value) else value
