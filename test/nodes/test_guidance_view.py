"""What is shown of each image: anatomy only where the registration is believed, and nothing of it any longer."""

import math

import numpy as np
import pytest
import rclpy
from bench import POSE, VOLUME_IMAGE, overrides
from cv_bridge import CvBridge
from nav_msgs.msg import OccupancyGrid
from phantoms import CENTRE, IMAGE_FROM_PIXEL, SHAPE, cut_frame, displacement
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import Image
from std_msgs.msg import String
from tf2_ros import StaticTransformBroadcaster
from visualization_msgs.msg import Marker, MarkerArray

from deeprs2v_ros.arm.chain import LinkTransform
from deeprs2v_ros.frames import CORRECTED, IMAGE, TUMOR
from deeprs2v_ros.geometry import apply, rigid
from deeprs2v_ros.imaging.volume import write_volume
from deeprs2v_ros.msg import RegistrationStatus as Status
from deeprs2v_ros.nodes.guidance_view import OUT_OF_DATE, GuidanceView
from deeprs2v_ros.nodes.topics import qos
from deeprs2v_ros.nodes.topics.conversions import (
    covariance_message,
    image_message,
    nanoseconds,
    pose_message,
    stamp_message,
    transform_messages,
)
from deeprs2v_ros.view.pictures import NAMES
from deeprs2v_ros.view.scenery import TUMOUR
from deeprs2v_ros.view.words import AMBER, COLOURS, GREEN, RED

RADIUS = 8.0
TUMOUR_AT = apply(POSE, CENTRE + np.array([0.0, 0.0, 3.0]))  # the plane cuts it 3 mm from its middle
NOWHERE = pose_message(np.eye(4))
NOWHERE.position.x = math.nan


