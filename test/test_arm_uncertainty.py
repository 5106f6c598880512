"""The covariance of the image's pose: against samples of arms that are off, and its growth where nothing was seen."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from deeprs2v_ros.arm.calibrated import Calibration
from deeprs2v_ros.arm.description import read_arm
from deeprs2v_ros.arm.encoders import EncoderBank
from deeprs2v_ros.arm.uncertainty import UNCORRECTED, UncertainArm
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import from_motion, inverse, to_motion

CONFIG = Path(__file__).resolve().parents[1] / "config" / "arm" / "liver.yaml"
NOISE = np.radians(0.1)
ARM = ("j1", "j2", "j3", "j4", "j5", "j6", "j7")


@pytest.fixture(scope="module")
def nominal():
    return read_arm(CONFIG)


@pytest.fixture(scope="module")
def calibrated(nominal):
    encoders = {name: replace(encoder, noise=NOISE) for name, encoder in nominal.encoders.encoders.items()}
    encoders |= {name: nominal.encoders.encoders[name] for name in ("translate", "tilt")}
    deviations = np.array([0.5, 0.2, 0.3, 1e-3, 2e-3, 5e-4])
    seen = {name: (-np.pi, np.pi) for name in ARM}
    calibration = Calibration("", np.eye(4), np.eye(4), 0.1, 1e-3, np.diag(deviations**2), seen)
    bank = EncoderBank(encoders, nominal.chain)
    return replace(nominal, encoders=bank, calibration=calibration)


def test_the_pose_is_that_of_the_forward_kinematics(calibrated):
    pose = UncertainArm(calibrated, "us_image").pose(calibrated.rest)
    np.testing.assert_array_equal(pose.base_from_link, calibrated.chain.base_from("us_image", calibrated.rest))


def test_the_covariance_is_that_of_arms_that_are_off(calibrated):
    rng = np.random.default_rng(0)
    chain, rest = calibrated.chain, calibrated.rest
    pose, covariance = UncertainArm(calibrated, "us_image").pose(rest)
    flange_from_image = inverse(chain.base_from("l7", rest)) @ pose
    gains = {name: 1.302 if name == "j5" else 1.0 for name in ARM}
    motions = []
    for _ in range(4000):
        joints = rest | {name: rest[name] + NOISE * gains[name] * rng.normal() for name in ARM}
        off = from_motion(rng.multivariate_normal(np.zeros(6), calibrated.calibration.covariance))
        motions.append(to_motion(inverse(pose) @ chain.base_from("l7", joints) @ off @ flange_from_image))
    sampled = np.cov(np.array(motions).T)
    scale = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(sampled / np.outer(scale, scale), covariance / np.outer(scale, scale), atol=0.08)


def test_beyond_what_was_seen_an_encoder_is_worth_no_more_than_an_uncorrected_one(calibrated):
    rest = calibrated.rest
    narrow = replace(calibrated.calibration, seen=calibrated.calibration.seen | {"j1": (-0.1, 0.1)})
    inside = UncertainArm(calibrated, "us_image").pose(rest).covariance
    outside = UncertainArm(replace(calibrated, calibration=narrow), "us_image").pose(rest).covariance
    pose, by_joint = calibrated.chain.jacobian("us_image", rest, ["j1"])
    column = np.kron(np.eye(2), pose[:3, :3].T) @ by_joint[:, 0]
    np.testing.assert_allclose(outside - inside, (UNCORRECTED**2 - NOISE**2) * np.outer(column, column), atol=1e-9)


def test_an_arm_without_calibration_says_so_by_its_covariance(nominal, calibrated):
    unsure = UncertainArm(nominal, "us_image").pose(nominal.rest).covariance
    sure = UncertainArm(calibrated, "us_image").pose(nominal.rest).covariance
    assert (np.sqrt(np.diag(unsure)) > 3.0 * np.sqrt(np.diag(sure)))[[0, 2]].all()


def test_missing_joints_and_links_are_named(calibrated):
    with pytest.raises(InputError, match="has no link hand"):
        UncertainArm(calibrated, "hand")
    with pytest.raises(InputError, match="no value for joint tilt"):
        UncertainArm(calibrated, "us_image").pose({name: 0.0 for name in calibrated.rest if name != "tilt"})


def test_covariance_does_not_depend_on_the_mounting(calibrated):
    turned = np.eye(4)
    turned[:3, :3] = (
        Rotation.from_euler("z", 70, degrees=True).as_matrix()
        @ calibrated.chain.base_from("arm_base", calibrated.rest)[:3, :3]
    )
    other = replace(calibrated, chain=calibrated.chain.with_fixed("mount", turned))
    np.testing.assert_allclose(
        UncertainArm(other, "us_image").pose(calibrated.rest).covariance,
        UncertainArm(calibrated, "us_image").pose(calibrated.rest).covariance,
        atol=1e-9,
    )
