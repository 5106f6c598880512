"""Markers for RViz."""

from __future__ import annotations

import itertools

import numpy as np
from builtin_interfaces.msg import Time as Stamp
from geometry_msgs.msg import Point
from visualization_msgs.msg import Marker, MarkerArray

from deeprs2v_ros.frames import BASE, VOLUME
from deeprs2v_ros.geometry import Array, apply
from deeprs2v_ros.imaging.volume import Volume
from deeprs2v_ros.nodes.topics.conversions import METRES

NOW, HELD, AT_REST = (0.15, 0.75, 0.35, 0.8), (0.95, 0.65, 0.1, 0.6), (0.6, 0.6, 0.6, 0.25)
"""Colours of the tumour: where it is now, where it was held to be, and where it was when the volume was acquired."""

LIFETIME = 0.3
"""Seconds after which RViz takes away a tumour that nobody renews."""


def at_acquisition(volume: Volume, tumour: Array, radius: float) -> MarkerArray:
    """A sphere of ``radius`` about ``tumour`` (3,) and the edges of the ``volume``, both in us_volume; mm.

    They show what was there when the volume was acquired, which stays true whatever the registration does.
    """
    sphere = _sphere(VOLUME, "tumor", tumour, radius, AT_REST)
    box = _marker(VOLUME, "volume", Marker.LINE_LIST, (0.4, 0.75, 1.0, 0.8))
    box.scale.x = 0.001
    corners = list(itertools.product((0.0, 1.0), repeat=3))
    last = np.array(volume.size) - 1
    for start, end in itertools.combinations(corners, 2):
        if sum(a != b for a, b in zip(start, end, strict=True)) == 1:
            ends = METRES * apply(volume.volume_from_voxel, np.array([start, end]) * last)
            box.points += [Point(x=x, y=y, z=z) for x, y, z in ends.tolist()]
    return MarkerArray(markers=[sphere, box])


def nothing() -> MarkerArray:
    """Takes away what was shown before."""
    return MarkerArray(markers=[Marker(action=Marker.DELETEALL)])


def tumour_now(place: Array, radius: float, held: bool, stamp: Stamp) -> MarkerArray:
    """A sphere about the tumour's ``place`` (3,) in base_link, mm, that goes away by itself; amber while ``held``."""
    sphere = _sphere(BASE, "tumor now", place, radius, HELD if held else NOW)
    sphere.header.stamp = stamp
    sphere.lifetime.nanosec = round(1e9 * LIFETIME)
    return MarkerArray(markers=[sphere])


def _sphere(frame: str, name: str, centre: Array, radius: float, colour: tuple[float, float, float, float]) -> Marker:
    sphere = _marker(frame, name, Marker.SPHERE, colour)
    position = sphere.pose.position
    position.x, position.y, position.z = (METRES * np.asarray(centre, dtype=float)).tolist()
    sphere.scale.x = sphere.scale.y = sphere.scale.z = 2.0 * METRES * radius
    return sphere


def _marker(frame: str, name: str, kind: int, colour: tuple[float, float, float, float]) -> Marker:
    """Stamped 0 and locked to its frame, so that it moves with it."""
    marker = Marker(ns=name, type=kind, action=Marker.ADD, frame_locked=True)
    marker.header.frame_id = frame
    marker.pose.orientation.w = 1.0
    marker.color.r, marker.color.g, marker.color.b, marker.color.a = colour
    return marker
