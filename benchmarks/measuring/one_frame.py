"""One frame, displaced as the paper does, registered by our search, and by SimpleITK in two ways."""

from __future__ import annotations

from functools import partial

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from tqdm import tqdm

from deeprs2v_ros.geometry import Array, rigid
from deeprs2v_ros.imaging.averaging import area_average
from deeprs2v_ros.imaging.volume import to_image
from deeprs2v_ros.registration.methods import make_tracker
from measuring.report import Section, Table
from measuring.subject import Subject
from measuring.timing import Times, ratio, significant

SEED, SCALE = 0, 1.0
STEPS = 100
THREADS = 2
TARGET = "150 times faster than SimpleITK"


class GlobalCorrelation:
    """SimpleITK as one sets it up for a pair: one level of ``spacing`` mm, masks, correlation, regular steps."""

    def __init__(self, subject: Subject, spacing: float) -> None:
        self._centre, self._spacing = subject.centre, spacing
        image = sitk.Cast(to_image(subject.volume), sitk.sitkFloat32)
        self._moving = self._regular(image, sitk.sitkLinear)
        self._data = self._regular(sitk.Cast(image > 0, sitk.sitkUInt8), sitk.sitkNearestNeighbor)
        pixel = np.diag(subject.image_from_pixel)[:2]
        extent = np.array(subject.mask.shape) * pixel[::-1]
        self._shape = tuple(int(n) for n in np.clip(np.rint(extent / spacing), 1, subject.mask.shape))
        self._step = (extent / self._shape)[::-1]
        self._origin = (self._step - pixel) / 2.0
        whole = area_average(subject.mask.astype(np.float32), self._shape) > 0.99
        self._mask = self._slice(whole.astype(np.uint8))
        self.steps = 0

    def register(self, image: NDArray[np.uint8], start: Array) -> Array:
        """volume_from_image (4, 4) of ``image``, from ``start``."""
        method = sitk.ImageRegistrationMethod()
        method.SetNumberOfThreads(THREADS)
        method.SetMetricAsCorrelation()
        method.SetInterpolator(sitk.sitkLinear)
        # Otherwise the whole volume is differentiated for every frame, which takes longer than everything else.
        method.MetricUseFixedImageGradientFilterOff()
        method.MetricUseMovingImageGradientFilterOff()
        method.SetMetricFixedMask(self._mask)
        method.SetMetricMovingMask(self._data)
        where_from = sitk.AffineTransform(start[:3, :3].ravel().tolist(), start[:3, 3].tolist())
        method.SetMovingInitialTransform(where_from)
        motion = sitk.Euler3DTransform()
        motion.SetCenter(self._centre.tolist())
        method.SetInitialTransform(motion, inPlace=True)
        method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-3, STEPS, 0.5, gradientMagnitudeTolerance=1e-6)
        method.SetOptimizerScalesFromPhysicalShift()
        method.Execute(self._slice(area_average(image.astype(np.float32), self._shape)), self._moving)
        self.steps = method.GetOptimizerIteration()
        return start @ rigid(np.reshape(motion.GetMatrix(), (3, 3)), motion.TransformPoint((0.0, 0.0, 0.0)))

    def _regular(self, image: sitk.Image, interpolator: int) -> sitk.Image:
        size = [
            int(np.ceil(n * step / self._spacing)) for n, step in zip(image.GetSize(), image.GetSpacing(), strict=True)
        ]
        resample = sitk.ResampleImageFilter()
        resample.SetSize(size)
        resample.SetOutputSpacing([self._spacing] * 3)
        resample.SetOutputOrigin(image.GetOrigin())
        resample.SetOutputDirection(image.GetDirection())
        resample.SetInterpolator(interpolator)
        return resample.Execute(image)

    def _slice(self, array: NDArray) -> sitk.Image:
        image = sitk.GetImageFromArray(array[None])
        image.SetSpacing([*self._step.tolist(), self._spacing])
        image.SetOrigin([*self._origin.tolist(), 0.0])
        return image


def measure(subject: Subject, spacing: float, most: int) -> Section:
    """Register the first ``most`` displaced frames; SimpleITK's one level has points ``spacing`` mm apart."""
    baseline = GlobalCorrelation(subject, spacing)
    ours, itk = (
        make_tracker(method, subject.volume, subject.mask, subject.image_from_pixel, temporal=False)
        for method in ("lncc", "itk")
    )
    methods = {
        "SimpleITK, one level": baseline.register,
        "`itk`, SimpleITK in a pyramid": lambda image, start: itk.register_frame(image, start).registered,
        "`lncc`": lambda image, start: ours.register_frame(image, start, arm=subject.arm).registered,
    }
    times, errors = {name: Times() for name in methods}, {name: [] for name in methods}
    before = []
    frames = list(subject.displaced(SEED, SCALE))[:most]
    for image, _, start in frames[:1]:
        methods["`lncc`"](image, start)  # compiles
    for image, true, start in tqdm(frames, desc="one frame", unit="frame"):
        before.append(subject.error(start, true))
        for name, method in methods.items():
            found = times[name].call(partial(method, image, start))
            errors[name].append(subject.error(found, true))
    first, second, last = methods
    ratios = {name: ratio(times[name].wall, times[last].wall) for name in methods}
    busy = {name: ratio(times[name].cpu, times[last].cpu) for name in methods}
    rows = [("before", *_errors(before), "", "", "", "", "")]
    for name in methods:
        spent = times[name]
        rows.append(
            (
                name, *_errors(errors[name]), significant(1e3 * spent.median), significant(1e3 * spent.busy),
                *("1" if name == last else str(each[name]) for each in (ratios, busy)), TARGET if name == last else "",
            )
        )  # fmt: skip
    text = (
        f"{len(frames)} frames, each displaced by up to (10, 10, 5) mm and (5, 5, 10) degrees, seed {SEED}. "
        f"SimpleITK: global correlation, regular-step descent, both masks, one level of {spacing:g} mm as the authors "
        f"had, at most {STEPS} steps, {THREADS} threads; without the gradient of the whole volume, which it would "
        "otherwise take for every frame. `lncc` is the whole search from many places, on 2 threads."
    )
    columns = (
        "method", "error mm, mean", "median", "degrees, mean", "under 2 mm", "ms, median", "CPU ms",
        "times as long as `lncc`", "CPU, times as long", "target",
    )  # fmt: skip
    numbers = {
        "frames": len(frames),
        "before": summary(before),
        "methods": {name: {**summary(errors[name]), "seconds": times[name]} for name in methods},
        "ratio": ratios[first],
        "ratio_cpu": busy[first],
        "ratio_itk": ratios[second],
        "ratio_itk_cpu": busy[second],
        "target": {"ratio": 150},
    }
    return Section("One frame", text, Table(columns, rows), numbers=numbers)


def summary(errors: list[tuple[float, float]]) -> dict[str, float]:
    """Of pairs of mm and degrees."""
    millimetres, degrees = np.transpose(errors)
    return {
        "mean_mm": float(millimetres.mean()),
        "median_mm": float(np.median(millimetres)),
        "mean_degrees": float(degrees.mean()),
        "under_2_mm": float(np.mean(millimetres < 2.0)),
    }


def _errors(errors: list[tuple[float, float]]) -> tuple[str, ...]:
    each = summary(errors)
    numbers = (significant(each[name]) for name in ("mean_mm", "median_mm", "mean_degrees"))
    return (*numbers, f"{100.0 * each['under_2_mm']:.0f} %")
