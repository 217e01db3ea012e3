"""Read label maps to be scored or shown: from an artifact, or from a folder of files made by any tool.

Ground truth is not read here. Maps of both origins have the same interface.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unsegcli import store
from unsegcli.core.geometry import Box, checked_cores, cores, nearest_rows, paint, paint_rows, sample_nearest
from unsegcli.dataflow.dataset import held_open, is_artifact, stored_sources
from unsegcli.dataflow.provenance import networks, tables_of
from unsegcli.errors import ArtifactError, ConfigError, DataError
from unsegcli.images.decode import orient, read_header, read_index
from unsegcli.images.find import IMAGES_FOLDER, digest_files, find_images, split_of
from unsegcli.images.georeference import Georeference
from unsegcli.images.working import Source
from unsegcli.legend import Legend
from unsegcli.params import LABEL_ROLES
from unsegcli.recipe import listing_digest
from unsegcli.store.kinds import OBJECT_ROLES, UNKNOWN_DISTANCE

SAME_ASPECT = 0.02
BAND_ROWS = 256  # of a large map, in memory at once
CATEGORIES_OF_A_MASK = 2  # background and object
LARGEST_NUMBER = 65_535  # largest category in a file of another tool


class Distances(NamedTuple):
    """How far pixels are from centres, in the space in which clusters were compared: (height, width), NaN = unknown."""

    own: NDArray[np.float32]  # to the centre of the own cluster
    ratio: NDArray[np.float32]  # that, divided by the distance to the second nearest: 0 = typical, 1 = undecided


@dataclass(frozen=True)
class StoredMap:
    """The label map of one source image in an artifact, stored as one or several windows."""

    name: str
    source: Source
    path: str  # of the artifact
    fingerprint: str
    field: str
    rows: tuple[int, ...]

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width of the working image."""
        height, width = held_open(self.path, self.fingerprint).table("windows/grid")[self.rows[0]]
        return int(height), int(width)

    @property
    def source_grid(self) -> tuple[int, int]:
        """Height and width of the source image as shown."""
        return self.source.height, self.source.width

    @property
    def place(self) -> Georeference:
        """Where the source image lies on a map."""
        return self.source.place

    def on(self, grid: tuple[int, int]) -> NDArray[np.int32]:
        """Return the map resampled to a grid (height, width) over the whole image; -1 = void."""
        painted = self._painted(self.field, grid)
        void = np.iinfo(painted.dtype).max
        return np.where(painted == void, -1, painted.astype(np.int32))

    def bands(self) -> Iterator[tuple[int, NDArray[np.int32]]]:
        """Yield the categories on the grid of the source a few rows at a time, with the first row; -1 = void."""
        for row, painted in self.bands_of(self.field):
            yield row, np.where(painted == np.iinfo(painted.dtype).max, -1, painted.astype(np.int32))

    def parts_of(self, field: str) -> Iterator[tuple[Box, NDArray[Any]]]:
        """Yield what is stored of pixels on the working grid, window by window; the boxes do not overlap."""
        boxes = self._boxes()
        for number, (window, core) in enumerate(zip(boxes, checked_cores(boxes, self.grid), strict=True)):
            yield core, self._window(field, number)[core.seen_from(window).slices]

    def parts(self) -> Iterator[tuple[Box, NDArray[np.int32]]]:
        """Yield the map on the working grid, window by window; -1 = void."""
        for box, values in self.parts_of(self.field):
            yield box, np.where(values == np.iinfo(values.dtype).max, -1, values.astype(np.int32))

    def superpixels(self) -> int:
        """Return how many superpixels are stored; where windows overlap, both have theirs."""
        table = held_open(self.path, self.fingerprint).table("windows/superpixels")
        return int(table[list(self.rows)].sum())

    def values_in(self, box: Box) -> NDArray[np.int32]:
        """Return what lies in a box of the map on the working grid; -1 = void."""
        values = self._in(self.field, box)
        return np.where(values == np.iinfo(values.dtype).max, -1, values.astype(np.int32))

    def pixels_in(self, box: Box) -> NDArray[np.uint8] | None:
        """Return the working pixels (height, width, bands) in a box, or None if they are not stored."""
        return self._in("images", box) if held_open(self.path, self.fingerprint).has("images") else None

    def _in(self, field: str, box: Box) -> NDArray[Any]:
        windows = self._boxes()
        owned = checked_cores(windows, self.grid)
        some = [number for number, core in enumerate(owned) if core.touches(box)]
        rows, columns = np.arange(box.top, box.bottom), np.arange(box.left, box.right)
        maps = (self._window(field, number) for number in some)
        return paint_rows(maps, [windows[one] for one in some], [owned[one] for one in some], rows, columns)

    def bands_of(self, field: str) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yield what is stored of pixels on the grid of the source a few rows at a time, with the first row.

        Each window is read once, and only those beside each other are in memory.
        """
        boxes = self._boxes()
        owned = checked_cores(boxes, self.grid)
        under, columns = (nearest_rows(*sides) for sides in zip(self.grid, self.source_grid, strict=True))
        for top, bottom in sorted({(core.top, core.bottom) for core in owned}):
            beside = [number for number, core in enumerate(owned) if core.top == top]
            maps = [self._window(field, number) for number in beside]
            windows, parts = ([found[number] for number in beside] for found in (boxes, owned))
            first, last = np.searchsorted(under, (top, bottom)).tolist()
            for row in range(first, last, BAND_ROWS):
                yield row, paint_rows(maps, windows, parts, under[row : min(row + BAND_ROWS, last)], columns)

    def sure_bands(self) -> Iterator[tuple[int, NDArray[Any]]] | None:
        """Yield how sure each pixel is, as `bands_of`: the stored confidence, else 1 - the ratio of distances."""
        artifact = held_open(self.path, self.fingerprint)
        if artifact.has("confidence"):
            return self.bands_of("confidence")
        if not (artifact.has("distances") and artifact.has("windows/farthest")):
            return None
        return ((row, 1 - _ratios()[both[:, :, 0], both[:, :, 1]]) for row, both in self.bands_of("distances"))

    def pixel_parts(self) -> Iterator[tuple[Box, NDArray[np.uint8]]] | None:
        """Yield the working pixels (height, width, bands) as `parts_of`, or return None if they are not stored."""
        return self.parts_of("images") if held_open(self.path, self.fingerprint).has("images") else None

    def pixel_bands(self) -> Iterator[tuple[int, NDArray[np.uint8]]] | None:
        """Yield the working pixels (rows, width, bands) as `bands_of`, or return None if they are not stored."""
        return self.bands_of("images") if held_open(self.path, self.fingerprint).has("images") else None

    def confidence(self, grid: tuple[int, int]) -> NDArray[Any] | None:
        """Return the confidence of each pixel (height, width), or None if it is not stored."""
        artifact = held_open(self.path, self.fingerprint)
        return self._painted("confidence", grid) if artifact.has("confidence") else None

    def distances(self, grid: tuple[int, int]) -> Distances | None:
        """Return how far each pixel is from the centres of its clusters, or None if that is not stored."""
        artifact = held_open(self.path, self.fingerprint)
        if not (artifact.has("distances") and artifact.has("windows/farthest")):
            return None
        stored = self._painted("distances", grid)
        boxes = self._boxes()
        farthest = [float(artifact.table("windows/farthest")[row]) for row in self.rows]
        plain = _plain(boxes, np.array(farthest, np.float32))
        step = paint(plain, boxes, self.grid, grid) / np.float32(UNKNOWN_DISTANCE - 1)
        own, second = stored[:, :, 0], stored[:, :, 1]
        return Distances(np.where(own == UNKNOWN_DISTANCE, np.float32(np.nan), own * step), _ratios()[own, second])

    def certainty(self, box: Box, grid: tuple[int, int]) -> float:
        """Return the mean window confidence inside a box of a grid over the whole image; 1 if none is stored."""
        artifact = held_open(self.path, self.fingerprint)
        if not artifact.has("windows/confidence"):
            return 1.0
        sure = [float(artifact.table("windows/confidence")[row]) for row in self.rows]
        if len(sure) == 1:
            return sure[0]
        boxes = self._boxes()
        plain = _plain(boxes, np.array(sure))
        return float(paint(plain, boxes, self.grid, grid)[box.slices].mean())

    def pixels(self) -> NDArray[np.uint8] | None:
        """Return the working pixels (height, width, bands), or None if they are not stored."""
        artifact = held_open(self.path, self.fingerprint)
        return self._painted("images", self.grid) if artifact.has("images") else None

    def _boxes(self) -> list[Box]:
        table = held_open(self.path, self.fingerprint).table("windows/box")
        return [Box(*(int(side) for side in table[row])) for row in self.rows]

    def _painted(self, field: str, grid: tuple[int, int]) -> NDArray[Any]:
        boxes = self._boxes()
        return paint((self._window(field, number) for number in range(len(boxes))), boxes, self.grid, grid)

    def _window(self, field: str, number: int) -> NDArray[Any]:
        """Read what is stored of a window; no two windows share a superpixel, and void stays void."""
        artifact = held_open(self.path, self.fingerprint)
        values = artifact.read(field, self.rows[number])
        if field != "superpixels" or len(self.rows) == 1:
            return values
        first = int(artifact.table("windows/superpixels")[list(self.rows[:number])].sum())
        void = np.uint32(np.iinfo(np.uint32).max)
        return np.where(values == np.iinfo(values.dtype).max, void, values.astype(np.uint32) + np.uint32(first))


def _plain(boxes: Sequence[Box], values: NDArray[Any]) -> list[NDArray[Any]]:
    """Return a map of one value for each window, which takes no memory."""
    return [np.broadcast_to(value, (one.height, one.width)) for one, value in zip(boxes, values, strict=True)]


@functools.cache
def _ratios() -> NDArray[np.float32]:
    """Return the ratio of each pair of stored distances; NaN if one of them is unknown, 1 if both are 0."""
    steps = np.arange(UNKNOWN_DISTANCE + 1, dtype=np.float32)
    table: NDArray[np.float32] = np.minimum(steps[:, None] / np.maximum(steps, 1), np.float32(1))
    table[0, 0] = 1
    table[UNKNOWN_DISTANCE] = table[:, UNKNOWN_DISTANCE] = np.nan
    return table


@dataclass(frozen=True)
class FileMap:
    """The label map of one image in its own file, as written by other tools."""

    name: str
    path: str
    page: int
    source_grid: tuple[int, int]
    place: Georeference = field(default_factory=Georeference)

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width of the map."""
        return self.source_grid

    def on(self, grid: tuple[int, int]) -> NDArray[np.int32]:
        """Return the map resampled to a grid (height, width) over the whole image; negative = void."""
        values = read_index(Path(self.path), self.page)
        if values.ndim == 3 and (values == values[:, :, :1]).all():
            values = values[:, :, 0]
        if values.ndim != 2:
            raise DataError(
                f"{self.path}: a label map has one band, but this file has {values.shape[2]}: save numbers, not colours"
            )
        if values.dtype.kind == "f" and not (values == np.floor(values)).all():
            raise DataError(f"{self.path}: a label map holds integers, but this file has fractions: save integers")
        if values.max() > LARGEST_NUMBER:
            raise DataError(
                f"{self.path}: holds the value {values.max()}, above {LARGEST_NUMBER}: number categories from 0"
            )
        return sample_nearest(values.astype(np.int32), grid)

    def confidence(self, grid: tuple[int, int]) -> None:
        """Return None: a file has no confidence or pixels."""

    def distances(self, grid: tuple[int, int]) -> None:
        """Return None: a file has no distances to centres."""

    def pixels(self) -> None:
        """Return None: a file has no confidence or pixels."""


