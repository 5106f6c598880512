"""Images: speckle that belongs to the tissue, seen through the beam; attenuation and shadows."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from deeprs2v_ros.geometry import about, apply, from_motion, rigid
from deeprs2v_ros.simulation.anatomy import Liver
from deeprs2v_ros.simulation.breathing import Breathing
from deeprs2v_ros.simulation.paths import pose_on_skin
from deeprs2v_ros.simulation.probe import CurvilinearProbe
from deeprs2v_ros.simulation.scanner import ScannerSettings, UltrasoundSimulator
from deeprs2v_ros.simulation.tissue import Tissue, homogeneous

PROBE = CurvilinearProbe(radius_mm=50.0, field_of_view_deg=60.0, depth_mm=110.0, pixel_mm=0.4)
QUIET = ScannerSettings(noise=0.0, tgc_db_per_mm=0.0)
OBLIQUE = pose_on_skin(PROBE, (3.0, 1.0, -4.0), yaw_deg=-33.0, tilt_deg=12.0, rock_deg=4.0)


def subject(organ=None, wall_mm=-np.inf, seed=0):
    organ = homogeneous() if organ is None else organ
    none = np.zeros((0, 3))
    return Liver(seed, organ, homogeneous(2.0), wall_mm, np.zeros(3), np.ones(3), none)


def simulator(organ=None, breathing=None, settings=QUIET, **subject_options):
    breathing = Breathing(nonrigid_mm=0.0) if breathing is None else breathing
    return UltrasoundSimulator(subject(organ, **subject_options), PROBE, breathing, settings)


def signal(simulated, pose, shallow, deep, t=None):
    """The complex signal between two depths (mm), without the fan's edges."""
    grid = simulated.echoes(pose, t)
    rows = slice(6 + round(shallow / 0.25), 6 + round(deep / 0.25))
    return (grid[..., 0] + 1j * grid[..., 1])[rows, 16:-16]


def coherence(a, b):
    return abs(np.vdot(a, b)) / np.sqrt(np.vdot(a, a).real * np.vdot(b, b).real)


def moved(motion):
    """The oblique pose after a motion (mm, rad) about the middle of the image, in the image frame."""
    return OBLIQUE @ about(PROBE.face + np.array([0.0, 75.0, 0.0]), from_motion(motion))


def test_the_same_tissue_from_the_same_pose_at_the_same_time_is_the_same_image():
    settings = ScannerSettings()
    images = [
        UltrasoundSimulator(subject(wall_mm=15.0), PROBE, Breathing(seed=3), settings).image(OBLIQUE, 5.3)
        for _ in range(2)
    ]
    np.testing.assert_array_equal(*images)
    assert images[0].dtype == np.uint8
    assert images[0].shape == PROBE.shape
    assert not images[0][~PROBE.mask].any()
    assert (images[0][PROBE.mask] > 0).mean() > 0.95


def test_another_subject_has_other_speckle():
    a, b = (signal(simulator(seed=seed), OBLIQUE, 40, 100) for seed in (0, 1))
    assert coherence(a, b) < 0.05


@pytest.mark.parametrize(("shallow", "deep"), [(68.0, 82.0), (14.0, 24.0)])
@pytest.mark.parametrize("distance", [0.5, 1.0, 2.0, 3.0])
def test_speckle_decorrelates_out_of_plane_as_the_beam_width_says(shallow, deep, distance):
    """Autocorrelation of a gaussian beam: exp(-d^2 / (4 sigma^2))."""
    simulated = simulator()
    settings = simulated.settings
    off_focus = ((shallow + deep) / 2.0 - settings.focus_mm) / settings.depth_of_focus_mm
    sigma = settings.elevation_sigma_mm * np.hypot(1.0, off_focus)
    still = signal(simulated, OBLIQUE, shallow, deep)
    shifted = signal(simulated, moved([0, 0, distance, 0, 0, 0]), shallow, deep)
    assert coherence(still, shifted) == pytest.approx(np.exp(-(distance**2) / (4.0 * sigma**2)), abs=0.06)


@pytest.mark.parametrize("depth", [20.0, 55.0, 90.0])
def test_speckle_decorrelates_with_tilt(depth):
    """A tilt moves tissue out of the plane by its depth, and skews the carrier's phase across the beam's thickness.

    For a gaussian beam the two together give exp(-(depth angle)^2 / (4 sigma^2) - (2 k angle sigma)^2 / 4).
    """
    simulated, angle = simulator(), np.radians(1.0)
    settings = simulated.settings
    sigma = settings.elevation_sigma_mm * np.hypot(1.0, (depth - settings.focus_mm) / settings.depth_of_focus_mm)
    skew = 2.0 * (2.0 * np.pi * settings.frequency_mhz / 1.54) * angle * sigma
    tilted = OBLIQUE @ about(PROBE.face, from_motion([0, 0, 0, angle, 0, 0]))
    found = coherence(*(signal(simulated, pose, depth - 5.0, depth + 5.0) for pose in (OBLIQUE, tilted)))
    assert found == pytest.approx(np.exp(-((depth * angle) ** 2) / (4.0 * sigma**2) - skew**2 / 4.0), abs=0.06)


def test_speckle_is_fully_developed():
    """The envelope of fully developed speckle is Rayleigh distributed: mean / standard deviation = 1.91."""
    envelope = np.abs(signal(simulator(), OBLIQUE, 50, 100))
    envelope = envelope / envelope.mean(axis=1, keepdims=True)
    assert envelope.mean() / envelope.std() == pytest.approx(1.91, abs=0.1)


