"""Nodes that cannot run together with the parameters they are given."""

from __future__ import annotations

from collections.abc import Collection

from deeprs2v_ros.errors import InputError


def check_one_parent(nodes: Collection[str], source: str) -> None:
    """Raise InputError where two of the ``nodes`` would broadcast us_image, by the ``source`` of the images.

    A tracked sequence brings its own poses, in the volume; the arm says where the probe is.
    """
    if {"arm_kinematics", "ultrasound_source"} <= {*nodes} and source == "sequence":
        raise InputError(
            "ultrasound_source: source is sequence, which brings its own poses, and arm_kinematics broadcasts those of "
            "the arm: play it with replay.launch.py, or leave arm_kinematics out"
        )
