import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.stats import multivariate_normal
from test_similarity import MASKS, SHAPE, WINDOW

from deeprs2v_ros import geometry, similarity
from deeprs2v_ros.imaging.slicing import SampledVolume

torch = pytest.importorskip("torch")
from deeprs2v_ros.network.loss import (  # noqa: E402 (after the skip)
    ALPHA,
    BETA,
    GAMMA,
    masked_lncc,
    negative_log_likelihood,
    registration_loss,
    slice_box,
    window_points,
)
from deeprs2v_ros.network.observation import Estimate, Grid, Observation, VolumeSpatialTransformer  # noqa: E402
from deeprs2v_ros.network.rigid import from_motion  # noqa: E402

GRID = Grid(3.0, (24, 20, 9))
MOTIONS = torch.tensor([[2.0, -3.0, 1.5, 0.05, -0.1, 0.08], [-4.0, 1.0, -2.0, -0.1, 0.02, -0.2]], dtype=torch.float64)
"""Corrections that keep most of the plane inside the box."""


@pytest.fixture(params=MASKS, ids=lambda name: name.replace(" ", "-"))
def pair(request):
    """Fixed image, moving image, mask: alike in part."""
    rng = np.random.default_rng(7)
    fixed, other = (gaussian_filter(rng.random(SHAPE), 1.5) for _ in range(2))
    return fixed, 0.6 * fixed + 0.4 * other, MASKS[request.param]


def tensors(*arrays):
    return [torch.from_numpy(np.ascontiguousarray(array))[None] for array in arrays]


def smooth_box(grid=GRID, batch=2):
    """A box full of smooth structure, known but for one edge, in double precision."""
    x, y, z = grid.points.double().unbind(-1)
    boxes = [0.5 + 0.2 * torch.sin(0.11 * (k + 1) * x + 0.2 * y) * torch.cos(0.15 * z - 0.1 * y) for k in range(batch)]
    intensity = torch.stack(boxes)
    known = (x > grid.axis(0)[1]).double().expand(batch, *x.shape)
    return torch.stack([intensity * known, known], dim=1)


def seen_at(correction, grid=GRID, box=None):
    """What is observed when ``correction`` is right: the frame is the slice there."""
    box = smooth_box(grid, len(correction)) if box is None else box
    return Observation(slice_box(box, correction, grid), box)


def certain(correction):
    return Estimate(correction, torch.eye(6, dtype=correction.dtype).expand(len(correction), 6, 6))


# Masked LNCC


def test_lncc_agrees_with_the_core_in_value_and_gradient(pair):
    fixed, moving, mask = pair
    expected = similarity.masked_lncc(fixed, moving, mask, WINDOW)
    a, b, inside = tensors(fixed, moving, mask)
    b.requires_grad_()
    value = masked_lncc(a, b, inside, WINDOW)
    value.sum().backward()
    assert value.item() == pytest.approx(expected.value, abs=1e-10)
    assert b.grad[0].numpy() == pytest.approx(expected.gradient, abs=1e-10)


@pytest.mark.parametrize("window", [3, 5, 51, 201])
def test_lncc_agrees_with_the_core_for_any_window(window):
    rng = np.random.default_rng(1)
    fixed, moving, mask = rng.random((30, 41)), rng.random((30, 41)), rng.random((30, 41)) < 0.7
    expected = similarity.masked_lncc(fixed, moving, mask, window)
    assert masked_lncc(*tensors(fixed, moving, mask), window).item() == pytest.approx(expected.value, abs=1e-10)


def test_lncc_of_float32_images_keeps_five_digits(pair):
    fixed, moving, mask = pair
    expected = similarity.masked_lncc(fixed, moving, mask, WINDOW)
    a, b, inside = tensors(fixed.astype(np.float32) + 100, moving.astype(np.float32), mask)
    value = masked_lncc(a - 100, b.requires_grad_(), inside, WINDOW)
    value.sum().backward()
    assert value.dtype == b.grad.dtype == torch.float32
    assert value.item() == pytest.approx(expected.value, abs=1e-5)
    assert b.grad[0].numpy() == pytest.approx(expected.gradient, abs=1e-5)


def test_lncc_of_a_batch_is_that_of_each():
    rng = np.random.default_rng(2)
    images = torch.from_numpy(rng.random((2, len(MASKS), *SHAPE)))
    masks = torch.from_numpy(np.stack(list(MASKS.values())))
    together = masked_lncc(images[0], images[1], masks, WINDOW)
    alone = [masked_lncc(a[None], b[None], m[None], WINDOW).item() for a, b, m in zip(*images, masks, strict=True)]
    assert together.numpy() == pytest.approx(alone, abs=1e-12)


