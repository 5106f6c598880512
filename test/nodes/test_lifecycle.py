"""Starting, stopping and clearing a registration that runs, as managed nodes and by its own services."""

from threading import Event

import pytest
from bench import PREPARING
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from std_srvs.srv import Trigger

from deeprs2v_ros.arm.chain import LinkTransform
from deeprs2v_ros.geometry import rigid
from deeprs2v_ros.msg import RegistrationStatus as Status


def call(bench, kind, name, **request):
    """A service's answer."""
    client = bench.hand.create_client(kind, name)
    bench.until(client.service_is_ready)
    answer = client.call_async(kind.Request(**request))
    bench.until(answer.done)
    return answer.result()


def change(bench, transition):
    return call(bench, ChangeState, "registration/change_state", transition=Transition(id=transition)).success


def ask(bench, name):
    return call(bench, Trigger, f"registration/{name}")


def said(bench, state):
    bench.until(lambda: bench.statuses and bench.statuses[-1].state == state)


def test_it_goes_through_its_life_when_it_is_told_to(make_bench):
    bench = make_bench(autostart=False)
    bench.send_volume()
    assert bench.show().state == Status.UNCONFIGURED
    assert change(bench, Transition.TRANSITION_CONFIGURE)
    said(bench, Status.INACTIVE)
    status = bench.show()
    assert (status.state, status.reason, status.accepted) == (Status.INACTIVE, "INACTIVE", False)
    assert change(bench, Transition.TRANSITION_ACTIVATE)
    said(bench, Status.WAITING)
    bench.until_tracking()
    assert change(bench, Transition.TRANSITION_DEACTIVATE)
    said(bench, Status.INACTIVE)
    corrections = len(bench.corrections)
    assert bench.show().reason == "INACTIVE"
    assert change(bench, Transition.TRANSITION_CLEANUP)
    said(bench, Status.UNCONFIGURED)
    assert bench.show().reason == "UNCONFIGURED"
    assert len(bench.corrections) == corrections


def test_the_volume_is_made_ready_while_it_is_inactive(make_bench):
    bench = make_bench(autostart=False)
    assert change(bench, Transition.TRANSITION_CONFIGURE)
    bench.send_volume()
    bench.until(lambda: bench.node._guidance._preparation._loading is not None)
    bench.until(bench.node._guidance._preparation._loading.done)
    assert change(bench, Transition.TRANSITION_ACTIVATE)
    said(bench, Status.WAITING)
    assert bench.show().reason not in PREPARING


def test_what_cannot_be_configured_can_be_once_it_is_mended(make_bench, tmp_path):
    mask = tmp_path / "mask.png"
    bench = make_bench(autostart=False)
    good = mask.read_bytes()
    mask.write_bytes(b"no picture")
    assert not change(bench, Transition.TRANSITION_CONFIGURE)
    assert bench.show().state == Status.UNCONFIGURED
    answer = ask(bench, "start")
    assert not answer.success and "mask.png" in answer.message
    mask.write_bytes(good)
    assert ask(bench, "start").success
    said(bench, Status.WAITING)


def test_stopped_it_shows_nothing_and_started_it_begins_anew(bench):
    bench.until_tracking()
    assert ask(bench, "stop").success
    said(bench, Status.INACTIVE)
    corrections = len(bench.corrections)
    assert bench.show().reason == "INACTIVE"
    assert len(bench.corrections) == corrections
    assert ask(bench, "start").success
    said(bench, Status.WAITING)
    assert bench.show().state == Status.INITIALISING
    bench.until_tracking()


def test_reset_begins_anew(bench):
    bench.until_tracking()
    assert ask(bench, "reset").success
    bench.until(lambda: bench.statuses[-1].reason == "RESET")
    status = bench.show()
    assert (status.state, status.reason) == (Status.INITIALISING, "CONFIRMING")
    bench.until_tracking()


