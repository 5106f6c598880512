"""The YAML document of a calibrated arm: that of the arm with corrected numbers, and what was not determined.

Numbers are in degrees and millimetres, as in every arm's file, and rounded to what they are worth.
"""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from deeprs2v_ros.arm.calibration.fitting import SPREAD, Fit
from deeprs2v_ros.arm.calibration.unknowns import Block
from deeprs2v_ros.arm.description import fingerprint
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.files import written_whole
from deeprs2v_ros.geometry import Array, seen_from
from deeprs2v_ros.reading import read_columns

DIGITS = 6
_AXES = ("x", "y", "z", "about x", "about y", "about z")


def calibrated_document(document: dict[str, Any], found: Fit, determined: float) -> dict[str, Any]:
    """The ``document`` of an arm with what was ``found``; what is less known than ``determined`` is listed."""
    result = copy.deepcopy(document)
    values = found.state.values
    unknowns = found.model.unknowns
    _set_zeros(result, found)
    for block in unknowns.of("harmonic"):
        result["joints"][block.joint]["harmonics"] = _degrees(values[block.where].reshape(-1, 2))
    corrections = found.model.chain(values).corrections
    section: dict[str, dict[str, list[float]]] = {}
    for name, motion in corrections.origins.items():
        section.setdefault(name, {})["origin"] = [*_rounded(motion[:3]), *_degrees(motion[3:])]
    for name, compliance in corrections.compliance.items():
        section.setdefault(name, {})["compliance"] = _degrees(1000.0 * compliance)
    result["corrections"] = section
    slips = {block.joint: found.deviations[block.where][0] for block in unknowns.of("slip")}
    for name, scale in zip(found.model.pairs.names, found.noise.encoders, strict=True):
        result["joints"][name]["noise"] = _degrees(np.hypot(SPREAD * scale, slips.get(name, 0.0)))
    angles = found.model.joints(found.state).angles
    result["calibration"] = {
        "pairs": f"{len(found.model.pairs)} of {Path(found.model.pairs.source).name}",
        **_places(found),
        "tracker": {
            "position": _rounded(SPREAD * found.noise.position),
            "rotation": _degrees(SPREAD * found.noise.rotation),
        },
        "covariance": _rounded(_at_flange(found) * np.outer(_IN_DEGREES, _IN_DEGREES)),
        "seen": {name: _degrees([a.min(), a.max()]) for name, a in zip(found.model.pairs.names, angles.T, strict=True)},
        "locked": list(unknowns.locked),
        "undetermined": undetermined(found, determined),
    }
    return result


def rezeroed_document(document: dict[str, Any], found: Fit) -> dict[str, Any]:
    """The ``document`` of a calibrated arm with the zeros, the base and the tool that were ``found``."""
    result = copy.deepcopy(document)
    _set_zeros(result, found)
    result["calibration"].update(_places(found))
    return result


def undetermined(found: Fit, determined: float) -> list[str]:
    """What the pairs do not tell: unknowns that are known less than ``determined``, a share of their variance.

    An error curve counts where it was seen, not by its coefficients, and is left out here.
    """
    known = found.known
    names = [f"{name} zero and curve (locked)" for name in found.model.unknowns.locked]
    fitted = {block.joint for block in found.model.unknowns.of("zero")}
    ends = set(found.model.pairs.names) - fitted - set(found.model.unknowns.locked)
    names += [f"{name} zero (goes into base and tool)" for name in sorted(ends)]
    for kind in ("zero", "origin", "compliance"):
        for block in found.model.unknowns.of(kind):
            names += [_named(block, n) for n, share in enumerate(known[block.where]) if share < determined]
    return names


def write_document(document: dict[str, Any], path: Path, urdf: Path, provenance: str) -> None:
    """Write the ``document`` of a calibration to ``path``, bound to the file ``urdf``."""
    content = document | {
        "provenance": provenance,
        "urdf": os.path.relpath(urdf.resolve(), path.resolve().parent),
        "urdf_sha256": fingerprint(urdf),
    }
    order = ["version", "name", "provenance", "units", "urdf", "urdf_sha256", "flange", "bearings"]
    content = {key: content[key] for key in order if key in content} | content
    text = yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=120)
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def with_tables(document: dict[str, Any], folder: Path) -> tuple[dict[str, Any], list[str]]:
    """The ``document`` with the look-up tables ``lut_encoder<n>.csv`` of ``folder`` for joints j<n>, and their names.

    A coupled joint keeps its coupling, and its table is left out. Raises InputError for a folder without any table, and
    for a table of a joint that the arm does not have.
    """
    result = copy.deepcopy(document)
    used = []
    files = sorted(folder.glob("lut_encoder*.csv"))
    if not files:
        raise InputError(f"{folder}: holds no lut_encoder<n>.csv")
    for file in files:
        name = f"j{file.stem.removeprefix('lut_encoder')}"
        if name not in result["joints"]:
            raise InputError(f"{file}: the arm has no joint {name}")
        if "coupling" in result["joints"][name]:
            continue
        result["joints"][name]["table"] = _rounded(read_columns(file))
        used.append(file.name)
    return result, used


def _set_zeros(document: dict[str, Any], found: Fit) -> None:
    for block in found.model.unknowns.of("zero"):
        joint = document["joints"][block.joint]
        joint["zero"] = _rounded(joint["zero"] + np.degrees(found.state.values[block.where][0]))


def _places(found: Fit) -> dict[str, list[list[float]]]:
    return {
        "tracker_from_base": np.round(found.state.tracker_from_base[:3], 9).tolist(),
        "flange_from_tool": np.round(found.state.flange_from_tool[:3], 9).tolist(),
    }


def _at_flange(found: Fit) -> Array:
    """Covariance (6, 6) of where the arm puts its flange, about its origin and in its axes, the mean over the pairs."""
    prediction = found.model.predict(found.state)
    lasting = np.concatenate(
        [np.arange(b.where.start, b.where.stop) for b in found.model.unknowns.blocks if b.kind != "slip"]
    )
    columns = prediction.by_unknown[:, :, lasting]
    at_tool = columns @ found.covariance[np.ix_(lasting, lasting)] @ np.swapaxes(columns, 1, 2)
    turn = np.zeros((len(columns), 6, 6))
    turn[:, :3, :3] = turn[:, 3:, 3:] = found.state.flange_from_tool[:3, :3] @ np.swapaxes(
        prediction.tracker_from_tool[:, :3, :3], 1, 2
    )
    in_flange_axes = (turn @ at_tool @ np.swapaxes(turn, 1, 2)).mean(axis=0)
    back = seen_from(-found.state.flange_from_tool[:3, 3])
    return back @ in_flange_axes @ back.T


_IN_DEGREES = np.array([1.0] * 3 + [np.degrees(1.0)] * 3)


def _named(block: Block, n: int) -> str:
    if block.kind == "zero":
        return f"{block.joint} zero"
    return f"{block.joint} {block.kind} {_AXES[block.axes[n]]}"


def _degrees(angles: Any) -> Any:
    return _rounded(np.degrees(angles))


def _rounded(numbers: Any) -> Any:
    return np.round(numbers, DIGITS).tolist()
