import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from deeprs2v_ros import geometry

torch = pytest.importorskip("torch")
from deeprs2v_ros.network.rigid import (  # noqa: E402
    GEODESIC_ROUNDING,
    TYPICAL_MOTION,
    diagonal_covariance,
    from_motion,
    geodesic,
    inverse,
    rigid,
    rotation_from_6d,
    scaled_motion,
    skew,
    to_motion,
)

RNG = np.random.default_rng(0)
ROTATIONS = Rotation.from_rotvec(RNG.normal(size=(30, 3)))
TURNS = ROTATIONS.as_rotvec()
MATRICES = torch.from_numpy(ROTATIONS.as_matrix())
MOTIONS = torch.from_numpy(np.hstack([RNG.normal(scale=10.0, size=(30, 3)), TURNS]))
HALF_TURNS = torch.from_numpy(Rotation.from_rotvec(np.pi * np.vstack([np.eye(3), [[0.6, 0.0, 0.8]]])).as_matrix())


def random(*shape):
    return torch.from_numpy(RNG.normal(size=shape))


def gradient_of(function, at):
    at = at.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(function(at).sum(), at)
    return gradient


@pytest.fixture(params=[torch.float32, torch.float64], ids=["float32", "float64"])
def dtype(request):
    return request.param


def test_motion_agrees_with_geometry_and_scipy(dtype):
    transforms = from_motion(MOTIONS.to(dtype))
    assert transforms.dtype == dtype
    for motion, transform in zip(MOTIONS.numpy(), transforms.numpy(), strict=True):
        assert transform == pytest.approx(geometry.from_motion(motion), abs=3e-6)
    assert transforms[:, :3, :3].numpy() == pytest.approx(ROTATIONS.as_matrix(), abs=1e-6)


@pytest.mark.parametrize("size", [0.0, 1e-9, 1e-6, 1e-4, 1e-2, 1.0, 3.0, np.pi - 1e-4])
def test_motion_survives_the_way_there_and_back(size, dtype):
    axis = np.array([0.36, -0.48, 0.8])
    motion = torch.tensor([[3.0, -20.0, 7.0, *(size * axis)]], dtype=dtype)
    precision = 1e-6 if dtype == torch.float32 else 1e-13
    assert to_motion(from_motion(motion)).numpy() == pytest.approx(motion.numpy(), abs=precision)


def test_half_turns_come_back_as_half_turns():
    turns = to_motion(rigid(HALF_TURNS, torch.zeros(4, 3, dtype=torch.float64)))
    assert from_motion(turns)[:, :3, :3].numpy() == pytest.approx(HALF_TURNS.numpy(), abs=1e-12)
    assert turns[:, 3:].norm(dim=-1).numpy() == pytest.approx(np.pi)


def test_a_rotation_vector_is_never_longer_than_half_a_turn():
    turns = Rotation.from_rotvec([[0.0, 0.0, 1.5 * np.pi], [4.0, 0.0, 0.0]])
    transform = rigid(torch.from_numpy(turns.as_matrix()), torch.zeros(2, 3, dtype=torch.float64))
    assert to_motion(transform)[:, 3:].numpy() == pytest.approx(turns.as_rotvec())


