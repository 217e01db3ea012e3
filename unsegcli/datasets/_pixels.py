"""Decode and encode the images and label maps of data sets, in memory."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unsegcli.datasets._archives import ReadOnce
from unsegcli.datasets._contract import SetClass
from unsegcli.datasets._streams import InMemory
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
        with InMemory(content) as file, tifffile.TiffFile(file) as opened:
            page: Any = opened.pages.first
            if page.is_contiguous:
                dtype = page.dtype.newbyteorder(opened.byteorder)
                array = np.frombuffer(content, dtype, page.size, page.dataoffsets[0]).reshape(page.shape)
            else:
                array = page.asarray()
            return np.moveaxis(array, 0, 2) if page.axes == "SYX" else array

    return _decoded(file, decode)


def _decoded(file: ReadOnce, decode: Callable[[bytearray], Made]) -> Made:
    content = file.read()
    try:
        return decode(content)
    except BROKEN as error:
        raise DataError(f"{file.member.where} is not a whole image: {error}") from error


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


# Sizes and crops


def scaled_crop(pixels: NDArray[Any], factor: float, side: int, *, labels: bool, padding: int = 0) -> NDArray[np.uint8]:
    """Scale as OpenCV's `resize(fx=factor, fy=factor)` does, then take the middle: (side, side) or (side, side, bands).

    Pixels are interpolated between the four nearest, without smoothing before, and rounded; labels are those of the
    nearest pixel. What is smaller than the crop gets a margin on all sides.
    """
    scaled = [round(length * factor) for length in pixels.shape[:2]]
    rows, columns = (_middle(length, side) for length in scaled)
    out = np.full((side, side, *pixels.shape[2:]), padding, np.uint8)
    there = np.ix_((rows >= 0) & (rows < scaled[0]), (columns >= 0) & (columns < scaled[1]))
    rows, columns = (one[(one >= 0) & (one < length)] for one, length in zip((rows, columns), scaled, strict=True))
    take = _nearest if labels else _bilinear
    out[there] = take(pixels, rows, columns, 1 / factor)
    return out


def _middle(length: int, side: int) -> NDArray[np.int64]:
    """Return the places of the crop on the scaled length; those before 0 or after its end are margin."""
    longer = max(length, side)
    return np.arange(side) + longer // 2 - side // 2 - (longer // 2 - length // 2)


def _nearest(pixels: NDArray[Any], rows: NDArray[Any], columns: NDArray[Any], step: float) -> NDArray[Any]:
    height, width = pixels.shape[:2]
    found = np.minimum((rows * step).astype(int), height - 1), np.minimum((columns * step).astype(int), width - 1)
    taken: NDArray[Any] = pixels[np.ix_(*found)]
    return taken


def _bilinear(pixels: NDArray[Any], rows: NDArray[Any], columns: NDArray[Any], step: float) -> NDArray[Any]:
    height, width = pixels.shape[:2]
    top, bottom, down = _between(rows, step, height)
    left, right, across = _between(columns, step, width)
    down, across = down[:, None, None], across[None, :, None]
    upper = pixels[np.ix_(top, left)] * (1 - across) + pixels[np.ix_(top, right)] * across
    lower = pixels[np.ix_(bottom, left)] * (1 - across) + pixels[np.ix_(bottom, right)] * across
    mixed: NDArray[Any] = upper * (1 - down) + lower * down + 0.5
    return mixed.astype(np.uint8)


def _between(places: NDArray[Any], step: float, length: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return the pixels before and after each place, and how far it is on the way from one to the other."""
    exact = np.clip((places + 0.5) * step - 0.5, 0, length - 1)
    before = exact.astype(int)
    return before, np.minimum(before + 1, length - 1), (exact - before).astype(np.float32)


def resized_crop(image: Image.Image, side: int, *, labels: bool) -> NDArray[np.uint8]:
    """Resize the shorter side by Pillow, as torchvision's `resize` does, and take the middle: (side, side, ...)."""
    width, height = image.size
    shorter = min(width, height)
    grid = int(side * width / shorter), int(side * height / shorter)
    scaled = np.asarray(image.resize(grid, Image.Resampling.NEAREST if labels else Image.Resampling.BILINEAR))
    top, left = (round((length - side) / 2) for length in scaled.shape[:2])
    return scaled[top : top + side, left : left + side]
