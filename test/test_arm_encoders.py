"""Counts to joint values and back, and samples that must be refused."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from deeprs2v_ros.arm.curves import Coupling, OutsideCurveError, Table
from deeprs2v_ros.arm.description import read_arm
from deeprs2v_ros.arm.encoders import Encoder, EncoderBank, EncoderStream
from deeprs2v_ros.arm.refusals import SampleError
from deeprs2v_ros.arm.sources import Sample
from deeprs2v_ros.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
TURN = (-np.pi, np.pi)
GRID = np.radians(np.arange(-180.0, 181.0, 10.0))
PERIODIC = Table(GRID, GRID + 0.05 * np.sin(GRID) + 0.02 * np.cos(2 * GRID))


@pytest.fixture(scope="module")
def arm():
    return read_arm(ROOT / "config" / "arm" / "liver.yaml")


@pytest.fixture(scope="module")
def plain(arm):
    return arm.encoders


@pytest.fixture(scope="module")
def warped(arm):
    """The arm's encoders with zeros, a direction, a periodic table and one that ends."""
    encoders = dict(arm.encoders.encoders)
    encoders["j1"] = replace(encoders["j1"], sign=-1, zero=2.9, table=PERIODIC)
    encoders["j2"] = replace(encoders["j2"], zero=-0.4)
    ends = np.linspace(-1.0, 1.0, 30)
    encoders["j5"] = replace(encoders["j5"], zero=0.1, sign=-1, table=Table(ends, 1.03 * ends + 0.01 * ends**2))
    encoders["j7"] = replace(encoders["j7"], sign=-1, zero=1.0)
    return EncoderBank(encoders, arm.chain)


def random_joints(chain, rng, inside=0.9):
    def draw(joint):
        middle, half = (joint.lower + joint.upper) / 2, (joint.upper - joint.lower) / 2
        return float(middle + inside * half * rng.uniform(-1, 1))

    return {name: draw(chain.joints[name]) for name in chain.joint_names}


@pytest.mark.parametrize("bank", ["plain", "warped"])
def test_joints_come_back_within_half_a_count(request, bank):
    bank = request.getfixturevalue(bank)
    rng = np.random.default_rng(0)
    for _ in range(200):
        joints = random_joints(bank.chain, rng)
        counts = bank.counts(joints)
        back = bank.joints(counts)
        # tables and couplings here have slopes below 1.5
        for name, encoder in bank.encoders.items():
            half = 0.5 * encoder.resolution * (1.0 if encoder.table is None and encoder.coupling is None else 1.5)
            assert abs(back[name] - joints[name]) <= half + 1e-12, name
        assert bank.counts(back) == counts


def test_table_and_coupling_are_exact_apart_from_the_counts():
    coupling = Coupling("j6", {(1, 0): 1.3, (1, 2): 0.16, (3, 0): -0.045})
    for value in np.linspace(-1.0, 1.0, 41):
        assert PERIODIC.encoder_from(PERIODIC.joint_from(value)) == pytest.approx(value, abs=1e-12)
        for other in (-0.6, 0.0, 0.4):
            joint = coupling.joint_from(value, other)
            assert coupling.encoder_from(joint, other) == pytest.approx(value, abs=1e-12)
    assert PERIODIC.joint_from(1.0 + 2 * np.pi) == pytest.approx(PERIODIC.joint_from(1.0) + 2 * np.pi)
    with pytest.raises(OutsideCurveError, match="outside"):
        Table(np.array([-1.0, 1.0]), np.array([-1.1, 1.2])).joint_from(1.01)
    with pytest.raises(OutsideCurveError, match="reach"):
        coupling.encoder_from(4.0, 0.0)


def test_the_zero_is_inside_the_table():
    encoder = Encoder(12, 1, 0.3, TURN, PERIODIC)
    assert encoder.value(100) == pytest.approx(PERIODIC.joint_from(100 * 2 * np.pi / 4096 + 0.3), abs=1e-12)


