"""Vectors of the superpixels or cells of a window, from the maps of a network; large images are split into tiles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from unsegcli.core.nn.feature_networks import ReadLayer
from unsegcli.core.sample_weights import among_cells, mean_weights, pixel_centres, resampled
from unsegcli.core.tiles import rounded_up
from unsegcli.dataflow.dataset import Window
from unsegcli.errors import DataError
from unsegcli.segmenters.pretrained_networks import Choice, OpenNetwork, find_network
from unsegcli.segmenters.trained import device_of

Maps = list[NDArray[np.float32]]  # (rows, columns, features) of each layer


class Mapper(NamedTuple):
    """A network on a device, and the settings of reading its maps."""

    found: OpenNetwork
    device: torch.device
    resize: float
    tile: int  # side of the tiles of large images, in pixels of the network's input


def open_mapper(choice: Choice, device: str, resize: float, tile: int) -> Mapper:
    """Find a network and put it on a device; the last one of this process is kept."""
    found, place = _placed_network(choice, device)
    return Mapper(found, place, resize, tile or found.tile)


@lru_cache(maxsize=1)
def _placed_network(choice: Choice, device: str) -> tuple[OpenNetwork, torch.device]:
    place = device_of(device)
    found = find_network(choice)
    found.network.to(place)
    if place.type == "cpu":
        found.network.to(memory_format=torch.channels_last)
    return found, place


# ------------------------------------------------------------------------------------------------------- geometry


class Sides(NamedTuple):
    """Height and width of a window: as it is, resized, and padded for the network."""

    pixels: tuple[int, int]
    resized: tuple[int, int]
    padded: tuple[int, int]

    @property
    def ratio(self) -> tuple[float, float]:
        """How many pixels of the resized image a pixel is, along each axis."""
        return self.resized[0] / self.pixels[0], self.resized[1] / self.pixels[1]


def sides_of(mapper: Mapper, height: int, width: int) -> Sides:
    """Compute the sizes of a window on its way into the network."""
    network = mapper.found.network
    resized = (max(1, round(height * mapper.resize)), max(1, round(width * mapper.resize)))
    down, across = (rounded_up(side, network.multiple) for side in resized)
    return Sides((height, width), resized, (down, across))


class Stretch(NamedTuple):
    """A tile along one axis, in units of the network's multiple: where it lies, and the part of it that is used."""

    start: int
    stop: int
    used_from: int
    used_to: int


