"""Decode an image file of any supported format into an array, or raise an error that says why in one line.

Pixels are neither scaled nor resized.
"""

from __future__ import annotations

import struct
import tokenize
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unsegcli.core.geometry import Box
from unsegcli.errors import VANISHED, DataError
from unsegcli.images.header import MAX_PIXELS, Header, Pixels, check_axes, check_size, full_range
from unsegcli.images.npy import ArrayFile
from unsegcli.images.rasters import (
    INSTALL,
    Raster,
    RasterPart,
    SurfaceMember,
    is_installed,
    is_large,
    open_raster,
    recognised,
)
from unsegcli.images.tiff import open_tiff

__all__ = ["MAX_PIXELS", "Decoded", "Header", "orient", "read_header", "read_index", "read_pixels"]

Found = TypeVar("Found")

FORMATS = "PNG, JPEG, BMP, WebP, GIF, TIFF or NPY"
OTHERS = "RASTER"  # formats that only GDAL reads
ORIENTATION_TAG = 274
MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF8", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"\x93NUMPY", "NPY"),
    (b"BM", "BMP"),
)
# Exceptions of Pillow, tifffile, imagecodecs and NumPy for broken files; codec errors are RuntimeErrors.
BROKEN = (
    OSError,
    ValueError,
    RuntimeError,
    EOFError,
    SyntaxError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    ImportError,
    struct.error,
    tokenize.TokenError,  # NumPy, for the header of an NPY file
    zlib.error,
)


@dataclass(frozen=True)
class Decoded:
    """One decoded image."""

    pixels: Pixels  # (height, width, bands), in the file's own type, oriented
    orientation: int
    nodata: float | None
    valid: NDArray[np.bool_] | None = None  # (height, width), by a mask inside the file; None = all


def read_header(path: Path, axes: str = "auto") -> Header:
    """Read size, bands and type of the images in a file without decoding them.

    Args:
        path: the file.
        axes: letters y x c p in the order of the axes of a TIFF or NPY array, or "auto".
    """
    check_axes(axes)
    with broken_files_named(path):
        kind = _kind(path)
        if kind == "TIFF":
            with open_tiff(path) as series:
                header = series.header(axes, path)
                if (
                    not is_large(header.height * header.width)
                    or not is_installed()
                    or not series.is_plain(header, axes)
                ):
                    return header
                series.check_complete(path)
                return replace(header, in_parts=True)
        if kind == "NPY":
            return ArrayFile(path).header(axes)
        if kind == OTHERS:
            with open_raster(path) as raster:
                for file in _others(raster, path):
                    refuse_truncated(file)
                return raster.header(path)
        with _pil(path, kind) as image:
            return _pil_header(image, path, kind)


def read_pixels(path: Path, page: int = 0, axes: str = "auto", max_pixels: int = MAX_PIXELS) -> Decoded:
    """Decode one image of a file, with palettes and inks converted to RGB, and the EXIF orientation applied.

    Args:
        path: the file.
        page: number of the image in the file, from 0.
        axes: as in `read_header`.
        max_pixels: a larger image is refused before decoding.
    """
    check_axes(axes)
    valid = None
    with broken_files_named(path):
        kind = _kind(path)
        if kind == "TIFF":
            with open_tiff(path) as series:
                header = series.header(axes, path)
                check_size(path, header, page, max_pixels)
                pixels, valid = series.pixels(axes, path, page, max_pixels)
        elif kind == OTHERS:
            with open_raster(path) as raster:
                header = replace(raster.header(path), in_parts=False)
                check_size(path, header, page, max_pixels)
                part = raster.read(Box(0, 0, *raster.size))
                pixels, valid = part.pixels, part.valid
        elif kind == "NPY":
            array = ArrayFile(path)
            header = array.header(axes)
            check_size(path, header, page, max_pixels)
            pixels = full_range(array.pixels(axes, page))
        else:
            with _pil(path, kind) as image:
                header = _pil_header(image, path, kind)
                check_size(path, header, page, max_pixels)
                pixels = _pil_pixels(image, path, kind, header.bands)
    shown = None if valid is None else orient(valid, header.orientation)
    return Decoded(orient(_native(pixels), header.orientation), header.orientation, header.nodata, shown)


def read_part(
    path: Path,
    box: Box,
    members: tuple[SurfaceMember, ...] = (),
    size: tuple[int, int] | None = None,
    *,
    stored: bool = False,
) -> RasterPart:
    """Decode a part of an image whose header says `in_parts`, or of a surface of several files.

    Args:
        path: the file.
        box: the part.
        members: the files of a surface.
        size: expected height and width of the whole image.
        stored: whether palette indices are not converted to colours.
    """
    with broken_files_named(path), open_raster(path, members) as raster:
        if size is not None and raster.size != size:
            now = " x ".join(map(str, raster.size))
            raise DataError(f"{path}: is {now}, but was {size[0]} x {size[1]} before")
        return raster.read(box, stored=stored)