def test_only_a_fault_is_cleared_and_then_it_begins_anew(bench, monkeypatch):
    bench.until_tracking()
    assert not ask(bench, "clear_fault").success
    monkeypatch.setattr(bench.node._guidance._preparation.ready.tracker, "register_frame", fails)
    assert bench.show().state == Status.FAULT
    monkeypatch.undo()
    assert ask(bench, "clear_fault").success
    said(bench, Status.WAITING)
    assert bench.show().state == Status.INITIALISING
    bench.until_tracking()


def test_a_volume_that_did_not_fit_into_memory_is_read_again_once_the_fault_is_cleared(make_bench, monkeypatch):
    monkeypatch.setattr("deeprs2v_ros.registration.preparation.read_volume", fails)
    bench = make_bench()
    bench.send_volume()
    bench.show_until(lambda status: status.state == Status.FAULT)
    monkeypatch.undo()
    assert ask(bench, "clear_fault").success
    bench.until_ready()
    bench.until_tracking()


def test_a_place_said_anew_discards_what_was_found_before(bench):
    bench.send_fixed(LinkTransform("base_link", "us_volume", rigid()))
    bench.until_tracking()
    bench.send_fixed(LinkTransform("base_link", "us_volume", rigid(translation=(5.0, 0.0, 0.0))))
    bench.until(lambda: bench.statuses[-1].reason == "MOVED_VOLUME")
    assert bench.statuses[-1].state == Status.WAITING
    bench.until_tracking()


def asked(bench, count):
    """How many statuses of images there were since ``count``."""
    return sum(not status.without_image for status in bench.statuses[count:])


def in_hand(bench, monkeypatch):
    """An image is being registered, and another one waits; returns what lets the first one go on."""
    tracker = bench.node._guidance._preparation.ready.tracker
    register, begun, go_on = tracker.register_frame, Event(), Event()

    def slowly(*arguments):
        begun.set()
        go_on.wait(10.0)
        return register(*arguments)

    monkeypatch.setattr(tracker, "register_frame", slowly)
    for _ in range(2):
        stamp = bench.now()
        bench.send_pose(stamp)
        bench.send_image(stamp)
        bench.until(begun.is_set)
    bench.until(lambda: bench.node._mailbox._item is not None)
    return go_on.set


@pytest.mark.parametrize("again", [False, True], ids=["cleaned up", "and configured again"])
def test_images_in_hand_get_their_status_when_the_pipeline_is_given_up(bench, monkeypatch, again):
    bench.until_tracking()
    count, corrections = len(bench.statuses), len(bench.corrections)
    go_on = in_hand(bench, monkeypatch)
    assert change(bench, Transition.TRANSITION_DEACTIVATE)
    assert change(bench, Transition.TRANSITION_CLEANUP)
    if again:
        assert ask(bench, "start").success
        said(bench, Status.WAITING)
    go_on()
    bench.until(lambda: asked(bench, count) == 2)
    assert bench.statuses[-1].state == (Status.WAITING if again else Status.UNCONFIGURED)
    assert len(bench.corrections) == corrections
    assert bench.show().state == (Status.WAITING if again else Status.UNCONFIGURED)


def test_an_image_that_breaks_the_node_gets_its_status(bench, monkeypatch):
    bench.until_tracking()
    monkeypatch.setattr("deeprs2v_ros.nodes.registration.image_from_message", fails)
    status = bench.show()
    assert (status.state, status.accepted) == (Status.FAULT, False) and "no room" in status.reason


def test_what_cannot_be_is_answered_and_the_node_lives_on(make_bench, monkeypatch):
    bench = make_bench(autostart=False)
    assert not change(bench, Transition.TRANSITION_ACTIVATE)
    assert not change(bench, 200)
    monkeypatch.setattr("deeprs2v_ros.nodes.registration.Guidance", fails)
    answer = ask(bench, "start")
    assert not answer.success and "no room" in answer.message
    monkeypatch.undo()
    assert change(bench, Transition.TRANSITION_UNCONFIGURED_SHUTDOWN)
    answer = ask(bench, "start")
    assert not answer.success and "shut down" in answer.message
    for name in ("reset", "clear_fault"):
        assert not ask(bench, name).success
    assert bench.show().state == Status.UNCONFIGURED


def fails(*_):
    raise MemoryError("no room")
