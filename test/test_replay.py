"""Replays of small bags: poses, verdicts, the failures of the design, and bad input by name."""

import json

import cv2
import numpy as np
import pytest
import replay_bag as make
from phantoms import CENTRE, IMAGE_FROM_PIXEL, SHAPE, fan
from replay_bag import DELAY, PERIOD, SECOND, START, TICK, Arm, Image, images, organ_at, write
from rosbags.rosbag2 import CompressionMode, StoragePlugin

from deeprs2v_ros.cli.main import main
from deeprs2v_ros.evaluation.poses import ACCEPTED, read_poses
from deeprs2v_ros.geometry import apply, inverse
from deeprs2v_ros.imaging.volume import write_volume

PARAMETERS = f"""
/**:
  ros__parameters:
    image.rows: {SHAPE[0]}
    image.columns: {SHAPE[1]}
    image.pixel_size: [0.5, 0.5]
registration:
  ros__parameters:
    method: lncc
    abdominal_wall: 0.0
    check_period: 0.0
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The volume, the mask, parameters, and a bag in which all is well."""
    folder = tmp_path_factory.mktemp("replay")
    write_volume(folder / "volume.mha", make.VOLUME)
    cv2.imwrite(str(folder / "mask.png"), 255 * fan().astype(np.uint8))
    (folder / "parameters.yaml").write_text(PARAMETERS)
    write(folder / "bag", images(12))
    return folder


@pytest.fixture
def play(folder, tmp_path):
    """Replays a bag, and returns rows and statuses."""

    def run(bag, *options, output="poses.csv", parameters="parameters.yaml", status=0):
        path = tmp_path / output
        arguments = ["--volume", folder / "volume.mha", "--mask", folder / "mask.png", "--output", path]
        if parameters:
            arguments += ["--parameters", folder / parameters]
        assert main(["replay", *map(str, [bag, *arguments, *options])]) == status
        if status:
            return None
        lines = path.with_suffix(".statuses.jsonl").read_text().splitlines()
        return read_poses(path), [json.loads(line) for line in lines]

    return run


def last_line(capsys):
    lines = capsys.readouterr().err.strip().splitlines()
    assert "Traceback" not in "".join(lines)
    return lines[-1]


def off(row, time):
    """mm between where a row puts the image centre and where the tissue lies that was shown at a time."""
    truth = organ_at(time) @ make.held_at(time) @ IMAGE_FROM_PIXEL
    middle = np.linalg.solve(IMAGE_FROM_PIXEL, [*CENTRE, 1.0])[:3]
    return np.linalg.norm(apply(row.world_from_pixel, middle) - apply(truth, middle))


def reasons(rows):
    return [row.reason for row in rows]


def test_poses_are_right_and_every_image_has_a_row(folder, play):
    rows, statuses = play(folder / "bag")
    shown = images(12)
    assert [row.frame for row in rows] == list(range(12))
    assert [row.timestamp for row in rows] == pytest.approx([each.stamp / 1e9 for each in shown], abs=1e-5)
    assert reasons(rows) == ["CONFIRMING"] * 2 + [""] * 10
    assert [row.status == ACCEPTED for row in rows] == [False] * 2 + [True] * 10
    assert max(off(row, each.time) for row, each in zip(rows, shown, strict=True)) < 0.5
    assert [each["state"] for each in statuses] == ["INITIALISING"] * 2 + ["TRACKING"] * 10
    for row, status, each in zip(rows, statuses, shown, strict=True):
        np.testing.assert_allclose(status["tracked"], make.held_at(each.time), atol=1e-6)
        np.testing.assert_allclose(np.array(status["registered"]) @ IMAGE_FROM_PIXEL, row.world_from_pixel, atol=1e-9)
        np.testing.assert_allclose(np.array(status["motion"]) @ status["tracked"], status["registered"], atol=1e-9)
    assert statuses[-1]["broadcast_age"] == pytest.approx((statuses[-1]["concluded"] - shown[-1].stamp) / 1e9)
    assert statuses[-1]["forecast_horizon"] == pytest.approx(PERIOD / 1e9)
    assert statuses[0]["broadcast_motion"] is statuses[0]["forecast_motion"] is None


