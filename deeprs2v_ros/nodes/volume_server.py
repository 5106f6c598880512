"""Node volume_server: which 3D image is in use, where it was acquired, and where the tumour is in it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Transform
from numpy.typing import NDArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from std_msgs.msg import String
from tf2_ros import StaticTransformBroadcaster
from visualization_msgs.msg import MarkerArray

from deeprs2v_ros.anatomy.placing import read_transform
from deeprs2v_ros.arm.chain import LinkTransform
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.frames import BASE, CORRECTED, MRI, PREDICTED, TUMOR, TUMOR_PREDICTED, VOLUME
from deeprs2v_ros.geometry import Array, inverse, rigid
from deeprs2v_ros.imaging.volume import read_volume
from deeprs2v_ros.msg import RegistrationStatus
from deeprs2v_ros.nodes.running.diagnostics import OK, WARN, Condition, Diagnostics
from deeprs2v_ros.nodes.running.ending import leave
from deeprs2v_ros.nodes.running.managed import ManagedNode
from deeprs2v_ros.nodes.running.parameters import declare, declare_choice, declare_numbers, declare_positive
from deeprs2v_ros.nodes.running.program import run
from deeprs2v_ros.nodes.sources.scene import declare_cart, declare_images
from deeprs2v_ros.nodes.sources.volumes import acquire, make_from_sequence, output_path
from deeprs2v_ros.nodes.topics import qos
from deeprs2v_ros.nodes.topics.conversions import METRES, image_message, transform_from_numbers, transform_messages
from deeprs2v_ros.nodes.topics.markers import at_acquisition, nothing
from deeprs2v_ros.parameters.cart import declare_tumour_radius, declare_volume_place
from deeprs2v_ros.parameters.declaring import check_numbers
from deeprs2v_ros.replay.volume_place import volume_place
from deeprs2v_ros.resources import home
from deeprs2v_ros.srv import LoadVolume, SetMri, SetTumor
from deeprs2v_ros.view.slices import three_slices

IDENTITY = [0.0, 0.0, 0.0, 1.0]
CHANGING = (
    "volume",
    "base_from_volume.xyz",
    "base_from_volume.xyzw",
    "tumor.position",
    "volume_from_mri.xyz",
    "volume_from_mri.xyzw",
)
"""Parameters that may change while the node runs, by `ros2 param set` or a service: all is then published anew."""

OUT_OF_DATE = 1.0  # s after which a status is out of date


class VolumeServer(ManagedNode):
    """Publishes, latched, the volume's file, its overview and markers, and its frames.

    The volume is read from a file, reconstructed from a tracked sweep, or acquired by the simulated cart. The latter
    two take seconds. Changes are refused while the registration is TRACKING or HOLDING, since somebody may be
    following the tumour.
    """

    def __init__(self, **options: Any) -> None:
        """Raise InputError for parameters that cannot be met; ``options`` are those of rclpy's Node."""
        super().__init__("volume_server", **options)
        given = partial(declare, self)
        self._source = declare_choice(self, "source", ("file", "sequence", "scene"), "Where the volume comes from")
        self._cart = declare_cart(self, declare_images(self))
        xyz, xyzw = declare_volume_place(given)
        bag = declare(
            self,
            "base_from_volume.bag",
            "",
            "Recorded bag that says where the volume was acquired; empty: the parameters do",
        )
        self._values: dict[str, Any] = {
            "volume": given(
                "volume", "", "Volume to use (.mha, .nrrd, .nii ...); empty: none until one is set", read_only=False
            ),
            "base_from_volume.xyz": xyz,
            "base_from_volume.xyzw": xyzw,
            "tumor.position": self._movable(
                "tumor.position", [0.0, 0.0, 0.0], 3, "Centre of the tumour in us_volume, in m; a scene knows it"
            ),
            "volume_from_mri.xyz": self._movable(
                "volume_from_mri.xyz", [0.0, 0.0, 0.0], 3, "Registration of MRI or CT: mri in us_volume_corrected, in m"
            ),
            "volume_from_mri.xyzw": self._movable(
                "volume_from_mri.xyzw", IDENTITY, 4, "The same: quaternion [x, y, z, w]"
            ),
        }
        registered = declare(self, "volume_from_mri.file", "", "Transform (.tfm, .h5, .yaml) that says so instead")
        inverted = declare(
            self,
            "volume_from_mri.inverted",
            False,
            "Whether it maps us_volume to mri, as with the volume as fixed image",
        )
        if bag and self._cart is None:
            self._take_place("base_from_volume", volume_place(bag), bag)
        if registered:
            place = read_transform(registered)
            self._take_place("volume_from_mri", inverse(place) if inverted else place, registered)
        if self._source != "file" and self._values["volume"]:
            raise InputError(f"parameter volume: is given, but source is {self._source}")
        self._radius = declare_tumour_radius(given)
        self._spacing = declare_positive(
            self, "spacing", 0.8, "Voxel size in mm of a volume that the node makes", 100.0
        )
        self._output = given("output", "", "Where to write such a volume; empty: deeprs2v_ros/volume.mha in ROS_HOME")
        self._sequence = given("sequence", "", "Tracked sweep to make the volume of (.igs.mha, .igs.nrrd)")
        self._mask = given("mask", "", "Valid area of the sweep's frames, an image file; empty: found from them")
        self._sweep_frames = declare_positive(self, "sweep_frames", 120, "Frames of the simulated sweep", 10_000)
        self._folders = _folders(
            given(
                "volume_folders",
                "",
                "Folders, separated by :, for other volumes; empty: the first one's, and deeprs2v_ros in ROS_HOME",
            ),
            self._values["volume"],
        )
        self._file = self.create_publisher(String, "volume/file", qos.LATCHED)
        self._overview = self.create_publisher(Image, "volume/overview", qos.LATCHED)
        self._markers = self.create_publisher(MarkerArray, "volume/markers", qos.LATCHED)
        self._broadcaster: StaticTransformBroadcaster | None = None
        self._served = ("", "")  # path and SHA-256
        self._registration, self._until = RegistrationStatus.UNCONFIGURED, 0.0
        self.create_subscription(RegistrationStatus, "registration/status", self._on_status, qos.STATUS)
        self.create_service(LoadVolume, "volume/load", self._on_load)
        self.create_service(SetTumor, "volume/set_tumor", self._on_set_tumor)
        self.create_service(SetMri, "volume/set_mri", self._on_set_mri)
        self._diagnostics = Diagnostics(self, self._condition)
        self.start_by_itself()
        self.add_on_set_parameters_callback(self._on_parameters)

    def _movable(self, name: str, default: list[float], count: int, description: str) -> tuple[float, ...]:
        return declare_numbers(self, name, default, count, description, read_only=False)

    def _take_place(self, name: str, place: Array, source: str) -> None:
        """Let the parameters say what a file or a bag says, (4, 4) mm, since that is in use."""
        (message,) = transform_messages([LinkTransform("", "", place)], Time())
        found = _numbers(name, message.transform)
        self._values |= found
        self.set_parameters([Parameter(each, value=value) for each, value in found.items()])
        numbers = " ".join(f"{each:.4g}" for value in found.values() for each in value)
        self.get_logger().info(f"{name} is what {source} says (m, quaternion): {numbers}")

    # --- Lifecycle ---

    def configure(self) -> None:
        """Make the volume, unless it comes as a file, and check everything. Raises InputError."""
        if self._source != "file":
            self._values["volume"] = self._made()
        self._prepared = self._prepare(self._values)

    def activate(self) -> None:
        """Publish everything."""
        self._serve(self._prepared)

    def deactivate(self) -> None:
        """Withdraw the volume. Its frames stay on TF, which forgets nothing."""
        self._file.publish(String())
        self._markers.publish(nothing())
        self._served = ("", "")

    def _made(self) -> str:
        path = output_path(self._output)
        if self._source == "sequence":
            if not self._sequence:
                raise InputError("parameter sequence: is empty")
            make_from_sequence(self._sequence, self._mask, self._spacing, path, self.get_logger())
        else:
            acquire(self._cart, self._sweep_frames, self._spacing, path, self.get_logger())
        return str(path)

    # --- Changes ---

    def _on_status(self, status: RegistrationStatus) -> None:
        self._registration, self._until = status.state, monotonic() + OUT_OF_DATE

    def _on_load(self, request: LoadVolume.Request, response: LoadVolume.Response) -> LoadVolume.Response:
        changes = {"volume": request.path}
        for place in request.base_from_volume:
            changes |= _numbers("base_from_volume", place)
        return self._change(changes, response)

    def _on_set_tumor(self, request: SetTumor.Request, response: SetTumor.Response) -> SetTumor.Response:
        at = request.position
        return self._change({"tumor.position": [at.x, at.y, at.z]}, response)

    def _on_set_mri(self, request: SetMri.Request, response: SetMri.Response) -> SetMri.Response:
        return self._change(_numbers("volume_from_mri", request.volume_from_mri), response)

    def _change(self, changes: dict[str, Any], response: Any) -> Any:
        """Set parameters for a service, so that they are what is in use."""
        result = self.set_parameters_atomically([Parameter(name, value=value) for name, value in changes.items()])
        response.success, response.message = result.successful, result.reason or "in use"
        self.get_logger().info(f"asked to change {', '.join(changes)}: {response.message}")
        return response

    def _on_parameters(self, parameters: Sequence[Parameter]) -> SetParametersResult:
        changes = {each.name: each.value for each in parameters if each.name in CHANGING}
        if not changes:
            return SetParametersResult(successful=True)
        try:
            self._check_allowed(changes)
            values = self._values | changes
            prepared = self._prepare(values)
        except InputError as error:
            return SetParametersResult(successful=False, reason=str(error))
        except MemoryError:
            return SetParametersResult(successful=False, reason="not enough memory for this volume")
        self._values = values
        self._prepared = prepared
        if self.active:
            self._serve(prepared)
        return SetParametersResult(successful=True)

    def _check_allowed(self, changes: dict[str, Any]) -> None:
        if self._cart is not None:
            raise InputError(f"{', '.join(changes)}: the scene says where volume and tumour are")
        if monotonic() < self._until and self._registration in (
            RegistrationStatus.TRACKING,
            RegistrationStatus.HOLDING,
        ):
            raise InputError(f"{', '.join(changes)}: not while the registration is at work; registration/stop first")
        path = changes.get("volume")
        if path and not any(_resolved(path).is_relative_to(folder) for folder in self._folders):
            places = ", ".join(map(str, self._folders)) or "none is configured"
            raise InputError(f"{path}: is in none of the folders of the parameter volume_folders ({places})")

    # --- What is published ---

    def _prepare(self, values: dict[str, Any]) -> Prepared:
        """Check everything. Raises InputError for a volume that cannot be read and a place that is not one."""
        for name, numbers in values.items():
            if name != "volume":
                check_numbers(name, numbers, 4 if name.endswith("xyzw") else 3)
        position = np.array(values["tumor.position"]) / METRES
        base_from_volume, volume_from_mri = _place(values, "base_from_volume"), _place(values, "volume_from_mri")
        if self._cart is not None:
            position, base_from_volume = self._cart.scene.target, self._cart.base_from_volume
            volume_from_mri = self._cart.scene.volume_from_mri
        transforms = [
            LinkTransform(BASE, VOLUME, base_from_volume),
            LinkTransform(CORRECTED, TUMOR, rigid(translation=position)),
            LinkTransform(PREDICTED, TUMOR_PREDICTED, rigid(translation=position)),
            LinkTransform(CORRECTED, MRI, volume_from_mri),
        ]
        if not values["volume"]:
            return Prepared(transforms)
        path = _resolved(values["volume"])
        volume = read_volume(values["volume"])
        self.get_logger().info(f"volume {path}: {' x '.join(map(str, volume.size))} voxels")
        return Prepared(
            transforms,
            (str(path), _digest(path)),
            three_slices(volume),
            at_acquisition(volume, position, self._radius),
        )

    def _serve(self, prepared: Prepared) -> None:
        now = self.get_clock().now().to_msg()
        # A broadcaster ignores a second transform of the same child, so each set has one of its own.
        if self._broadcaster is not None:
            self.destroy_publisher(self._broadcaster.pub_tf)
        self._broadcaster = StaticTransformBroadcaster(self)
        self._broadcaster.sendTransform(transform_messages(prepared.transforms, now))
        if prepared.file != self._served:
            self._file.publish(String(data=prepared.file[0]))
            self._served = prepared.file
        if prepared.markers is not None:
            self._overview.publish(image_message(prepared.overview, "mono8", VOLUME, now))
            self._markers.publish(prepared.markers)

    def _condition(self) -> Condition:
        path, digest = self._served
        if not path:
            return Condition(WARN, "no volume is served")
        return Condition(OK, "a volume is served", {"volume": path, "SHA-256": digest})