def test_lncc_does_not_see_what_is_outside_the_mask(pair):
    a, b, inside = tensors(*pair)
    spoiled = torch.where(inside, b, torch.nan).requires_grad_()
    value = masked_lncc(a, spoiled, inside, WINDOW)
    value.sum().backward()
    assert torch.equal(value, masked_lncc(a, b, inside, WINDOW))
    assert torch.all(spoiled.grad[~inside] == 0.0)


@pytest.mark.parametrize("flips", [(-1,), (-2,), (-1, -2)])
def test_lncc_of_mirrored_images_is_the_same(pair, flips):
    images = tensors(*pair)
    mirrored = [torch.flip(image, flips) for image in images]
    assert masked_lncc(*mirrored, WINDOW).item() == pytest.approx(masked_lncc(*images, WINDOW).item(), abs=1e-12)


def test_lncc_without_a_window_that_counts_is_zero_and_leads_nowhere():
    few = np.zeros(SHAPE, bool)
    few[3:6, 3:6] = True  # 9 of the 21 pixels that a window needs
    for mask in (np.zeros(SHAPE, bool), few):
        a, b, inside = tensors(np.random.default_rng(0).random(SHAPE), np.random.default_rng(1).random(SHAPE), mask)
        value = masked_lncc(a, b.requires_grad_(), inside, WINDOW)
        value.sum().backward()
        assert value.item() == 0.0
        assert torch.all(b.grad == 0.0)


def test_lncc_of_flat_or_equal_images_has_a_finite_gradient():
    flat, image, inside = tensors(np.full(SHAPE, 0.5), np.random.default_rng(0).random(SHAPE), MASKS["sector"])
    for a, b in ((flat, flat), (image, flat), (flat, image), (image, image)):
        moving = b.clone().requires_grad_()
        value = masked_lncc(a, moving, inside, WINDOW)
        value.sum().backward()
        assert value.isfinite().all()
        assert moving.grad.isfinite().all()
    assert masked_lncc(image, image, inside, WINDOW).item() == pytest.approx(1.0, abs=1e-2)


def test_the_window_is_that_of_the_paper_in_millimetres():
    assert window_points(Grid(0.5, (400, 320, 240))) == 51
    assert window_points(Grid(1.0, (200, 160, 120))) == 25
    assert window_points(Grid(2.5, (80, 64, 24))) == 11
    assert window_points(Grid(40.0, (5, 5, 5))) == 3


# Slices of the box


def test_an_uncorrected_slice_is_the_middle_of_the_box():
    box = smooth_box()
    identity = torch.eye(4, dtype=torch.float64).expand(2, 4, 4)
    assert torch.allclose(slice_box(box, identity, GRID), box[:, :, 4], atol=1e-12)


