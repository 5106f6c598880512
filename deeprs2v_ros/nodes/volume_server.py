"""Node volume_server: which 3D image is in use, where it was acquired, and where the tumour is in it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from std_msgs.msg import String
from tf2_ros import StaticTransformBroadcaster
from visualization_msgs.msg import MarkerArray

from deeprs2v_ros.arm.chain import LinkTransform
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.frames import (
    BASE,
    CORRECTED,
    MRI,
    PREDICTED,
    TUMOR,
    TUMOR_PREDICTED,
    VOLUME,
)
from deeprs2v_ros.geometry import Array, rigid
from deeprs2v_ros.imaging.volume import read_volume
from deeprs2v_ros.nodes.support import qos
from deeprs2v_ros.nodes.support.conversions import METRES, image_message, transform_from_numbers, transform_messages
from deeprs2v_ros.nodes.support.markers import at_acquisition
from deeprs2v_ros.nodes.support.overlay import three_slices
from deeprs2v_ros.nodes.support.parameters import (
    declare,
    declare_choice,
    declare_numbers,
    declare_path,
    declare_positive,
)
from deeprs2v_ros.nodes.support.running import run
from deeprs2v_ros.nodes.support.scene import declare_cart, declare_images
from deeprs2v_ros.nodes.support.volume_sources import acquire, make_from_sequence, output_path
from deeprs2v_ros.parameters.cart import declare_tumour_radius, declare_volume_place

IDENTITY = [0.0, 0.0, 0.0, 1.0]
RELOADED = {
    "volume",
    "base_from_volume.xyz",
    "base_from_volume.xyzw",
    "tumor.position",
    "volume_from_mri.xyz",
    "volume_from_mri.xyzw",
}
"""Parameters that may change while the node runs; then everything is published anew."""


class VolumeServer(Node):
    """Publishes, latched, the volume's file, its overview and markers, and its frames.

    The volume is read from a file, reconstructed from a tracked sweep, or acquired by the simulated cart. The latter
    two take seconds, within the constructor.
    """

    def __init__(self, **options: Any) -> None:
        """Raise InputError for parameters that cannot be met; ``options`` are those of rclpy's Node."""
        super().__init__("volume_server", **options)
        source = declare_choice(self, "source", ("file", "sequence", "scene"), "Where the volume comes from")
        images = declare_images(self)
        self._cart = declare_cart(self, images)
        xyz, xyzw = declare_volume_place(partial(declare, self))
        values: dict[str, Any] = {
            "base_from_volume.xyz": xyz,
            "base_from_volume.xyzw": xyzw,
            "tumor.position": self._movable(
                "tumor.position", [0.0, 0.0, 0.0], 3, "Centre of the tumour in us_volume in m; not for a scene"
            ),
            "volume_from_mri.xyz": self._movable(
                "volume_from_mri.xyz", [0.0, 0.0, 0.0], 3, "Place of mri in us_volume_corrected in m"
            ),
            "volume_from_mri.xyzw": self._movable("volume_from_mri.xyzw", IDENTITY, 4, "Its quaternion [x, y, z, w]"),
        }
        self._radius = declare_tumour_radius(partial(declare, self))
        self._file = self.create_publisher(String, "volume/file", qos.LATCHED)
        self._overview = self.create_publisher(Image, "volume/overview", qos.LATCHED)
        self._markers = self.create_publisher(MarkerArray, "volume/markers", qos.LATCHED)
        self._broadcaster: StaticTransformBroadcaster | None = None
        self._served = ""
        values["volume"] = self._made(source)
        self._serve(values)
        self._values = values
        if source == "file":
            self.add_on_set_parameters_callback(self._on_parameters)

    def _movable(self, name: str, default: list[float], count: int, description: str) -> tuple[float, ...]:
        return declare_numbers(self, name, default, count, description, read_only=False)

    def _made(self, source: str) -> str:
        """Path of the volume, which is made first if it does not come as a file."""
        if source == "file":
            return declare_path(self, "volume", "Volume to use (.mha, .nrrd, .nii ...)", read_only=False)
        spacing = declare_positive(self, "spacing", 0.8, "Voxel size in mm of a volume that is made here")
        path = output_path(declare(self, "output", "", "Where to write it; empty: deeprs2v_ros/volume.mha in ROS_HOME"))
        if source == "sequence":
            make_from_sequence(
                declare_path(self, "sequence", "Tracked sweep to reconstruct (.igs.mha, .igs.nrrd)"),
                declare(self, "mask", "", "Valid area of its frames, an image; empty: found from them"),
                spacing,
                path,
                self.get_logger(),
            )
        else:
            frames = declare_positive(self, "sweep_frames", 120, "Frames of the simulated sweep")
            acquire(self._cart, frames, spacing, path, self.get_logger())
        return str(path)

    def _on_parameters(self, parameters: Sequence[Parameter]) -> SetParametersResult:
        values = self._values | {each.name: each.value for each in parameters if each.name in RELOADED}
        try:
            if values != self._values:
                self._serve(values)
        except InputError as error:
            return SetParametersResult(successful=False, reason=str(error))
        self._values = values
        return SetParametersResult(successful=True)

    def _serve(self, values: dict[str, Any]) -> None:
        """Check everything, then publish everything."""
        volume = read_volume(values["volume"])
        position = [coordinate / METRES for coordinate in values["tumor.position"]]
        base_from_volume = _place(values, "base_from_volume")
        volume_from_mri = _place(values, "volume_from_mri")
        if self._cart is not None:
            position, base_from_volume = self._cart.scene.target, self._cart.base_from_volume
        now = self.get_clock().now().to_msg()
        self._broadcast(
            [
                LinkTransform(BASE, VOLUME, base_from_volume),
                LinkTransform(CORRECTED, TUMOR, rigid(translation=position)),
                LinkTransform(PREDICTED, TUMOR_PREDICTED, rigid(translation=position)),
                LinkTransform(CORRECTED, MRI, volume_from_mri),
            ]
        )
        path = str(Path(values["volume"]).resolve())
        if path != self._served:
            self._file.publish(String(data=path))
            self._served = path
        self._overview.publish(image_message(three_slices(volume), "mono8", VOLUME, now))
        self._markers.publish(at_acquisition(volume, np.array(position), self._radius))
        size = " x ".join(map(str, volume.size))
        self.get_logger().info(f"volume {values['volume']}: {size} voxels")

    def _broadcast(self, transforms: list[LinkTransform]) -> None:
        """Replace what was broadcast: a broadcaster ignores a second transform of the same child."""
        if self._broadcaster is not None:
            self.destroy_publisher(self._broadcaster.pub_tf)
        self._broadcaster = StaticTransformBroadcaster(self)
        self._broadcaster.sendTransform(transform_messages(transforms, self.get_clock().now().to_msg()))


def _place(values: dict[str, Any], name: str) -> Array:
    return transform_from_numbers(values[f"{name}.xyz"], values[f"{name}.xyzw"], f"parameters {name}")


def main() -> int:
    """Run the node."""
    return run(VolumeServer)


if __name__ == "__main__":
    sys.exit(main())
