"""Small texts that lie beside maps or in them: what GDAL, QGIS and STAC want to know of classes and places."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

from unsegcli._version import __version__
from unsegcli.core.palette import hex_color
from unsegcli.images.georeference import Georeference
from unsegcli.views.geo_files import may_be_known

Listed = tuple[int, str, tuple[int, int, int]]  # value, name and colour of a class

NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
MOST_NAMES = 256  # category names are a list from 0 on, so that a large number would need many empty ones
TABLE_COLUMNS = (
    ("Value", 0, 5),
    ("Count", 1, 1),
    ("Class", 2, 2),
    ("Red", 0, 6),
    ("Green", 0, 7),
    ("Blue", 0, 8),
)  # name, type (whole, real, text) and use, as GDAL numbers them; fmt: skip
EXTENSIONS = (
    "https://stac-extensions.github.io/classification/v2.0.0/schema.json",
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
)
STAC_VERSION = "1.1.0"
QGIS = "3.22"  # version whose styles these are; later ones read them too


def gdal_sidecar(listed: Sequence[Listed], counts: Sequence[int], place: Georeference | None) -> bytes:
    """Return the text of NAME.aux.xml: category names and a raster attribute table; and the place, if it is given.

    Args:
        listed: the classes.
        counts: pixels of each.
        place: for formats that cannot hold it.
    """
    root = Element("PAMDataset")
    if place is not None and place.transform:
        if may_be_known(place.crs):
            SubElement(root, "SRS").text = _xml(place.crs)
        a, b, c, d, e, f = place.transform
        SubElement(root, "GeoTransform").text = ", ".join(f"{value:.17g}" for value in (c, a, b, f, d, e))
    if listed:
        _describe(SubElement(root, "PAMRasterBand", band="1"), listed, counts)
    return tostring(root, encoding="unicode").encode() + b"\n"


def _describe(band: Element, listed: Sequence[Listed], counts: Sequence[int]) -> None:
    classes: dict[int, tuple[str, tuple[int, int, int], int]] = {}
    for (value, name, color), count in zip(listed, counts, strict=True):
        classes[value] = (name, color, count + (classes[value][2] if value in classes else 0))
    if max(classes) < MOST_NAMES:
        names = SubElement(band, "CategoryNames")
        for value in range(max(classes) + 1):
            SubElement(names, "Category").text = _xml(classes[value][0]) if value in classes else ""
    table = SubElement(band, "GDALRasterAttributeTable", tableType="thematic")
    for number, (title, kind, use) in enumerate(TABLE_COLUMNS):
        column = SubElement(table, "FieldDefn", index=str(number))
        for key, text in (("Name", title), ("Type", kind), ("Usage", use)):
            SubElement(column, key).text = str(text)
    for number, (value, (name, color, count)) in enumerate(classes.items()):
        row = SubElement(table, "Row", index=str(number))
        for cell in (value, count, _xml(name), *color):
            SubElement(row, "F").text = str(cell)


def _xml(text: str) -> str:
    return NOT_IN_XML.sub("_", text)


# QGIS


def qgis_style(listed: Sequence[Listed], names: Sequence[str], colors: Sequence[Sequence[int]]) -> str:
    """Return a style that QGIS finds beside files of one name: label maps, polygons, or both.

    Args:
        listed: the classes of a label map; none = there is no such file.
        names: values of the column `class` of polygons; none = there is no such file.
        colors: of these.
    """
    root = Element("qgis", version=QGIS, styleCategories="Symbology")
    if listed:
        _raster_style(root, listed)
    if names:
        _polygon_style(root, names, colors)
    return f"<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n{tostring(root, encoding='unicode')}\n"


def _raster_style(root: Element, listed: Sequence[Listed]) -> None:
    """Add a colour and a name for each value: without it all 256 colours of a palette are listed."""
    settings = {"type": "paletted", "band": "1", "opacity": "1", "alphaBand": "-1"}
    palette = SubElement(SubElement(SubElement(root, "pipe"), "rasterrenderer", settings), "colorPalette")
    for value, name, color in dict.fromkeys(listed):
        SubElement(palette, "paletteEntry", value=str(value), label=_xml(name), color=hex_color(color), alpha="255")


def _polygon_style(root: Element, names: Sequence[str], colors: Sequence[Sequence[int]]) -> None:
    renderer = SubElement(root, "renderer-v2", type="categorizedSymbol", attr="class")
    categories, symbols = SubElement(renderer, "categories"), SubElement(renderer, "symbols")
    for number, (name, color) in enumerate(zip(names, colors, strict=True)):
        text, key = _xml(name), str(number)
        SubElement(categories, "category", render="true", symbol=key, value=text, label=text, type="string")
        symbol = SubElement(symbols, "symbol", type="fill", name=key, alpha="1")
        options = SubElement(SubElement(symbol, "layer", {"class": "SimpleFill"}, enabled="1"), "Option", type="Map")
        filled = ",".join(map(str, (*color, 255)))
        line = {"outline_style": "solid", "outline_color": filled, "outline_width": "0.1"}  # no gaps when it is drawn
        settings = {"color": filled, "style": "solid", **line}
        for option, value in settings.items():
            SubElement(options, "Option", type="QString", name=option, value=value)
    SubElement(root, "layerGeometryType").text = "2"  # polygons


# STAC


@dataclass(frozen=True)
class Described:
    """An image whose files a STAC item describes."""

    name: str
    grid: tuple[int, int]
    place: Georeference
    corners: tuple[tuple[float, float], ...]  # in degrees, counterclockwise with north up
    modified: int  # nanoseconds since 1970
    files: dict[str, str]  # their names, relative to that of the item, by format
    wkt: str  # of the coordinate system


MEDIA_TYPES = {
    "geotiff": "image/tiff; application=geotiff; profile=cloud-optimized",
    "tiff": "image/tiff; application=geotiff",
    "png": "image/png",
    "geojson": "application/geo+json",
}


def stac_item(image: Described, classes: Mapping[str, Sequence[dict[str, Any]]]) -> dict[str, Any]:
    """Return the description of the files of one image as an item of STAC.

    Args:
        image: the image and its files.
        classes: classes of the label maps, by format.
    """
    longitudes, latitudes = zip(*image.corners, strict=True)
    known = image.place.crs.startswith("EPSG:")
    system = {"proj:code": image.place.crs} if known else {"proj:code": None, "proj:wkt2": image.wkt}
    assets = {}
    for format_, name in image.files.items():
        found: dict[str, Any] = {"href": f"./{name}", "type": MEDIA_TYPES[format_], "roles": ["data"]}
        assets[format_] = found | ({"classification:classes": classes[format_]} if format_ in classes else {})
    return {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": list(EXTENSIONS),
        "id": re.sub(r"[^\w.-]+", "_", image.name),
        "geometry": {"type": "Polygon", "coordinates": [[list(one) for one in (*image.corners, image.corners[0])]]},
        "bbox": [min(longitudes), min(latitudes), max(longitudes), max(latitudes)],
        "properties": {
            "datetime": datetime.fromtimestamp(image.modified // 10**9, UTC).isoformat().replace("+00:00", "Z"),
            "title": f"classes of {image.name}",
            "description": f"made by unseg {__version__}; the time is that of the file of the image",
            **system,
            "proj:shape": list(image.grid),
            "proj:transform": [*image.place.transform, 0, 0, 1],
        },
        "links": [],
        "assets": assets,
    }


def stac_classes(listed: Sequence[Listed], void: int) -> list[dict[str, Any]]:
    """Return the values of a label map as `classification:classes`; names there have letters, digits, - and _ only."""
    found = [
        {
            "value": value,
            "name": re.sub(r"[^0-9A-Za-z_-]+", "-", name).strip("-") or f"class-{value}",
            "title": name,
            "description": name,
            "color_hint": "{:02X}{:02X}{:02X}".format(*color),
        }
        for value, name, color in dict.fromkeys(listed)
    ]
    return [*found, {"value": void, "name": "void", "title": "void", "description": "void", "nodata": True}]
