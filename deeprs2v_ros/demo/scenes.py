"""What was seen in a recorded run: every image with what was said of it, and the patient it is drawn with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deeprs2v_ros.anatomy.label_maps import label_surfaces
from deeprs2v_ros.anatomy.reslice import Reslicer
from deeprs2v_ros.bags import opened
from deeprs2v_ros.demo.recording import Recording
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import inverse
from deeprs2v_ros.imaging.image_geometry import ImageGeometry
from deeprs2v_ros.imaging.mask import find_mask
from deeprs2v_ros.imaging.volume import read_volume
from deeprs2v_ros.messages import image_of, stamp_of
from deeprs2v_ros.simulation.anatomy import make_liver
from deeprs2v_ros.simulation.mri import LABELS, make_mri, scene_anatomy
from deeprs2v_ros.view.pictures import Scenery, Sight
from deeprs2v_ros.view.scenery import structures
from deeprs2v_ros.view.sights import sight_of
from deeprs2v_ros.view.slices import Slicer

_IMAGES, _STATUSES = "/us/image", "/registration/status"
_WAITING = 100  # images at most whose status has not come
_FOR_MASK = 10


class Seen(NamedTuple):
    """What was shown at the ``stamp`` (ns) of an image."""

    stamp: int
    sight: Sight


def sights(bag: str | Path, pixel_size: tuple[float, float]) -> Iterator[Seen]:
    """All images of a bag of which something was said, in that order. ``pixel_size`` is (x, y) in mm.

    Raises InputError, naming ``bag``, if it is missing or unreadable.
    """
    waiting = {}
    with opened(bag) as recorded:
        for topic, _, message in recorded.messages((_IMAGES, _STATUSES)):
            stamp = stamp_of(message.header)
            if topic == _IMAGES:
                waiting[stamp] = message
                if len(waiting) > _WAITING:
                    del waiting[next(iter(waiting))]
            elif (image := waiting.pop(stamp, None)) is not None:
                frame = image_of(image)
                centre = ImageGeometry(frame.shape, pixel_size).centre
                yield Seen(stamp, sight_of(message, frame, centre))


def find_valid_area(seen: Iterable[Seen], shape: tuple[int, int] = (1, 1)) -> NDArray[np.bool_]:
    """The valid area (rows, columns) of the first images; all, of the ``shape`` if there are none, if it has none."""
    frames = [each.sight.frame for each in islice(seen, _FOR_MASK)]
    try:
        return find_mask(np.stack(frames))
    except (InputError, ValueError):  # nothing but uniform images, or none
        return np.ones(frames[0].shape if frames else shape, bool)


def scenery(recording: Recording, bag: Path, pixel_size: tuple[float, float], subject: int | None = None) -> Scenery:
    """The volume, the target, and of a simulated ``subject`` of that seed the MRI and the vessels.

    Raises InputError for a volume or a bag that cannot be read.
    """
    volume = read_volume(recording.volume_file)
    mask = find_valid_area(sights(bag, pixel_size))
    target, radius = recording.target_in_volume, recording.target_radius
    slicer = Slicer(volume, mask, pixel_size)
    found = Scenery(slicer, structures=structures({}, target, radius))
    if subject is None:
        return found
    liver = make_liver(subject)
    mri, volume_from_mri = make_mri(liver)
    try:
        surfaces = label_surfaces(scene_anatomy(liver), LABELS)
    except InputError:  # without VTK, the target alone
        surfaces = {}
    return replace(
        found,
        mri=Reslicer(mri),
        mri_from_volume=inverse(volume_from_mri),
        structures=structures(surfaces, target, radius),
    )
