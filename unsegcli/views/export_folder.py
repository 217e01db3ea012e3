"""Write a folder of exported label maps, outlines and tables. Nothing here reads ground truth."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from unsegcli import console, store
from unsegcli._version import __version__
from unsegcli.core.palette import hex_color
from unsegcli.dataflow.dataset import is_artifact
from unsegcli.dataflow.label_maps import Predictions, StoredMap
from unsegcli.dataflow.output_folder import FolderWriter, OutputFolder, safe_names
from unsegcli.dataflow.runner import Outcome
from unsegcli.errors import ConfigError
from unsegcli.images.georeference import is_described
from unsegcli.parallel import ordered_map
from unsegcli.views.export import SUFFIXES, VOID_COLOR, csv_bytes, exported_type, file_name, spelled
from unsegcli.views.exported_image import (
    SIDECAR,
    ExportedImage,
    ExportPlan,
    ExportTask,
    PixelSize,
    is_on_map,
    numbers_of,
)
from unsegcli.views.geo_files import may_be_known, unwritable
from unsegcli.views.ground import ELLIPSOID, PLANE
from unsegcli.views.image_pass import each, estimated, finish
from unsegcli.views.large_image import KINDS, PACKAGE, aimed, export_any, memory_warning
from unsegcli.views.map_outputs import LayerFile, item_of, place_rows
from unsegcli.views.object_files import object_columns, object_rows, real_areas

OBJECTS, YOLO = "objects", "labels"  # folders
METRE = "m"
ROWS_AT_ONCE = 10_000  # of a table


def category_count(run: Predictions, workers: int) -> int:
    """Return the number of categories: from the artifact, else from the values of the maps."""
    numbers = category_numbers(run, workers)
    return numbers[-1] + 1 if numbers else 0


def category_numbers(run: Predictions, workers: int) -> Sequence[int]:
    """Return the numbers of the categories, in order: all of an artifact; of a folder, those that its maps have."""
    if run.clusters is not None:
        return range(run.clusters)
    if run.role == "superpixels" and is_artifact(run.name):
        with store.open_artifact(run.name) as artifact:
            counts = artifact.table("windows/superpixels")
            return range(max(int(counts[list(item.rows)].sum()) for item in run.maps if isinstance(item, StoredMap)))
    found = sorted(set().union(*ordered_map(numbers_of, run.maps, workers, len(run.maps) // 50)))
    if run.role == "mask" and len(found) < 3:  # 0 and 255 are background and object, as 0 and 1 are
        found = [0, *([number for number in found if number] or [1])]
    return found


def coded(values: Sequence[int], format_: str) -> tuple[str, int]:
    """Return the smallest type for the values of classes in a format, and the value of void, the largest free one."""
    largest = max(values, default=0)
    dtype = exported_type(largest, format_)
    free = _largest_free(values, dtype)
    if free < 0:  # each number of the type means a class
        dtype = exported_type(largest + 1, format_)
        free = _largest_free(values, dtype)
    return dtype, free


def _largest_free(values: Sequence[int], dtype: str) -> int:
    used = values if isinstance(values, range) else set(values)
    return next((value for value in range(int(np.iinfo(dtype).max), -1, -1) if value not in used), -1)


def write_exports(
    tasks: Sequence[ExportTask], folder: OutputFolder, workers: int, dry_run: bool, labels_used: str
) -> Outcome:
    """Export each image, and write the tables of all; all tasks have the same plan."""
    plan = tasks[0].plan
    for format_ in plan.rasters:
        console.note(
            f"label maps as {plan.dtypes[format_]} {spelled(format_)} on the grid of each image as displayed; "
            f"{plan.voids[format_]} = void"
        )
    _say_of_places(tasks)
    needs = memory_warning(tasks)
    if needs:
        console.warn(needs)
    if dry_run:
        with TemporaryDirectory() as place:
            tried = [aimed(task, {one: Path(place) / one for one in (*KINDS, PACKAGE)}) for task in tasks]
            return estimated(folder, tried, export_any, _bytes_of, workers)
    skipped: list[tuple[str, str]] = []
    with folder.writing() as writer:
        exported = _ExportedFolder(writer, tasks)
        for row, made in enumerate(each(exported.aimed_tasks(), export_any, workers, "exporting")):
            if made.failed:
                skipped.append((tasks[row].map.name, made.failed))
            else:
                exported.add(row, made)
        outcome = finish(folder, writer, len(tasks), skipped, labels_used)
        exported.finish()
    return outcome


def _say_of_places(tasks: Sequence[ExportTask]) -> None:
    """Say which images lack what formats need: a coordinate system, or a place."""
    plan, placed = tasks[0].plan, [task for task in tasks if task.map.place.transform]
    if {"tiff", "geotiff", "png", "gpkg"} & set(plan.formats):
        held = is_described if "tiff" in plan.formats else may_be_known  # TIFF tags hold ASCII only
        lost = sum(not (crs.startswith("EPSG:") or held(crs)) for crs in (task.map.place.crs for task in placed))
        if lost:
            console.warn(
                f"{console.count_images(lost)} with a coordinate system that has neither an EPSG number nor a "
                "description (WKT), or none: the files have the place, but set the system in your GIS program"
            )
    without = len(tasks) - len(placed)
    needing = [one for one in ("geotiff", "gpkg", "stac") if one in plan.formats]
    if without and needing:
        console.warn(
            f"{console.count_images(without)} without a place on a map: {' and '.join(needing)} cannot say where"
        )
    if "geojson" in plan.formats and not plan.pixels_only:
        there = sum(map(is_on_map, tasks))
        if there:
            rest = f", in pixels for {console.count_images(len(tasks) - there)}" if there < len(tasks) else ""
            console.note(f"geojson in longitude and latitude (CRS84) for {console.count_images(there)}{rest}")


def _bytes_of(made: ExportedImage) -> int:
    coco = len(json.dumps(made.coco)) if made.coco else 0
    files = sum(len(content) for content in made.files.values()) + sum(made.written.values())
    return files + coco + 20 * len(made.areas)


class _ExportedFolder:
    """Adds what is exported to a folder, and its tables at the end."""

    def __init__(self, writer: FolderWriter, tasks: Sequence[ExportTask]) -> None:
        self.writer, self.tasks, self.plan = writer, tasks, tasks[0].plan
        self.names = _file_names([file_name(task.map) for task in tasks], self.plan)
        self.made: list[tuple[int, ExportedImage]] = []  # without the content of files
        self.layers = LayerFile(writer, tasks) if "gpkg" in self.plan.formats else None
        self.annotations: dict[str, list[dict[str, Any]]] = {"segmentation": [], "polygon": []}

    def aimed_tasks(self) -> list[ExportTask]:
        """Return the tasks; those of images that are exported by rows know where to write."""
        return [aimed(task, self._targets(row)) for row, task in enumerate(self.tasks)]

    def _targets(self, row: int) -> dict[str, Path]:
        kinds = [one for one in KINDS if len(self.names.get(one, ())) > row]
        found = {kind: self.writer.path_of(self.names[kind][row]) for kind in kinds}
        return found | {PACKAGE: self.writer.path_of(f"{row}.polygons")}

    def add(self, row: int, made: ExportedImage) -> None:
        for kind in made.written:
            self.writer.keep(self.names[kind][row])
        for kind, content in made.files.items():
            self.writer.add(self.names[kind][row], content)
        if self.layers is not None and made.layer is not None:
            self.layers.add(self.tasks[row].map.place, made.layer)
        if self.layers is not None and made.spooled is not None:
            self.layers.add_spooled(self.tasks[row], made.spooled)
        if "stac" in self.plan.formats:
            self._add_item(row, made)
        for one in made.coco:
            numbers = {"id": len(self.annotations["polygon"]) + 1, "image_id": row + 1}
            both = {"segmentation": one["segmentation"], "polygon": one["polygon"]}
            for how, shape in both.items():
                rest = {name: value for name, value in one.items() if name not in both}
                self.annotations[how].append({**numbers, **rest, "segmentation": shape})
        self.made.append((row, replace(made, files={}, coco=(), layer=None)))

    def _add_item(self, row: int, made: ExportedImage) -> None:
        name = self.names["stac"][row]
        there = [kind for kind in (*made.written, *made.files) if kind in self.plan.formats]
        files = {kind: self.names[kind][row] for kind in there}
        item = item_of(self.tasks[row], name, files)
        if item is not None:
            self.writer.add(name, item)

    def finish(self) -> None:
        """Write classes, areas, objects, and the files of COCO and YOLO that are about all images."""
        plan = self.plan
        self.writer.about |= {"formats": list(plan.formats)}
        if len(plan.rasters) == 1:
            format_ = plan.rasters[0]
            self.writer.about |= {"dtype": plan.dtypes[format_], "void": plan.voids[format_]}
        if plan.names:
            self.writer.add("classes.csv", csv_bytes(class_rows(plan)))
        places = place_rows(self.tasks)
        if places:
            self.writer.add("places.csv", csv_bytes(places))
        if "csv" in plan.formats:
            self.writer.add("areas.csv", csv_bytes(list(self._area_rows())))
        if self.layers is not None:
            self.layers.finish()
        if plan.measured:
            self._say_how_measured()
        if plan.objects:
            self._write_objects()
        if "coco" in plan.formats:
            for how, name in (("segmentation", "coco.json"), ("polygon", "coco-polygons.json")):
                self.writer.add(name, json.dumps(self._coco(how)).encode())
        if "yolo" in plan.formats:
            self.writer.add("data.yaml", yolo_description([plan.names[number] for number in plan.kept]))

    def _say_how_measured(self) -> None:
        """Say what areas in real units were measured on."""
        counts = {how: sum(made.measured == how for _, made in self.made) for how in (PLANE, ELLIPSOID)}
        self.writer.about["areas_on"] = {how: count for how, count in counts.items() if count}
        said = [
            f"{what} in {console.count_images(counts[how])}"
            for how, what in ((PLANE, "on the plane of the map"), (ELLIPSOID, "on the ellipsoid"))
            if counts[how]
        ]
        if said:
            console.note(f"areas in m2 and ha from the places of the images: {', '.join(said)}")

    def _area_rows(self) -> list[list[Any]]:
        """Return a row for each image and one for all: pixels and share of each category, real areas, and objects."""
        plan, unit = self.plan, self.plan.unit
        real = [f"area {unit}2", *(["area ha"] if unit == "m" else [])] if unit else []
        counted = ["objects"] if plan.objects else []
        header = [f"{name} {what}" for name in plan.names for what in ("pixels", "share", *real, *counted)]
        rows: list[list[Any]] = [["name", "height", "width", *header, "void pixels", "void share"]]
        total, objects = np.zeros(len(plan.names) + 1, np.int64), np.zeros(len(plan.names), np.int64)
        whole = np.zeros(len(plan.names))
        for row, made in self.made:
            own = np.bincount(made.objects.classes if made.objects else (), minlength=len(plan.names)).astype(np.int64)
            item = self.tasks[row].map
            sizes = np.array(made.real or [np.nan] * len(plan.names))
            rows.append([item.name, *map(str, item.source_grid), *_area_cells(made.areas, sizes, own, plan)])
            total += made.areas
            objects += own
            whole += sizes
        rows.append(["total", "", "", *_area_cells(total.tolist(), whole, objects, plan)])
        return rows

    def _write_objects(self) -> None:
        found = [(row, made.objects) for row, made in self.made if made.objects is not None]
        bands = max((one.means.shape[1] for _, one in found if one.means is not None), default=0)
        sure = any(one.confidence is not None for _, one in found)
        unit = self.plan.unit
        shown = [
            object_rows(self.tasks[row].map.name, objects, self.plan.names, unit, (bands, sure))
            for row, objects in found
        ]
        rows = chain([object_columns(bands, unit, sure)], *shown)
        self._write_rows("objects.csv", rows)
        without = [made.note for _, made in self.made if made.objects is not None and made.objects.means is None]
        if without:
            why = next((f": {note}" for note in without if note), "; set --images to the folder of the images")
            console.warn(f"no mean of bands for {console.count_images(len(without))}{why}")

    def _write_rows(self, name: str, rows: Iterator[list[Any]]) -> None:
        """Write a long table, some rows at a time."""
        path = self.writer.path_of(name)
        try:
            with path.open("wb") as file:
                for some in iter(lambda: list(islice(rows, ROWS_AT_ONCE)), []):
                    file.write(csv_bytes(some))
        except OSError as error:
            raise unwritable(path, error) from error
        self.writer.keep(name)

    def _coco(self, how: str) -> dict[str, Any]:
        plan, images = self.plan, []
        for row, _ in self.made:
            height, width = self.tasks[row].map.source_grid
            name = self.tasks[row].map.name.encode("utf-8", "replace").decode()
            images.append({"id": row + 1, "file_name": name, "height": height, "width": width})
        categories = [
            {"id": index + 1, "name": plan.names[number], "supercategory": "", "color": list(plan.name_colors[number])}
            for index, number in enumerate(plan.kept)
        ]
        return {
            "info": {"description": f"made by unseg {__version__}"},
            "images": images,
            "categories": categories,
            "annotations": self.annotations[how],
        }


def _area_cells(pixels: Sequence[int], sizes: Any, objects: Any, plan: ExportPlan) -> list[str]:
    whole = max(1, sum(pixels))
    cells: list[str] = []
    for number, area in enumerate(pixels):
        cells += [str(area), f"{area / whole:.6f}"]
        if number < len(plan.names):
            cells += real_areas(float(sizes[number]), plan.unit)
            cells += [str(objects[number])] if plan.objects else []
    return cells


def _file_names(names: Sequence[str], plan: ExportPlan) -> dict[str, list[str]]:
    """Return the name of the file of each image, by format."""
    found: dict[str, list[str]] = {}
    for format_ in plan.rasters:
        both = safe_names([*names, *(f"{OBJECTS}/{name}" for name in names if plan.objects)], SUFFIXES[format_])
        found[format_], found[f"objects {format_}"] = both[: len(names)], both[len(names) :]
    for format_ in [one for one in found if one.endswith(("png", "geotiff"))]:
        found[format_ + SIDECAR] = [name + SIDECAR for name in found[format_]]
    found["geojson"] = safe_names(names, ".geojson")
    found["stac"] = safe_names(names, ".stac.json")
    found["qml"] = safe_names(names, ".qml")
    found["yolo"] = safe_names([f"{YOLO}/{name}" for name in names], ".txt")
    return found


def class_rows(plan: ExportPlan) -> list[list[Any]]:
    """Return the list of categories: value in label maps, name, colour, and number in COCO and YOLO."""
    more = [name for name in ("coco", "yolo") if name in plan.formats]
    rows: list[list[Any]] = [["value", "name", "color", "red", "green", "blue", *more]]
    for (value, name, color), class_ in dict(zip(plan.listed, plan.classes, strict=True)).items():
        place = plan.kept.index(class_) if class_ in plan.kept else -1
        numbers = {"coco": place + 1, "yolo": place}
        own = [numbers[one] if place >= 0 else "" for one in more]
        rows.append([value, name, hex_color(color), *color, *own])
    for void in dict.fromkeys(plan.voids.values()):
        rows.append([void, "void", hex_color(VOID_COLOR), *VOID_COLOR, *[""] * len(more)])
    return rows


def yolo_description(names: Sequence[str]) -> bytes:
    """Return the YAML file that a trainer of YOLO reads; texts of JSON are texts of YAML."""
    lines = ["# Put the images into images/ beside labels/.", "path: .", "train: images", "val: images", "names:"]
    return "".join(
        f"{line}\n" for line in [*lines, *(f"  {number}: {json.dumps(name)}" for number, name in enumerate(names))]
    ).encode("utf-8", "replace")


def pixel_size(text: str) -> PixelSize:
    """Parse the side of a pixel, such as 0.3m or 0.65um; without a unit it is in metres."""
    number = text.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZµμ")
    try:
        side = float(number) if text else 0.0
    except ValueError:
        side = -1.0
    if text and not 0 < side < float("inf"):
        raise ConfigError(f"--pixel-size {text}: must be a number above 0 with its unit, such as 0.3m or 0.65um")
    return PixelSize(side, text[len(number) :] or METRE) if text else PixelSize()
