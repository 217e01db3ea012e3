"""Arrays in a file that is mapped: what was written is read, however many there are."""

from __future__ import annotations

import resource
from pathlib import Path

import numpy as np
import pytest

from unsegcli.training.data import TrainingImage, fill
from unsegcli.training.mapped_arrays import ArrayWriter, array_at, mapped


def test_arrays_of_all_types_come_back(tmp_path: Path) -> None:
    given = [
        np.arange(7, dtype=np.uint8).reshape(7, 1),
        np.array([[True, False, True]]),
        np.array(3.5, np.float32),
        np.zeros((0, 4), np.float32),
        np.arange(24, dtype=np.int32).reshape(4, 6)[:, ::2],
    ]
    with ArrayWriter(tmp_path / "a.bin") as file:
        assert file.append(b"head") == 0
        places = [file.add(one) for one in given]
    whole = mapped(tmp_path / "a.bin")
    for one, place in zip(given, places, strict=True):
        found = array_at(place, whole)
        np.testing.assert_array_equal(found, one)
        assert (found.dtype, found.shape) == (one.dtype, one.shape)
        assert found.flags.aligned
        assert not found.flags.writeable


def test_an_earlier_file_is_removed_and_a_failure_leaves_none(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"left over")
    with ArrayWriter(path):
        assert not path.exists()
    assert not path.exists(), "nothing was written"
    with pytest.raises(AttributeError, match="itemsize"):
        _write_what_is_no_array(path)
    assert not path.exists()


def _write_what_is_no_array(path: Path) -> None:
    with ArrayWriter(path) as file:
        file.append(b"begun")
        assert path.exists()
        file.add("no array")  # type: ignore[arg-type]


def test_more_images_than_files_that_may_be_open_are_spilled(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = len(list(Path("/proc/self/fd").iterdir())) + 20 if Path("/proc/self/fd").exists() else 256
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, limits[1]))
    try:
        images = (TrainingImage(np.full((2, 2, 3), n % 256, np.uint8), None, None) for n in range(400))
        pool = fill(images, 0, tmp_path / "pictures-0.bin")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert [int(one.pixels[0, 0, 0]) for one in pool.images if isinstance(one, TrainingImage)] == [
        n % 256 for n in range(400)
    ]
