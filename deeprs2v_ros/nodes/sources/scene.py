"""What the nodes of one cart share: the images' geometry, the arm, and the scene that a simulated cart stands in.

Nodes in different processes build the same cart from the same parameters; those in one process share it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from rclpy.node import Node

from deeprs2v_ros.arm.description import Arm
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import Array, apply, image_centre, split_pixel_transform
from deeprs2v_ros.imaging.image_geometry import ImageGeometry
from deeprs2v_ros.imaging.mask import find_mask, read_mask
from deeprs2v_ros.imaging.sequence import read_sequence
from deeprs2v_ros.nodes.running.parameters import (
    NUMBERS,
    declare,
    declare_between,
    declare_choice,
    declare_numbers,
    declare_positive,
    of_node,
)
from deeprs2v_ros.parameters import cart
from deeprs2v_ros.parameters.cart import ArmSettings
from deeprs2v_ros.simulation.anatomy import make_liver
from deeprs2v_ros.simulation.breathing import Breathing
from deeprs2v_ros.simulation.cart import Cart
from deeprs2v_ros.simulation.paths import HandHeldPath, pose_on_skin
from deeprs2v_ros.simulation.probe import CurvilinearProbe
from deeprs2v_ros.simulation.scanner import UltrasoundSimulator
from deeprs2v_ros.simulation.scenes import RecordedScene, Scene, SimulatedScene

SIMULATED, RECORDED, NONE = "simulated", "recorded", "none"
YAW_DEG = -40.0
"""Of the simulated view: between transverse (0) and sagittal (-90), as usual under the ribs."""
SAME_PIXEL = 0.05
"""Pixels by which a scene's face may differ from the parameter."""


declare_images = of_node(cart.declare_images)
declare_arm_settings = of_node(cart.declare_arm_settings)


def declare_arm(node: Node) -> Arm:
    """The arm of the parameters ``arm`` and ``arm_mount``. Raises InputError for a file that describes none."""
    return declare_arm_settings(node).read()


@dataclass(frozen=True)
class SceneSettings:
    """The parameters ``scene.*``."""

    kind: str
    seed: int
    rate: float
    breathing_mm: float
    breathing_period: float
    sequence: str
    mask: str
    target: tuple[float, float, float] | None


def declare_scene(node: Node) -> SceneSettings:
    """The parameters ``scene.*``. Raises InputError for those that no scene can have."""
    return SceneSettings(
        kind=declare_choice(
            node,
            "scene.kind",
            (NONE, SIMULATED, RECORDED),
            "What a simulated machine shows; none: it is a real one",
        ),
        seed=declare_between(
            node, "scene.seed", 1, "Number of the simulated patient, breathing and hand", 0, 2**31 - 1
        ),
        rate=declare_positive(node, "scene.rate", 10.0, "Images per second of the scene", cart.FASTEST),
        breathing_mm=declare_between(
            node, "scene.breathing_mm", 15.0, "Mean head-to-foot travel of the liver, in mm", 0.0, 100.0
        ),
        breathing_period=declare_between(
            node, "scene.breathing_period", 4.0, "Mean length of a breath, in s", 0.5, 60.0
        ),
        sequence=declare(node, "scene.sequence", "", "Recorded scene: tracked sequence with the frames to show"),
        mask=declare(
            node, "scene.mask", "", "Recorded scene: valid area of its frames, an image file; empty: found from them"
        ),
        target=declare_numbers(
            node, "scene.target", NUMBERS, 3, "Recorded scene: target in the volume, in mm; left out: middle of a frame"
        ),
    )


def declare_cart(node: Node, images: ImageGeometry) -> Cart | None:
    """The cart in the scene of the parameters ``scene.*``; None without a scene.

    Raises InputError for settings that make no scene, or one whose images are not those of ``images``.
    """
    settings = declare_scene(node)
    if settings.kind == NONE:
        return None
    return _cart(settings, images, declare_arm_settings(node))


@lru_cache(maxsize=1)
def _cart(settings: SceneSettings, images: ImageGeometry, arm: ArmSettings) -> Cart:
    scene = _simulated(settings, images) if settings.kind == SIMULATED else _recorded(settings)
    _check_images(scene, images)
    return Cart(arm.read(), scene)


def _simulated(settings: SceneSettings, images: ImageGeometry) -> SimulatedScene:
    probe = CurvilinearProbe(pixel_mm=images.pixel_size[0])
    breathing = Breathing(settings.seed, settings.breathing_mm, settings.breathing_period)
    simulator = UltrasoundSimulator(make_liver(settings.seed), probe, breathing)
    return SimulatedScene(simulator, HandHeldPath(probe, nominal_view(simulator), settings.seed).pose, settings.rate)


def nominal_view(simulator: UltrasoundSimulator) -> Array:
    """volume_from_image (4, 4) about which the hand moves, and in the middle of the acquisition sweep.

    The probe stands on the skin above the tumour, so that at rest the plane goes through it.
    """
    x, _, z = simulator.liver.tumour_centre
    return pose_on_skin(simulator.probe, (x, 0.0, z), yaw_deg=YAW_DEG)


def _recorded(settings: SceneSettings) -> RecordedScene:
    if not settings.sequence:
        raise InputError("parameter scene.sequence: a recorded scene needs a sequence")
    sequence = read_sequence(settings.sequence)
    if not sequence.valid.all():
        raise InputError(f"{settings.sequence}: {np.count_nonzero(~sequence.valid)} of its frames are not valid")
    shape = sequence.frames.shape[1:]
    mask = read_mask(settings.mask, shape) if settings.mask else find_mask(sequence.frames)
    target = settings.target
    if target is None:
        pose, image_from_pixel = split_pixel_transform(sequence.world_from_pixel[len(sequence) // 2])
        target = tuple(apply(pose, image_centre(shape, image_from_pixel)))
    # A recording can only be shown as if the organ moved rigidly.
    breathing = Breathing(settings.seed, settings.breathing_mm, settings.breathing_period, 0.0, centre=target)
    return RecordedScene(sequence, mask, breathing, np.array(target), settings.rate)


def _check_images(scene: Scene, images: ImageGeometry) -> None:
    """Refuse parameters by which other nodes would place the images elsewhere."""
    if scene.mask.shape != images.shape:
        raise InputError(
            f"parameters image.rows, image.columns: are {images.shape}, the scene's images have {scene.mask.shape}"
        )
    pixel = tuple(np.diag(scene.image_from_pixel)[:2].tolist())
    if not np.allclose(pixel, images.pixel_size, rtol=1e-4):
        raise InputError(
            f"parameter image.pixel_size: is {list(images.pixel_size)}, the scene's images have {list(pixel)}"
        )
    face = images.face or ((images.shape[1] - 1) / 2.0, 0.0)
    if not np.allclose(face, scene.face, rtol=0.0, atol=SAME_PIXEL):
        raise InputError(
            f"parameter image.face: is {list(face)}, the probe's face is at {list(scene.face)} in this scene"
        )
