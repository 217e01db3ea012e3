"""Decode and encode the images and label maps of data sets, in memory."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unsegcli.datasets._archives import ReadOnce
from unsegcli.datasets._contract import SetClass
from unsegcli.errors import DataError
from unsegcli.images.decode import BROKEN

PALETTE = 256  # colours of a PNG
Made = TypeVar("Made")


def read_image(file: ReadOnce) -> Image.Image:
    """Decode a PNG or JPEG file, as it is stored: palettes stay indices."""

    def decode(content: bytearray) -> Image.Image:
        image = Image.open(io.BytesIO(content))
        image.load()
        return image

    return _decoded(file, decode)


def read_rgb(file: ReadOnce) -> NDArray[np.uint8]:
    """Decode a PNG or JPEG file to colours: (height, width, 3)."""
    return np.asarray(read_image(file).convert("RGB"))


def read_numbers(file: ReadOnce) -> NDArray[Any]:
    """Decode the numbers of a label file, PNG: (height, width)."""
    numbers = np.asarray(read_image(file))
    if numbers.ndim != 2 or numbers.dtype.kind not in "iu":
        raise DataError(f"{file.member.where} does not hold one number per pixel")
    return numbers


def read_tiff(file: ReadOnce) -> NDArray[Any]:
    """Decode the first image of a TIFF file: (height, width, bands). One that is not compressed is not copied."""
    import tifffile

    def decode(content: bytearray) -> NDArray[Any]:
        with tifffile.TiffFile(_InMemory(content)) as opened:
            page: Any = opened.pages.first
            if page.is_contiguous:
                dtype = page.dtype.newbyteorder(opened.byteorder)
                return np.frombuffer(content, dtype, page.size, page.dataoffsets[0]).reshape(page.shape)
            array: NDArray[Any] = page.asarray()
            return array

    return _decoded(file, decode)


def _decoded(file: ReadOnce, decode: Callable[[bytearray], Made]) -> Made:
    content = file.read()
    try:
        return decode(content)
    except BROKEN as error:
        raise DataError(f"{file.member.where} is not a whole image: {error}") from error


class _InMemory(io.RawIOBase):
    """The bytes of a file, read in place; `BytesIO` would copy them."""

    def __init__(self, content: bytearray) -> None:
        self._content, self._at = memoryview(content), 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: len(self._content)}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        block = self._content[self._at : self._at + len(buffer)]
        buffer[: len(block)] = block
        self._at += len(block)
        return len(block)


def tiff_bytes(pixels: NDArray[Any], photometric: str = "rgb") -> bytes:
    """Encode an image (height, width, bands) as TIFF without compression; bands after the third have no meaning."""
    import tifffile

    out = io.BytesIO()
    extra = ["unspecified"] * (pixels.shape[2] - 3)
    tifffile.imwrite(out, pixels, photometric=photometric, extrasamples=extra or None, metadata=None)
    return out.getvalue()


def png_bytes(pixels: NDArray[np.uint8]) -> bytes:
    """Encode colours (height, width, 3) as PNG."""
    return _png(Image.fromarray(pixels))


def label_bytes(values: NDArray[np.uint8], classes: Sequence[SetClass]) -> bytes:
    """Encode a label map (height, width) as PNG with the colours of its classes; other values are white."""
    image = Image.fromarray(values)
    table = np.full((PALETTE, 3), 255, np.uint8)
    for one in classes:
        table[list(one.values)] = list(bytes.fromhex(one.color.removeprefix("#")))
    image.putpalette(table.tobytes())
    return _png(image)


def _png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=1)
    return out.getvalue()
