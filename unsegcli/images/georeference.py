"""Where an image lies on a map, from the tags of a GeoTIFF: no file is opened here.

Tags that make no sense are ignored: an image can be read without them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

SCALE, TIEPOINTS, MATRIX, KEYS, TEXTS = 33550, 33922, 34264, 34735, 34737  # tags
MODEL_TYPE, RASTER_TYPE, CITATION = 1024, 1025, 1026  # keys in the tag KEYS
GEOGRAPHIC, GEOGRAPHIC_NAME, PROJECTED, PROJECTED_NAME = 2048, 2049, 3072, 3073
IS_PROJECTED, IS_GEOGRAPHIC = 1, 2  # values of MODEL_TYPE
PIXEL_IS_POINT = 2  # value of RASTER_TYPE: tiepoints mean centres of pixels, not corners
USER_DEFINED = 32767
BEFORE_WKT = "ESRI PE String = "
WKT_STARTS = ("PROJCS", "GEOGCS", "PROJCRS", "GEOGCRS", "COMPD_CS", "COMPOUNDCRS", "BOUNDCRS")

Affine = tuple[float, ...]  # (a, b, c, d, e, f): column x and row y lie at (a x + b y + c, d x + e y + f)


@dataclass(frozen=True)
class Georeference:
    """Coordinate system and place of an image."""

    crs: str = ""  # "EPSG:" and a number, or WKT, or a name; "" = not known
    transform: Affine = ()  # from column and row to map coordinates; () = not known


def georeference(tags: Mapping[int, Any], height: int, width: int, orientation: int) -> Georeference:
    """Return where an image lies.

    Args:
        tags: values of the tags above, by number.
        height: of the image as stored.
        width: of the image as stored.
        orientation: the result is about the image as shown.
    """
    keys = _keys(tags)
    transform = _transform(tags)
    if transform and keys.get(RASTER_TYPE) == PIXEL_IS_POINT:
        transform = chained(transform, (1, 0, -0.5, 0, 1, -0.5))
    if transform:
        transform = chained(transform, stored_place(height, width, orientation))
    return Georeference(_crs(keys), transform)


def some_adjoin(images: Iterable[tuple[Georeference, tuple[int, int]]]) -> bool:
    """Return whether two images of one coordinate system and pixel size lie side by side, like tiles of a survey.

    Args:
        images: the place of each, and its height and width as shown.
    """
    starts, ends = set(), set()
    for place, (height, width) in images:
        if not place.transform:
            continue
        a, b, x, d, e, y = place.transform
        if a and e and not b and not d:
            kind = place.crs, f"{a:.9g}", f"{e:.9g}"
            column, row = round(x / a), round(y / e)
            starts.add((*kind, column, row))
            ends |= {(*kind, column + width, row), (*kind, column, row + height)}
    return not starts.isdisjoint(ends)


def stored_place(height: int, width: int, orientation: int) -> Affine:
    """Return the map from column and row of an image as shown to those of the image (height, width) as stored."""
    across, down = (-1, width), (-1, height)  # mirrored
    column, row = {
        1: ((1, 0), (1, 0)), 2: (across, (1, 0)), 3: (across, down), 4: ((1, 0), down),
        5: ((1, 0), (1, 0)), 6: ((1, 0), down), 7: (across, down), 8: (across, (1, 0)),
    }[orientation]  # fmt: skip
    if orientation >= 5:  # the stored column depends on the row as shown
        return (0, column[0], column[1], row[0], 0, row[1])
    return (column[0], 0, column[1], 0, row[0], row[1])


def chained(outer: Affine, inner: Affine) -> Affine:
    """Return the affine map that applies `inner` first."""
    a, b, c, d, e, f = outer
    g, h, i, k, m, n = inner
    return (
        a * g + b * k, a * h + b * m, a * i + b * n + c,
        d * g + e * k, d * h + e * m, d * i + e * n + f,
    )  # fmt: skip


def _transform(tags: Mapping[int, Any]) -> Affine:
    """Return the map from column and row of the image as stored; () if there is none, or only control points."""
    matrix, scale, points = (_numbers(tags.get(tag)) for tag in (MATRIX, SCALE, TIEPOINTS))
    if len(matrix) == 16:
        found = (*matrix[0:2], matrix[3], *matrix[4:6], matrix[7])
    elif len(scale) >= 2 and len(points) >= 6:
        column, row, _, x, y, _ = points[:6]
        found = (scale[0], 0.0, x - column * scale[0], 0.0, -scale[1], y + row * scale[1])
    else:
        return ()
    a, b, _, d, e, _ = found
    sound = all(math.isfinite(value) for value in found) and a * e != b * d
    return found if sound else ()


def _crs(keys: Mapping[int, int | str]) -> str:
    kinds = {IS_PROJECTED: (PROJECTED,), IS_GEOGRAPHIC: (GEOGRAPHIC,)}
    model = keys.get(MODEL_TYPE)
    for key in kinds.get(model, ()) if isinstance(model, int) else (PROJECTED, GEOGRAPHIC):
        code = keys.get(key)
        if isinstance(code, int) and 0 < code < USER_DEFINED:
            return f"EPSG:{code}"
    names = (CITATION, GEOGRAPHIC_NAME) if model == IS_GEOGRAPHIC else (PROJECTED_NAME, CITATION)
    texts = [text for name in names if isinstance(text := keys.get(name), str) and text]
    wkt = [text.partition(BEFORE_WKT)[2] for text in texts if BEFORE_WKT in text]
    return (wkt or texts or [""])[0]


def _keys(tags: Mapping[int, Any]) -> dict[int, int | str]:
    """Return the keys of the tag KEYS that are whole numbers or texts."""
    listed = [int(value) for value in _numbers(tags.get(KEYS))]
    texts = tags.get(TEXTS)
    found: dict[int, int | str] = {}
    for start in range(4, len(listed) - 3, 4):
        key, place, count, value = listed[start : start + 4]
        if place == 0:
            found[key] = value
        elif place == TEXTS and isinstance(texts, str):
            found[key] = texts[value : value + count].rstrip("|\0 ")
    return found


def _numbers(value: Any) -> tuple[float, ...]:
    """Return the value of a tag as numbers; () for anything else."""
    values = value if isinstance(value, tuple | list) else ()
    return tuple(values) if all(isinstance(one, int | float) for one in values) else ()


def written_tags(place: Georeference) -> list[tuple[int, str, int, Any, bool]]:
    """Return the tags that give a TIFF file this place, as tifffile takes them: number, type, count, value, once.

    A coordinate system is written by its EPSG number, else as WKT, else by its name alone.
    """
    if not place.transform:
        return []
    a, b, c, d, e, f = place.transform
    tags: list[tuple[int, str, int, Any, bool]]
    if b == d == 0 and a > 0 > e:
        tags = [(SCALE, "d", 3, (a, -e, 0.0), True), (TIEPOINTS, "d", 6, (0.0, 0.0, 0.0, c, f, 0.0), True)]
    else:
        matrix = (a, b, 0.0, c, d, e, 0.0, f, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)
        tags = [(MATRIX, "d", 16, matrix, True)]
    keys, text = _written_keys(place)
    listed = [1, 1, 0, len(keys), *(number for key in keys for number in key)]
    tags.append((KEYS, "H", len(listed), tuple(listed), True))
    return [*tags, (TEXTS, "s", 0, text, True)] if text else tags


def is_described(crs: str) -> bool:
    """Return whether a coordinate system is given as WKT that a GeoTIFF can hold."""
    return crs.isascii() and "|" not in crs and crs.split("[")[0] in WKT_STARTS


def _written_keys(place: Georeference) -> tuple[list[tuple[int, int, int, int]], str]:
    """Return the keys of the tag KEYS (number, place, count, value), and the texts that they point to."""
    raster = (RASTER_TYPE, 0, 1, 1)  # tiepoints mean corners of pixels
    code = place.crs.removeprefix("EPSG:")
    if place.crs != code and code.isdecimal():
        geographic = _is_geographic(int(code), place.transform)
        kind, key = (IS_GEOGRAPHIC, GEOGRAPHIC) if geographic else (IS_PROJECTED, PROJECTED)
        return [(MODEL_TYPE, 0, 1, kind), raster, (key, 0, 1, int(code))], ""
    keys = [(MODEL_TYPE, 0, 1, USER_DEFINED), raster]
    if is_described(place.crs):  # as GDAL reads it: of any kind of system, in the name of a projected one
        text = f"{BEFORE_WKT}{place.crs}|"
        return [*keys, (PROJECTED, 0, 1, USER_DEFINED), (PROJECTED_NAME, TEXTS, len(text), 0)], text
    if place.crs and place.crs.isascii() and "|" not in place.crs:
        return [*keys, (CITATION, TEXTS, len(place.crs) + 1, 0)], f"{place.crs}|"
    return [raster], ""


def _is_geographic(code: int, transform: Affine) -> bool:
    """Guess whether coordinates are degrees: most such systems have numbers of 4000 to 4999, some later ones."""
    return 4000 <= code < 5000 or (code >= 5000 and abs(transform[2]) <= 360 and abs(transform[5]) <= 90)
