"""Replays of bags that hold what the nodes said: the same images are registered, at the same times."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import replay_bag as make
from phantoms import CENTRE, fan
from replay_bag import DELAY, SECOND, START, Arm, Told, images, organ_at, write
from test_replay import PARAMETERS

from deeprs2v_ros.cli.main import main
from deeprs2v_ros.evaluation.poses import read_poses
from deeprs2v_ros.geometry import apply, rigid
from deeprs2v_ros.imaging.volume import write_volume
from deeprs2v_ros.registration import plausibility
from deeprs2v_ros.registration.tracker import Tracker

TOOK = SECOND // 20
"""How long the nodes took for an image."""
NEVER_REGISTERED = ("STARTING", "FINDING_MASK", "NO_VOLUME", "SUPERSEDED", "NO_TRANSFORM", "NEW_VOLUME", "CLOCK_JUMP")
COURSE = ["STARTING"] * 3 + ["CONFIRMING", "SUPERSEDED", "CONFIRMING"] + [""] * 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The volume, the mask and parameters."""
    folder = tmp_path_factory.mktemp("reenacted")
    write_volume(folder / "volume.mha", make.VOLUME)
    cv2.imwrite(str(folder / "mask.png"), 255 * fan().astype(np.uint8))
    (folder / "parameters.yaml").write_text(PARAMETERS)
    return folder


@pytest.fixture
def play(folder, tmp_path):
    """Replays a bag, and returns reasons, statuses and, with --report, its numbers."""

    def run(bag, *options, mask=True, parameters="parameters.yaml", status=0):
        path = tmp_path / "poses.csv"
        arguments = ["--volume", folder / "volume.mha", "--parameters", folder / parameters, "--output", path]
        arguments += ["--mask", folder / "mask.png"] if mask else []
        assert main(["replay", *map(str, [bag, *arguments, *options])]) == status
        if status:
            return None
        statuses = [json.loads(line) for line in path.with_suffix(".statuses.jsonl").read_text().splitlines()]
        summary = tmp_path / "report" / "summary.json"
        numbers = json.loads(summary.read_text()) if "--report" in options else None
        return [row.reason for row in read_poses(path)], statuses, numbers

    return run


def told(shown, reasons):
    """What nodes say that take `TOOK` for an image, of each of the images, unless a reason is None."""
    said = []
    for each, reason in zip(shown, reasons, strict=True):
        if reason is None:
            continue
        tracked = registered = None
        if reason not in NEVER_REGISTERED:
            tracked = make.held_at(each.time)
            registered = organ_at(each.time) @ tracked
        state = "INITIALISING" if reason == "CONFIRMING" else "WAITING" if reason else "TRACKING"
        said.append(
            Told(each.stamp, each.received, each.received + TOOK, reason, state, tracked, registered, age=TOOK / SECOND)
        )
    return said


def test_what_the_nodes_had_no_time_for_is_set_aside(folder, play, tmp_path, capsys):
    shown = images(12)
    bag = write(tmp_path / "bag", shown, told=told(shown, COURSE))
    reasons, statuses, summary = play(bag, "--report", tmp_path / "report")
    assert reasons == COURSE
    assert summary["set_aside"] == {"STARTING": 3, "SUPERSEDED": 1}
    said = capsys.readouterr().err
    assert "the nodes did not register 4 of 12 images: 3 STARTING, 1 SUPERSEDED; --all-images" in said
    assert [each["concluded"] - each["received"] for each in statuses] == [TOOK] * 12
    reasons, _, summary = play(bag, "--all-images", "--report", tmp_path / "report")
    assert reasons == ["CONFIRMING"] * 2 + [""] * 10
    assert summary["set_aside"] == {}
    assert (summary["nodes"]["both"], summary["nodes"]["replay_only"], summary["nodes"]["first"]) == (6, 4, 2)
    assert "did not register" not in capsys.readouterr().err


def test_the_page_says_where_the_time_of_an_image_went(folder, play, tmp_path):
    shown = images(12)
    play(write(tmp_path / "bag", shown, told=told(shown, COURSE)), "--report", tmp_path / "report")
    page = (tmp_path / "report" / "index.html").read_text()
    received, done = 1e3 * DELAY / SECOND, 1e3 * (DELAY + TOOK) / SECOND
    for line, when, took in (
        ("the image was received", received, received),
        ("the arm had said where the probe was", done, done - received),
        ("the correction had converged", done, 0.0),
        ("it was on TF", done, 0.0),
    ):
        assert f"<td>{line}</td><td>{when:.1f}</td><td>{when:.1f}</td><td>{took:.1f}</td>" in page
    assert "the network had answered" not in page


