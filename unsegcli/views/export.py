"""Export label maps as image files on the grid of their images, and areas as a CSV table.

Nothing here reads ground truth.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unsegcli.core.geometry import nearest_rows
from unsegcli.dataflow.label_maps import ImageMap, StoredMap
from unsegcli.errors import ConfigError, DataError

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet may treat such text as a formula
SUFFIXES = {"png": ".png", "tiff": ".tif"}
TYPES = {"png": (np.uint8, np.uint16), "tiff": (np.uint8, np.uint16, np.uint32)}


@dataclass(frozen=True)
class MapTask:
    """One label map to write to a file."""

    map: ImageMap
    format: str
    dtype: str


class Made(NamedTuple):
    """The result for one image: the content of a file, or areas, or the error."""

    content: bytes = b""
    areas: tuple[int, ...] = ()
    failed: str = ""


def exported_type(count: int, format_: str) -> str:
    """Return the smallest type for `count` categories plus void, which is the maximum of the type."""
    for dtype in TYPES[format_]:
        if count <= np.iinfo(dtype).max:
            return np.dtype(dtype).name
    raise ConfigError(f"{count:,} categories do not fit into {format_.upper()}: use --format tiff")


def export_map(task: MapTask) -> Made:
    """Encode a label map on the grid of its image as displayed, as a greyscale file."""
    try:
        values = task.map.on(task.map.source_grid)
    except DataError as error:
        return Made(failed=str(error))
    dtype = np.dtype(task.dtype)
    values[values < 0] = np.iinfo(dtype).max
    return Made(encoded(values.astype(dtype), task.format))


def encoded(values: NDArray[Any], format_: str) -> bytes:
    """Encode a label map (height, width) or an image (height, width, 3) as a file."""
    stream = io.BytesIO()
    if format_ == "png":
        Image.fromarray(values).save(stream, "PNG")
    else:
        import tifffile

        tifffile.imwrite(stream, values, compression="zlib", predictor=False, metadata=None, photometric="minisblack")
    return stream.getvalue()


def map_areas(task: tuple[ImageMap, int]) -> Made:
    """Count the source pixels of each category; the last entry is void."""
    item, count = task
    try:
        values = item.on(item.grid)
    except DataError as error:
        return Made(failed=str(error))
    return Made(areas=tuple(areas(values, item.source_grid, count)))


def areas(values: NDArray[np.int32], source: tuple[int, int], count: int) -> list[int]:
    """Count the source pixels of each category of a working map, and of void, without resizing it.

    Args:
        values: (height, width) categories, negative = void.
        source: height and width of the source image.
        count: number of categories; larger values count as void.
    """
    down = np.bincount(nearest_rows(values.shape[0], source[0]), minlength=values.shape[0])
    across = np.bincount(nearest_rows(values.shape[1], source[1]), minlength=values.shape[1])
    found = np.zeros(count + 1, np.int64)
    for times in np.unique(down[down > 0]):  # one iteration for each number of source rows per working row
        rows = values[down == times]
        known = np.where((rows < 0) | (rows >= count), count, rows)
        weights = np.broadcast_to(across, known.shape)
        if (across == 1).all():
            found += times * np.bincount(known.ravel(), minlength=count + 1)
        else:
            counted = np.bincount(known.ravel(), weights.ravel(), minlength=count + 1)
            found += times * counted.round().astype(np.int64)  # exact below 2 to the 53
    return [int(pixels) for pixels in found]


def area_table(names: Sequence[str], rows: Sequence[tuple[str, tuple[int, int], Sequence[int]]]) -> bytes:
    """Format areas as CSV: one row per image with name, height, width, and pixels and share of each category.

    Args:
        names: names of the categories.
        rows: name, (height, width) and areas of each image, void last.
    """
    stream = io.StringIO(newline="")
    writer = csv.writer(stream)
    header = [f"{name} {what}" for name in (*names, "void") for what in ("pixels", "share")]
    writer.writerow([no_formula(cell) for cell in ("name", "height", "width", *header)])
    for name, (height, width), pixels in rows:
        total = height * width
        cells = [cell for area in pixels for cell in (str(area), f"{area / total:.6f}")]
        writer.writerow([no_formula(name), str(height), str(width), *cells])
    return stream.getvalue().encode("utf-8", "surrogateescape")


def no_formula(text: str) -> str:
    """Prefix a text with an apostrophe if a spreadsheet could treat it as a formula."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def largest_number(item: ImageMap) -> int:
    """Return the largest category of a map; -1 if it is empty or cannot be read."""
    try:
        return int(item.on(item.grid).max(initial=-1))
    except DataError:
        return -1


def file_name(item: ImageMap) -> str:
    """Return the name of an image with its page, if any, before the suffix: `stack.tif#2` gives `stack_2.tif`."""
    page = page_of(item)
    base = item.name.removesuffix(f"#{page}")
    if base == item.name:
        return item.name
    folder, slash, last = base.rpartition("/")
    stem, dot, suffix = last.rpartition(".")
    return f"{folder}{slash}{stem}_{page}.{suffix}" if dot else f"{base}_{page}.page"


def page_of(item: ImageMap) -> int:
    """Return the page of the image in its file, from 0."""
    return item.source.page if isinstance(item, StoredMap) else item.page
