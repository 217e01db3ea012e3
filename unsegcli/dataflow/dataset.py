"""Read working pixels, image by image, from image files or from an artifact that stores them.

The result is the same in both cases, so no stage needs to know where its pixels came from.
Nothing is computed on the pixels here, and labels are never read.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from unsegcli import store
from unsegcli.core.geometry import Box, boxes, working_grid
from unsegcli.errors import ArtifactError, ChangedError, ConfigError, DataError
from unsegcli.images.find import DigestedFile, digest_files, find_images
from unsegcli.images.georeference import Georeference
from unsegcli.images.scaling import Limits
from unsegcli.images.survey import survey
from unsegcli.images.working import Reading, Source, read_working
from unsegcli.parallel import Report, say_nothing
from unsegcli.params import Images, Inputs, recorded
from unsegcli.recipe import listing_digest

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
class ImageUnit:
    """A source image to be read from its file."""

    source: Source
    reading: Reading
    patch: int
    stride: int

    @property
    def window_count(self) -> int:
        """Number of windows, computed without decoding the image."""
        grid = working_grid(self.source.height, self.source.width, self.reading.size, self.reading.scale)
        return len(boxes(*grid, self.patch, self.stride))

    def windows(self) -> list[Window]:
        """Decode the image and cut it into windows."""
        pixels, valid = read_working(self.source, self.reading)
        grid = (pixels.shape[0], pixels.shape[1])
        return [
            Window(
                box,
                grid,
                _cut(pixels, box),
                None if valid is None else _cut(valid, box),
                window_key(self.source, box),
                self.source.name,
            )
            for box in boxes(grid[0], grid[1], self.patch, self.stride)
        ]


@dataclass(frozen=True)
class StoredUnit:
    """A source image whose windows are stored in an artifact; its pixels are stored there or in the image file."""

    path: str
    fingerprint: str
    source: Source
    rows: tuple[int, ...]  # the windows of this source
    reading: Reading
    unread: bool = False  # whether stored pixels are left unread

    @property
    def window_count(self) -> int:
        """Number of windows."""
        return len(self.rows)

    def windows(self) -> list[Window]:
        """Read the windows from the artifact."""
        artifact = held_open(self.path, self.fingerprint)
        stored = artifact.has("images") or artifact.kind == "features"
        whole = None if stored else self._reread()
        return [self._window(artifact, row, whole) for row in self.rows]

    def _window(self, artifact: store.Artifact, row: int, whole: NDArray[np.uint8] | None) -> Window:
        box = Box(*(int(side) for side in artifact.table("windows/box")[row]))
        grid_height, grid_width = (int(side) for side in artifact.table("windows/grid")[row])
        regions = artifact.read("superpixels", row) if artifact.has("superpixels") else None
        if artifact.has("images") and not self.unread:
            pixels = artifact.read("images", row)
        elif whole is not None:
            pixels = _cut(whole, box)
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

    def _reread(self) -> NDArray[np.uint8]:
        path = Path(self.source.path)
        if not path.exists():
            raise DataError(
                f"{self.path}: holds no pixels, and {path} does not exist; give the folder of images with --images"
            )
        try:
            return read_working(self.source, self.reading)[0]
        except ChangedError as error:
            raise DataError(f"{path}: has changed since {self.path} was made; make {self.path} again") from error


def _valid(artifact: store.Artifact, row: int, regions: NDArray[Any] | None) -> NDArray[np.bool_] | None:
    """Return the valid pixels of a window; None = all."""
    if regions is not None:
        valid = regions != np.iinfo(regions.dtype).max
    elif artifact.has("valid"):
        valid = artifact.read("valid", row)
    else:
        return None
    return None if bool(valid.all()) else valid


def _cell(artifact: store.Artifact, row: int) -> tuple[float, float] | None:
    """Return height and width of a cell of a window's vectors; None if it has none."""
    if not artifact.has("windows/cell"):
        return None
    height, width = artifact.table("windows/cell")[row]
    return float(height), float(width)