def test_the_same_bag_gives_the_same_files(folder, play, tmp_path):
    play(folder / "bag", output="one.csv")
    play(folder / "bag", output="two.csv")
    for suffix in (".csv", ".statuses.jsonl"):
        assert (tmp_path / f"one{suffix}").read_bytes() == (tmp_path / f"two{suffix}").read_bytes()


@pytest.mark.parametrize(
    ("storage", "zstd"),
    [(StoragePlugin.SQLITE3, None), (StoragePlugin.SQLITE3, CompressionMode.FILE),
     (StoragePlugin.SQLITE3, CompressionMode.MESSAGE), (StoragePlugin.MCAP, CompressionMode.STORAGE)],
)  # fmt: skip
def test_however_a_bag_is_stored(folder, play, tmp_path, storage, zstd):
    shown = images(4)
    plain, _ = play(write(tmp_path / "plain", shown), output="plain.csv")
    other, _ = play(write(tmp_path / "other", shown, storage=storage, zstd=zstd), output="other.csv")
    assert (tmp_path / "plain.csv").read_bytes() == (tmp_path / "other.csv").read_bytes()
    assert len(plain) == len(other) == 4


def test_joint_states_in_place_of_transforms(folder, play, tmp_path):
    shown = images(5)
    rows, statuses = play(write(tmp_path / "bag", shown, Arm("joint_states")))
    assert reasons(rows) == ["CONFIRMING"] * 2 + [""] * 3
    for status, each in zip(statuses, shown, strict=True):
        np.testing.assert_allclose(status["tracked"], make.held_at(each.time), atol=1e-6)


def test_an_image_waits_for_the_transform_at_its_time(folder, play, tmp_path):
    late = 60 * SECOND // 1000
    rows, statuses = play(write(tmp_path / "bag", images(5), Arm(delay=late)))
    assert reasons(rows) == ["CONFIRMING"] * 2 + [""] * 3
    for status in statuses:
        after = status["stamp"] - START + TICK - (status["stamp"] - START) % TICK  # the tick after the image
        assert status["concluded"] == START + after + late


def test_no_transform_in_time(folder, play, tmp_path):
    shown = images(9)
    gap = shown[5].time
    rows, statuses = play(write(tmp_path / "bag", shown, Arm(said=lambda time: time < gap or time > gap + 4 * TICK)))
    assert reasons(rows) == ["CONFIRMING"] * 2 + [""] * 3 + ["NO_TRANSFORM", *reasons(rows)[6:]]
    assert statuses[5]["state"] == "HOLDING"
    assert statuses[5]["concluded"] == shown[5].received + SECOND // 10 + 1
    # Nobody knows where it was: the origin of the volume, and nothing in the statuses.
    np.testing.assert_array_equal(rows[5].world_from_pixel, IMAGE_FROM_PIXEL)
    assert statuses[5]["tracked"] is None
    assert rows[-1].status == ACCEPTED


def test_an_arm_that_never_says_anything_in_time(folder, play, tmp_path):
    rows, statuses = play(write(tmp_path / "bag", images(3), Arm(delay=SECOND)))
    assert reasons(rows) == ["NO_TRANSFORM"] * 3
    assert {each["state"] for each in statuses} == {"WAITING"}


def test_bad_stamps_are_named_and_change_nothing(folder, play, tmp_path):
    shown = images(12)
    bad = {
        4: (shown[3].stamp, "DUPLICATE"),
        6: (shown[2].stamp, "OUT_OF_ORDER"),
        8: (0, "ZERO_STAMP"),
        9: (shown[9].stamp + 3600 * SECOND, "FAR_FUTURE"),
    }
    for number, (stamp, _) in bad.items():
        shown[number] = Image(shown[number].time, stamp=stamp)
    rows, statuses = play(write(tmp_path / "bag", shown))
    expected = ["CONFIRMING"] * 2 + [""] * 10
    for number, (_, reason) in bad.items():
        expected[number] = reason
        assert statuses[number]["state"] == "TRACKING"
        assert rows[number].status != ACCEPTED
    assert reasons(rows) == expected


