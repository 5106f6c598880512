"""The correspondence network: where in the volume is each patch of the frame, and which rigid motion do they agree on.

The paper's network looks at frame and volume as wholes and regresses nine numbers. This one keeps the geometry outside
the weights, so that it holds for anatomy, probes and distances it was not trained on:

1. *Encoder*: every cell of the frame, of two by two points, gets a feature vector. The box is encoded slice by slice
   with the same weights, so that a patch and the slice that shows it are alike from the start.
2. *Correlation*: the scalar products of every frame cell p with every box cell q, over a learnt temperature, are the
   log probabilities that p shows what is at q.
3. *Consensus*: of many rigid motions d, the one under which the places d p are most probable together.
4. *Soft-argmax*: the mean of the places near d p is where p is, their scatter S how sure that is, in each direction.
5. *Rigid motion*: the Gauss-Newton step to the motion d that all cells agree on, each weighted by its scatter,

       H = P^-1 + sum_p w_p J_p^T S_p^-1 J_p,    step = H^-1 ( sum_p w_p J_p^T S_p^-1 (mean_p - d p) - P^-1 d ),

   with a wide prior P. Steps 4 and 5 are repeated in ever smaller neighbourhoods; H^-1 is how sure the motion is.

Steps 2 and 4 are those of EUReg (MICCAI 2025); steps 4 and 5 in turn, expectation-maximisation as in coherent point
drift.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from deeprs2v_ros.network.blocks import Encoder, Layer
from deeprs2v_ros.network.observation import Estimate, Grid, Observation
from deeprs2v_ros.network.rigid import from_motion, to_motion

CELL = 2
"""Grid points along the edge of a cell."""

NEIGHBOURHOODS = (12.0, 8.0, 6.0)
"""mm: standard deviation of the neighbourhood of d p in which each step looks for p."""

CELLS = 96
"""Cells of the frame that take part."""

HALF_KNOWN = 0.5
"""Share of a cell's points that have to be known."""

UNLIKELY = -12.0
"""Log probability of a correspondence below which it makes no difference: whatever is hidden, gone or wrong."""

ROUNDS, CANDIDATES, ELITE = 6, 256, 24
"""Of the search for the consensus."""

PRIOR = (15.0, 15.0, 12.0, 0.17, 0.17, 0.3)
"""Standard deviations of the motion before anything is seen: mm, rad. Wide: twice the paper's displacements."""


class Correspondences(NamedTuple):
    """Log probabilities ``logits`` (batch, p, q), not normalised, that frame cell p shows box cell q.

    ``weight`` (batch, p) is how much a frame cell has to say; ``cells`` (batch, p, 3) and ``places`` (q, 3) are in mm.
    """

    logits: Tensor
    weight: Tensor
    cells: Tensor
    places: Tensor


