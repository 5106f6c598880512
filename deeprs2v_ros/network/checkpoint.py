"""Weights on disk: a safetensors file that says which network they are for, on which grid, and where they come from.

Nothing is ever unpickled: the file holds plain arrays and, in its header, one JSON text.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from deeprs2v_ros.errors import InputError, WeightsError
from deeprs2v_ros.files import is_file, written_whole
from deeprs2v_ros.network.architectures import build
from deeprs2v_ros.network.observation import Grid

_KEY = "deeprs2v"
_LARGEST_FACTOR = 1e3  # between what a network says and how sure it is
SHIPPED = Path(__file__).resolve().parents[1] / "weights"


@dataclass(frozen=True)
class Description:
    """What a file of weights is for: architecture and width, the grid it sees, and the data it was trained on.

    ``calibration`` is what the network's standard deviations are to be multiplied by, of translation, then of rotation.
    """

    architecture: str
    grid: Grid
    width: float = 1.0
    trained_on: dict[str, object] = field(default_factory=dict)
    calibration: tuple[float, ...] = (1.0,) * 6


@dataclass(frozen=True)
class Checkpoint:
    """A trained network, ready to be asked, what it is for, and the name of its file."""

    network: nn.Module
    description: Description
    name: str


def save_weights(path: str | Path, network: nn.Module, description: Description) -> None:
    """Write the weights, whole or not at all. Raises InputError for a folder that cannot be written."""
    save_tensors(path, network.state_dict(), {_KEY: json.dumps(asdict(description), sort_keys=True)})


def save_tensors(path: str | Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write named tensors, whole or not at all."""
    with written_whole(path) as temporary:
        save_file({name: each.detach().cpu().contiguous() for name, each in tensors.items()}, temporary, metadata)


def load_weights(path: str | Path, device: str = "cpu") -> Checkpoint:
    """Read a file of weights, or one of those shipped with the package by its bare name.

    Raises WeightsError for a file that is missing, no safetensors file, not one of ours, does not fit its description,
    or holds NaN or infinite values.
    """
    path = find_weights(path)
    tensors, metadata = load_tensors(path)
    try:
        description = _description(json.loads(metadata[_KEY]))
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise WeightsError(f"{path}: does not say which network its weights are for") from error
    for name, tensor in tensors.items():
        if not tensor.to(torch.float32).isfinite().all():
            raise WeightsError(f"{path}: its weights hold NaN or infinite values ({name})")
    try:
        network = build(description.architecture, description.grid, description.width)
        network.load_state_dict(tensors)
    except (InputError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise WeightsError(f"{path}: its weights do not fit the network that it names ({reason})") from error
    return Checkpoint(network.to(device).eval(), description, path.stem)


def _description(values: dict[str, Any]) -> Description:
    """What a file says about itself. Raises whatever invalid values lead to."""
    grid = Grid(float(values["grid"]["spacing"]), tuple(int(n) for n in values["grid"]["size"]))
    calibration = tuple(float(factor) for factor in values["calibration"])
    if len(calibration) != 6 or not all(0.0 < factor <= _LARGEST_FACTOR for factor in calibration):
        raise ValueError("one factor for each degree of freedom")
    return Description(values["architecture"], grid, float(values["width"]), dict(values["trained_on"]), calibration)


def find_weights(path: str | Path) -> Path:
    """The file ``path``, or the shipped one of that name. Raises WeightsError where there is neither."""
    path = Path(path)
    if is_file(path):
        return path
    shipped = SHIPPED / f"{path}.safetensors"
    if path.name == str(path) and is_file(shipped):
        return shipped
    known = ", ".join(sorted(each.stem for each in SHIPPED.glob("*.safetensors")))
    raise WeightsError(f"{path}: no such file, and not the name of shipped weights ({known})")


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors of a safetensors file, and its metadata. Raises WeightsError for any other file."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: cannot be read as safetensors ({' '.join(str(error).split())})") from error


def choose_device(name: str) -> torch.device:
    """The device called cpu or cuda. Raises InputError for a cuda that is not there."""
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("device: cuda was asked for, but there is no GPU that torch can use")
    return torch.device(name)
