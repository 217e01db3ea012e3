"""Read working pixels, image by image, from image files or from an artifact that stores them.

The result is the same in both cases, so no stage needs to know where its pixels came from.
Nothing is computed on the pixels here, and labels are never read.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, overload

import numpy as np
from numpy.typing import NDArray

from unsegcli import console, store
from unsegcli.core.geometry import Box, boxes, working_grid
from unsegcli.errors import ArtifactError, ChangedError, ConfigError, DataError
from unsegcli.images.find import DigestedFile, digest_files, find_images
from unsegcli.images.georeference import Georeference
from unsegcli.images.path_text import folder_of, in_folder, is_link
from unsegcli.images.rasters import SurfaceMember
from unsegcli.images.scaling import Limits
from unsegcli.images.survey import largest_raster, survey, with_band_range
from unsegcli.images.working import Reading, Source, decodes_in_parts, read_box, read_working
from unsegcli.parallel import Report, say_nothing
from unsegcli.params import Images, Inputs, recorded
from unsegcli.recipe import listing_digest

STRIDES = (2048, 1024, 512)  # of the windows of large rasters, by the number of bands: multiples of the usual blocks
OVERLAP = 128  # of these windows: superpixels are cut off at their borders, but not at the middle of an overlap
PIXELS_OF_A_BLOCK = 32_000_000  # times bands, of the windows that are decoded together
HDF5_SUFFIXES = (".h5", ".hdf5")


@dataclass(frozen=True)
class Window:
    """One window of a working image, in memory."""

    box: Box
    grid: tuple[int, int]  # height and width of the whole working image
    pixels: NDArray[np.uint8]  # (height, width, bands); no bands if features stand in their place, or they stay unread
    valid: NDArray[np.bool_] | None  # (height, width); None = all
    key: str  # identifies the window and its image independently of the rest of the run; random seeds derive from it
    name: str = ""  # of the source image
    regions: NDArray[Any] | None = None  # (height, width) superpixels; the dtype's maximum = void
    features: NDArray[np.float32] | None = None  # (superpixel, dimension)
    dense: NDArray[np.floating] | None = None  # (row, column, dimension), from the top left corner of the window
    cell: tuple[float, float] | None = None  # height and width of a cell of `dense`, in pixels
    share: float = 1.0  # of the pixels of the window that a part of it has, on which costs are estimated
    report: Report = field(default=say_nothing, repr=False, compare=False)  # called with the share of the work done

    @property
    def superpixels(self) -> NDArray[np.int32] | None:
        """The superpixels (height, width), -1 = void; None if there are none."""
        if self.regions is None:
            return None
        void: Any = np.iinfo(self.regions.dtype).max
        return np.where(self.regions == void, -1, self.regions.astype(np.int64)).astype(np.int32)


@dataclass(frozen=True)
class Block:
    """Some windows of a large source that lie beside each other. Its blocks follow each other, in this order."""

    number: int  # of the block in its source
    boxes: tuple[Box, ...]  # where its windows lie
    share: float  # of the pixels of the source that it stands for


def blocks_of(found: Sequence[Box], channels: int) -> list[tuple[slice, Block]]:
    """Divide the windows of a source into blocks of one row each, with as many samples as are held at once.

    Returns:
        for each block, which of the windows are in it.
    """
    most = max(1, PIXELS_OF_A_BLOCK // max(1, channels))
    starts = [0]
    for number, box in enumerate(found[1:], start=1):
        first = found[starts[-1]]
        if box.top != first.top or (box.right - first.left) * box.height > most:
            starts.append(number)
    some = [slice(*pair) for pair in zip(starts, [*starts[1:], len(found)], strict=True)]
    whole = sum(box.height * box.width for box in found)
    shares = [sum(box.height * box.width for box in found[one]) / whole for one in some]
    return [(one, Block(number, tuple(found[one]), shares[number])) for number, one in enumerate(some)]


def _one_by_one(block: Block) -> list[Block]:
    """Divide a block into one for each of its windows."""
    return [replace(block, boxes=(box,), share=block.share / len(block.boxes)) for box in block.boxes]


@dataclass(frozen=True)
class ImageUnit:
    """A source image to be read from its file."""

    source: Source
    reading: Reading
    patch: int
    stride: int
    block: Block | None = None  # which of its windows; None = all

    @property
    def window_count(self) -> int:
        """Number of windows, computed without decoding the image."""
        return len(self.boxes)

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width of the whole working image."""
        return working_grid(self.source.height, self.source.width, self.reading.size, self.reading.scale)

    @property
    def boxes(self) -> list[Box]:
        """Where the windows lie."""
        return list(self.block.boxes) if self.block else boxes(*self.grid, self.patch, self.stride)

    def in_windows(self) -> list[Unit]:
        """Return a unit for each window of a block; an image that is one unit as it is."""
        return [replace(self, block=one) for one in _one_by_one(self.block)] if self.block else [self]

    @property
    def superpixels(self) -> int:
        """Number of its superpixels: none are made yet."""
        return 0

    def part(self, inside: Box) -> Window:
        """Decode a part of the only window of a block; `inside` is seen from its corner."""
        (window,) = self.boxes
        box = Box(window.top + inside.top, window.left + inside.left, inside.height, inside.width)
        pixels, valid = read_box(self.source, self.reading, box)
        return self._window(box, Box(0, 0, *box[2:]), pixels, valid)

    def windows(self) -> list[Window]:
        """Decode the image, or as much of it as is needed, and cut it into windows."""
        found = self.boxes
        if self.block:
            around = _around(found)
            pixels, valid = read_box(self.source, self.reading, around)
        else:
            around = Box(0, 0, *self.grid)
            pixels, valid = read_working(self.source, self.reading)
        return [self._window(box, box.seen_from(around), pixels, valid) for box in found]

    def _window(self, box: Box, inside: Box, pixels: NDArray[np.uint8], valid: NDArray[np.bool_] | None) -> Window:
        good = None if valid is None else _cut(valid, inside)
        key = window_key(self.source, box)
        return Window(box, self.grid, _cut(pixels, inside), good, key, self.source.name)

    def in_blocks(self) -> list[ImageUnit]:
        """Divide the image into blocks of windows that are decoded together, if parts of it can be decoded."""
        if not decodes_in_parts(self.source, self.reading):
            return [self]
        return [replace(self, block=block) for _, block in blocks_of(self.boxes, self.reading.channels)]


