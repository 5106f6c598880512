"""The report of a run whose errors are known."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from demo_bag import (
    BASE_FROM_VOLUME,
    LOST,
    PERIOD,
    PIXEL,
    RADIUS,
    SHAPE,
    START,
    TARGET,
    TRACKING,
    VOLUME_FROM_IMAGE,
    Run,
    write_bag,
)
from PIL import Image

from deeprs2v_ros.demo.accuracy import account, summarise
from deeprs2v_ros.demo.film import RATE, WIDTH, film
from deeprs2v_ros.demo.guidance import UNCORRECTED, Target, choose_moments, draw_row, outline
from deeprs2v_ros.demo.latency import stages
from deeprs2v_ros.demo.plot import main_direction
from deeprs2v_ros.demo.recording import read_recording
from deeprs2v_ros.demo.report import accepted_images, summary_rows, write_report
from deeprs2v_ros.demo.scenes import Seen, scenery, sights
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import apply, rigid
from deeprs2v_ros.imaging.image_geometry import ImageGeometry
from deeprs2v_ros.view.pictures import cell_lattice
from deeprs2v_ros.view.scenery import TUMOUR

COUNT = 60
IMAGES = ImageGeometry(SHAPE, PIXEL)


def errors(*sizes):
    """COUNT errors (N, 3) mm of these sizes in turn, in random directions."""
    direction = np.random.default_rng(1).normal(size=(COUNT, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    return direction * np.resize(sizes, COUNT)[:, None]


@pytest.fixture
def recorded(tmp_path):
    def record(run):
        write_bag(tmp_path / "bag", run)
        return read_recording(tmp_path / "bag")

    return record


def test_errors_are_those_that_were_made(recorded):
    run = Run(errors(0.3, 0.4), latency_ms=np.linspace(50.0, 110.0, COUNT))
    summary = summarise(recorded(run))
    sizes = np.resize([0.3, 0.4], COUNT)
    rms = np.sqrt((0.3**2 + 0.4**2) / 2)
    for spread in (summary.target, summary.registered):
        assert spread.count == COUNT
        assert spread.rms == pytest.approx(rms, abs=1e-6)
        assert spread.mean == pytest.approx(0.35, abs=1e-6)
        assert spread.p95 == pytest.approx(np.percentile(sizes, 95), abs=1e-6)
        assert spread.max == pytest.approx(0.4, abs=1e-6)
    moved = np.linalg.norm(run.displacement, axis=1)
    assert summary.uncorrected.rms == pytest.approx(np.sqrt(np.mean(moved**2)), abs=1e-6)
    assert summary.uncorrected.max == pytest.approx(moved.max(), abs=1e-6)
    for latency in (summary.latency, summary.latency_seen):
        assert latency.median == pytest.approx(80.0, abs=1e-3)
        assert latency.p95 == pytest.approx(107.0, abs=1e-3)
    assert summary.image_rate == pytest.approx(10.0)
    assert summary.encoder_rate == pytest.approx(20.0)
    assert summary.accepted_share == 1.0
    assert summary.wrong == 0


def test_the_latest_known_position_is_compared_with_the_truth_of_its_own_time(recorded):
    velocity = np.array([12.0, 0.0, -9.0])  # 15 mm/s
    displacement = velocity * np.arange(COUNT)[:, None] * PERIOD / 1e9
    summary = summarise(recorded(Run(errors(0.0), displacement, latency_ms=np.full(COUNT, 200.0))))
    assert summary.target.max < 1e-6
    assert summary.target_now.rms == pytest.approx(15.0 * 0.2, abs=1e-6)
    assert summary.target_now.count == COUNT - 2  # the truth ends before the last two were asked for
    assert summary.target_predicted.count == COUNT - 2 and summary.predicted_share == 1.0
    # The first image knows no velocity yet, and is as far off as the latest position is.
    assert summary.target_predicted.max == pytest.approx(15.0 * 0.2, abs=1e-6)
    assert summary.target_predicted.median < 1e-6


@pytest.mark.parametrize(("error", "inside"), [(0.5, 1.0), (2.7, 1.0), (2.9, 0.0)])
def test_what_a_prediction_says_of_itself_is_held_against_the_truth(recorded, error, inside):
    # Ellipsoids for 95 % with a millimetre along each axis reach 2.8 mm far.
    assert summarise(recorded(Run(errors(error)))).inside == inside


def test_only_tracking_counts(recorded):
    states = [TRACKING] * 40 + [LOST] * 20
    run = Run(errors(0.5), states=states)
    run.error[40:] *= 100.0
    summary = summarise(recorded(run))
    assert summary.target.count == 40
    assert summary.target.max == pytest.approx(0.5, abs=1e-6)
    assert summary.states == {"TRACKING": 40, "LOST": 20}
    assert summary.reasons == {"LOW_LNCC": 20}
    assert summary.accepted_share == pytest.approx(2 / 3)
    assert summary.tracking == pytest.approx(4.0)


def test_only_images_are_counted(recorded):
    recording = recorded(Run(errors(0.5)))
    changed = replace(recording.statuses[0], of_image=False, state="WAITING", accepted=False, reason="")
    summary = summarise(replace(recording, statuses=(changed, *recording.statuses)))
    assert (summary.states, summary.reasons, summary.accepted_share) == ({"TRACKING": COUNT}, {}, 1.0)


def test_accepted_and_wrong_is_counted(recorded):
    run = Run(errors(0.5))
    run.error[[7, 20, 33]] *= 6.0 / 0.5
    run.error[50] *= 4.9 / 0.5
    assert summarise(recorded(run)).wrong == 3


def test_every_image_has_exactly_one_status(recorded):
    accounting = account(recorded(Run(errors(0.1))))
    assert accounting.exactly_one
    assert accounting.images == COUNT


def test_a_missing_and_a_repeated_status_are_found(recorded):
    accounting = account(recorded(Run(errors(0.1), without_status={5, 17}, with_two={30})))
    assert not accounting.exactly_one
    assert accounting.missing == [START + 5 * PERIOD, START + 17 * PERIOD]
    assert accounting.repeated == [START + 30 * PERIOD]
    assert accounting.unknown == []


def test_images_at_work_when_the_recording_ended_are_not_missing(recorded):
    accounting = account(recorded(Run(errors(0.1), without_status={COUNT - 1, COUNT - 2})))
    assert accounting.exactly_one
    assert accounting.images == COUNT - 2


def test_images_are_missing_when_the_registration_stops_answering(recorded):
    accounting = account(recorded(Run(errors(0.1), without_status=set(range(30, COUNT)))))
    assert len(accounting.missing) == COUNT - 30 - 10


def test_the_outline_is_the_cut_of_the_sphere_with_the_plane():
    plane = rigid(translation=[1.0, 2.0, 3.0])
    cut = outline(Target(np.array([11.0, 22.0, 7.0]), 5.0), plane)
    assert cut.centre == pytest.approx([10.0, 20.0])
    assert cut.radius == pytest.approx(3.0)
    assert cut.offset == pytest.approx(4.0)
    assert outline(Target(np.array([0.0, 0.0, 9.0]), 5.0), plane).radius == 0.0


def test_the_pictures_show_the_extremes_of_breathing(recorded):
    accepted = accepted_images(recorded(Run(errors(0.01))))
    for target in (Target(TARGET, RADIUS), None):
        inspired, expired = choose_moments(accepted, IMAGES.centre, target)
        assert inspired.stamp == START + 20 * PERIOD
        assert expired.stamp in (START, START + 40 * PERIOD)


def test_the_row_outlines_the_tumour_where_it_is_and_where_the_arm_alone_would_have_it(recorded, tmp_path):
    run = Run(errors(0.0))
    recording, target = recorded(run), Target(TARGET, RADIUS)
    patient = scenery(recording, tmp_path / "bag", PIXEL)
    frames = {seen.stamp: seen.sight for seen in sights(tmp_path / "bag", PIXEL)}
    moments = choose_moments(accepted_images(recording), IMAGES.centre, target)
    x, y, z = TARGET - VOLUME_FROM_IMAGE[:3, 3]
    cut = np.sqrt(RADIUS**2 - z**2)
    for moment, radius in zip(moments, (RADIUS, cut), strict=True):  # breathed in, the arm's plane misses it
        row = draw_row(moment, frames[moment.stamp], patient, IMAGES, target)
        assert list(row) == ["live", "alone", "slice", "blend"]
        for name in ("live", "slice"):
            assert_circle(row[name], TUMOUR, (x, y), cut)
            assert not len(where(row[name], UNCORRECTED))
        moved = run.displacement[(moment.stamp - START) // PERIOD]
        assert_circle(row["alone"], UNCORRECTED, (x - moved[0], y - moved[1]), radius)
        assert not len(where(row["alone"], TUMOUR))
        assert len(where(row["blend"], UNCORRECTED)) > 20


def assert_circle(picture, colour, centre, radius):
    """All that has the colour lies on a circle (mm), and all around it."""
    off = where(picture, colour) - centre
    assert np.linalg.norm(off, axis=1) == pytest.approx(radius, abs=0.6)
    quadrants = {(x > 0.0, y > 0.0) for x, y in off}
    assert len(quadrants) == 4


def where(picture, colour):
    """Image coordinates (N, 2) mm of what has just the colour, above the scale bar."""
    lattice = cell_lattice(IMAGES)
    rows, columns = np.nonzero((picture[: int(0.85 * len(picture))] == colour).all(axis=-1))
    return lattice.origin + np.stack([columns, rows], axis=1) * np.array(lattice.spacing)


def test_every_image_is_seen_with_what_was_said_of_it(recorded, tmp_path):
    recording = recorded(Run(errors(0.1)))
    seen = list(sights(tmp_path / "bag", (0.5, 0.5)))
    assert [stamp for stamp, _ in seen] == [status.stamp for status in recording.statuses]
    for (_, sight), status in zip(seen, recording.statuses, strict=True):
        assert (sight.frame == (status.stamp - START) // PERIOD % 250).all()
        assert sight.believed is status.accepted
        if status.accepted:
            np.testing.assert_allclose(sight.plane, status.registered, atol=1e-9)


def test_the_film_lasts_as_long_as_it_was(recorded, tmp_path):
    patient = scenery(recorded(Run(errors(0.1))), tmp_path / "bag", PIXEL)
    seen = list(sights(tmp_path / "bag", PIXEL))
    assert shown_for(film(seen, patient, PIXEL, START)) == [PERIOD // 10**6] * (COUNT - 1) + [1000]
    # Of images that come too fast for a film, some are left out, and the rest shown for as long.
    fast = [Seen(START + number * PERIOD * 2 // 5, each.sight) for number, each in enumerate(seen)]
    assert 2.5 * RATE == 1e9 / (PERIOD * 2 / 5)
    assert shown_for(film(fast, patient, PIXEL, START)) == [120] * (COUNT // 3 - 1) + [1000]
    # It begins when it should, and a gap is a still picture.
    gap = [each for number, each in enumerate(seen) if not 10 <= number < 20]
    assert shown_for(film(gap, patient, PIXEL, START + 7 * PERIOD))[:3] == [100, 100, 1100]
    with pytest.raises(InputError, match="no image is left"):
        film([], patient, PIXEL, START)


def shown_for(animation):
    """ms for which each picture of an animated WebP is shown."""
    durations, shown = [], Image.open(io.BytesIO(animation))
    assert shown.size[0] == WIDTH
    for number in range(shown.n_frames):
        shown.seek(number)
        shown.load()
        durations.append(shown.info["duration"])
    return durations


def test_stages_are_told_by_their_medians():
    nan = float("nan")
    times = [(1.0, 3.0, nan, 10.0, 12.0), (2.0, 4.0, nan, 14.0, 15.0), (3.0, 9.0, nan, 20.0, 26.0)]
    found = {name: (median, most, own) for name, median, most, own in stages(times)}
    assert list(found) == ["received", "transform", "correction", "published"]
    assert found["transform"] == (4.0, pytest.approx(8.5), 2.0)
    assert found["correction"][2] == 10.0  # since the transform, as no network was asked
    assert found["published"] == (15.0, pytest.approx(24.9), 2.0)


def test_main_direction():
    direction = np.array([0.6, 0.0, -0.8])
    positions = np.outer(np.sin(np.arange(50)), direction) + np.array([100.0, 5.0, 7.0])
    assert abs(main_direction(positions) @ direction) == pytest.approx(1.0)


def test_geometry_is_read_in_millimetres(recorded):
    recording = recorded(Run(errors(0.0)))
    assert recording.base_from_volume == pytest.approx(BASE_FROM_VOLUME)
    assert recording.target_in_volume == pytest.approx(TARGET)
    assert recording.target_radius == pytest.approx(RADIUS)
    assert recording.truth.positions[0] == pytest.approx(apply(BASE_FROM_VOLUME, TARGET))


def test_the_report_is_complete(tmp_path):
    write_bag(tmp_path / "bag", Run(errors(0.3, 0.4)))
    summary = write_report(tmp_path / "bag", tmp_path, PIXEL, "synthetic")
    written = json.loads((tmp_path / "summary.json").read_text())
    assert written["target"]["rms"] == pytest.approx(summary.target.rms)
    assert written["exactly_one_status"] is True
    for name in ("guidance.png", "target.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "index.html").read_text()
    assert page.count("data:image/png;base64,") == 2
    assert page.count("data:image/webp;base64,") == 1
    assert "<td>it was on TF</td><td>80.0</td><td>80.0</td><td>0.0</td>" in page
    assert "http" not in page
    for _, value in summary_rows(summary):
        assert value in page


def test_a_run_that_never_tracked_is_refused(tmp_path):
    write_bag(tmp_path / "bag", Run(errors(0.3), states=[LOST] * COUNT))
    with pytest.raises(InputError, match="never tracked \\(60 LOST\\)"):
        write_report(tmp_path / "bag", tmp_path, PIXEL, "synthetic")
    assert not (tmp_path / "index.html").exists()


def test_no_bag(tmp_path):
    with pytest.raises(InputError, match="nowhere: there is no bag"):
        read_recording(tmp_path / "nowhere")


def test_a_folder_that_is_no_bag(tmp_path):
    (tmp_path / "metadata.yaml").write_text("nonsense: [")
    with pytest.raises(InputError, match=r"metadata\.yaml: not a YAML file"):
        read_recording(tmp_path)


@pytest.mark.parametrize("topic", ["us/image", "registration/status", "simulation/target", "volume/file"])
def test_a_bag_without_a_topic(recorded, topic):
    with pytest.raises(InputError, match=f"no message on {topic}"):
        recorded(Run(errors(0.1), leave_out={topic}))


def test_a_truncated_bag(recorded, tmp_path):
    recorded(Run(errors(0.1)))
    storage = tmp_path / "bag" / "bag.mcap"
    storage.write_bytes(storage.read_bytes()[:5000])
    with pytest.raises(InputError, match="is not a bag that can be read"):
        read_recording(tmp_path / "bag")