def look_through(path: Path, members: tuple[SurfaceMember, ...], look: Callable[[Pixels], Found]) -> Iterator[Found]:
    """Yield what `look` finds in the last band (height, width) of each part of a raster."""
    with broken_files_named(path), open_raster(path, members) as raster:
        for box in raster.rectangles():
            yield look(raster.last_band(box))


def rectangles(path: Path, members: tuple[SurfaceMember, ...]) -> list[Box]:
    """Return parts of whole blocks that cover a raster, each small enough to be decoded at once."""
    with broken_files_named(path), open_raster(path, members) as raster:
        return list(raster.rectangles())


def referred(path: Path) -> list[Path]:
    """Return the other files that a file which only GDAL reads refers to, such as those of a virtual raster."""
    if not is_installed():
        return []
    with broken_files_named(path):
        if _kind(path) != OTHERS:
            return []
        with open_raster(path) as raster:
            return _others(raster, path)


def _others(raster: Raster, path: Path) -> list[Path]:
    own = path.resolve()
    return sorted(file for file in raster.files if file.is_file() and file.resolve() != own)


def refuse_truncated(path: Path) -> None:
    """Raise an error if the end of a TIFF file is missing; other files are not checked."""
    with broken_files_named(path):
        if _begins_as(path) == "TIFF":
            with open_tiff(path) as series:
                series.check_complete(path)