def test_a_frozen_picture_while_the_arm_moves(folder, play, tmp_path):
    shown = images(6)
    frozen = [Image(each.time, picture=shown[5].picture) for each in images(8, first=6)]
    (folder / "frozen.yaml").write_text(PARAMETERS + "    frozen_distance: 0.2\n")
    rows, statuses = play(write(tmp_path / "bag", shown + frozen), parameters="frozen.yaml")
    assert set(reasons(rows)[6:]) == {"FROZEN"}
    assert statuses[-1]["state"] == "LOST"


def test_black_images_are_held_over_then_lost(folder, play, tmp_path):
    shown = images(5)
    black = [Image(each.time, picture=np.full(SHAPE, number, np.uint8)) for number, each in enumerate(images(8, 5))]
    rows, statuses = play(write(tmp_path / "bag", shown + black))
    assert all(row.status != ACCEPTED and row.reason for row in rows[5:])
    states = [each["state"] for each in statuses]
    assert states[4:6] == ["TRACKING", "HOLDING"]
    assert states[-1] == "LOST"
    assert states[5:] == sorted(states[5:])  # HOLDING first, then LOST to the end
    assert statuses[-1]["broadcast_motion"] is None
    ages = [each["broadcast_age"] for each in statuses if each["state"] == "HOLDING"]
    assert ages == sorted(ages)
    assert ages[-1] <= 0.5


def test_images_that_stop_are_said(folder, play, tmp_path):
    rows, statuses = play(write(tmp_path / "bag", images(5), Arm(until=START + 3 * SECOND)))
    assert len(rows) == 5
    assert [each["reason"] for each in statuses[5:]] == ["EXPIRED", "IMAGE_STALE"]
    assert statuses[5]["frame"] is None
    assert statuses[5]["state"] == "LOST"


def test_a_jump_back_starts_over(folder, play, tmp_path):
    """As recorded of a bag that is played again and again: stamps go back, the time of receipt goes on."""
    length = SECOND
    bag = write(
        tmp_path / "bag",
        images(22),
        shift=lambda received: -3 * length if received >= START + length else 0,
    )
    rows, statuses = play(bag)
    assert rows[9].status == ACCEPTED
    assert rows[10].timestamp < rows[9].timestamp - 2.0
    after = reasons(rows)[10:]
    assert after.count("CONFIRMING") == 2
    assert set(after[: after.index("CONFIRMING")]) <= {"CLOCK_JUMP", "OUT_OF_ORDER", "NO_TRANSFORM"}
    assert after.index("CONFIRMING") <= 3
    assert after[-1] == ""
    of_images = [each for each in statuses if each["frame"] is not None]
    assert of_images[10 + after.index("CONFIRMING")]["state"] == "INITIALISING"
    assert {each["state"] for each in statuses[-5:]} == {"TRACKING"}


def test_a_bag_recorded_of_one_that_was_played_later(folder, play, tmp_path):
    """Every stamp is a day old: the clock follows them."""
    rows, _ = play(write(tmp_path / "bag", images(8), shift=lambda received: -86400 * SECOND))
    assert rows[-1].status == ACCEPTED


def test_the_valid_area_may_be_found(folder, tmp_path):
    (folder / "found.yaml").write_text(PARAMETERS + "    mask_frames: 4\n")
    arguments = ["--volume", folder / "volume.mha", "--parameters", folder / "found.yaml"]
    path = tmp_path / "poses.csv"
    assert main(["replay", *map(str, [folder / "bag", *arguments, "--output", path])]) == 0
    rows = read_poses(path)
    assert reasons(rows)[:4] == ["FINDING_MASK"] * 3 + ["CONFIRMING"]
    truth = make.held_at(images(1)[0].time) @ IMAGE_FROM_PIXEL
    np.testing.assert_allclose(rows[0].world_from_pixel, truth, atol=1e-6)  # the tracked pose