@dataclass(frozen=True)
class StoredUnit:
    """A source image whose windows are stored in an artifact; its pixels are stored there or in the image file."""

    path: str
    fingerprint: str
    source: Source
    rows: tuple[int, ...]  # the windows of this source
    reading: Reading
    unread: bool = False  # whether stored pixels are left unread
    block: Block | None = None  # which of the windows `rows` are; None = all

    @property
    def window_count(self) -> int:
        """Number of windows."""
        return len(self.rows)

    @property
    def superpixels(self) -> int:
        """Number of its superpixels."""
        artifact = held_open(self.path, self.fingerprint)
        counts = artifact.table("windows/superpixels") if artifact.has("superpixels") else np.zeros(len(self.rows))
        return int(sum(counts[row] for row in self.rows))

    def in_blocks(self, found: Sequence[Box], *, pixels: bool) -> list[StoredUnit]:
        """Divide the windows of a large source into blocks, if each can be read without the whole.

        Args:
            found: where the windows lie.
            pixels: whether pixels need not be read from the image file.
        """
        area = max((box.bottom for box in found), default=0) * max((box.right for box in found), default=0)
        if len(found) < 2 or area * self.reading.channels <= PIXELS_OF_A_BLOCK:
            return [self]
        if not (pixels or self._is_read_in_parts()):
            return [self]
        return [
            replace(self, rows=self.rows[some], block=block) for some, block in blocks_of(found, self.reading.channels)
        ]

    def in_windows(self) -> list[Unit]:
        """Return a unit for each window of a block; an image that is one unit as it is."""
        if self.block is None:
            return [self]
        pairs = zip(self.rows, _one_by_one(self.block), strict=True)
        return [replace(self, rows=(row,), block=one) for row, one in pairs]

    def part(self, inside: Box) -> Window:
        """Read a part of the only window of a block, without features; `inside` is seen from its corner."""
        artifact, (row,) = held_open(self.path, self.fingerprint), self.rows
        window = Box(*(int(side) for side in artifact.table("windows/box")[row]))
        box = Box(window.top + inside.top, window.left + inside.left, inside.height, inside.width)
        regions = artifact.read("superpixels", row, inside.slices) if artifact.has("superpixels") else None
        pixels = artifact.read("images", row, inside.slices) if artifact.has("images") else self._reader()(box)
        grid_height, grid_width = (int(side) for side in artifact.table("windows/grid")[row])
        valid = _valid(artifact, row, regions, inside.slices)
        key = window_key(self.source, box)
        return Window(box, (grid_height, grid_width), pixels, valid, key, self.source.name, regions)

    def _is_read_in_parts(self) -> bool:
        there = all(Path(path).exists() for path in self.source.files)  # else the error comes where pixels are read
        return there and decodes_in_parts(self.source, self.reading)

    def windows(self) -> Sequence[Window]:
        """Return the windows of the artifact, each of which is read when it is asked for."""
        artifact = held_open(self.path, self.fingerprint)
        stored = artifact.has("images") or artifact.kind == "features"
        read = None if stored else self._reader()
        return _OneByOne([functools.partial(self._window, artifact, row, read) for row in self.rows])

    def _window(self, artifact: store.Artifact, row: int, read: Callable[[Box], NDArray[np.uint8]] | None) -> Window:
        box = Box(*(int(side) for side in artifact.table("windows/box")[row]))
        grid_height, grid_width = (int(side) for side in artifact.table("windows/grid")[row])
        regions = artifact.read("superpixels", row) if artifact.has("superpixels") else None
        if artifact.has("images") and not self.unread:
            pixels = artifact.read("images", row)
        elif read is not None:
            pixels = read(box)
        else:
            pixels = np.zeros((box.height, box.width, 0), np.uint8)
        return Window(
            box,
            (grid_height, grid_width),
            pixels,
            _valid(artifact, row, regions),
            window_key(self.source, box),
            self.source.name,
            regions,
            artifact.read("features", row).astype(np.float32) if artifact.has("features") else None,
            artifact.read("dense", row) if artifact.has("dense") else None,
            _cell(artifact, row),
        )

    def _reader(self) -> Callable[[Box], NDArray[np.uint8]]:
        """Return a function that reads a box of the working image from the image file."""
        lost = [path for path in self.source.files if not Path(path).exists()]
        if lost:
            raise DataError(
                f"{self.path}: holds no pixels, and {lost[0]} does not exist; give the folder of images with --images"
            )
        try:
            if decodes_in_parts(self.source, self.reading):
                return self._read
            whole = read_working(self.source, self.reading)[0]
        except ChangedError as error:
            raise self._changed() from error
        return lambda box: _cut(whole, box)

    def _read(self, box: Box) -> NDArray[np.uint8]:
        try:
            return read_box(self.source, self.reading, box)[0]
        except ChangedError as error:
            raise self._changed() from error

    def _changed(self) -> DataError:
        return DataError(f"{self.source.path}: has changed since {self.path} was made; make {self.path} again")