def test_speckle_moves_with_the_tissue():
    breathing = Breathing(seed=1, amplitude_mm=20.0, nonrigid_mm=0.0)
    simulated = simulator(breathing=breathing)
    t = 1.4
    rest, followed, left = (
        simulated.image(OBLIQUE),
        simulated.image(breathing.rigid(t) @ OBLIQUE, t),
        simulated.image(OBLIQUE, t),
    )
    difference = np.abs(rest.astype(int) - followed)
    assert difference.max() <= 2
    assert (difference == 0).mean() > 0.999
    assert np.corrcoef(rest[PROBE.mask], left[PROBE.mask])[0, 1] < 0.1


@pytest.mark.parametrize("shift", [(5, 0), (0, 7), (-4, 3)])
def test_an_in_plane_shift_shifts_the_speckle(shift):
    simulated = simulator()
    motion = rigid(translation=[shift[0] * PROBE.pixel_mm, shift[1] * PROBE.pixel_mm, 0.0])
    still, shifted = simulated.image(OBLIQUE), simulated.image(OBLIQUE @ motion)
    top, left = PROBE.shape[0] // 2, PROBE.shape[1] // 2 - 40
    template = shifted[top : top + 80, left : left + 80]
    match = cv2.matchTemplate(still, template, cv2.TM_CCOEFF_NORMED)
    _, best, _, place = cv2.minMaxLoc(match)
    assert place == (left + shift[0], top + shift[1])
    assert best > 0.8


def test_a_point_appears_where_the_motion_carries_it():
    """An independent look at the whole chain: one bright voxel, deformed, displaced and projected by hand."""
    breathing = Breathing(seed=6, amplitude_mm=18.0, nonrigid_mm=2.0)
    point = np.array([4.0, 66.0, -3.0])
    echo = np.zeros((9, 9, 9), dtype=np.float32)
    echo[4, 4, 4] = 1e3
    organ = Tissue(echo, np.zeros_like(echo), point - 4.0, 1.0)
    simulated = simulator(organ, breathing)
    for t in (0.8, 1.5, 2.4):
        now = breathing.displace(point, t)
        pose = rigid(OBLIQUE[:3, :3], now) @ rigid(translation=[-(PROBE.apex[0] + 9.0), -50.0, 0.0])
        image = simulated.image(pose, t)
        v, u = np.unravel_index(np.argmax(cv2.GaussianBlur(image, (0, 0), 2.0)), image.shape)
        found = apply(pose @ PROBE.image_from_pixel, [u, v, 0.0])
        across = pose[:3, :2].T @ (found - now)
        assert np.abs(across).max() < 1.0  # half a voxel of jitter, and the pixel
        assert np.linalg.norm(now - point) > 3.0


def test_the_abdominal_wall_stays_while_the_organ_moves():
    breathing = Breathing(seed=1, amplitude_mm=20.0)
    simulated = simulator(breathing=breathing, wall_mm=20.0)
    pose = pose_on_skin(PROBE)
    wall, organ = (
        coherence(signal(simulated, pose, *band), signal(simulated, pose, *band, t=1.5))
        for band in [(2, 10), (40, 100)]
    )
    assert wall > 0.97
    assert organ < 0.1


def test_attenuation_weakens_echoes_by_its_sum_along_the_line():
    lossless, lossy = (signal(simulator(homogeneous(attenuation=a)), OBLIQUE, 0, 110) for a in (0.0, 0.5))
    loss = 20.0 * np.log10(np.abs(lossy).mean(axis=1) / np.abs(lossless).mean(axis=1))
    np.testing.assert_allclose(loss, -0.5 * 0.25 * np.arange(len(loss)), atol=0.5)


def test_a_calcification_casts_a_shadow():
    echo, loss = np.ones((21, 21, 21), dtype=np.float32), np.zeros((21, 21, 21), dtype=np.float32)
    echo[7:14, 7:14, 7:14], loss[7:14, 7:14, 7:14] = 15.0, 6.0
    simulated = simulator(Tissue(echo, loss, np.array([-10.0, 40.0, -10.0]), 1.0))
    image = simulated.image(pose_on_skin(PROBE)).astype(float)
    depth, angle = PROBE.polar
    behind = (depth > 70.0) & (depth < 100.0)
    dark = image[behind & (np.abs(angle) < np.radians(1.0))].mean()
    bright = image[behind & (np.abs(angle) > np.radians(10.0)) & PROBE.mask].mean()
    assert dark < 0.3 * bright


def test_noise_is_the_only_thing_in_an_empty_medium_and_differs_in_time():
    settings = replace(ScannerSettings(), noise=1.0)
    simulated = simulator(homogeneous(0.0), settings=settings)
    first, second = (signal(simulated, OBLIQUE, 10, 100, t) for t in (1.0, 1.1))
    assert coherence(first, second) < 0.05
    assert not np.abs(signal(simulator(homogeneous(0.0)), OBLIQUE, 10, 100)).any()


def test_the_true_correction_ignores_the_wall_and_is_exact_for_a_rigid_organ():
    breathing = Breathing(seed=5, nonrigid_mm=0.0)
    simulated = simulator(breathing=breathing, wall_mm=15.0)
    np.testing.assert_allclose(simulated.correction(OBLIQUE, 1.3) @ breathing.rigid(1.3), np.eye(4), atol=1e-9)
