"""Apply a trained model to images: scores of each pixel, in tiles if the image is large."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unsegcli import console, store
from unsegcli.core.guided import refined
from unsegcli.core.nn.precision import full_float32
from unsegcli.core.superpixels.features import region_features
from unsegcli.core.superpixels.regions import contiguous, numbers_before, paint, places_of, pool
from unsegcli.core.tiles import Span, rounded_up, spans
from unsegcli.dataflow.dataset import Window
from unsegcli.dataflow.runner import Result
from unsegcli.errors import ArtifactError, ConfigError
from unsegcli.methods._contract import Batch, Embedded, Regions
from unsegcli.methods._load import mistakes_named
from unsegcli.params import Cluster, Superpixels
from unsegcli.segmenters.trained import Trained
from unsegcli.segmenters.vectors import with_superpixels

SEEN = 1e-4  # smaller changes of scores are ignored
BLOCK = 8  # side of the squares in the image used to measure the receptive field

Scores = NDArray[np.float32]  # (clusters, height, width); they sum to one for each pixel
Pixels = NDArray[np.uint8]  # (height, width, bands)


def scores_of(
    trained: Trained,
    pixels: Pixels,
    valid: NDArray[np.bool_] | None = None,
    regions: NDArray[np.int32] | None = None,
    vectors: NDArray[np.float32] | None = None,
    *,
    tile: int = 512,
    flips: bool = False,
) -> Scores:
    """Compute the cluster scores of each pixel: (clusters, height, width).

    For a method that gives embeddings: the objectness logit and then the vector of each pixel:
    (1 + dimensions, height, width).

    Args:
        trained: the model.
        pixels: (height, width, bands).
        valid: (height, width); None = all. Invalid pixels are set to 0.
        regions: (height, width) superpixels for a method that uses them, -1 = void; None = no superpixels.
        vectors: (superpixels, dimensions) of a file of features, for a model that was trained on one.
        tile: larger images are split into overlapping tiles of this side.
        flips: average over the image and its mirror image.
    """
    part = _part_seen(trained, pixels, valid, regions, vectors)
    scores = _tiled(trained, _described(part, trained), tile)
    if flips:
        mirrored = _tiled(trained, _described(part.mirrored(), trained), tile)[:, :, ::-1]
        scores = (scores + mirrored) / np.float32(2)
    return scores


@dataclass(frozen=True)
class _Part:
    """An image or a part of it, with its mask and superpixels."""

    pixels: Pixels
    valid: NDArray[np.bool_] | None
    regions: NDArray[np.int32] | None
    vectors: NDArray[np.float32] | None = None  # of the superpixels of the whole image, of a file of features
    features: NDArray[np.float32] | None = None  # what a method is told about those superpixels, if it needs it

    def mirrored(self) -> _Part:
        """Flip left to right, without features."""
        return replace(self.cut(slice(None), slice(None, None, -1)), features=None)

    def cut(self, rows: slice, columns: slice) -> _Part:
        """Cut out rows and columns."""
        return _Part(
            self.pixels[rows, columns],
            None if self.valid is None else self.valid[rows, columns],
            None if self.regions is None else self.regions[rows, columns],
            self.vectors,
            self.features,
        )

    def padded(self, multiple: int) -> _Part:
        """Pad the bottom and right by reflection, up to a multiple; superpixels are padded with -1."""
        height, width = self.pixels.shape[:2]
        wider = ((0, rounded_up(height, multiple) - height), (0, rounded_up(width, multiple) - width))
        if not any(wider[0] + wider[1]):
            return self
        return _Part(
            np.pad(self.pixels, (*wider, (0, 0)), "reflect"),
            None if self.valid is None else np.pad(self.valid, wider, "reflect"),
            None if self.regions is None else np.pad(self.regions, wider, constant_values=-1),
            self.vectors,
            self.features,
        )


def _part_seen(
    trained: Trained,
    pixels: Pixels,
    valid: NDArray[np.bool_] | None,
    regions: NDArray[np.int32] | None,
    vectors: NDArray[np.float32] | None,
) -> _Part:
    """Check that an image has what the model was trained on, and black out its void pixels."""
    pixels = pixels if trained.channels else pixels[:, :, :0]
    if pixels.shape[2] != trained.channels:
        raise ConfigError(f"the image has {pixels.shape[2]} bands, but the model was trained on {trained.channels}")
    wanted = 0 if trained.vectors is None else sum(trained.vectors.dimensions)
    given = 0 if vectors is None or trained.vectors is None else vectors.shape[1]
    if given != wanted:
        raise ConfigError(
            f"the model was trained on vectors of superpixels of {wanted} dimensions; give a file of such features"
        )
    seen = pixels if valid is None else np.where(valid[:, :, None], pixels, np.uint8(0))
    return _Part(seen, valid, regions, vectors)


def _tile_of(trained: Trained, tile: int) -> int:
    """Return the side of tiles; for a method that sees regions, that of its crops, since positions are shares of it."""
    wanted = int(trained.config.crop) if trained.needs_regions else tile
    return max(rounded_up(wanted, trained.multiple), 2 * trained.multiple)


def _described(part: _Part, trained: Trained) -> _Part:
    """Add the features of superpixels, in the numbering of the part, if the method needs them."""
    if not trained.needs_regions:
        return part
    if part.regions is None:
        raise ConfigError(f"{trained.method.name} needs superpixels; make them with `unseg superpixels`")
    numbered, count = contiguous(part.regions), int(part.regions.max(initial=-1)) + 1
    features = np.zeros((count, 0), np.float32)
    if part.pixels.shape[2]:
        found = region_features(part.pixels, numbered)
        features = np.zeros((count, found.shape[1]), np.float32)
        features[numbers_before(part.regions, numbered)] = found
    if part.vectors is not None:
        features = np.concatenate([features, part.vectors[:count]], axis=1)
    return replace(part, features=features)


def _tiled(trained: Trained, scene: _Part, tile: int) -> Scores:
    height, width = scene.pixels.shape[:2]
    padded = scene.padded(trained.multiple)
    tile = _tile_of(trained, tile)
    if max(padded.pixels.shape[:2]) <= tile:
        return _whole(trained, padded)[:, :height, :width]
    margin = reach_of(trained, tile, superpixels=scene.regions is not None)
    known = _image_features(trained, padded, tile)
    rows, columns = (spans(side, tile, margin, trained.multiple) for side in padded.pixels.shape[:2])
    total = np.zeros((0, *padded.pixels.shape[:2]), np.float32)
    for tile_at in _tiles(rows, columns):
        found = _whole(trained, padded.cut(tile_at.down, tile_at.across), known)
        part = tile_at.weights * found
        total = total if len(total) else np.zeros((len(part), *total.shape[1:]), np.float32)
        total[:, tile_at.down, tile_at.across] += part
    # The sum of the weights along one axis does not depend on the position along the other.
    total /= _sum_of(rows, total.shape[1])[:, None]
    total /= _sum_of(columns, total.shape[2])
    return total[:, :height, :width]


class _Tile(NamedTuple):
    """A tile of an image, and the blending weight of each of its pixels."""

    down: slice
    across: slice
    weights: NDArray[np.float32]  # (height, width)


def _tiles(rows: list[Span], columns: list[Span]) -> Iterator[_Tile]:
    for row in rows:
        for column in columns:
            down = slice(row.start, row.start + len(row.weights))
            across = slice(column.start, column.start + len(column.weights))
            yield _Tile(down, across, row.weights[:, None] * column.weights)


def superpixel_vectors(
    trained: Trained,
    pixels: Pixels,
    valid: NDArray[np.bool_] | None,
    regions: NDArray[np.int32],
    vectors: NDArray[np.float32] | None = None,
    *,
    tile: int = 512,
) -> NDArray[np.float32]:
    """Compute what the model knows about each superpixel: (superpixels, dimensions).

    In a large image a superpixel that lies in several tiles is given the mean of its vectors there, weighted by its
    pixels as they are blended.

    Args:
        trained: the model, of a method with `region_vectors`.
        pixels: (height, width, bands).
        valid: (height, width); None = all. Invalid pixels are set to 0.
        regions: (height, width) superpixels, -1 = void.
        vectors: (superpixels, dimensions) of a file of features, for a model that was trained on one.
        tile: larger images are split into overlapping tiles of this side.
    """
    scene = _described(_part_seen(trained, pixels, valid, regions, vectors), trained).padded(trained.multiple)
    tile = _tile_of(trained, tile)
    large = max(scene.pixels.shape[:2]) > tile
    margin = reach_of(trained, tile, superpixels=True) if large else 0
    known = _image_features(trained, scene, tile) if large else None
    rows, columns = (spans(side, tile, margin, trained.multiple) for side in scene.pixels.shape[:2])
    count = int(regions.max(initial=-1)) + 1
    sums, shares = np.zeros((count, 0)), np.zeros(count)
    for tile_at in _tiles(rows, columns):
        part = scene.cut(tile_at.down, tile_at.across)
        assert part.regions is not None
        here = contiguous(part.regions)  # as in the batch
        inside, numbers = here >= 0, numbers_before(part.regions, here)
        if not len(numbers):
            continue
        found = _vectors(trained, part, known)
        share = np.bincount(here[inside], tile_at.weights[inside], len(numbers))
        sums = sums if sums.shape[1] else np.zeros((count, found.shape[1]))
        sums[numbers] += share[:, None] * found
        shares[numbers] += share
    found_in_all: NDArray[np.float32] = (sums / np.maximum(shares, SEEN)[:, None]).astype(np.float32)
    return found_in_all


@dataclass(frozen=True)
class DenseFeatures:
    """The features of an image on a grid of cells; the last cells may reach beyond the image."""

    values: NDArray[np.float32]  # (rows, columns, dimensions)
    cell: tuple[float, float]  # height and width of a cell in pixels


def dense_features_of(
    trained: Trained, pixels: Pixels, valid: NDArray[np.bool_] | None, *, tile: int = 512
) -> DenseFeatures:
    """Compute the features below the last layers of a model.

    Args:
        trained: the model, of a method with `dense_features`.
        pixels: (height, width, bands).
        valid: (height, width); None = all. Invalid pixels are set to 0.
        tile: larger images are split into overlapping tiles of this side.
    """
    if pixels.shape[2] != trained.channels:
        raise ConfigError(f"the image has {pixels.shape[2]} bands, but the model was trained on {trained.channels}")
    seen = pixels if valid is None else np.where(valid[:, :, None], pixels, np.uint8(0))
    scene = _Part(seen, valid, None).padded(trained.multiple)
    tile = _tile_of(trained, tile)
    height, width = scene.pixels.shape[:2]
    if max(height, width) <= tile:
        values = _dense(trained, scene)
        return DenseFeatures(values, (height / values.shape[0], width / values.shape[1]))
    margin = reach_of(trained, tile)
    rows, columns = (spans(side, tile, margin, trained.multiple) for side in (height, width))
    total, shares = np.zeros((0, 0, 0), np.float32), np.zeros((0, 0, 1), np.float32)
    for tile_at in _tiles(rows, columns):
        values = _dense(trained, scene.cut(tile_at.down, tile_at.across))
        step = _step(tile_at, values, trained)
        if not total.size:
            total = np.zeros((height // step, width // step, values.shape[2]), np.float32)
            shares = np.zeros((*total.shape[:2], 1), np.float32)
        at = tuple(slice(side.start // step, side.stop // step) for side in (tile_at.down, tile_at.across))
        weights = tile_at.weights.reshape(values.shape[0], step, values.shape[1], step).mean(axis=(1, 3))[:, :, None]
        total[at] += weights * values
        shares[at] += weights
    return DenseFeatures(total / shares, (float(step), float(step)))


def _step(tile: _Tile, values: NDArray[np.float32], trained: Trained) -> int:
    """Return the side of a cell, which must be a whole number of pixels if tiles are to be joined."""
    step: int = tile.weights.shape[0] // values.shape[0]
    if (values.shape[0] * step, values.shape[1] * step) != tile.weights.shape or trained.multiple % step:
        raise ConfigError(
            f"{trained.method.name}: its features are not at every whole number of pixels, so tiles of a large image "
            "cannot be joined; make the images smaller, or cut them with --patch"
        )
    return step


def _dense(trained: Trained, part: _Part) -> NDArray[np.float32]:
    module: Any = trained.method.module
    with torch.inference_mode(), full_float32():
        with mistakes_named(trained.method, "dense_features"):
            found = module.dense_features(trained.network, _batch(part, trained.device), trained.config)
        result: NDArray[np.float32] = np.ascontiguousarray(found[0].float().cpu().numpy().transpose(1, 2, 0))
    if not np.isfinite(result).all():
        raise ArtifactError(f"{trained.method.name}: its features are NaN or infinite; train the model again")
    return result


def check_has_features(trained: Trained, path: Path) -> None:
    """Raise an error for a model whose method does not give dense features."""
    if not hasattr(trained.method.module, "dense_features"):
        raise ConfigError(
            f"{path}: its method {trained.method.name} has no function dense_features, which --per pixel needs; leave "
            "--per out, to measure vectors of superpixels"
        )


def _vectors(trained: Trained, part: _Part, image_features: Tensor | None) -> NDArray[np.float32]:
    """Compute the vectors of the superpixels of an image or tile, which are numbered without gaps, in one pass."""
    module: Any = trained.method.module
    with torch.inference_mode(), full_float32():
        batch = replace(_batch(part, trained.device), image_features=image_features)
        with mistakes_named(trained.method, "region_vectors"):
            found = module.region_vectors(trained.network, batch, trained.config)
        result: NDArray[np.float32] = found.float().cpu().numpy()
    if result.ndim != 2 or len(result) != batch.superpixel_count:
        raise ConfigError(
            f"{trained.method.name}: region_vectors returned shape {result.shape}, expected (superpixels, dimensions) "
            f"with {batch.superpixel_count} superpixels"
        )
    if not np.isfinite(result).all():
        raise ArtifactError(f"{trained.method.name}: its vectors are NaN or infinite; train the model again")
    return result


def _image_features(trained: Trained, scene: _Part, tile: int) -> Tensor | None:
    """Compute image-level features (1, features), for methods that use them: the mean over non-overlapping tiles.

    Tiles are weighted by their valid pixels. All tiles are then labelled with the same features.
    """
    features = getattr(trained.method.module, "image_features", None)
    if features is None:
        return None
    height, width = scene.pixels.shape[:2]
    sums: list[Tensor] = []
    pixels = 0
    for top in range(0, height, tile):
        for left in range(0, width, tile):
            part = scene.cut(slice(top, top + tile), slice(left, left + tile))
            count = int(np.prod(part.pixels.shape[:2]) if part.valid is None else part.valid.sum())
            if count:
                with torch.inference_mode():
                    found = features(trained.network, _batch(part, trained.device), trained.config)
                sums.append(count * found)
                pixels += count
    return torch.stack(sums).sum(0) / pixels if sums else None


def _sum_of(along: list[Any], length: int) -> NDArray[np.float32]:
    total = np.zeros(length, np.float32)
    for start, weights in along:
        total[start : start + len(weights)] += weights
    return total


def reach_of(trained: Trained, tile: int, *, superpixels: bool = False) -> int:
    """Measure the radius of the receptive field in pixels, at most half a tile; the result is cached.

    One half of an image with random colours is replaced; the radius is how far scores change in the other half.
    """
    if trained.needs_regions:  # superpixels of a tile all see each other
        return tile // 2
    key = (tile, superpixels)
    if key not in trained.reaches:
        half, shape = tile // 2, (2 * trained.multiple, tile)
        before, after = _random_image(*shape, trained.channels, 0), _random_image(*shape, trained.channels, 1)
        after[:, half:] = before[:, half:]
        regions = _squares(*shape) if superpixels else None
        known = _image_features(trained, _Part(before, None, regions), tile)  # shared by all tiles
        scores = [_whole(trained, _Part(image, None, regions), known) for image in (before, after)]
        change = np.abs(scores[0] - scores[1])[:, :, half:].max(axis=(0, 1))
        changed = np.flatnonzero(change > SEEN)
        reach = 0 if not len(changed) else int(changed[-1]) + 1
        console.detail(f"receptive field: {reach} pixels around each pixel")
        if reach >= tile - half:
            console.warn(
                f"the receptive field is larger than half a tile: a --tile above {tile} may give other clusters"
            )
        trained.reaches[key] = min(half, reach)
    return trained.reaches[key]


def _random_image(height: int, width: int, bands: int, seed: int) -> Pixels:
    """Make an image of squares of random colours with a little noise, to excite coarse and fine filters."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 224, (-(-height // BLOCK), -(-width // BLOCK), bands), np.uint8)
    squares = coarse.repeat(BLOCK, 0).repeat(BLOCK, 1)[:height, :width]
    image: Pixels = squares + random.integers(0, 32, squares.shape, np.uint8)
    return image