class _OneByOne(Sequence[Window]):
    """Windows that are read when they are asked for, since those of a large raster would not fit into memory."""

    def __init__(self, readers: Sequence[Callable[[], Window]]) -> None:
        self._readers = readers

    def __len__(self) -> int:
        return len(self._readers)

    @overload
    def __getitem__(self, place: int) -> Window: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Window]: ...

    def __getitem__(self, place: int | slice) -> Window | Sequence[Window]:
        return _OneByOne(self._readers[place]) if isinstance(place, slice) else self._readers[place]()


def _valid(
    artifact: store.Artifact, row: int, regions: NDArray[Any] | None, part: tuple[slice, ...] = ()
) -> NDArray[np.bool_] | None:
    """Return the valid pixels of a window, or of a part of it; None = all."""
    if regions is not None:
        valid = regions != np.iinfo(regions.dtype).max
    elif artifact.has("valid"):
        valid = artifact.read("valid", row, part)
    else:
        return None
    return None if bool(valid.all()) else valid


def _cell(artifact: store.Artifact, row: int) -> tuple[float, float] | None:
    """Return height and width of a cell of a window's vectors; None if it has none."""
    if not artifact.has("windows/cell"):
        return None
    height, width = artifact.table("windows/cell")[row]
    return float(height), float(width)


def source_pixels(unit: Unit) -> int:
    """Return how many pixels of its source a unit is about, without overlaps."""
    whole = unit.source.height * unit.source.width
    return round(whole * unit.block.share) if unit.block else whole


def images_of(units: Sequence[Unit]) -> int:
    """Return of how many images units are."""
    blocks = {unit.source for unit in units if unit.block}
    return len(blocks) + sum(not unit.block for unit in units)


