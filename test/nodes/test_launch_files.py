"""Launch files load, start what they say, and end as they should. `launch` comes with ROS only."""

import importlib.util
import json
import os
import signal
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import yaml
from bench import VOLUME_IMAGE
from launches import SOURCE, Launch
from phantoms import IMAGE_FROM_PIXEL, SHAPE, cut_frame, middle_pose
from replay_bag import BASE_FROM_VOLUME, images, write

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.imaging.sequence import Sequence, write_sequence
from deeprs2v_ros.imaging.volume import write_volume
from deeprs2v_ros.msg import RegistrationStatus
from deeprs2v_ros.nodes.composed.cart import BESIDE, NODES
from deeprs2v_ros.nodes.topics import qos
from deeprs2v_ros.replay.topics import Topics, choose_topics
from deeprs2v_ros.resources import resource

pytest.importorskip("launch_ros", reason="needs launch and launch_ros, which come with a ROS installation")

ALL = {*NODES, *BESIDE}
COMMON = {
    "parameters",
    "volume",
    "method",
    "device",
    "use_sim_time",
    "namespace",
    "composed",
    "log_level",
    "rviz",
    "foxglove",
    "record",
    "record_folder",
}
OWN = {
    "cart": {"encoders"},
    "simulator": set(),
    "replay": {"bag", "rate", "start_offset", "loop", "image_topic", "joint_topic"},
}


def load(name):
    path = SOURCE / "launch" / f"{name}.launch.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def processes(tmp_path, monkeypatch):
    """What a launch file would run with some arguments: program -> its command line."""
    from launch import LaunchContext
    from launch.logging import launch_config

    from deeprs2v_ros.nodes.launching.namespaces import namespace

    monkeypatch.setenv("ROS_HOME", str(tmp_path))
    monkeypatch.setattr(launch_config, "_log_dir", str(tmp_path))

    def start(name, **given):
        module, context = load(name), LaunchContext()
        for argument in module.generate_launch_description().get_launch_arguments():
            default = "".join(each.perform(context) for each in argument.default_value)
            context.launch_configurations[argument.name] = str(given.get(argument.name, default))
        context.extend_locals({"ros_specific_arguments": {"ns": f"__ns:={namespace(context)}"}})
        found = {}
        for entity in module.processes(context):
            if hasattr(entity, "node_executable"):
                entity._perform_substitutions(context)
            words = ["".join(part.perform(context) for part in word) for word in entity.cmd[1:]]
            found[getattr(entity, "node_executable", " ".join(words[:2]))] = words
        return found

    return start


def own(words):
    """A program's own arguments."""
    return words[: words.index("--ros-args")]


def files(words):
    """The parameter files it is given, read."""
    paths = [following for word, following in pairwise(words) if word == "--params-file"]
    return [yaml.safe_load(Path(path).read_text()) for path in paths]


@pytest.mark.parametrize("name", ["cart", "simulator", "replay"])
def test_launch_file_describes_itself(name):
    description = load(name).generate_launch_description()
    arguments = {argument.name: argument for argument in description.get_launch_arguments()}
    assert arguments.keys() == COMMON | OWN[name]
    assert all(len(argument.description) > 20 for argument in arguments.values())
    assert arguments["composed"].default_value[0].text == "true"


@pytest.mark.parametrize(("bag", "unwanted"), [(False, "arm_kinematics"), (True, "ultrasound_source")])
def test_replay_starts_what_the_recording_needs(processes, tmp_path, bag, unwanted):
    given = {"bag": str(tmp_path)} if bag else {}
    players = {"bag play"} if bag else set()
    together = processes("replay", **given)
    assert together.keys() == {"cart", *BESIDE} | players
    assert own(together["cart"])[1:] == ["arm_encoders", unwanted]
    apart = processes("replay", composed="false", **given)
    assert apart.keys() == ALL - {"arm_encoders", unwanted} | players


@pytest.mark.parametrize("encoders", ["true", "false"])
def test_cart_starts_one_program_or_one_for_each_node(processes, encoders):
    unwanted = [] if encoders == "true" else ["arm_encoders"]
    together = processes("cart", encoders=encoders)
    assert own(together["cart"]) == (["--without", *unwanted] if unwanted else [])
    assert processes("cart", encoders=encoders, composed="false").keys() == ALL - set(unwanted)


def test_simulator_starts_one_program_or_one_for_each_node(processes):
    assert own(processes("simulator")["cart"]) == []
    assert processes("simulator", composed="false").keys() == ALL


def test_what_is_not_given_is_left_to_the_file(processes):
    file, given = files(processes("cart")["cart"])
    assert file == yaml.safe_load(resource("config/cart.yaml").read_text())
    assert given.keys() == {"/health"}  # which is told whom to expect