def read_index(path: Path, page: int = 0, max_pixels: int = MAX_PIXELS) -> Pixels:
    """Decode a label file or mask as the stored integers.

    Palette indices are not converted to colours, samples of 1, 2 and 4 bits stay 0 to 1, 3 and 15, and the
    orientation tag is not applied: it concerns images, not label files made from them.

    Returns:
        (height, width), or (height, width, bands) if the file has several bands, in the file's own type.
    """
    with broken_files_named(path):
        kind = _kind(path)
        if kind == "TIFF":
            with open_tiff(path) as series:
                check_size(path, series.header("auto", path), page, max_pixels)
                pixels = series.index(path, page, max_pixels)
        elif kind == "NPY":
            array = ArrayFile(path)
            check_size(path, array.header("auto"), page, max_pixels)
            pixels = array.pixels("auto", page)
        elif kind == OTHERS:
            with open_raster(path) as raster:
                check_size(path, replace(raster.header(path), in_parts=False), page, max_pixels)
                pixels = raster.read(Box(0, 0, *raster.size), stored=True).pixels
        else:
            with _pil(path, kind) as image:
                check_size(path, _pil_header(image, path, kind), page, max_pixels)
                pixels = _pil_index(image, path, kind)
    pixels = _native(pixels.astype(np.uint8) if pixels.dtype == np.bool_ else pixels)
    return pixels[:, :, 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels


def orient(pixels: Pixels, orientation: int) -> Pixels:
    """Apply an EXIF orientation, 1 to 8, to an array (height, width, ...)."""
    if orientation >= 5:
        pixels = np.swapaxes(pixels, 0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _kind(path: Path) -> str:
    """Detect the format of a file from its first bytes, ignoring its suffix."""
    kind = _begins_as(path)
    if kind or recognised(path):
        return kind or OTHERS
    other = "" if is_installed() else f"; other formats of rasters need rasterio: {INSTALL}"
    raise DataError(f"{path}: is not a {FORMATS} file{other}")


def _begins_as(path: Path) -> str:
    """Return the format that the first bytes of a file tell; "" for any other."""
    with path.open("rb") as stream:
        start = stream.read(12)
    if not start:
        raise DataError(f"{path}: the file is empty")
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WEBP"
    return next((kind for magic, kind in MAGIC if start.startswith(magic)), "")


@contextmanager
def broken_files_named(path: Path) -> Iterator[None]:
    """Convert any exception of a decoder to a one-line error that names the file; suppress its warnings."""
    limit = Image.MAX_IMAGE_PIXELS
    try:
        Image.MAX_IMAGE_PIXELS = None  # unseg checks its own limit on the header, which an option can raise
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except FileNotFoundError as error:
        raise DataError(f"{path}: {VANISHED}") from error
    except MemoryError as error:
        raise DataError(f"{path}: not enough memory to decode it: split it into smaller images") from error
    except BROKEN as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        reason = " ".join(reason.replace(str(path), "").split())[:200] or type(error).__name__
        raise DataError(f"{path}: cannot be read: {reason}") from error
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _native(pixels: Pixels) -> Pixels:
    """Convert to native byte order, and types of more than 64 bits to float64."""
    dtype = pixels.dtype.newbyteorder("=")
    return pixels.astype(np.float64 if dtype.itemsize > 8 else dtype, copy=False)


# PNG, JPEG, BMP, WebP and GIF, through Pillow; 16-bit PNG through imagecodecs


@dataclass(frozen=True)
class _PngFacts:
    depth: int  # bits of a sample
    colour: int  # 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA
    transparency: bool
    exif: bytes

    @property
    def is_plain(self) -> bool:
        """Whether the samples are RGB or RGBA of 8 bits, as they are given out."""
        return self.depth == 8 and self.colour in (2, 6) and not self.transparency


@contextmanager
def _pil(path: Path, kind: str) -> Iterator[Image.Image]:
    with Image.open(path, formats=[kind]) as image:
        yield image


def _png_facts(path: Path) -> _PngFacts:
    """Read the chunks of a PNG file: Pillow reports neither the bit depth nor chunks after the pixels."""
    depth, colour, transparency, exif = 8, 0, False, b""
    with path.open("rb") as stream:
        stream.seek(8)
        for name, length in _png_chunks(stream):
            if name == b"IHDR":
                depth, colour = stream.read(13)[8:10]
            elif name == b"tRNS":
                transparency = True
            elif name == b"eXIf" and length < 1 << 24:
                exif = stream.read(length)
    return _PngFacts(depth, colour, transparency, exif)


def _png_chunks(stream: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yield name and length of each chunk, with the stream at the chunk's data."""
    while len(start := stream.read(8)) == 8:
        length, name = struct.unpack(">I4s", start)
        following = stream.tell() + length + 4
        yield name, length
        if name == b"IEND":
            return
        stream.seek(following)


def _pil_header(image: Image.Image, path: Path, kind: str) -> Header:
    png = _png_facts(path) if kind == "PNG" else None
    bands, layout = _png_bands(png) if png and png.depth == 16 else _pil_bands(image, path)
    return Header(
        pages=1,
        height=image.height,
        width=image.width,
        bands=bands,
        dtype="uint16" if png and png.depth == 16 else "uint8",
        axes="yxc" if bands > 1 else "yx",
        layout=layout,
        orientation=_exif_orientation(image, png),
    )


def _png_bands(png: _PngFacts) -> tuple[int, str]:
    colours = 3 if png.colour & 2 else 1
    alpha = bool(png.colour & 4) or png.transparency
    return colours + alpha, ("rgb" if colours == 3 else "grey") + ("+alpha" if alpha else "")


def _pil_bands(image: Image.Image, path: Path) -> tuple[int, str]:
    mode = _pil_mode(image, path)
    return len(mode), {"L": "grey", "LA": "grey+alpha", "RGB": "rgb", "RGBA": "rgb+alpha"}[mode]


def _pil_mode(image: Image.Image, path: Path) -> str:
    """Choose the Pillow mode in which to read an image: L, LA, RGB or RGBA."""
    transparent = "transparency" in image.info
    if image.mode in ("1", "L", "LA", "La"):
        return "LA" if transparent or "A" in image.mode.upper() else "L"
    if image.mode in ("P", "RGB", "RGBX", "CMYK", "YCbCr"):
        return "RGBA" if transparent else "RGB"
    if image.mode in ("PA", "RGBA", "RGBa"):
        return "RGBA"
    raise DataError(f"{path}: Pillow mode {image.mode!r} is not supported: convert the image to RGB or grey")


def _exif_orientation(image: Image.Image, png: _PngFacts | None) -> int:
    """Return the EXIF orientation of the file; 1 if it is missing or invalid."""
    try:
        if png is not None and png.exif:
            exif = Image.Exif()
            exif.load(b"Exif\0\0" + png.exif)
        else:
            exif = Image.Image.getexif(image)  # that of PngImageFile would decode the image
        orientation = exif.get(ORIENTATION_TAG, 1)
    except BROKEN:  # broken EXIF data does not make the image unreadable
        return 1
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1


def _pil_pixels(image: Image.Image, path: Path, kind: str, bands: int) -> Pixels:
    png = _png_facts(path) if kind == "PNG" else None
    if png is not None and png.depth == 16:
        pixels = _png_of_16_bits(path)
    else:
        quick = _quickly(path) if png is not None and png.is_plain else None
        pixels = _by_pillow(image, path) if quick is None else quick
    pixels = pixels.reshape(image.height, image.width, -1)
    if pixels.shape[2] != bands:
        raise DataError(f"{path}: {pixels.shape[2]} bands were decoded, but the header says {bands}")
    return pixels


def _by_pillow(image: Image.Image, path: Path) -> Pixels:
    mode = _pil_mode(image, path)
    return np.asarray(image if image.mode == mode else image.convert(mode))


def _pil_index(image: Image.Image, path: Path, kind: str) -> Pixels:
    depth = _png_facts(path).depth if kind == "PNG" else 8
    if depth == 16:
        return _png_of_16_bits(path)
    pixels = np.asarray(image)
    if depth in (2, 4) and image.mode == "L":  # Pillow scales these to 0 to 255
        pixels = pixels // np.uint8(255 // (2**depth - 1))
    return pixels


def _quickly(path: Path) -> Pixels | None:
    """Decode a plain PNG file with libspng, in half the time; None for what it cannot read, which Pillow then names."""
    import imagecodecs

    try:
        pixels: Pixels = imagecodecs.spng_decode(path.read_bytes())
    except BROKEN:
        return None
    return pixels


def _png_of_16_bits(path: Path) -> Pixels:
    """Decode with imagecodecs: Pillow would silently reduce colours to 8 bits."""
    import imagecodecs

    pixels: Pixels = imagecodecs.png_decode(path.read_bytes())
    return pixels