def pixels_at_once(unit: Unit) -> int:
    """Return how many pixels the largest image in memory has while a unit is worked on."""
    if unit.block is None:
        return unit.source.height * unit.source.width
    if isinstance(unit, StoredUnit):
        return max(box.height * box.width for box in unit.block.boxes)
    around = _around(unit.block.boxes)
    return around.height * around.width


def by_source(units: Sequence[Unit], notes: Sequence[dict[str, Any]]) -> list[tuple[Source, dict[str, Any]]]:
    """Join the notes on the units of one source, which follow each other."""
    joined: list[tuple[Source, dict[str, Any]]] = []
    for unit, note in zip(units, notes, strict=True):
        if joined and unit.block and unit.block.number > 0:
            source, before = joined[-1]
            joined[-1] = source, {"rows": [*before["rows"], *note["rows"]]}
        else:
            joined.append((unit.source, note))
    return joined


class Unit(Protocol):
    """A source image, or windows of one: of a file, of an artifact, or in memory."""

    @property
    def source(self) -> Source:
        """Which one it is."""

    @property
    def reading(self) -> Reading:
        """How it is read."""

    @property
    def window_count(self) -> int:
        """How many windows there are, found without decoding."""

    @property
    def block(self) -> Block | None:
        """Which windows of the source these are; None = all."""

    def in_windows(self) -> Sequence[Unit]:
        """Return a unit for each window of a block; an image that is one unit as it is."""

    def windows(self) -> Sequence[Window]:
        """Its windows."""


