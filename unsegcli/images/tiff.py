"""Read TIFF files of every kind that tifffile supports: strips, tiles, planes, pages, palettes, inks.

The orientation is not applied here, and the meaning of alpha is decided later, for the whole folder.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.errors import DataError
from unsegcli.images.georeference import KEYS, MATRIX, SCALE, TEXTS, TIEPOINTS, Georeference, georeference
from unsegcli.images.header import (
    SAMPLES_PER_PIXEL,
    Header,
    Pixels,
    arranged,
    check_dtype,
    extent,
    full_range,
    given_letters,
    millions,
    page_selection,
)

ORIENTATION_TAG = 274
GDAL_DECODES = (1, 5, 7, 8, 32773, 32946, 34887, 34925, 50000, 50001)  # compressions
MANY_BANDS = 5
REDUCED, OF_MASK = 1, 4  # bits of the subfile type
NODATA_TAG = 42113  # GDAL_NODATA
PLACE_TAGS = (SCALE, TIEPOINTS, MATRIX, KEYS, TEXTS)


@cache
def _tifffile() -> Any:
    """Import tifffile on first use and silence its log: errors are reported by unseg."""
    import tifffile

    log = logging.getLogger("tifffile")
    log.addHandler(logging.NullHandler())
    log.propagate = False
    return tifffile


@contextmanager
def open_tiff(path: Path) -> Iterator[TiffSeries]:
    # Otherwise one file of a multi-file OME-TIFF would show the images of all files.
    with _tifffile().TiffFile(path, _multifile=False) as tiff:
        if not tiff.pages or not tiff.series:
            raise DataError(f"{path}: the TIFF file has no image")
        yield TiffSeries(tiff)


class TiffSeries:
    """The first series of a TIFF file: its pages of one size and type, without thumbnails and overviews."""

    def __init__(self, tiff: Any) -> None:
        self.tiff = tiff
        self.series = tiff.series[0]
        self.page = self.series.keyframe
        self.shape: tuple[int, ...] = tuple(int(length) for length in self.series.shape)

    def header(self, axes: str, path: Path) -> Header:
        if self.series.dtype is None:
            raise DataError(f"{path}: its sample format is not supported: convert it to integers or floats")
        dtype = np.dtype(self.series.dtype)
        check_dtype(path, dtype)
        letters = self._letters(axes, path)
        bands, layout = self._bands(extent(self.shape, letters, "c"), path)
        return Header(
            pages=extent(self.shape, letters, "p"),
            height=extent(self.shape, letters, "y"),
            width=extent(self.shape, letters, "x"),
            bands=bands,
            dtype="uint8" if dtype == np.bool_ or self._photometric == "PALETTE" else dtype.name,
            axes=letters,
            layout=layout,
            orientation=self._orientation(),
            nodata=self._nodata(),
            left_out=self._pages_left_out(),
            place=self._place(),
        )

    def pixels(self, axes: str, path: Path, page: int, max_pixels: int) -> tuple[Pixels, NDArray[np.bool_] | None]:
        """Decode one image: its colours, and the pixels that the file itself marks as valid (None = all)."""
        stored = self._stored(axes, path, page, max_pixels)
        valid = self._mask(path)
        if self._has_mask_band(stored.shape[2]):
            covered = stored[:, :, -1] != 0
            valid, stored = covered if valid is None else valid & covered, stored[:, :, :-1]
        return self._coloured(stored, path), valid

    def index(self, path: Path, page: int, max_pixels: int) -> Pixels:
        pixels = self._stored("auto", path, page, max_pixels)
        if self._has_mask_band(pixels.shape[2]):
            pixels = pixels[:, :, :-1]
        return ~pixels if pixels.dtype == np.bool_ and self._photometric == "MINISWHITE" else pixels

    def is_plain(self, header: Header, axes: str) -> bool:
        """Return whether GDAL decodes the image as it is decoded here: one page, upright, of whole bytes."""
        kinds = ("MINISBLACK", "RGB", "YCBCR", "PALETTE")
        bits = int(self.page.bitspersample)
        known = int(self.page.compression) in GDAL_DECODES
        alike = known and self._photometric in kinds and bits >= 8 and header.dtype not in ("float16", "longdouble")
        return (
            alike and axes == "auto" and header.pages == 1 and len(self.series.pages) == 1 and header.orientation == 1
        )

    def check_complete(self, path: Path) -> None:
        self._check_complete([page for page in self.series.pages if page is not None], path)

    def _has_mask_band(self, stored: int) -> bool:
        """Return whether the last of many bands is alpha; of two or four bands, their values tell."""
        extra = [int(sample) for sample in self.page.extrasamples]
        return stored >= MANY_BANDS and self._photometric != "SEPARATED" and bool(extra) and extra[-1] in (1, 2)

    def _mask(self, path: Path) -> NDArray[np.bool_] | None:
        """Return the valid pixels by a mask inside the file; None if it has none."""
        if len(self.series.pages) != 1:
            return None
        size = int(self.page.imagelength), int(self.page.imagewidth)
        for page in self.tiff.pages:
            kind = int(getattr(page, "subfiletype", 0))
            if kind & OF_MASK and not kind & REDUCED and (int(page.imagelength), int(page.imagewidth)) == size:
                self._check_complete([page], path)
                return np.asarray(page.asarray(maxworkers=1) != 0).reshape(size)
        return None

    @property
    def _photometric(self) -> str:
        return str(getattr(self.page.photometric, "name", self.page.photometric))

    def _letters(self, axes: str, path: Path) -> str:
        if axes != "auto":
            return given_letters(path, self.shape, axes)
        names = self.series.axes.upper()
        letters = "".join({"Y": "y", "X": "x", "S": "c"}.get(name, "p") for name in names)
        if "S" not in names and names.count("C") == 1:
            letters = "".join("c" if name == "C" else letter for name, letter in zip(names, letters, strict=True))
        if letters.count("y") != 1 or letters.count("x") != 1 or letters.count("c") > 1:
            raise DataError(f"{path}: the meaning of the axes {names} is unclear: give it with --axes")
        return letters

    def _bands(self, stored: int, path: Path) -> tuple[int, str]:
        """Return the number of bands and the layout after palettes and inks are converted to RGB."""
        if self._photometric in ("CIELAB", "ICCLAB", "ITULAB", "LOGL", "LOGLUV"):
            raise DataError(f"{path}: {self._photometric} colours are not supported: convert it to RGB")
        if self._photometric == "YCBCR" and self.page.compression not in (6, 7, 34892):
            raise DataError(f"{path}: YCbCr without JPEG compression is not supported: convert it to RGB")
        extra = [int(sample) for sample in self.page.extrasamples]
        if self._photometric == "PALETTE" and stored == 1:
            return 3, "rgb"
        if self._photometric == "SEPARATED" and stored >= 4:
            stored -= 1
        stored -= self._has_mask_band(stored)
        alpha = stored in (2, 4) and len(extra) == 1 and extra[0] in (1, 2)
        colours = stored - alpha
        coloured = self._photometric in ("RGB", "YCBCR", "SEPARATED")
        layout = "grey" if colours == 1 else "rgb" if colours == 3 and coloured else "bands"
        return stored, layout + ("+alpha" if alpha else "")

    def _orientation(self) -> int:
        tag = self.page.tags.get(ORIENTATION_TAG)
        value = int(tag.value) if tag is not None and isinstance(tag.value, int) else 1
        return value if 1 <= value <= 8 else 1

    def _nodata(self) -> float | None:
        tag = self.page.tags.get(NODATA_TAG)
        try:
            value = float(str(tag.value).strip(" \0")) if tag is not None else math.nan
        except ValueError:
            return None
        return value if math.isfinite(value) else None  # values that are not finite are never valid anyway

    def _place(self) -> Georeference:
        """Return where the image lies; pages of their own could lie anywhere, so several have no place."""
        tags = {tag: self.page.tags[tag].value for tag in PLACE_TAGS if tag in self.page.tags}
        if not tags or len(self.series.pages) != 1:
            return Georeference()
        return georeference(tags, int(self.page.imagelength), int(self.page.imagewidth), self._orientation())

    def _pages_left_out(self) -> int:
        others = (series for series in self.tiff.series[1:] if not self._is_reduced(series.keyframe))
        return sum(len(series.pages) for series in others)

    @staticmethod
    def _is_reduced(page: Any) -> bool:
        """Return whether a page is an overview or a transparency mask of another page."""
        return bool(int(page.subfiletype) & (REDUCED | OF_MASK))

    def _stored(self, axes: str, path: Path, page: int, max_pixels: int) -> Pixels:
        """Read the samples of one image as stored: (height, width, bands)."""
        letters = self._letters(axes, path)
        selection = page_selection(self.shape, letters, page)
        inner = tuple(int(length) for length in self.page.shape)
        split = len(self.shape) - len(inner)
        pages = self.series.pages
        by_pages = (
            split > 0
            and self.shape[split:] == inner
            and len(pages) == math.prod(self.shape[:split])
            and all(pages[number] is not None for number in range(len(pages)))
        )
        if by_pages:
            numbers = np.arange(len(pages)).reshape(self.shape[:split])[selection[:split]]
            self._check_complete([pages[int(number)] for number in numbers.ravel()], path)
            decoded = [pages[int(number)].asarray(maxworkers=1) for number in numbers.ravel()]
            array = np.stack(decoded).reshape(numbers.shape + inner)
            array = array[(slice(None),) * numbers.ndim + selection[split:]]
        else:
            self._check_whole(path, max_pixels)
            self._check_complete([page for page in pages if page is not None], path)
            array = self.series.asarray(maxworkers=1).reshape(self.shape)[selection]
        return arranged(array, letters.replace("p", ""))

    def _check_whole(self, path: Path, max_pixels: int) -> None:
        count = math.prod(self.shape)
        if count > SAMPLES_PER_PIXEL * max_pixels:
            limit = millions(SAMPLES_PER_PIXEL * max_pixels)
            raise DataError(
                f"{path}: its pages can only be read together, and their {millions(count)} million samples "
                f"are over the limit of {limit} million: raise --max-pixels to read it"
            )

    def _check_complete(self, pages: list[Any], path: Path) -> None:
        """Refuse a truncated file: some decoders silently fill in zeros."""
        for page in pages:
            for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False):
                if offset + count > self.tiff.filehandle.size:
                    raise DataError(f"{path}: the file is truncated")

    def _coloured(self, pixels: Pixels, path: Path) -> Pixels:
        """Convert stored samples to colours: (height, width, bands)."""
        kind, bits = self._photometric, int(self.page.bitspersample)
        if kind == "PALETTE" and pixels.shape[2] == 1:
            return self._through_palette(pixels, path)
        if pixels.dtype == np.bool_:
            return full_range(~pixels if kind == "MINISWHITE" else pixels)
        if bits in (2, 4) and pixels.dtype == np.uint8:
            pixels = pixels * np.uint8(255 // (2**bits - 1))
            bits = 8
        if kind == "MINISWHITE" and pixels.dtype.kind == "u":
            inverted: Pixels = (pixels.dtype.type(2**bits - 1) - pixels).astype(pixels.dtype)
            return inverted
        if kind == "SEPARATED" and pixels.shape[2] >= 4:
            return _inks_to_colours(pixels, path)
        return pixels

    def _through_palette(self, pixels: Pixels, path: Path) -> Pixels:
        colours = np.asarray(self.page.colormap, dtype=np.uint16)  # (3, entries)
        index = pixels[:, :, 0].astype(np.intp)
        if colours.ndim != 2 or colours.shape[0] != 3 or index.max(initial=0) >= colours.shape[1]:
            raise DataError(f"{path}: palette indices are out of range")
        # Some writers store 8 bits where the format requires 16; libtiff handles this, too.
        narrow = colours if colours.max() < 256 else colours >> 8
        palette: Pixels = narrow.astype(np.uint8).T
        return palette[index]


def _inks_to_colours(pixels: Pixels, path: Path) -> Pixels:
    """Convert CMYK (height, width, 4 + extra) to RGB and keep the extra bands."""
    if pixels.dtype.kind != "u":
        raise DataError(f"{path}: CMYK inks of type {pixels.dtype} are not supported: convert it to RGB")
    full = float(np.iinfo(pixels.dtype).max)
    colours = (full - pixels[:, :, :3]) * (full - pixels[:, :, 3:4]) / full
    return np.concatenate([np.floor(colours + 0.5).astype(pixels.dtype), pixels[:, :, 4:]], axis=2)
