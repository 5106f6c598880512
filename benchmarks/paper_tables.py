"""The paper's tables: every method on the same displaced frames, from one command.

    python benchmarks/paper_tables.py --subjects FOLDER --output REPORT
    python benchmarks/paper_tables.py --clip NAME VOLUME SEQUENCE MASK [LANDMARKS] --methods itk lncc deeprs2v+lncc \
                                      --scales 1 2 --repeats 4 --output REPORT

A clip is a volume, a sequence with the true poses of its frames, the frames' valid area, and landmarks if there are
any. A folder of subjects holds one folder a subject, with volume.mha and for each clip CLIP.igs.mha, CLIP.png and
CLIP.landmarks.csv, as training/subjects.py writes them. The poses are displaced at random by each of the scales times
the paper's range, and every method registers them home; the last one is the one that the others are compared with. As
on a cart, registration knows how sure the tracked pose is: with the arm as it is shipped, never calibrated.

REPORT/index.html shows Tables 1 to 3, the distributions of the errors (Fig. 7), the capture range and the calibration
of the confidence. POSES.csv of every clip, scale and method is kept in REPORT/poses/: a run that was interrupted goes
on where it stopped, and clips, scales and methods may be added later.
"""

from __future__ import annotations

import argparse
import json
import sys
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parent))

from measuring.arm import nominal_arm

from deeprs2v_ros.cli.register import register
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.evaluation.landmarks import Landmarks, read_landmarks
from deeprs2v_ros.evaluation.machine import processor
from deeprs2v_ros.evaluation.method import Method, method_from_poses, method_from_start, method_from_truth, pooled
from deeprs2v_ros.evaluation.perturbation import perturbed
from deeprs2v_ros.evaluation.poses import write_poses
from deeprs2v_ros.evaluation.report import Condition, write_report
from deeprs2v_ros.files import written_whole
from deeprs2v_ros.geometry import split_pixel_transform
from deeprs2v_ros.imaging.mask import read_mask
from deeprs2v_ros.imaging.sequence import Sequence as Frames
from deeprs2v_ros.imaging.sequence import read_sequence
from deeprs2v_ros.imaging.volume import read_volume
from deeprs2v_ros.registration.methods import METHODS

BAD_INPUT, INTERRUPTED = 2, 130


@dataclass(frozen=True)
class Settings:
    """How clips are displaced and registered, and on what."""

    seed: int
    repeats: int
    frames: int | None
    temporal: bool
    device: str
    machine: str
    arm: str = "nominal"
    """Whose covariance the tracked poses have."""


@dataclass(frozen=True)
class Files:
    """The files of a clip."""

    name: str
    volume: Path
    sequence: Path
    mask: Path
    landmarks: Path | None = None


@dataclass(frozen=True)
class Clip:
    """A clip: its files, its frames with their true poses, their valid area, and landmarks if there are any."""

    files: Files
    frames: Frames
    mask: NDArray[np.bool_]
    landmarks: Landmarks | None

    @property
    def name(self) -> str:
        """What it is called in tables and folders."""
        return self.files.name


@dataclass(frozen=True)
class Job:
    """A clip, displaced by a ``scale``, for a ``method``, and where the registered ``poses`` go."""

    clip: Clip
    scale: float
    method: str
    poses: Path


