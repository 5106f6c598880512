"""The parameters of a demo: those of a simulated cart, with what the user chose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from deeprs2v_ros.geometry import split_pixel_transform
from deeprs2v_ros.imaging.sequence import Sequence
from deeprs2v_ros.resources import resource

Parameters = dict[str, dict[str, dict[str, Any]]]
"""As in a ROS parameter file: node, ``ros__parameters``, name of the parameter."""

_EVERY_NODE = "/**"
_ACQUISITION = ("sweep_frames", "spacing", "output")


def simulated_parameters(volume: Path, seed: int, breathing_mm: float, rate: float) -> Parameters:
    """Those of the simulated cart at ``rate`` images per second; it writes its volume to ``volume``."""
    parameters = _simulator()
    _of(parameters, _EVERY_NODE).update({"scene.seed": seed, "scene.breathing_mm": breathing_mm, "scene.rate": rate})
    _of(parameters, "/**/volume_server")["output"] = str(volume)
    return parameters


def recorded_parameters(
    sequence_path: Path,
    sequence: Sequence,
    mask_path: Path,
    mask: NDArray[np.bool_],
    volume: Path,
    seed: int,
    breathing_mm: float,
    rate: float,
) -> Parameters:
    """Those of a cart on which recorded frames are shown as if the organ moved; ``mask_path`` holds ``mask``."""
    parameters = _simulator()
    rows, columns = mask.shape
    _, image_from_pixel = split_pixel_transform(sequence.world_from_pixel[0])
    first = int(np.flatnonzero(mask.any(axis=1))[0])
    _of(parameters, _EVERY_NODE).update(
        {
            "image.rows": rows,
            "image.columns": columns,
            "image.pixel_size": np.diag(image_from_pixel)[:2].tolist(),
            "image.face": [float(np.flatnonzero(mask[first]).mean()), float(first)],
            "scene.kind": "recorded",
            "scene.seed": seed,
            "scene.breathing_mm": breathing_mm,
            "scene.rate": rate,
            "scene.sequence": str(sequence_path.resolve()),
            "scene.mask": str(mask_path.resolve()),
        }
    )
    # The frames of a recording are shown several times each while the organ moves on.
    _of(parameters, "/**/registration").update({"mask": str(mask_path.resolve()), "frozen_distance": 0.0})
    server = _of(parameters, "/**/volume_server")
    for name in _ACQUISITION:
        server.pop(name, None)
    server.update({"source": "file", "volume": str(volume.resolve())})
    return parameters


def pixel_size(parameters: Parameters) -> tuple[float, float]:
    """Pixel size of the images, (x, y) mm."""
    x, y = _of(parameters, _EVERY_NODE)["image.pixel_size"]
    return float(x), float(y)


def _simulator() -> Parameters:
    return yaml.safe_load(resource("config/simulator.yaml").read_text(encoding="utf-8"))


def _of(parameters: Parameters, node: str) -> dict[str, Any]:
    return parameters[node]["ros__parameters"]