ImageMap = StoredMap | FileMap


def check_same_classes(run: Predictions, legend: Legend | None) -> None:
    """Check that named classes are those of the legend, in its order: numbers alone would match any legend."""
    if run.role != "classes" or not run.categories or legend is None:
        return
    if run.categories[: len(legend.names)] != legend.names:
        raise DataError(
            f"{run.name}: holds the classes {', '.join(run.categories)}, but the legend has "
            f"{', '.join(legend.names)}; give the legend of these classes with --legend"
        )


def turned_like(item: ImageMap, values: NDArray[Any], what: str) -> NDArray[Any]:
    """Rotate a map (height, width) made for the image as stored to the orientation in which the image is shown.

    Args:
        item: the image that it belongs to.
        values: the map, in the aspect ratio of the image as shown, or in the shape of the image as stored.
        what: name of the map in the error message.
    """
    height, width = item.source_grid
    orientation = item.source.orientation if isinstance(item, StoredMap) else 1
    if orientation >= 5 and height != width and values.shape == (width, height):
        return orient(values[:, :, None], orientation)[:, :, 0]
    check_aspect(values.shape, item, what)
    return values


def turned_to(source: Source, values: NDArray[Any], path: Path) -> NDArray[Any]:
    """Rotate the label map of a source image in the same way; `path` is its file, for errors."""
    return turned_like(StoredMap(source.name, source, "", "", "", ()), values, f"{path}: the label map")


