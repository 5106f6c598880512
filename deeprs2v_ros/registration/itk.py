"""The paper's baseline: SimpleITK's registration, global correlation climbed by regular-step gradient descent.

It is given what it needs to do well: a pyramid like that of our own method, though with the volume's speckle, and both
masks, so that the volume is smoothed once and not for every frame; the paper's d, a motion in image axes about the
image centre, so that the six parameters mean the same wherever the frame is; and settings found on simulated subjects.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from deeprs2v_ros.geometry import Array, rigid
from deeprs2v_ros.imaging.volume import Volume, to_image
from deeprs2v_ros.registration.belief import Belief
from deeprs2v_ros.registration.correction import LEVER, on_level
from deeprs2v_ros.registration.pyramid import Level
from deeprs2v_ros.registration.settings import LevelSettings, RegistrationSettings
from deeprs2v_ros.registration.tracker import Tracker
from deeprs2v_ros.registration.uncertainty import pose_covariance

LEVELS = tuple(
    LevelSettings(spacing, window, ()) for spacing, window in ((6.4, 60.0), (3.2, 40.0), (1.6, 25.0), (0.8, 25.0))
)
"""LNCC on the last one only says how well the result fits, and on the one before how sure it is."""

SHORTENED = 0.9
"""What becomes of the length of a step when the gradient turns back."""

TURN = 4.0
"""By how much less the descent turns than its gradient says, at the lever of `correction`."""

THREADS = 2
"""As many as the correction has; a fixed number adds up in a fixed order."""


class Descent(NamedTuple):
    """The descent on one level: its first and its shortest step (mm), how many there may be, and with which masks.

    Without the volume's mask, what lies beyond its data is black: sliding out of the volume has a price. With it, only
    what frame and volume have in common counts.
    """

    first: float
    shortest: float
    steps: int
    within_data: bool = True


DESCENTS = (
    Descent(1.0, 0.01, 400, within_data=False),
    Descent(0.5, 0.01, 400),
    Descent(0.25, 0.005, 200),
    Descent(0.1, 0.003, 100),
)
"""With the volume's mask on the first level as well, a third more frames end more than 5 mm off."""


class Moving(NamedTuple):
    """A level's volume as an image, and where it holds data."""

    image: sitk.Image
    mask: sitk.Image


class ItkTracker(Tracker):
    """Registers frames to one ``volume`` with SimpleITK, as `Tracker` does otherwise.

    All that is around it is the same for every method: where a frame starts from, what of it is compared, the signals,
    and the gate. Of the ``settings``, it has its own levels.
    """

    def __init__(
        self,
        volume: Volume,
        mask: NDArray[np.bool_],
        image_from_pixel: Array,
        temporal: bool = False,
        settings: RegistrationSettings | None = None,
    ) -> None:
        settings = replace(settings or RegistrationSettings(), levels=LEVELS)
        super().__init__(volume, mask, image_from_pixel, settings, temporal, self._descend, correction=False)
        self._moving = [moving_volume(level) for level in self.levels]

    def _descend(self, image: NDArray[np.uint8], prior: Array) -> Belief:
        """Where the descent leads from ``prior``, volume_from_image (4, 4) mm, and how sure that is."""
        frame = self.mask * image * np.float32(1 / 255)
        averaged = [level.average(frame) for level in self.levels]
        motion = sitk.Euler3DTransform()
        motion.SetCenter((self.centre / LEVER).tolist())
        for level, picture, moving, descent in zip(self.levels, averaged, self._moving, DESCENTS, strict=True):
            if not descend(level, picture, moving, prior, motion, descent):
                break
        rotation, origin = np.reshape(motion.GetMatrix(), (3, 3)), motion.TransformPoint((0.0, 0.0, 0.0))
        pose = prior @ rigid(rotation, LEVER * np.array(origin))
        known_nothing = Belief(pose, np.eye(6))
        task = on_level(self.levels[-2], averaged[-2], self.levels[-2].mask, self.centre, [known_nothing], 0.0)
        return Belief.with_covariance(pose, pose_covariance(task, pose))


def descend(
    level: Level, picture: NDArray[np.float32], moving: Moving, prior: Array, motion: sitk.Transform, descent: Descent
) -> bool:
    """Climb the correlation of ``picture``, on the lattice of ``level``, changing ``motion``, the frame's d.

    Returns whether frame and volume had anything in common, without which ``motion`` is as it was.
    """
    where_from = sitk.AffineTransform(prior[:3, :3].ravel().tolist(), (prior[:3, 3] / LEVER).tolist())
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(THREADS)
    method.SetMetricAsCorrelation()
    method.SetInterpolator(sitk.sitkLinear)
    # Otherwise the whole volume would be differentiated for every frame.
    method.MetricUseFixedImageGradientFilterOff()
    method.MetricUseMovingImageGradientFilterOff()
    method.SetMetricFixedMask(one_slice(level, level.mask.astype(np.uint8)))
    if descent.within_data:
        method.SetMetricMovingMask(moving.mask)
    method.SetMovingInitialTransform(where_from)
    method.SetInitialTransform(motion, inPlace=True)
    method.SetOptimizerAsRegularStepGradientDescent(
        descent.first / LEVER, descent.shortest / LEVER, descent.steps, SHORTENED, gradientMagnitudeTolerance=1e-6
    )
    method.SetOptimizerScales([TURN] * 3 + [1.0] * 3)
    before = motion.GetParameters()
    try:
        method.Execute(one_slice(level, picture), moving.image)
    except RuntimeError:  # no pixel of the frame is in the volume
        motion.SetParameters(before)
        return False
    return True


def moving_volume(level: Level) -> Moving:
    """The volume of a ``level`` for ITK.

    ITK asks the mask about the nearest voxel alone, so the mask ends a voxel before the data do: no value then comes
    from beyond their edge.
    """
    volume_from_voxel = np.linalg.inv(level.volume.voxel_from_volume)
    spacing = np.linalg.norm(volume_from_voxel[:3, :3], axis=0)
    data = ~np.isnan(level.volume.array)
    images = (
        to_image(Volume(array, spacing / LEVER, volume_from_voxel[:3, 3] / LEVER, volume_from_voxel[:3, :3] / spacing))
        for array in (np.nan_to_num(level.volume.array), ndimage.binary_erosion(data, np.ones((3, 3, 3))))
    )
    return Moving(*images)


def one_slice(level: Level, array: NDArray) -> sitk.Image:
    """An ``array`` on the lattice of ``level`` as a volume of one slice, in image axes.

    ITK's steps add millimetres and radians as they come. Here and in `moving_volume` lengths are in levers, where both
    weigh the same.
    """
    spacing, origin = level.lattice.spacing, level.lattice.origin
    return to_image(Volume(array[None], np.array([*spacing, LEVER]) / LEVER, np.array([*origin, 0.0]) / LEVER))
