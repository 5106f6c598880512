"""From tissue, probe, motion and time to a B-mode image."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from deeprs2v_ros.geometry import Array, apply, inverse
from deeprs2v_ros.simulation.anatomy import Liver
from deeprs2v_ros.simulation.attenuation import attenuate, compress
from deeprs2v_ros.simulation.breathing import Breathing
from deeprs2v_ros.simulation.hashing import scramble
from deeprs2v_ros.simulation.probe import CurvilinearProbe
from deeprs2v_ros.simulation.speckle import Beam, Medium, add_echoes
from deeprs2v_ros.simulation.tissue import Tissue

_SPEED_OF_SOUND = 1.54  # mm per microsecond
_MARGIN = 6
_RANGE_STEP_MM = 0.25
_STILL = np.zeros((0, 7))


@dataclass(frozen=True)
class ScannerSettings:
    """The probe's point-spread function and the machine's knobs.

    Sigmas are those of the amplitude there and back: ``pulse_sigma_mm`` along the line, ``line_sigma_deg`` across it in
    the plane, ``elevation_sigma_mm`` out of the plane at ``focus_mm``, widening by sqrt 2 at ``depth_of_focus_mm`` from
    it. ``tgc_db_per_mm`` makes up for the loss in tissue, not quite rightly. ``noise`` is the receiver's, relative to
    one scatterer of parenchyma at the surface.
    """

    frequency_mhz: float = 3.0
    pulse_sigma_mm: float = 0.30
    line_sigma_deg: float = 0.33
    elevation_sigma_mm: float = 1.3
    focus_mm: float = 75.0
    depth_of_focus_mm: float = 60.0
    gain_db: float = -19.0
    tgc_db_per_mm: float = 0.27
    dynamic_range_db: float = 60.0
    noise: float = 8e-4


@dataclass(frozen=True)
class UltrasoundSimulator:
    """Images of one subject through one probe. The same (seed, pose, time) gives the same image, bit for bit."""

    liver: Liver
    probe: CurvilinearProbe = field(default_factory=CurvilinearProbe)
    breathing: Breathing = field(default_factory=Breathing)
    settings: ScannerSettings = field(default_factory=ScannerSettings)

    def image(self, volume_from_image: Array, t: float | None = None) -> NDArray[np.uint8]:
        """The frame (rows, columns) at a pose (4, 4) of the image plane and a time in s; None is the breath-hold.

        Outside the fan it is 0.
        """
        grid = self.echoes(volume_from_image, t)
        s = self.settings
        grey = compress(grid, self._beam, s.gain_db, s.tgc_db_per_mm, s.dynamic_range_db)
        return cv2.remap(grey, *self._scan_conversion, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)

    def echoes(self, volume_from_image: Array, t: float | None = None) -> NDArray[np.float32]:
        """The beamformed signal at baseband on the grid of ranges and lines, float32 (ranges, lines, 2)."""
        beam, s, liver = self._beam, self.settings, self.liver
        image_from_volume = inverse(volume_from_image)
        displaced_from_rest = np.eye(4) if t is None else self.breathing.rigid(t)
        waves = _STILL if t is None else self.breathing.waves(t)
        organ_from_image = inverse(displaced_from_rest) @ volume_from_image
        front = volume_from_image[1], liver.wall_mm
        organ = _medium(liver.organ, 2 * liver.seed, image_from_volume @ displaced_from_rest, waves, front, 1.0)
        wall = _medium(liver.wall, 2 * liver.seed + 1, image_from_volume, _STILL, front, -1.0)

        grid = np.zeros((beam.ranges, beam.lines, 2), dtype=np.float32)
        add_echoes(grid, beam, organ)
        if math.isfinite(liver.wall_mm):
            add_echoes(grid, beam, wall)
        moment = np.array([0.0 if t is None else t, *volume_from_image[:3].ravel()])
        key = _digest(moment, liver.seed)
        attenuate(grid, beam, organ, organ_from_image, wall, volume_from_image, s.noise, key)
        return cv2.GaussianBlur(
            grid,
            (13, 13),
            sigmaX=math.radians(s.line_sigma_deg) / beam.line_step,
            sigmaY=s.pulse_sigma_mm / beam.range_step,
            borderType=cv2.BORDER_CONSTANT,
        )

    def correction(self, volume_from_image: Array, t: float) -> Array:
        """The true C (4, 4) of a frame: the rigid motion, displaced to rest, of the organ that it shows.

        Fitted over the whole fan behind the abdominal wall, which does not move.
        """
        points = apply(volume_from_image, self.probe.fan_points)
        return self.breathing.correction(points[points[:, 1] > self.liver.wall_mm], t)

    @cached_property
    def _beam(self) -> Beam:
        probe, s = self.probe, self.settings
        line_step = math.radians(s.line_sigma_deg) / 1.3
        return Beam(
            apex_x=float(probe.apex[0]),
            apex_y=float(probe.apex[1]),
            radius=probe.radius_mm,
            depth=probe.depth_mm,
            half_angle=probe.half_angle,
            range_step=_RANGE_STEP_MM,
            line_step=line_step,
            margin=_MARGIN,
            ranges=math.ceil(probe.depth_mm / _RANGE_STEP_MM) + 1 + 2 * _MARGIN,
            lines=math.ceil(2.0 * probe.half_angle / line_step) + 1 + 2 * _MARGIN,
            turns_per_mm=2.0 * s.frequency_mhz / _SPEED_OF_SOUND,
            focus=s.focus_mm,
            elevation_at_focus=s.elevation_sigma_mm,
            depth_of_focus=s.depth_of_focus_mm,
        )

    @cached_property
    def _scan_conversion(self) -> tuple[NDArray, NDArray]:
        depth, angle = self.probe.polar
        beam = self._beam
        row = depth / beam.range_step + beam.margin
        column = (angle + beam.half_angle) / beam.line_step + beam.margin
        outside = ~self.probe.mask
        row[outside], column[outside] = -10.0, -10.0
        return cv2.convertMaps(column.astype(np.float32), row.astype(np.float32), cv2.CV_16SC2)


def _medium(
    tissue: Tissue, seed: int, image_from_rest: Array, waves: Array, front: tuple[Array, float], side: float
) -> Medium:
    (across_x, across_y, across_z, offset), limit = front
    return Medium(
        echogenicity=tissue.echogenicity,
        attenuation=tissue.attenuation,
        origin=np.asarray(tissue.origin, dtype=float),
        spacing=float(tissue.spacing),
        seed=np.uint64(seed),
        image_from_rest=np.ascontiguousarray(image_from_rest[:3]),
        waves=waves,
        across=np.array([across_x, across_y, across_z]),
        limit=float(limit - offset),
        side=side,
    )


def _digest(values: Array, seed: int) -> np.uint64:
    key = np.uint64(seed)
    for bits in values.view(np.uint64):
        key = np.uint64(scramble(key ^ bits))
    return key
