"""What an export makes of one image: label maps, areas, objects with their measures, and outlines.

Nothing here reads ground truth.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.geometry import sample_nearest
from unsegcli.core.outlines import Polygon, polygons
from unsegcli.core.part_measures import PartMeasures, measured, part_means
from unsegcli.core.run_lengths import compressed, region_runs
from unsegcli.core.sieve import sieve
from unsegcli.core.superpixels.regions import RegionMap, components
from unsegcli.dataflow.label_maps import ImageMap, StoredMap
from unsegcli.errors import DataError
from unsegcli.views.backdrop import Place, working_pixels
from unsegcli.views.export import SUFFIXES, encoded, exported_type
from unsegcli.views.geo_files import system
from unsegcli.views.ground import Ground, given_ground, ground
from unsegcli.views.map_features import (
    MapLayer,
    columns_of,
    in_degrees,
    map_collection,
    map_features,
    rings_on_map,
    wkb,
)
from unsegcli.views.map_sidecars import gdal_sidecar, qgis_style
from unsegcli.views.object_files import Objects, coco_annotations, features, yolo_lines

VECTOR = ("coco", "yolo", "geojson", "gpkg")
SIDECAR = ".aux.xml"


@dataclass(frozen=True)
class PixelSize:
    """Side of a pixel in real units."""

    side: float = 0.0  # 0 = not known
    unit: str = ""


@dataclass(frozen=True)
class ExportPlan:
    """What to make of each image."""

    formats: tuple[str, ...]
    dtypes: dict[str, str]  # of the label maps, by format
    read: Sequence[int]  # number of each category in the maps that are exported
    numbers: Sequence[int]  # in label maps, for each category
    voids: dict[str, int]  # in label maps, by format
    colors: dict[int, tuple[int, int, int]] | None  # of these numbers; None = grey
    listed: tuple[tuple[int, str, tuple[int, int, int]], ...]  # number, name and colour in the list of classes
    classes: Sequence[int]  # of each category: itself, but the numbers of objects in a mask are one class
    names: tuple[str, ...]  # of the classes
    name_colors: tuple[tuple[int, int, int], ...]
    kept: tuple[int, ...]  # classes that consist of objects: all but the background of masks
    sieve: int
    objects: bool
    tolerance: float  # pixels between a border and the simplified one
    pixel: PixelSize  # as the user says
    measured: bool  # whether areas come from the places of the images
    pixels_only: bool  # whether GeoJSON is in pixels, also for images that have a place

    @property
    def rasters(self) -> tuple[str, ...]:
        """The formats of label maps."""
        return tuple(one for one in self.formats if one in SUFFIXES)

    @property
    def unit(self) -> str:
        """The real unit of tables; "" = none."""
        return self.pixel.unit or ("m" if self.measured else "")

    @property
    def class_values(self) -> list[int]:
        """The value of each class in label maps; of several, the first."""
        first = dict(zip(reversed(self.classes), reversed(self.numbers), strict=True))
        return [first[number] for number in range(len(self.names))]

    @property
    def needs_objects(self) -> bool:
        """Whether connected parts are needed."""
        return self.objects or any(one in VECTOR for one in self.formats)


@dataclass(frozen=True)
class ExportTask:
    """One image to export."""

    map: ImageMap
    plan: ExportPlan
    regions: StoredMap | None = None  # superpixels that hold the pixels
    image: Place | None = None  # the image file, if no artifact holds them
    targets: dict[str, Path] | None = None  # files of a large image, which is exported a few rows at a time


@dataclass(frozen=True)
class ExportedImage:
    """What was made of one image, or the error."""

    files: dict[str, bytes] = field(default_factory=dict)  # by format; instance maps as "objects png"
    areas: tuple[int, ...] = ()  # pixels of each class, and of void
    real: tuple[float, ...] = ()  # areas of each class in real units; () = not known
    measured: str = ""  # what they were measured on, from the place of the image
    objects: Objects | None = None
    coco: tuple[dict[str, Any], ...] = ()
    layer: MapLayer | None = None
    spooled: Path | None = None  # the same of a large image, in a file
    written: dict[str, int] = field(default_factory=dict)  # bytes of files that are in their place, by format
    note: str = ""
    failed: str = ""


def export_image(task: ExportTask) -> ExportedImage:
    """Make everything that the plan wants of one image, on its own grid, as it is shown."""
    plan = task.plan
    try:
        values = task.map.on(task.map.source_grid)
    except DataError as error:
        return ExportedImage(failed=str(error))
    values = numbered(values, plan.read)
    if plan.sieve > 1:
        values = sieve(values, plan.sieve)
    files = _label_maps(values, task)
    if not plan.names:
        return ExportedImage(files)
    files |= style_of(task)
    classes = np.array([*plan.classes, -1], np.int32)[values]
    size = ground_of(task)
    found = ExportedImage(files, tuple(_counted(classes, len(plan.names))))
    if size is not None:
        found = replace(found, real=tuple(size.areas(classes, len(plan.names)).tolist()), measured=size.measured)
    if not plan.needs_objects:
        return found
    parts = components(np.where(np.isin(classes, plan.kept), values, -1))
    objects, note = _objects(classes, parts, task)
    if size is not None:
        objects = replace(objects, real=size.areas(parts, len(objects.classes)), side=size.side)
    try:
        return _outlined(parts, objects, task, replace(found, objects=objects, note=note))
    except DataError as error:
        return ExportedImage(failed=str(error))


def style_of(task: ExportTask) -> dict[str, bytes]:
    """Return the style in which QGIS shows the files of an image, if it needs one."""
    plan = task.plan
    shown = plan.listed if "geotiff" in plan.formats else ()
    names = plan.names if "geojson" in plan.formats and is_on_map(task) else ()
    return {"qml": qgis_style(shown, names, plan.name_colors).encode()} if shown or names else {}


def ground_of(task: ExportTask) -> Ground | None:
    """Return the sizes of pixels; None if they are not known."""
    plan = task.plan
    if plan.pixel.unit:
        return given_ground(plan.pixel.side, task.map.source_grid[0])
    return ground(task.map.place, task.map.source_grid) if plan.measured else None


def numbers_of(item: ImageMap) -> set[int]:
    """Return the categories of a map; none if it is empty or cannot be read."""
    try:
        return {number for number in np.unique(item.on(item.grid)).tolist() if number >= 0}
    except DataError:
        return set()


def numbered(values: NDArray[np.int32], read: Sequence[int]) -> NDArray[np.int32]:
    """Number the categories of a map from 0, in the order in which they are given; all others are void."""
    if isinstance(read, range):
        values[values >= len(read)] = -1
        return values
    known = np.array(read, np.int64)
    place = np.minimum(np.searchsorted(known, values), len(known) - 1)
    return np.where(known[place] == values, place, -1).astype(np.int32)


def _counted(classes: NDArray[np.int32], count: int) -> list[int]:
    """Count the pixels of each class, and of void."""
    found: list[int] = np.bincount(np.where(classes < 0, count, classes).ravel(), minlength=count + 1).tolist()
    return found


def _label_maps(values: NDArray[np.int32], task: ExportTask) -> dict[str, bytes]:
    """Encode the label map in each format, and what GDAL reads beside it."""
    plan, place, found = task.plan, task.map.place, {}
    for format_ in plan.rasters:
        void = plan.voids[format_]
        table = np.array([*plan.numbers, void], plan.dtypes[format_])
        found[format_] = encoded(table[values], format_, plan.colors, place, void)
        if (format_ == "geotiff" and plan.listed) or (format_ == "png" and place.transform):
            counts = _counted(values, len(plan.numbers))[:-1] if plan.listed else []
            found[format_ + SIDECAR] = gdal_sidecar(plan.listed, counts, place if format_ == "png" else None)
    return found


def _objects(classes: NDArray[np.int32], parts: RegionMap, task: ExportTask) -> tuple[Objects, str]:
    """Describe the connected parts; the text says what could not be measured."""
    found = measured(parts)
    count = len(found.areas)
    of_part = np.zeros(count, np.int64)
    of_part[parts[parts >= 0]] = classes[parts >= 0]
    if not task.plan.objects:
        return Objects(tuple(of_part.tolist()), found), ""
    means, note = _means(parts, count, task)
    return Objects(tuple(of_part.tolist()), found, means, _confidence(parts, found, task.map)), note


def _means(parts: RegionMap, count: int, task: ExportTask) -> tuple[NDArray[np.float64] | None, str]:
    """Average the bands over each part, in the values of the source as far as they were not clipped."""
    try:
        pixels = working_pixels(task.map, task.regions, task.image)
    except DataError as error:
        return None, str(error)
    if pixels is None:
        return None, ""
    means = part_means(sample_nearest(pixels, parts.shape), parts, count)
    scaling = task.map.source.scaling if isinstance(task.map, StoredMap) else ()
    return (in_source_values(means, scaling) if len(scaling) == means.shape[1] else means), ""


def in_source_values(means: NDArray[np.float64], scaling: Sequence[tuple[float, float]]) -> NDArray[np.float64]:
    """Return means (parts, bands) of bytes in the values of the source, whose scaling of each band is given."""
    low, high = np.array(scaling).T
    found: NDArray[np.float64] = low + means / 255 * (high - low)
    return found


def _confidence(parts: RegionMap, found: PartMeasures, item: ImageMap) -> NDArray[np.float64] | None:
    """Return how sure each part is: from the pixels, else from the distances to cluster centres, else unknown."""
    sure = item.confidence(item.source_grid)
    if sure is None:
        distances = item.distances(item.source_grid)
        sure = None if distances is None else 1 - distances.ratio
    return None if sure is None else part_means(sure[:, :, None], parts, len(found.areas))[:, 0]


def _outlined(parts: RegionMap, objects: Objects, task: ExportTask, made: ExportedImage) -> ExportedImage:
    """Add instance maps and outlines."""
    plan, files = task.plan, made.files
    if plan.objects:
        files |= _instance_maps(parts, len(objects.classes), task)
    if not any(one in VECTOR for one in plan.formats):
        return made
    outlines: list[Polygon] = polygons(parts, plan.tolerance)
    position = {number: index for index, number in enumerate(plan.kept)}
    order = [position[number] for number in objects.classes]
    if "yolo" in plan.formats:
        files["yolo"] = yolo_lines(order, outlines, parts.shape)
    if "geojson" in plan.formats:
        files["geojson"] = _geojson(objects, outlines, task).encode("utf-8", "replace")
    if "gpkg" in plan.formats and task.map.place.transform:
        shapes = rings_on_map(outlines, task.map.place)
        made = replace(made, layer=MapLayer(_columns(objects, task), tuple(map(wkb, shapes))))
    if "coco" in plan.formats:
        runs = map(compressed, region_runs(parts))
        made = replace(made, coco=tuple(coco_annotations(order, objects, outlines, runs, parts.shape)))
    return made


def _instance_maps(parts: RegionMap, count: int, task: ExportTask) -> dict[str, bytes]:
    """Encode the numbers of objects in each format; 0 = none."""
    place, found = task.map.place, {}
    for format_ in task.plan.rasters:
        dtype = exported_type(count, format_)
        found[f"objects {format_}"] = encoded((parts + 1).astype(dtype), format_, None, place, 0)
        if format_ == "png" and place.transform:
            found[f"objects {format_}{SIDECAR}"] = gdal_sidecar((), (), place)
    return found


def is_on_map(task: ExportTask) -> bool:
    """Return whether GeoJSON is in coordinates of the map, since the image has a place in a known system."""
    place = task.map.place
    return not task.plan.pixels_only and bool(place.transform) and system(place.crs) is not None


def _geojson(objects: Objects, outlines: list[Polygon], task: ExportTask) -> str:
    plan, place = task.plan, task.map.place
    if is_on_map(task):
        shapes = in_degrees(rings_on_map(outlines, place), place.crs)
        found = map_features(_columns(objects, task), shapes, objects.classes, plan.name_colors)
        return map_collection(found)
    merged = not plan.objects and len(plan.classes) == len(plan.names)  # numbered objects may share borders
    collection = features(objects, outlines, plan.names, plan.name_colors, plan.unit, merged=merged)
    return json.dumps(collection, ensure_ascii=False)


def _columns(objects: Objects, task: ExportTask) -> dict[str, NDArray[Any]]:
    plan = task.plan
    areas = objects.real if plan.unit == "m" else None
    numbers = range(1, len(objects.classes) + 1) if plan.objects else None
    return columns_of(objects.classes, areas, (plan.class_values, plan.names), task.map.name, numbers)
