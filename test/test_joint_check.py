"""Joint states of any driver: each fault by its name, nothing bad passes, and nothing bad spoils what comes after."""

from pathlib import Path

import pytest

from deeprs2v_ros.arm.description import read_arm
from deeprs2v_ros.arm.joint_check import FAULTS, JointCheck, named
from deeprs2v_ros.arm.refusals import SampleError, Tally

ARM = read_arm(Path(__file__).resolve().parents[1] / "config" / "arm" / "liver.yaml")
REST = ARM.rest
SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
PERIOD = SECOND // 100


class Driver:
    """Sends joint states every 10 ms; ``passed`` are the stamps that passed, ``refused`` the faults of the others."""

    def __init__(self):
        self.check, self.now = JointCheck(ARM.encoders), START
        self.passed, self.refused, self.said = [], [], ""

    def send(self, count=1, stamp=None, **changes):
        for _ in range(count):
            self.now += PERIOD
            self.receive(REST | changes, self.now if stamp is None else stamp)
        return self

    def receive(self, joints, stamp):
        try:
            self.passed += [sample.stamp for sample in self.check.take(joints, stamp, self.now)]
        except SampleError as error:
            assert error.fault in FAULTS
            self.refused.append(error.fault)
            self.said = str(error)


@pytest.fixture
def driver():
    """One that has sent ten good ones."""
    driver = Driver().send(10)
    assert driver.passed == [START + n * PERIOD for n in range(1, 11)]
    return driver


BAD = {
    "an hour ahead": ({"stamp": START + 3600 * SECOND}, "far_future"),
    "an hour behind": ({"stamp": START - 3600 * SECOND}, "far_behind"),
    "zero": ({"stamp": 0}, "zero_stamp"),
    "duplicate": ({"stamp": START + 10 * PERIOD}, "duplicate"),
    "out of order": ({"stamp": START + 5 * PERIOD}, "out_of_order"),
    "nan": ({"j3": float("nan")}, "nan"),
    "infinite": ({"translate": float("inf")}, "nan"),
    "out of limits": ({"j3": 1.5}, "limits"),
    "too fast": ({"j1": REST["j1"] + 0.5}, "speed"),
    "a motor too fast": ({"translate": 5.0}, "speed"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_joint_state_is_refused_by_name_and_spoils_nothing(driver, case):
    changes, fault = BAD[case]
    driver.send(**changes)
    assert driver.refused == [fault]
    driver.send(10)
    assert driver.refused == [fault]
    assert driver.passed == [START + n * PERIOD for n in (*range(1, 11), *range(12, 22))]


@pytest.mark.parametrize("case", [each for each in BAD if each not in ("duplicate", "out of order")])
def test_a_bad_one_never_passes_as_the_first(case):
    changes, _ = BAD[case]
    driver = Driver().send(**changes).send(12)
    bad = changes.get("stamp", START + PERIOD)
    assert bad not in driver.passed
    assert driver.passed == [START + n * PERIOD for n in range(2, 14)]


def test_a_joint_that_is_missing_is_named(driver):
    driver.now += PERIOD
    driver.receive({name: value for name, value in REST.items() if name != "j6"}, driver.now)
    assert driver.said == "j6: is missing"
    assert driver.refused == ["missing"]


def test_joints_of_others_are_left_out(driver):
    driver.receive(REST | {"gripper": float("nan")}, driver.now + PERIOD // 2)
    assert len(driver.passed) == 11


def test_names_and_positions_that_do_not_fit_are_refused():
    assert named(["a", "b"], [1.0, 2.0]) == {"a": 1.0, "b": 2.0}
    for names, positions, fault in (
        (["a", "b"], [1.0], "2 names with 1 positions"),
        (["a", "b", "a"], [1.0, 2.0, 1.0], "a: is there more than once"),
    ):
        with pytest.raises(SampleError, match=fault) as caught:
            named(names, positions)
        assert caught.value.fault == "malformed"


def test_wrong_units_are_guessed(driver):
    degrees = {name: value * (1.0 if name == "translate" else 57.29578) for name, value in REST.items()}
    driver.send(**degrees)
    assert "is it in degrees?" in driver.said
    driver.send(translate=20_000.0)
    assert "is it in millimetres?" in driver.said
    driver.send(j3=1.5, j5=-60.0, j6=100.0)
    assert driver.said.endswith("deg")


def test_clock_that_is_set_back_starts_over(driver):
    driver.now -= 3600 * SECOND
    driver.send(10)
    assert driver.refused == []
    assert len(driver.passed) == 20


def test_a_jump_of_the_clock_is_told(driver):
    driver.check.reset()
    driver.now -= SECOND // 20
    driver.send(3)
    assert len(driver.passed) == 13


def test_too_many_in_a_row_are_a_fault_and_it_can_be_cleared():
    tally = Tally(["a", "b"], 3)
    for _ in range(5):
        tally.refuse(SampleError("a", None, "no"))
        tally.refuse(SampleError("b", "j", "why"))
        tally.accept(0)  # withheld is not good
        assert tally.fault == ("" if tally.rejected.total() < 3 else tally.fault)
        tally.accept(1)
    assert tally.fault == ""
    for _ in range(3):
        tally.refuse(SampleError("b", "j", "why"))
    assert tally.fault == "FAULT: 3 samples rejected in a row, the last one: j: why"
    assert (tally.published, tally.rejected) == (5, {"a": 5, "b": 8})
    tally.clear()
    assert tally.fault == ""
