"""The volume, its frames and its pictures, latched and anew."""

import os

import numpy as np
import pytest
import rclpy
import SimpleITK as sitk
from bench import VOLUME_IMAGE, overrides
from cv_bridge import CvBridge
from geometry_msgs.msg import Point, Quaternion, Transform, Vector3
from phantoms import phantom
from rclpy.parameter import Parameter
from rclpy.time import Time
from replay_bag import BASE_FROM_VOLUME, images, write
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import Image
from std_msgs.msg import String
from tf2_ros import Buffer, TransformListener
from visualization_msgs.msg import Marker, MarkerArray

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import apply, rigid
from deeprs2v_ros.imaging.volume import write_volume
from deeprs2v_ros.msg import RegistrationStatus
from deeprs2v_ros.nodes.topics import qos
from deeprs2v_ros.nodes.topics.conversions import transform_from_message
from deeprs2v_ros.nodes.volume_server import VolumeServer
from deeprs2v_ros.srv import LoadVolume, SetMri, SetTumor

TURN = Rotation.from_euler("xyz", [30, 10, -70], degrees=True)
PLACE = {
    "base_from_volume.xyz": [0.5, -0.1, 0.2],
    "base_from_volume.xyzw": TURN.as_quat().tolist(),
    "tumor.position": [0.01, 0.05, -0.02],
    "volume_from_mri.xyz": [0.003, 0.0, -0.004],
}


class Client:
    """Comes after the server, and keeps what it hears."""

    def __init__(self, context, keep):
        self.node = keep(rclpy.create_node("client", context=context))
        self.buffer = Buffer(node=self.node)
        self.listener = TransformListener(self.buffer, self.node)
        self.heard = {"volume/file": [], "volume/overview": [], "volume/markers": []}
        for (topic, heard), kind in zip(self.heard.items(), (String, Image, MarkerArray), strict=True):
            self.node.create_subscription(kind, topic, heard.append, qos.LATCHED)

    def place(self, target, source):
        return transform_from_message(self.buffer.lookup_transform(target, source, Time()).transform)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "volume.mha"
    write_volume(path, VOLUME_IMAGE)
    return path


@pytest.fixture
def served(ros, keep, spin_until, path):
    server = keep(VolumeServer(context=ros, parameter_overrides=overrides({"volume": str(path), **PLACE})))
    client = Client(ros, keep)
    spin_until(lambda: all(client.heard.values()), server, client.node)
    spin_until(lambda: client.buffer.can_transform("base_link", "us_volume", Time()), server, client.node)
    return server, client


def test_frames_are_named_by_where_they_map_to_and_from(served):
    _, client = served
    base_from_volume = rigid(TURN.as_matrix(), (500.0, -100.0, 200.0))
    assert client.place("base_link", "us_volume") == pytest.approx(base_from_volume, abs=1e-6)
    assert client.place("us_volume_corrected", "tumor")[:3, 3] == pytest.approx([10.0, 50.0, -20.0])
    assert client.place("us_volume_corrected", "mri")[:3, 3] == pytest.approx([3.0, 0.0, -4.0])


def test_the_volume_is_where_it_was_in_a_bag(ros, keep, spin_until, path, tmp_path):
    bag = write(tmp_path / "bag", images(1), names={"tf_static": "cart1/tf_static"})
    given = overrides({"volume": str(path), **PLACE, "base_from_volume.bag": str(bag)})
    server, client = keep(VolumeServer(context=ros, parameter_overrides=given)), Client(ros, keep)
    spin_until(lambda: client.buffer.can_transform("base_link", "us_volume", Time()), server, client.node)
    assert client.place("base_link", "us_volume") == pytest.approx(BASE_FROM_VOLUME, abs=1e-6)
    assert server.get_parameter("base_from_volume.xyz").value == pytest.approx(BASE_FROM_VOLUME[:3, 3] / 1e3)


