"""Names that no file can have are bad input, for every reader."""

from pathlib import Path

import pytest

from deeprs2v_ros.anatomy.reading import read_surfaces
from deeprs2v_ros.bags import opened
from deeprs2v_ros.errors import InputError
from deeprs2v_ros.evaluation.poses import read_poses
from deeprs2v_ros.files import is_file, is_folder
from deeprs2v_ros.imaging.mask import read_mask
from deeprs2v_ros.imaging.sequence import read_sequence
from deeprs2v_ros.imaging.volume import read_volume
from deeprs2v_ros.network.checkpoint import find_weights
from deeprs2v_ros.reading import read_yaml

READERS = {
    "volume": read_volume,
    "sequence": read_sequence,
    "mask": lambda path: read_mask(path, (4, 4)),
    "yaml": read_yaml,
    "poses": read_poses,
    "weights": find_weights,
    "bag": lambda path: opened(path).__enter__(),
    "surface": read_surfaces,
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("path", ["x" * 5000 + ".stl", "/" + "y" * 300 + "/file.stl"])
def test_a_name_that_is_too_long_is_no_file(name, path):
    assert not is_file(Path(path))
    assert not is_folder(Path(path))
    with pytest.raises(InputError, match=r"no such file|there is no bag|cannot be read"):
        READERS[name](path)


def test_a_volume_whose_pixels_are_in_a_file_with_such_a_name(tmp_path):
    header = tmp_path / "volume.mhd"
    lines = ("ObjectType = Image", "NDims = 3", "DimSize = 2 2 2", "ElementType = MET_UCHAR")
    header.write_text("\n".join((*lines, f"ElementDataFile = {'9' * 3000}.raw\n")))
    with pytest.raises(InputError, match=r"volume\.mhd: the file of its pixels"):
        read_volume(header)
