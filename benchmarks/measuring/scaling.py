"""What the size of the images, that of the volume and the number of hypotheses cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from time import perf_counter

import cv2
import numpy as np
from tqdm import tqdm

from deeprs2v_ros.geometry import apply
from deeprs2v_ros.imaging.sequence import Sequence
from deeprs2v_ros.registration.belief import expected_scale
from deeprs2v_ros.registration.correction import screen
from deeprs2v_ros.registration.methods import make_tracker
from deeprs2v_ros.registration.search import FAR, displaced, search
from deeprs2v_ros.registration.tracker import Tracker
from deeprs2v_ros.simulation.breathing import Breathing
from deeprs2v_ros.simulation.scenes import RecordedScene
from measuring.levels import on_levels, true_pose
from measuring.report import Section, Table
from measuring.subject import Subject, resampled
from measuring.timing import Times, in_turns, significant

SHARES = {"a quarter of the pixels": 0.5, "half of the pixels": 0.5**0.5, "all pixels": 1.0}
"""By which each side of the images shrinks."""
SPACINGS = (1.6, 0.8, 0.5)  # mm
HYPOTHESES = (64, 250, 1000, 4000)
SEED, RATE = 7, 30.0


def measure(subject: Subject, repeats: int, spacings: tuple[float, ...] = SPACINGS) -> Section:
    """Each of the three on its own, everything else as it is; ``repeats`` turns."""
    rows, numbers = [], {"images": {}, "volumes": {}, "hypotheses": {}}
    works: dict[str, Callable[[], object]] = {}
    prepared: dict[str, float] = {}
    sizes = {}
    for name, share in SHARES.items():
        small = shrunk(subject, share)
        works |= steps(small, make(small), name)
        sizes[name] = "x".join(map(str, small.mask.shape[::-1]))
    for name, found in by_name(turns(works, repeats, "image size")).items():
        numbers["images"][name] = {"size": sizes[name], **found}
        rows.append(row(f"images: {name}, {sizes[name]}", found, ""))
    works, sizes = {}, {}
    for spacing in spacings:
        extent = np.array(subject.volume.size) * subject.volume.spacing
        volume = resampled(subject.volume, tuple(np.maximum(np.rint(extent / spacing), 2).astype(int)), spacing)
        other, name = replace(subject, volume=volume), f"{spacing:g} mm"
        sizes[name] = "x".join(map(str, volume.size))
        began = perf_counter()
        tracker = make(other)
        prepared[name] = perf_counter() - began
        works |= steps(other, tracker, name)
    for name, found in by_name(turns(works, repeats, "volume size")).items():
        numbers["volumes"][name] = {"size": sizes[name], "prepared_seconds": prepared[name], **found}
        rows.append(row(f"volume: voxels of {name}, {sizes[name]}", found, significant(prepared[name])))
    for count, found in hypotheses(subject, repeats).items():
        numbers["hypotheses"][str(count)] = found
        each = 1e6 * found["screening"].least / count
        rows.append((f"{count} hypotheses, {each:.3g} us each to screen", "", ms(found["search"]), ms_cpu(found), ""))
    text = (
        "One thing is changed at a time. A step follows the next image of the breathing liver; a search registers a "
        f"displaced frame from many places; {FAR.starts} of the hypotheses climb. ms: the least of the repetitions, "
        "then the median. Preparing: from the volume in memory to a tracker."
    )
    columns = ("what", "step, ms", "search, ms", "search, CPU ms", "preparing, s")
    return Section("Cost by size", text, Table(columns, rows), numbers=numbers)


def shrunk(subject: Subject, share: float) -> Subject:
    """The same frames with each side ``share`` as many pixels."""
    rows, columns = subject.mask.shape
    size = round(columns * share), round(rows * share)
    old_from_new = np.diag([columns / size[0], rows / size[1], 1.0, 1.0])
    old_from_new[:2, 3] = 0.5 * np.diag(old_from_new)[:2] - 0.5
    frames = subject.frames
    images = np.stack([cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in frames.frames])
    mask = cv2.resize(subject.mask.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.999
    smaller = Sequence(images, frames.world_from_pixel @ old_from_new, frames.timestamps, frames.valid)
    return replace(subject, frames=smaller, mask=mask)


def make(subject: Subject) -> Tracker:
    """A tracker that carries the motion from frame to frame."""
    return make_tracker("lncc", subject.volume, subject.mask, subject.image_from_pixel)


def steps(subject: Subject, tracker: Tracker, name: str) -> dict[str, Callable[[], object]]:
    """The next step of ``tracker`` along a scene, and the next search."""
    alone = make_tracker("lncc", subject.volume, subject.mask, subject.image_from_pixel, temporal=False)
    middle = apply(subject.volume.volume_from_voxel, (np.array(subject.volume.size) - 1) / 2.0)
    breathing = Breathing(1, 15.0, 4.0, 0.0, centre=tuple(middle))
    scene = RecordedScene(subject.frames, subject.mask, breathing, middle, RATE)
    starts = list(subject.displaced(SEED, 1.0))
    index = {"step": 0, "search": 0}

    def step() -> None:
        index["step"] += 1
        tracked = scene.pose(index["step"])
        image = scene.image(index["step"], tracked)
        tracker.register_frame(image, tracked, round(1e9 * (1.0 + index["step"] / RATE)))

    def one_search() -> None:
        index["search"] += 1
        image, _, start = starts[index["search"] % len(starts)]
        alone.register_frame(image, start)

    return {f"{name}/step": step, f"{name}/search": one_search}


def turns(works: dict[str, Callable[[], object]], repeats: int, what: str) -> dict[str, Times]:
    """`in_turns`, with a line of progress; every work needs some calls to settle, the first step is a search."""
    for work in tqdm(works.values(), desc=what, unit="work"):
        for _ in range(5):
            work()
    return in_turns(works, repeats)


def by_name(times: dict[str, Times]) -> dict[str, dict[str, Times]]:
    """Steps and searches of the same name together."""
    grouped: dict[str, dict[str, Times]] = {}
    for key, spent in times.items():
        name, _, kind = key.rpartition("/")
        grouped.setdefault(name, {})[kind] = spent
    return grouped


def row(name: str, found: dict[str, Times], prepared: str) -> tuple[str, ...]:
    """One row of the table."""
    return name, ms(found["step"]), ms(found["search"]), ms_cpu(found), prepared


def ms(spent: Times) -> str:
    """The least and the median."""
    return f"{significant(1e3 * spent.least)}, {significant(1e3 * spent.median)}"


def ms_cpu(found: dict[str, Times]) -> str:
    """What a search took of all cores."""
    return significant(1e3 * found["search"].busy)


def hypotheses(subject: Subject, repeats: int) -> dict[int, dict[str, Times]]:
    """Searches from so many poses about the true one, `lost` times as wide as usual."""
    tracker, tasks = on_levels(subject)
    scale = tracker.settings.lost**2 * expected_scale(None, tracker.settings.organ)
    draws = np.random.default_rng(SEED).normal(size=(max(HYPOTHESES), 6)) @ np.linalg.cholesky(scale).T
    poses = displaced(true_pose(subject), subject.centre, draws)
    works = {}
    for count in HYPOTHESES:
        works[f"{count}/screening"] = lambda count=count: screen(tasks[0], poses[:count])
        works[f"{count}/search"] = lambda count=count: search(tasks, poses[:count], tracker.settings, FAR.starts)
    return {int(name): found for name, found in by_name(turns(works, repeats, "hypotheses")).items()}