@dataclass(frozen=True)
class Prepared:
    """What is ready to be published: ``transforms``; of a volume also its ``file`` (path, SHA-256) and pictures."""

    transforms: list[LinkTransform]
    file: tuple[str, str] = ("", "")
    overview: NDArray[np.uint8] | None = None
    markers: MarkerArray | None = None


def _resolved(path: str) -> Path:
    """Where a path leads to. Raises InputError for one that leads nowhere, such as links that go in a circle."""
    try:
        return Path(path).resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(f"{path!r:.210}: leads nowhere ({error!s:.200})") from error


def _digest(path: Path) -> str:
    """SHA-256 of a file. Raises InputError for one that has just disappeared."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def _folders(given: str, volume: str) -> list[Path]:
    """Where other volumes may come from: what is ``given``, or the folder of the first one and the usual one."""
    if given:
        return [_resolved(folder) for folder in given.split(os.pathsep)]
    return [_resolved(volume).parent] * bool(volume) + [home().resolve()]


def _place(values: dict[str, Any], name: str) -> Array:
    return transform_from_numbers(values[f"{name}.xyz"], values[f"{name}.xyzw"], f"parameters {name}")


def _numbers(name: str, place: Transform) -> dict[str, list[float]]:
    """The values of the two parameters that describe a place."""
    at, turn = place.translation, place.rotation
    return {f"{name}.xyz": [at.x, at.y, at.z], f"{name}.xyzw": [turn.x, turn.y, turn.z, turn.w]}


def main() -> int:
    """Run the node."""
    return run(VolumeServer)


if __name__ == "__main__":
    leave(main())