class Unit(Protocol):
    """A source image: of a file, of an artifact, or in memory."""

    @property
    def source(self) -> Source:
        """Which one it is."""

    @property
    def reading(self) -> Reading:
        """How it is read."""

    @property
    def window_count(self) -> int:
        """How many windows there are, found without decoding."""

    def windows(self) -> list[Window]:
        """Its windows, in memory."""


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

    def opened(self, workers: int) -> Dataset:
        """Read the headers of the image files and decide how to read the pixels; an artifact is returned as it is."""
        if self.images is None:
            return self
        masks = {file.path.absolute(): file.digest for file in self.pending_masks}
        found = survey(
            list(self.pending), self.images, self.mask, workers, self.known, self.known_scaling, mask_digests=masks
        )
        units = tuple(
            ImageUnit(source, found.reading, self.images.patch, self.images.stride) for source in found.sources
        )
        left = replace(self, pending=(), pending_masks=(), images=None)
        return replace(left, units=units, bad=tuple(found.skipped), reading=found.reading)

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


def is_artifact(path: str | Path) -> bool:
    """Return whether the suffix of a path is that of an artifact."""
    return Path(path).suffix.lower() in HDF5_SUFFIXES


def find_dataset(
    inputs: Inputs, *, kinds: tuple[str, ...] = ("superpixels",), known_from: str | Path | None = None
) -> Dataset:
    """Open the inputs as one artifact or as image files.

    Args:
        inputs: the inputs as given by the user.
        kinds: accepted kinds of artifact.
        known_from: an earlier output, whose digests are reused for files of unchanged size and modification time.
    """
    artifacts = [path for path in inputs.paths if is_artifact(path)]
    if not artifacts:
        return dataset_from_files(inputs, known_from)
    if len(inputs.paths) > 1:
        raise ConfigError(
            f"{artifacts[0]}: an HDF5 file must be the only input, but {len(inputs.paths)} inputs are given"
        )
    if inputs.mask is not None or inputs.images != Images():
        raise ConfigError(f"{artifacts[0]}: has its pixels already; options for reading images do not apply")
    return dataset_from_artifact(artifacts[0], inputs.limit, inputs.source_folder, kinds)


def dataset_from_files(inputs: Inputs, known_from: str | Path | None = None) -> Dataset:
    """Find and hash image files; `Dataset.opened` reads their headers later.

    Args:
        inputs: folders, files, globs or lists; how they are read; and masks of valid pixels.
        known_from: an earlier output, whose digests are reused for files of unchanged size and modification time.
    """
    if inputs.images.size and inputs.images.scale != 1.0:
        raise ConfigError("--size and --scale both set the size of the working image: give one of them")
    known = known_digests(known_from)
    digested = digest_files(find_images(inputs.paths)[: inputs.limit], known)
    folders = {"pictures": _common_folder(file.path for file in digested)}
    fingerprints = {"pictures": listing_digest((file.name, file.digest) for file in digested)}
    masks: list[DigestedFile] = []
    if inputs.mask is not None:
        masks = digest_files(find_images([inputs.mask]), known)
        fingerprints["masks"] = listing_digest((file.name, file.digest) for file in masks)
        folders["masks"] = str(inputs.mask)
    return Dataset(
        inputs=fingerprints,
        hints={name: {"path": path, "fingerprint": fingerprints[name]} for name, path in folders.items()},
        named=tuple(inputs.paths),
        pending=tuple(digested),
        images=inputs.images,
        recorded=(recorded(inputs.images),),
        mask=None if inputs.mask is None else Path(inputs.mask),
        pending_masks=tuple(masks),
    )


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
        for row, source in enumerate(artifact.table("windows/source")):
            rows.setdefault(int(source), []).append(row)
        units = tuple(
            StoredUnit(str(path), artifact.fingerprint, source, tuple(rows.get(number, ())), reading)
            for number, source in enumerate(sources)
        )
        bad = zip(artifact.table("skipped/name"), artifact.table("skipped/reason"), strict=True)
        name = artifact.kind
        inputs = {name: artifact.fingerprint}
        if limit is not None and limit < len(artifact.table("sources/name")):
            inputs["limit"] = str(limit)
        return Dataset(
            inputs=inputs,
            hints={name: {"path": str(path), "fingerprint": artifact.fingerprint}},
            bad=tuple(bad),
            units=units,
            reading=reading,
            kind=artifact.kind,
        )


