"""Export the label map of a large image a few rows at a time, so that it is never in memory as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.dataflow.label_maps import StoredMap
from unsegcli.errors import DataError
from unsegcli.views.exported_image import (
    SIDECAR,
    ExportedImage,
    ExportTask,
    export_image,
    ground_of,
    numbered,
    style_of,
)
from unsegcli.views.geo_files import raster_profile, write_large_cog
from unsegcli.views.map_sidecars import gdal_sidecar

LARGE = 64_000_000  # pixels
MOST_CATEGORIES = 256  # they are counted in each row


def is_large(task: ExportTask) -> bool:
    """Return whether an image is so large that its rows are exported one after the other, where that is possible."""
    plan, item = task.plan, task.map
    height, width = item.source_grid
    alone = plan.rasters == ("geotiff",) and not plan.needs_objects and plan.sieve < 2
    few = 0 < len(plan.names) <= len(plan.numbers) <= MOST_CATEGORIES
    return alone and few and height * width > LARGE and isinstance(item, StoredMap)


def aimed(task: ExportTask, target: Path) -> ExportTask:
    """Return the task with the place of its GeoTIFF, if it is large."""
    return replace(task, target=target) if is_large(task) else task


def export_any(task: ExportTask) -> ExportedImage:
    """Export an image, in memory or a few rows at a time."""
    if task.target is None or not isinstance(task.map, StoredMap):
        return export_image(task)
    try:
        return _export_rows(task, task.map, task.target)
    except DataError as error:
        return ExportedImage(failed=str(error))


def _export_rows(task: ExportTask, item: StoredMap, target: Path) -> ExportedImage:
    plan, size, height = task.plan, ground_of(task), item.source_grid[0]
    counts = np.zeros((height, len(plan.numbers) + 1), np.int64)  # of each category in each row, and of void
    void = plan.voids["geotiff"]
    values = np.array([*plan.numbers, void], plan.dtypes["geotiff"])

    def bands() -> Iterator[tuple[int, NDArray[Any]]]:
        for first, rows in item.bands():
            found = numbered(rows, plan.read)
            counts[first : first + len(found)] = _counted_rows(found, len(plan.numbers))
            yield first, values[found]

    profile = raster_profile(item.source_grid, plan.dtypes["geotiff"], item.place, void)
    write_large_cog(target, bands(), profile, plan.colors)
    of_class = np.zeros((height, len(plan.names) + 1), np.int64)
    np.add.at(of_class.T, [*plan.classes, len(plan.names)], counts.T)
    sidecar = gdal_sidecar(plan.listed, counts.sum(axis=0)[:-1].tolist(), None)
    made = ExportedImage({"geotiff" + SIDECAR: sidecar, **style_of(task)}, tuple(of_class.sum(axis=0).tolist()))
    made = replace(made, written={"geotiff": target.stat().st_size})
    if size is None:
        return made
    return replace(made, real=tuple((size.rows @ of_class[:, :-1]).tolist()), measured=size.measured)


def _counted_rows(values: NDArray[np.int32], count: int) -> NDArray[np.int64]:
    """Count each number below `count` in each row (rows, count + 1), and negative ones at the end."""
    shifted = np.where(values < 0, count, values) + np.arange(len(values))[:, None] * (count + 1)
    return np.bincount(shifted.ravel(), minlength=len(values) * (count + 1)).reshape(len(values), count + 1)