@dataclass(frozen=True)
class Dataset:
    """All source images of a run, and what the output records about their origin."""

    inputs: dict[str, str]  # name -> digest or fingerprint, for the recipe
    hints: dict[str, dict[str, str]]  # name -> path and fingerprint, for information only
    named: tuple[str | Path, ...] = ()  # paths as given by the user
    bad: tuple[tuple[str, str], ...] = ()  # (name, reason) of images that earlier stages skipped
    units: tuple[Unit, ...] = ()
    reading: Reading | None = None
    kind: str = "pictures"  # or the kind of the artifact
    pending: tuple[DigestedFile, ...] = field(default=(), repr=False)  # images whose headers have not been read yet
    images: Images | None = None  # how to read them
    recorded: tuple[Mapping[str, Any], ...] = ()  # the part of `images` that enters the recipe
    mask: Path | None = None
    pending_masks: tuple[DigestedFile, ...] = field(default=(), repr=False)
    known: Reading | None = None  # how earlier images were read: new ones must be read the same way
    known_scaling: Limits | None = None  # scaling of the earlier images
    shard: tuple[int, int] | None = None  # which of how many shards these images are; None = all of them

    def opened(self, workers: int) -> Dataset:
        """Read the headers of the image files and decide how to read the pixels; an artifact is returned as it is."""
        if self.images is None:
            return self
        masks = {file.path.absolute(): file.digest for file in self.pending_masks}
        found = survey(
            list(self.pending), self.images, self.mask, workers, self.known, self.known_scaling, mask_digests=masks
        )
        whole = [ImageUnit(source, found.reading, self.images.patch, self.images.stride) for source in found.sources]
        units = tuple(unit for image in whole for unit in image.in_blocks())
        left = replace(self, pending=(), pending_masks=(), images=None)
        return replace(left, units=units, bad=tuple(found.skipped), reading=found.reading)

    @property
    def image_count(self) -> int:
        """Number of image files, or of images of an artifact."""
        return len(self.pending) or len(self.sources)

    @property
    def sources(self) -> list[Source]:
        """The source images, each once."""
        return list(dict.fromkeys(unit.source for unit in self.units))

    def sharded(self, shard: tuple[int, int] | None) -> Dataset:
        """Return a copy with only the images of a shard, which follow each other; only the first lists `bad` ones.

        So joined lists have the order of one run.
        """
        if shard is None or self.shard is not None:
            return self
        number, of = shard
        sources = self.sources
        if len(sources) < of:
            raise ConfigError(
                f"--shard {number}/{of}: there {'is' if len(sources) == 1 else 'are'} only "
                f"{console.count_images(len(sources))}; use at most {len(sources)} shards"
            )
        first, last = (len(sources) * end // of for end in (number - 1, number))
        own = set(sources[first:last])
        units = tuple(unit for unit in self.units if unit.source in own)
        return replace(self, units=units, bad=self.bad if number == 1 else (), shard=shard)

    def in_windows(self) -> Dataset:
        """Return a copy in which each window of a large image is a unit of its own."""
        return replace(self, units=tuple(one for unit in self.units for one in unit.in_windows()))

    def sample(self, pixels: int, images: int, seed: int) -> Dataset:
        """Return a copy with at most so many images, at random; and of large ones, about so many pixels in windows."""
        sources, some = self.sources, self.units
        if len(sources) > images:
            chosen = {sources[place] for place in _at_random(len(sources), images, seed)}
            some = tuple(unit for unit in self.units if unit.source in chosen)
        whole = sum(map(source_pixels, some))
        if whole > pixels and any(unit.block for unit in some):
            ones = replace(self, units=some).in_windows().units
            count = max(1, round(len(ones) * pixels / whole))
            some = tuple(ones[place] for place in _at_random(len(ones), count, seed))
        return self if some is self.units else replace(self, units=some)

    def without_pixels(self) -> Dataset:
        """Return a copy whose windows have no bands if they come from a file of features: its pixels stay unread."""
        if self.kind != "features":
            return self
        units = (replace(unit, unread=True) if isinstance(unit, StoredUnit) else unit for unit in self.units)
        return replace(self, units=tuple(units))

    def with_input(self, name: str, path: str | Path, fingerprint: str) -> Dataset:
        """Return a copy with one more input for the recipe, such as object masks."""
        return replace(
            self,
            inputs={**self.inputs, name: fingerprint},
            hints={**self.hints, name: {"path": str(path), "fingerprint": fingerprint}},
        )


def _at_random(total: int, count: int, seed: int) -> NDArray[np.int64]:
    """Return the places of `count` of `total` things, in order."""
    return np.sort(np.random.default_rng(seed).choice(total, count, replace=False))


def is_artifact(path: str | Path) -> bool:
    """Return whether the suffix of a path is that of an artifact."""
    return Path(path).suffix.lower() in HDF5_SUFFIXES


def find_dataset(
    inputs: Inputs,
    *,
    kinds: tuple[str, ...] = ("superpixels",),
    known_from: str | Path | None = None,
    like: Reading | None = None,
) -> Dataset:
    """Open the inputs as one artifact or as image files.

    Args:
        inputs: the inputs as given by the user.
        kinds: accepted kinds of artifact.
        known_from: an earlier output, whose digests are reused for files of unchanged size and modification time.
        like: how earlier images were read, if image files will be read the same way.
    """
    artifacts = [path for path in inputs.paths if is_artifact(path)]
    if not artifacts:
        return dataset_from_files(inputs, known_from, like)
    if len(inputs.paths) > 1:
        raise ConfigError(
            f"{artifacts[0]}: an HDF5 file must be the only input, but {len(inputs.paths)} inputs are given"
        )
    if inputs.mask is not None or inputs.images != Images():
        raise ConfigError(f"{artifacts[0]}: has its pixels already; options for reading images do not apply")
    return dataset_from_artifact(artifacts[0], inputs.limit, inputs.source_folder, kinds)


def dataset_from_files(inputs: Inputs, known_from: str | Path | None = None, like: Reading | None = None) -> Dataset:
    """Find and hash image files; `Dataset.opened` reads their headers later.

    Args:
        inputs: folders, files, globs or lists; how they are read; and masks of valid pixels.
        known_from: an earlier output, whose digests are reused for files of unchanged size and modification time.
        like: how earlier images were read, if these will be read the same way: large rasters are cut by that size.
    """
    if inputs.images.size and inputs.images.scale != 1.0:
        raise ConfigError("--size and --scale both set the size of the working image: give one of them")
    known = known_digests(known_from)
    digested = digest_files(find_images(inputs.paths)[: inputs.limit], *known)
    images = with_band_range(_divided(inputs.images, digested, like), digested)
    folders = {"pictures": _common_folder(file.location for file in digested)}
    fingerprints = {"pictures": listing_digest((file.name, file.digest) for file in digested)}
    masks: list[DigestedFile] = []
    if inputs.mask is not None:
        masks = digest_files(find_images([inputs.mask]), *known)
        fingerprints["masks"] = listing_digest((file.name, file.digest) for file in masks)
        folders["masks"] = str(inputs.mask)
    return Dataset(
        inputs=fingerprints,
        hints={name: {"path": path, "fingerprint": fingerprints[name]} for name, path in folders.items()},
        named=tuple(inputs.paths),
        pending=tuple(digested),
        images=images,
        recorded=(recorded(images),),
        mask=None if inputs.mask is None else Path(inputs.mask),
        pending_masks=tuple(masks),
    )


def _divided(images: Images, files: Sequence[DigestedFile], like: Reading | None) -> Images:
    """Cut all images into overlapping windows if one is a large raster and the user says nothing about windows."""
    if images.patch or images.stride:
        return images
    largest = largest_raster(files, images if like is None else replace(images, size=like.size, scale=like.scale))
    if largest is None:
        return images
    pixels, bands = largest
    used = len(images.bands) or bands
    stride = next((one for one in STRIDES if (one + OVERLAP) ** 2 * used <= PIXELS_OF_A_BLOCK), STRIDES[-1])
    patch = stride + OVERLAP
    console.note(
        f"a raster has {pixels / 1e6:,.0f} megapixels: all images are cut into windows by --patch {patch} "
        f"--stride {stride}; for one window each, give a larger --patch"
    )
    return replace(images, patch=patch, stride=stride)


def at_working_size(inputs: Inputs, size: tuple[int, ...], default: tuple[int, ...]) -> tuple[Inputs, tuple[int, ...]]:
    """Return the inputs of a stage that has its own working size, and that size.

    Image files are read at that size, unless they are cut into patches; `--scale` replaces the default size.

    Args:
        inputs: the inputs as given by the user.
        size: the size set for the stage.
        default: the default of that setting.
    """
    if inputs.images.size:
        raise ConfigError("the size is a setting of the stage, not of reading images: set it there")
    if inputs.images.scale != 1.0:
        if size != default:
            raise ConfigError("--size and --scale both set the size of the working image: give one of them")
        return inputs, ()
    if not size or inputs.images.patch or is_artifact(inputs.paths[0]):
        return inputs, size
    return replace(inputs, images=replace(inputs.images, size=size)), size


def dataset_from_artifact(
    path: str | Path,
    limit: int | None = None,
    source_folder: str | Path | None = None,
    kinds: tuple[str, ...] = ("superpixels", "features"),
) -> Dataset:
    """Open an artifact with superpixels as a dataset.

    Args:
        path: an artifact.
        limit: use only this many sources, from the first.
        source_folder: where to look for moved images, by digest.
        kinds: accepted kinds of artifact.
    """
    path = Path(path)
    with store.open_artifact(path, *kinds) as artifact:
        reading = Reading.from_json(artifact.attributes["reading"])
        sources = stored_sources(artifact)[:limit]
        if source_folder is not None:
            sources = moved_sources(sources, Path(source_folder))
        rows: dict[int, list[int]] = {}
        for row, source in enumerate(artifact.table("windows/source").tolist()):
            rows.setdefault(source, []).append(row)
        whole = [
            StoredUnit(str(path), artifact.fingerprint, source, tuple(rows.get(number, ())), reading)
            for number, source in enumerate(sources)
        ]
        found = [Box(*row) for row in artifact.table("windows/box").tolist()]
        pixels = artifact.has("images") or artifact.kind == "features"
        units = [part for unit in whole for part in unit.in_blocks([found[row] for row in unit.rows], pixels=pixels)]
        bad = zip(artifact.table("skipped/name"), artifact.table("skipped/reason"), strict=True)
        name = artifact.kind
        inputs = {name: artifact.fingerprint}
        if limit is not None and limit < len(artifact.table("sources/name")):
            inputs["limit"] = str(limit)
        return Dataset(
            inputs=inputs,
            hints={name: {"path": str(path), "fingerprint": artifact.fingerprint}},
            bad=tuple(bad),
            units=tuple(units),
            reading=reading,
            kind=artifact.kind,
        )


def stored_sources(artifact: store.Artifact) -> list[Source]:
    """Return the sources of an artifact, with paths relative to it resolved."""
    columns = {name: _column(artifact, name) for name in SOURCE_COLUMNS}
    columns["path"] = _absolute_paths(artifact, columns["path"])
    columns["scaling"] = _shared([tuple((low, high) for low, high in row) for row in columns["scaling"]])
    columns["place"] = _stored_places(artifact) or [Georeference()] * len(columns["name"])
    members = _stored_members(artifact)
    columns["members"] = [tuple(members.get(row, ())) for row in range(len(columns["name"]))]
    sizes = columns.pop("size")
    return [
        Source(height=height, width=width, **dict(zip(columns, values, strict=True)))
        for (height, width), values in zip(sizes, zip(*columns.values(), strict=True), strict=True)
    ]


def _column(artifact: store.Artifact, name: str) -> list[Any]:
    """Return a table of the sources as plain values of Python: a whole table is converted much faster than its rows."""
    values = artifact.table(f"sources/{name}")
    return values if isinstance(values, list) else list(values.tolist())


def _absolute_paths(artifact: store.Artifact, relative: Iterable[str]) -> list[str]:
    folder = str(artifact.path.resolve().parent)
    return [os.path.normpath(in_folder(folder, path)) for path in relative]


def _shared(values: Iterable[Any]) -> list[Any]:
    """Return values in which equal ones are one object, so that they are in memory once."""
    one_of: dict[Any, Any] = {}
    return [one_of.setdefault(value, value) for value in values]


def _stored_places(artifact: store.Artifact) -> list[Georeference]:
    """Return where the sources of an artifact lie on the map; none if it does not say so for any of them."""
    if not (artifact.has("sources/crs") and artifact.has("sources/transform")):
        return []
    pairs = zip(artifact.table("sources/crs"), artifact.table("sources/transform"), strict=True)
    return [Georeference(crs, () if np.isnan(row).any() else tuple(map(float, row))) for crs, row in pairs]


def _stored_members(artifact: store.Artifact) -> dict[int, list[SurfaceMember]]:
    """Return the files that the sources of an artifact are made of, for mosaics."""
    if not artifact.has("members/source"):
        return {}
    folder = artifact.path.resolve().parent
    columns = (artifact.table(f"members/{name}") for name in MEMBER_COLUMNS)
    found: dict[int, list[SurfaceMember]] = {}
    for source, path, digest, size, modified, box in zip(*columns, strict=True):
        member = SurfaceMember(os.path.normpath(folder / path), digest, int(size), int(modified), Box(*map(int, box)))
        found.setdefault(int(source), []).append(member)
    return found


MEMBER_COLUMNS = ("source", "path", "digest", "bytes", "modified", "box")
SOURCE_COLUMNS = (
    "name",
    "path",
    "page",
    "digest",
    "bytes",
    "modified",
    "size",
    "orientation",
    "bands",
    "scaling",
)


def source_tables(sources: Sequence[Source], output: Path) -> dict[str, Any]:
    """Return the datasets below `sources/`, with paths relative to the output."""
    folder = output.resolve().parent
    channels = max((len(source.scaling) for source in sources), default=1)
    return {
        "sources/name": [source.name for source in sources],
        "sources/path": [os.path.relpath(source.path, folder) for source in sources],
        "sources/page": np.array([source.page for source in sources], np.int32),
        "sources/digest": [source.digest for source in sources],
        "sources/bytes": np.array([source.bytes for source in sources], np.int64),
        "sources/modified": np.array([source.modified for source in sources], np.int64),
        "sources/size": np.array([(s.height, s.width) for s in sources], np.int32).reshape(-1, 2),
        "sources/orientation": np.array([source.orientation for source in sources], np.uint8),
        "sources/bands": np.array([source.bands for source in sources], np.int32),
        "sources/scaling": np.array([_widened(source.scaling, channels) for source in sources], np.float64).reshape(
            -1, channels, 2
        ),
        **_place_tables([source.place for source in sources]),
        **_member_tables(sources, folder),
    }


def _member_tables(sources: Sequence[Source], folder: Path) -> dict[str, Any]:
    """Return the datasets that list the files of mosaics; empty if there is none."""
    found = [(number, member) for number, source in enumerate(sources) for member in source.members]
    if not found:
        return {}
    return {
        "members/source": np.array([number for number, _ in found], np.int32),
        "members/path": [os.path.relpath(member.path, folder) for _, member in found],
        "members/digest": [member.digest for _, member in found],
        "members/bytes": np.array([member.bytes for _, member in found], np.int64),
        "members/modified": np.array([member.modified for _, member in found], np.int64),
        "members/box": np.array([member.box for _, member in found], np.int32),
    }


def _place_tables(places: Sequence[Georeference]) -> dict[str, Any]:
    """Return the datasets that say where the sources lie on the map; empty if none of them does."""
    if not any(place.crs or place.transform for place in places):
        return {}
    rows = [place.transform or (np.nan,) * 6 for place in places]
    return {"sources/crs": [place.crs for place in places], "sources/transform": np.array(rows, np.float64)}


def known_digests(path: str | Path | None) -> tuple[dict[tuple[str, int, int], str], int]:
    """Return digests recorded by an earlier output, and the time when its run began, in nanoseconds since 1970.

    The digests are by (absolute path, bytes, modification time).
    """
    if path is None or store.kind_of(path) not in ("superpixels", "features", "segmentation"):
        return {}, 0
    try:
        with store.open_artifact(path) as artifact:
            columns = [_column(artifact, name) for name in ("path", "bytes", "modified", "digest")]
            keys = zip(_absolute_paths(artifact, columns[0]), *columns[1:3], strict=True)
            known = dict(zip(keys, columns[3], strict=True))
            for members in _stored_members(artifact).values():
                known |= {(file.path, file.bytes, file.modified): file.digest for file in members}
            return known, _begun(artifact)
    except ArtifactError:
        return {}, 0  # the stage itself reports what is wrong with it


def _begun(artifact: store.Artifact) -> int:
    """Return when the run began that made an artifact, in nanoseconds since 1970; 0 if it does not say so."""
    try:
        ended = datetime.fromisoformat(artifact.about["created"]).timestamp()
        return int((ended - float(artifact.about["seconds"])) * 1e9)
    except (TypeError, ValueError, OverflowError, OSError):
        return 0


def relative_hints(hints: Mapping[str, Mapping[str, str]], output: Path) -> dict[str, dict[str, str]]:
    """Make the paths in hints relative to the output, so that a folder of artifacts can be moved as a whole."""
    folder = output.resolve().parent
    return {
        name: {**hint, "path": os.path.relpath(Path(hint["path"]).resolve(), folder)} for name, hint in hints.items()
    }


_open_artifacts = ExitStack()


@functools.lru_cache(maxsize=2)
def held_open(path: str, fingerprint: str) -> store.Artifact:
    """Open an artifact and keep it open in this process until `release_artifacts`."""
    artifact = _open_artifacts.enter_context(store.open_artifact(path))
    if artifact.fingerprint != fingerprint:
        raise ArtifactError(f"{path}: was replaced while it was being read; run the command again")
    return artifact


def release_artifacts() -> None:
    """Close the artifacts opened by `held_open` in this process; worker processes close theirs on exit."""
    held_open.cache_clear()
    _open_artifacts.close()


def moved_sources(sources: list[Source], folder: Path) -> list[Source]:
    """Return sources with their paths in another folder, where they are found by their content."""
    here = {file.digest: file for file in digest_files(find_images([folder], annotations=True), {})}
    files = {one.digest: source.name for source in sources for one in (source.members or (source,))}
    lost = [name for digest, name in files.items() if digest not in here]
    if lost:
        raise DataError(f"{folder}: no file has the content of {lost[0]} ({len(lost)} images not found)")
    paths = {digest: str(here[digest].path.resolve()) for digest in files}
    return [
        replace(source, members=tuple(replace(one, path=paths[one.digest]) for one in source.members))
        if source.members
        else replace(source, path=paths[source.digest])
        for source in sources
    ]


def _widened(scaling: tuple[tuple[float, float], ...], channels: int) -> tuple[tuple[float, float], ...]:
    """Repeat the scaling of a grey image among colour images for all channels."""
    return scaling * channels if len(scaling) == 1 else scaling


def _common_folder(paths: Iterable[str]) -> str:
    folders = {folder_of(os.path.realpath(path) if is_link(path) else path) for path in paths}
    return os.path.commonpath([os.path.realpath(folder) for folder in folders])


def window_key(source: Source, box: Box) -> str:
    """Identify a window and its image, by the digest of its file."""
    return f"{source.digest} {source.page} {box.top} {box.left}"


def _around(found: Sequence[Box]) -> Box:
    """Return the smallest box around boxes."""
    top, left = min(box.top for box in found), min(box.left for box in found)
    return Box(top, left, max(box.bottom for box in found) - top, max(box.right for box in found) - left)


def _cut(array: NDArray[Any], box: Box) -> NDArray[Any]:
    return np.ascontiguousarray(array[box.top : box.top + box.height, box.left : box.left + box.width])
