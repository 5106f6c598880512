"""The correspondence network: where in the volume is each patch of the frame, and which rigid motion do they agree on.

The paper's network looks at frame and volume as wholes and regresses nine numbers. This one keeps the geometry outside
the weights, so that it holds for anatomy, probes and distances it was not trained on:

1. *Encoder*: every cell of the frame, of two by two points, gets a feature vector, and how well it can be seen. The box
   is encoded slice by slice with the same weights: a patch and the slice that shows it are alike from the start.
2. *Correlation*: the scalar products of every frame cell p with every box cell q, over a learnt temperature, say how
   much more probable it is that p shows what is at q than that it does by chance. What lies in a shadow, or where the
   volume knows nothing, cannot be seen: there it is neither more nor less probable.
3. *Consensus*: of many rigid motions d, the one under which the places d p are most probable together.
4. *Soft-argmax*: the mean of the places near d p is where p is, their scatter S how sure that is, in each direction.
5. *Rigid motion*: the Gauss-Newton step to the motion d that all cells agree on, each weighed by its scatter,

       H = P^-1 + sum_p w_p J_p^T S_p^-1 J_p,    step = H^-1 ( sum_p w_p J_p^T S_p^-1 (mean_p - d p) - P^-1 d ),

   with a wide prior P. Steps 4 and 5 are repeated in ever smaller neighbourhoods; H^-1 is how sure the motion is.

Steps 2 and 4 are those of EUReg (MICCAI 2025); steps 4 and 5 in turn, expectation-maximisation as in coherent point
drift.
"""

from __future__ import annotations

from collections.abc import Sequence
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

CELLS = 128
"""Cells of the frame that take part."""

HALF_KNOWN = 0.5
"""Share of a cell's points that have to be known."""

REACH = (15.0, 15.0, 9.0)
"""mm: standard deviation of where a cell is found, from where it is expected, along x, y, z."""

CERTAIN = 0.95
"""Visibility of what is seen best: anything may be an artefact, or gone."""

ROUNDS, CANDIDATES, ELITE = 6, 256, 24
"""Of the search for the consensus."""

PRIOR = (15.0, 15.0, 12.0, 0.17, 0.17, 0.3)
"""Standard deviations of the motion before anything is seen: mm, rad. Wide: twice the paper's displacements."""


class Correspondences(NamedTuple):
    """How much more probable than by chance it is that a frame cell shows a box cell: ``evidence`` (batch, p, z, y, x).

    ``weight`` (batch, p) is how well a frame cell can be seen, ``cells`` (batch, p, 3) where it is on the frame, mm;
    ``known`` (batch, z, y, x) tells which box cells the volume shows.
    """

    evidence: Tensor
    weight: Tensor
    cells: Tensor
    known: Tensor