def test_counts_wrap_at_a_turn():
    encoder = Encoder(12, 1, 0.0, (np.radians(-270), np.radians(90)))
    assert np.degrees(encoder.value(0)) == pytest.approx(0.0, abs=1e-9)
    assert np.degrees(encoder.value(1024)) == pytest.approx(90.0)
    assert np.degrees(encoder.value(1025)) == pytest.approx(-270.0 + 360.0 / 4096)
    assert np.degrees(encoder.value(4095)) == pytest.approx(-360.0 / 4096)
    assert encoder.count(np.radians(-0.01)) == 0
    assert encoder.count(np.radians(-360.0 / 4096)) == 4095
    backwards = replace(encoder, sign=-1, zero=np.radians(10))
    assert np.degrees(backwards.value(1024)) == pytest.approx(-80.0)
    assert np.degrees(backwards.value(3072)) == pytest.approx(-260.0)
    assert backwards.count(np.radians(-80.0)) == 1024


def take(stream, counts, time):
    """The joints that are good by counts taken at a time in s."""
    return [joints.values for joints in stream.take(Sample(counts, round(1e9 * time), time))]


def test_a_wrapping_joint_never_jumps(arm):
    """Joint 7 turned slowly through the whole of its range passes count 0 and is followed."""
    stream = EncoderStream(arm.encoders)
    angles = np.arange(np.radians(-250.0), np.radians(15.0), np.radians(0.5))
    seen = []
    for number, angle in enumerate(angles):
        seen += take(stream, arm.encoders.counts(arm.rest | {"j7": angle}), 0.01 * number)
    np.testing.assert_allclose([joints["j7"] for joints in seen], angles, atol=np.radians(0.5 * 360 / 4096) + 1e-9)


def test_the_coupling_of_the_wrist_is_the_arms(shared, arm):
    """The configured series against the logged software angle and the raw one, and against the fitted polynomial."""
    with (shared / "arm" / "20210608_full.csv").open() as file:
        rows = list(csv.DictReader(file))
    coupling = arm.encoders.encoders["j5"].coupling
    for row in rows:
        raw, other, logged = (np.radians(float(row[key])) for key in ("q5_raw", "q6", "q5"))
        assert coupling.joint_from(raw, other) == pytest.approx(logged, abs=np.radians(0.3))
    terms = {tuple(powers): c for powers, c in json.loads((shared / "arm" / "theta5_coupling.json").read_text())["fwd"]}
    fitted = Coupling("j6", terms)
    for row in rows[::10]:
        raw, other, logged = (np.radians(float(row[key])) for key in ("q5_raw", "q6", "q5"))
        assert fitted.joint_from(raw, other) == pytest.approx(logged, abs=1e-4)
        assert fitted.encoder_from(logged, other) == pytest.approx(raw, abs=1e-4)