def test_parameters_are_those_of_the_node(folder, play, tmp_path, capsys):
    (folder / "strict.yaml").write_text(PARAMETERS + "    gate.minimum_lncc: 0.999\n")
    bag = write(tmp_path / "bag", images(3))
    rows, _ = play(bag, parameters="strict.yaml")
    assert reasons(rows) == ["LOW_LNCC"] * 3
    (folder / "misspelt.yaml").write_text(PARAMETERS + "    gate.minimum_lnc: 0.1\n")
    play(bag, parameters="misspelt.yaml", status=2)
    said = "misspelt.yaml: registration has no parameter gate.minimum_lnc: did you mean gate.minimum_lncc?"
    assert said in capsys.readouterr().err


def test_without_parameters_the_size_is_that_of_the_bag(folder, play, tmp_path, capsys):
    rows, _ = play(folder / "bag", "--pixel-size", "0.5", "0.5", parameters=None)
    assert np.linalg.norm(rows[0].world_from_pixel[:3, 0]) == pytest.approx(0.5)
    play(folder / "bag", parameters=None, status=2)
    assert "do not say how large a pixel is" in last_line(capsys)


def test_other_names_of_topics(folder, play, tmp_path, capsys):
    names = {"us/image": "cart/us/image", "tf": "other/transforms"}
    bag = write(tmp_path / "bag", images(3), names=names)
    rows, _ = play(bag, "--tf-topic", "/other/transforms")
    assert reasons(rows) == ["CONFIRMING", "CONFIRMING", ""]
    play(bag, "--tf-topic", "transforms", status=2)
    assert "no tf2_msgs/msg/TFMessage on transforms; topics with such: /other/transforms" in last_line(capsys)


def test_a_joint_state_with_a_wild_stamp_is_refused(folder, play, tmp_path, capsys):
    wild = START + 22 * TICK + DELAY
    bag = write(
        tmp_path / "bag",
        images(8),
        Arm("joint_states"),
        shift=lambda received: 3600 * SECOND if received == wild else 0,
    )
    rows, _ = play(bag)
    assert reasons(rows) == ["CONFIRMING"] * 2 + [""] * 6
    assert "joint state ignored: its stamp does not fit the clock" in capsys.readouterr().err


def test_what_cannot_be_prepared_is_no_success(folder, play, tmp_path, capsys):
    (folder / "wall.yaml").write_text(PARAMETERS.replace("abdominal_wall: 0.0", "abdominal_wall: 500.0"))
    play(folder / "bag", parameters="wall.yaml", status=2)
    assert "nothing could be registered: abdominal_wall: 500 mm leave nothing of the images" in last_line(capsys)


def test_report(folder, play, tmp_path, capsys):
    play(folder / "bag", "--report", tmp_path / "report")
    made = {path.name for path in (tmp_path / "report").iterdir()}
    assert made == {"course.png", "guidance.png", "guidance.webp", "index.html", "summary.json"}
    page = (tmp_path / "report" / "index.html").read_text()
    assert (page.count("data:image/png"), page.count("data:image/webp")) == (2, 1)
    assert "Where the time" not in page  # nobody said
    summary = json.loads((tmp_path / "report" / "summary.json").read_text())
    assert (summary["images"], summary["accepted"]) == (12, 10)
    assert "10 of 12 images accepted (83.3 %); 10 TRACKING, 2 INITIALISING; 2 CONFIRMING" in capsys.readouterr().out


