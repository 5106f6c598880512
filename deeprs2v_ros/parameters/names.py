"""The name of every parameter that a node has, whatever it is told to do.

A node declares only what it needs: one that reads a file knows nothing of a serial line. So its declarations do not
tell a misspelt name from one that is left in the file for another day; this table does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from deeprs2v_ros.registration.settings import GateSettings, OrganMotion, PredictionSettings
from deeprs2v_ros.registration.supervisor import SupervisorSettings


def _of_settings(prefix: str, settings: type) -> set[str]:
    return {f"{prefix}.{field.name}" for field in fields(settings)}


_IMAGES = {"image.rows", "image.columns", "image.pixel_size", "image.face"}
_ARM = {"arm", "arm_mount"}
_SCENE = {
    "scene.kind",
    "scene.seed",
    "scene.rate",
    "scene.breathing_mm",
    "scene.breathing_period",
    "scene.sequence",
    "scene.mask",
    "scene.target",
}
_CART = {*_IMAGES, *_ARM, *_SCENE}

NAMES: Mapping[str, frozenset[str]] = {
    "arm_encoders": frozenset(
        {
            *_CART,
            "source",
            "rate",
            "fault_after",
            "log.file",
            "log.loop",
            "serial.port",
            "serial.baud",
            "serial.checksum",
            "serial.joints",
            "serial.stall_after",
        }
    ),
    "arm_kinematics": frozenset({*_IMAGES, *_ARM, "tf_rate", "pose_rate"}),
    "ultrasound_source": frozenset({*_CART, "source", "sequence", "video.device", "video.flip", "video.crop"}),
    "volume_server": frozenset(
        {
            *_CART,
            "autostart",
            "source",
            "volume",
            "volume_folders",
            "sequence",
            "mask",
            "spacing",
            "output",
            "sweep_frames",
            "base_from_volume.bag",
            "base_from_volume.xyz",
            "base_from_volume.xyzw",
            "tumor.position",
            "tumor.radius",
            "volume_from_mri.file",
            "volume_from_mri.inverted",
            "volume_from_mri.xyz",
            "volume_from_mri.xyzw",
        }
    ),
    "registration": frozenset(
        {
            *_IMAGES,
            *_of_settings("gate", GateSettings),
            *_of_settings("organ", OrganMotion),
            *_of_settings("prediction", PredictionSettings),
            *_of_settings("trust", SupervisorSettings),
            "autostart",
            "method",
            "weights",
            "device",
            "temporal",
            "abdominal_wall",
            "mask",
            "mask_frames",
            "image_time_offset",
            "transform_deadline",
            "future_tolerance",
            "frozen_distance",
            "image_timeout",
            "check_period",
            "prediction_rate",
        }
    ),
    "guidance_view": frozenset(
        {*_IMAGES, *_SCENE, "anatomy.files", "anatomy.frame", "mask", "mri.file", "mri.window", "tumor.radius"}
    ),
    "health": frozenset({"nodes"}),
    "target_monitor": frozenset({"transform_deadline", "image_time_offset", "tumor.radius"}),
}
"""By node."""