class CorrespondenceNetwork(nn.Module):
    """See the module. ``grid`` is the grid of its observations."""

    def __init__(self, grid: Grid, channels: int = 24) -> None:
        super().__init__()
        self.grid = grid
        self.encoder = Encoder(channels)
        self.visibility = nn.Sequential(Layer(channels, channels, size=1), nn.Conv2d(channels, 1, 1))
        self.log_temperature = nn.Parameter(torch.tensor(3.0))
        self.log_independence = nn.Parameter(torch.tensor(-2.0))  # neighbouring cells are not independent
        self.log_deviation = nn.Parameter(torch.zeros(6))
        self.coarse = Grid(CELL * grid.spacing, tuple(count // CELL for count in grid.size))
        plane = self.coarse.points[0].clone()
        plane[..., 2] = 0.0
        self.register_buffer("cells", plane.reshape(-1, 3), persistent=False)

    def forward(self, observation: Observation) -> Estimate:
        """The rigid motion that most cells agree on, and how sure it is."""
        return self.rigid_motion(self.correspond(observation))

    def correspond(self, observation: Observation, most: int = CELLS) -> Correspondences:
        """Correlate at the ``most`` known cells of the frame with every known cell of the box.

        Neighbouring cells are much alike: those that have most to say are enough, and in training as many at random.
        """
        frame, box = self.encoder(observation.frame), self._encode_slices(observation.box)
        shown = functional.avg_pool2d(observation.frame[:, 1:], CELL).flatten(1) > HALF_KNOWN
        known = functional.avg_pool3d(observation.box[:, 1:], CELL)[:, 0] > HALF_KNOWN
        weight = torch.sigmoid(self.visibility(frame)).flatten(1) * shown
        visible = torch.sigmoid(self.visibility(box.transpose(1, 2).flatten(0, 1))).reshape(known.shape) * known
        order = torch.rand(shown.shape, device=shown.device) + shown if self.training else weight
        chosen = order.topk(min(most, shown.shape[1]), dim=1).indices
        frame, box = (functional.normalize(each.flatten(2), dim=1) for each in (frame, box))
        frame = frame.gather(2, chosen[:, None].expand(-1, frame.shape[1], -1))
        weight = weight.gather(1, chosen)
        cells = self.cells[chosen]
        likeness = (self.log_temperature.exp() * (frame.mT @ box - 1.0)).exp().unflatten(2, known.shape[1:])
        visible = visible[:, None]
        # Of what can be seen where the cell may be, how much is like it?
        found, there = (nearby(each, cells, REACH, self.coarse) for each in (likeness * visible, visible))
        by_chance = (found / there.clamp(min=1e-6)).clamp(min=1e-20)
        evidence = 1.0 + CERTAIN * weight[..., None, None, None] * visible * (likeness / by_chance - 1.0)
        return Correspondences(evidence, weight, cells, known)

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
        prior = torch.diag(1.0 / torch.tensor(PRIOR, device=found.weight.device) ** 2)
        independence = self.log_independence.exp()
        for neighbourhood in NEIGHBOURHOODS:
            expected = found.cells @ correction[:, :3, :3].mT + correction[:, None, :3, 3]
            residual, scatter = soft_argmax(found.evidence, expected, neighbourhood, self.coarse)
            information, pull = normal_equations(found, correction, residual, scatter, neighbourhood)
            information = independence * information + prior
            step = torch.linalg.solve(information, independence * pull - to_motion(correction) @ prior)
            correction = correction @ from_motion(step)
        deviation = self.log_deviation.exp()
        return Estimate(correction, deviation[:, None] * torch.linalg.inv(information) * deviation)


@torch.no_grad()
def consensus(found: Correspondences, coarse: Grid) -> Tensor:
    """The motion (batch, 4, 4) for which there is most evidence, to about a cell.

    Candidates are drawn from the prior, the best of them say where to draw the next from: the cross-entropy method
    (Rubinstein 1999). The draws are the same each time. At first, box cells of twice the size make it easier to hit.
    """
    batch, cells, _ = found.cells.shape
    device = found.cells.device
    wide = functional.avg_pool3d(found.evidence, 2, ceil_mode=True)
    wide_grid = Grid(2.0 * coarse.spacing, tuple((count + 1) // 2 for count in coarse.size))
    sobol = torch.quasirandom.SobolEngine(6, scramble=True, seed=0)
    mean, deviation = torch.zeros(batch, 1, 6, device=device), torch.tensor(PRIOR, device=device).expand(batch, 1, 6)
    for turn in range(ROUNDS):
        evidence, grid, size = (wide, wide_grid, 2) if turn < ROUNDS // 2 else (found.evidence, coarse, 1)
        normal = torch.special.ndtri(sobol.draw(CANDIDATES).clamp(1e-4, 1.0 - 1e-4)).to(device)
        motions = mean + normal * deviation
        transforms = from_motion(motions)
        places = torch.einsum("bnij,bpj->bnpi", transforms[..., :3, :3], found.cells) + transforms[..., None, :3, 3]
        index, inside = flat_index(coarse.index(places).round().div(size, rounding_mode="floor"), grid)
        of_cell = evidence[0, 0].numel() * torch.arange(cells, device=device)
        value = evidence.flatten(1).gather(1, (index + of_cell).flatten(1)).reshape(index.shape).clamp(min=1e-9).log()
        score = torch.where(inside, value, 0.0).sum(-1)
        score = score - 0.5 * (motions / torch.tensor(PRIOR, device=device)).square().sum(-1)
        elite = motions.gather(1, score.topk(ELITE, dim=1).indices[..., None].expand(-1, -1, 6))
        mean, deviation = elite.mean(1, keepdim=True), 1.2 * elite.std(1, keepdim=True) + 1e-3
    return from_motion(mean[:, 0])


def flat_index(index: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
    """Place in a flattened (z, y, x) of whole-numbered x, y, z ``index`` (..., 3), and whether it is on the grid."""
    size = torch.tensor(grid.size, device=index.device)
    inside = ((index >= 0) & (index < size)).all(-1)
    x, y, z = index.clamp(min=0).minimum(size - 1).long().unbind(-1)
    return (z * size[1] + y) * size[0] + x, inside


def soft_argmax(evidence: Tensor, expected: Tensor, neighbourhood: float, coarse: Grid) -> tuple[Tensor, Tensor]:
    """Where a cell is near ``expected`` (batch, p, 3): the mean of that, less expected, and its scatter (.., 3, 3)."""
    moments = nearby(evidence, expected, (neighbourhood,) * 3, coarse, powers=3)
    total = moments[..., :1, 0, 0]
    first, second = (
        ((0, 0, 1), (0, 1, 0), (1, 0, 0)),
        ((0, 0, 2), (0, 1, 1), (1, 0, 1), (0, 2, 0), (1, 1, 0), (2, 0, 0)),
    )
    mean, square = (torch.stack([moments[..., z, y, x] for z, y, x in each], -1) / total for each in (first, second))
    full = square[..., [0, 1, 2, 1, 3, 4, 2, 4, 5]].unflatten(-1, (3, 3))
    return mean, full - mean[..., :, None] * mean[..., None, :]


def nearby(field: Tensor, centres: Tensor, deviations: Sequence[float], coarse: Grid, powers: int = 1) -> Tensor:
    """Sums of a ``field`` (batch, p or 1, z, y, x) over a Gaussian neighbourhood of each of ``centres`` (batch, p, 3).

    Returns (batch, p, powers, powers, powers), the sums times powers of the offset along z, y, x. A Gaussian is a
    product: the sums are taken along one axis after the other.
    """
    for axis, deviation in enumerate(deviations):
        offset = coarse.axis(axis).to(centres.device) - centres[..., axis, None]
        squared = offset**2
        near = torch.exp(-0.5 * (squared - squared.amin(-1, keepdim=True)) / deviation**2)
        weights = torch.stack([near, near * offset, near * squared][:powers], dim=-1)
        # The axis is the field's last one; its powers go to the front, after batch and p.
        field = (field.flatten(2, -2) @ weights).unflatten(2, field.shape[2:-1]).movedim(-1, 2)
    return field


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
    """Mean log evidence against the true correspondences, scalar; ``truth`` is d (batch, 4, 4).

    The true place lies between eight cells of the box, which share it as in trilinear interpolation. Frame cells whose
    true place is not known to the box take no part. Minus the loss is how much (nats) a cell says about its place.
    """
    coarse = Grid(CELL * grid.spacing, tuple(count // CELL for count in grid.size))
    target = coarse.index(found.cells @ truth[:, :3, :3].mT + truth[:, None, :3, 3])
    low = target.floor()
    share = target - low
    evidence, known = found.evidence.flatten(2), found.known.flatten(1)
    total, weight = torch.zeros_like(found.weight), torch.zeros_like(found.weight)
    for corner in torch.cartesian_prod(*[torch.arange(2.0, device=truth.device)] * 3):
        index, inside = flat_index(low + corner, coarse)
        part = torch.where(corner > 0, share, 1.0 - share).prod(-1) * inside * known.gather(1, index)
        total = total + part * evidence.gather(2, index[..., None])[..., 0].clamp(min=1e-9).log()
        weight = weight + part
    used = (weight > 0.99) & (found.weight > 0)
    return -(total * used).sum() / used.sum().clamp(min=1)
