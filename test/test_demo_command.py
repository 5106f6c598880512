"""`deeprs2v demo`: what it refuses, and whole runs through real ROS."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from rosbags.highlevel import AnyReader

from deeprs2v_ros.cli.main import main
from deeprs2v_ros.demo.parameters import pixel_size, recorded_parameters, simulated_parameters
from deeprs2v_ros.imaging.sequence import Sequence

ROOT = Path(__file__).resolve().parents[1]
HAS_ROS = all(importlib.util.find_spec(name) for name in ("rclpy", "tf2_ros", "cv_bridge", "deeprs2v_ros.msg"))
needs_ros = pytest.mark.skipif(not HAS_ROS, reason="needs ROS: source install/setup.bash")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--sequence", "a.igs.mha"], "--sequence and --volume go together"),
        (["--volume", "a.mha"], "--sequence and --volume go together"),
        (["--mask", "a.png"], "--mask: is that of a --sequence"),
        (["--duration", "0"], "--duration: must be at least 1 second, but is 0"),
        (["--duration", "nan"], "--duration: must be at least 1 second, but is nan"),
        (["--breathing-mm", "-1"], "--breathing-mm: must not be negative, but is -1"),
        (["--seed", "-1"], "--seed: must not be negative, but is -1"),
        (["--sequence", "nowhere.igs.mha", "--volume", "nowhere.mha"], "nowhere.igs.mha"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(tmp_path, capsys, arguments, complaint):
    assert main(["demo", "--output", str(tmp_path / "demo"), *arguments]) != 0
    error = capsys.readouterr().err
    assert complaint in error
    assert len(error.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_folder_of_the_users_is_left_alone(tmp_path, capsys):
    (tmp_path / "thesis.tex").write_text("precious")
    assert main(["demo", "--output", str(tmp_path)]) != 0
    assert "holds something else (thesis.tex)" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_without_ros_it_says_so(tmp_path):
    environment = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}
    result = run(["--output", tmp_path / "demo"], tmp_path, environment)
    assert result.returncode != 0
    assert "needs ROS 2" in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.iterdir())


def test_parameters_of_the_simulated_cart(tmp_path):
    parameters = simulated_parameters(tmp_path / "volume.mha", 7, 12.0, 10.0)
    assert parameters["/**"]["ros__parameters"]["scene.seed"] == 7
    assert parameters["/**"]["ros__parameters"]["scene.breathing_mm"] == 12.0
    assert parameters["/**/volume_server"]["ros__parameters"]["output"] == str(tmp_path / "volume.mha")


def test_parameters_of_recorded_frames(tmp_path):
    mask = np.zeros((40, 60), dtype=bool)
    mask[5, 20:31] = mask[6:, 10:50] = True
    transforms = np.stack([np.diag([0.3, 0.4, 0.3, 1.0])] * 2)
    sequence = Sequence(np.zeros((2, 40, 60), np.uint8), transforms, np.array([0.0, 0.1]), np.ones(2, dtype=bool))
    parameters = recorded_parameters(
        tmp_path / "a.igs.mha", sequence, tmp_path / "mask.png", mask, tmp_path / "v.mha", 1, 15.0, 30.0
    )
    shared = parameters["/**"]["ros__parameters"]
    assert (shared["image.rows"], shared["image.columns"]) == (40, 60)
    assert shared["image.face"] == [25.0, 5.0]
    assert pixel_size(parameters) == pytest.approx((0.3, 0.4))
    assert shared["scene.kind"] == "recorded"
    assert parameters["/**/volume_server"]["ros__parameters"]["volume"] == str(tmp_path / "v.mha")
    assert yaml.safe_load(yaml.safe_dump(parameters)) == parameters


@needs_ros
@pytest.mark.alone
def test_the_simulated_cart_from_encoder_counts_to_the_report(tmp_path):
    folder = tmp_path / "out" / "demo"
    result = run(["--output", folder, "--duration", "6"], tmp_path)
    assert result.returncode == 0, result.stderr
    assert_complete(folder, result.stdout)
    assert "acquiring the volume" in result.stderr
    assert str(folder / "volume.mha") in (folder / "parameters.yaml").read_text()
    assert [path.name for path in folder.parent.iterdir()] == ["demo"]
    assert_reproduced(folder, tmp_path)


@needs_ros
@pytest.mark.alone
def test_real_images_until_ctrl_c(tmp_path, shared):
    folder, sweep = tmp_path / "demo", shared / "liver_sweep"
    arguments = ["--output", folder, "--sequence", sweep / "frames.igs.mha", "--volume", sweep / "volume.mha"]
    process = start([*arguments, "--mask", sweep / "mask.png", "--duration", "40"], tmp_path)
    try:
        shown = ""
        deadline = time.monotonic() + 60.0
        while "tumour error" not in shown:
            assert time.monotonic() < deadline, shown
            shown += process.stderr.readline()
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60.0)
    finally:
        process.kill()
    assert process.returncode == 0, shown + errors
    assert_complete(folder, output)


def assert_complete(folder, printed):
    """All that a demo leaves behind is there, and the tumour was followed."""
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["exactly_one_status"] is True
    assert summary["wrong"] == 0
    assert summary["target"]["count"] >= 5
    assert summary["target"]["rms"] < 1.5
    assert summary["target_predicted"]["count"] >= 20
    assert f"RMS {summary['target']['rms']:.2f} mm" in printed
    assert (folder / "guidance.png").is_file()
    assert (folder / "target.png").is_file()
    assert (folder / "guidance.webp").is_file()
    assert "data:image/png" in (folder / "index.html").read_text()
    with AnyReader([folder / "bag"]) as reader:
        topics = {connection.topic for connection in reader.connections}
    assert topics >= {
        "/joint_states", "/tf", "/tf_static", "/us/image", "/volume/file", "/volume/overview", "/volume/markers",
        "/registration/status", "/monitor/target",
        "/monitor/target_now", "/monitor/target_predicted", "/simulation/target",
    }  # fmt: skip


def assert_reproduced(folder, tmp_path):
    """A replay of the bag says what the nodes said."""
    arguments = ["--volume", folder / "volume.mha", "--parameters", folder / "parameters.yaml"]
    arguments += ["--output", tmp_path / "poses.csv", "--report", tmp_path / "report"]
    assert main(["replay", *map(str, [folder / "bag", *arguments])]) == 0
    nodes = json.loads((tmp_path / "report" / "summary.json").read_text())["nodes"]
    assert nodes["both"] >= 5
    assert (nodes["nodes_only"], nodes["replay_only"], nodes["reproduced"]) == (0, 0, True)


def start(arguments, folder, environment=None):
    """The demo in a process, in a ROS domain of its own."""
    environment = {**os.environ} if environment is None else environment
    environment.pop("ROS_DOMAIN_ID", None)
    command = [sys.executable, "-m", "deeprs2v_ros.cli.main", "demo", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=folder, env=environment, **pipes)


def run(arguments, folder, environment=None):
    """The demo until it ends."""
    process = start(arguments, folder, environment)
    output, errors = process.communicate(timeout=150.0)
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)