def check_aspect(shape: Sequence[int], item: ImageMap, what: str) -> None:
    """Refuse a map whose aspect ratio differs from that of the image: it must belong to another image."""
    height, width = item.source_grid
    if not math.isclose(shape[0] * width, shape[1] * height, rel_tol=SAME_ASPECT):
        raise DataError(
            f"{what} is {shape[0]} x {shape[1]}, but {item.name} is {height} x {width}: they do not show the same image"
        )


@dataclass(frozen=True)
class Predictions:
    """All label maps of one run."""

    name: str  # path as given by the user
    role: str  # clusters classes mask superpixels
    clusters: int | None  # their number, including empty ones; None = unknown
    maps: tuple[ImageMap, ...]
    inputs: dict[str, str]
    hints: dict[str, dict[str, str]]
    images: Path | None = None  # the folder of the source images
    categories: tuple[str, ...] = ()  # names, if stored
    colors: tuple[str, ...] = ()
    labels_used: str = ""  # what earlier stages used labels for; "" = not used
    pretrained: tuple[dict[str, str], ...] = ()  # networks that went in: name, licence and labels
    parts: bool = False  # whether the categories are parts of each image alone, so that numbers mean nothing across

    @property
    def called(self) -> str:
        """What the categories are called when they are shown."""
        return "parts" if self.parts else self.role


