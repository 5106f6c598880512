"""Rigid transforms as plain tuples, which at this size are several times faster than arrays.

A transform ``a_from_b`` is ``((x, y, z), (qx, qy, qz, qw))``: translation, unit quaternion.
"""

from __future__ import annotations

import math

Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]
Rigid = tuple[Vector, Quaternion]

IDENTITY: Rigid = ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))


def rotate(q: Quaternion, v: Vector) -> Vector:
    """Turn a vector: ``v + 2 w (u x v) + 2 u x (u x v)``, with u and w the quaternion's vector and scalar."""
    x, y, z, w = q
    vx, vy, vz = v
    cx, cy, cz = 2.0 * (y * vz - z * vy), 2.0 * (z * vx - x * vz), 2.0 * (x * vy - y * vx)
    return vx + w * cx + y * cz - z * cy, vy + w * cy + z * cx - x * cz, vz + w * cz + x * cy - y * cx


def multiply(a: Quaternion, b: Quaternion) -> Quaternion:
    """Hamilton product: first ``b``'s turn, then ``a``'s."""
    ax, ay, az, aw = a
    bx, by, bz, bw = b
    return (
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
        aw * bw - ax * bx - ay * by - az * bz,
    )


def compose(a_from_b: Rigid, b_from_c: Rigid) -> Rigid:
    """``a_from_c``."""
    (ax, ay, az), turn = a_from_b
    bx, by, bz = rotate(turn, b_from_c[0])
    return (ax + bx, ay + by, az + bz), multiply(turn, b_from_c[1])


def inverse(a_from_b: Rigid) -> Rigid:
    """``b_from_a``."""
    translation, (x, y, z, w) = a_from_b
    back = (-x, -y, -z, w)
    tx, ty, tz = rotate(back, translation)
    return (-tx, -ty, -tz), back


def normalised(q: Quaternion) -> Quaternion:
    """The quaternion with length one."""
    scale = 1.0 / math.hypot(*q)
    return q[0] * scale, q[1] * scale, q[2] * scale, q[3] * scale


def interpolate(start: Rigid, end: Rigid, fraction: float) -> Rigid:
    """Between ``start`` (fraction 0) and ``end`` (1): translation on the straight line, rotation on the shorter arc.

    As in the official one the angle comes from its cosine, so that turns of less than some 2e-8 rad count as none.
    """
    keep = 1.0 - fraction
    translation = tuple(keep * a + fraction * b for a, b in zip(start[0], end[0], strict=True))
    a, b = start[1], end[1]
    cosine = a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3]
    if cosine < 0.0:
        b, cosine = (-b[0], -b[1], -b[2], -b[3]), -cosine
    angle = math.acos(min(cosine, 1.0))
    if angle == 0.0:
        return translation, a
    sine = math.sin(angle)
    keep, fraction = math.sin(keep * angle) / sine, math.sin(fraction * angle) / sine
    blend = (
        keep * a[0] + fraction * b[0],
        keep * a[1] + fraction * b[1],
        keep * a[2] + fraction * b[2],
        keep * a[3] + fraction * b[3],
    )
    return translation, normalised(blend)