def cuts(units: int, tile: int, margin: int) -> list[Stretch]:
    """Cover an axis with overlapping tiles; at least `margin` units at a border inside the image are not used."""
    if units <= tile:
        return [Stretch(0, units, 0, units)]
    margin = min(margin, (tile - 1) // 2)
    starts = [*range(0, units - tile, tile - 2 * margin), units - tile]
    edges = [0, *((before + tile + after) // 2 for before, after in pairwise(starts)), units]
    return [Stretch(start, start + tile, edges[number], edges[number + 1]) for number, start in enumerate(starts)]


class WindowTile(NamedTuple):
    """A tile of a window."""

    rows: Stretch
    columns: Stretch


def tiles_of(mapper: Mapper, sides: Sides) -> list[WindowTile]:
    """Stretch a padded window into tiles."""
    network, found = mapper.found.network, mapper.found
    length = max(1, mapper.tile // network.multiple)
    margin = -(-found.margin // network.multiple)
    down, across = (cuts(side // network.multiple, length, margin) for side in sides.padded)
    return [WindowTile(row, column) for row in down for column in across]


# --------------------------------------------------------------------------------------------------------- network


def prepared(mapper: Mapper, window: Window, sides: Sides) -> Tensor:
    """Normalise, resize and pad the pixels of a window: (bands, height, width); void pixels get the mean colour."""
    found = mapper.found
    image = torch.tensor(np.ascontiguousarray(window.pixels.transpose(2, 0, 1))).float() / 255
    image = (image - torch.tensor(found.mean)[:, None, None]) / torch.tensor(found.deviation)[:, None, None]
    valid = window.valid if window.regions is None else np.asarray(window.superpixels) >= 0
    if valid is not None and not valid.all():
        image = image * torch.from_numpy(valid.astype(np.float32))
    if sides.resized != sides.pixels:
        smooth = mapper.resize < 1
        image = functional.interpolate(image[None], sides.resized, mode="bilinear", antialias=smooth)[0]
    below, right = (padded - resized for padded, resized in zip(sides.padded, sides.resized, strict=True))
    return functional.pad(image[None], (0, right, 0, below), mode="replicate")[0]


def maps_of(mapper: Mapper, windows: Sequence[Window]) -> Iterator[Maps]:
    """Compute the maps of windows of equal size, whose tiles go through the network together."""
    sides = sides_of(mapper, *windows[0].pixels.shape[:2])
    images = torch.stack([prepared(mapper, window, sides) for window in windows])
    multiple = mapper.found.network.multiple
    layers = mapper.found.network.layers
    whole = [_empty(layer, sides, multiple, len(windows)) for layer in layers]
    for tile in tiles_of(mapper, sides):
        part = images[
            :,
            :,
            tile.rows.start * multiple : tile.rows.stop * multiple,
            tile.columns.start * multiple : tile.columns.stop * multiple,
        ]
        for maps, found, layer in zip(whole, _through(mapper, part), layers, strict=True):
            rows, columns = (_cells(cut, round(multiple / layer.grid.stride)) for cut in tile)
            maps[:, rows.whole, columns.whole] = found[:, rows.part, columns.part]
    for number in range(len(windows)):
        yield [maps[number] for maps in whole]


class _Cells(NamedTuple):
    whole: slice  # in the map of the window
    part: slice  # in the map of the tile


def _cells(cut: Stretch, each: int) -> _Cells:
    """Return the cells of a map that a tile gives."""
    first, end = cut.used_from * each, cut.used_to * each
    return _Cells(slice(first, end), slice(first - cut.start * each, end - cut.start * each))


def _empty(layer: ReadLayer, sides: Sides, multiple: int, count: int) -> NDArray[np.float32]:
    each = round(multiple / layer.grid.stride)
    rows, columns = (side // multiple * each for side in sides.padded)
    return np.zeros((count, rows, columns, layer.features), np.float32)


def _through(mapper: Mapper, images: Tensor) -> Maps:
    """Run the network on images or tiles of one size: (batch, rows, columns, features) of each layer."""
    images = images.to(mapper.device)
    if mapper.device.type == "cpu":
        images = images.contiguous(memory_format=torch.channels_last)
    threads = torch.get_num_threads()
    try:
        if mapper.device.type == "cpu" and threads > 1:
            torch.set_num_threads(1)  # several images at once are faster than one image on several threads
        return [maps.permute(0, 2, 3, 1).float().cpu().numpy() for maps in mapper.found.network(images)]
    finally:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


# --------------------------------------------------------------------------------------------------------- vectors


@dataclass(frozen=True)
class LayerVectors:
    """The vectors of one window, for each layer; and the size of a cell in pixels if they are those of cells."""

    layers: tuple[NDArray[np.float32], ...]  # (superpixels, features) or (rows, columns, features)
    cell: tuple[float, float] | None = None


def pooled(mapper: Mapper, window: Window, maps: Maps) -> LayerVectors:
    """Average the maps over superpixels, as if they were enlarged to the pixels of the window."""
    regions = window.superpixels
    if regions is None:
        raise ValueError("the window has no superpixels")
    count = int(regions.max(initial=-1)) + 1
    ratio = sides_of(mapper, *regions.shape).ratio
    weights: dict[tuple[object, ...], Any] = {}
    means = []
    for layer, values in zip(mapper.found.network.layers, maps, strict=True):
        key = (layer.grid, values.shape[:2])
        if key not in weights:
            rows, columns = (
                among_cells(pixel_centres(regions.shape[axis], ratio[axis]), *layer.grid, values.shape[axis])
                for axis in (0, 1)
            )
            weights[key] = mean_weights(regions, count, rows, columns)
        means.append(np.asarray(weights[key] @ values.reshape(-1, values.shape[2]), np.float32))
    return LayerVectors(tuple(_checked(values) for values in means))


def dense(mapper: Mapper, window: Window, maps: Maps) -> LayerVectors:
    """Bring the maps to the cells of the finest layer, the first of which begins at the corner of the window."""
    sides = sides_of(mapper, *window.pixels.shape[:2])
    layers = mapper.found.network.layers
    stride = min(layer.grid.stride for layer in layers)
    counts = tuple(int(np.ceil(side / stride)) for side in sides.resized)
    found = []
    for layer, values in zip(layers, maps, strict=True):
        rows, columns = (
            among_cells(pixel_centres(counts[axis], stride), *layer.grid, values.shape[axis]) for axis in (0, 1)
        )
        found.append(_checked(resampled(values, rows, columns)))
    down, across = sides.ratio
    return LayerVectors(tuple(found), (stride / down, stride / across))


def _checked(values: NDArray[np.float32]) -> NDArray[np.float32]:
    if not np.isfinite(values).all():
        raise DataError("its features are NaN or infinite: the weights do not suit the network")
    return values
