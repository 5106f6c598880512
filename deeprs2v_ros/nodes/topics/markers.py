"""Markers for RViz."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from builtin_interfaces.msg import Time as Stamp
from geometry_msgs.msg import Point
from rclpy.duration import Duration
from visualization_msgs.msg import Marker, MarkerArray

from deeprs2v_ros.frames import BASE, IMAGE, PREDICTED, VOLUME
from deeprs2v_ros.geometry import Array, apply
from deeprs2v_ros.imaging.volume import Volume
from deeprs2v_ros.nodes.topics.conversions import METRES
from deeprs2v_ros.registration.supervisor import State
from deeprs2v_ros.view.scenery import Structure
from deeprs2v_ros.view.words import COLOURS

NOW, HELD, AT_REST = (0.15, 0.75, 0.35, 0.8), (0.95, 0.65, 0.1, 0.6), (0.6, 0.6, 0.6, 0.25)
"""Colours of the tumour: where it is now, where it was held to be, and where it was when the volume was acquired."""

LIFETIME = 0.3
"""Seconds after which RViz takes away a tumour that nobody renews."""

SURFACE_LIFETIME, WHY_LIFETIME = 0.5, 1.5
"""The same of what is believed, and of why nothing is, which is said once a second."""


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


def plane_border(width: float, height: float, state: State, why: str, believed: bool) -> list[Marker]:
    """The live plane's edge in the colour of ``state``, and the state with its reason above it; mm, in us_image.

    Green must not outlast what it says, so it goes away sooner if ``believed``.
    """
    colour = (*(level / 255.0 for level in COLOURS[state]), 1.0)
    border = _marker(IMAGE, "plane", Marker.LINE_STRIP, colour)
    border.scale.x = 0.002
    corners = ((0.0, 0.0), (width, 0.0), (width, height), (0.0, height), (0.0, 0.0))
    border.points = [Point(x=METRES * x, y=METRES * y, z=0.0) for x, y in corners]
    text = _marker(IMAGE, "state", Marker.TEXT_VIEW_FACING, colour)
    text.text = state.name + (f": {why}" if why else "")
    text.scale.z = 0.012
    text.pose.position.x, text.pose.position.y = 0.5 * METRES * width, -0.03
    for each in (border, text):
        each.lifetime = Duration(seconds=SURFACE_LIFETIME if believed else WHY_LIFETIME).to_msg()
    return [border, text]


def surfaces(structures: Sequence[Structure], gone: bool = False) -> list[Marker]:
    """``structures`` where they are predicted to be now, which go away by themselves; or away with them at once."""
    return [_gone(number) if gone else _surface(each, number) for number, each in enumerate(structures)]


def _gone(number: int) -> Marker:
    return Marker(ns="anatomy", id=number, action=Marker.DELETE)


def _surface(structure: Structure, number: int) -> Marker:
    shown = structure.coarse
    opaque = 0.9 if structure.tumour else 0.55
    marker = _marker(
        PREDICTED, "anatomy", Marker.TRIANGLE_LIST, (*(level / 255.0 for level in structure.colour), opaque)
    )
    marker.id = number
    marker.scale.x = marker.scale.y = marker.scale.z = 1.0
    marker.points = [Point(x=x, y=y, z=z) for x, y, z in (METRES * shown.vertices[shown.triangles.ravel()]).tolist()]
    marker.lifetime.nanosec = round(1e9 * SURFACE_LIFETIME)
    return marker


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