@pytest.mark.parametrize("inverted", [False, True])
def test_the_mri_lies_where_a_file_of_itk_says(ros, keep, spin_until, path, tmp_path, inverted):
    transform = sitk.Euler3DTransform((10.0, -20.0, 30.0), 0.1, -0.2, 0.3, (4.0, 5.0, -6.0))
    sitk.WriteTransform(transform, str(tmp_path / "found.tfm"))
    given = {
        "volume": str(path),
        "volume_from_mri.file": str(tmp_path / "found.tfm"),
        "volume_from_mri.inverted": inverted,
    }
    server, client = keep(VolumeServer(context=ros, parameter_overrides=overrides(given))), Client(ros, keep)
    spin_until(lambda: client.buffer.can_transform("us_volume_corrected", "mri", Time()), server, client.node)
    place = client.place("us_volume_corrected", "mri")
    point = np.array([12.0, -7.0, 33.0])
    mapped = np.array(transform.TransformPoint(point.tolist()))
    there, here = (mapped, point) if inverted else (point, mapped)
    assert apply(place, there) == pytest.approx(here, abs=1e-6)


def test_who_comes_later_gets_file_overview_and_markers(served, path):
    _, client = served
    assert client.heard["volume/file"][0].data == str(path)
    overview = CvBridge().imgmsg_to_cv2(client.heard["volume/overview"][0], "mono8")
    z, y, x = VOLUME_IMAGE.array.shape  # spacing 1.2 x 1.0 x 1.5 mm, shown in pixels of 1.0 mm
    assert overview.shape == (round(1.5 * z), 2 * round(1.2 * x) + y)
    middle = VOLUME_IMAGE.array[z // 2] * (255.0 / VOLUME_IMAGE.array.max())
    assert overview[: y - 1, :: round(1.2 * x)][:, 0] == pytest.approx(middle[: y - 1, 0], abs=2.0)


def test_markers_are_the_tumour_and_the_edges_of_the_volume(served):
    _, client = served
    sphere, box = client.heard["volume/markers"][0].markers
    # Where it was acquired: what is latched must stay true whatever becomes of the registration.
    assert (sphere.header.frame_id, sphere.ns, sphere.scale.x) == ("us_volume", "tumor", pytest.approx(0.02))
    assert box.header.frame_id == "us_volume" and len(box.points) == 24
    corners = {(round(p.x, 5), round(p.y, 5), round(p.z, 5)) for p in box.points}
    last = np.array(VOLUME_IMAGE.size) - 1
    expected = apply(VOLUME_IMAGE.volume_from_voxel, [[0, 0, 0], last]) * 1e-3
    assert len(corners) == 8
    for corner in expected:
        assert tuple(np.round(corner, 5)) in corners


def test_another_volume_and_another_place_while_running(served, spin_until, tmp_path):
    server, client = served
    other = tmp_path / "other.mha"
    write_volume(other, phantom("texture", seed=1))
    results = server.set_parameters(
        [Parameter("volume", value=str(other)), Parameter("base_from_volume.xyz", value=[1.0, 2.0, 3.0])]
    )
    assert all(result.successful for result in results)

    def moved():
        return np.allclose(client.place("base_link", "us_volume")[:3, 3], [1000.0, 2000.0, 3000.0])

    spin_until(lambda: moved() and len(client.heard["volume/file"]) > 1, server, client.node)
    assert client.heard["volume/file"][-1].data == str(other)


def test_another_tumour_does_not_send_the_volume_again(served, spin_until):
    server, client = served
    (result,) = server.set_parameters([Parameter("tumor.position", value=[0.0, 0.0, 0.1])])
    assert result.successful

    def moved():
        return np.allclose(client.place("us_volume_corrected", "tumor")[:3, 3], [0.0, 0.0, 100.0])

    spin_until(lambda: moved() and len(client.heard["volume/markers"]) > 1, server, client.node)
    assert len(client.heard["volume/file"]) == 1


def test_corrupt_volume_while_running_is_refused_and_the_old_one_stays(served, path, tmp_path):
    server, _ = served
    broken = tmp_path / "broken.mha"
    broken.write_bytes(path.read_bytes()[:4000])
    (result,) = server.set_parameters([Parameter("volume", value=str(broken))])
    assert not result.successful and "broken.mha" in result.reason
    assert server.get_parameter("volume").value == str(path)


def ask(spin_until, server, client, kind, name, **request):
    """A service's answer."""
    service = client.node.create_client(kind, name)
    spin_until(service.service_is_ready, server, client.node)
    answer = service.call_async(kind.Request(**request))
    spin_until(answer.done, server, client.node)
    return answer.result()


def test_a_volume_is_loaded_with_its_place(served, spin_until, tmp_path):
    server, client = served
    other = tmp_path / "other.mha"
    write_volume(other, phantom("texture", seed=1))
    place = Transform(translation=Vector3(x=0.1), rotation=Quaternion(z=1.0, w=0.0))
    answer = ask(spin_until, server, client, LoadVolume, "volume/load", path=str(other), base_from_volume=[place])
    assert answer.success, answer.message
    spin_until(lambda: len(client.heard["volume/file"]) > 1, server, client.node)
    assert client.heard["volume/file"][-1].data == str(other)
    expected = rigid(np.diag([-1.0, -1.0, 1.0]), (100.0, 0.0, 0.0))
    spin_until(lambda: np.allclose(client.place("base_link", "us_volume"), expected), server, client.node)
    assert server.get_parameter("volume").value == str(other)


def test_new_content_at_the_same_path_is_served_again(served, spin_until, path):
    server, client = served
    write_volume(path, phantom("texture", seed=1))
    assert ask(spin_until, server, client, LoadVolume, "volume/load", path=str(path)).success
    spin_until(lambda: len(client.heard["volume/file"]) > 1, server, client.node)
    (result,) = server.set_parameters([Parameter("volume", value=str(path))])  # now it is the same
    assert result.successful
    assert len(client.heard["volume/file"]) == 2


def test_paths_that_lead_nowhere_and_places_that_are_none_are_refused(served, spin_until, path, tmp_path):
    server, client = served
    circle, pipe, empty = tmp_path / "circle.mha", tmp_path / "pipe.mha", tmp_path / "empty.mha"
    circle.symlink_to(circle)
    os.mkfifo(pipe)
    empty.touch()
    for each in (circle, pipe, empty, tmp_path, tmp_path / ("x" * 5000), tmp_path / "liver\N{SNOWMAN}.mha"):
        answer = ask(spin_until, server, client, LoadVolume, "volume/load", path=str(each))
        assert not answer.success and "\n" not in answer.message, each
    (result,) = server.set_parameters([Parameter("volume", value="a\0b")])
    assert not result.successful
    for far in (1e300, float("nan"), float("inf")):
        answer = ask(spin_until, server, client, SetTumor, "volume/set_tumor", position=Point(x=far))
        assert not answer.success and "tumor.position" in answer.message
        place = Transform(translation=Vector3(x=far), rotation=Quaternion(w=1.0))
        assert not ask(spin_until, server, client, SetMri, "volume/set_mri", volume_from_mri=place).success
    (result,) = server.set_parameters([Parameter("tumor.position", value=[0.0, 0.0])])
    assert not result.successful and "tumor.position: has 2 numbers" in result.reason
    assert ask(spin_until, server, client, LoadVolume, "volume/load", path=str(path)).success


def test_only_volumes_in_the_configured_folders_are_loaded(served, spin_until, tmp_path_factory, tmp_path):
    server, client = served
    outside = tmp_path_factory.mktemp("outside") / "volume.mha"
    write_volume(outside, VOLUME_IMAGE)
    link = tmp_path / "link.mha"
    link.symlink_to(outside)
    for each in (outside, link, tmp_path / ".." / outside.parent.name / outside.name):
        answer = ask(spin_until, server, client, LoadVolume, "volume/load", path=str(each))
        assert not answer.success and "volume_folders" in answer.message
    (result,) = server.set_parameters([Parameter("volume", value=str(outside))])
    assert not result.successful
    assert len(client.heard["volume/file"]) == 1


def test_a_corrupt_volume_is_not_loaded_and_the_old_one_stays(served, spin_until, path, tmp_path):
    server, client = served
    broken = tmp_path / "broken.mha"
    broken.write_bytes(path.read_bytes()[:4000])
    answer = ask(spin_until, server, client, LoadVolume, "volume/load", path=str(broken))
    assert not answer.success and "broken.mha" in answer.message
    assert server.get_parameter("volume").value == str(path) and len(client.heard["volume/file"]) == 1


def test_tumour_and_mri_are_set(served, spin_until):
    server, client = served
    assert ask(spin_until, server, client, SetTumor, "volume/set_tumor", position=Point(x=0.02, z=0.01)).success
    place = Transform(translation=Vector3(y=0.03))
    assert ask(spin_until, server, client, SetMri, "volume/set_mri", volume_from_mri=place).success

    def there():
        tumour, mri = (client.place("us_volume_corrected", frame)[:3, 3] for frame in ("tumor", "mri"))
        return np.allclose(tumour, [20.0, 0.0, 10.0]) and np.allclose(mri, [0.0, 30.0, 0.0])

    spin_until(there, server, client.node)
    nowhere = ask(spin_until, server, client, SetTumor, "volume/set_tumor", position=Point(x=float("nan")))
    assert not nowhere.success and "tumor.position" in nowhere.message


def test_nothing_changes_while_the_registration_tracks(served, spin_until, path):
    server, client = served
    status = client.node.create_publisher(RegistrationStatus, "registration/status", qos.STATUS)
    spin_until(lambda: status.get_subscription_count() == 1, server, client.node)
    for state, allowed in ((RegistrationStatus.TRACKING, False), (RegistrationStatus.LOST, True)):
        status.publish(RegistrationStatus(state=state))
        spin_until(lambda state=state: server._registration == state, server, client.node)
        answer = ask(spin_until, server, client, SetTumor, "volume/set_tumor", position=Point())
        assert answer.success is allowed
        (result,) = server.set_parameters([Parameter("volume", value=str(path))])
        assert result.successful is allowed
    assert "registration/stop" in ask_while_tracking(spin_until, server, client, status)


def ask_while_tracking(spin_until, server, client, status):
    """What it says then."""
    status.publish(RegistrationStatus(state=RegistrationStatus.TRACKING))
    spin_until(lambda: server._registration == RegistrationStatus.TRACKING, server, client.node)
    return ask(spin_until, server, client, LoadVolume, "volume/load", path="any").message


def test_without_a_volume_it_waits_for_one(ros, keep, spin_until, path):
    values = {"volume_folders": str(path.parent)}
    server = keep(VolumeServer(context=ros, parameter_overrides=overrides(values)))
    client = Client(ros, keep)
    assert ask(spin_until, server, client, LoadVolume, "volume/load", path=str(path)).success
    spin_until(lambda: client.heard["volume/markers"], server, client.node)
    assert client.heard["volume/file"][-1].data == str(path)


def test_a_server_that_is_stopped_withdraws_its_volume(served, spin_until):
    server, client = served
    server.trigger_deactivate()
    spin_until(lambda: client.heard["volume/file"][-1].data == "", server, client.node)
    spin_until(lambda: client.heard["volume/markers"][-1].markers[0].action == Marker.DELETEALL, server, client.node)
    server.trigger_activate()
    spin_until(lambda: client.heard["volume/file"][-1].data != "", server, client.node)


@pytest.mark.parametrize(
    ("parameters", "fault"),
    [
        ({"volume": "/nowhere.mha"}, "nowhere.mha"),
        ({"base_from_volume.xyzw": [0.0, 0.0, 0.0, 2.0]}, "base_from_volume"),
        ({"tumor.position": [1.0]}, "tumor.position"),
        ({"tumor.radius": 0.0}, "tumor.radius"),
        ({"source": "scene"}, "scene.kind is not simulated"),
        ({"source": "sequence"}, "sequence: is empty"),
    ],
)
def test_parameters_that_cannot_be_met_are_refused(ros, path, tmp_path, parameters, fault):
    values = {"volume": str(path), "output": str(tmp_path / "made.mha")} | parameters
    if "source" in values:
        del values["volume"]
    else:
        del values["output"]
    with pytest.raises(InputError, match=fault):
        VolumeServer(context=ros, parameter_overrides=overrides(values))