def test_bad_input_by_name(folder, play, tmp_path, capsys):
    def refused(bag, message, *options, **given):
        play(bag, *options, status=2, **given)
        assert message in last_line(capsys)
        assert not (tmp_path / "poses.csv").exists()

    shown = images(2)
    refused(tmp_path / "gone", "gone: there is no bag")
    (tmp_path / "empty").mkdir()
    cut = write(tmp_path / "cut", shown)
    data = (cut / "cut.mcap").read_bytes()
    (cut / "cut.mcap").write_bytes(data[: len(data) // 2])
    refused(cut, "cut: is not a bag that can be read")
    (cut / "cut.mcap").unlink()
    refused(cut, "cut.mcap")
    refused(tmp_path / "empty", "empty: has no metadata.yaml (`ros2 bag reindex` makes one)")
    refused(folder / "volume.mha", "volume.mha: is a file; a bag is the folder")
    other = write(tmp_path / "other", shown, names={"us/image": "camera/picture"})
    refused(other, "no images on us/image; topics with images: /camera/picture")
    nothing = write(tmp_path / "nothing", shown, leave_out=("tf",))
    refused(nothing, "TF does not say where us_image is, and there are no joint states")
    nowhere = write(tmp_path / "nowhere", shown, leave_out=("tf_static",))
    refused(nowhere, "TF does not say where us_volume is, nor do the parameters base_from_volume")
    refused(folder / "bag", "there are no joint states", "--poses", "joint_states")
    (folder / "size.yaml").write_text(PARAMETERS.replace(f"rows: {SHAPE[0]}", "rows: 100"))
    refused(folder / "bag", "have 180 rows and 240 columns, by the parameters", parameters="size.yaml")
    (folder / "type.yaml").write_text(PARAMETERS.replace("check_period: 0.0", "check_period: 0"))
    refused(folder / "bag", "parameter check_period: is 0, not float", parameters="type.yaml")
    refused(folder / "bag", "mask.png", "--mask", tmp_path / "mask.png")
    refused(folder / "bag", "none.mha: no such file", "--volume", tmp_path / "none.mha")


def test_the_place_of_the_volume_may_come_from_the_parameters(folder, play, tmp_path):
    from scipy.spatial.transform import Rotation

    xyzw = Rotation.from_matrix(make.BASE_FROM_VOLUME[:3, :3]).as_quat().tolist()
    xyz = (make.BASE_FROM_VOLUME[:3, 3] / 1e3).tolist()
    section = f"volume_server:\n  ros__parameters:\n    base_from_volume: {{xyz: {xyz}, xyzw: {xyzw}}}\n"
    (folder / "place.yaml").write_text(PARAMETERS + section)
    rows, _ = play(write(tmp_path / "bag", images(3), leave_out=("tf_static",)), parameters="place.yaml")
    assert reasons(rows) == ["CONFIRMING", "CONFIRMING", ""]


def test_wrong_sizes_and_unreadable_images_in_between(folder, play, tmp_path):
    shown = images(5)
    shown[3] = Image(shown[3].time, picture=shown[3].picture[:90])
    rows, statuses = play(write(tmp_path / "bag", shown))
    assert rows[3].reason == "WRONG_SIZE"
    np.testing.assert_allclose(rows[3].world_from_pixel, make.held_at(shown[3].time) @ IMAGE_FROM_PIXEL, atol=1e-6)
    assert statuses[3]["state"] == "HOLDING"


def test_errors_against_where_the_target_was(folder, play, tmp_path, capsys):
    """The bag says where the target was; the report compares, and shows it over time."""
    bag = write(tmp_path / "bag", images(14), target=make.MIDDLE)
    play(bag, "--report", tmp_path / "report")
    assert "target off by RMS" in capsys.readouterr().out
    assert (tmp_path / "report" / "target.png").stat().st_size > 10_000
    errors = json.loads((tmp_path / "report" / "summary.json").read_text())["errors_mm"]
    assert errors["registered"]["rms"] < 0.3
    moved = [np.linalg.norm(apply(inverse(organ_at(each.time)), make.MIDDLE) - make.MIDDLE) for each in images(14)[2:]]
    assert errors["uncorrected"]["rms"] == pytest.approx(np.sqrt(np.mean(np.square(moved))), rel=1e-6)
    assert errors["wrong"] == 0
    assert errors["forecast"]["count"] == errors["latest"]["count"] == 11