@pytest.mark.parametrize(("axis", "points"), [(0, 3), (1, -2), (2, 3)])
def test_whole_steps_shift_the_slice_along_the_axes_of_the_grid(axis, points):
    box = torch.rand(1, 2, *GRID.size[::-1], dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    box[:, 1] = 1.0
    motion = torch.zeros(1, 6, dtype=torch.float64)
    motion[0, axis] = points * GRID.spacing
    shifted = torch.roll(box, -points, dims=4 - axis)[:, :, 4]
    result = slice_box(box, from_motion(motion), GRID)
    known = result[:, 1] == 1.0
    outside = 0 if axis == 2 else abs(points)
    assert known.sum() == known.numel() * (1 - outside / GRID.size[axis])
    assert torch.allclose(result[:, 0][known], shifted[:, 0][known], atol=1e-9)


def test_a_slice_of_the_box_is_the_slice_of_the_volume_at_the_corrected_pose():
    z, y, x = np.meshgrid(*(np.arange(count, dtype=np.float32) for count in (60, 70, 80)), indexing="ij")
    ramp = (0.002 * x + 0.003 * y - 0.004 * z + 0.5).astype(np.float32)  # interpolated twice, it is still itself
    turn = geometry.from_motion([40.0, -20.0, 10.0, 0.3, 0.5, -0.4])
    transformer = VolumeSpatialTransformer(SampledVolume(ramp, np.diag([1 / 1.2, 1 / 1.4, 1 / 1.6, 1.0]) @ turn))
    pose = torch.from_numpy(geometry.inverse(turn) @ geometry.rigid(translation=(48.0, 49.0, 48.0))).expand(2, 4, 4)
    grid = Grid(2.0, (15, 13, 11))
    correction = from_motion(MOTIONS)
    result = slice_box(transformer.box(pose, grid), correction.float(), grid)
    expected = transformer.slice(pose @ correction, grid)
    known = result[:, 1] == 1.0
    assert known.float().mean() > 0.5
    assert torch.all(expected[:, 1][known] == 1.0)
    assert torch.allclose(result[:, 0][known], expected[:, 0][known], atol=1e-5)


def test_slicing_leaves_the_grid_as_it_was():
    before = GRID.points.clone()
    slice_box(smooth_box().float(), from_motion(MOTIONS).float(), GRID)
    assert torch.equal(GRID.points, before)


# The loss of the paper


def test_the_weights_are_twenty_to_one_to_ten():
    assert pytest.approx(31.0 * np.array([ALPHA, BETA, GAMMA])) == [20.0, 1.0, 10.0]


def test_the_loss_is_the_sum_of_its_terms():
    truth, correction = from_motion(MOTIONS), from_motion(MOTIONS.flip(0))
    seen = seen_at(truth)
    moved = slice_box(seen.box, correction, GRID)
    expected = []
    for index in range(2):
        a, b = seen.frame[index].numpy(), moved[index].numpy()
        lncc = similarity.masked_lncc(a[0], b[0], (a[1] > 0) & (b[1] > 0), window_points(GRID)).value
        step = np.sum((truth[index] - correction[index])[:3, 3].numpy() ** 2)
        angle = geometry.geodesic_distance(truth[index, :3, :3].numpy(), correction[index, :3, :3].numpy())
        expected.append((20.0 * (1.0 - lncc) + step + 10.0 * angle) / 31.0)
    loss = registration_loss(certain(correction), truth, seen, GRID)
    assert loss.item() == pytest.approx(np.mean(expected), abs=1e-6)


def test_the_truth_has_the_least_loss():
    truth = from_motion(MOTIONS)
    seen = seen_at(truth)
    least = registration_loss(certain(truth), truth, seen, GRID)
    for axis in range(6):
        for sign in (-1.0, 1.0):
            step = torch.zeros(2, 6, dtype=torch.float64)
            step[:, axis] = sign * (1.0 if axis < 3 else 0.05)
            assert registration_loss(certain(truth @ from_motion(step)), truth, seen, GRID) > least


def test_gradient_of_the_loss_agrees_with_finite_differences():
    seen, truth = seen_at(from_motion(MOTIONS)), from_motion(MOTIONS)
    start = (0.5 * MOTIONS + 0.0123).requires_grad_()

    def loss(motion):
        return registration_loss(certain(from_motion(motion)), truth, seen, GRID)

    (gradient,) = torch.autograd.grad(loss(start), start)
    for index in np.ndindex(2, 6):
        step = torch.zeros(2, 6, dtype=torch.float64)
        step[index] = 1e-6  # within a voxel, and not across the border of a mask
        difference = (loss(start + step) - loss(start - step)).item() / 2e-6
        assert gradient[index].item() == pytest.approx(difference, rel=2e-3, abs=1e-4)


@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
@pytest.mark.parametrize("motion", [[0.0] * 6, [5.0, 1.0, 2.0, 0.1, 0.2, 0.0]], ids=["unmoved", "moved"])
def test_a_perfect_prediction_has_finite_gradients(motion, precision):
    truth = from_motion(torch.tensor([motion], dtype=precision))
    seen = Observation(*(each.to(precision) for each in seen_at(truth.double(), box=smooth_box(batch=1))))
    prediction = torch.tensor([motion], dtype=precision, requires_grad=True)
    loss = registration_loss(certain(from_motion(prediction)), truth, seen, GRID)
    loss = loss + negative_log_likelihood(certain(from_motion(prediction)), truth)
    loss.backward()
    assert loss.dtype == precision
    assert prediction.grad.isfinite().all()


def test_a_slice_out_of_the_box_has_finite_gradients_that_lead_back():
    truth = from_motion(torch.zeros(1, 6))
    seen = Observation(*(each.float() for each in seen_at(truth.double(), box=smooth_box(batch=1))))
    for far in ([900.0, 0.0, 0.0, 0.0, 0.0, 0.0], [0.0, -50.0, 500.0, 1.0, 2.0, -1.0]):
        motion = torch.tensor([far], requires_grad=True)
        loss = registration_loss(certain(from_motion(motion)), truth, seen, GRID)
        loss.backward()
        assert motion.grad.isfinite().all()
        assert motion.grad[0, :3].numpy() == pytest.approx(2.0 * BETA * np.array(far[:3]), rel=1e-5)


def test_a_frame_without_data_or_half_a_turn_has_finite_gradients():
    half_turn = torch.tensor([[0.0, 0.0, 0.0, 0.0, np.pi, 0.0]], requires_grad=True)
    truth = from_motion(torch.zeros(1, 6))
    seen = Observation(torch.zeros(1, 2, 20, 24), smooth_box(batch=1).float())
    loss = registration_loss(certain(from_motion(half_turn)), truth, seen, GRID)
    (loss + negative_log_likelihood(certain(from_motion(half_turn)), truth)).backward()
    assert half_turn.grad.isfinite().all()


def test_the_loss_of_a_mirrored_scene_is_the_same():
    truth, correction = from_motion(MOTIONS), from_motion(MOTIONS.flip(0))
    seen = seen_at(truth)
    mirror = torch.diag(torch.tensor([-1.0, 1.0, 1.0, 1.0], dtype=torch.float64))
    mirrored = Observation(seen.frame.flip(-1), seen.box.flip(-1))
    loss = registration_loss(certain(mirror @ correction @ mirror), mirror @ truth @ mirror, mirrored, GRID)
    assert loss.item() == pytest.approx(registration_loss(certain(correction), truth, seen, GRID).item(), abs=1e-9)


# How sure


def random_covariances(batch):
    root = np.random.default_rng(3).normal(size=(batch, 6, 6)) * np.array([3.0, 3.0, 3.0, 0.05, 0.05, 0.05])[:, None]
    return root @ np.swapaxes(root, -1, -2) + np.diag([0.1, 0.1, 0.1, 1e-4, 1e-4, 1e-4])


def test_likelihood_agrees_with_scipy():
    residuals = MOTIONS.numpy() * 0.3
    covariances = random_covariances(2)
    correction = from_motion(MOTIONS.flip(0))
    truth = correction @ from_motion(torch.from_numpy(residuals))
    expected = [-multivariate_normal(cov=c).logpdf(r) for c, r in zip(covariances, residuals, strict=True)]
    loss = negative_log_likelihood(Estimate(correction, torch.from_numpy(covariances)), truth)
    assert loss.item() == pytest.approx(np.mean(expected), abs=1e-9)


def test_likelihood_survives_float32_millimetres_and_radians():
    covariances = np.array([np.diag([400.0, 400.0, 400.0, 1e-6, 1e-6, 1e-6])] * 2)
    truth = from_motion(MOTIONS)
    estimate = Estimate(truth.float(), torch.from_numpy(covariances).float())
    loss = negative_log_likelihood(estimate, truth.float())
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(-multivariate_normal(cov=covariances[0]).logpdf(np.zeros(6)), abs=1e-4)


def test_gradient_of_the_likelihood_agrees_with_finite_differences():
    roots = torch.from_numpy(np.linalg.cholesky(random_covariances(2))).requires_grad_()
    motion = (0.8 * MOTIONS).requires_grad_()

    def loss(motion, roots):
        return negative_log_likelihood(Estimate(from_motion(motion), roots @ roots.mT), from_motion(MOTIONS))

    assert torch.autograd.gradcheck(loss, (motion, roots), atol=1e-3, rtol=1e-3)


def test_likelihood_teaches_the_spread_of_the_residuals():
    deviations = torch.tensor([2.0, 1.0, 3.0, 0.02, 0.05, 0.03], dtype=torch.float64)
    random = torch.Generator().manual_seed(0)
    truth = from_motion(torch.randn(2000, 6, dtype=torch.float64, generator=random) * deviations)
    correction = torch.eye(4, dtype=torch.float64).expand(2000, 4, 4)
    log_deviation = torch.zeros(6, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.Adam([log_deviation], lr=0.1)
    for _ in range(150):
        optimiser.zero_grad()
        covariance = torch.diag(torch.exp(2.0 * log_deviation)).expand(2000, 6, 6)
        negative_log_likelihood(Estimate(correction, covariance), truth).backward()
        optimiser.step()
    assert log_deviation.exp().detach().numpy() == pytest.approx(deviations.numpy(), rel=0.06)
