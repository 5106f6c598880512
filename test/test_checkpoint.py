"""Weights on disk, and asking them: what is refused, and that poses stay poses."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from networks import GRID
from phantoms import IMAGE_FROM_PIXEL, cut_frame, fan, middle_pose, phantom
from safetensors.torch import save_file

from deeprs2v_ros.errors import InputError, WeightsError
from deeprs2v_ros.network.architectures import ARCHITECTURES, build
from deeprs2v_ros.network.checkpoint import Checkpoint, Description, load_weights, save_tensors, save_weights
from deeprs2v_ros.network.observation import Estimate, Grid, Observation
from deeprs2v_ros.network.prediction import Predictor
from deeprs2v_ros.network.rigid import from_motion
from deeprs2v_ros.parameters.file import GivenParameters
from deeprs2v_ros.parameters.guidance import declare_recipe


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    network = build("correspondence", GRID, 0.34)
    path = tmp_path / "small.safetensors"
    save_weights(path, network, Description("correspondence", GRID, 0.34, {"subjects": ["1"]}))
    return path, network


def test_weights_come_back_as_they_were(saved):
    path, network = saved
    loaded = load_weights(path)
    assert loaded.description == Description("correspondence", GRID, 0.34, {"subjects": ["1"]})
    for name, tensor in network.state_dict().items():
        assert torch.equal(loaded.network.state_dict()[name], tensor)


def test_weights_of_another_network_are_refused(saved):
    path, network = saved
    save_weights(path, network, Description("correspondence", GRID, 1.0))
    with pytest.raises(InputError, match=r"small\.safetensors: its weights do not fit the network that it names"):
        load_weights(path)


@pytest.mark.parametrize("content", [b"", b"\x80\x04pickled", b"PK\x03\x04 a zip, as torch.save makes it"])
def test_what_is_no_safetensors_file_is_refused(tmp_path, content):
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"w\.safetensors: cannot be read as safetensors"):
        load_weights(path)


@pytest.mark.parametrize("metadata", [None, {"deeprs2v": "no json"}, {"deeprs2v": json.dumps({"architecture": "x"})}])
def test_a_safetensors_file_of_something_else_is_refused(tmp_path, metadata):
    path = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(1)}, path, metadata)
    with pytest.raises(InputError, match="does not say which network its weights are for"):
        load_weights(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_weights_that_are_not_finite_are_refused(tmp_path, architecture, value):
    network = build(architecture, GRID, 0.125)
    next(network.parameters()).data.flatten()[-1] = value
    save_weights(tmp_path / "bad.safetensors", network, Description(architecture, GRID, 0.125))
    with pytest.raises(WeightsError, match=r"bad\.safetensors: its weights hold NaN or infinite values"):
        load_weights(tmp_path / "bad.safetensors")


@pytest.mark.parametrize(
    "change",
    [
        {"width": 1e9}, {"width": -1}, {"width": float("nan")}, {"grid": {"spacing": 0.0, "size": [20, 16, 8]}},
        {"grid": {"spacing": 6.0, "size": [20, 16, 10**9]}}, {"grid": {"spacing": 6.0, "size": [20, 16]}},
        {"grid": {"spacing": 6.0, "size": [20, 16, float("inf")]}}, {"calibration": [float("nan")] * 6},
        {"architecture": ["paper"]}, {"trained_on": 3}, {"grid": []},
    ],
)  # fmt: skip
def test_weights_that_claim_what_no_network_has_are_refused(saved, change):
    path, network = saved
    values = asdict(Description("correspondence", GRID, 0.34)) | change
    save_tensors(path, network.state_dict(), {"deeprs2v": json.dumps(values)})
    with pytest.raises(WeightsError, match=r"small\.safetensors: (does not say|its weights do not fit)"):
        load_weights(path)


@pytest.mark.parametrize("method", ["deeprs2v", "deeprs2v+lncc"])
def test_weights_are_looked_at_before_there_is_a_volume(tmp_path, method):
    network = build("correspondence", GRID, 0.34)
    next(network.parameters()).data.fill_(float("nan"))
    path = tmp_path / "nan.safetensors"
    save_weights(path, network, Description("correspondence", GRID, 0.34))
    with pytest.raises(WeightsError, match="NaN"):
        declare_recipe(GivenParameters({"method": method, "weights": str(path)}, "test"))


def test_an_answer_that_is_not_finite_is_refused():
    volume, pose = phantom("spheres"), middle_pose(phantom("spheres"))
    network = Moves([float("nan")] * 6)
    checkpoint = Checkpoint(network, Description("correspondence", Grid(3.0, (40, 32, 8))), "test")
    predictor = Predictor(checkpoint, volume, fan(), IMAGE_FROM_PIXEL)
    with pytest.raises(WeightsError, match="NaN"):
        predictor(cut_frame(volume, pose), pose)


def test_unknown_names_are_refused_and_the_known_ones_listed():
    with pytest.raises(InputError, match=r"nonsense: no such file, and not the name of shipped weights"):
        load_weights("nonsense")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_says_a_rigid_motion_and_a_covariance(architecture):
    torch.manual_seed(0)
    network = build(architecture, GRID, 0.125).eval()
    observation = (torch.rand(1, 2, 16, 20), torch.rand(1, 2, 8, 16, 20).round())
    with torch.inference_mode():
        estimate = network(Observation(*observation))
    rotation = estimate.correction[0, :3, :3]
    torch.testing.assert_close(rotation @ rotation.T, torch.eye(3), atol=1e-5, rtol=0)
    assert (torch.linalg.eigvalsh(estimate.covariance[0].double()) > 0).all()


class Moves(torch.nn.Module):
    """A network that always says the same motion."""

    def __init__(self, motion):
        super().__init__()
        self.register_buffer("motion", torch.tensor([motion], dtype=torch.float32))

    def forward(self, observation):
        return Estimate(from_motion(self.motion), torch.eye(6)[None])


FACTORS = (0.5, 1.0, 2.0, 1.5, 0.7, 1.0)


def test_a_prediction_moves_the_prior_about_the_image_centre():
    volume = phantom("spheres")
    pose, motion = middle_pose(volume), [3.0, -2.0, 1.0, 0.02, -0.03, 0.05]
    predict = Predictor(
        Checkpoint(Moves(motion), Description("correspondence", GRID, calibration=FACTORS), "moves"),
        volume, fan(), IMAGE_FROM_PIXEL,
    )  # fmt: skip
    believed = predict(cut_frame(volume, pose), pose)
    centre = np.array([(240 - 1) / 4, (180 - 1) / 4, 0.0, 1.0])
    step = from_motion(torch.tensor([motion])).numpy()[0]
    expected = (step @ step)[:3, 3]  # two passes
    relative = np.linalg.inv(pose) @ believed.pose
    np.testing.assert_allclose((relative @ centre - centre)[:3], expected, atol=1e-4)
    np.testing.assert_allclose(np.sqrt(np.diag(believed.scale)), FACTORS)  # as it says itself, all are 1
    np.testing.assert_allclose(believed.pose[:3, :3] @ believed.pose[:3, :3].T, np.eye(3), atol=1e-12)


@pytest.mark.parametrize("spacing", [1.0, 40.0])
def test_frames_of_another_size_than_the_weights_are_for_are_refused(spacing):
    checkpoint = Checkpoint(Moves([0.0] * 6), Description("correspondence", Grid(spacing, (20, 16, 8))), "moves")
    with pytest.raises(InputError, match=r"weights moves: are for images of about .* mm, these are of 120 x 90 mm"):
        Predictor(checkpoint, phantom("spheres"), fan(), IMAGE_FROM_PIXEL)
