"""Read parts of rasters of every format that GDAL opens, and tiles of one surface as one raster.

Only this file imports rasterio, which is optional (extra `geo`), and only when it is used.
"""

from __future__ import annotations

import importlib.util
import logging
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.geometry import Box
from unsegcli.errors import ConfigError, DataError
from unsegcli.images.georeference import Affine, Georeference
from unsegcli.images.header import Header, Pixels, check_dtype

INSTALL = "pip install '.[geo]'"
LARGE = 16_000_000  # pixels of a raster that is read in parts, and cut into windows unless the user says how
CACHE_MEGABYTES = 64  # of decoded blocks, in each process
PIXELS_AT_ONCE = 4_000_000  # when a whole raster is looked through
MANY_BANDS = 5  # with so many, a last band that the file calls alpha is a mask; with two or four, its values tell
SAME_SIZE = 1e-6  # relative difference of the pixels of two tiles of one surface
OFF_THE_GRID = 0.05  # pixels by which tiles may lie off their common grid before that is an error
TYPES = {"uint8": "Byte", "int8": "Int8", "uint16": "UInt16", "int16": "Int16", "uint32": "UInt32", "int32": "Int32"}
TYPES |= {"uint64": "UInt64", "int64": "Int64", "float32": "Float32", "float64": "Float64"}


@dataclass(frozen=True)
class SurfaceMember:
    """A file that a surface is made of, and where it lies on it."""

    path: str  # absolute
    digest: str  # SHA-256 of the file
    bytes: int
    modified: int  # nanoseconds since 1970
    box: Box


@dataclass(frozen=True)
class RasterPart:
    """The pixels of a part of a raster, and those that the file itself marks as valid."""

    pixels: Pixels  # (height, width, bands)
    valid: NDArray[np.bool_] | None  # (height, width), by an internal mask or a band of alpha; None = all
    nodata: float | None


def is_large(pixels: int) -> bool:
    """Return whether a raster is so large that it is read in parts, and cut into windows by itself."""
    return pixels > LARGE


@cache
def is_installed() -> bool:
    """Return whether rasterio is there."""
    return importlib.util.find_spec("rasterio") is not None


@cache
def _rasterio() -> Any:
    import rasterio

    log = logging.getLogger("rasterio")
    log.addHandler(logging.NullHandler())
    log.propagate = False
    return rasterio


def recognised(path: Path) -> bool:
    """Return whether GDAL opens a file."""
    if not is_installed():
        return False
    try:
        with open_raster(path):
            return True
    except (OSError, ValueError, RuntimeError):
        return False


@contextmanager
def open_raster(path: Path, members: tuple[SurfaceMember, ...] = ()) -> Iterator[Raster]:
    """Open a file, or the surface that several files make."""
    if not is_installed():
        raise DataError(f"{path}: reading it needs rasterio: {INSTALL}")
    rasterio = _rasterio()
    settings = {"GDAL_CACHEMAX": CACHE_MEGABYTES, "GDAL_NUM_THREADS": "1", "GDAL_VRT_ENABLE_PYTHON": "NO"}
    with rasterio.Env(**settings), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(_surface(members) if members else path) as dataset:
            yield Raster(dataset)