def _squares(height: int, width: int) -> NDArray[np.int32]:
    rows, columns = np.arange(height) // (2 * BLOCK), np.arange(width) // (2 * BLOCK)
    return (rows[:, None] * width + columns).astype(np.int32)


def _whole(trained: Trained, scene: _Part, image_features: Tensor | None = None) -> Scores:
    """Compute the scores of an image or tile in one pass."""
    with torch.inference_mode(), full_float32():
        batch = replace(_batch(scene, trained.device), image_features=image_features)
        found = _embedded(trained, batch) if trained.method.embeds else _scored(trained, batch)
        result: Scores = found[0].float().cpu().numpy()
    if not np.isfinite(result).all():
        raise ArtifactError(f"{trained.method.name}: its scores are NaN or infinite; train the model again")
    return result


def _scored(trained: Trained, batch: Batch) -> Tensor:
    scores = trained.method.module.cluster_scores(trained.network, batch, trained.config)
    wanted = (1, trained.classes, *batch.images.shape[2:])
    if tuple(scores.shape) != wanted:
        raise ConfigError(
            f"{trained.method.name}: cluster_scores returned shape {tuple(scores.shape)}, expected (batch, clusters, "
            f"height, width) = {wanted}"
        )
    return scores


def _embedded(trained: Trained, batch: Batch) -> Tensor:
    module: Any = trained.method.module
    found: Embedded = module.embeddings(trained.network, batch, trained.config)
    size = batch.images.shape[2:]
    if found.vectors.shape != (1, found.vectors.shape[1], *size) or found.objectness.shape != (1, *size):
        raise ConfigError(
            f"{trained.method.name}: embeddings returned shapes {tuple(found.vectors.shape)} and "
            f"{tuple(found.objectness.shape)}, expected (batch, dimensions, height, width) and (batch, height, width) "
            f"with height, width = {tuple(size)}"
        )
    return torch.cat([found.objectness[:, None], found.vectors], 1)