@pytest.mark.parametrize("size", [0.0, 1e-8, 1e-3, 1.0, 3.1])
def test_gradients_of_motions_agree_with_finite_differences(size):
    motions = torch.tensor([[1.0, 2.0, 3.0, 0.6 * size, 0.0, -0.8 * size]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(from_motion, motions)
    # Both at once: to_motion expects a rotation, and a matrix with one element changed is none.
    pulled = from_motion(random(1, 6) * 0.01)
    assert torch.autograd.gradcheck(lambda m: to_motion(from_motion(m) @ pulled), motions)


def test_gradient_of_the_motion_at_the_identity_is_the_identity(dtype):
    jacobian = torch.autograd.functional.jacobian(lambda m: to_motion(from_motion(m)), torch.zeros(6, dtype=dtype))
    assert jacobian.numpy() == pytest.approx(np.eye(6), abs=1e-6)


def test_gradients_are_finite_where_formulas_divide_by_zero(dtype):
    identity, half_turns = (
        torch.eye(4, dtype=dtype),
        rigid(HALF_TURNS, torch.zeros(4, 3, dtype=torch.float64)).to(dtype),
    )
    assert gradient_of(from_motion, torch.zeros(2, 6, dtype=dtype)).isfinite().all()
    for transform in (identity, half_turns):
        assert gradient_of(to_motion, transform).isfinite().all()
        assert gradient_of(inverse, transform).isfinite().all()
        rotation = transform[..., :3, :3]
        assert gradient_of(lambda r, fixed=rotation: geodesic(r, fixed), rotation).isfinite().all()
        assert gradient_of(lambda r: geodesic(r, torch.eye(3, dtype=dtype)), rotation).isfinite().all()
    for six in ([0.0] * 6, [1.0, 0.0, 0.0, 2.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 1.0, 0.0]):
        six = torch.tensor(six, dtype=dtype)
        assert rotation_from_6d(six).isfinite().all()
        assert gradient_of(rotation_from_6d, six).isfinite().all()


def test_rigid_and_inverse_agree_with_geometry():
    transforms = rigid(MATRICES, MOTIONS[:, :3])
    expected = geometry.rigid(ROTATIONS[7].as_matrix(), MOTIONS[7, :3])
    assert transforms[7].numpy() == pytest.approx(expected)
    assert inverse(transforms).numpy() == pytest.approx(np.linalg.inv(transforms.numpy()), abs=1e-12)
    assert inverse(transforms.reshape(5, 6, 4, 4)).shape == (5, 6, 4, 4)


def test_skew_is_the_cross_product():
    w, p = random(8, 3), random(8, 3)
    assert torch.allclose((skew(w) @ p.unsqueeze(-1)).squeeze(-1), torch.linalg.cross(w, p))


def test_six_numbers_give_the_rotation_of_geometry():
    six = random(20, 6)
    assert rotation_from_6d(six).numpy() == pytest.approx(geometry.rotation_from_6d(six.numpy()), abs=1e-12)
    assert torch.allclose(rotation_from_6d(torch.from_numpy(geometry.rotation_to_6d(MATRICES.numpy()))), MATRICES)
    assert torch.linalg.det(rotation_from_6d(six)).numpy() == pytest.approx(1.0)
    assert torch.autograd.gradcheck(rotation_from_6d, six[:3].requires_grad_())


def test_geodesic_agrees_with_scipy_but_for_its_rounding(dtype):
    other = Rotation.from_rotvec(RNG.normal(size=(30, 3)))
    expected = (ROTATIONS.inv() * other).magnitude()
    angles = geodesic(MATRICES.to(dtype), torch.from_numpy(other.as_matrix()).to(dtype))
    assert angles.numpy() == pytest.approx(expected, abs=1e-6)
    small = torch.from_numpy(Rotation.from_rotvec(np.outer([1e-3, 1e-2], [0, 0.6, 0.8])).as_matrix()).to(dtype)
    assert geodesic(small, torch.eye(3, dtype=dtype)).numpy() == pytest.approx([1e-3, 1e-2], abs=1e-5)


def test_geodesic_is_flat_at_its_ends():
    same = geodesic(MATRICES, MATRICES)
    assert torch.all(same <= 1.001 * GEODESIC_ROUNDING)
    opposite = geodesic(HALF_TURNS, torch.eye(3, dtype=torch.float64))
    assert opposite.numpy() == pytest.approx(np.pi, abs=1.001 * GEODESIC_ROUNDING)

    def angle(turn):
        return geodesic(from_motion(torch.nn.functional.pad(turn, (3, 0)))[:, :3, :3], MATRICES[:1])

    there = torch.from_numpy(TURNS[:1])
    assert gradient_of(angle, there).abs().max() < 1e-9
    for size in (1e-6, 1e-5, 1e-4, 1e-3, 0.1, 1.0):
        turn = (there + size * random(1, 3)).requires_grad_()
        assert torch.autograd.gradcheck(angle, turn, eps=1e-8, atol=1e-4)
        assert gradient_of(angle, turn.detach()).norm() < 1.01


def test_geodesic_loss_turns_a_rotation_to_the_truth():
    turn = torch.zeros(1, 6, dtype=torch.float64, requires_grad=True)
    truth = from_motion(torch.tensor([[0, 0, 0, 1.0, -2.0, 1.0]], dtype=torch.float64))[:, :3, :3]
    optimiser = torch.optim.SGD([turn], lr=0.05)
    for _ in range(80):
        optimiser.zero_grad()
        geodesic(from_motion(turn)[:, :3, :3], truth).sum().backward()
        optimiser.step()
    assert geodesic(from_motion(turn)[:, :3, :3], truth).item() < 0.06


def test_covariance_has_the_deviations_it_is_given():
    output = random(4, 6)
    covariance = diagonal_covariance(torch.zeros(1, 6, dtype=torch.float64))
    assert covariance[0].numpy() == pytest.approx(np.diag(np.square(TYPICAL_MOTION)))
    assert torch.equal(scaled_motion(torch.ones(6)), torch.tensor(TYPICAL_MOTION))
    larger = diagonal_covariance(output + 0.1).diagonal(dim1=-2, dim2=-1)
    assert torch.all(larger > diagonal_covariance(output).diagonal(dim1=-2, dim2=-1))


@pytest.mark.parametrize("wild", [-1e6, 1e6])
def test_covariance_of_a_wild_output_is_neither_zero_nor_infinite(wild):
    output = torch.full((1, 6), wild)
    assert torch.linalg.cholesky(diagonal_covariance(output)).isfinite().all()
    assert gradient_of(diagonal_covariance, output).isfinite().all()


def test_everything_keeps_leading_axes():
    motions = random(2, 3, 6)
    transforms = from_motion(motions)
    assert transforms.shape == (2, 3, 4, 4)
    assert to_motion(transforms).shape == (2, 3, 6)
    assert geodesic(transforms[..., :3, :3], transforms[..., :3, :3]).shape == (2, 3)
    assert rotation_from_6d(motions).shape == (2, 3, 3, 3)
    assert diagonal_covariance(motions).shape == (2, 3, 6, 6)
    assert to_motion(transforms[0, 0]).shape == (6,)