class Raster:
    """An open raster."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        names = [kind.name for kind in dataset.colorinterp]
        self.palette = _palette(dataset) if names == ["palette"] and dataset.dtypes[0] == "uint8" else None
        self.alpha = len(names) if len(names) >= MANY_BANDS and names[-1] == "alpha" else 0
        self.indexes = [index for index in dataset.indexes if index != self.alpha]
        self.dtype = np.result_type(*(np.dtype(name) for name in dataset.dtypes))
        self.layout = _layout([names[index - 1] for index in self.indexes])

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return int(self.dataset.height), int(self.dataset.width)

    @property
    def files(self) -> list[Path]:
        """The file and those that it refers to."""
        return [Path(name) for name in self.dataset.files]

    def header(self, path: Path) -> Header:
        """Return what is known before decoding."""
        check_dtype(path, self.dtype)
        return Header(
            pages=1,
            height=self.size[0],
            width=self.size[1],
            bands=3 if self.palette is not None else len(self.indexes),
            dtype=self.dtype.name,
            axes="yxc",
            layout="rgb" if self.palette is not None else self.layout,
            nodata=self._nodata,
            place=self.place,
            in_parts=True,
        )

    @property
    def place(self) -> Georeference:
        """Coordinate system and place; none if the file says nothing."""
        crs, transform = self.dataset.crs, self.dataset.transform
        code = crs.to_epsg() if crs else None
        name = f"EPSG:{code}" if code else crs.to_wkt() if crs else ""
        return Georeference(name, () if transform.is_identity else tuple(float(number) for number in transform[:6]))

    @property
    def has_mask(self) -> bool:
        """Whether the file has a mask of valid pixels of its own."""
        flags = {flag.name for flag in self.dataset.mask_flag_enums[0]}
        return "per_dataset" in flags and "alpha" not in flags

    @property
    def _nodata(self) -> float | None:
        value = self.dataset.nodata
        return None if value is None or not math.isfinite(value) else float(value)

    def read(self, box: Box, *, stored: bool = False) -> RasterPart:
        """Read all bands of a part; palette indices become colours, or stay as they are `stored`."""
        window = _window(box)
        pixels = np.moveaxis(self.dataset.read(self.indexes, window=window, out_dtype=self.dtype), 0, -1)
        masks = []
        if self.has_mask:
            masks.append(self.dataset.read_masks(1, window=window) != 0)
        if self.alpha:
            masks.append(self.dataset.read(self.alpha, window=window) != 0)
        if self.palette is not None and not stored:
            pixels = self.palette[pixels[:, :, 0]]
        return RasterPart(pixels, np.logical_and.reduce(masks) if masks else None, self._nodata)

    def last_band(self, box: Box) -> Pixels:
        """Read the last band of a part."""
        band: Pixels = self.dataset.read(self.indexes[-1], window=_window(box))
        return band

    def rectangles(self) -> Iterator[Box]:
        """Yield rectangles of whole blocks that cover the raster, each small enough to be read at once."""
        height, width = self.size
        tall, wide = self.dataset.block_shapes[0]
        most = max(1, PIXELS_AT_ONCE // len(self.indexes))
        across = min(width, wide * max(1, math.isqrt(most) // wide))
        down = min(height, tall * max(1, most // across // tall))
        for top in range(0, height, down):
            for left in range(0, width, across):
                yield Box(top, left, min(down, height - top), min(across, width - left))


def _window(box: Box) -> tuple[tuple[int, int], tuple[int, int]]:
    return (box.top, box.bottom), (box.left, box.right)


def _palette(dataset: Any) -> NDArray[np.uint8]:
    colours = np.zeros((256, 3), np.uint8)
    for value, colour in dataset.colormap(1).items():
        colours[value] = colour[:3]
    return colours


def _layout(names: Sequence[str]) -> str:
    alpha = len(names) in (2, 4) and names[-1] == "alpha"
    colours = names[:-1] if alpha else names
    kind = "grey" if len(colours) == 1 else "rgb" if list(colours) == ["red", "green", "blue"] else "bands"
    return kind + ("+alpha" if alpha else "")


# Several files as one surface


@dataclass(frozen=True)
class _SurfaceTile:
    name: str
    path: Path
    size: tuple[int, int]
    header: Header
    colours: tuple[str, ...]
    masked: bool


def lay_out(files: Sequence[tuple[str, Path]]) -> tuple[list[Box], Header]:
    """Find where tiles lie on their common surface, by their georeference, and what the surface is.

    Args:
        files: name and path of each tile.
    """
    tiles = [_tile(name, path) for name, path in files]
    first = tiles[0]
    if first.colours == ("palette",):
        raise DataError(f"--mosaic: {first.name} has a palette; convert the tiles to colours, or leave out --mosaic")
    for tile in tiles[1:]:
        _check_alike(first, tile)
    corners = [_offset(first, tile) for tile in tiles]
    top, left = min(row for row, _ in corners), min(column for _, column in corners)
    boxes = [Box(row - top, column - left, *tile.size) for (row, column), tile in zip(corners, tiles, strict=True)]
    a, b, c, d, e, f = first.header.place.transform
    moved: Affine = (a, b, a * left + b * top + c, d, e, d * left + e * top + f)
    header = first.header.moved(
        max(box.bottom for box in boxes), max(box.right for box in boxes), Georeference(first.header.place.crs, moved)
    )
    return boxes, header


def _tile(name: str, path: Path) -> _SurfaceTile:
    state = path.stat()
    return _unchanged_tile(name, path.absolute(), state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=4096)
def _unchanged_tile(name: str, path: Path, size: int, modified: int) -> _SurfaceTile:
    with open_raster(path) as raster:
        colours = tuple(kind.name for kind in raster.dataset.colorinterp)
        header = raster.header(path)
        if not header.place.transform:
            raise DataError(f"{name}: has no georeference, so its place in a mosaic is not known; leave out --mosaic")
        return _SurfaceTile(name, path, raster.size, header, colours, raster.has_mask)


def _check_alike(first: _SurfaceTile, tile: _SurfaceTile) -> None:
    """Refuse two tiles that cannot be parts of one surface, and say what differs."""
    one, other = first.header, tile.header
    facts = [
        ("coordinate systems", _short(one.place.crs), _short(other.place.crs)),
        ("numbers of bands", one.bands, other.bands),
        ("types of values", one.dtype, other.dtype),
        ("nodata values", one.nodata, other.nodata),
    ]
    if not all(
        math.isclose(mine, theirs, rel_tol=SAME_SIZE, abs_tol=SAME_SIZE * _pixel(one))
        for mine, theirs in zip(_steps(one), _steps(other), strict=True)
    ):
        facts.append(("sizes of pixels", _by(_steps(one)), _by(_steps(other))))
    for what, mine, theirs in facts:
        if mine != theirs:
            raise DataError(
                f"--mosaic: two {what}: {first.name} has {mine or 'none'}, {tile.name} has {theirs or 'none'}; "
                "convert the tiles to one, or leave out --mosaic"
            )


def _steps(header: Header) -> Affine:
    a, b, _, d, e, _ = header.place.transform
    return a, b, d, e


def _pixel(header: Header) -> float:
    a, b, d, e = _steps(header)
    return math.sqrt(abs(a * e - b * d))


def _by(steps: Affine) -> str:
    a, b, d, e = steps
    return f"{math.hypot(a, d):g} x {math.hypot(b, e):g}" + (" (rotated)" if b or d else "")


def _short(crs: str) -> str:
    return crs if len(crs) < 60 else f"{crs[:57]}..."


def _offset(first: _SurfaceTile, tile: _SurfaceTile) -> tuple[int, int]:
    """Return row and column of the corner of a tile, counted in pixels from that of the first."""
    a, b, c, d, e, f = first.header.place.transform
    x, y = tile.header.place.transform[2] - c, tile.header.place.transform[5] - f
    whole = a * e - b * d
    column, row = (e * x - b * y) / whole, (a * y - d * x) / whole
    off = max(abs(column - round(column)), abs(row - round(row)))
    if off > OFF_THE_GRID:
        raise DataError(
            f"--mosaic: {tile.name} lies {off:.2f} pixels off the grid of {first.name}; put the tiles on one grid"
        )
    return round(row), round(column)


@lru_cache(maxsize=8)
def _surface(members: tuple[SurfaceMember, ...]) -> str:
    """Describe a surface of tiles as a virtual raster of GDAL; where no tile lies, its mask is 0."""
    tiles = [_tile(Path(member.path).name, Path(member.path)) for member in members]
    first = tiles[0]
    if first.header.dtype not in TYPES:
        raise ConfigError(f"--mosaic: values of type {first.header.dtype} are not supported")
    height, width = (max(getattr(one.box, side) for one in members) for side in ("bottom", "right"))
    fill = "" if first.header.nodata is None else f"<NoDataValue>{first.header.nodata!r}</NoDataValue>"
    bands = []
    for number, colour in enumerate(first.colours, start=1):
        sources = "".join(_drawn(one, tile, number) for one, tile in zip(members, tiles, strict=True))
        named = "" if colour == "palette" else f"<ColorInterp>{colour.capitalize()}</ColorInterp>"
        bands.append(_band(TYPES[first.header.dtype], f' band="{number}"', named + fill + sources))
    mask = "".join(_drawn_mask(one, tile) for one, tile in zip(members, tiles, strict=True))
    return (
        f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}">{"".join(bands)}'
        f"<MaskBand>{_band('Byte', '', mask)}</MaskBand></VRTDataset>"
    )


def _band(kind: str, more: str, inner: str) -> str:
    return f'<VRTRasterBand dataType="{kind}"{more}>{inner}</VRTRasterBand>'


def _drawn(member: SurfaceMember, tile: _SurfaceTile, band: int) -> str:
    nodata = "" if tile.header.nodata is None else f"<NODATA>{tile.header.nodata!r}</NODATA>"
    return _source(member, tile, str(band), nodata + ("<UseMaskBand>true</UseMaskBand>" if tile.masked else ""))


def _drawn_mask(member: SurfaceMember, tile: _SurfaceTile) -> str:
    if tile.masked:
        return _source(member, tile, "mask,1", "<NODATA>0</NODATA>")
    return _source(member, tile, "1", "<ScaleOffset>255</ScaleOffset><ScaleRatio>0</ScaleRatio>")


def _source(member: SurfaceMember, tile: _SurfaceTile, band: str, more: str) -> str:
    height, width = tile.size
    top, left, *_ = member.box
    return (
        f'<ComplexSource><SourceFilename relativeToVRT="0">{escape(member.path)}</SourceFilename>'
        f"<SourceBand>{band}</SourceBand>"
        f'<SrcRect xOff="0" yOff="0" xSize="{width}" ySize="{height}"/>'
        f'<DstRect xOff="{left}" yOff="{top}" xSize="{width}" ySize="{height}"/>{more}</ComplexSource>'
    )
