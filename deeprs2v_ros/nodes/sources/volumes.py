"""Making the volume: from a recorded sweep, or by a sweep of the simulated cart's motor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rclpy.impl.rcutils_logger import RcutilsLogger

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.imaging.mask import find_mask, read_mask
from deeprs2v_ros.imaging.reconstruction import reconstruct
from deeprs2v_ros.imaging.sequence import Sequence, read_sequence
from deeprs2v_ros.imaging.volume import write_volume
from deeprs2v_ros.nodes.sources.scene import nominal_view
from deeprs2v_ros.resources import home
from deeprs2v_ros.simulation.cart import Cart
from deeprs2v_ros.simulation.paths import sweep_poses
from deeprs2v_ros.simulation.scenes import SimulatedScene

TILT_DEG, TRANSLATION_MM = 60.0, 30.0
"""The motor's hybrid sweep."""
SWEEP_RATE = 20.0  # frames per second


def output_path(path: str) -> Path:
    """Where to write a volume; ``path`` may be empty. Raises InputError when its folder cannot be made."""
    chosen = Path(path) if path else home() / "volume.mha"
    try:
        chosen.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{chosen.parent}: cannot be made ({error.strerror})") from error
    return chosen


def make_from_sequence(sequence_path: str, mask_path: str, spacing: float, output: Path, logger: RcutilsLogger) -> None:
    """Reconstruct the volume of a tracked sweep and write it to ``output``; ``mask_path`` may be empty."""
    sequence = read_sequence(sequence_path)
    mask = read_mask(mask_path, sequence.frames.shape[1:]) if mask_path else find_mask(sequence.frames[sequence.valid])
    logger.info(f"reconstructing {sequence_path}, {len(sequence)} frames, at {spacing:g} mm")
    write_volume(output, reconstruct(sequence, mask, spacing))


def acquire(cart: Cart | None, frames: int, spacing: float, output: Path, logger: RcutilsLogger) -> None:
    """Sweep the simulated patient of ``cart``, who holds the breath, and write the volume to ``output``.

    Raises InputError where there is no such patient.
    """
    if cart is None or not isinstance(cart.scene, SimulatedScene):
        raise InputError("parameter source: is scene, but scene.kind is not simulated")
    simulator = cart.scene.simulator
    poses = sweep_poses(simulator.probe, nominal_view(simulator), frames, TILT_DEG, TRANSLATION_MM)
    images = []
    for number, pose in enumerate(poses):
        images.append(simulator.image(pose))
        logger.info(f"acquiring the volume: {number + 1} of {frames} frames", throttle_duration_sec=1.0)
    sequence = Sequence(
        np.stack(images),
        poses @ simulator.probe.image_from_pixel,
        np.arange(frames) / SWEEP_RATE,
        np.ones(frames, dtype=bool),
    )
    logger.info(f"reconstructing it at {spacing:g} mm")
    write_volume(output, reconstruct(sequence, simulator.probe.mask, spacing))
