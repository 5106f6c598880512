"""What is known of a simulated subject before the intervention: an MRI in a frame of its own, and what is marked in it.

The MRI is T1-weighted with suppressed fat, in the portal-venous phase: vessels are bright, the tumour has washed out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial.transform import Rotation

from deeprs2v_ros.geometry import Array, apply, inverse, rigid
from deeprs2v_ros.imaging.volume import Volume
from deeprs2v_ros.simulation.anatomy import Liver, Region

VESSELS, TUMOUR = 1, 2
"""Labels of `scene_anatomy`."""
LABELS = {VESSELS: "vessels", TUMOUR: "tumour"}

_SIGNALS = {
    Region.LIVER: 420.0,
    Region.VESSEL: 720.0,
    Region.TUMOUR: 250.0,
    Region.FAT: 190.0,
    Region.BOWEL: 230.0,
    Region.BILE: 120.0,
    Region.KIDNEY: 640.0,
    Region.SINUS: 160.0,
    Region.LUNG: 25.0,
    Region.STONE: 15.0,
}
_WALL_SIGNAL = 240.0  # fat and muscle in front of the organ
_SPACING = np.array([1.25, 1.25, 1.5])  # mm
_OBLIQUE_DEG, _TURN_DEG, _SHIFT_MM = 8.0, 6.0, 12.0  # of the slices; of the frame, at least half of it
_BIAS, _NOISE = 0.15, 14.0  # of the coil's sensitivity, relative; of each channel, in units of the signal


def make_mri(liver: Liver) -> tuple[Volume, Array]:
    """An MRI of the subject at rest, uint16, and ``volume_from_mri`` (4, 4) mm: where its frame is.

    Points in mm of the MRI, as its origin, spacing and direction give them, are mapped to the volume frame. The two
    frames are some degrees and millimetres apart, and the MRI's axes are oblique in its own. Noise is Rician: the
    magnitude of a signal with Gaussian noise in both channels (Gudbjartsson and Patz, Magn. Reson. Med. 34, 1995).
    The same seed gives the same image.
    """
    rng = _generator(liver.seed)
    volume_from_mri = _place(rng)
    direction = _turn(rng, _OBLIQUE_DEG)

    organ, sizes = liver.organ, np.array(liver.regions.shape[::-1])
    extent = organ.spacing * (sizes - 1)
    middle = apply(inverse(volume_from_mri), organ.origin + extent / 2.0)
    size = np.floor(extent / _SPACING).astype(int) + 1
    origin = middle - direction @ (_SPACING * (size - 1) / 2.0)
    mri_from_voxel = rigid(direction * _SPACING, origin)

    signal = _signal(liver)
    signal = gaussian_filter(signal, 0.4 * _SPACING[::-1] / organ.spacing)  # what a voxel of the MRI averages
    tissue_from_voxel = rigid(np.eye(3) / organ.spacing, -organ.origin / organ.spacing) @ volume_from_mri
    image = _resampled(signal, tissue_from_voxel @ mri_from_voxel, size)

    image *= _sensitivity(image.shape, rng)
    for part in image:  # slice by slice, so that the noise takes no memory
        channels = rng.normal(scale=_NOISE, size=(2, *part.shape))
        part[:] = np.hypot(part + channels[0], channels[1])
    return Volume(np.rint(image).astype(np.uint16), _SPACING.copy(), origin, direction), volume_from_mri


def place_of_mri(seed: int) -> Array:
    """``volume_from_mri`` of `make_mri` for the subject of that ``seed``."""
    return _place(_generator(seed))


def scene_anatomy(liver: Liver) -> Volume:
    """The true vessels (1) and tumour (2) at rest, uint8 on the voxels of the tissue, in the volume frame.

    Vessels are those of the liver and the vena cava, where another organ does not take their place. The tumour is
    whole: vessels that cross it are part of it.
    """
    regions, organ = liver.regions, liver.organ
    labels = np.where(regions == Region.VESSEL, VESSELS, 0).astype(np.uint8)
    axes = (organ.origin[axis] + organ.spacing * np.arange(regions.shape[2 - axis]) for axis in range(3))
    x, y, z = (
        ((along - centre) / semi_axis) ** 2
        for along, centre, semi_axis in zip(axes, liver.tumour_centre, liver.tumour_semi_axes, strict=True)
    )
    labels[z[:, None, None] + y[None, :, None] + x[None, None, :] < 1.0] = TUMOUR
    return Volume(labels, np.full(3, float(organ.spacing)), organ.origin.copy())


def _generator(seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, 0x3717])


def _place(rng: np.random.Generator) -> Array:
    return rigid(_turn(rng, _TURN_DEG), _SHIFT_MM * _up_to_one(rng))


def _turn(rng: np.random.Generator, degrees: float) -> Array:
    """A rotation by half of ``degrees`` to all of them about some axis."""
    axis = rng.normal(size=3)
    angle = np.radians(degrees) * rng.uniform(0.5, 1.0)
    return Rotation.from_rotvec(angle * axis / np.linalg.norm(axis)).as_matrix()


def _up_to_one(rng: np.random.Generator) -> Array:
    """Three numbers from 0.5 to 1, of either sign."""
    return rng.choice([-1.0, 1.0], size=3) * rng.uniform(0.5, 1.0, size=3)


def _signal(liver: Liver) -> NDArray[np.float32]:
    table = np.zeros(256, dtype=np.float32)
    for region, value in _SIGNALS.items():
        table[region] = value
    signal = table[liver.regions]
    in_front = int(np.ceil((liver.wall_mm - liver.organ.origin[1]) / liver.organ.spacing))
    signal[:, : max(in_front, 0)] = _WALL_SIGNAL
    return signal


def _resampled(tissue: NDArray[np.float32], tissue_from_voxel: Array, size: NDArray) -> NDArray[np.float32]:
    """``tissue`` on a grid of ``size`` (x, y, z) voxels, linearly; 0 beyond it, where there is air."""
    image = np.empty(size[::-1], dtype=np.float32)
    y, x = np.mgrid[: size[1], : size[0]]
    for k, part in enumerate(image):
        points = apply(tissue_from_voxel, np.stack([x, y, np.full_like(x, k)], axis=-1))
        part[:] = map_coordinates(tissue, np.moveaxis(points, -1, 0)[::-1], order=1, mode="constant", cval=0.0)
    return image


def _sensitivity(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    """A coil's: 1 on average, and smoothly more on one side than on the other."""
    factor = np.ones(shape, dtype=np.float32)
    for axis, length in enumerate(shape):
        phase, turns = rng.uniform(0.0, 2.0 * np.pi), rng.uniform(0.3, 0.8)
        wave = np.cos(2.0 * np.pi * turns * np.arange(length) / length + phase)
        factor *= (1.0 + _BIAS * wave.astype(np.float32)).reshape([-1 if a == axis else 1 for a in range(3)])
    return factor / factor.mean()