def _batch(scene: _Part, device: torch.device) -> Batch:
    images = torch.from_numpy(np.ascontiguousarray(scene.pixels.transpose(2, 0, 1)))[None]
    regions = None if scene.regions is None else contiguous(scene.regions).astype(np.int64)
    return Batch(
        images=images.to(device).float() / 255,
        index=torch.zeros(1, dtype=torch.int64, device=device),
        mask=None if scene.valid is None else torch.from_numpy(np.array(scene.valid))[None].to(device),
        superpixels=None if regions is None else torch.from_numpy(regions)[None].to(device),
        superpixel_count=0 if regions is None else int(regions.max(initial=-1)) + 1,
        regions=None
        if scene.features is None or scene.regions is None
        else _regions_of(scene.regions, scene.features, device),
    )


def _regions_of(part: NDArray[np.int32], features: NDArray[np.float32], device: torch.device) -> Regions:
    """Describe the superpixels of a tile, numbered in order of appearance.

    Args:
        part: (height, width) of the tile, numbered as in the whole image.
        features: of all superpixels of the image.
        device: of the result.
    """
    regions = contiguous(part)
    numbers = numbers_before(part, regions)
    count = len(numbers)
    parts = (features[numbers], *places_of(regions, count), np.zeros(count, np.int64))
    return Regions(*(torch.from_numpy(part).to(device) for part in parts))