class Room:
    """Somebody who looks at everything, and what tells the view of images and volume."""

    def __init__(self, context, keep, spin_until, folder, **parameters):
        self._spin_until = spin_until
        values = {
            "image.rows": SHAPE[0],
            "image.columns": SHAPE[1],
            "image.pixel_size": IMAGE_FROM_PIXEL.diagonal()[:2].tolist(),
            "tumor.radius": RADIUS / 1000.0,
        }
        self.view = keep(GuidanceView(context=context, parameter_overrides=overrides(values | parameters)))
        self.node = keep(rclpy.create_node("room", context=context))
        self.pictures = {name: {} for name in NAMES}
        self.planes, self.markers = [], []
        self._bridge, self._stamp = CvBridge(), 10**18
        for name in NAMES:
            self.node.create_subscription(Image, f"view/{name}", self._keep(name), qos.EVERY_IMAGE)
        self.node.create_subscription(OccupancyGrid, "view/plane", self.planes.append, qos.STATUS)
        self.node.create_subscription(MarkerArray, "view/markers", self.markers.append, qos.STATUS)
        self._image = self.node.create_publisher(Image, "us/image", qos.IMAGES)
        self._status = self.node.create_publisher(Status, "registration/status", qos.STATUS)
        self._volume = self.node.create_publisher(String, "volume/file", qos.LATCHED)
        path = folder / "volume.mha"
        write_volume(path, VOLUME_IMAGE)
        self._volume.publish(String(data=str(path)))
        place = LinkTransform(CORRECTED, TUMOR, rigid(translation=TUMOUR_AT))
        self._static = StaticTransformBroadcaster(self.node)
        self._static.sendTransform(transform_messages([place], stamp_message(1)))
        self.until(lambda: self._image.get_subscription_count() == 1 and self._status.get_subscription_count() == 1)
        while not (self.view._patient.scenery.slicer and self.view._patient.scenery.structures):
            self.show(Status.WAITING)

    def _keep(self, name):
        def on_picture(message):
            self.pictures[name][nanoseconds(message.header.stamp)] = self._bridge.imgmsg_to_cv2(message)

        return on_picture

    def until(self, condition):
        self._spin_until(condition, self.view, self.node)

    def frame(self):
        return cut_frame(VOLUME_IMAGE, POSE, seed=self._stamp // 10**8 % 1000)

    def show(self, state, reason="", accepted=False, pose=None, tracked=None, held=None, sigma=0.5, predicted=True):
        """One image and what is said of it: the pictures of it by name."""
        self._stamp += 10**8
        stamp = self._stamp
        self._image.publish(image_message(self.frame(), "mono8", IMAGE, stamp_message(stamp)))
        self.until(lambda: stamp in self.view._waiting)
        self._status.publish(self.status(stamp, state, reason, accepted, pose, tracked, held, sigma, predicted))
        self.until(
            lambda: (
                all(stamp in found for found in self.pictures.values())
                and self.planes
                and nanoseconds(self.planes[-1].header.stamp) == stamp
            )
        )
        return {name: found[stamp] for name, found in self.pictures.items()}

    def forget(self):
        for found in self.pictures.values():
            found.clear()

    def next(self):
        """The next pictures of anything."""
        self.until(lambda: all(self.pictures.values()))
        return {name: list(found.values())[-1] for name, found in self.pictures.items()}

    def status(
        self, stamp, state, reason="", accepted=False, pose=None, tracked=None, held=None, sigma=0.5, predicted=True
    ):
        message = Status(state=int(state), accepted=accepted, reason=reason, without_image=False)
        message.header.stamp = stamp_message(stamp)
        places = {"pose": pose, "tracked_pose": tracked, "broadcast_motion": held}
        places["predicted_motion"] = np.eye(4) if predicted else None
        for name, place in places.items():
            setattr(message, name, NOWHERE if place is None else pose_message(place))
        message.covariance = message.broadcast_covariance = covariance_message(np.diag([sigma**2] * 3 + [1e-8] * 3))
        message.middle.x, message.middle.y, message.middle.z = (1e-3 * apply(POSE, CENTRE)).tolist()
        return message

    def say(self, **given):
        message = self.status(self._stamp + 1, **given)
        message.without_image = True
        self._status.publish(message)


@pytest.fixture
def room(ros, keep, spin_until, tmp_path):
    return Room(ros, keep, spin_until, tmp_path)


def drawn(picture, colour=TUMOUR):
    """Rows and columns (N, 2) where something of a colour is drawn."""
    return np.argwhere((np.abs(picture.astype(int) - colour) < 60).all(axis=-1))


def bar(room_picture):
    return tuple(room_picture[2, 2])


def test_tracking_outlines_the_tumour_where_the_plane_cuts_it(room):
    shown = room.show(Status.TRACKING, accepted=True, pose=POSE, tracked=POSE @ displacement((9, 0, 0, 0, 0, 0)))
    cut = math.sqrt(RADIUS**2 - 3.0**2)
    for name in ("live", "blend"):
        places = drawn(shown[name])
        distances = 0.5 * np.linalg.norm(places - CENTRE[:2][::-1] / 0.5, axis=1)
        assert np.abs(distances - cut).min() < 0.5
        assert distances.max() < math.sqrt((RADIUS + 2.8 * 0.5) ** 2 - 9.0) + 0.8  # the margin is the outermost
        assert distances.min() > cut - 1.3
    assert bar(shown["panel"]) == GREEN


def test_the_margin_grows_with_what_the_pose_is_unsure_by(room):
    widths = []
    for sigma in (0.2, 2.0):
        shown = room.show(Status.TRACKING, accepted=True, pose=POSE, tracked=POSE, sigma=sigma)
        widths.append(0.5 * np.ptp(drawn(shown["live"])[:, 1]) / 2.0)
    assert widths == pytest.approx([math.sqrt((RADIUS + 2.795 * sigma) ** 2 - 9.0) for sigma in (0.2, 2.0)], abs=0.8)


def test_the_slice_is_that_of_the_registered_plane(room):
    shown = room.show(Status.TRACKING, accepted=True, pose=POSE, tracked=POSE @ displacement((30, 0, 0, 0, 0, 0)))
    inside = shown["slice"] > 0
    assert inside.mean() > 0.3
    assert np.corrcoef(shown["slice"][inside], shown["live"][..., 2][inside])[0, 1] > 0.7


def test_holding_draws_with_the_motion_on_tf_in_amber(room):
    organ = displacement((4.0, 0.0, 0.0, 0.0, 0.0, 0.0))
    motion = POSE @ organ @ np.linalg.inv(POSE)
    shown = room.show(Status.HOLDING, "LOW_LNCC", pose=np.eye(4), tracked=POSE, held=motion)
    places = drawn(shown["live"])
    middle = (places.min(axis=0) + places.max(axis=0)) / 2.0
    assert middle == pytest.approx((CENTRE[:2][::-1] - [0.0, 4.0]) / 0.5, abs=2.0)
    assert bar(shown["panel"]) == AMBER


@pytest.mark.parametrize("state", [Status.WAITING, Status.INITIALISING, Status.LOST, Status.FAULT, Status.INACTIVE])
def test_nothing_of_the_anatomy_is_drawn_where_the_registration_is_not_believed(room, state):
    shown = room.show(state, "LOW_LNCC", pose=POSE, tracked=POSE, held=None)
    assert len(drawn(shown["live"])) == 0 and len(drawn(shown["blend"])) == 0
    assert (shown["blend"] == shown["live"]).all()
    assert bar(shown["panel"]) == COLOURS[state]
    assert (shown["slice"] > 0).mean() > 0.3  # the slice where the arm says that the plane is goes on being shown


def test_a_change_of_state_without_an_image_takes_the_tumour_away(room):
    room.show(Status.TRACKING, accepted=True, pose=POSE, tracked=POSE)
    room.forget()
    room.say(state=Status.LOST, reason="IMAGE_STALE")
    shown = room.next()
    assert len(drawn(shown["live"])) == 0
    assert bar(shown["panel"]) == RED


def test_a_registration_that_falls_silent_is_not_believed_any_more(room):
    room.show(Status.TRACKING, accepted=True, pose=POSE, tracked=POSE)
    room.forget()
    began = room.node.get_clock().now().nanoseconds
    shown = room.next()
    assert len(drawn(shown["live"])) == 0
    assert bar(shown["panel"]) == RED
    assert room.node.get_clock().now().nanoseconds - began > 0.5e9 * OUT_OF_DATE


def test_what_is_said_of_an_image_is_not_drawn_on_another_one(room):
    """Its own never came, or comes later."""
    room.show(Status.TRACKING, accepted=True, pose=POSE, tracked=POSE)
    room.forget()
    room._stamp += 10**8
    stamp = room._stamp
    room._status.publish(room.status(stamp, Status.TRACKING, accepted=True, pose=POSE, tracked=POSE))
    room.until(lambda: room.view._early is not None)
    assert not any(len(drawn(each)) for each in room.pictures["live"].values())
    room._image.publish(image_message(room.frame(), "mono8", IMAGE, stamp_message(stamp)))
    room.until(lambda: stamp in room.pictures["live"])
    assert len(drawn(room.pictures["live"][stamp])) > 0


def test_pictures_that_images_do_not_renew_are_taken_away(room):
    """The registration goes on, but its images do not get here."""
    room.show(Status.TRACKING, accepted=True, pose=POSE, tracked=POSE)
    room.forget()

    def taken_away():
        room._stamp += 10**8
        room._status.publish(room.status(room._stamp, Status.TRACKING, accepted=True, pose=POSE, tracked=POSE))
        return room.pictures["live"]

    room.until(taken_away)
    assert not any(len(drawn(each)) for each in room.pictures["live"].values())


def test_the_live_plane_lies_in_its_place_with_its_grey_levels(room):
    shown = room.show(Status.TRACKING, accepted=True, pose=POSE, tracked=POSE)
    plane = room.planes[-1]
    grey = np.array(plane.data, np.int8).view(np.uint8).reshape(plane.info.height, plane.info.width)
    free = ~(np.ptp(shown["live"], axis=-1) > 0)
    assert (grey[free] == shown["live"][free][:, 0]).mean() > 0.99
    assert plane.header.frame_id == IMAGE
    assert plane.info.resolution == pytest.approx(0.5e-3)
    assert plane.info.origin.position.x == pytest.approx(-0.25e-3)  # the middle of pixel (0, 0) is the frame's origin


def test_surfaces_go_with_the_belief_and_by_themselves(room):
    room.show(Status.TRACKING, accepted=True, pose=POSE, tracked=POSE)

    def anatomy(action):
        markers = (each for array in room.markers for each in array.markers)
        return [each for each in markers if each.ns == "anatomy" and each.action == action]

    room.until(lambda: anatomy(Marker.ADD))
    shown = anatomy(Marker.ADD)[0]
    corners = np.array([[p.x, p.y, p.z] for p in shown.points]) * 1e3
    assert np.linalg.norm(corners - TUMOUR_AT, axis=1) == pytest.approx(RADIUS, abs=0.3)
    assert shown.header.frame_id == "us_volume_predicted" and shown.frame_locked
    assert 0 < shown.lifetime.nanosec <= 5 * 10**8
    room.markers.clear()
    room.show(Status.TRACKING, accepted=True, pose=POSE, tracked=POSE, predicted=False)  # TF keeps the last prediction
    room.until(lambda: room.markers)
    assert anatomy(Marker.DELETE) and not anatomy(Marker.ADD)
    room.markers.clear()
    room.show(Status.LOST, "OUT_OF_VOLUME", tracked=POSE)
    room.until(lambda: room.markers)
    assert anatomy(Marker.DELETE) and not anatomy(Marker.ADD)
    text = next(each.text for array in room.markers for each in array.markers if each.text)
    assert text.startswith("LOST: the probe is outside the volume")


def test_mri_is_the_slice_at_the_registered_plane(ros, keep, spin_until, tmp_path):
    """Against SimpleITK, which resamples the MRI on the same plane."""
    import SimpleITK as sitk

    from deeprs2v_ros.arm.chain import LinkTransform as Link
    from deeprs2v_ros.frames import MRI
    from deeprs2v_ros.imaging.volume import Volume

    rng = np.random.default_rng(0)
    values = rng.integers(0, 400, (60, 70, 80)).astype(np.int16)
    turn = Rotation.from_euler("xyz", [20, -30, 40], degrees=True).as_matrix()
    mri = Volume(values, np.array([1.5, 1.4, 1.3]), np.array([-20.0, 30.0, 5.0]), turn)
    write_volume(tmp_path / "mri.mha", mri)
    room = Room(ros, keep, spin_until, tmp_path, **{"mri.file": str(tmp_path / "mri.mha"), "mri.window": [0.0, 400.0]})
    middle = apply(mri.volume_from_voxel, (np.array(mri.size) - 1) / 2.0)
    to = apply(POSE, CENTRE) - middle + np.array([3.0, -4.0, 2.0])
    volume_from_mri = rigid(Rotation.from_euler("xyz", [5, 10, -8], degrees=True).as_matrix(), to)
    StaticTransformBroadcaster(room.node).sendTransform(
        transform_messages([Link(CORRECTED, MRI, volume_from_mri)], stamp_message(1))
    )
    room.until(lambda: MRI in room.view._patient._places)
    shown = room.show(Status.TRACKING, accepted=True, pose=POSE, tracked=POSE)["mri"]

    image = sitk.GetImageFromArray(values.astype(np.float32))
    image.SetSpacing(mri.spacing.tolist())
    image.SetOrigin(mri.origin.tolist())
    image.SetDirection(turn.ravel().tolist())
    plane = np.linalg.inv(volume_from_mri) @ POSE
    rows, columns = SHAPE
    resampled = sitk.GetArrayFromImage(
        sitk.Resample(
            image, (columns, rows, 1), sitk.Transform(3, sitk.sitkIdentity), sitk.sitkLinear, plane[:3, 3].tolist(),
            (0.5, 0.5, 1.0), plane[:3, :3].ravel().tolist(), -1e6,
        )
    )[0]  # fmt: skip
    known = resampled >= 0.0
    interior = known & (shown > 0)
    assert interior.mean() > 0.2
    assert np.abs(shown[interior] - 255.0 * resampled[interior] / 400.0).max() <= 0.51 + 0.5


def test_files_that_cannot_be_read_are_refused_by_name(ros):
    from deeprs2v_ros.errors import InputError

    for name in ("mri.file", "anatomy.files", "mask"):
        with pytest.raises(InputError, match=r"nowhere\.nii"):
            GuidanceView(context=ros, parameter_overrides=overrides({name: "/nowhere.nii"}))


def test_volume_that_cannot_be_read_is_said(room):
    room._volume.publish(String(data="/nowhere.mha"))
    room.until(lambda: "nowhere" in room.view._patient.trouble)
    room.show(Status.WAITING)
