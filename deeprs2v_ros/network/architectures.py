"""The networks by name, and what each is trained to minimise."""

from __future__ import annotations

from torch import Tensor, nn

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.network.correspondence import CorrespondenceNetwork, matching_loss
from deeprs2v_ros.network.deeprs2v import DeepRS2V
from deeprs2v_ros.network.fvrnet import FVRNet
from deeprs2v_ros.network.loss import negative_log_likelihood, registration_loss
from deeprs2v_ros.network.observation import Grid, Observation
from deeprs2v_ros.network.rigid import TYPICAL_MOTION, inverse, to_motion

ARCHITECTURES = ("correspondence", "paper", "fvrnet")
"""correspondence: ours; paper: DeepRS2V as published; fvrnet: the baseline."""

LIKELIHOOD = 0.1
"""Weight of the negative log likelihood, which teaches a network how sure it is, in the sum with its main loss."""

MOST_WIDTH, MOST_POINTS, COARSEST = 2.0, 160, 50.0
"""Bounds of networks: of their width, of the grid's points along an axis, and of mm between them."""


def build(architecture: str, grid: Grid, width: float = 1.0) -> nn.Module:
    """An untrained network for observations on ``grid``; ``width`` scales the channels of all but the paper's.

    Raises InputError for an unknown architecture, and for a grid or a width beyond all bounds: memory grows with
    both.
    """
    if not 0.0 < width <= MOST_WIDTH:
        raise InputError(f"width: must be above 0 and at most {MOST_WIDTH:g}, but is {width:g}")
    if not 0.0 < grid.spacing <= COARSEST:
        raise InputError(f"grid: its spacing must be above 0 and at most {COARSEST:g} mm, but is {grid.spacing:g}")
    if len(grid.size) != 3 or min(grid.size) < 1 or max(grid.size) > MOST_POINTS:
        raise InputError(f"grid: its size must be three numbers from 1 to {MOST_POINTS}, but is {grid.size}")
    if architecture == "correspondence":
        return CorrespondenceNetwork(grid, channels=8 * max(1, round(3 * width)))
    if architecture == "paper":
        return DeepRS2V(grid.size)
    if architecture == "fvrnet":
        return FVRNet(grid.size, width)
    raise InputError(f"architecture: {architecture!r} is none of {', '.join(ARCHITECTURES)}")


class Objective(nn.Module):
    """Loss of a ``network`` on a batch: of its own kind, plus the likelihood of the truth under its uncertainty."""

    def __init__(self, network: nn.Module, grid: Grid) -> None:
        super().__init__()
        self.network = network
        self.grid = grid

    def forward(self, observation: Observation, truth: Tensor) -> Tensor:
        """Scalar; ``truth`` (batch, 4, 4) is the right correction."""
        if isinstance(self.network, CorrespondenceNetwork):
            found = self.network.correspond(observation)
            loss = matching_loss(found, truth, self.grid)
            return loss + LIKELIHOOD * negative_log_likelihood(self.network.rigid_motion(found), truth)
        estimate = self.network(observation)
        if isinstance(self.network, FVRNet):
            residual = to_motion(inverse(estimate.correction) @ truth)
            loss = (residual / residual.new_tensor(TYPICAL_MOTION)).square().mean()
        else:
            loss = registration_loss(estimate, truth, observation, self.grid)
        sure = estimate._replace(correction=estimate.correction.detach())
        return loss + LIKELIHOOD * negative_log_likelihood(sure, truth)
