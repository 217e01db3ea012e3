"""What an export says of places for all images: a GeoPackage, items of STAC, and a table."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from unsegcli.dataflow.label_maps import ImageMap, StoredMap
from unsegcli.dataflow.output_folder import FolderWriter
from unsegcli.images.georeference import Georeference
from unsegcli.views.export import Number
from unsegcli.views.exported_image import ExportTask
from unsegcli.views.geo_files import system, to_longitude_latitude, wkt, write_layer
from unsegcli.views.ground import mapped
from unsegcli.views.map_features import MapLayer, columns_of
from unsegcli.views.map_sidecars import MEDIA_TYPES, Described, qgis_style, stac_classes, stac_item
from unsegcli.views.polygon_spool import NO_POLYGONS, spooled

PACKAGE = "classes.gpkg"
LAYER = "classes"
ABOUT_AREAS = (
    "polygons of unseg; areas are those of their pixels, on the plane of the map where that keeps areas within a "
    "hundredth, else on the ellipsoid of WGS 84"
)
Row = list[Any]


class LayerFile:
    """The polygons of all images in one GeoPackage: a layer for each coordinate system, and its style for QGIS."""

    def __init__(self, writer: FolderWriter, tasks: Sequence[ExportTask]) -> None:
        self.writer, self.plan = writer, tasks[0].plan
        systems = dict.fromkeys(task.map.place.crs for task in tasks if task.map.place.transform)
        self.names = {crs: _layer_name(crs, number, len(systems)) for number, crs in enumerate(systems, 1)}
        self.written: set[str] = set()

    def add(self, place: Georeference, layer: MapLayer) -> None:
        name, new = self.names[place.crs], place.crs not in self.written
        options = {"DESCRIPTION": ABOUT_AREAS} if new else None
        write_layer(self.writer.path_of(PACKAGE), name, layer.columns, layer.polygons, place.crs, options)
        self.written.add(place.crs)

    def add_spooled(self, task: ExportTask, path: Path) -> None:
        """Add the polygons of a large image, which are in a file; if there are none, an empty layer."""
        plan, groups = self.plan, spooled(path)
        for group in chain([next(groups, NO_POLYGONS)], groups):
            areas = group.areas if plan.unit == "m" else None
            numbers = (group.numbers + 1).tolist() if plan.objects else None
            coded = plan.class_values, plan.names
            columns = columns_of(group.classes.tolist(), areas, coded, task.map.name, numbers)
            self.add(task.map.place, MapLayer(columns, tuple(group.shapes)))

    def finish(self) -> None:
        if not self.written:
            return
        style = qgis_style((), self.plan.names, self.plan.name_colors)
        layers = [self.names[crs] for crs in self.names if crs in self.written]
        write_layer(self.writer.path_of(PACKAGE), "layer_styles", _style_rows(layers, style), options={"FID": "id"})
        self.writer.keep(PACKAGE)


def _layer_name(crs: str, number: int, count: int) -> str:
    if count == 1:
        return LAYER
    short = re.sub(r"\W+", "_", crs).lower() if crs.startswith("EPSG:") else str(number)
    return f"{LAYER}_{short}"


def _style_rows(layers: Sequence[str], style: str) -> dict[str, Any]:
    """Return the table in which QGIS looks for the style of a layer, with a row for each."""

    def texts(text: str) -> Any:
        return np.array([text] * len(layers), object)

    return {
        "f_table_catalog": texts(""),
        "f_table_schema": texts(""),
        "f_table_name": np.array(layers, object),
        "f_geometry_column": texts("geom"),
        "styleName": texts("classes"),
        "styleQML": texts(style),
        "styleSLD": texts(""),
        "useAsDefault": np.ones(len(layers), np.bool_),
        "description": texts("colours of the classes"),
        "owner": texts(""),
        "ui": texts(""),
        "update_time": np.array([datetime.now(UTC).replace(tzinfo=None)] * len(layers), "datetime64[ms]"),
    }


def item_of(task: ExportTask, name: str, files: dict[str, str]) -> bytes | None:
    """Return the item of STAC about an image; None if it has no known place.

    Args:
        task: the image.
        name: of the file of the item.
        files: names of the other files of the image, by format.
    """
    place, plan = task.map.place, task.plan
    if not place.transform or system(place.crs) is None:
        return None
    height, width = task.map.source_grid
    corners = np.array([(0, 0), (0, height), (width, height), (width, 0)])
    a, b, _, d, e, _ = place.transform
    degrees = to_longitude_latitude(place.crs, mapped(place, corners[:: -1 if a * e > b * d else 1]))
    if not np.isfinite(degrees).all():
        return None
    folder = PurePosixPath(name).parent
    beside = {format_: str(PurePosixPath(file).relative_to(folder)) for format_, file in files.items()}
    described = Described(
        task.map.name,
        task.map.source_grid,
        place,
        tuple((x, y) for x, y in degrees.round(9).tolist()),
        _modified(task.map),
        {format_: file for format_, file in beside.items() if format_ in MEDIA_TYPES},
        wkt(place.crs),
    )
    classes = {one: stac_classes(plan.listed, plan.voids[one]) for one in plan.rasters if one in beside}
    return json.dumps(stac_item(described, classes), indent=1, ensure_ascii=False).encode("utf-8", "replace")


def _modified(item: ImageMap) -> int:
    return item.source.modified if isinstance(item, StoredMap) else Path(item.path).stat().st_mtime_ns


def place_rows(tasks: Sequence[ExportTask]) -> list[Row]:
    """Return the table of the places of images: x = a column + b row + c, and y = d column + e row + f."""
    rows = [
        [
            item.name,
            item.place.crs,
            *(Number(np.format_float_positional(one, trim="0")) for one in item.place.transform),
        ]
        for item in (task.map for task in tasks)
        if item.place.transform
    ]
    return [["name", "crs", *"abcdef"], *rows] if rows else []