class CorrespondenceNetwork(nn.Module):
    """See the module. ``grid`` is the grid of its observations."""

    def __init__(self, grid: Grid, channels: int = 24) -> None:
        super().__init__()
        self.grid = grid
        self.encoder = Encoder(channels).to(memory_format=torch.channels_last)  # a tenth faster on a CPU
        self.confidence = nn.Sequential(Layer(channels, channels, size=1), nn.Conv2d(channels, 1, 1))
        self.log_temperature = nn.Parameter(torch.tensor(3.0))
        self.log_independence = nn.Parameter(torch.tensor(-2.0))  # neighbouring cells are not independent
        self.log_deviation = nn.Parameter(torch.zeros(6))
        self.coarse = Grid(CELL * grid.spacing, tuple(count // CELL for count in grid.size))
        self.register_buffer("places", self.coarse.points.reshape(-1, 3), persistent=False)
        self.register_buffer("cells", self.coarse.plane.reshape(-1, 3), persistent=False)

    def forward(self, observation: Observation) -> Estimate:
        """The rigid motion that most cells agree on, and how sure it is."""
        return self.rigid_motion(self.correspond(observation))

    def correspond(self, observation: Observation) -> Correspondences:
        """Correlate `CELLS` known cells of the frame with every known cell of the box.

        Neighbouring cells are much alike: those that have most to say are enough, and in training as many at random.
        """
        frame, box = self.encoder(observation.frame), self._encode_slices(observation.box)
        shown = functional.avg_pool2d(observation.frame[:, 1:], CELL).flatten(1) > HALF_KNOWN
        known = functional.avg_pool3d(observation.box[:, 1:], CELL).flatten(1) > HALF_KNOWN
        weight = torch.sigmoid(self.confidence(frame)).flatten(1) * shown
        order = torch.rand(shown.shape, device=shown.device) + shown if self.training else weight
        chosen = order.topk(min(CELLS, shown.shape[1]), dim=1).indices
        frame, box = (functional.normalize(each.flatten(2), dim=1) for each in (frame, box))
        frame = frame.gather(2, chosen[:, None].expand(-1, frame.shape[1], -1))
        logits = self.log_temperature.exp() * frame.mT @ box
        return Correspondences(
            logits.masked_fill(~known[:, None], -1e4), weight.gather(1, chosen), self.cells[chosen], self.places
        )

    def _encode_slices(self, box: Tensor) -> Tensor:
        """Features (batch, channels, z, y, x) of the box at its cells, encoded plane by plane."""
        batch = len(box)
        planes = functional.avg_pool3d(box, (CELL, 1, 1))
        planes = torch.cat([planes[:, :1], (planes[:, 1:] > HALF_KNOWN).to(box.dtype)], dim=1)
        encoded = self.encoder(planes.transpose(1, 2).flatten(0, 1))
        return encoded.unflatten(0, (batch, -1)).transpose(1, 2)

    def rigid_motion(self, found: Correspondences) -> Estimate:
        """Steps 3 to 5 of the module."""
        correction = consensus(found, self.coarse)
        prior = torch.diag(1.0 / torch.tensor(PRIOR, device=found.logits.device) ** 2)
        independence = self.log_independence.exp()
        for neighbourhood in NEIGHBOURHOODS:
            expected = found.cells @ correction[:, :3, :3].mT + correction[:, None, :3, 3]
            mean, scatter = soft_argmax(found, expected, neighbourhood)
            information, pull = normal_equations(found, correction, mean - expected, scatter, neighbourhood)
            information = independence * information + prior
            step = torch.linalg.solve(information, independence * pull - to_motion(correction) @ prior)
            correction = correction @ from_motion(step)
        deviation = self.log_deviation.exp()
        return Estimate(correction, deviation[:, None] * torch.linalg.inv(information) * deviation)


@torch.no_grad()
def consensus(found: Correspondences, coarse: Grid) -> Tensor:
    """The motion (batch, 4, 4) that makes the correspondences most probable together, to about a cell.

    Candidates are drawn from the prior, the best of them say where to draw the next from: the cross-entropy method
    (Rubinstein 1999). The draws are the same each time.
    """
    batch, cells, _ = found.cells.shape
    device = found.logits.device
    size = torch.tensor(coarse.size, device=device)
    table = torch.log_softmax(found.logits, dim=-1).clamp(min=UNLIKELY) * found.weight[..., None]
    sobol = torch.quasirandom.SobolEngine(6, scramble=True, seed=0)
    mean, deviation = torch.zeros(batch, 1, 6, device=device), torch.tensor(PRIOR, device=device).expand(batch, 1, 6)
    for _ in range(ROUNDS):
        normal = torch.special.ndtri(sobol.draw(CANDIDATES).clamp(1e-4, 1.0 - 1e-4)).to(device)
        motions = mean + normal * deviation
        transforms = from_motion(motions)
        places = torch.einsum("bnij,bpj->bnpi", transforms[..., :3, :3], found.cells) + transforms[..., None, :3, 3]
        x, y, z = (places / coarse.spacing + (size - 1) / 2.0).round().long().unbind(-1)
        inside = (x >= 0) & (x < size[0]) & (y >= 0) & (y < size[1]) & (z >= 0) & (z < size[2])
        index = ((z * size[1] + y) * size[0] + x) * inside + torch.arange(cells, device=device) * table.shape[-1]
        value = table.flatten(1).gather(1, index.flatten(1)).reshape(index.shape)
        score = torch.where(inside, value, UNLIKELY * found.weight[:, None]).sum(-1)
        score = score - 0.5 * (motions / torch.tensor(PRIOR, device=device)).square().sum(-1)
        elite = motions.gather(1, score.topk(ELITE, dim=1).indices[..., None].expand(-1, -1, 6))
        mean, deviation = elite.mean(1, keepdim=True), 1.2 * elite.std(1, keepdim=True) + 1e-3
    return from_motion(mean[:, 0])


def soft_argmax(found: Correspondences, expected: Tensor, neighbourhood: float) -> tuple[Tensor, Tensor]:
    """Mean place (batch, p, 3) of each frame cell near ``expected`` (batch, p, 3), and its scatter (batch, p, 3, 3)."""
    # Logits -|expected - place|^2 / 2 neighbourhood^2, less what is the same for all places, added in one product.
    x, y, z = found.places.unbind(-1)
    half_square = 0.5 * (found.places**2).sum(-1, keepdim=True)
    towards = torch.cat([expected, -torch.ones_like(expected[..., :1])], dim=-1) / neighbourhood**2
    places = torch.cat([found.places, half_square], dim=-1).expand(len(expected), -1, -1)
    probability = torch.softmax(torch.baddbmm(found.logits, towards, places.mT), dim=-1)
    squares = torch.stack([x * x, y * y, z * z, x * y, x * z, y * z], dim=-1)
    moments = probability @ torch.cat([found.places, squares], dim=-1)
    mean, second = moments[..., :3], moments[..., 3:]
    full = second[..., [0, 3, 4, 3, 1, 5, 4, 5, 2]].unflatten(-1, (3, 3))
    return mean, full - mean[..., :, None] * mean[..., None, :]


def normal_equations(
    found: Correspondences, correction: Tensor, residual: Tensor, scatter: Tensor, neighbourhood: float
) -> tuple[Tensor, Tensor]:
    """H (batch, 6, 6) and right-hand side (batch, 6) of the step, in the moved frame's axes about its centre.

    A cell moves by t + w x p, so J_p = [1, -[p]x].
    """
    floor = torch.eye(3, device=scatter.device) * 4.0  # mm^2: no cell is surer than a third of itself
    rotation = correction[:, None, :3, :3]
    local = rotation.mT @ (scatter + floor) @ rotation
    # A cell that could be anywhere scatters as widely as the neighbourhood: it says nothing, and must not hold back.
    says = (1.0 - scatter.diagonal(dim1=-2, dim2=-1).mean(-1) / neighbourhood**2).clamp(min=0.0)
    precision = (found.weight * says)[..., None, None] * torch.linalg.inv(local)
    error = (rotation.mT @ residual[..., None])[..., 0]
    x, y, z = found.cells.unbind(-1)
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    jacobian = torch.stack(
        [one, zero, zero, zero, z, -y, zero, one, zero, -z, zero, x, zero, zero, one, y, -x, zero], dim=-1
    ).unflatten(-1, (3, 6))
    weighted = jacobian.mT @ precision
    return (weighted @ jacobian).sum(1), (weighted @ error[..., None])[..., 0].sum(1)


def matching_loss(found: Correspondences, truth: Tensor, grid: Grid) -> Tensor:
    """Cross-entropy of the correspondences against the true ones, scalar; ``truth`` is d (batch, 4, 4).

    The true place lies between eight cells of the box, which share it as in trilinear interpolation. Frame cells whose
    true place is not known to the box take no part.
    """
    columns, rows, slices = (count // CELL for count in grid.size)
    size = torch.tensor([columns, rows, slices], device=truth.device)
    target = found.cells @ truth[:, :3, :3].mT + truth[:, None, :3, 3]
    index = target / (CELL * grid.spacing) + (size - 1) / 2.0
    low = index.floor()
    share = index - low
    log_probability = torch.log_softmax(found.logits, dim=-1)
    total, weight = torch.zeros_like(share[..., 0]), torch.zeros_like(share[..., 0])
    for corner in torch.cartesian_prod(*[torch.arange(2.0, device=truth.device)] * 3):
        at = low + corner
        inside = ((at >= 0) & (at < size)).all(-1)
        part = torch.where(corner > 0, share, 1.0 - share).prod(-1) * inside
        x, y, z = at.long().clamp(min=0).minimum(size - 1).unbind(-1)
        value = log_probability.gather(2, ((z * rows + y) * columns + x)[..., None])[..., 0]
        part = part * (value > -1e3)
        total, weight = total + part * value.clamp(min=-30.0), weight + part
    used = (weight > 0.99) & (found.weight > 0)
    return -(total * used).sum() / used.sum().clamp(min=1)
