"""The format safetensors, read back byte by byte."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from unsegcli.errors import ConfigError
from unsegcli.views.tensor_file import tensor_bytes, write_tensor_file

NUMPY = {"F32": "<f4", "F16": "<f2", "I64": "<i8", "U8": "|u1", "BOOL": "|b1", "BF16": "<u2"}


def read_tensors(content: bytes) -> tuple[dict[str, NDArray[Any]], dict[str, str], dict[str, str]]:
    """The tensors of a file, their types, and the texts that describe them."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    about, values = header.pop("__metadata__"), content[8 + length :]
    ends = [0, *(one["data_offsets"][1] for one in header.values())]
    assert [one["data_offsets"][0] for one in header.values()] == ends[:-1], "no gaps"
    assert ends[-1] == len(values)
    tensors = {
        name: np.frombuffer(values[slice(*one["data_offsets"])], NUMPY[one["dtype"]]).reshape(one["shape"])
        for name, one in header.items()
    }
    return tensors, {name: one["dtype"] for name, one in header.items()}, about


def test_what_is_written_is_read_back() -> None:
    random = np.random.default_rng(0)
    given: dict[str, NDArray[Any]] = {
        "conv1.weight": random.normal(size=(4, 3, 2, 2)).astype(np.float32),
        "turned": random.normal(size=(3, 5)).astype(np.float32).T,
        "swapped": np.arange(3, dtype=">f4"),
        "count": np.array(7, np.int64),
        "none": np.zeros((0, 4), np.float16),
        "halves": np.array([16256, 49024], np.uint16),
    }
    content = tensor_bytes(given, {"format": "pt", "name": "Müller"}, ["halves"])
    assert int.from_bytes(content[:8], "little") % 8 == 0
    tensors, kinds, about = read_tensors(content)
    assert about == {"format": "pt", "name": "Müller"}
    assert list(tensors) == list(given)
    for name, array in given.items():
        np.testing.assert_array_equal(tensors[name], array)
    assert (kinds["halves"], kinds["count"], kinds["none"]) == ("BF16", "I64", "F16")


def test_a_file_is_replaced_only_if_that_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "w.safetensors"
    assert write_tensor_file(path, b"one", force=False)
    assert not write_tensor_file(path, b"one", force=False)
    with pytest.raises(ConfigError, match="has other content"):
        write_tensor_file(path, b"two", force=False)
    assert path.read_bytes() == b"one"
    assert write_tensor_file(path, b"two", force=True)
    assert [one.name for one in path.parent.iterdir()] == ["w.safetensors"]
