"""From the start of a process to its first registered frame, and how much memory that takes.

A process of its own for every start: `python preparing.py VOLUME FRAMES MASK` prints what it took, as JSON.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter, process_time

BEGAN = perf_counter()
LARGE = (400, 320, 240), 0.5


def measure(subject, repeats: int, large: bool = True, compiling: bool = True):  # noqa: ANN001, ANN201 (see below)
    """Start ``repeats`` times with the `Subject`'s volume and a ``large`` one, and once with nothing compiled.

    Returns a `Section`. A child must not import more than it needs, so that is done here.
    """
    import cv2
    import numpy as np
    from tqdm import tqdm

    from deeprs2v_ros.imaging.sequence import write_sequence
    from deeprs2v_ros.imaging.volume import write_volume
    from measuring.report import Section, Table
    from measuring.subject import resampled
    from measuring.timing import significant

    rows, numbers = [], {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_sequence(folder / "frames.igs.mha", subject.frames)
        cv2.imwrite(str(folder / "mask.png"), np.where(subject.mask, 255, 0).astype(np.uint8))
        volumes = {"the subject's": subject.volume}
        if large:
            volumes["large"] = resampled(subject.volume, *LARGE)
        starts = []
        for title, volume in volumes.items():
            path = folder / f"{title[:3]}.mha"
            write_volume(path, volume)
            size = f"{'x'.join(map(str, volume.size))} at {volume.spacing[0]:g} mm"
            if compiling and not starts:
                starts.append((f"{title}, {size}: nothing compiled yet", path, True))
            starts.append((f"{title}, {size}: first", path, False))
            starts += [(f"{title}, {size}: again", path, False)] * repeats
        found: dict[str, list[dict[str, float]]] = {}
        for title, path, cold in tqdm(starts, desc="preparing", unit="start"):
            found.setdefault(title, []).append(child(path, folder, cold))
    for title, each in found.items():
        numbers[title] = each
        of = {key: float(np.median([start[key] for start in each])) for key in each[0]}
        rows.append(
            (
                title, *(significant(of[key]) for key in ("importing", "reading", "preparing")),
                significant(1e3 * of["first_frame"]), significant(of["process"]),
                significant(of["cpu"]), f"{of['peak_mb']:.0f}",
            )
        )  # fmt: skip
    text = (
        "A process of its own each time: importing, reading the file, preparing (pyramid, packing, and one empty frame "
        "so that all is compiled or loaded), and the first frame, a search. The operating system may have the file in "
        f"its cache. Where there are several starts ({repeats}), their median. The large volume is the middle of the "
        "other one, resampled, and made up by reflection where that ends."
    )
    columns = (
        "volume",
        "importing, s",
        "reading, s",
        "preparing, s",
        "first frame, ms",
        "process, s",
        "CPU, s",
        "peak, MB",
    )
    return Section("Starting", text, Table(columns, rows), numbers={"starts": numbers})


def child(volume: Path, folder: Path, cold: bool) -> dict[str, float]:
    """What one start took; ``cold`` with an empty cache of compiled code. Raises RuntimeError if it fails."""
    command = [sys.executable, __file__, *map(str, (volume, folder / "frames.igs.mha", folder / "mask.png"))]
    environment = dict(os.environ)
    with tempfile.TemporaryDirectory() as cache:
        if cold:
            environment["NUMBA_CACHE_DIR"] = cache
        began = perf_counter()
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        wall = perf_counter() - began
    if done.returncode:
        raise RuntimeError(f"preparing: {done.stderr.strip().splitlines()[-1]}")
    return {**json.loads(done.stdout), "process": wall}


def start(volume_path: str, sequence_path: str, mask_path: str) -> dict[str, float]:
    """Do it, in this process: seconds of every part, and peak memory in MB."""
    from deeprs2v_ros.geometry import image_centre, rigid, split_pixel_transform
    from deeprs2v_ros.imaging.image_geometry import ImageGeometry  # noqa: F401 (the nodes import it)
    from deeprs2v_ros.imaging.mask import read_mask
    from deeprs2v_ros.imaging.sequence import read_sequence
    from deeprs2v_ros.imaging.volume import read_volume
    from deeprs2v_ros.registration.methods import make_tracker

    imported = perf_counter()
    frames = read_sequence(sequence_path)
    mask = read_mask(mask_path, frames.frames.shape[1:])
    pose, image_from_pixel = split_pixel_transform(frames.world_from_pixel[0])
    began = perf_counter()
    volume = read_volume(volume_path)
    read = perf_counter()
    tracker = make_tracker("lncc", volume, mask, image_from_pixel)
    amid = rigid(translation=tracker.middle - image_centre(mask.shape, image_from_pixel))
    tracker.register_frame(0 * frames.frames[0], amid)  # as the nodes do, see registration/preparation.py
    tracker.reset()
    prepared = perf_counter()
    tracker.register_frame(frames.frames[0], pose)
    return {
        "importing": imported - BEGAN,
        "reading": read - began,
        "preparing": prepared - read,
        "first_frame": perf_counter() - prepared,
        "cpu": process_time(),
        "peak_mb": peak(),
    }


def peak() -> float:
    """Peak memory of this process in MB.

    Not by getrusage, whose number a process inherits from the one that started it.
    """
    return int(re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8"))[1]) / 1024.0


if __name__ == "__main__":
    print(json.dumps(start(*sys.argv[1:])))