REFUSED = {
    "nan": ({"j3": float("nan")}, "j3", "nan", "the count is nan"),
    "infinite": ({"j3": float("inf")}, "j3", "nan", "the count is inf"),
    "too large": ({"j3": 4096}, "j3", "count", "the count 4096 is not one of 0 to 4095"),
    "negative": ({"j3": -1}, "j3", "count", "the count -1 is not one of 0 to 4095"),
    "no whole number": ({"j3": 10.5}, "j3", "count", "the count 10.5 is not one of"),
    "missing": ({"j4": None}, "j4", "missing", "is missing from the sample"),
    "unknown": ({"j8": 0}, "j8", "unknown", "is no joint of this arm"),
    "out of limits": ({"j3": 1024}, "j3", "limits", "90.0 deg is outside the limits of -30.0 to 45.0 deg"),
    "motor out of limits": (
        {"translate": 31000},
        "translate",
        "limits",
        "31.0 mm is outside the limits of -30.0 to 30.0 mm",
    ),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_samples_that_cannot_be_are_refused_by_name(arm, fault):
    change, joint, kind, reason = REFUSED[fault]
    with pytest.raises(SampleError, match=reason) as caught:
        arm.encoders.joints(arm.encoders.counts(arm.rest) | change)
    assert (caught.value.joint, caught.value.fault) == (joint, kind)
    assert str(caught.value).startswith(f"{joint}: ")


def test_the_simulator_cannot_leave_limits_or_tables_either(arm, warped):
    with pytest.raises(SampleError, match=r"j3: 57\.3 deg is outside the limits"):
        arm.encoders.counts(arm.rest | {"j3": 1.0})
    with pytest.raises(SampleError, match="j3: nan deg is outside"):
        arm.encoders.counts(arm.rest | {"j3": float("nan")})
    with pytest.raises(SampleError, match="j2: is missing"):
        arm.encoders.counts({name: value for name, value in arm.rest.items() if name != "j2"})
    short = replace(warped.encoders["j5"], table=Table(np.array([-0.2, 0.2]), np.array([-0.2, 0.2])))
    bank = EncoderBank(warped.encoders | {"j5": short}, arm.chain)
    with pytest.raises(SampleError, match=r"j5: 1\.0000 is outside the joint's table"):
        bank.counts(arm.rest | {"j5": 1.0})


def test_faster_than_possible_is_refused_and_time_forgives(arm):
    stream = EncoderStream(arm.encoders)
    limit = arm.chain.joints["j1"].velocity

    def at(shift):
        return arm.encoders.counts(arm.rest | {"j1": arm.rest["j1"] + shift})

    for time in (9.96, 9.98, 10.0):
        take(stream, at(0.0), time)
    take(stream, at(0.98 * limit * 0.02), 10.02)
    with pytest.raises(SampleError, match="faster than it can") as caught:
        take(stream, at(0.98 * limit * 0.02 + 1.2 * limit * 0.02), 10.04)
    assert (caught.value.joint, caught.value.fault) == ("j1", "speed")
    # the refused sample left no trace: the same place at a time when the arm can have come there is accepted
    assert len(take(stream, at(0.98 * limit * 0.02 + 1.2 * limit * 0.02), 10.06)) == 1


def test_one_count_of_jitter_at_a_high_rate_is_no_speed(arm):
    stream = EncoderStream(arm.encoders)
    counts = arm.encoders.counts(arm.rest)
    for number in range(50):
        jitter = {name: count + number % 2 for name, count in counts.items()}
        take(stream, jitter, 1.0 + 1e-5 * number)


@pytest.mark.parametrize("time", [5.0, 4.9, float("nan")])
def test_stamps_that_do_not_advance_are_refused(arm, time):
    stream = EncoderStream(arm.encoders)
    counts = arm.encoders.counts(arm.rest)
    for good in (4.98, 4.99, 5.0):
        take(stream, counts, good)
    with pytest.raises(SampleError, match="stamp") as caught:
        stream.take(Sample(counts, 0, time))
    assert (caught.value.joint, caught.value.fault) == (None, "stamp")
    assert take(stream, counts, 5.1)
    stream.reset()
    assert not take(stream, counts, 1.0)


def test_a_first_sample_is_not_compared_with_those_before(arm):
    stream = EncoderStream(arm.encoders)
    there, away = (arm.encoders.counts(arm.rest | {"j1": arm.rest["j1"] + shift}) for shift in (0.0, 1.0))
    for number in range(10):
        take(stream, there, 0.01 * number)
    stream.take(Sample(away, 0, 0.1, first=True))
    assert not take(stream, away, 0.11)
    assert len(take(stream, away, 0.12)) == 3


def test_encoders_that_do_not_fit_the_arm_are_refused(arm):
    encoders = dict(arm.encoders.encoders)
    j7 = encoders.pop("j7")
    with pytest.raises(
        InputError, match=r"liver_arm\.urdf: no encoder for the joint j7, an encoder for j9, which is no"
    ):
        EncoderBank(encoders | {"j9": j7}, arm.chain)
    with pytest.raises(InputError, match="encoder j7 wraps inside the limits"):
        EncoderBank(encoders | {"j7": replace(j7, wrap=TURN)}, arm.chain)
    coupled = replace(j7, coupling=Coupling("j5", {(1, 0): 1.0}))
    with pytest.raises(InputError, match="encoder j7: j5 is no joint to be coupled to"):
        EncoderBank(encoders | {"j7": coupled}, arm.chain)