@dataclass(frozen=True)
class Applied:
    """The result of a model for one window."""

    labels: NDArray[Any]  # (height, width); the maximum of its type = void
    sure: NDArray[np.float32]  # (height, width), the score of that cluster; 0 where void
    mean: float  # of that over the valid pixels


def apply_window(window: Window, trained: Trained, params: Cluster, cutting: Superpixels | None = None) -> Result:
    """Compute the encoded cluster map of one window, which is cut into superpixels first if that is asked for."""
    window = window if cutting is None else with_superpixels(window, cutting)
    applied = applied_to(window, trained, params)
    datasets = {"segmentation": store.encode(applied.labels)}
    if params.confidence:
        datasets["confidence"] = store.encode(applied.sure.astype(np.float16))
    return Result(datasets, {"confidence": applied.mean})


def applied_to(window: Window, trained: Trained, params: Cluster) -> Applied:
    """Compute the cluster map of one window, with scores."""
    regions = window.superpixels if params.per == "superpixel" or trained.needs_regions else None
    scores = scores_of(
        trained, window.pixels, window.valid, regions, window.features, tile=params.tile, flips=params.flips
    )
    if params.refine:
        scores = refined(scores, window.pixels, window.valid)
    if params.per == "superpixel":
        if regions is None:
            raise ValueError("the window has no superpixels")
        scores = painted(scores, regions)
    valid = np.ones(scores.shape[1:], bool) if window.valid is None else window.valid
    sure = np.where(valid, scores.max(axis=0), 0).astype(np.float32)
    dtype = np.uint8 if trained.classes <= np.iinfo(np.uint8).max else np.uint16
    labels = np.where(valid, scores.argmax(axis=0), np.iinfo(dtype).max).astype(dtype)
    return Applied(labels, sure, float(sure[valid].mean()) if valid.any() else 0.0)


def painted(scores: NDArray[np.float32], regions: NDArray[np.int32]) -> NDArray[np.float32]:
    """Give each pixel the mean scores of its superpixel: (clusters, height, width)."""
    count = int(regions.max(initial=-1)) + 1
    means = pool(np.moveaxis(scores, 0, 2), regions, count).astype(np.float32)
    return np.moveaxis(paint(means, regions, 0), 2, 0)
