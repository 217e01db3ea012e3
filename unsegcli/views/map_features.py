"""The polygons of an image in the coordinates of its map: as rows of a layer, and as GeoJSON in degrees."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.outlines import Polygon
from unsegcli.core.palette import hex_color
from unsegcli.errors import DataError
from unsegcli.images.georeference import Georeference
from unsegcli.views.geo_files import to_longitude_latitude
from unsegcli.views.ground import mapped
from unsegcli.views.object_files import EXACT

Values = NDArray[np.float64]
Rings = list[Values]  # the outer ring, counterclockwise with north up, then the holes; the first point is repeated

DEGREE_DIGITS = 9  # a tenth of a millimetre


@dataclass(frozen=True)
class MapLayer:
    """Rows of a layer, one for each connected part of an image."""

    columns: dict[str, NDArray[Any]]
    polygons: tuple[bytes, ...]  # WKB


def columns_of(
    classes: Sequence[int],
    areas: Values | None,
    plan: tuple[Sequence[int], Sequence[str]],
    source: str,
    numbers: Sequence[int] | None = None,
) -> dict[str, NDArray[Any]]:
    """Return what is said of each part.

    Args:
        classes: class of each part.
        areas: of each, in m2; None = not known.
        plan: value in label maps and name of each class.
        source: name of the image.
        numbers: that the table of objects has; None = it is not written.
    """
    count = len(classes)
    values, names = plan
    known = np.full(count, np.nan) if areas is None else areas
    found: dict[str, NDArray[Any]] = {
        "class": np.array([names[one].encode("utf-8", "replace").decode() for one in classes], object),
        "value": np.array([values[one] for one in classes], np.int64),
        "area_m2": known,
        "area_ha": known / 10_000,
        "source": np.array([source.encode("utf-8", "replace").decode()] * count, object),
    }
    return found if numbers is None else found | {"object": np.array(numbers, np.int64)}


def rings_on_map(outlines: Sequence[Polygon], place: Georeference) -> list[Rings]:
    """Convert outlines in pixels to coordinates of the map."""
    a, b, _, d, e, _ = place.transform
    turned = slice(None, None, -1 if a * e < b * d else 1)
    return [[mapped(place, np.concatenate([ring, ring[:1]])[turned]) for ring in polygon] for polygon in outlines]


def in_degrees(shapes: Sequence[Rings], crs: str) -> list[Rings]:
    """Convert rings to longitude and latitude, all points at once."""
    rings = [ring for rings in shapes for ring in rings]
    if not rings:
        return []
    points = to_longitude_latitude(crs, np.concatenate(rings))
    if not np.isfinite(points).all():
        raise DataError(f"its place cannot be converted from {crs[:40]} to degrees; use --coordinates pixels")
    split = iter(np.split(points.round(DEGREE_DIGITS), np.cumsum([len(ring) for ring in rings])[:-1]))
    return [[next(split) for _ in rings] for rings in shapes]


def wkb(rings: Rings) -> bytes:
    """Return a polygon as well-known binary, little endian."""
    parts = [struct.pack("<BII", 1, 3, len(rings))]
    for ring in rings:
        parts += [struct.pack("<I", len(ring)), ring.astype("<f8").tobytes()]
    return b"".join(parts)


class FeatureFile:
    """Writes a GeoJSON collection, some features at a time."""

    def __init__(self, file: IO[str]) -> None:
        self._file, self._between = file, ""
        file.write('{"type": "FeatureCollection", "features": [')

    def add(self, features: Iterable[dict[str, Any]]) -> None:
        """Write some features."""
        for feature in features:
            self._file.write(self._between + json.dumps(feature, ensure_ascii=False))
            self._between = ", "

    def close(self) -> None:
        """Write the end."""
        self._file.write("]}")
        self._file.close()


def map_collection(features: Iterable[dict[str, Any]]) -> str:
    """Return the text of a GeoJSON collection."""
    return json.dumps({"type": "FeatureCollection", "features": list(features)}, ensure_ascii=False)


def map_features(
    columns: dict[str, NDArray[Any]], shapes: Sequence[Rings], classes: Sequence[int], colors: Sequence[Sequence[int]]
) -> Iterator[dict[str, Any]]:
    """Yield a feature of GeoJSON for each part; shapes are in degrees."""
    for row, (rings, class_) in enumerate(zip(shapes, classes, strict=True)):
        properties = {name: _plain(values[row]) for name, values in columns.items()}
        yield {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [ring.tolist() for ring in rings]},
            "properties": {**properties, "fill": hex_color(colors[class_])},
        }


def _plain(value: Any) -> Any:
    """Return a value as JSON has it, areas with as many digits as the tables have."""
    if isinstance(value, str):
        return value
    if isinstance(value, np.integer):
        return int(value)
    return None if np.isnan(value) else float(f"{value:.{EXACT}g}")