def test_a_recording_is_reproduced_to_the_last_bit(folder, play, tmp_path, capsys):
    """What a replay says, taken for what the nodes said, is said again."""
    shown = images(12)
    said = told(shown, COURSE)
    _, first, _ = play(write(tmp_path / "before", shown, told=said))
    for each, status in zip(said, first, strict=True):
        if status["registered"] is not None:
            each.registered = np.array(status["registered"])
    bag = write(tmp_path / "bag", shown, told=said)
    capsys.readouterr()
    reasons, statuses, summary = play(bag, "--report", tmp_path / "report")
    assert reasons == COURSE
    assert [each["registered"] for each in statuses] == [each["registered"] for each in first]
    assert summary["nodes"]["reproduced"]
    assert (summary["nodes"]["both"], summary["nodes"]["nodes_only"], summary["nodes"]["replay_only"]) == (6, 0, 0)
    assert summary["nodes"]["distance"] < 1e-9
    out = capsys.readouterr().out
    assert "against the nodes: 6 images accepted by both, 0 by the nodes only, 0 by the replay only" in out
    assert "0.0000 mm and 0.0000 degrees apart; reproduced" in out


def test_differences_are_measured(folder, play, tmp_path):
    shown = images(12)
    said = told(shown, COURSE)
    said[8].registered = rigid(translation=[0.0, 3.0, 4.0]) @ said[8].registered
    said[7].reason = "LOW_LNCC"
    _, statuses, summary = play(write(tmp_path / "bag", shown, told=said), "--report", tmp_path / "report")
    apart = apply(said[8].registered, CENTRE) - apply(np.array(statuses[8]["registered"]), CENTRE)
    nodes = summary["nodes"]
    assert nodes["distance"] == pytest.approx(np.linalg.norm(apart), abs=1e-6)
    assert (nodes["images"], nodes["both"], nodes["replay_only"], nodes["reproduced"]) == (12, 5, 1, False)
    assert nodes["first"] == 6


def test_images_that_the_nodes_never_saw(folder, play, tmp_path, capsys):
    """The recording began before the node, and one image did not reach it."""
    shown = images(10)
    course = [None, None, "CONFIRMING", None, "CONFIRMING", "", "", "", "", ""]
    reasons, statuses, _ = play(write(tmp_path / "bag", shown, told=told(shown, course)))
    assert reasons == ["NOT_SEEN" if each is None else each for each in course]
    assert "did not register 3 of 10 images: 3 NOT_SEEN" in capsys.readouterr().err
    assert statuses[0]["state"] == "WAITING"
    assert statuses[0]["tracked"] is not None  # TF says it


def test_a_transform_that_came_too_late_for_the_nodes(folder, play, tmp_path):
    shown = images(8)
    course = ["CONFIRMING", "CONFIRMING", "", "NO_TRANSFORM", "CONFIRMING", "CONFIRMING", "", ""]
    reasons, statuses, _ = play(write(tmp_path / "bag", shown, told=told(shown, course)))
    assert reasons == course
    assert statuses[3]["state"] == "HOLDING"


def test_a_result_that_came_too_late(folder, play, tmp_path):
    shown = images(6)
    said = told(shown, ["CONFIRMING", "CONFIRMING", "", "", "LATE", "CONFIRMING"])
    said[4].concluded = said[4].stamp + SECOND
    said[5].concluded = said[4].concluded + TOOK
    for each in said[4:]:
        each.recorded = each.concluded + DELAY
    reasons, statuses, _ = play(write(tmp_path / "bag", shown, Arm(until=START + 2 * SECOND), told=said))
    assert reasons[4] == "LATE"
    assert statuses[4]["state"] == "LOST"


