"""Markers for RViz."""

from __future__ import annotations

import itertools

import numpy as np
from geometry_msgs.msg import Point
from visualization_msgs.msg import Marker, MarkerArray

from deeprs2v_ros.frames import TUMOR, VOLUME
from deeprs2v_ros.geometry import apply
from deeprs2v_ros.imaging.volume import Volume
from deeprs2v_ros.nodes.support.conversions import METRES


def tumour_and_box(volume: Volume, radius: float) -> MarkerArray:
    """A sphere of ``radius`` (mm) in the frame tumor, and the edges of the ``volume`` in us_volume."""
    sphere = _marker(TUMOR, 0, Marker.SPHERE, (0.9, 0.2, 0.15, 0.7))
    sphere.scale.x = sphere.scale.y = sphere.scale.z = 2.0 * METRES * radius
    box = _marker(VOLUME, 1, Marker.LINE_LIST, (0.4, 0.75, 1.0, 0.8))
    box.scale.x = 0.001
    corners = list(itertools.product((0.0, 1.0), repeat=3))
    last = np.array(volume.size) - 1
    for start, end in itertools.combinations(corners, 2):
        if sum(a != b for a, b in zip(start, end, strict=True)) == 1:
            ends = METRES * apply(volume.volume_from_voxel, np.array([start, end]) * last)
            box.points += [Point(x=x, y=y, z=z) for x, y, z in ends.tolist()]
    return MarkerArray(markers=[sphere, box])


def _marker(frame: str, number: int, kind: int, colour: tuple[float, float, float, float]) -> Marker:
    """Stamped 0 and locked to its frame, so that it moves with it."""
    marker = Marker(ns="deeprs2v", id=number, type=kind, action=Marker.ADD, frame_locked=True)
    marker.header.frame_id = frame
    marker.pose.orientation.w = 1.0
    marker.color.r, marker.color.g, marker.color.b, marker.color.a = colour
    return marker