@pytest.mark.parametrize("composed", ["true", "false"])
def test_health_expects_those_that_are_started(processes, composed):
    running = processes("cart", encoders="false", composed=composed, namespace="cart1")
    given = files(running["cart" if composed == "true" else "health"])[-1]["/cart1/health"]["ros__parameters"]
    assert sorted(given["nodes"]) == sorted(ALL - {"arm_encoders", "health"})


@pytest.mark.parametrize("namespace", ["", "cart1", "/ward/cart1"])
def test_what_is_given_takes_the_place_of_what_the_file_says(ros, keep, processes, tmp_path, namespace):
    """As the nodes see it, whichever way the file names them."""
    from rclpy.node import Node

    path = tmp_path / "my.yaml"
    path.write_text("/**/registration:\n  ros__parameters: {method: deeprs2v, temporal: false}\n")
    given = {"method": "lncc", "volume": "/v.mha", "use_sim_time": "true", "parameters": path, "namespace": namespace}
    words = processes("cart", **given)["cart"]
    ours = words[words.index("--ros-args") :]
    seen = {}
    for name in ("registration", "volume_server", "target_monitor"):
        options = {"automatically_declare_parameters_from_overrides": True, "start_parameter_services": False}
        node = keep(Node(name, context=ros, cli_args=ours, use_global_arguments=False, **options))
        assert node.get_namespace() == "/" + namespace.strip("/")
        seen[name] = {key: value.value for key, value in node.get_parameters_by_prefix("").items()}
    assert seen["registration"].items() >= {"method": "lncc", "temporal": False, "use_sim_time": True}.items()
    assert seen["volume_server"].items() >= {"volume": "/v.mha", "source": "file", "use_sim_time": True}.items()
    assert seen["target_monitor"]["use_sim_time"]
    assert words[words.index("--log-level") + 1] == "info"


def test_a_bag_is_played_as_asked_and_only_its_inputs(processes, tmp_path):
    given = {"rate": "0.5", "start_offset": "3", "loop": "false", "image_topic": "/cam/image", "joint_topic": "j"}
    words = processes("replay", bag=tmp_path, namespace="cart1", **given)["bag play"]
    assert words == (
        f"bag play {tmp_path} --clock 100 --rate 0.5 --start-offset 3 --topics /cam/image /j "
        "--remap /cam/image:=/cart1/us/image /j:=/cart1/joint_states"
    ).split(" ")
    words = processes("replay", bag=tmp_path)["bag play"]
    assert words == f"bag play {tmp_path} --clock 100 --rate 1 --loop --topics /us/image /joint_states".split(" ")


def test_with_a_bag_all_go_by_its_clock(processes, tmp_path):
    running = processes("replay", bag=tmp_path, record="true", rviz="true", composed="false")
    for program in ALL - {"arm_encoders", "ultrasound_source"}:
        assert files(running[program])[-1][f"/{program}"]["ros__parameters"]["use_sim_time"] is True
    assert files(running["rviz2"])[-1]["/**"]["ros__parameters"] == {"use_sim_time": True}
    assert "--use-sim-time" in running["bag record"]


@pytest.mark.parametrize("given", [False, True])
def test_a_bag_says_where_the_volume_was_unless_the_file_does(processes, tmp_path, given):
    path = tmp_path / "my.yaml"
    place = {"base_from_volume": {"xyz": [0.1, 0.0, 0.0]}} if given else {"volume": "v.mha"}
    path.write_text(yaml.safe_dump({"/**/volume_server": {"ros__parameters": place}}))
    (*_, last) = files(processes("replay", bag=tmp_path, parameters=path, namespace="cart1")["cart"])
    asked = last["/cart1/volume_server"]["ros__parameters"].get("base_from_volume.bag")
    assert asked == (None if given else str(tmp_path))


@pytest.mark.parametrize(
    ("argument", "value"), [("rate", "0"), ("rate", "fast"), ("start_offset", "-1"), ("bag", "/no/bag")]
)
def test_what_cannot_be_played_is_refused_by_name(processes, tmp_path, argument, value):
    with pytest.raises(InputError, match=value if argument == "bag" else argument):
        processes("replay", **{"bag": tmp_path, argument: value})


@pytest.mark.parametrize("composed", ["true", "false"])
def test_a_tracked_sequence_beside_the_arm_is_refused(processes, tmp_path, composed):
    path = tmp_path / "my.yaml"
    path.write_text("/**/ultrasound_source:\n  ros__parameters: {source: sequence, sequence: s.igs.mha}\n")
    with pytest.raises(InputError, match="source is sequence"):
        processes("cart", parameters=path, composed=composed)
    assert processes("replay", parameters=path, composed=composed)