def open_predictions(given: str | Path, role: str = "") -> Predictions:
    """Open an artifact of kind segmentation or superpixels, or a folder of label maps.

    Args:
        given: the file or folder.
        role: what the maps of a folder contain, one of LABEL_ROLES; "" = clusters. An artifact stores its own role.
    """
    if role and role not in LABEL_ROLES:
        raise ConfigError(f"--role {role}: is not one of {', '.join(LABEL_ROLES)}")
    return _of_artifact(Path(given), role) if is_artifact(given) else _of_folder(given, role or "clusters")


def _of_artifact(path: Path, role: str) -> Predictions:
    with store.open_artifact(path, "segmentation", "superpixels") as artifact:
        field = artifact.kind
        sources = stored_sources(artifact)
        rows: dict[int, list[int]] = {}
        for row, source in enumerate(artifact.table("windows/source").tolist()):
            rows.setdefault(source, []).append(row)
        lost = next((source.name for number, source in enumerate(sources) if number not in rows), None)
        if lost is not None:
            raise ArtifactError(f"{path}: has no window of {lost}; make it again")
        maps = tuple(
            StoredMap(source.name, source, str(path), artifact.fingerprint, field, tuple(rows[number]))
            for number, source in enumerate(sources)
        )
        own = "superpixels" if field == "superpixels" else str(artifact.attributes["role"])
        own = "mask" if own == "proposal" else own
        if own == "mask" and int(artifact.attributes["clusters"]) < CATEGORIES_OF_A_MASK:
            raise ArtifactError(f"{path}: is a mask, but not of background and object; make it again")
        if role and role != own:
            raise ConfigError(f"--role {role}: {path} holds {own}; --role is only for folders of maps")
        names = artifact.table("categories/name") if artifact.has("categories/name") else []
        colors = artifact.table("categories/color") if artifact.has("categories/color") else []
        return Predictions(
            name=str(path),
            role=own,
            clusters=None if field == "superpixels" else int(artifact.attributes["clusters"]),
            maps=maps,
            inputs={field: artifact.fingerprint},
            hints={field: {"path": str(path), "fingerprint": artifact.fingerprint}},
            images=image_folder(sources),
            categories=tuple(names),
            colors=tuple(colors),
            pretrained=tuple(networks(tables_of(artifact))),
            labels_used=str(artifact.recipe.get("labels_used", "")),
            parts=own == "clusters" and artifact.recipe.get("stage") == "iem",
        )


