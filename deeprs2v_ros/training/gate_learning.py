"""Learning the gate: thresholds that let right results pass and keep wrong ones out.

Results whose error is known are gathered from simulated subjects: frames displaced up to twice the paper's range, and,
as what must never pass, frames held against the volume of another subject. Thresholds are then found by peeling (the
patient rule induction method of Friedman and Fisher, 1999): whichever line of the gate sheds the most wrong results for
the fewest right ones is tightened by a little, again and again, until hardly a wrong one passes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import Array, about, apply, image_centre, inverse, split_pixel_transform
from deeprs2v_ros.imaging.mask import read_mask
from deeprs2v_ros.imaging.sequence import read_sequence
from deeprs2v_ros.imaging.volume import read_volume
from deeprs2v_ros.registration.gate import Signals
from deeprs2v_ros.registration.methods import make_tracker
from deeprs2v_ros.registration.settings import GateSettings
from deeprs2v_ros.training.clips import ClipFiles
from deeprs2v_ros.training.pairs import draw_displacement

WRONG = 5.0  # mm, the clinical limit
PEEL = 0.01
"""Share of the results that one cut takes away at the most."""

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


def learn_gate(samples: Sequence[Sample], start: GateSettings, most_wrong: float = 0.0) -> GateSettings:
    """The gate whose `LINES` let pass at most a share ``most_wrong`` of wrong results, the others as in ``start``.

    Every line ends half-way between the last result it lets pass and the first one that it keeps out. Raises InputError
    where that would keep everything out.
    """
    kept = [s for s in samples if _plausible(s.signals, start)]
    values = np.array([[_upright(name, s.signals) for name in LINES] for s in kept])
    wrong = np.array([s.error > WRONG for s in kept])
    inside = np.ones(len(kept), dtype=bool)
    lowest = np.full(len(LINES), -np.inf)
    while inside.any() and np.count_nonzero(wrong & inside) > most_wrong * np.count_nonzero(inside):
        line, cut = _best_cut(values, wrong, inside)
        lowest[line] = cut
        inside &= values[:, line] > cut
    if not inside.any():
        raise InputError(
            f"gate: no lines keep out the {np.count_nonzero(wrong)} wrong results and let any right one pass"
        )
    limits = {}
    for index, field in enumerate(LINES.values()):
        if np.isfinite(lowest[index]):
            value = 0.5 * (lowest[index] + values[inside, index].min())
            limits[field] = float(f"{value if field.startswith('minimum') else -value:.3g}")
    return replace(start, **limits)


def _plausible(signals: Signals, gate: GateSettings) -> bool:
    return (
        signals.overlap >= gate.minimum_overlap
        and signals.translation <= gate.maximum_translation
        and signals.rotation <= gate.maximum_rotation
    )


def _upright(name: str, signals: Signals) -> float:
    """The signal, turned so that more is better."""
    return getattr(signals, name) if LINES[name].startswith("minimum") else -getattr(signals, name)


def _best_cut(values: Array, wrong: NDArray[np.bool_], inside: NDArray[np.bool_]) -> tuple[int, float]:
    """Line and value at which a cut sheds the most wrong results for the fewest right ones."""
    best, chosen = -1.0, (0, np.inf)
    for line in range(values.shape[1]):
        cut = np.quantile(values[inside, line], PEEL, method="lower")
        shed = inside & (values[:, line] <= cut)
        worth = np.count_nonzero(shed & wrong) / (np.count_nonzero(shed & ~wrong) + 1.0)
        if worth > best:
            best, chosen = worth, (line, float(cut))
    return chosen
