"""The report of a replay: plots, numbers, and a page that shows them without any other file."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from deeprs2v_ros.demo import latency
from deeprs2v_ros.demo.accuracy import WRONG, Spread, distances, spread, summarise
from deeprs2v_ros.demo.guidance import IN_WORDS
from deeprs2v_ros.demo.plot import target_plot
from deeprs2v_ros.demo.recording import Points, Recording
from deeprs2v_ros.demo.recording import Status as RecordedStatus
from deeprs2v_ros.files import write_folder
from deeprs2v_ros.geometry import Array, apply, inverse
from deeprs2v_ros.pages import heading, page, paragraph, picture, table
from deeprs2v_ros.replay.agreement import Agreement, in_words
from deeprs2v_ros.replay.plot import course_plot
from deeprs2v_ros.replay.replay import Replayed
from deeprs2v_ros.replay.statuses import Status
from deeprs2v_ros.replay.views import guidance_views

_NONE = Points(np.zeros(0, np.int64), np.zeros((0, 3)))


@dataclass(frozen=True)
class Errors:
    """Distances (mm) of the target from where it was recorded to be, at the times that images show.

    ``registered``: where accepted registrations put it; ``uncorrected``: at rest, for the same images; ``broadcast``:
    where TF puts it after each image, accepted or held; ``forecast``: where it had been predicted when the image came;
    ``latest``: for the same images, where the last one put it.
    ``wrong`` registrations were accepted and are off by more than `WRONG`.
    """

    registered: Spread
    uncorrected: Spread
    broadcast: Spread
    forecast: Spread
    latest: Spread
    wrong: int


def errors_of(replayed: Replayed) -> Errors | None:
    """How far off the target was; None where the bag does not say where it was."""
    if not _knows_target(replayed):
        return None
    truth, statuses = _truth(replayed), _within_truth(replayed)
    accepted = [each for each in statuses if each.accepted]

    def off(motions: list[tuple[int, Array | None]]) -> Array:
        return distances(_points(replayed, motions), truth)

    registered = off([(each.shown, each.motion) for each in accepted])
    return Errors(
        spread(registered),
        spread(off([(each.shown, np.eye(4)) for each in accepted])),
        spread(off([(each.shown, each.broadcast_motion) for each in statuses])),
        spread(off([(each.shown, each.forecast_motion) for each in statuses])),
        spread(off(_latest(statuses))),
        int(np.count_nonzero(registered > WRONG)),
    )


def write_report(folder: Path, replayed: Replayed, bag: Path, volume: Path) -> None:
    """Write index.html, course.png and summary.json into ``folder``, about a ``bag`` that was played.

    As well guidance.png and guidance.webp, if anything was accepted, and target.png, where the target's place is known.
    Raises InputError for a folder that cannot be written.
    """
    pictures = {"course.png": course_plot(replayed.statuses)}
    errors = errors_of(replayed)
    if errors is not None and any(each.state == "TRACKING" for each in _within_truth(replayed)):
        recording = _as_recording(replayed)
        pictures["target.png"] = target_plot(recording, summarise(recording))
    summary = _summary(replayed, errors)
    parts = [paragraph(f"{bag}, played without ROS; poses from {replayed.poses}."), heading("In numbers")]
    parts.append(table(_rows(summary, errors, replayed.agreement)))
    seen = guidance_views(replayed, bag, volume)
    pictures |= seen
    if seen:
        parts += [
            heading("What the physician sees"),
            picture(seen["guidance.png"], "Live frame, slices of the volume, and the blend", full=True),
            paragraph(IN_WORDS),
            picture(seen["guidance.webp"], "The guidance view", full=True, kind="webp"),
            paragraph("The guidance view around where the organ was farthest from rest."),
        ]
    stages = [each.stages for each in replayed.said.values() if each.accepted]
    if stages:
        parts += [
            heading("Where the time of an image went, when the nodes ran"),
            table(latency.rows(stages), latency.COLUMNS, numbers=True),
            paragraph("Of images that they accepted, from the image's stamp on."),
        ]
    if "target.png" in pictures:
        parts += [heading("Where the target is"), picture(pictures["target.png"], "Target over time", full=True)]
    parts += [
        heading("State, likeness and motion"),
        picture(pictures["course.png"], "State, LNCC and motion over time", full=True),
    ]
    text = json.dumps(summary, indent=1) + "\n"
    html = page("Replay of a recording", *parts)
    write_folder(folder, {**pictures, "summary.json": text.encode(), "index.html": html.encode()})


def _summary(replayed: Replayed, errors: Errors | None) -> dict[str, object]:
    of_images = [each for each in replayed.statuses if each.frame is not None]
    used = max(replayed.statuses, key=lambda each: bool(each.volume))
    return {
        "images": len(of_images),
        "accepted": sum(each.accepted for each in of_images),
        "states": dict(Counter(each.state for each in of_images)),
        "reasons": dict(Counter(each.reason for each in of_images if not each.accepted)),
        "followed": sum(bool(each.followed) for each in of_images),
        "set_aside": replayed.set_aside,
        "nodes": _against_nodes(replayed.agreement),
        "volume": used.volume,
        "weights": used.weights,
        "configuration": used.configuration,
        "errors_mm": None if errors is None else _plain(asdict(errors)),
    }


def _against_nodes(found: Agreement | None) -> object:
    return None if found is None else _plain(asdict(found)) | {"reproduced": found.reproduced}


def _rows(summary: dict, errors: Errors | None, agreement: Agreement | None) -> list[tuple[str, str]]:
    rows = [
        ("images", str(summary["images"])),
        ("accepted", f"{summary['accepted']} ({100.0 * summary['accepted'] / summary['images']:.1f} %)"),
        ("followed, not searched", str(summary["followed"])),
        ("states", _counts(summary["states"])),
        ("not accepted", _counts(summary["reasons"])),
    ]
    if summary["set_aside"]:
        rows.append(("not registered, as by the nodes", _counts(summary["set_aside"])))
    if agreement is not None:
        rows.append(("against the nodes", in_words(agreement)))
    if errors is not None:
        rows += [
            ("target, accepted registrations", _millimetres(errors.registered)),
            ("the same without correction", _millimetres(errors.uncorrected)),
            ("target as on TF after each image", _millimetres(errors.broadcast)),
            ("target as predicted for each image", _millimetres(errors.forecast)),
            ("the same as the last image had it", _millimetres(errors.latest)),
            ("accepted but wrong", f"{errors.wrong} off by more than {WRONG:g} mm"),
        ]
    return rows


def _knows_target(replayed: Replayed) -> bool:
    known = replayed.base_from_volume is not None and replayed.target_in_volume is not None
    return known and len(replayed.truth) > 1


def _truth(replayed: Replayed) -> Points:
    stamps = sorted(replayed.truth)
    return Points(np.array(stamps, np.int64), np.array([replayed.truth[stamp] for stamp in stamps]))


def _within_truth(replayed: Replayed) -> list[Status]:
    """The statuses of images that show a time at which the target's place is known."""
    first, last = min(replayed.truth), max(replayed.truth)
    return [each for each in replayed.statuses if each.frame is not None and first <= each.shown <= last]


