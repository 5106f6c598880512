import itertools

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from deeprs2v_ros.errors import InputError
from deeprs2v_ros.geometry import apply, from_motion, inverse, rigid
from deeprs2v_ros.imaging.slicing import SampledVolume

torch = pytest.importorskip("torch")
from deeprs2v_ros.network.deeprs2v import (  # noqa: E402 (after the skip)
    FRAME_POOLS,
    FUSED_POOLS,
    VOLUME_POOLS,
    DeepRS2V,
    fitting_pools,
)
from deeprs2v_ros.network.fvrnet import FVRNet  # noqa: E402
from deeprs2v_ros.network.observation import Grid, Observation, VolumeSpatialTransformer  # noqa: E402

PAPER = (200, 160, 120)
GRID = Grid(1.1, (23, 17, 9))


def narrow_fvrnet(grid_size):
    return FVRNet(grid_size, width=0.1)


NETWORKS = pytest.mark.parametrize("network", [DeepRS2V, narrow_fvrnet], ids=["DeepRS2V", "FVRNet"])


def parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


def observation(size, batch=2, seed=0):
    x, y, z = size
    random = torch.Generator().manual_seed(seed)
    return Observation(torch.rand(batch, 2, y, x, generator=random), torch.rand(batch, 2, z, y, x, generator=random))


def wake(network, seed=0):
    """Fill the last layers, which start at zero, so that outputs depend on inputs."""
    torch.manual_seed(seed)
    for module in network.modules():
        if isinstance(module, torch.nn.Linear) and not module.weight.any():
            torch.nn.init.normal_(module.weight, std=1e-2)
    return network


# The published network


def test_deeprs2v_has_the_published_number_of_parameters():
    with torch.device("meta"):
        network = DeepRS2V(PAPER)
    parts = network.frame_encoder, network.volume_encoder, network.decoder, network.fully_connected
    assert [parameters(part) for part in parts] == [411_744, 1_144_704, 923_456, 264_713]
    assert parameters(network) - parameters(network.spread) == 2_744_617


def test_deeprs2v_fuses_as_published_at_one_millimetre():
    with torch.device("meta"):  # shapes only
        network = DeepRS2V(PAPER)
        seen = Observation(torch.empty(1, 2, 160, 200), torch.empty(1, 2, 120, 160, 200))
        assert network.frame_encoder(seen.frame[:, :1]).shape == (1, 64, 2, 3)
        assert network.volume_encoder(seen.box[:, :1]).shape == (1, 64, 7, 2, 3)
        assert network.fuse(seen).shape == (1, 1, 7, 384, 384)


def test_pools_are_the_published_ones_at_one_millimetre():
    for size, pools in (((160, 200), FRAME_POOLS), ((120, 160, 200), VOLUME_POOLS), ((7, 384, 384), FUSED_POOLS)):
        assert fitting_pools(size, pools) == list(pools)


