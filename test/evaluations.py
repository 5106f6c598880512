"""Results with known errors, for the tests of the evaluation."""

import numpy as np
from scipy.spatial.transform import Rotation

from deeprs2v_ros.evaluation.errors import PoseErrors
from deeprs2v_ros.evaluation.method import Method
from deeprs2v_ros.evaluation.poses import PoseRow, write_poses
from deeprs2v_ros.geometry import from_motion, inverse, rigid, split_pixel_transform
from deeprs2v_ros.imaging.sequence import Sequence

SHAPE = (40, 60)
SCALE = np.diag([0.3, 0.4, 1.0, 1.0])


def poses(count, seed=0):
    """Pixel transforms at random poses."""
    rng = np.random.default_rng(seed)
    rotations = Rotation.random(count, random_state=seed).as_matrix()
    return np.array([rigid(r, t) @ SCALE for r, t in zip(rotations, rng.normal(0, 50, (count, 3)), strict=True)])


def centre_to_image():
    """The image frame with its origin moved to the image's centre."""
    return rigid(translation=((SHAPE[1] - 1) / 2 * 0.3, (SHAPE[0] - 1) / 2 * 0.4, 0))


def moved(pixel_transforms, motions):
    """The poses after ``motions`` (tx, ty, tz, wx, wy, wz), each in its image's frame and about the image's centre."""
    c = centre_to_image()
    result = []
    for transform, motion in zip(pixel_transforms, motions, strict=True):
        pose, scale = split_pixel_transform(transform)
        result.append(pose @ c @ from_motion(motion) @ inverse(c) @ scale)
    return np.array(result)


def make_reference():
    """A sequence of five frames with true poses."""
    transforms = poses(5)
    return Sequence(np.zeros((5, *SHAPE), np.uint8), transforms, np.arange(5) / 10, np.ones(5, bool))


def rows_of(transforms, status="ACCEPTED", runtime_ms=50.0):
    return [PoseRow(i, i / 10, status, "", 0.9, 0.95, runtime_ms, t) for i, t in enumerate(transforms)]


def results(tmp_path, reference, error_mm, repeats=1, name="lncc", **fields):
    """POSES.csv of results that are off by random motions of ``error_mm``."""
    transforms = np.tile(reference.world_from_pixel, (repeats, 1, 1))
    motions = (
        np.random.default_rng(len(name)).normal(0, 1, (len(transforms), 6)) * error_mm * [1, 1, 1, 0.01, 0.01, 0.01]
    )
    path = tmp_path / f"{name}.csv"
    write_poses(path, rows_of(moved(transforms, motions), **fields))
    return path


def of_errors(name, clip, before, after, lncc=0.9, accepted=True):
    """A method whose frames were off by ``before`` and ``after`` mm."""
    after = np.asarray(after, float)
    count = len(after)
    errors = PoseErrors(after[:, None] * [1.0, 0.0, 0.0], np.zeros((count, 3)), np.zeros(count))
    lncc, accepted = np.broadcast_to(lncc, count), np.broadcast_to(accepted, count)
    rows = tuple(
        PoseRow(i, i / 10, "ACCEPTED" if accepted[i] else "REJECTED", "", float(lncc[i]), 1.0, 50.0, np.eye(4))
        for i in range(count)
    )
    nothing = (np.empty(0),) * count
    return Method(name, np.full(count, clip), np.arange(count), errors, nothing, np.asarray(before, float), rows)
