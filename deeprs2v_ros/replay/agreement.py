"""Whether a replay says of the images what the nodes said: which are accepted, and where they are."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from deeprs2v_ros.geometry import Array, apply, geodesic_distance
from deeprs2v_ros.replay.audit import Said

SAME = 1e-3
"""mm between the poses of an image up to which they are the same: a micrometre."""


@dataclass(frozen=True)
class Agreement:
    """Of the ``images`` of which the nodes said anything: how many were accepted by both, and by one of the two alone.

    ``distance`` (mm) and ``angle`` (deg) are the largest differences of the registered poses at the image centre among
    those that both accepted, NaN without any. ``first`` is the first frame that only one accepted, or that is more than
    `SAME` apart; None if there is none.
    """

    images: int
    both: int
    nodes_only: int
    replay_only: int
    distance: float
    angle: float
    first: int | None

    @property
    def reproduced(self) -> bool:
        """Whether the recording is reproduced."""
        return self.images > 0 and self.first is None


def agreement(pairs: Iterable[tuple[int, bool, Array | None, Said]], centre: Array) -> Agreement:
    """Compare ``pairs``: frame, accepted and Y (4, 4) mm by the replay, and what the nodes said of the same image.

    ``centre`` (3,) mm is that of an image.
    """
    images = both = nodes_only = replay_only = 0
    distance = angle = math.nan
    first: int | None = None
    for frame, accepted, registered, said in pairs:
        images += 1
        apart = math.nan
        if accepted and said.accepted:
            both += 1
            apart = float(np.linalg.norm(apply(registered, centre) - apply(said.registered, centre)))
            turned = float(np.degrees(geodesic_distance(registered[:3, :3], said.registered[:3, :3])))
            distance, angle = np.fmax(distance, apart), np.fmax(angle, turned)
        nodes_only += said.accepted and not accepted
        replay_only += accepted and not said.accepted
        if said.accepted != accepted or apart > SAME:
            first = frame if first is None else min(first, frame)
    return Agreement(images, both, nodes_only, replay_only, float(distance), float(angle), first)


def in_words(found: Agreement) -> str:
    """One line."""
    counts = (
        f"{found.both} images accepted by both, {found.nodes_only} by the nodes only, "
        f"{found.replay_only} by the replay only"
    )
    apart = f"; poses at most {found.distance:.4f} mm and {found.angle:.4f} degrees apart" if found.both else ""
    end = "reproduced" if found.first is None else f"the first to differ is frame {found.first}"
    return f"{counts}{apart}; {end}"
