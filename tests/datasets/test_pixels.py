"""Encodings of TIFF that tiles may have."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from unsegcli.datasets._archives import Member, ReadOnce
from unsegcli.datasets._pixels import read_tiff, tiff_bytes
from unsegcli.errors import DataError

PIXELS = np.random.default_rng(0).integers(0, 256, (48, 32, 4), np.uint8)


def read(path: Path, content: bytes) -> NDArray[Any]:
    path.write_bytes(content)
    return read_tiff(ReadOnce(Member(path.name, len(content), path)))


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"rowsperstrip": 7},
        {"compression": "lzw"},
        {"tile": (16, 16), "compression": "zlib"},
        {"planarconfig": "separate"},
        {"planarconfig": "separate", "compression": "lzw"},
        {"bigtiff": True, "byteorder": ">"},
    ],
    ids=str,
)
def test_every_encoding_gives_the_same_pixels(how: dict[str, Any], tmp_path: Path) -> None:
    stored = np.moveaxis(PIXELS, 2, 0) if "planarconfig" in how else PIXELS
    out = io.BytesIO()
    tifffile.imwrite(out, stored, photometric="rgb", extrasamples=["unspecified"], metadata=None, **how)
    np.testing.assert_array_equal(read(tmp_path / "x.tif", out.getvalue()), PIXELS)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read(tmp_path / "x.tif", tiff_bytes(PIXELS)), PIXELS)


@pytest.mark.parametrize("kept", [0, 7, 100, 5000])
def test_a_file_that_was_cut_off_is_named(kept: int, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"x\.tif is not a whole image"):
        read(tmp_path / "x.tif", tiff_bytes(PIXELS)[:kept])