@pytest.mark.parametrize(("said", "replayed"), [("STAMPED_LATE", "STAMPED_LATE"), ("", "")])
def test_images_that_lag_behind_the_probe(folder, play, tmp_path, monkeypatch, said, replayed):
    """Whether they do is for those to say who knew all of the arm; what the bag has of it decides the rest."""
    monkeypatch.setattr(plausibility, "MOVED", 1.0)  # as the hand in these bags hardly moves
    shown = images(28)  # the organ is alike before and after its summit at 2 s
    late = [
        make.Image(before.time, each.stamp, each.received) for before, each in zip(shown[16:], shown[24:], strict=False)
    ]
    reasons, arm = [*COURSE, *[""] * 12, *[said] * 4], Arm(until=shown[-1].time + make.PERIOD)
    bag = write(tmp_path / "bag", [*shown[:24], *late], arm, told=told(shown, reasons))
    assert play(bag)[0][24:] == [replayed] * 4
    assert play(bag, "--all-images")[0][24:] == ["STAMPED_LATE"] * 4


def test_statuses_and_images_may_be_recorded_in_any_order(folder, play, tmp_path):
    shown = images(12)
    late = [replace(each, received=each.received + 2 * TOOK) for each in shown]
    said = told(shown, COURSE)
    said[4], said[3] = said[3], said[4]  # a busy node says of the newer image first that it is superseded
    said[4].recorded = said[3].recorded + 1
    reasons, _, _ = play(write(tmp_path / "bag", late, told=said))
    assert reasons == COURSE


def test_poses_are_those_that_the_nodes_had(folder, play, tmp_path, capsys):
    """TF in the bag may be thinned; without any, what was said is enough."""
    shown = images(6)
    said = told(shown, ["CONFIRMING", "CONFIRMING", "", "", "", ""])
    reasons, statuses, _ = play(write(tmp_path / "bag", shown, leave_out=("tf", "tf_static"), told=said))
    assert reasons[2:] == [""] * 4
    for each, status in zip(said, statuses, strict=True):
        np.testing.assert_allclose(status["tracked"], each.tracked, atol=2e-6)
    bag = write(tmp_path / "silent", shown, leave_out=("tf", "tf_static"))
    play(bag, "--poses", "status", status=2)
    assert "--poses status: the statuses of the nodes are not in the bag" in capsys.readouterr().err


