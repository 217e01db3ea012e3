"""Read NumPy NPY files: memory-mapped, never unpickled.

An array has bands; it has no colour space.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from unsegcli.errors import DataError
from unsegcli.images.header import (
    Header,
    Pixels,
    arranged,
    check_dtype,
    extent,
    given_letters,
    page_selection,
)


class ArrayFile:
    """One NPY file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.array: Pixels = np.load(path, mmap_mode="r", allow_pickle=False)
        check_dtype(path, self.array.dtype)
        if self.array.size == 0:
            raise DataError(f"{path}: an empty array of shape {self.array.shape}")

    def header(self, axes: str) -> Header:
        letters = self._letters(axes)
        bands = extent(self.array.shape, letters, "c")
        dtype = np.dtype("uint8") if self.array.dtype == np.bool_ else self.array.dtype
        return Header(
            pages=extent(self.array.shape, letters, "p"),
            height=extent(self.array.shape, letters, "y"),
            width=extent(self.array.shape, letters, "x"),
            bands=bands,
            dtype="float64" if dtype.itemsize > 8 else dtype.name,
            axes=letters,
            layout={1: "grey", 3: "rgb"}.get(bands, "bands"),
        )

    def pixels(self, axes: str, page: int) -> Pixels:
        letters = self._letters(axes)
        image = self.array[page_selection(self.array.shape, letters, page)]
        return np.array(arranged(image, letters.replace("p", "")))

    def _letters(self, axes: str) -> str:
        shape = self.array.shape
        if axes != "auto":
            return given_letters(self.path, shape, axes)
        if len(shape) == 2:
            return "yx"
        if len(shape) == 3 and shape[0] != shape[2]:
            return "cyx" if shape[0] < shape[2] else "yxc"
        raise DataError(f"{self.path}: the order of axes in an array of shape {shape} is unclear: give it with --axes")
