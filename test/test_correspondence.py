"""The correspondence network: known correspondences give the known motion, and how sure it is."""

import numpy as np
import pytest
import torch
from networks import GRID

from deeprs2v_ros.network.correspondence import CorrespondenceNetwork, Correspondences, consensus, matching_loss
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
    logits = -0.5 * torch.cdist(target, network.places.expand(len(motions), -1, -1)).square() / sharpness**2
    logits[:, : int(blind * logits.shape[1])] = 0.0
    inside = (target.abs() <= network.places.abs().amax(0)).all(-1)
    return Correspondences(logits, inside.float(), cells, network.places), truth


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
    found = network.correspond(Observation(frame, box))
    estimate = network.rigid_motion(found)
    loss = matching_loss(found, from_motion(MOTIONS), GRID) + estimate.correction.sum() + estimate.covariance.sum()
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)


def test_the_same_input_gives_the_same_output():
    torch.manual_seed(2)
    network = CorrespondenceNetwork(GRID, channels=8).eval()
    observation = Observation(torch.rand(1, 2, 16, 20), torch.ones(1, 2, 8, 16, 20))
    with torch.inference_mode():
        first, second = network(observation), network(observation)
    assert torch.equal(first.correction, second.correction)
    assert torch.equal(first.covariance, second.covariance)
