"""Where the volume was while a bag was recorded."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from deeprs2v_ros.bags import opened
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.frames import BASE, VOLUME
from deeprs2v_ros.geometry import Array
from deeprs2v_ros.messages import transforms_of
from deeprs2v_ros.replay.topics import TRANSFORMS

_SAME = 1e-3
"""mm, and no unit for rotations: places that differ by less are one."""


def volume_place(path: str | Path) -> Array:
    """base_from_volume (4, 4) in mm, as latched TF in a bag says, in whatever namespace.

    Raises InputError naming the bag if it cannot be read, if TF does not say it, or if it says several places: it is
    not known then which of them holds.
    """
    with opened(path) as bag:
        latched = [name for name, kind in bag.kinds.items() if kind == TRANSFORMS and name.endswith("/tf_static")]
        places = [
            place
            for _, _, message in bag.messages(latched)
            for parent, child, _, place in transforms_of(message)
            if (parent, child) == (BASE, VOLUME)
        ]
    if not places:
        raise InputError(f"{path}: latched TF does not say where {VOLUME} is in {BASE}; give base_from_volume.xyz")
    if not all(np.allclose(place, places[0], rtol=0.0, atol=_SAME) for place in places):
        raise InputError(f"{path}: {VOLUME} was at several places; give base_from_volume.xyz")
    return places[0]
