"""What the page shows of a large image, read part by part, so that the image and its map are never in memory whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeGuard

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.geometry import Box, working_grid
from unsegcli.dataflow.label_maps import BAND_ROWS, ImageMap, StoredMap, check_aspect
from unsegcli.errors import ChangedError
from unsegcli.images.rasters import LARGE
from unsegcli.images.working import Reading, Source, decodes_in_parts, read_box
from unsegcli.views.backdrop import Place, changed, working_pixels
from unsegcli.views.display import LONGEST_IMAGE
from unsegcli.views.drawing import middle, shrunk_grid
from unsegcli.views.encoded_maps import map_grid
from unsegcli.views.export import areas, areas_of_parts

SHOWN_BANDS = 3  # of a picture


class Picture(NamedTuple):
    """The pixels of an image as it was worked on, shrunk if the image is large."""

    pixels: NDArray[np.uint8]  # (height, width, bands); of a large image at most SHOWN_BANDS
    bands: int  # of the image


def is_large(item: ImageMap) -> TypeGuard[StoredMap]:
    """Return whether a working image has so many pixels that it is read part by part."""
    return isinstance(item, StoredMap) and item.grid[0] * item.grid[1] > LARGE


def shown_map(item: ImageMap) -> NDArray[np.int32]:
    """Return the map on its working grid, or on the smaller one of the page if the image is large."""
    return item.on(map_grid(item.grid) if is_large(item) else item.grid)


def areas_of(item: ImageMap, values: NDArray[np.int32], count: int) -> list[int]:
    """Count the source pixels of each category, and of void; `values` is the shown map."""
    if is_large(item):
        return areas_of_parts(item.parts(), item.grid, item.source_grid, count)
    return areas(values, item.source_grid, count)


def superpixels_of(item: ImageMap | None, values: NDArray[np.int32] | None) -> int:
    """Count superpixels; `values` is the shown map, in which those of a large image are too small to be found."""
    if item is None or values is None:
        return 0
    return item.superpixels() if is_large(item) else int(values.max(initial=-1)) + 1


def picture(item: ImageMap, regions: StoredMap | None, image: Place | None) -> Picture | None:
    """Read the pixels from an artifact, else from the image file; a large image is shrunk as it is read."""
    parts = _parts(item, regions, image) if is_large(item) else None
    if parts is not None:
        return _shrunk(parts, item.grid)
    found = working_pixels(item, regions, image)
    return None if found is None else Picture(found, found.shape[2])


def centre(
    item: StoredMap, regions: StoredMap | None, image: Place | None, share: float
) -> tuple[NDArray[np.int32], NDArray[np.uint8]] | None:
    """Read the centre of a large image, this share of each side: superpixels and pixels; None without pixels."""
    down, across = middle(item.grid, share)
    box = Box(down.start, across.start, down.stop - down.start, across.stop - across.start)
    owner = item if regions is None else regions
    pixels = owner.pixels_in(box)
    if pixels is None and image is not None and decodes_in_parts(*image):
        pixels = _read(*image, box)
    return None if pixels is None else (owner.values_in(box), pixels)


def _parts(
    item: StoredMap, regions: StoredMap | None, image: Place | None
) -> Iterator[tuple[Box, NDArray[np.uint8]]] | None:
    """Return the pixels on the working grid part by part; None if they can only be read as a whole, or not at all."""
    stored = (item if regions is None else regions).pixel_parts()
    if stored is not None or image is None or not decodes_in_parts(*image):
        return stored
    return _parts_of_file(item, *image)


def _parts_of_file(item: StoredMap, source: Source, reading: Reading) -> Iterator[tuple[Box, NDArray[np.uint8]]]:
    height, width = grid = working_grid(source.height, source.width, reading.size, reading.scale)
    check_aspect(grid, item, f"{source.path}: the image")
    for row in range(0, height, BAND_ROWS):
        box = Box(row, 0, min(BAND_ROWS, height - row), width)
        yield box, _read(source, reading, box)


def _read(source: Source, reading: Reading, box: Box) -> NDArray[np.uint8]:
    try:
        return read_box(source, reading, box)[0]
    except ChangedError as error:
        raise changed(source) from error


def _shrunk(parts: Iterable[tuple[Box, NDArray[np.uint8]]], grid: tuple[int, int]) -> Picture:
    """Average the pixels that fall into each pixel of the picture."""
    height, width = shrunk_grid(grid, LONGEST_IMAGE)
    sums = np.zeros((height, width, SHOWN_BANDS), np.int64)
    bands = 0
    for box, pixels in parts:
        bands = pixels.shape[2]
        rows, row_starts = _cells(box.top, box.bottom, grid[0], height)
        columns, column_starts = _cells(box.left, box.right, grid[1], width)
        added = np.add.reduceat(pixels[:, :, :SHOWN_BANDS], row_starts, axis=0, dtype=np.int64)
        added = np.add.reduceat(added, column_starts, axis=1)
        sums[rows, columns, : added.shape[2]] += added
    counts = np.outer(
        *(np.bincount(_cell_of(given, wanted)) for given, wanted in zip(grid, (height, width), strict=True))
    )
    means = sums[:, :, :bands] / counts[:, :, None]
    return Picture(means.round().astype(np.uint8), bands)


def _cell_of(given: int, wanted: int) -> NDArray[np.int64]:
    """Return in which of `wanted` rows (or columns) the centre of each of `given` ones lies."""
    return (2 * np.arange(given, dtype=np.int64) + 1) * wanted // (2 * given)


def _cells(first: int, last: int, given: int, wanted: int) -> tuple[slice, NDArray[np.int64]]:
    """Return the rows of the picture under some rows of the image, and which of these starts each of them."""
    cells, starts = np.unique(_cell_of(given, wanted)[first:last], return_index=True)
    return slice(int(cells[0]), int(cells[-1]) + 1), starts
