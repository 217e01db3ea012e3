"""Export the label map of a large image a few rows at a time, so that it is never in memory as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.outlines import polygons_by_rows
from unsegcli.core.pieces import BandPieces, Parts, PieceNumbers
from unsegcli.dataflow.label_maps import StoredMap
from unsegcli.errors import DataError
from unsegcli.views.export import exported_type
from unsegcli.views.exported_image import (
    SIDECAR,
    VECTOR,
    ExportedImage,
    ExportTask,
    export_image,
    ground_of,
    is_on_map,
    numbered,
    style_of,
)
from unsegcli.views.geo_files import large_cog, raster_profile, unwritable
from unsegcli.views.large_objects import LargeObjects
from unsegcli.views.large_polygons import PolygonFiles
from unsegcli.views.map_sidecars import gdal_sidecar

LARGE = 64_000_000  # pixels
MOST_CATEGORIES = 256  # they are counted in each row
BY_ROWS = {"geotiff", "csv", "stac", "gpkg", "geojson"}
KINDS = GEOTIFF, OBJECTS, GEOJSON = "geotiff", "objects geotiff", "geojson"  # files of an image
PACKAGE = "gpkg"  # polygons on their way to the file of all images

BYTES = {"map": 20, "parts": 40, "outlines": 65}  # of memory for each pixel of an image that is not exported by rows

Write = Callable[[int, NDArray[Any]], None]


def is_large(task: ExportTask) -> bool:
    """Return whether an image has so many pixels that it is exported by rows, where that is possible."""
    return _pixels(task) > LARGE


def _pixels(task: ExportTask) -> int:
    height, width = task.map.source_grid
    return height * width


def goes_by_rows(task: ExportTask) -> bool:
    """Return whether an image is exported a few rows at a time."""
    plan = task.plan
    few = len(plan.names) <= len(plan.numbers) <= MOST_CATEGORIES if plan.names else plan.formats == (GEOTIFF,)
    streamed = set(plan.formats) <= BY_ROWS and ("geojson" not in plan.formats or is_on_map(task))
    return few and streamed and is_large(task) and isinstance(task.map, StoredMap)


def memory_warning(tasks: Sequence[ExportTask]) -> str:
    """Say how much memory the largest image needs that is not exported by rows though it is large; "" = none is."""
    held = [task for task in tasks if is_large(task) and not goes_by_rows(task)]
    if not held:
        return ""
    task = max(held, key=_pixels)
    plan = task.plan
    need = BYTES[
        "outlines" if set(VECTOR) & set(plan.formats) else "parts" if plan.objects or plan.sieve > 1 else "map"
    ]
    return (
        f"{task.map.name}: {_pixels(task) / 1e6:,.0f} million pixels are in memory as a whole, about "
        f"{_pixels(task) * need / 1e9:,.0f} GB, since {_why_held(task)}; only "
        f"{', '.join(sorted(BY_ROWS))} are written by rows, above {LARGE / 1e6:.0f} million pixels"
    )


def _why_held(task: ExportTask) -> str:
    """Say why a large image is not exported by rows."""
    plan = task.plan
    others = sorted(set(plan.formats) - BY_ROWS)
    if others:
        return f"--to {','.join(others)} needs it"
    if plan.names and len(plan.numbers) > MOST_CATEGORIES:
        return f"it has {len(plan.numbers)} categories, more than {MOST_CATEGORIES}"
    return "it is no artifact, or has no place on a map"


def aimed(task: ExportTask, targets: dict[str, Path]) -> ExportTask:
    """Return the task with the places of its files by kind, if it is exported by rows."""
    return replace(task, targets=targets) if goes_by_rows(task) else task


def export_any(task: ExportTask) -> ExportedImage:
    """Export an image, in memory or a few rows at a time."""
    if task.targets is None or not isinstance(task.map, StoredMap):
        return export_image(task)
    try:
        return _LargeImage(task, task.map, task.targets).exported()
    except DataError as error:
        return ExportedImage(failed=str(error))
    except OSError as error:
        raise unwritable(Path(error.filename or task.map.name), error) from error


class _LargeImage:
    """One image, whose rows are read once to find its parts, if they are needed, and once to write."""

    def __init__(self, task: ExportTask, item: StoredMap, targets: dict[str, Path]) -> None:
        self.task, self.plan, self.item, self.targets = task, task.plan, item, targets
        self.size = ground_of(task)
        self.parts = self._found_parts() if self.plan.needs_objects or self.plan.sieve > 1 else None
        self.objects: LargeObjects | None = None
        if self.plan.needs_objects and self.parts is not None:
            kept = [number for number, class_ in enumerate(self.plan.classes) if class_ in self.plan.kept]
            self.objects = LargeObjects(task, item, self.parts.only(kept), self.size)
        count = len(self.plan.numbers) if self.plan.names else 0
        self.counts = np.zeros((item.source_grid[0], count + 1), np.int64)  # of each category in each row, and of void

    def _found_parts(self) -> Parts:
        pieces = BandPieces(self.plan.sieve)
        for _, rows in self.item.bands():
            pieces.add(numbered(rows, self.plan.read))
        return pieces.parts()

    def exported(self) -> ExportedImage:
        """Write the files of the image, and return what goes into those of all images."""
        with ExitStack() as files:
            bands = self._bands(self._label_map(files), self._object_map(files))
            polygons = self._polygon_files(files)
            if polygons is None:
                for _ in bands:
                    pass
            else:
                for own in polygons_by_rows(bands, polygons.objects.parts.last_rows, self.plan.tolerance):
                    polygons.add(own)
        return self._made()

    def _bands(self, write: Write | None, write_objects: Write | None) -> Iterator[NDArray[np.int32]]:
        """Write maps as rows are read; yield the numbers of objects."""
        plan, pieces = self.plan, PieceNumbers()
        coded = np.array([*plan.numbers, plan.voids.get(GEOTIFF, 0)], plan.dtypes.get(GEOTIFF, "int64"))
        for first, rows in self.item.bands():
            found = numbered(rows, plan.read)
            numbers = found
            if self.parts is not None:
                numbers = pieces.of(found)
                found = np.append(self.parts.values, np.int32(-1))[self.parts.of_piece[numbers]]
            if plan.names:
                self.counts[first : first + len(found)] = _counted_rows(found, len(plan.numbers))
            if write is not None:
                write(first, coded[found])
            if self.objects is not None:
                own = self.objects.add(first, numbers)
                if write_objects is not None:
                    write_objects(first, own + 1)
                yield own

    def _label_map(self, files: ExitStack) -> Write | None:
        if GEOTIFF not in self.plan.rasters:
            return None
        dtype, void = self.plan.dtypes[GEOTIFF], self.plan.voids[GEOTIFF]
        profile = raster_profile(self.item.source_grid, dtype, self.item.place, void)
        return files.enter_context(large_cog(self.targets[GEOTIFF], profile, self.plan.colors))

    def _object_map(self, files: ExitStack) -> Write | None:
        if GEOTIFF not in self.plan.rasters or not self.plan.objects or self.objects is None:
            return None
        dtype = exported_type(len(self.objects.parts.values), GEOTIFF)
        profile = raster_profile(self.item.source_grid, dtype, self.item.place, 0)
        write = files.enter_context(large_cog(self.targets[OBJECTS], profile, None))
        return lambda row, values: write(row, values.astype(dtype))

    def _polygon_files(self, files: ExitStack) -> PolygonFiles | None:
        if self.objects is None or not set(VECTOR) & set(self.plan.formats):
            return None
        targets = {one: self.targets[one] for one in (GEOJSON, PACKAGE) if one in self.plan.formats}
        if not self.item.place.transform:
            targets.pop(PACKAGE, None)
        return files.enter_context(closing(PolygonFiles(self.task, self.objects, targets)))

    def _made(self) -> ExportedImage:
        plan = self.plan
        there = {kind: path.stat().st_size for kind, path in self.targets.items() if path.exists()}
        spooled = self.targets[PACKAGE] if there.pop(PACKAGE, None) is not None else None
        made = ExportedImage(spooled=spooled, written=there)
        if not plan.names:
            return made
        of_class = np.zeros((len(self.counts), len(plan.names) + 1), np.int64)
        np.add.at(of_class.T, [*plan.classes, len(plan.names)], self.counts.T)
        made = replace(made, files=style_of(self.task), areas=tuple(of_class.sum(axis=0).tolist()))
        if GEOTIFF in plan.rasters:
            made.files[GEOTIFF + SIDECAR] = gdal_sidecar(plan.listed, self.counts.sum(axis=0)[:-1].tolist(), None)
        if self.objects is not None:
            objects, note = self.objects.described()
            made = replace(made, objects=objects, note=note)
        if self.size is None:
            return made
        return replace(made, real=tuple((self.size.rows @ of_class[:, :-1]).tolist()), measured=self.size.measured)


def _counted_rows(values: NDArray[np.int32], count: int) -> NDArray[np.int64]:
    """Count each number below `count` in each row (rows, count + 1), and negative ones at the end."""
    shifted = np.where(values < 0, count, values) + np.arange(len(values))[:, None] * (count + 1)
    return np.bincount(shifted.ravel(), minlength=len(values) * (count + 1)).reshape(len(values), count + 1)
