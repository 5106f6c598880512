"""One method's results, set against the reference; of one clip or, pooled, of several."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.evaluation.errors import PoseErrors, pose_errors
from deeprs2v_ros.evaluation.landmarks import Landmarks
from deeprs2v_ros.evaluation.poses import ACCEPTED, PoseRow, read_poses
from deeprs2v_ros.geometry import Array
from deeprs2v_ros.imaging.sequence import Sequence as Clip

BEFORE = "before registration"
TRUTH = "true pose"


@dataclass(frozen=True)
class Method:
    """A method's name and what it made of N frames, which are of one clip or of several.

    ``clips`` (N,) and ``frames`` (N,) say which frame of which clip each is. ``errors`` are those of its pose,
    ``targets`` (N arrays) those of the landmarks that it shows (TRE, mm), ``before`` (N,) how far it was off before
    registration (mm, NaN if that is not known). ``rows`` are those of POSES.csv, which poses that come from no method
    do not have.
    """

    name: str
    clips: NDArray[np.str_]
    frames: NDArray[np.int64]
    errors: PoseErrors
    targets: tuple[Array, ...]
    before: Array
    rows: tuple[PoseRow, ...] = ()

    @property
    def accepted(self) -> NDArray[np.bool_]:
        """Which frames the method accepted, (N,)."""
        return np.array([row.status == ACCEPTED for row in self.rows], dtype=bool)

    @property
    def runtime(self) -> Array:
        """Milliseconds a frame, (N,)."""
        return np.array([row.runtime_ms for row in self.rows])

    @property
    def target_errors(self) -> Array:
        """TRE of all landmarks of all frames, mm."""
        return np.concatenate(self.targets) if self.targets else np.empty(0)

    def of_clip(self, clip: str) -> Method:
        """The part that belongs to one clip."""
        here = np.flatnonzero(self.clips == clip)
        errors = PoseErrors(self.errors.translation[here], self.errors.euler[here], self.errors.geodesic[here])
        targets, rows = tuple(self.targets[i] for i in here), tuple(self.rows[i] for i in here if self.rows)
        return Method(self.name, self.clips[here], self.frames[here], errors, targets, self.before[here], rows)

    def from_start(self, start: Method) -> Method:
        """The same, knowing how far off each frame was in ``start``."""
        known = dict(zip(zip(start.clips, start.frames, strict=True), start.errors.euclidean, strict=True))
        keys = zip(self.clips, self.frames, strict=True)
        return replace(self, before=np.array([known.get(key, np.nan) for key in keys]))


def pooled(parts: Iterable[Method]) -> Method:
    """The frames of all ``parts``, at least one and of one method, together."""
    parts = list(parts)
    names = ("translation", "euler", "geodesic")
    errors = PoseErrors(*(np.concatenate([getattr(part.errors, name) for part in parts]) for name in names))
    clips, frames, before = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("clips", "frames", "before")
    )
    targets, rows = (sum((getattr(part, name) for part in parts), ()) for name in ("targets", "rows"))
    return Method(parts[0].name, clips, frames, errors, targets, before, rows)


def clip_names(methods: Sequence[Method]) -> list[str]:
    """All clips, in the order in which they appear."""
    return list(dict.fromkeys(clip for method in methods for clip in method.clips.tolist()))


def method_from_poses(
    name: str, path: Path, reference: Clip, landmarks: Landmarks | None = None, clip: str = ""
) -> Method:
    """Set POSES.csv against the reference: frame i belongs to reference frame i modulo their number.

    Frames whose reference is not valid are left out. Raises InputError for a faulty file, for a frame that appears
    twice, for reference frames that are missing or not there equally often, and for pixels of another size.
    """
    rows = sorted(read_poses(path), key=lambda row: row.frame)
    numbers = [row.frame for row in rows]
    if len(set(numbers)) < len(numbers):
        twice = next(number for number in numbers if numbers.count(number) > 1)
        raise InputError(f"{path}: frame {twice} appears more than once")
    seen = np.bincount(np.array(numbers) % len(reference), minlength=len(reference))[reference.valid]
    if seen.min() == 0 or seen.min() < seen.max():
        raise InputError(
            f"{path}: its {len(rows)} frames do not hold each of the reference's {seen.size} valid frames equally often"
        )
    rows = [row for row in rows if reference.valid[row.frame % len(reference)]]
    frames = np.array([row.frame for row in rows])
    found = np.array([row.world_from_pixel for row in rows])
    return _method(name, path, clip, frames, found, reference, landmarks, tuple(rows))


def method_from_start(
    path: Path, start: Clip, reference: Clip, landmarks: Landmarks | None = None, clip: str = ""
) -> Method:
    """The poses before registration, from the sequence that was registered, as a first row to compare with."""
    if len(start) % len(reference):
        raise InputError(f"{path}: holds {len(start)} frames, not a multiple of the reference's {len(reference)}")
    frames = np.flatnonzero(start.valid & np.tile(reference.valid, len(start) // len(reference)))
    return _method(BEFORE, path, clip, frames, start.world_from_pixel[frames], reference, landmarks)


def method_from_truth(path: Path, reference: Clip, landmarks: Landmarks, clip: str = "") -> Method:
    """The true poses. What they leave at landmarks is deformation, which no rigid registration can undo."""
    frames = np.flatnonzero(reference.valid)
    return _method(TRUTH, path, clip, frames, reference.world_from_pixel[frames], reference, landmarks)


def _method(
    name: str,
    path: Path,
    clip: str,
    frames: NDArray[np.int64],
    found: Array,
    reference: Clip,
    landmarks: Landmarks | None,
    rows: tuple[PoseRow, ...] = (),
) -> Method:
    belongs = frames % len(reference)
    try:
        errors = pose_errors(reference.world_from_pixel[belongs], found, reference.frames.shape[1:])
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    targets: tuple[Array, ...] = (np.empty(0),) * len(frames)
    if landmarks is not None:
        targets = tuple(landmarks.errors(*pair) for pair in zip(belongs, found, strict=True))
    unknown = np.full(len(frames), np.nan)
    return Method(name, np.full(len(frames), clip), frames, errors, targets, unknown, rows)
