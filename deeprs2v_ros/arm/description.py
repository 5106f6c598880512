"""An arm as its YAML file describes it: the URDF, the encoders, and a posture to work in.

The file says in which units its numbers are and where they come from; everything in it is checked, and a key that
nobody reads is refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from deeprs2v_ros.arm.chain import Chain
from deeprs2v_ros.arm.curves import Coupling, Table
from deeprs2v_ros.arm.encoders import Encoder, EncoderBank
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import Array, apply, rigid

VERSION = 1
UNITS = {"angle": "deg", "length": "mm"}
TOP_KEYS = {"version", "name", "provenance", "units", "urdf", "joints", "rest"}
JOINT_KEYS = {"bits", "sign", "zero", "wrap", "table", "coupling"}


@dataclass(frozen=True)
class Arm:
    """name and provenance as in the file; geometry, encoders, and ``rest``, joint values (rad, mm) to work around."""

    name: str
    provenance: str
    chain: Chain
    encoders: EncoderBank
    rest: dict[str, float]

    def holding(self, shape: tuple[int, int], image_from_pixel: Array, face: tuple[float, float] | None = None) -> Arm:
        """The same arm with images of ``shape`` (rows, columns) and a pixel size of ``image_from_pixel`` (4, 4).

        ``face`` is the pixel (u, v) that lies in the middle of the probe's face: the origin of us_probe. None: the
        middle of the first row.
        """
        u, v = ((shape[1] - 1) / 2.0, 0.0) if face is None else face
        probe_from_image = rigid(translation=-apply(image_from_pixel, [u, v, 0.0]))
        chain = self.chain.with_fixed("image", probe_from_image)
        return replace(self, chain=chain, encoders=EncoderBank(self.encoders.encoders, chain))


def read_arm(path: str | Path) -> Arm:
    """Read the YAML file of an arm; its ``urdf`` and tables are paths from the folder of the file.

    Raises InputError naming the file and the field for everything that is missing, unknown, no number, impossible, or
    that does not fit the URDF.
    """
    path = Path(path)
    content = _load(path)
    _check_keys(content, TOP_KEYS, TOP_KEYS, str(path))
    if content["version"] != VERSION:
        raise InputError(f"{path}: version {content['version']!r} is not {VERSION}")
    if content["units"] != UNITS:
        raise InputError(f"{path}: units {content['units']!r} are not {UNITS}")
    joints = _mapping(content["joints"], f"{path}: joints")
    rest = _mapping(content["rest"], f"{path}: rest")
    chain = Chain.from_urdf(path.parent / str(content["urdf"]))
    encoders = {
        str(name): _read_encoder(entry, f"{path}: {name}", path.parent, _unit(chain, str(name)))
        for name, entry in joints.items()
    }
    try:
        bank = EncoderBank(encoders, chain)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    _check_keys(rest, set(chain.joint_names), set(chain.joint_names), f"{path}: rest")
    values = {name: _unit(chain, name) * _number(value, f"{path}: rest of {name}") for name, value in rest.items()}
    for name, value in values.items():
        if not chain.joints[name].lower <= value <= chain.joints[name].upper:
            raise InputError(f"{path}: rest of {name} is outside the limits that {chain.source} gives the joint")
    return Arm(str(content["name"]), str(content["provenance"]), chain, bank, values)


def _load(path: Path) -> dict[Any, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a YAML file ({' '.join(str(error).split())})") from error
    return _mapping(content, str(path))


def _unit(chain: Chain, name: str) -> float:
    """What one unit of the file is in the core: a degree in rad, a millimetre in mm."""
    joint = chain.joints.get(name)
    return 1.0 if joint is not None and joint.kind == "prismatic" else math.radians(1.0)


def _read_encoder(entry: Any, where: str, folder: Path, unit: float) -> Encoder:
    entry = _mapping(entry, where)
    _check_keys(entry, JOINT_KEYS, {"bits", "sign", "zero", "wrap"}, where)
    bits, sign, wrap = entry["bits"], entry["sign"], entry["wrap"]
    if type(bits) is not int or not 1 <= bits <= 32:
        raise InputError(f"{where}: bits is {bits!r}, not a whole number from 1 to 32")
    if type(sign) is not int or sign not in (1, -1):
        raise InputError(f"{where}: sign is {sign!r}, not 1 or -1")
    if not isinstance(wrap, list) or len(wrap) != 2:
        raise InputError(f"{where}: wrap is {wrap!r}, not [low, high]")
    low, high = (unit * _number(value, f"{where}: wrap") for value in wrap)
    if not low < high:
        raise InputError(f"{where}: wrap is {wrap!r}, its low end is not below its high one")
    table = _read_table(entry["table"], f"{where}: table", folder, unit) if "table" in entry else None
    coupling = _read_coupling(entry["coupling"], f"{where}: coupling") if "coupling" in entry else None
    return Encoder(bits, sign, unit * _number(entry["zero"], f"{where}: zero"), (low, high), table, coupling)


def _read_table(entry: Any, where: str, folder: Path, unit: float) -> Table:
    """A list of [encoder, joint] pairs, or the name of a CSV file: one line of headings, then two columns."""
    try:
        if isinstance(entry, str):
            where = f"{where} {folder / entry}"
            entry = np.loadtxt(folder / entry, delimiter=",", skiprows=1, ndmin=2)
        pairs = unit * np.array(entry, dtype=float)
        if pairs.ndim != 2 or pairs.shape[1] != 2:
            raise ValueError("is not a list of [encoder, joint] pairs")
        return Table(pairs[:, 0], pairs[:, 1])
    except OSError as error:
        raise InputError(f"{where}: cannot be read ({error})") from error
    except (ValueError, TypeError) as error:
        raise InputError(f"{where}: {error}") from error


def _read_coupling(entry: Any, where: str) -> Coupling:
    entry = _mapping(entry, where)
    _check_keys(entry, {"with", "terms"}, {"with", "terms"}, where)
    terms: dict[tuple[int, int], float] = {}
    try:
        for (i, j), c in entry["terms"]:
            if type(i) is not int or type(j) is not int or min(i, j) < 0 or (i, j) in terms:
                raise ValueError
            terms[i, j] = _number(c, where)
    except (TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{where}: terms is not a list of [[i, j], c] with each pair of powers once") from error
    if terms.get((1, 0), 0.0) <= 0.0:
        raise InputError(f"{where}: terms needs a positive [[1, 0], c]; the direction belongs to sign")
    return Coupling(str(entry["with"]), terms)


def _mapping(value: Any, where: str) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{where}: is not a mapping of names to values")
    return value


def _check_keys(found: Mapping[Any, Any], known: set[str], needed: set[str], where: str) -> None:
    missing = sorted(needed - found.keys())
    if missing:
        raise InputError(f"{where}: {missing[0]} is missing")
    unknown = sorted(found.keys() - known, key=str)
    if unknown:
        raise InputError(f"{where}: {unknown[0]} is not known")


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise InputError(f"{where} is {value!r}, not a number")
    return float(value)
