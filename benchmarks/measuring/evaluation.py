"""One evaluation, value, gradient and curvature, on every level, against other ways to have it."""

from __future__ import annotations

import numpy as np
import torch
from tqdm import tqdm

from deeprs2v_ros.registration.correction import evaluate, score
from measuring.baselines import WINDOW, PlaneAndBoxes, WholeVolume
from measuring.levels import on_levels, true_pose
from measuring.report import Section, Table
from measuring.subject import Subject
from measuring.timing import Times, in_turns, ratio, significant

OLD = (35.0, 130.0, 585.0, 4200.0)
"""us an evaluation on each level of the former engine, as it was committed. Given, not measured here."""
OLD_EVALUATIONS = 250
"""And how many a search had. Given as well."""


def measure(subject: Subject, repeats: int, authors: int) -> Section:
    """Time each level in ``repeats`` turns, and ``authors`` iterations of the authors' way on the finest one."""
    tracker, tasks = on_levels(subject)
    pose = true_pose(subject)
    image = tracker.mask * subject.frames.frames[len(subject.frames) // 2] * np.float32(1 / 255)
    rows, numbers = [], {}
    for number, (level, task) in enumerate(
        zip(tqdm(tracker.levels, desc="evaluation", unit="level"), tasks, strict=True)
    ):
        plain = PlaneAndBoxes(level.volume, level.lattice, level.average(image), level.window)
        works = {
            "evaluation": lambda task=task: evaluate(task, pose),
            "score": lambda task=task: score(task, pose),
            "plane and boxes": lambda plain=plain: plain.evaluate(pose),
        }
        times = in_turns(works, repeats)
        ours, points = times["evaluation"], task.cells.valid
        compared = ratio(times["plane and boxes"].wall, ours.wall)
        numbers[f"{level.spacing:.3g} mm"] = {
            "points": points,
            "seconds": times,
            "ns_a_point": 1e9 * ours.least / max(points, 1),
            "ratio_plane_and_boxes": compared,
            "old_us_given": OLD[number] if number < len(OLD) else None,
        }
        old = OLD[number] if number < len(OLD) else float("nan")
        rows.append(
            (
                f"{level.spacing:.3g} mm", str(points), significant(1e6 * ours.least), significant(1e6 * ours.median),
                significant(1e9 * ours.least / max(points, 1)), significant(1e6 * times["score"].least),
                significant(1e6 * times["plane and boxes"].least), str(compared), f"{old:g}",
                significant(old / (1e6 * ours.least)),
            )
        )  # fmt: skip
    way = WholeVolume(tracker.levels[-1].volume, tracker.levels[-1].lattice, tracker.levels[-1].average(image))
    way.iterate(pose)
    whole, ours = Times(), Times()
    for _ in tqdm(range(authors), desc="the authors' way", unit="iteration"):
        whole.call(lambda: way.iterate(pose))
        ours.call(lambda: evaluate(tasks[-1], pose), 20)
    compared = ratio(whole.wall, ours.wall)
    note = (
        f"The authors' way on the finest level, value and gradient of one iteration: {significant(whole.median)} s, "
        f"CPU {significant(whole.busy)} s, on {torch.get_num_threads()} threads: **{compared} times** as long as one "
        f"evaluation, which has the curvature too and one thread. It resamples the whole volume to the frame's grid "
        f"({way.points / 1e6:.1f} million points), keeps one slice, and takes LNCC in dense windows of "
        f"{WINDOW}x{WINDOW} by convolution; written plainly with torch, gradient by automatic differentiation."
    )
    text = (
        "Value, gradient and curvature by the six parameters, on one thread, the middle frame at its true pose; us are "
        "the least of the repetitions, then the median. `score` is the value alone. Plane and boxes: SimpleITK "
        "resamples the plane, SciPy filters five products with boxes of the same window: the value alone."
    )
    given = (
        f"The former engine's figures are given, not measured here: they were committed with it, as were its "
        f"{OLD_EVALUATIONS} evaluations a search, on another day and perhaps another machine."
    )
    columns = (
        "points apart", "points", "us, least", "us, median", "ns a point", "score, us", "plane and boxes, us",
        "times as long", "former engine, us (given)", "times as long",
    )  # fmt: skip
    result = {
        "levels": numbers,
        "authors": {"seconds": whole, "points": way.points, "ratio": compared},
        "old_given": {"us": OLD, "evaluations": OLD_EVALUATIONS},
    }
    return Section("One evaluation", text, Table(columns, rows), (note, given), result)
