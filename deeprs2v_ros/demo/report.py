"""The report of a recorded run: pictures, a plot, numbers, and a page that shows them without any other file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from deeprs2v_ros.demo import latency
from deeprs2v_ros.demo.accuracy import WRONG, Spread, Summary, summarise, tracking_began, true_positions
from deeprs2v_ros.demo.film import film
from deeprs2v_ros.demo.guidance import IN_WORDS, Accepted, Target, guidance_picture
from deeprs2v_ros.demo.plot import target_plot
from deeprs2v_ros.demo.recording import Recording, read_recording
from deeprs2v_ros.demo.scenes import scenery, sights
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import apply, inverse
from deeprs2v_ros.imaging.image_geometry import ImageGeometry
from deeprs2v_ros.pages import heading, page, paragraph, picture, table

Rows = Sequence[tuple[str, str]]


def write_report(
    bag: Path, folder: Path, pixel_size: tuple[float, float], source: str, subject: int | None = None
) -> Summary:
    """Write guidance.png, guidance.webp, target.png, summary.json and index.html about the run in ``bag``.

    All go into ``folder``. ``pixel_size`` is that of the images, (x, y) mm; ``source`` says in a few words what the
    images were; ``subject`` is the seed of a simulated one. Raises InputError if the bag cannot be read, or if nothing
    was ever tracked in it.
    """
    recording = read_recording(bag)
    summary = summarise(recording)
    if not summary.target.count:
        states = ", ".join(f"{count} {state}" for state, count in summary.states.items())
        raise InputError(f"{bag}: the target was never tracked ({states})")
    patient = scenery(recording, bag, pixel_size, subject)
    target, began = Target(recording.target_in_volume, recording.target_radius), tracking_began(recording)
    images = ImageGeometry(recording.image_shape, pixel_size)
    pictures = {
        "guidance.png": guidance_picture(
            accepted_images(recording), sights(bag, pixel_size), patient, images, target, began
        ),
        "guidance.webp": film(sights(bag, pixel_size), patient, pixel_size, began),
        "target.png": target_plot(recording, summary),
    }
    for name, content in pictures.items():
        (folder / name).write_bytes(content)
    (folder / "summary.json").write_text(json.dumps(summary.to_json(), indent=1) + "\n", encoding="utf-8")
    (folder / "index.html").write_text(_page(recording, summary, pictures, source), encoding="utf-8")
    return summary


def accepted_images(recording: Recording) -> list[Accepted]:
    """The accepted images of which the truth is known."""
    known = set(recording.truth.stamps.tolist())
    statuses = [each for each in recording.statuses if each.accepted and each.stamp in known]
    stamps = np.array([each.stamp for each in statuses], np.int64)
    true = apply(inverse(recording.base_from_volume), true_positions(recording.truth, stamps))
    pairs = zip(statuses, true, strict=True)
    return [Accepted(each.stamp, each.tracked, each.registered, each.motion, at) for each, at in pairs]


def summary_rows(summary: Summary) -> Rows:
    """The summary as (what, value) pairs to print."""
    accounting = summary.accounting
    if accounting.exactly_one:
        statuses = f"{accounting.images} images, each with exactly one status"
    else:
        statuses = (
            f"{accounting.images} images: {len(accounting.missing)} without a status, "
            f"{len(accounting.repeated)} with several, {len(accounting.unknown)} statuses of no image"
        )
    return (
        ("tracked", f"{summary.tracking:.1f} s of {summary.duration:.1f} s"),
        ("images", f"{summary.image_rate:.1f} per second; encoder samples {summary.encoder_rate:.0f} per second"),
        ("statuses", statuses),
        ("accepted", f"{100 * summary.accepted_share:.1f} %{_counts(summary.reasons)}"),
        ("tumour error while TRACKING", _millimetres(summary.target)),
        ("the same without correction", _millimetres(summary.uncorrected)),
        ("tumour now, when asked", _millimetres(summary.target_predicted)),
        ("prediction there when asked", f"{100 * summary.predicted_share:.1f} % of the time"),
        ("true position in its 95 % ellipsoid", f"{100 * summary.inside:.1f} %"),
        ("latest measured position, when asked", _millimetres(summary.target_now)),
        ("accepted but wrong", f"{summary.wrong} of {summary.registered.count} off by more than {WRONG:g} mm"),
        ("image to TF", f"median {summary.latency.median:.0f} ms, 95 % within {summary.latency.p95:.0f} ms"),
    )


def _millimetres(spread: Spread) -> str:
    if not spread.count:
        return "none"
    return f"RMS {spread.rms:.2f} mm (mean {spread.mean:.2f}, 95 % within {spread.p95:.2f}, worst {spread.max:.2f})"


def _counts(counts: dict[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return f"; not accepted: {', '.join(f'{number} {name}' for name, number in ordered)}" if ordered else ""


def _page(recording: Recording, summary: Summary, pictures: dict[str, bytes], source: str) -> str:
    return page(
        "Guidance of a breathing liver",
        paragraph(source),
        '<p class="headline">The tumour moves with every breath; taken to be at rest, it would be '
        f"<b>{summary.uncorrected.rms:.1f} mm</b> off (RMS). Whoever asked at any moment where it is now was told to "
        f"<b>{summary.target_predicted.rms:.1f} mm</b>; where it was on an image, to {summary.target.rms:.1f} mm.</p>",
        heading("What the physician sees"),
        picture(pictures["guidance.png"], "Live frame, slices of the volume and the MRI, and the blend", full=True),
        paragraph(IN_WORDS),
        picture(pictures["guidance.webp"], "The guidance view over ten seconds", full=True, kind="webp"),
        paragraph("The guidance view as it was shown, from the first image that was tracked on."),
        heading("Where the tumour is"),
        picture(pictures["target.png"], "True and broadcast position of the tumour over time", full=True),
        paragraph(
            "Looked up on TF in base_link by a separate process: measured, at the time of each image; predicted and "
            "latest measured, fifty times a second at whatever moment it was, against the truth at that moment."
        ),
        heading("Where the time of an image went"),
        table(
            latency.rows([each.stages for each in recording.statuses if each.accepted]), latency.COLUMNS, numbers=True
        ),
        paragraph("Of accepted images, from the image's stamp on."),
        heading("In numbers"),
        table(summary_rows(summary)),
        paragraph("The same in summary.json; every message in bag/, the parameters in parameters.yaml."),
    )