def main(argv: Sequence[str] | None = None) -> int:
    """Run with ``argv`` (the process's if None); returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subjects", type=Path, metavar="FOLDER", help="simulated subjects, all of their clips")
    parser.add_argument(
        "--clip", action="append", nargs="+", default=[], metavar="FILE", help="NAME VOLUME SEQUENCE MASK [LANDMARKS]"
    )
    parser.add_argument(
        "--methods", nargs="+", default=tuple(METHODS), metavar="METHOD[@WEIGHTS]",
        help=f"of `deeprs2v register` ({' '.join(METHODS)}), with other weights if one likes",
    )  # fmt: skip
    parser.add_argument("--scales", type=float, nargs="+", default=(1.0, 2.0), help="of the paper's range (1 2)")
    parser.add_argument("--seed", type=int, default=0, help="of the displacements (0)")
    parser.add_argument("--repeats", type=int, default=1, help="displacements of each frame (1)")
    parser.add_argument("--frames", type=int, help="of each clip, evenly chosen (all)")
    parser.add_argument("--temporal", action="store_true", help="carry the organ's motion from frame to frame")
    parser.add_argument("--device", default="cpu", help="cpu or cuda, for methods that have a network (cpu)")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="folder for the report")
    try:
        run(parser.parse_args(argv))
    except (InputError, OSError) as error:
        print(f"paper_tables: error: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("paper_tables: interrupted; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    return 0


def run(arguments: argparse.Namespace) -> None:
    """Register whatever is not there yet, and write the report."""
    files = [given_clip(words) for words in arguments.clip]
    files += subject_clips(arguments.subjects) if arguments.subjects else []
    names = [each.name for each in files]
    if not names or len(set(names)) < len(names):
        raise InputError("two clips have the same name" if names else "no clip is given (--subjects, --clip)")
    settings = Settings(
        *(getattr(arguments, name) for name in ("seed", "repeats", "frames", "temporal", "device")),
        machine=machine(arguments.device),
    )
    clips = [load_clip(each, settings.frames) for each in files]
    folder = arguments.output / "poses"
    jobs = [
        Job(clip, scale, method, folder / clip.name / f"x{scale:g}" / f"{method.replace('/', '_')}.csv")
        for clip in clips
        for scale in arguments.scales
        for method in arguments.methods
    ]
    for clip in clips:
        remember(folder / clip.name, clip.files, settings)
    register_missing(jobs, settings)

    conditions = [condition([job for job in jobs if job.scale == scale], settings) for scale in arguments.scales]
    sources = (
        f"Clips: {', '.join(names)}.",
        f"Displaced by up to {' and '.join(f'{scale:g}' for scale in arguments.scales)} times (10, 10, 5) mm and "
        f"(5, 5, 10) degrees about the image centre, {settings.repeats} times each frame, seed {settings.seed}"
        f"{'; each frame starts from the last motion of the organ' if settings.temporal else ''}.",
        "Tracked poses have the covariance of the liver cart's arm as it is shipped, never calibrated.",
    )
    for table in write_report(arguments.output, conditions, sources, settings.machine):
        print(table.to_text(), end="\n\n")
    print(f"{arguments.output / 'index.html'}: the whole report")


def given_clip(words: Sequence[str]) -> Files:
    """The files of a clip from the words of the command line. Raises InputError if they are too few or too many."""
    if len(words) not in (4, 5):
        raise InputError(f"--clip {' '.join(words)}: is not NAME VOLUME SEQUENCE MASK [LANDMARKS]")
    return Files(words[0], *map(Path, words[1:]))


def subject_clips(folder: Path) -> list[Files]:
    """The files of all clips in a folder of subjects. Raises InputError if it holds none."""
    clips = []
    for sequence in sorted(folder.glob("*/*.igs.mha")):
        clip = sequence.name.removesuffix(".igs.mha")
        volume, mask, landmarks = map(sequence.with_name, ("volume.mha", f"{clip}.png", f"{clip}.landmarks.csv"))
        name = f"{sequence.parent.name}-{clip}"
        clips.append(Files(name, volume, sequence, mask, landmarks if landmarks.is_file() else None))
    if not clips:
        raise InputError(f"{folder}: holds no subject's clip (SUBJECT/CLIP.igs.mha)")
    return clips


def load_clip(files: Files, most: int | None) -> Clip:
    """Read a clip, and leave no more than ``most`` of its frames, evenly chosen. Raises InputError for faulty files."""
    frames = read_sequence(files.sequence)
    mask = read_mask(files.mask, frames.frames.shape[1:])
    landmarks = read_landmarks(files.landmarks, frames) if files.landmarks else None
    if most is not None and most < len(frames):
        kept = np.linspace(0, len(frames) - 1, most).round().astype(int)
        frames = Frames(frames.frames[kept], frames.world_from_pixel[kept], frames.timestamps[kept], frames.valid[kept])
        if landmarks is not None:
            seen = np.isin(landmarks.frames, kept)
            numbers = np.searchsorted(kept, landmarks.frames[seen])
            landmarks = Landmarks(numbers, landmarks.shown[seen], landmarks.placed[seen])
    return Clip(files, frames, mask, landmarks)


def remember(folder: Path, files: Files, settings: Settings) -> None:
    """Write down what the poses in ``folder`` belong to. Raises InputError if those there belong to something else."""
    facts = asdict(settings) | {
        name: str(path.resolve()) for name, path in vars(files).items() if isinstance(path, Path)
    }
    path = folder / "settings.json"
    if path.is_file():
        found = json.loads(path.read_text(encoding="utf-8"))
        other = [name for name in facts if facts[name] != found.get(name)]
        if other:
            raise InputError(
                f"{folder}: holds poses of another run ({other[0]}: {found.get(other[0])}, not {facts[other[0]]})"
            )
    folder.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def register_missing(jobs: Sequence[Job], settings: Settings) -> None:
    """Do all jobs whose poses are not there yet; a volume is read once for jobs that follow each other."""
    missing = [job for job in jobs if not job.poses.is_file()]
    path = volume = None
    total = settings.repeats * sum(len(job.clip.frames) for job in missing)
    with tqdm(total=total, unit="frame", disable=not missing) as progress:
        for job in missing:
            progress.set_description(f"{job.clip.name} x{job.scale:g} {job.method}")
            if path != job.clip.files.volume:
                path, volume = job.clip.files.volume, read_volume(job.clip.files.volume)
            method, _, weights = job.method.partition("@")
            device = settings.device if method in METHODS and METHODS[method].weights else "cpu"
            frames = displaced(job.clip, job.scale, settings)
            arm = nominal_arm(job.clip.mask.shape, split_pixel_transform(frames.world_from_pixel[0])[1])
            rows = []
            for row in register(
                frames, job.clip.mask, volume, method, settings.temporal,
                device=device, weights=weights or None, arm=arm,
            ):  # fmt: skip
                rows.append(row)
                progress.update()
            job.poses.parent.mkdir(exist_ok=True)
            write_poses(job.poses, rows)


def displaced(clip: Clip, scale: float, settings: Settings) -> Frames:
    """The frames of a clip with the poses to register them from: other draws for every clip and scale."""
    return perturbed(
        clip.frames, (settings.seed, zlib.crc32(f"{clip.name} {scale:g}".encode())), scale, settings.repeats
    )


def condition(jobs: Sequence[Job], settings: Settings) -> Condition:
    """What came of all ``jobs``, which are of one scale."""
    scale = jobs[0].scale
    starts: dict[str, Method] = {}
    truths: list[Method] = []
    results: dict[str, list[Method]] = {}
    for job in jobs:
        clip, files = job.clip, job.clip.files
        if clip.name not in starts:
            start = displaced(clip, scale, settings)
            starts[clip.name] = method_from_start(files.sequence, start, clip.frames, clip.landmarks, clip.name)
            if clip.landmarks is not None:
                truths.append(method_from_truth(files.sequence, clip.frames, clip.landmarks, clip.name))
        result = method_from_poses(job.method, job.poses, clip.frames, clip.landmarks, clip.name)
        results.setdefault(job.method, []).append(result.from_start(starts[clip.name]))
    methods = tuple(pooled(parts) for parts in results.values())
    return Condition(f"x{scale:g}", methods, pooled(starts.values()), pooled(truths) if truths else None)


def machine(device: str) -> str:
    """What registers: the processor, and the GPU if networks run on one."""
    if device == "cpu":
        return processor()
    import torch

    return f"{processor()}; networks on {torch.cuda.get_device_name()}"


if __name__ == "__main__":
    sys.exit(main())