def _latest(statuses: list[Status]) -> list[tuple[int, Array | None]]:
    """What was on TF when an image came for whose time there was a prediction."""
    return [
        (each.shown, before.broadcast_motion) for before, each in pairwise(statuses) if each.forecast_motion is not None
    ]


def _points(replayed: Replayed, motions: list[tuple[int, Array | None]]) -> Points:
    """Where motions C at times put the target in base_link: tissue at y in the volume is then at C^-1 y."""
    known = [(time, motion) for time, motion in motions if motion is not None]
    moved = [apply(inverse(motion), replayed.target_in_volume) for _, motion in known]
    positions = apply(replayed.base_from_volume, np.array(moved).reshape(-1, 3))
    return Points(np.array([time for time, _ in known], np.int64), positions)


def _as_recording(replayed: Replayed) -> Recording:
    """As if the nodes had been recorded, for the plot of the demo."""
    statuses = _within_truth(replayed)
    at_work = [each for each in statuses if each.broadcast_motion is not None]
    times = np.array([each.shown for each in statuses], np.int64)
    broadcasts = np.array([each.shown for each in at_work], np.int64)
    return Recording(
        images=times,
        images_received=np.array([each.received for each in statuses], np.int64),
        statuses=tuple(_as_recorded(each) for each in statuses),
        broadcasts=broadcasts,
        broadcasts_received=np.array([each.concluded for each in at_work], np.int64),
        encoders=_NONE.stamps,
        truth=_truth(replayed),
        target=_points(replayed, [(each.shown, each.broadcast_motion) for each in at_work]),
        target_now=_points(replayed, _latest(statuses)),
        target_predicted=_points(replayed, [(each.shown, each.forecast_motion) for each in statuses]),
        end=max(each.concluded for each in statuses),
        base_from_volume=replayed.base_from_volume,
        target_in_volume=replayed.target_in_volume,
        target_radius=replayed.target_radius,
        volume_file=Path(replayed.statuses[-1].volume),
        image_shape=replayed.images.shape,
    )


def _as_recorded(status: Status) -> RecordedStatus:
    nothing = np.full((4, 4), np.nan)
    tracked, registered, motion = (
        nothing if each is None else each for each in (status.tracked, status.registered, status.motion)
    )
    return RecordedStatus(
        status.shown, status.frame is not None, status.state, status.accepted, status.reason,
        tracked, registered, motion,
        float(status.concluded - status.stamp),
        stages=(np.nan,) * len(latency.STAGES),
        predicted_at=status.concluded, predicted=nothing,
        uncertainty=np.full((6, 6), np.nan), middle=np.full(3, np.nan),
    )  # fmt: skip


def _millimetres(found: Spread) -> str:
    if not found.count:
        return "none"
    return f"RMS {found.rms:.2f} mm (95 % within {found.p95:.2f}, worst {found.max:.2f}; {found.count} images)"


def _counts(counts: dict[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{number} {name}" for name, number in ordered) or "none"


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return None if isinstance(value, float) and np.isnan(value) else value
