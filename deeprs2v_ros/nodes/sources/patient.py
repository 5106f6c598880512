"""What is known of the patient: the ultrasound volume, MRI or CT, vessels and tumour, and how they lie."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from tf2_msgs.msg import TFMessage

from deeprs2v_ros.anatomy.label_maps import label_surfaces
from deeprs2v_ros.anatomy.reading import read_surfaces
from deeprs2v_ros.anatomy.reslice import Reslicer
from deeprs2v_ros.anatomy.surface import Surface
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.frames import CORRECTED, MRI, TUMOR, VOLUME
from deeprs2v_ros.geometry import Array, inverse
from deeprs2v_ros.imaging.image_geometry import ImageGeometry
from deeprs2v_ros.imaging.mask import find_mask, read_mask
from deeprs2v_ros.imaging.volume import Volume, read_volume
from deeprs2v_ros.nodes.running.parameters import declare, declare_choice, declare_numbers
from deeprs2v_ros.nodes.sources.scene import SIMULATED, declare_scene
from deeprs2v_ros.nodes.topics import qos
from deeprs2v_ros.nodes.topics.conversions import transform_from_message
from deeprs2v_ros.parameters.cart import declare_tumour_radius
from deeprs2v_ros.parameters.declaring import NUMBERS
from deeprs2v_ros.simulation.anatomy import make_liver
from deeprs2v_ros.simulation.mri import LABELS, make_mri, scene_anatomy
from deeprs2v_ros.view.pictures import Scenery
from deeprs2v_ros.view.scenery import structures
from deeprs2v_ros.view.slices import Slicer

MOST_TRIANGLES = 10_000
"""Of a surface that is shown in 3D."""
MASK_FRAMES = 10
"""Images from which their valid area is found."""


def declare_patient(node: Node, images: ImageGeometry) -> Patient:
    """The patient of the parameters ``mri.*``, ``anatomy.*``, ``mask`` and ``tumor.radius``.

    Of a simulated one, the MRI, vessels and tumour are known as well. Raises InputError for files that cannot be read.
    """
    scene = declare_scene(node)
    given = partial(declare, node)
    path = given("mri.file", "", "MRI or CT to show (.mha, .nrrd, .nii ...), in the frame mri; empty: none")
    window = declare_numbers(
        node, "mri.window", NUMBERS, 2, "Its values that are black and white; left out: percentiles 1 and 99"
    )
    files = given("anatomy.files", "", "Surfaces (.stl, .vtk) and label maps (.seg.nrrd, .nii), separated by :")
    frame = declare_choice(node, "anatomy.frame", (VOLUME, MRI), "Frame of the coordinates in anatomy.files")
    mask = given("mask", "", "Valid area of the images, an image file of their size; empty: found from them")
    surfaces: dict[str, Surface] = {}
    mri = read_volume(path) if path else None
    if scene.kind == SIMULATED:
        liver = make_liver(scene.seed)
        mri = mri or make_mri(liver)[0]
        try:
            surfaces = label_surfaces(scene_anatomy(liver), LABELS)
        except InputError as error:  # nobody has asked for it
            node.get_logger().warning(f"the vessels of the simulated patient are not outlined: {error}")
    for each in filter(None, files.split(os.pathsep)):
        surfaces |= read_surfaces(each)
    return Patient(
        node,
        images,
        read_mask(mask, images.shape) if mask else None,
        None if mri is None else Reslicer(mri, window),
        surfaces,
        frame == MRI,
        declare_tumour_radius(given),
    )


class Patient:
    """Puts together what pictures are drawn with. ``trouble`` says what is missing; empty if nothing is.

    ``see`` and ``now`` are for one thread, ``use_volume`` for another.
    """

    def __init__(
        self,
        node: Node,
        images: ImageGeometry,
        mask: NDArray[np.bool_] | None,
        mri: Reslicer | None,
        surfaces: dict[str, Surface],
        in_mri: bool,
        radius: float,
    ) -> None:
        self._images, self._mask, self._mri = images, mask, mri
        self._surfaces, self._in_mri, self._radius = surfaces, in_mri, radius
        self._coarse = {name: each.reduced(MOST_TRIANGLES) for name, each in surfaces.items()}
        self._places: dict[str, Array] = {}  # of frames in the volume that moves with the organ, which are said once
        node.create_subscription(TFMessage, "/tf_static", self._on_fixed, qos.FIXED_TRANSFORMS)
        self._frames: list[NDArray[np.uint8]] = []
        self._lock = Lock()
        self._volume: Volume | None = None
        self._made_for: tuple[bytes, ...] = ()
        self.scenery = Scenery()
        self.trouble = "no volume yet"

    def use_volume(self, path: str) -> None:
        """Show the volume at ``path`` from now on; none if it is empty, or cannot be read, which is then a trouble."""
        volume, self.trouble = None, "" if path else "no volume yet"
        try:
            volume = read_volume(path) if path else None
        except (InputError, MemoryError) as error:
            self.trouble = f"{path}: not enough memory" if isinstance(error, MemoryError) else str(error)
        with self._lock:
            self._volume, self._made_for = volume, ()
            self.scenery = replace(self.scenery, slicer=None)

    def see(self, frame: NDArray[np.uint8]) -> None:
        """One more image, from the first of which the valid area is found."""
        if self._mask is not None:
            return
        self._frames.append(frame)
        if len(self._frames) >= MASK_FRAMES:
            frames, self._frames = self._frames, []
            try:
                self._mask = find_mask(np.stack(frames))
            except InputError:
                return

    def now(self) -> Scenery:
        """What to draw with at present."""
        volume_from_mri, tumour = self._places.get(MRI), self._places.get(TUMOR)
        key = tuple(b"" if each is None else each.tobytes() for each in (volume_from_mri, tumour))
        with self._lock:
            scenery = self.scenery
            if key != self._made_for:
                scenery = self._scenery(volume_from_mri, tumour)
                self._made_for = key
            if scenery.slicer is None and self._volume is not None and self._mask is not None:
                scenery = replace(scenery, slicer=Slicer(self._volume, self._mask, self._images.pixel_size))
            self.scenery = scenery
        return scenery

    def _scenery(self, volume_from_mri: Array | None, tumour: Array | None) -> Scenery:
        surfaces, coarse = self._surfaces, self._coarse
        if self._in_mri and volume_from_mri is None:
            surfaces = {}
        elif self._in_mri:
            surfaces, coarse = (
                {name: each.moved(volume_from_mri) for name, each in some.items()} for some in (surfaces, coarse)
            )
        return replace(
            self.scenery,
            mri=None if volume_from_mri is None else self._mri,
            mri_from_volume=np.eye(4) if volume_from_mri is None else inverse(volume_from_mri),
            structures=structures(surfaces, None if tumour is None else tumour[:3, 3], self._radius, coarse),
        )

    def _on_fixed(self, message: TFMessage) -> None:
        for each in message.transforms:
            frame = each.child_frame_id.lstrip("/")
            if each.header.frame_id.lstrip("/") == CORRECTED and frame in (MRI, TUMOR):
                try:
                    self._places[frame] = transform_from_message(each.transform)
                except InputError as error:
                    self.trouble = f"{frame}: {error}"