def test_rviz_looks_into_the_namespace(processes):
    words = processes("cart", rviz="true", namespace="cart1")["rviz2"]
    assert "/view/plane:=/cart1/view/plane" in words
    assert "/view/panel:=/cart1/view/panel" in words
    assert not any(word.startswith("/tf") for word in words)
    assert "-r" not in processes("cart", rviz="true")["rviz2"]


@pytest.mark.parametrize("namespace", ["", "cart1"])
def test_recorded_is_what_the_replay_reads(processes, tmp_path, namespace):
    words = processes("cart", record="true", record_folder=tmp_path / "bags", namespace=namespace)["bag record"]
    assert words[words.index("--storage") + 1] == "mcap"
    assert words[words.index("--output") + 1].startswith(f"{tmp_path}/bags/20")
    topics = words[words.index("--topics") + 1 :]
    prefix = f"/{namespace}" if namespace else ""
    assert {f"{prefix}/volume/file", f"{prefix}/registration/status", f"{prefix}/health"} < set(topics)
    assert {"/diagnostics", "/tf"} < set(topics)
    assert "/clock" not in topics
    found = choose_topics(Recorded(tmp_path, topics), {}, None)
    assert all(vars(found).values())
    assert found.image == f"{prefix}/us/image"
    profiles = yaml.safe_load(Path(words[words.index("--qos-profile-overrides-path") + 1]).read_text())
    assert profiles.keys() < set(topics)
    assert {"/tf_static", f"{prefix}/volume/file"} < profiles.keys()
    assert {profile["durability"] for profile in profiles.values()} == {"transient_local"}


class Recorded:
    """A bag of topics as `choose_topics` sees it."""

    def __init__(self, path, topics):
        ends = {
            "us/image": "sensor_msgs/msg/Image",
            "joint_states": "sensor_msgs/msg/JointState",
            "arm/image_pose": "geometry_msgs/msg/PoseWithCovarianceStamped",
            "tf": "tf2_msgs/msg/TFMessage",
            "tf_static": "tf2_msgs/msg/TFMessage",
            "simulation/target": "geometry_msgs/msg/PointStamped",
            "registration/status": "deeprs2v_ros/msg/RegistrationStatus",
        }
        assert len(ends) == len(Topics.__dataclass_fields__)
        self.path = path
        self.kinds = {topic: kind for topic in topics for end, kind in ends.items() if topic.endswith(f"/{end}")}
        self.counts = dict.fromkeys(self.kinds, 1)


# --- Launched for real ---


@pytest.fixture
def inputs(tmp_path):
    """A parameter file for replay.launch.py: a sequence of a phantom, and the phantom."""
    pose = middle_pose(VOLUME_IMAGE)
    write_volume(tmp_path / "volume.mha", VOLUME_IMAGE)
    frames = np.stack([cut_frame(VOLUME_IMAGE, pose, seed=seed) for seed in range(20)])
    poses = np.stack([pose @ IMAGE_FROM_PIXEL] * len(frames))
    sequence = Sequence(frames, poses, 0.1 * np.arange(len(frames)), np.ones(len(frames), bool))
    write_sequence(tmp_path / "frames.igs.mha", sequence)
    content = {
        "/**": {
            "image.rows": SHAPE[0],
            "image.columns": SHAPE[1],
            "image.pixel_size": [float(IMAGE_FROM_PIXEL[k, k]) for k in range(2)],
        },
        "/**/ultrasound_source": {"source": "sequence", "sequence": str(tmp_path / "frames.igs.mha")},
        "/**/registration": {"mask_frames": 3, "abdominal_wall": 0.0},
    }
    path = tmp_path / "my.yaml"
    path.write_text(yaml.safe_dump({node: {"ros__parameters": values} for node, values in content.items()}))
    return {"parameters": path, "volume": tmp_path / "volume.mha", "method": "lncc"}


@pytest.fixture
def launch(ros, tmp_path):
    launches = []

    def start(name, **arguments):
        launches.append(Launch(tmp_path, ros.get_domain_id(), name, **arguments))
        return launches[-1]

    yield start
    for each in launches:
        each.kill()


@pytest.fixture
def heard(ros, keep, spin_until):
    """Waits for more statuses in a namespace."""
    import rclpy

    node = keep(rclpy.create_node("hand", context=ros))

    def wait(namespace="", count=5):
        statuses = []
        topic = f"{namespace}/registration/status"
        subscription = node.create_subscription(RegistrationStatus, topic, statuses.append, qos.STATUS)
        spin_until(lambda: len(statuses) >= count, node, seconds=120.0)
        node.destroy_subscription(subscription)

    return wait