def test_pools_never_empty_an_axis():
    for points in itertools.chain(range(1, 70), (100, 319, 400)):
        left = points
        for (pool,) in fitting_pools((points,), [(4,), (4,), (2,), (2,)]):
            left //= pool
        assert left >= min(points, 2)
        assert left <= max(3, points // 64)


def test_fusion_is_the_outer_product_of_each_slice_with_the_frame():
    network = DeepRS2V((9, 8, 5)).eval()
    seen = observation((9, 8, 5))
    with torch.no_grad():
        fused = network.fuse(seen)[1, 0]
        frame = network.frame_encoder(seen.frame[1:, :1])[0].flatten()
        volume = network.volume_encoder(seen.box[1:, :1])[0]
    for depth in range(volume.shape[1]):
        assert torch.allclose(fused[depth], torch.outer(volume[:, depth].flatten(), frame), rtol=1e-4, atol=1e-5)


def test_fvrnet_has_the_published_number_of_parameters():
    with torch.device("meta"):
        full, quarter = FVRNet((128, 128, 32)), FVRNet((128, 128, 32), width=0.25)
    assert parameters(full) == pytest.approx(67.8e6, rel=1e-3)
    assert 3e6 < parameters(quarter) < 5e6


# What every network does


@NETWORKS
def test_an_untrained_network_predicts_the_identity(network):
    estimate = network((12, 10, 6))(observation((12, 10, 6)))
    assert torch.allclose(estimate.correction, torch.eye(4).expand(2, 4, 4), atol=1e-7)
    deviations = estimate.covariance.diagonal(dim1=-2, dim2=-1).sqrt()
    assert torch.allclose(deviations, torch.tensor([10.0, 10.0, 10.0, 0.2, 0.2, 0.2]).expand(2, 6))


@NETWORKS
@pytest.mark.parametrize("size", [(60, 48, 18), (13, 31, 2), (5, 4, 3), (2, 2, 2), (1, 1, 1)])
def test_any_grid_will_do(network, size):
    with torch.device("meta"):  # shapes only
        model = network(size)
        x, y, z = size
        estimate = model(Observation(torch.empty(3, 2, y, x), torch.empty(3, 2, z, y, x)))
        assert estimate.correction.shape == (3, 4, 4)
        assert estimate.covariance.shape == (3, 6, 6)


@NETWORKS
def test_the_corrections_are_rigid_and_the_covariances_positive(network):
    model = wake(network((6, 5, 4)))
    estimate = model(observation((6, 5, 4), batch=3))
    rotation = estimate.correction[:, :3, :3]
    assert torch.allclose(rotation @ rotation.mT, torch.eye(3).expand(3, 3, 3), atol=1e-5)
    assert torch.allclose(torch.linalg.det(rotation), torch.ones(3), atol=1e-5)
    assert torch.linalg.cholesky(estimate.covariance).isfinite().all()
    assert (estimate.correction - torch.eye(4)).abs().max() > 1e-3


@NETWORKS
def test_a_box_of_another_size_is_refused(network):
    with pytest.raises(InputError, match=r"box: \(12, 10, 7\) points, the network is for \(12, 10, 6\)"):
        network((12, 10, 6))(observation((12, 10, 7)))


@NETWORKS
def test_the_intensities_of_frame_and_box_count_and_the_masks_do_not(network):
    model = wake(network((6, 5, 4))).eval()
    seen, other = observation((6, 5, 4)), observation((6, 5, 4), seed=1)
    with torch.no_grad():
        base = model(seen).correction
        for field, channel in itertools.product(("frame", "box"), (0, 1)):
            changed = getattr(seen, field).clone()
            changed[:, channel] = getattr(other, field)[:, channel]
            result = model(seen._replace(**{field: changed})).correction
            assert torch.equal(result, base) == (channel == 1)


@NETWORKS
def test_each_of_a_batch_is_estimated_alone(network):
    model = wake(network((6, 5, 4))).eval()
    seen = observation((6, 5, 4), batch=3)
    with torch.no_grad():
        together = model(seen)
        alone = model(Observation(seen.frame[1:2], seen.box[1:2]))
    assert torch.allclose(together.correction[1:2], alone.correction, rtol=1e-4, atol=1e-4)
    assert torch.allclose(together.covariance[1:2], alone.covariance, rtol=1e-3)


@NETWORKS
def test_every_parameter_learns(network):
    model = wake(network((6, 5, 4)))
    estimate = model(observation((6, 5, 4)))
    (estimate.correction.sum() + estimate.covariance.log1p().sum()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


# The volume spatial transformer


@pytest.fixture(params=["right-handed", "mirrored"])
def oblique(request):
    """A volume with anisotropic spacing and a tilted direction, the same as a SimpleITK image, and a pose within."""
    rng = np.random.default_rng(0)
    image = sitk.GetImageFromArray(rng.random((40, 48, 56)).astype(np.float32))
    direction = Rotation.from_euler("xyz", [20, -30, 40], degrees=True).as_matrix()
    if request.param == "mirrored":
        direction = direction @ np.diag([1.0, -1.0, 1.0])
    spacing, origin = np.array([0.6, 0.9, 1.3]), np.array([10.0, -20.0, 30.0])
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(origin.tolist())
    image.SetDirection(direction.ravel().tolist())
    volume_from_voxel = rigid(direction, origin) @ np.diag([*spacing, 1.0])
    volume = SampledVolume(sitk.GetArrayFromImage(image), np.linalg.inv(volume_from_voxel))
    tilt = Rotation.from_euler("zyx", [50, 15, -25], degrees=True).as_matrix()
    return volume, image, rigid(tilt, apply(volume_from_voxel, [25.0, 26.0, 20.5]))


def resampled(image, pose, grid, depth):
    """SimpleITK's values on ``depth`` planes of the ``grid`` at the ``pose``; how many voxels inside each point is."""
    size = (*grid.size[:2], depth)
    target = sitk.Image(*size, sitk.sitkFloat32)
    target.SetSpacing([grid.spacing] * 3)
    first = -0.5 * grid.spacing * (np.array(size) - 1.0)
    target.SetOrigin(apply(pose, first).tolist())
    target.SetDirection(pose[:3, :3].ravel().tolist())
    values = sitk.GetArrayFromImage(sitk.Resample(image, target, sitk.Transform(), sitk.sitkLinear, -1.0))
    margin = np.zeros(values.shape)
    for z, y, x in np.ndindex(*values.shape):
        point = target.TransformIndexToPhysicalPoint((x, y, z))
        index = np.array(image.TransformPhysicalPointToContinuousIndex(point))
        margin[z, y, x] = min(index.min(), (np.array(image.GetSize()) - 1 - index).min())
    return values, margin


def poses(pose):
    return torch.from_numpy(np.stack([pose, pose @ from_motion([9.0, -4.0, 6.0, 0.3, -0.2, 0.5])]))


def test_slices_agree_with_simpleitk(oblique):
    volume, image, pose = oblique
    slices = VolumeSpatialTransformer(volume).slice(poses(pose), GRID).numpy()
    assert slices.shape == (2, 2, 17, 23)
    for each, result in zip(poses(pose).numpy(), slices, strict=True):
        expected, margin = resampled(image, each, GRID, 1)
        known = result[1] == 1.0
        assert known.sum() > 150
        assert np.abs(result[0] - expected[0])[known].max() < 2e-5
        assert known[margin[0] > 1e-4].all()
        assert not known[margin[0] < -0.02].any()
        assert np.all(result[:, ~known] == 0.0)


def test_boxes_agree_with_simpleitk(oblique):
    volume, image, pose = oblique
    result = VolumeSpatialTransformer(volume).box(poses(pose)[:1], GRID).numpy()[0]
    expected, margin = resampled(image, pose, GRID, GRID.size[2])
    known = result[1] == 1.0
    assert known[margin > 1e-4].all()
    assert not known[margin < -0.02].any()
    assert np.abs(result[0] - expected)[known].max() < 2e-5


def test_a_slice_is_the_middle_of_its_box(oblique):
    volume, _, pose = oblique
    transformer = VolumeSpatialTransformer(volume)
    middle = transformer.box(poses(pose), GRID)[:, :, GRID.size[2] // 2]
    assert torch.allclose(transformer.slice(poses(pose), GRID), middle, atol=1e-5)


def test_the_same_volume_stored_the_other_way_round_gives_the_same_slices(oblique):
    volume, _, pose = oblique
    count = volume.array.shape[2]
    flip = rigid(translation=(count - 1.0, 0.0, 0.0)) @ np.diag([-1.0, 1.0, 1.0, 1.0])
    mirrored = SampledVolume(np.ascontiguousarray(volume.array[:, :, ::-1]), flip @ volume.voxel_from_volume)
    one, other = (VolumeSpatialTransformer(each).slice(poses(pose), GRID) for each in (volume, mirrored))
    assert torch.allclose(one, other, atol=2e-5)


def test_moving_volume_and_pose_alike_changes_nothing(oblique):
    volume, _, pose = oblique
    move = from_motion([30.0, 10.0, -50.0, 0.4, 1.0, -0.3])
    moved = VolumeSpatialTransformer(volume._replace(voxel_from_volume=volume.voxel_from_volume @ inverse(move)))
    before = VolumeSpatialTransformer(volume).slice(poses(pose), GRID)
    assert torch.allclose(moved.slice(torch.from_numpy(move) @ poses(pose), GRID), before, atol=2e-5)


def test_points_near_missing_data_are_unknown(oblique):
    volume, _, pose = oblique
    array = volume.array.copy()
    array[18:23, 22:30, 20:30] = np.nan
    full, holed = (
        VolumeSpatialTransformer(each).slice(poses(pose), GRID)
        for each in (volume, SampledVolume(array, volume.voxel_from_volume))
    )
    assert holed.isfinite().all()
    lost = (full[:, 1] == 1) & (holed[:, 1] == 0)
    assert lost[0, 8, 11]  # the centre, in the hole
    assert 10 < lost[0].sum() < 150
    known = holed[:, 1] == 1
    assert torch.allclose(holed[:, 0][known], full[:, 0][known], atol=0.01)  # a hundredth of the weight may be missing


def test_gradient_of_a_slice_by_the_pose_agrees_with_finite_differences():
    z, y, x = np.meshgrid(*(np.arange(count, dtype=np.float32) for count in (12, 14, 16)), indexing="ij")
    ramp = (0.01 * x + 0.02 * y - 0.03 * z + 0.5).astype(np.float32)  # on which trilinear interpolation has no kinks
    transformer = VolumeSpatialTransformer(SampledVolume(ramp, np.diag([1.5, 1.2, 0.8, 1.0])))
    pose = torch.from_numpy(rigid(translation=(5.0, 5.5, 7.0))).unsqueeze(0).requires_grad_()
    grid = Grid(0.5, (5, 4, 1))
    (gradient,) = torch.autograd.grad(transformer.slice(pose, grid)[:, 0].mean(), pose)
    assert gradient[0, :3, 3].numpy() == pytest.approx([0.015, 0.024, -0.024], abs=1e-5)
