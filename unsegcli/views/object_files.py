"""Objects as rows of a table, and as COCO, YOLO and GeoJSON have them.

Coordinates are pixels from the top left corner of the image; `map_features` has those of maps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.border_lines import Points
from unsegcli.core.outlines import Polygon, bridged
from unsegcli.core.part_measures import PartMeasures
from unsegcli.views.export import Number

Values = NDArray[np.float64]

EXACT, ENOUGH = 12, 6  # digits of areas, which add up; of lengths, means and confidences


@dataclass(frozen=True)
class Objects:
    """The connected parts of one image, in the order of their numbers."""

    classes: tuple[int, ...]  # the category of each
    measures: PartMeasures
    means: Values | None = None  # (objects, bands)
    confidence: Values | None = None  # (objects,)
    real: Values | None = None  # areas in real units
    side: float = float("nan")  # of a pixel in real units; NaN = not known


def object_columns(bands: int, unit: str, with_confidence: bool) -> list[str]:
    """Return the columns of the table of objects."""
    real = [f"area {unit}2", *(["area ha"] if unit == "m" else [])] if unit else []
    length = [f"perimeter {unit}"] if unit else []
    means = [f"mean {band}" for band in range(1, bands + 1)]
    return [
        "image", "object", "class", "area", *real, "perimeter", *length, "left", "top", "width", "height", "x", "y",
        *means, *(["confidence"] if with_confidence else []),
    ]  # fmt: skip


def object_rows(
    image: str, objects: Objects, names: Sequence[str], unit: str, columns: tuple[int, bool]
) -> Iterator[list[Any]]:
    """Yield one row for each object.

    Args:
        image: name of the image.
        objects: its objects.
        names: of the categories.
        unit: real unit of the table; "" = none.
        columns: number of bands, and whether there is a confidence, in the whole table.
    """
    bands, with_confidence = columns
    found = objects.measures
    for number, category in enumerate(objects.classes):
        area, length = int(found.areas[number]), float(found.perimeters[number])
        row: list[Any] = [image, number + 1, names[category], area]
        row += real_areas(None if objects.real is None else float(objects.real[number]), unit)
        row += [f"{length:.2f}", *([_shown(length * objects.side, ENOUGH)] if unit else [])]
        row += [*found.boxes[number].tolist(), *(f"{value:.2f}" for value in found.centres[number])]
        means = [] if objects.means is None else [_shown(value, ENOUGH) for value in objects.means[number]]
        row += [*means, *[""] * (bands - len(means))]
        if with_confidence:
            row.append("" if objects.confidence is None else _shown(float(objects.confidence[number]), ENOUGH))
        yield row


def real_areas(area: float | None, unit: str) -> list[str]:
    """Return an area in squares of the unit, and in hectares if that is the metre; nothing without a unit.

    Args:
        area: in squares of the unit; None or NaN = not known, so that cells are empty.
        unit: real unit of the table; "" = none.
    """
    known = float("nan") if area is None else area
    return [_shown(known, EXACT), *([_shown(known / 10_000, EXACT)] if unit == "m" else [])] if unit else []


def _shown(value: float, digits: int) -> Number:
    """Write a number without an exponent, which not every program reads; NaN = not known, an empty cell."""
    if np.isnan(value):
        return Number()
    return Number(np.format_float_positional(value, digits, unique=False, fractional=False, trim="-"))


# YOLO: a line for each object, with the number of its class and its outline as shares of width and height


def yolo_lines(classes: Sequence[int], outlines: Sequence[Polygon], grid: tuple[int, ...]) -> bytes:
    """Return the lines of one image; holes are joined to their outline."""
    lines = []
    for class_, polygon in zip(classes, outlines, strict=True):
        shares = (bridged(polygon) / np.array([grid[1], grid[0]])).ravel()
        lines.append(" ".join([str(class_), *(f"{share:.6f}" for share in shares)]))
    return "".join(f"{line}\n" for line in lines).encode()


# COCO


def coco_annotations(
    classes: Sequence[int],
    objects: Objects,
    outlines: Sequence[Polygon],
    runs: Iterable[str],
    grid: tuple[int, ...],
) -> Iterator[dict[str, Any]]:
    """Yield each object with its exact mask, and its outline beside it; the caller gives the numbers."""
    found = objects.measures
    for number, (class_, polygon, counts) in enumerate(zip(classes, outlines, runs, strict=True)):
        yield {
            "category_id": class_ + 1,
            "bbox": found.boxes[number].tolist(),
            "area": int(found.areas[number]),
            "iscrowd": 0,
            "segmentation": {"size": list(grid), "counts": counts},
            "polygon": [bridged(polygon).ravel().tolist()],
        }


# GeoJSON


def features(
    objects: Objects,
    outlines: Sequence[Polygon],
    names: Sequence[str],
    colors: Sequence[Sequence[int]],
    unit: str,
    *,
    merged: bool,
) -> dict[str, Any]:
    """Return a feature for each object, with measurements in a real unit, too; or for each class if they are merged."""
    found = []
    if merged:
        for category in sorted(set(objects.classes)):
            own = [_rings(outlines[number]) for number, one in enumerate(objects.classes) if one == category]
            found.append(_feature({"type": "MultiPolygon", "coordinates": own}, names[category], colors[category]))
        return {"type": "FeatureCollection", "features": found}
    for number, category in enumerate(objects.classes):
        shape = {"type": "Polygon", "coordinates": _rings(outlines[number])}
        found.append(
            _feature(shape, names[category], colors[category], _measurements(objects, number, unit), number + 1)
        )
    return {"type": "FeatureCollection", "features": found}


def _feature(
    shape: dict[str, Any],
    name: str,
    color: Sequence[int],
    measurements: dict[str, float] | None = None,
    number: int | None = None,
) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "objectType": "annotation",
        "classification": {"name": name, "color": [int(part) for part in color]},
    }
    if number is not None:
        properties["name"] = f"{name} {number}"
    if measurements is not None:
        properties["measurements"] = measurements
    return {"type": "Feature", "geometry": shape, "properties": properties}


def _measurements(objects: Objects, number: int, unit: str) -> dict[str, float]:
    area, length = float(objects.measures.areas[number]), float(objects.measures.perimeters[number])
    found = {"area": area, "perimeter": length}
    if unit and objects.real is not None:
        found |= {f"area {unit}2": float(objects.real[number]), f"perimeter {unit}": length * objects.side}
    if objects.means is not None:
        found |= {f"mean {band}": float(value) for band, value in enumerate(objects.means[number], 1)}
    if objects.confidence is not None:
        found["confidence"] = float(objects.confidence[number])
    return {name: float(f"{value:.{EXACT}g}") for name, value in found.items() if not np.isnan(value)}


def _rings(polygon: Polygon) -> list[list[list[int]]]:
    return [_closed(ring) for ring in polygon]


def _closed(ring: Points) -> list[list[int]]:
    return [*ring.tolist(), ring[0].tolist()]
