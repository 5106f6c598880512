"""A frame of which nothing is known: displaced four times as far as the paper does."""

from __future__ import annotations

from functools import partial

import numpy as np
from tqdm import tqdm

from deeprs2v_ros.registration.methods import make_tracker
from measuring.report import Section, Table
from measuring.subject import Subject
from measuring.timing import Times, significant

SEED, SCALE = 100, 4.0
RIGHT, WRONG = 2.0, 5.0
"""mm: an end below the one is right; an accepted one beyond the other is wrong."""


def measure(subject: Subject, repeats: int) -> Section:
    """Register every frame ``repeats`` times from far away."""
    tracker = make_tracker("lncc", subject.volume, subject.mask, subject.image_from_pixel, temporal=False)
    times, errors, before, accepted = Times(), [], [], []
    for image, true, start in tqdm(list(subject.displaced(SEED, SCALE, repeats)), desc="lost", unit="frame"):
        found = times.call(partial(tracker.register_frame, image, start, arm=subject.arm))
        before.append(subject.error(start, true)[0])
        errors.append(subject.error(found.registered, true)[0])
        accepted.append(found.accepted)
    errors, accepted = np.array(errors), np.array(accepted)
    numbers = {
        "frames": len(errors),
        "before_mm": float(np.mean(before)),
        "right": float(np.mean(errors < RIGHT)),
        "accepted": float(accepted.mean()),
        "accepted_wrong": int(np.count_nonzero(accepted & (errors > WRONG))),
        "accepted_beyond_2_mm": int(np.count_nonzero(accepted & (errors >= RIGHT))),
        "seconds": times,
        "target": {"right": 0.99, "accepted": 0.95, "accepted_wrong": 0, "median_ms": 250.0},
    }
    rows = [
        ("error before, mean", f"{significant(numbers['before_mm'])} mm", ""),
        (f"under {RIGHT:g} mm", f"{100.0 * numbers['right']:.1f} %", "99 %"),
        ("accepted", f"{100.0 * numbers['accepted']:.1f} %", "95 %"),
        (f"accepted, though over {WRONG:g} mm", str(numbers["accepted_wrong"]), "0"),
        (f"accepted, though over {RIGHT:g} mm", str(numbers["accepted_beyond_2_mm"]), ""),
        ("median", f"{significant(1e3 * times.median)} ms", "250 ms"),
        ("95th percentile", f"{significant(1e3 * times.p95)} ms", ""),
        ("CPU, median", f"{significant(1e3 * times.busy)} ms", ""),
    ]
    text = (
        f"`lncc`, {numbers['frames']} starts ({repeats} of each frame), displaced by up to (40, 40, 20) mm and "
        f"(20, 20, 40) degrees, seed {SEED}; nothing is known of the organ."
    )
    return Section("Lost", text, Table(("`lncc`", "measured", "target"), rows), numbers=numbers)