def test_nodes_in_a_namespace_run_and_one_that_is_killed_is_started_again(launch, heard, inputs):
    running = launch("replay", composed="false", namespace="cart1", **inputs)
    heard("/cart1")
    (killed,) = running.processes("ultrasound_source")
    os.kill(killed, signal.SIGKILL)
    running.until("has ended with status -9: started again in 1 s")
    assert len(running.processes("ultrasound_source", 2)) == 2
    heard("/cart1")
    assert running.interrupt() == 0
    assert "Traceback" not in running.said


def test_all_in_one_process_run_are_started_again_and_end_on_ctrl_c(launch, heard, inputs):
    running = launch("replay", **inputs)
    heard()
    os.kill(running.processes("cart")[0], signal.SIGKILL)
    running.processes("cart", 2)
    heard()
    assert running.interrupt() == 0
    assert "Traceback" not in running.said


@pytest.mark.parametrize("composed", ["true", "false"])
def test_what_a_node_refuses_ends_the_launch(launch, inputs, composed):
    refused = launch("replay", composed=composed, **inputs | {"volume": "/no/volume.mha"})
    assert refused.status() == 1
    assert "/no/volume.mha: no such file" in refused.said
    assert "Traceback" not in refused.said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "gone.yaml: cannot be read"),
        ("/**/registration: {ros__parameters: {metod: lncc}}", "has no parameter metod: did you mean method?"),
        ("registration: {ros__parameters: {method: lncc}}", "registration is not /cart1/registration"),
    ],
)
def test_a_parameter_file_that_would_be_passed_over_ends_the_launch(launch, tmp_path, text, said):
    if text is not None:
        (tmp_path / "gone.yaml").write_text(text)
    refused = launch("cart", parameters=tmp_path / "gone.yaml", namespace="cart1")
    assert refused.status() == 1
    assert said in refused.said
    assert "process started" not in refused.said


@pytest.fixture
def fake_ros2(tmp_path):
    """A program ros2 that writes down how it was called, and ends with a status, at once unless it ``plays``."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def make(status, plays=False):
        program = folder / "ros2"
        lines = [
            f"#!{sys.executable}",
            "import json, signal, sys",
            f"json.dump(sys.argv, open({str(tmp_path / 'called')!r}, 'w'))",
        ]
        lines += ["signal.signal(signal.SIGINT, signal.SIG_DFL)", "signal.pause()"] if plays else []
        program.write_text("\n".join([*lines, f"sys.exit({status})\n"]))
        program.chmod(0o755)
        return [folder]

    return make


def test_a_recorder_that_dies_is_said_and_stops_nobody(launch, heard, inputs, fake_ros2, tmp_path):
    running = launch("replay", record="true", record_folder=tmp_path / "bags", path=fake_ros2(1), **inputs)
    running.until("nothing is recorded any more, the guidance goes on: status 1")
    assert json.loads((tmp_path / "called").read_text())[1:3] == ["bag", "record"]
    heard()
    assert running.interrupt() == 0


@pytest.fixture
def bag(tmp_path):
    return write(tmp_path / "bag", images(1))


def test_a_bag_that_cannot_be_played_ends_the_launch(launch, inputs, bag, fake_ros2):
    refused = launch("replay", bag=bag, path=fake_ros2(3), **inputs)
    assert refused.status() == 1
    assert "the bag cannot be played" in refused.said


def test_all_ends_with_a_bag_that_is_played_once(launch, inputs, bag, fake_ros2):
    assert launch("replay", bag=bag, loop="false", path=fake_ros2(0), **inputs).status() == 0


def test_the_volume_is_where_the_bag_says(launch, inputs, bag, fake_ros2):
    running = launch("replay", bag=bag, namespace="cart1", path=fake_ros2(0, plays=True), **inputs)
    (said,) = running.until(rf"base_from_volume is what {bag} says \(m, quaternion\): (\S+ \S+ \S+) ")
    assert [float(each) for each in said.split()] == pytest.approx(BASE_FROM_VOLUME[:3, 3] / 1e3, rel=1e-3)
    assert running.interrupt() == 0


def test_a_bag_that_does_not_say_where_the_volume_was_ends_the_launch(launch, inputs, fake_ros2, tmp_path):
    silent = write(tmp_path / "bag", images(1), leave_out=("tf_static",))
    refused = launch("replay", bag=silent, path=fake_ros2(0, plays=True), **inputs)
    assert refused.status() == 1
    assert f"{silent}: latched TF does not say where us_volume is" in refused.said