def test_another_image_time_offset_asks_for_other_poses(folder, play, tmp_path, capsys):
    shown = images(6)
    said = [replace(each, offset=SECOND // 50) for each in told(shown, ["CONFIRMING", "CONFIRMING", "", "", "", ""])]
    bag = write(tmp_path / "bag", shown, told=said)
    _, statuses, _ = play(bag)
    assert "image_time_offset is 0 s, for the nodes it was 0.02" in capsys.readouterr().err
    tree = make.held_at(shown[3].time)
    np.testing.assert_allclose(statuses[3]["tracked"], tree, atol=1e-4)


def test_images_that_had_stopped_for_the_nodes(folder, play, tmp_path):
    """However long it took in the bag."""
    shown = images(8)
    said = told(shown, ["CONFIRMING", "CONFIRMING", "", "", "CONFIRMING", "CONFIRMING", "", ""])
    at = said[3].concluded + 1
    said.insert(4, Told(at, at, at, "IMAGE_STALE", "LOST"))
    reasons, statuses, _ = play(write(tmp_path / "bag", shown, told=said))
    assert reasons == ["CONFIRMING", "CONFIRMING", "", "", "CONFIRMING", "CONFIRMING", "", ""]
    assert (statuses[4]["reason"], statuses[4]["state"], statuses[4]["frame"]) == ("IMAGE_STALE", "LOST", None)


@pytest.mark.parametrize("followed", [False, True])
def test_a_second_look_counts_when_it_did_for_the_nodes(folder, play, tmp_path, monkeypatch, followed):
    """It may end before an image is begun with, or while it is followed; where it did not, it does not count."""
    (folder / "looks.yaml").write_text(PARAMETERS.replace("check_period: 0.0", "check_period: 0.1"))
    monkeypatch.setattr(Tracker, "contradicts", lambda *_: True)
    shown = images(12)
    course = ["CONFIRMING", "CONFIRMING", *[""] * 4, "CONTRADICTED", "CONTRADICTED", *[""] * 4]
    said = told(shown, course)
    said[6].followed = followed
    if followed:
        said[6].prior = rigid(translation=[1.0, 0.0, 0.0]) @ said[6].registered
    said[6].state = said[7].state = "LOST"
    reasons, statuses, _ = play(write(tmp_path / "bag", shown, told=said), parameters="looks.yaml")
    assert reasons == course
    assert statuses[6]["followed"] is followed
    assert statuses[6]["state"] != "TRACKING"


def test_a_volume_that_was_replaced_starts_over(folder, play, tmp_path):
    course = ["CONFIRMING", "CONFIRMING", "", "", "NEW_VOLUME", "STARTING", "STARTING", "CONFIRMING", "CONFIRMING", ""]
    shown = images(10)
    reasons, statuses, _ = play(write(tmp_path / "bag", shown, told=told(shown, course)))
    assert reasons == course
    assert {each["state"] for each in statuses[4:7]} <= {"WAITING", "INITIALISING"}


def test_a_node_that_was_started_again_looks_for_the_valid_area_again(folder, play, tmp_path):
    (folder / "found.yaml").write_text(PARAMETERS + "    mask_frames: 3\n")
    once = ["FINDING_MASK"] * 4 + ["STARTING", "CONFIRMING", "CONFIRMING", ""]
    shown = images(16)
    bag = write(tmp_path / "bag", shown, told=told(shown, once * 2))
    reasons, _, _ = play(bag, mask=False, parameters="found.yaml")
    assert reasons == once * 2


def test_a_clock_that_jumped_back_for_the_nodes(folder, play, tmp_path):
    """As a node with use_sim_time sees a bag that is played twice; its own recording goes on."""
    course = ["CONFIRMING", "CONFIRMING", "", "", "CLOCK_JUMP", "CONFIRMING", "CONFIRMING", "", "", ""]
    shown = images(10)
    back = 30 * SECOND
    said = told(shown, course)
    for each, image in zip(said[5:], shown[5:], strict=True):
        each.recorded = each.concluded + DELAY
        each.stamp, each.received, each.concluded = (
            time - back for time in (each.stamp, each.received, each.concluded)
        )
        image.stamp -= back
    reasons, _, _ = play(write(tmp_path / "bag", shown, told=said))
    assert reasons == course


def test_repeated_stamps_are_told_apart(folder, play, tmp_path):
    """The second image with a stamp is refused at once, before the first one is registered."""
    shown = images(6)
    shown.insert(4, replace(shown[3], received=shown[3].received + TOOK // 2))
    course = ["CONFIRMING", "CONFIRMING", "", "", "DUPLICATE", "", ""]
    said = told(shown, course)
    said[4] = replace(said[4], concluded=said[4].received + 1, tracked=None, registered=None, recorded=None)
    said[4].recorded = said[4].concluded + DELAY
    said[3], said[4] = said[4], said[3]
    reasons, _, _ = play(write(tmp_path / "bag", shown, told=said))
    assert reasons == course


def test_reasons_that_nobody_knows_here_are_repeated(folder, play, tmp_path):
    shown = images(6)
    said = told(shown, ["CONFIRMING", "CONFIRMING", "", "PAUSED", "", ""])
    said[3].tracked = said[3].registered = None
    reasons, _, _ = play(write(tmp_path / "bag", shown, told=said))
    assert reasons == ["CONFIRMING", "CONFIRMING", "", "PAUSED", "", ""]


def test_carts_in_namespaces(folder, play, tmp_path, capsys):
    """Topics of one cart belong together; TF is common to all."""
    shown = images(6)
    names = {name: f"cart1/{name}" for name in ("us/image", "registration/status", "arm/image_pose")}
    said = told(shown, ["STARTING", "CONFIRMING", "CONFIRMING", "", "", ""])
    reasons, _, _ = play(write(tmp_path / "one", shown, names=names, told=said))
    assert reasons == ["STARTING", "CONFIRMING", "CONFIRMING", "", "", ""]
    two = write(tmp_path / "two", shown, names=names, told=said, also="cart2/us/image")
    play(two, status=2)
    assert "us/image in several namespaces (/cart1, /cart2); choose by --namespace" in capsys.readouterr().err
    assert play(two, "--namespace", "cart1")[0][0] == "STARTING"
    assert play(two, "--namespace", "/cart2")[0][0] == "CONFIRMING"  # whose nodes said nothing
    play(two, "--namespace", "cart3", status=2)
    assert "no images on /cart3/us/image" in capsys.readouterr().err
