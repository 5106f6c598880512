"""The volume, its frames and its pictures, latched and anew."""

import numpy as np
import pytest
import rclpy
from bench import VOLUME_IMAGE, overrides
from cv_bridge import CvBridge
from phantoms import phantom
from rclpy.parameter import Parameter
from rclpy.time import Time
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import Image
from std_msgs.msg import String
from tf2_ros import Buffer, TransformListener
from visualization_msgs.msg import MarkerArray

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import apply, rigid
from deeprs2v_ros.imaging.volume import write_volume
from deeprs2v_ros.nodes.support import qos
from deeprs2v_ros.nodes.support.conversions import transform_from_message
from deeprs2v_ros.nodes.volume_server import VolumeServer

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


@pytest.mark.parametrize(
    ("parameters", "fault"),
    [
        ({"volume": ""}, "volume: is empty"),
        ({"volume": "/nowhere.mha"}, "nowhere.mha"),
        ({"base_from_volume.xyzw": [0.0, 0.0, 0.0, 2.0]}, "base_from_volume"),
        ({"tumor.position": [1.0]}, "tumor.position"),
        ({"tumor.radius": 0.0}, "tumor.radius"),
        ({"source": "scene"}, "scene.kind is not simulated"),
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