def stored_sources(artifact: store.Artifact) -> list[Source]:
    """Return the sources of an artifact, with paths relative to it resolved."""
    folder = artifact.path.resolve().parent
    columns = {name: artifact.table(f"sources/{name}") for name in SOURCE_COLUMNS}
    places = _stored_places(artifact)
    return [
        Source(
            name=columns["name"][row],
            path=os.path.normpath(folder / columns["path"][row]),
            page=int(columns["page"][row]),
            digest=columns["digest"][row],
            bytes=int(columns["bytes"][row]),
            modified=int(columns["modified"][row]),
            height=int(columns["size"][row][0]),
            width=int(columns["size"][row][1]),
            orientation=int(columns["orientation"][row]),
            bands=int(columns["bands"][row]),
            scaling=tuple((float(low), float(high)) for low, high in columns["scaling"][row]),
            place=places[row] if places else Georeference(),
        )
        for row in range(len(columns["name"]))
    ]


def _stored_places(artifact: store.Artifact) -> list[Georeference]:
    """Return where the sources of an artifact lie on the map; none if it does not say so for any of them."""
    if not (artifact.has("sources/crs") and artifact.has("sources/transform")):
        return []
    pairs = zip(artifact.table("sources/crs"), artifact.table("sources/transform"), strict=True)
    return [Georeference(crs, () if np.isnan(row).any() else tuple(map(float, row))) for crs, row in pairs]


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
    }


def _place_tables(places: Sequence[Georeference]) -> dict[str, Any]:
    """Return the datasets that say where the sources lie on the map; empty if none of them does."""
    if not any(place.crs or place.transform for place in places):
        return {}
    rows = [place.transform or (np.nan,) * 6 for place in places]
    return {"sources/crs": [place.crs for place in places], "sources/transform": np.array(rows, np.float64)}


def known_digests(path: str | Path | None) -> dict[tuple[str, int, int], str]:
    """Return digests recorded by an earlier output: (absolute path, bytes, modification time) -> digest."""
    if path is None or store.kind_of(path) not in ("superpixels", "features", "segmentation"):
        return {}
    try:
        with store.open_artifact(path) as artifact:
            return {(s.path, s.bytes, s.modified): s.digest for s in stored_sources(artifact)}
    except ArtifactError:
        return {}  # the stage itself reports what is wrong with it


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
    lost = [source.name for source in sources if source.digest not in here]
    if lost:
        raise DataError(f"{folder}: no file has the content of {lost[0]} ({len(lost)} images not found)")
    return [replace(source, path=str(here[source.digest].path.resolve())) for source in sources]


def _widened(scaling: tuple[tuple[float, float], ...], channels: int) -> tuple[tuple[float, float], ...]:
    """Repeat the scaling of a grey image among colour images for all channels."""
    return scaling * channels if len(scaling) == 1 else scaling


def _common_folder(paths: Iterable[Path]) -> str:
    return os.path.commonpath([Path(path).resolve().parent for path in paths])


def window_key(source: Source, box: Box) -> str:
    """Identify a window and its image, by the digest of its file."""
    return f"{source.digest} {source.page} {box.top} {box.left}"


def _cut(array: NDArray[Any], box: Box) -> NDArray[Any]:
    return np.ascontiguousarray(array[box.top : box.top + box.height, box.left : box.left + box.width])
