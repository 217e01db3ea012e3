"""Read one source image as working pixels: oriented, bands selected, scaled to bytes, and resized.

The decisions for the whole dataset are in `Reading`, which can be stored and reused for new images.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.geometry import Box, footprint, halves, working_grid
from unsegcli.errors import ArtifactError, DataError
from unsegcli.images.bands import Taking
from unsegcli.images.decode import read_header, read_part, read_pixels
from unsegcli.images.find import FileState, all_as_digested, as_digested, file_state
from unsegcli.images.georeference import Georeference
from unsegcli.images.header import Pixels, millions
from unsegcli.images.mask_files import read_mask, read_part_of_mask
from unsegcli.images.rasters import SurfaceMember
from unsegcli.images.scaling import FILTERS, Limits, part_resized, resized, to_bytes
from unsegcli.params import Images, as_stored

DECODED_AT_ONCE = 40_000_000  # samples
LARGEST_COUNT = 10**12  # of pixels, and of whatever else is counted here
PLAIN_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".npy")  # never decoded in parts


@dataclass(frozen=True)
class Source:
    """One image: a file, or one page of a file."""

    name: str  # unique: the name of the file, with "#" and the page if it has several
    path: str  # absolute
    page: int
    digest: str  # SHA-256 of the file
    bytes: int
    modified: int  # nanoseconds since 1970
    height: int  # of the image as shown
    width: int
    orientation: int  # EXIF; already applied to height and width
    scaling: Limits  # for each working band, the values mapped to 0 and 255
    mask: str = ""  # absolute path of the mask of valid pixels, if there is one
    mask_page: int = 0
    mask_digest: str = ""
    bands: int = 0  # in the file
    place: Georeference = field(default_factory=Georeference)  # of the image as shown
    members: tuple[SurfaceMember, ...] = ()  # the files of a surface, which has no file of its own
    in_parts: bool | None = None  # whether parts of it can be decoded; None = not looked up yet

    @property
    def files(self) -> tuple[str, ...]:
        """Absolute paths of its files."""
        return tuple(member.path for member in self.members) or (self.path,)


@dataclass(frozen=True)
class Reading:
    """How the images of a dataset are read: decided once, and used for new images, too."""

    axes: str
    bands: tuple[int, ...]  # the user's choice, 1-based; () = all except alpha
    alpha: str  # how to use the last of 2 or 4 bands: drop mask band; none if no image has 2 or 4
    channels: int  # number of working bands
    values: str  # value type family: bytes (uint8), whole, real; mixed if each image is scaled separately
    nodata: float | None
    percentiles: tuple[float, float]
    scaling: str  # folder image
    size: tuple[int, ...]
    scale: float
    max_pixels: int
    contrast: str = "given"  # or image: each image is scaled by itself, whatever its type
    resampling: str = "linear"  # or mean
    band_range: str = "each"  # or same: all bands are scaled by one factor

    @property
    def shares_scaling(self) -> bool:
        """Whether one scaling is computed for all images."""
        return self.values != "bytes" and self.scaling == "folder" and self.contrast == "given"

    def scales(self, dtype: Any) -> bool:
        """Whether an image with values of this type is scaled, not taken as it is."""
        return np.dtype(dtype) != np.uint8 or self.contrast == "image"

    @property
    def taking(self) -> Taking:
        """The bands to use."""
        return Taking(self.bands, self.alpha, self.channels)

    def to_json(self) -> str:
        """Convert to JSON text, the inverse of `from_json`."""
        return json.dumps(as_stored(dataclasses.asdict(self)), sort_keys=True)

    def checked(self) -> Reading:
        """Return this, or raise a `ValueError` if a value is of another type or range than `unseg` writes."""
        texts = (self.axes, self.alpha, self.values, self.scaling, self.contrast)
        counts = (*self.bands, *self.size, self.channels, self.max_pixels)
        numbers = (*self.percentiles, self.scale, 0.0 if self.nodata is None else self.nodata)
        good = all(isinstance(text, str) for text in texts)
        good &= self.resampling in [*FILTERS] and self.band_range in ("each", "same")
        good &= all(type(count) is int and 0 < count <= LARGEST_COUNT for count in counts)
        good &= all(isinstance(number, int | float) and not isinstance(number, bool) for number in numbers)
        if not good or len(self.percentiles) != 2 or len(self.size) > 2 or not 0 < self.scale <= LARGEST_COUNT:
            raise ValueError("values of another type or range")
        return self

    @classmethod
    def from_json(cls, text: str) -> Reading:
        """Convert from the JSON text written by `to_json`."""
        try:
            values = json.loads(text)
            values["bands"] = tuple(values["bands"])
            values["percentiles"] = tuple(values["percentiles"])
            values["size"] = tuple(values["size"])
            values["scaling"] = "image" if values["scaling"] == "picture" else values["scaling"]
            return cls(**values).checked()
        except (ValueError, TypeError, KeyError) as error:
            raise ArtifactError(f"the attribute `reading` is not valid: {error}: make the file again") from error


def read_working(source: Source, reading: Reading) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
    """Read the whole working image of a source: oriented, bands selected, scaled to 0..255, resized.

    Refuses a file whose digest has changed.

    Returns:
        pixels (height, width, bands), 0 where invalid; and the valid pixels (height, width), None = all.
    """
    grid = _grid(source.path, source.height, source.width, reading)
    if decodes_in_parts(source, reading):
        return read_box(source, reading, Box(0, 0, *grid))
    pixels, valid = taken_pixels(source, reading)
    return resized(to_bytes(pixels, source.scaling), valid, grid, reading.resampling)


def decodes_in_parts(source: Source, reading: Reading) -> bool:
    """Return whether parts of a source can be decoded, so that the whole need not be in memory."""
    if source.in_parts is not None or source.members:
        return bool(source.members) or bool(source.in_parts)
    return _file_decodes_in_parts(source.path, file_state(Path(source.path)), reading.axes)


@functools.lru_cache(maxsize=256)
def _file_decodes_in_parts(path: str, state: FileState | None, axes: str) -> bool:
    return Path(path).suffix.lower() not in PLAIN_SUFFIXES and read_header(Path(path), axes).in_parts


def read_box(source: Source, reading: Reading, box: Box) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
    """Read a box of the working image of a source that decodes in parts, as `read_working` reads the whole.

    Returns:
        pixels (height, width, bands), 0 where invalid; and the valid pixels (height, width), None = all.
    """
    check_working_size(source.path, (box.height, box.width), reading)
    grid = working_grid(source.height, source.width, reading.size, reading.scale)
    pixels = np.zeros((box.height, box.width, reading.channels), np.uint8)
    valid = np.ones((box.height, box.width), np.bool_)
    for part in _small_enough(box, grid, source):
        found, good = _read_small_box(source, reading, part, grid)
        inside = Box(part.top - box.top, part.left - box.left, part.height, part.width).slices
        pixels[inside] = found
        if good is not None:
            valid[inside] = good
    return pixels, None if valid.all() else valid


def _small_enough(box: Box, grid: tuple[int, int], source: Source) -> list[Box]:
    """Divide a box until so little has to be decoded for each part that it can be held in memory."""
    read = footprint(box, grid, (source.height, source.width)).read
    if read.height * read.width * max(1, source.bands) <= DECODED_AT_ONCE or box.height * box.width == 1:
        return [box]
    return [part for half in halves(box) for part in _small_enough(half, grid, source)]


def _read_small_box(
    source: Source, reading: Reading, box: Box, grid: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
    place = footprint(box, grid, (source.height, source.width))
    pixels, valid = taken_part(source, reading, place.read)
    scaled = to_bytes(pixels, source.scaling)
    if grid != (source.height, source.width):
        return part_resized(scaled, valid, (box.height, box.width), place, reading.resampling)
    return (scaled if valid is None else np.where(valid[:, :, np.newaxis], scaled, np.uint8(0))), valid


def taken_part(source: Source, reading: Reading, box: Box) -> tuple[Pixels, NDArray[np.bool_] | None]:
    """Read a part of a source that decodes in parts: the selected bands, and where they are valid (None = all)."""
    path, size = Path(source.path), (source.height, source.width)
    with unchanged(source, box):
        part = read_part(path, box, source.members, size)
    try:
        taken, parts = taken_from(part.pixels, part.nodata, reading)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    if part.valid is not None:
        parts.append(part.valid)
    if source.mask:
        with as_digested(Path(source.mask), source.mask_digest):
            parts.append(read_part_of_mask(Path(source.mask), source.mask_page, box, size, reading.max_pixels))
    return taken, all_of(parts)


@contextmanager
def unchanged(source: Source, box: Box | None = None) -> Iterator[None]:
    """Refuse the file of a source, or those of its files that a box touches, if it has changed."""
    files = [(source.path, source.digest)]
    if source.members:
        files = [(one.path, one.digest) for one in source.members if box is None or _touch(one.box, box)]
    with all_as_digested(files):
        yield


def _touch(one: Box, other: Box) -> bool:
    down = one.top < other.bottom and other.top < one.bottom
    return down and one.left < other.right and other.left < one.right


def check_working_size(path: str, grid: tuple[int, int], params: Images | Reading) -> None:
    if grid[0] * grid[1] > params.max_pixels:
        size = f"{grid[0]} x {grid[1]} = {millions(grid[0] * grid[1])} million"
        raise DataError(
            f"{path}: a working image of {size} pixels is over the limit of "
            f"{millions(params.max_pixels)} million: raise --max-pixels to read it"
        )


def _grid(path: str, height: int, width: int, reading: Reading) -> tuple[int, int]:
    grid = working_grid(height, width, reading.size, reading.scale)
    check_working_size(path, grid, reading)
    return grid


# Sources


def taken_pixels(source: Source, reading: Reading) -> tuple[Pixels, NDArray[np.bool_] | None]:
    """Read oriented pixels (height, width, bands) of the selected bands, and where they are valid (None = all)."""
    path = Path(source.path)
    with as_digested(path, source.digest):
        decoded = read_pixels(path, source.page, reading.axes, reading.max_pixels)
    height, width = decoded.pixels.shape[:2]
    if (height, width) != (source.height, source.width):
        raise DataError(f"{path}: is {height} x {width}, but was {source.height} x {source.width} before")
    try:
        taken, parts = taken_from(decoded.pixels, decoded.nodata, reading)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    if decoded.valid is not None:
        parts.append(decoded.valid)
    if source.mask:
        parts.append(_mask_of(source, reading))
    return taken, all_of(parts)


def taken_from(pixels: Pixels, nodata: float | None, reading: Reading) -> tuple[Pixels, list[NDArray[np.bool_]]]:
    """Of pixels (height, width, bands) the bands taken, and masks of what is valid: all of them must say so."""
    stored = pixels.shape[2]
    reading.taking.check(stored)
    colours = reading.taking.colours(stored)
    taken = pixels if colours == list(range(stored)) else pixels[:, :, colours]
    parts = [_with_data(taken, nodata if reading.nodata is None else reading.nodata)]
    mask_band = reading.taking.mask_band(stored)
    if mask_band is not None:
        parts.append(pixels[:, :, mask_band] != 0)
    return taken, [part for part in parts if part is not None]


def _with_data(pixels: Pixels, nodata: float | None) -> NDArray[np.bool_] | None:
    """Return where all bands are finite and at least one differs from the no-data value; None = everywhere."""
    valid: NDArray[np.bool_] | None = None
    if pixels.dtype.kind == "f":
        valid = np.asarray(np.isfinite(pixels).all(axis=2))
    value = _value_in(pixels.dtype, nodata)
    if value is not None:
        data = np.asarray((pixels != value).any(axis=2))
        valid = data if valid is None else valid & data
    return valid


def _value_in(dtype: np.dtype[Any], nodata: float | None) -> Any:
    """Convert the no-data value to the type of the pixels; None if that type cannot represent it."""
    if nodata is None or not np.isfinite(nodata):
        return None
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return dtype.type(nodata)
    limits = np.iinfo(dtype)
    return dtype.type(int(nodata)) if nodata == int(nodata) and limits.min <= nodata <= limits.max else None


def _mask_of(source: Source, reading: Reading) -> NDArray[np.bool_]:
    path = Path(source.mask)
    with as_digested(path, source.mask_digest):
        valid = read_mask(path, source.mask_page, reading.max_pixels)
    if valid.shape != (source.height, source.width):
        raise DataError(
            f"{source.mask}: the mask is {valid.shape[0]} x {valid.shape[1]}, "
            f"but {source.name} is {source.height} x {source.width}"
        )
    return valid


def all_of(parts: Sequence[NDArray[np.bool_]]) -> NDArray[np.bool_] | None:
    """Combine masks: True where all are true; None if that is everywhere."""
    if not parts:
        return None
    valid = np.logical_and.reduce(parts)
    return None if valid.all() else valid
