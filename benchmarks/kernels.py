"""How fast the inner loops are, as ratios against what one would otherwise use, in one run.

    python benchmarks/kernels.py

Slicing: the plane alone, with its gradient, against SimpleITK resampling the same plane without one.
Arm: the image's pose with its covariance, against chaining SciPy rotations for the pose alone.
Evaluation: slice, LNCC, and its gradient and curvature by the motion; and the score alone; against that same resampling
and, for the sums of LNCC's windows, five box filters (OpenCV).
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import perf_counter

import cv2
import numpy as np
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from deeprs2v_ros.arm.description import read_arm
from deeprs2v_ros.arm.uncertainty import UncertainArm
from deeprs2v_ros.geometry import rigid
from deeprs2v_ros.imaging.packing import pack
from deeprs2v_ros.imaging.slicing import Lattice, SampledVolume, take_slice
from deeprs2v_ros.registration.belief import Belief
from deeprs2v_ros.registration.cells import in_cells
from deeprs2v_ros.registration.correction import Task, believing, evaluate, score
from deeprs2v_ros.resources import resource

LATTICE = Lattice((233, 291), (0.8, 0.8), (0.0, 0.0))
WINDOW = 31
REPEATS = 15


def milliseconds(work: Callable[[], object]) -> float:
    """Median time of one call, after one to warm up."""
    work()
    times = []
    for _ in range(REPEATS):
        began = perf_counter()
        work()
        times.append(1e3 * (perf_counter() - began))
    return median(times)


def main() -> None:
    """Measure and print."""
    rng = np.random.default_rng(0)
    array = rng.random((191, 239, 309), dtype=np.float32)
    volume, everywhere = SampledVolume(array, np.eye(4)), np.ones(LATTICE.shape, bool)
    turn = np.linalg.qr(np.eye(3) + 0.1 * rng.standard_normal((3, 3)))[0]
    pose = rigid(turn * np.sign(np.diag(turn)), [20.0, 20.0, 90.0])

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    cv2.setNumThreads(1)
    image, plane = sitk.GetImageFromArray(array), sitk.Image(*LATTICE.shape[::-1], 1, sitk.sitkFloat32)
    plane.SetSpacing([*LATTICE.spacing, 1.0])
    plane.SetOrigin(pose[:3, 3].tolist())
    plane.SetDirection(pose[:3, :3].ravel().tolist())

    frame = rng.random(LATTICE.shape, dtype=np.float32)
    x, y = LATTICE.x, LATTICE.y
    cells = in_cells(frame, everywhere, x, y, LATTICE.spacing, WINDOW)
    believed = Belief(pose, np.eye(6))
    task = believing(Task(pack(volume), cells, np.zeros(3), 0.8, np.empty(0), np.empty(0), 0.0), [believed], 0.0075)

    def resample() -> sitk.Image:
        return sitk.Resample(image, plane)

    def resample_and_correlate() -> list[np.ndarray]:
        b = sitk.GetArrayFromImage(resample())[0]
        products = (frame, b, frame * frame, b * b, frame * b)
        return [cv2.boxFilter(product, -1, (WINDOW, WINDOW)) for product in products]

    arm = read_arm(resource("config/arm/liver.yaml"))
    uncertain = UncertainArm(arm, "us_image")

    def chained() -> np.ndarray:
        pose = np.eye(4)
        for name, joint in arm.chain.joints.items():
            turned = rigid(Rotation.from_rotvec(arm.rest.get(name, 0.0) * joint.axis).as_matrix())
            pose = pose @ joint.parent_from_joint @ turned
        return pose

    rows = (
        ("pose with covariance", lambda: uncertain.pose(arm.rest), "SciPy, pose alone", chained),
        ("slice with gradient", lambda: take_slice(volume, LATTICE, pose, everywhere), "SimpleITK resample", resample),
        ("evaluation", lambda: evaluate(task, pose), "resample, box filters", resample_and_correlate),
        ("score alone", lambda: score(task, pose), "resample, box filters", resample_and_correlate),
    )
    for ours, work, baseline, other in rows:
        fast, slow = milliseconds(work), milliseconds(other)
        print(f"{ours:20s} {fast:8.3f} ms   {baseline:21s} {slow:8.3f} ms   ratio {slow / fast:6.1f}")


if __name__ == "__main__":
    main()
