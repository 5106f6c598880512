"""Learning the gate: thresholds that let right results pass and keep wrong ones out.

Results whose error is known are gathered from simulated subjects: frames displaced up to twice the paper's range, and,
as what must never pass, frames held against the volume of another subject. A gate on a grid of thresholds is worth the
right results that pass, less many for each wrong one; of those nearly as good as the best, the strictest is taken. So
that no line hugs the few results that were seen, each counts as a cloud of results like it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import about, apply, image_centre, inverse, split_pixel_transform
from deeprs2v_ros.imaging.mask import read_mask
from deeprs2v_ros.imaging.sequence import read_sequence
from deeprs2v_ros.imaging.volume import read_volume
from deeprs2v_ros.registration.gate import Signals
from deeprs2v_ros.registration.methods import make_tracker
from deeprs2v_ros.registration.settings import GateSettings
from deeprs2v_ros.training.clips import ClipFiles
from deeprs2v_ros.training.pairs import draw_displacement

WRONG = 5.0  # mm, the clinical limit
COST = 100.0
"""As many right results may be rejected if that keeps a wrong one out."""

CLOUD, WIDTH = 60, 0.2
"""Results like each one, and their standard deviation as a share of the quartile range of the right ones."""

SHARES = (0.0, 0.01, 0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4)
"""Of the right results that a line may keep out."""

NEARLY = 0.95
"""Gates that are worth so much of what the best one is count as equally good, and the strictest of them is taken: other
images bring what simulated ones do not."""

LINES = {"lncc": "minimum_lncc", "margin": "minimum_margin", "sigma": "maximum_sigma", "surprise": "maximum_surprise"}
"""Signals with a learnt line, and its name in `GateSettings`. The others are what a plausible pose is by definition."""


@dataclass(frozen=True)
class Sample:
    """What the gate sees of a result, and the distance (mm) between its image centre and the true one."""

    signals: Signals
    error: float


def gather(
    clips: Sequence[ClipFiles], method: str, seed: int, every: int = 3, weights: str | None = None
) -> Iterator[Sample]:
    """Register every ``every``-th frame of the ``clips``, and a third as many against another subject's volume."""
    rng = np.random.default_rng(seed)
    for index, files in enumerate(clips):
        stranger = next(other for other in [*clips[index:], *clips[:index], files] if other.volume != files.volume)
        sequence = read_sequence(files.sequence)
        mask = read_mask(files.mask, sequence.frames.shape[1:])
        image_from_pixel = split_pixel_transform(sequence.world_from_pixel[0])[1]
        centre = image_centre(mask.shape, image_from_pixel)
        for volume_of, stride in ((files, every), (stranger, 3 * every)):
            volume = read_volume(volume_of.volume)
            tracker = make_tracker(method, volume, mask, image_from_pixel, temporal=False, weights=weights)
            for frame in range(int(rng.integers(stride)), len(sequence), stride):
                truth, _ = split_pixel_transform(sequence.world_from_pixel[frame])
                displacement = draw_displacement(rng, rng.uniform(0.3, 2.0))
                result = tracker.register_frame(sequence.frames[frame], truth @ about(centre, displacement))
                off = apply(inverse(truth) @ result.registered, centre) - centre
                yield Sample(result.signals, float(np.linalg.norm(off)) if volume_of is files else np.inf)


def learn_gate(samples: Sequence[Sample], start: GateSettings, seed: int = 0) -> GateSettings:
    """The gate with the best `LINES`, the others as in ``start``; ``seed`` is that of the clouds.

    Raises InputError where nothing is right, or where it is best to keep everything out.
    """
    kept = [s for s in samples if _plausible(s.signals, start)]
    values = np.array([[_upright(name, s.signals) for name in LINES] for s in kept])
    wrong = np.array([s.error > WRONG for s in kept])
    count = np.count_nonzero(wrong)
    if count == len(kept):
        raise InputError(f"gate: of {len(samples)} results none is right and plausible")
    right = values[~wrong]
    reach = np.subtract(*np.quantile(right, (0.75, 0.25), axis=0))
    noise = np.random.default_rng(seed).normal(scale=WIDTH, size=(CLOUD, *values.shape))
    clouds = (values + noise * reach).reshape(-1, len(LINES))
    # From the laxest line, beyond the last right result, to the strictest.
    limits = np.vstack([right.min(axis=0) - 3.0 * WIDTH * reach, np.quantile(right, SHARES, axis=0)])
    limits[:, np.ptp(values, axis=0) == 0.0] = -np.inf  # what is always the same tells nothing apart
    worth = np.tile(np.where(wrong, -COST, 1.0), CLOUD)

    gained = np.empty((len(limits),) * len(LINES))
    for lines in product(range(len(limits)), repeat=len(LINES) - 1):
        inside = np.logical_and.reduce([clouds[:, k] >= limits[line, k] for k, line in enumerate(lines)])
        # For the last line all limits at once: what each keeps out, summed up.
        order = np.searchsorted(limits[:, -1], clouds[inside, -1], side="right")
        gained[lines] = np.bincount(order, weights=worth[inside], minlength=len(limits) + 1)[:0:-1].cumsum()[::-1]
    if not gained.max() > 0.0:
        raise InputError(f"gate: no lines tell the {count} wrong results from the right ones")
    kept_out = sum(np.meshgrid(*[(0.0, *SHARES)] * len(LINES), indexing="ij"))
    chosen = np.unravel_index(np.where(gained >= NEARLY * gained.max(), kept_out, -1.0).argmax(), gained.shape)
    upright = {field: limits[line, k] for k, (line, field) in enumerate(zip(chosen, LINES.values(), strict=True))}
    learnt = {field: limit if field.startswith("minimum") else -limit for field, limit in upright.items()}
    return replace(start, **{field: float(f"{limit:.3g}") for field, limit in learnt.items() if np.isfinite(limit)})


def _plausible(signals: Signals, gate: GateSettings) -> bool:
    return (
        signals.overlap >= gate.minimum_overlap
        and signals.translation <= gate.maximum_translation
        and signals.rotation <= gate.maximum_rotation
    )


def _upright(name: str, signals: Signals) -> float:
    """The signal, turned so that more is better."""
    return getattr(signals, name) if LINES[name].startswith("minimum") else -getattr(signals, name)
