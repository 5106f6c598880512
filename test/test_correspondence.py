"""The correspondence network: known correspondences give the known motion, and how sure it is."""

import numpy as np
import pytest
import torch
from networks import GRID

from deeprs2v_ros.network.correspondence import (
    CorrespondenceNetwork,
    Correspondences,
    consensus,
    matching_loss,
    soft_argmax,
)
from deeprs2v_ros.network.observation import Grid, Observation
from deeprs2v_ros.network.rigid import from_motion, inverse, to_motion

MOTIONS = torch.tensor([[6.0, -4.0, 5.0, 0.08, -0.06, 0.12], [-14.0, 12.0, -8.0, -0.15, 0.1, -0.2]])


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return CorrespondenceNetwork(Grid(4.0, (40, 32, 16)), channels=8).eval()


def known(network, motions, blind=0.0, sharpness=3.0):
    """Correspondences as a perfect network would find them; a share ``blind`` of the cells sees nothing."""
    truth = from_motion(motions)
    cells = network.cells.expand(len(motions), -1, -1)
    target = cells @ truth[:, :3, :3].mT + truth[:, None, :3, 3]
    places = network.coarse.points.reshape(-1, 3)
    likeness = torch.exp(-0.5 * torch.cdist(target, places.expand(len(motions), -1, -1)).square() / sharpness**2)
    evidence = 0.05 + 0.95 * likeness / likeness.mean(-1, keepdim=True).clamp(min=1e-6)
    evidence[:, : int(blind * evidence.shape[1])] = 1.0
    inside = (target.abs() <= places.abs().amax(0)).all(-1)
    shape = network.coarse.size[::-1]
    shown = torch.ones(len(motions), *shape, dtype=torch.bool)
    return Correspondences(evidence.unflatten(2, shape), inside.float(), cells, shown), truth


def off(estimate, truth):
    return to_motion(inverse(estimate) @ truth).abs()


@pytest.mark.parametrize("blind", [0.0, 0.6])
def test_the_motion_that_cells_agree_on_is_found(network, blind):
    found, truth = known(network, MOTIONS, blind)
    rest = off(network.rigid_motion(found).correction, truth)
    assert rest[:, :3].max() < 1.0
    assert rest[:, 3:].max() < np.radians(1.0)


def test_consensus_comes_within_a_cell(network):
    found, truth = known(network, MOTIONS)
    rest = off(consensus(found, network.coarse), truth)
    assert rest[:, :3].max() < 8.0


def test_the_fewer_cells_see_something_the_less_sure_is_the_motion(network):
    sure, vague = (network.rigid_motion(known(network, MOTIONS, blind)[0]).covariance for blind in (0.0, 0.9))
    assert (torch.linalg.eigvalsh(vague)[:, -1] > 2.0 * torch.linalg.eigvalsh(sure)[:, -1]).all()
    assert (torch.linalg.eigvalsh(sure) > 0).all()


def test_the_loss_is_least_at_the_truth(network):
    found, truth = known(network, MOTIONS)
    right = matching_loss(found, truth, network.grid)
    wrong = matching_loss(found, from_motion(MOTIONS + 0.5), network.grid)
    assert right < wrong


@pytest.mark.parametrize("frame_known", [1.0, 0.0])
def test_every_gradient_is_finite_even_if_nothing_is_known(frame_known):
    torch.manual_seed(1)
    network = CorrespondenceNetwork(GRID, channels=8).train()
    frame = torch.rand(2, 2, 16, 20)
    frame[:, 1] = frame_known
    box = torch.rand(2, 2, 8, 16, 20)
    box[:, 1] = frame_known
    found = network.correspond(Observation(frame, box), 16)
    estimate = network.rigid_motion(found)
    loss = matching_loss(found, from_motion(MOTIONS), GRID) + estimate.correction.sum() + estimate.covariance.sum()
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)


def test_where_a_cell_is_agrees_with_a_plain_sum_over_all_places(network):
    found, truth = known(network, MOTIONS)
    expected = found.cells @ truth[:, :3, :3].mT + truth[:, None, :3, 3] + torch.tensor([3.0, -2.0, 1.0])
    mean, scatter = soft_argmax(found.evidence, expected, 8.0, network.coarse)
    offset = network.coarse.points.reshape(-1, 3) - expected[..., None, :]
    weight = found.evidence.flatten(2) * torch.exp(-0.5 * offset.square().sum(-1) / 8.0**2)
    weight = weight / weight.sum(-1, keepdim=True)
    plain = (weight[..., None] * offset).sum(2)
    square = torch.einsum("bpq,bpqi,bpqj->bpij", weight, offset, offset)
    inside = found.weight > 0
    torch.testing.assert_close(mean[inside], plain[inside], atol=2e-3, rtol=1e-3)
    whole = square - plain[..., :, None] * plain[..., None, :]
    torch.testing.assert_close(scatter[inside], whole[inside], atol=0.02, rtol=1e-3)


def test_what_the_volume_does_not_know_is_neither_likely_nor_unlikely():
    torch.manual_seed(3)
    network = CorrespondenceNetwork(GRID, channels=8).eval()
    box = torch.rand(1, 2, 8, 16, 20)
    box[:, 1] = 1.0
    box[..., 10:] = 0.0
    found = network.correspond(Observation(torch.rand(1, 2, 16, 20).round(), box))
    assert (found.evidence[..., 5:] == 1.0).all()
    assert (found.evidence[..., :5] > 0.0).all()
    assert not found.known[..., 5:].any()


def test_the_same_input_gives_the_same_output():
    torch.manual_seed(2)
    network = CorrespondenceNetwork(GRID, channels=8).eval()
    observation = Observation(torch.rand(1, 2, 16, 20), torch.ones(1, 2, 8, 16, 20))
    with torch.inference_mode():
        first, second = network(observation), network(observation)
    assert torch.equal(first.correction, second.correction)
    assert torch.equal(first.covariance, second.covariance)
