"""Surfaces of triangles, and the outlines that an image plane cuts out of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deeprs2v_ros.anatomy.polydata import surface_arrays, to_polydata
from deeprs2v_ros.extras import need
from deeprs2v_ros.geometry import Array, apply, inverse

_MARGIN = 0.98  # decimation ends near its target, on either side


@dataclass(frozen=True)
class Surface:
    """Triangles in space: ``vertices`` (N, 3) mm, and the three vertices of each of the ``triangles`` (M, 3) int32."""

    vertices: Array
    triangles: NDArray[np.int32]

    def moved(self, target_from_surface: Array) -> Surface:
        """The same surface in another frame; the transform is 4x4, rigid, mm."""
        return Surface(apply(target_from_surface, self.vertices), self.triangles)

    def cut(self, volume_from_image: Array) -> Array:
        """Where the plane z = 0 of an image cuts the surface, segments (K, 2, 2): both ends in image x and y, mm.

        ``volume_from_image`` (4x4, rigid, mm) is the pose of the image in the frame of the surface.

        A vertex in the plane counts as above it, so each triangle has at most one segment, and those of a closed
        surface chain into closed outlines wherever the plane lies. The ends of two neighbours on their common edge
        are equal to the last bit, as `loops` needs it: all vertices are mapped by the same operations one by one (a
        matrix product may round each row differently), and an edge is always cut from its end above.
        """
        image_from_volume = inverse(volume_from_image)
        height = _coordinate(image_from_volume[2], self.vertices)
        sides = (height >= 0.0)[self.triangles]
        crossed = (sides[:, 0] != sides[:, 1]) | (sides[:, 1] != sides[:, 2])
        sides, triangles = sides[crossed], self.triangles[crossed]
        alone = np.where(sides.sum(axis=1) == 1, sides.argmax(axis=1), sides.argmin(axis=1))  # on its side of the plane
        row = np.arange(len(triangles))
        ends = np.empty((len(triangles), 2, 2))
        for end in (0, 1):
            first, second = triangles[row, alone], triangles[row, (alone + 1 + end) % 3]
            first_above = sides[row, alone]
            upper, lower = np.where(first_above, first, second), np.where(first_above, second, first)
            share = height[upper] / (height[upper] - height[lower])
            for axis in (0, 1):
                start = _coordinate(image_from_volume[axis], self.vertices[upper])
                stop = _coordinate(image_from_volume[axis], self.vertices[lower])
                ends[:, end, axis] = start + share * (stop - start)
        return ends[(ends[:, 0] != ends[:, 1]).any(axis=1)]  # without those that only touch the plane

    def reduced(self, most: int) -> Surface:
        """The surface with at most ``most`` triangles, for display (Garland and Heckbert's quadric decimation).

        Raises InputError if VTK is not installed.
        """
        if len(self.triangles) <= most:
            return self
        need("anatomy", "vtkmodules")
        from vtkmodules.vtkFiltersCore import vtkQuadricDecimation

        polydata = to_polydata(self.vertices, self.triangles)
        left = len(self.triangles)
        target = _MARGIN * most
        while left > most:
            decimation = vtkQuadricDecimation()
            decimation.SetInputData(polydata)
            decimation.SetTargetReduction(1.0 - target / left)
            decimation.Update()
            polydata = decimation.GetOutput()
            left, target = polydata.GetNumberOfPolys(), 0.9 * target
        return Surface(*surface_arrays(polydata))


def loops(segments: Array) -> list[Array]:
    """The lines that ``segments`` (K, 2, 2) make, each (n, 2), in mm: chained wherever their ends are equal.

    An outline is closed and ends with its first point; what remains open, of a surface with holes, does not. Together
    the lines hold each segment once. Filled by the even-odd rule, the closed ones are the inside of a closed surface.
    """
    ends = np.ascontiguousarray(segments, dtype=float).reshape(-1, 2).view(complex).ravel()  # pairs that sort as one
    points, index = np.unique(ends, return_inverse=True)
    pairs = index.reshape(-1, 2).tolist()
    meeting: list[list[int]] = [[] for _ in points]
    for number, pair in enumerate(pairs):
        for point in pair:
            meeting[point].append(number)
    used = [False] * len(pairs)
    odd_first = sorted(range(len(points)), key=lambda point: len(meeting[point]) % 2 == 0)  # where open lines end
    lines = []
    for start in odd_first:
        while (line := _walk(start, pairs, meeting, used)) is not None:
            lines.append(points[line].view(float).reshape(-1, 2))
    return lines


def _walk(start: int, pairs: list[list[int]], meeting: list[list[int]], used: list[bool]) -> list[int] | None:
    """The points along unused segments from ``start`` until there are none left, None if there is none at all."""
    line = [start]
    while True:
        here = meeting[line[-1]]
        while here and used[here[-1]]:
            here.pop()
        if not here:
            return line if len(line) > 1 else None
        number = here.pop()
        used[number] = True
        first, second = pairs[number]
        line.append(second if first == line[-1] else first)
        if line[-1] == start:
            return line


def _coordinate(row: Array, points: Array) -> Array:
    """One coordinate of transformed ``points`` (N, 3) by a ``row`` (4,) of the transform."""
    return row[0] * points[:, 0] + row[1] * points[:, 1] + row[2] * points[:, 2] + row[3]
