"""The method on one screen: register live frames to the volume, one after the other.

The tracker carries C, the organ's motion in the volume frame: with X the tracked and Y the registered transform from
image to volume, C = Y X^-1. It stays true when the physician moves the probe, so the next frame starts from C X.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import Array, apply, geodesic_distance, image_centre, inverse
from deeprs2v_ros.imaging.beams import behind_wall
from deeprs2v_ros.imaging.volume import Volume
from deeprs2v_ros.registration.belief import (
    SAME_IMAGE,
    Belief,
    expected_scale,
    posterior_covariance,
    surprise,
)
from deeprs2v_ros.registration.correction import Task, evaluate, on_level
from deeprs2v_ros.registration.gate import Reason, Signals, judge
from deeprs2v_ros.registration.pyramid import blurred, build_level
from deeprs2v_ros.registration.search import Found, hypotheses, search
from deeprs2v_ros.registration.settings import RegistrationSettings
from deeprs2v_ros.registration.uncertainty import pose_covariance, weakest_direction

WORTH_A_LOOK = 0.05
"""Overlap at the prior below which no network is asked: the plane is outside the volume."""


@dataclass(frozen=True)
class Registration:
    """The result for one frame.

    ``tracked``, ``prior`` and ``registered`` are volume_from_image (4x4, mm): X, the start C X, and Y. ``covariance``
    (6, 6) is that of a small motion of the registered plane about the image centre, in image axes (mm, rad).
    ``runtime`` is in seconds, ``network_runtime`` the part of it until the network had answered, NaN without one.
    """

    reason: Reason
    tracked: Array
    prior: Array
    registered: Array
    covariance: Array
    lncc_before: float
    signals: Signals
    iterations: int
    runtime: float
    network_runtime: float = np.nan

    @property
    def accepted(self) -> bool:
        """Whether the gate believes the result."""
        return self.reason is Reason.NONE

    @property
    def correction(self) -> Array:
        """The paper's d, in the image frame: Y = X d."""
        return inverse(self.tracked) @ self.registered

    @property
    def motion(self) -> Array:
        """The organ's motion C, in the volume frame: Y = C X. Tissue at y in the volume is now at C^-1 y."""
        return self.registered @ inverse(self.tracked)


class Tracker:
    """Registers frames to one ``volume``.

    ``mask`` (rows, columns) is the frames' valid area, of which what lies behind the abdominal wall is compared, and
    ``image_from_pixel`` (4x4) their pixel size. With ``temporal``
    the organ's motion is carried from frame to frame, otherwise each frame starts from its tracked transform.
    ``propose``, a network in front of the volume, says for an image and its prior where the image is; without one, the
    correction starts from the prior. Without ``correction``, what is proposed is the result.
    """

    def __init__(
        self,
        volume: Volume,
        mask: NDArray[np.bool_],
        image_from_pixel: Array,
        settings: RegistrationSettings | None = None,
        temporal: bool = True,
        propose: Callable[[NDArray[np.uint8], Array], Belief] | None = None,
        correction: bool = True,
    ) -> None:
        self.settings = settings or RegistrationSettings()
        self.temporal = temporal
        self.propose = propose
        self.correction = correction
        self.motion = np.eye(4)
        self.centre = image_centre(mask.shape, image_from_pixel)
        pixel_size, levels = (image_from_pixel[0, 0], image_from_pixel[1, 1]), self.settings.levels
        organ = behind_wall(mask, pixel_size, self.settings.abdominal_wall)
        if not organ.any():
            raise InputError(f"abdominal_wall: {self.settings.abdominal_wall:g} mm leave nothing of the images")
        self.mask = organ.astype(np.float32)
        volumes = {sigma: blurred(volume, sigma) if sigma else volume for sigma in {s.speckle for s in levels}}
        self.levels = [build_level(volumes[s.speckle], organ, pixel_size, s) for s in levels]

    def register_frame(self, image: NDArray[np.uint8], tracked: Array, arm: Array | None = None) -> Registration:
        """Register one ``image`` (rows, columns), whose tracked volume_from_image (4x4 mm) is ``tracked``.

        ``arm`` is the covariance (6, 6) of the tracked pose about the image centre, in image axes, if it is known.
        """
        began = perf_counter()
        prior = self.motion @ tracked
        expected = Belief(prior, expected_scale(arm, self.settings.organ))
        proposed, beliefs = expected, [expected]
        frame = self.mask * image * np.float32(1 / 255)
        averaged = [level.average(frame) for level in self.levels]
        visible = [level.visible(each) for level, each in zip(self.levels, averaged, strict=True)]

        before, network_runtime = evaluate(self._tasks(averaged, visible, beliefs)[-1], prior), np.nan
        if self.propose is not None and before.overlap > WORTH_A_LOOK:
            proposed = self.propose(image, prior)
            beliefs = [proposed.weakened(SAME_IMAGE), expected]
            network_runtime = perf_counter() - began
        tasks = self._tasks(averaged, visible, beliefs)
        if self.correction:
            found = search(tasks, hypotheses(beliefs, self.centre), self.settings)
            image_covariance = pose_covariance(tasks[-2], found.best.pose)
            covariance = posterior_covariance(image_covariance, found.best.pose, beliefs, self.centre)
        else:
            found = Found(evaluate(tasks[-1], proposed.pose), margin=1.0, iterations=0)
            covariance = proposed.covariance

        registered = found.best.pose
        signals = self._signals(expected, found, covariance)
        reason = judge(signals, self.settings.gate)
        if self.temporal and reason is Reason.NONE:
            self.motion = registered @ inverse(tracked)
        runtime = perf_counter() - began
        return Registration(
            reason, tracked, prior, registered, covariance, before.lncc, signals, found.iterations, runtime,
            network_runtime,
        )  # fmt: skip

    def reset(self) -> None:
        """Forget the organ's motion."""
        self.motion = np.eye(4)

    def _tasks(
        self, averaged: Sequence[NDArray[np.float32]], visible: Sequence[NDArray[np.bool_]], beliefs: Sequence[Belief]
    ) -> list[Task]:
        weight = self.settings.belief_weight
        levels = zip(self.levels, averaged, visible, strict=True)
        return [on_level(level, frame, seen, self.centre, beliefs, weight) for level, frame, seen in levels]

    def _signals(self, expected: Belief, found: Found, covariance: Array) -> Signals:
        registered, prior = found.best.pose, expected.pose
        return Signals(
            lncc=found.best.lncc,
            overlap=found.best.overlap,
            margin=found.margin,
            sigma=weakest_direction(covariance),
            surprise=surprise(registered, expected, self.centre),
            translation=float(np.linalg.norm(apply(registered, self.centre) - apply(prior, self.centre))),
            rotation=float(np.degrees(geodesic_distance(registered[:3, :3], prior[:3, :3]))),
        )
