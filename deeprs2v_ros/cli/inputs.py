"""Inputs that several subcommands share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.imaging.mask import find_mask, read_mask
from deeprs2v_ros.imaging.sequence import Sequence, read_sequence


def read_masked_sequence(sequence_path: Path, mask_path: Path | None) -> tuple[Sequence, NDArray[np.bool_]]:
    """A sequence and the valid area of its frames: read from ``mask_path``, or found from the frames if that is None.

    Raises InputError for whatever is wrong with either file, for a sequence without any valid frame, and for frames
    that show no valid area.
    """
    sequence = read_sequence(sequence_path)
    if not sequence.valid.any():
        raise InputError(f"{sequence_path}: none of its {len(sequence)} frames is valid")
    if mask_path is not None:
        return sequence, read_mask(mask_path, sequence.frames.shape[1:])
    try:
        return sequence, find_mask(sequence.frames[sequence.valid])
    except InputError as error:
        raise InputError(f"{sequence_path}: {error}") from error