def _of_folder(given: str | Path, role: str) -> Predictions:
    files = digest_files(find_images([given]), {})
    maps: list[ImageMap] = []
    for file in files:
        header = read_header(file.path)
        for page in range(header.pages):
            name = file.name if header.pages == 1 else f"{file.name}#{page}"
            maps.append(FileMap(name, str(file.path), page, (header.height, header.width), header.place))
    digest = listing_digest((file.name, file.digest) for file in files)
    return Predictions(
        name=str(given),
        role=role,
        clusters=None,
        maps=tuple(maps),
        inputs={"maps": digest},
        hints={"maps": {"path": str(given), "fingerprint": digest}},
    )


def count_pixels(artifact: store.Artifact, done: Callable[[], object] = lambda: None) -> tuple[NDArray[np.int64], int]:
    """Count the pixels of each category of a segmentation, and those that are void, on its working grid.

    Windows are read one after the other; where they overlap, each pixel counts once, as when they are put together.
    In object masks, numbers that are no category count as the last one, which is an object.

    Args:
        artifact: the segmentation.
        done: called after each window.
    """
    count = int(artifact.attributes["clusters"])
    masks = artifact.attributes["role"] in OBJECT_ROLES
    areas, void = np.zeros(count, np.int64), 0
    rows: dict[int, list[int]] = {}
    for row, source in enumerate(artifact.table("windows/source")):
        rows.setdefault(int(source), []).append(row)
    for own in rows.values():
        windows = [Box(*(int(side) for side in artifact.table("windows/box")[row])) for row in own]
        for row, window, core in zip(own, windows, cores(windows), strict=True):
            labels = artifact.read("segmentation", row)
            inside = labels[core.top - window.top : core.bottom - window.top, core.left - window.left :][
                :, : core.right - core.left
            ]
            found = np.bincount(inside.ravel(), minlength=np.iinfo(labels.dtype).max + 1)
            areas += found[:count]
            if masks and count > 1:
                areas[-1] += found[count:-1].sum()
            void += int(found[-1])
            done()
    return areas, void


def image_folder(sources: Sequence[Source]) -> Path | None:
    """Return the folder that the image names are relative to; of several in one `images/`, that one."""
    folders = list(map(Path, dict.fromkeys(_folder_of(source) for source in sources)))
    if len(folders) < 2:
        return folders[0] if folders else None
    splits = [split_of(folder) for folder in folders]
    above = {folder for folder, _ in splits}
    together = len(above) == 1 and all(split for _, split in splits)
    return above.pop() / IMAGES_FOLDER if together else folders[0]


def _folder_of(source: Source) -> str:
    """Return the folder in which the name of a source, without its page, leads to its path."""
    name = source.name.rpartition("#")[0] if source.name.endswith(f"#{source.page}") else source.name
    if source.path.endswith(f"/{name}"):
        return source.path[: -len(name) - 1] or "/"
    parts = len(PurePosixPath(name).parts)
    return str(Path(source.path).parents[parts - 1])
