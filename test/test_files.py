

@pytest.mark.parametrize("path", ["x" * 5000, "/" + "y" * 300 + "/file"])
def test_a_name_that_is_too_long_is_no_file(path):
    assert not is_file(Path(path)) and not is_folder(Path(path))
    for read in (read_volume, read_sequence, read_yaml, read_poses, find_weights, lambda bag: opened(bag).__enter__()):
        with pytest.raises(InputError, match=r"no such file|there is no bag|cannot be read"):
            read(path)
