"""Files of the polygons of a large image, written as its rows are read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import IO

import numpy as np

from unsegcli.core.outlines import Polygon
from unsegcli.views.exported_image import ExportTask
from unsegcli.views.large_objects import LargeObjects
from unsegcli.views.map_features import FeatureFile, columns_of, in_degrees, map_features, rings_on_map
from unsegcli.views.polygon_spool import PolygonSpool

GEOJSON, PACKAGE = "geojson", "gpkg"
GROUP = 10_000  # polygons that are converted at once


class PolygonFiles:
    """Writes the polygons of one image as GeoJSON, and for a layer of all images to a file of its own."""

    def __init__(self, task: ExportTask, objects: LargeObjects, targets: Mapping[str, Path]) -> None:
        """Open the files.

        Args:
            task: the image.
            objects: what is known of the parts.
            targets: the files by kind.
        """
        self.task, self.objects = task, objects
        self._held: dict[int, Polygon] = {}
        self._spool = PolygonSpool(targets[PACKAGE]) if PACKAGE in targets else None
        self._text = FeatureFile(_opened(targets[GEOJSON])) if GEOJSON in targets else None

    def add(self, polygons: dict[int, Polygon]) -> None:
        """Add the polygons of some parts, by their numbers."""
        self._held |= polygons
        if len(self._held) >= GROUP:
            self._write()

    def _write(self) -> None:
        plan, place = self.task.plan, self.task.map.place
        numbers = np.array(sorted(self._held), np.int64)
        classes, known = self.objects.classes[numbers], self.objects.areas()
        areas = np.full(len(numbers), np.nan) if known is None or plan.unit != "m" else known[numbers]
        shapes = rings_on_map([self._held[number] for number in numbers.tolist()], place)
        self._held = {}
        if self._spool is not None:
            self._spool.add(numbers, classes, areas, shapes)
        if self._text is not None:
            shown = (numbers + 1).tolist() if plan.objects else None
            columns = columns_of(classes.tolist(), areas, (plan.class_values, plan.names), self.task.map.name, shown)
            found = map_features(columns, in_degrees(shapes, place.crs), classes.tolist(), plan.name_colors)
            self._text.add(found)

    def close(self) -> None:
        """Write what is left."""
        if self._held:
            self._write()
        for file in (self._spool, self._text):
            if file is not None:
                file.close()


def _opened(path: Path) -> IO[str]:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("w", encoding="utf-8", errors="replace")
