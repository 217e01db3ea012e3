"""Exports of images that have a place on a map, read back by rasterio, pyogrio and GDAL's own commands."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from called import export, superpixels
from numpy.typing import NDArray
from stages.test_export_files import MAP, WKT, rings_area, table
from stages.test_visualize_stage import files_of, segmentation

from unsegcli.core.geometry import sample_nearest
from unsegcli.dataflow import label_maps
from unsegcli.errors import ArtifactError, ConfigError
from unsegcli.images.decode import read_header
from unsegcli.images.georeference import Georeference
from unsegcli.params import Export, Images, Superpixels
from unsegcli.views import backdrop, exported_image, geo_files, large_image, large_polygons
from unsegcli.views.export import encoded
from unsegcli.views.geo_files import write_layer
from unsegcli.views.ground import ELLIPSOID, PLANE, ground
from unsegcli.views.map_sidecars import gdal_sidecar, stac_classes

rasterio = pytest.importorskip("rasterio")
raw = pytest.importorskip("pyogrio.raw")

UTM = Georeference("EPSG:32633", (0.5, 0.0, 400000.0, 0.0, -0.5, 5000000.0))
DEGREES = Georeference("EPSG:4326", (1e-4, 0.0, 13.0, 0.0, -1e-4, 60.0))
MERCATOR = Georeference("EPSG:3857", (0.5, 0.0, 1500000.0, 0.0, -0.5, 8400000.0))  # at 60 degrees north
TURNED = Georeference(WKT, (0.4, 0.3, 400000.0, 0.3, -0.4, 5000000.0))
NOWHERE = Georeference()
NAMES = ("sand", "Wald & Wiese", "=door")
EVERYTHING = ("geotiff", "png", "csv", "coco", "gpkg", "geojson", "stac")


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything that is written of five images."""
    home = tmp_path_factory.mktemp("places")
    places = [UTM, DEGREES, MERCATOR, TURNED, NOWHERE]
    names = ["a/utm.tif", "degrees.tif", "mercator.tif", "turned.tif", "nowhere.png"]
    seg = segmentation(home / "seg.h5", [MAP] * 5, names, clusters=3, categories=NAMES, places=places)
    return export(seg, home / "out", Export(to=EVERYTHING, objects=True, simplify=0), workers=1).path


def said_by(*command: str | Path) -> str:
    if shutil.which(str(command[0])) is None:
        pytest.skip(f"{command[0]} is not installed")
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


# ---------------------------------------------------------------------------------------- GeoTIFF


def test_geotiff_has_place_void_colours_and_overviews_by_mode(tmp_path: Path) -> None:
    values = np.kron(np.arange(520 * 300).reshape(300, 520) % 3, np.ones((2, 2), int)).astype(np.uint8)
    values[::2, ::2] = 0  # one of four pixels: in no mode, but the nearest one
    seg = segmentation(tmp_path / "seg.h5", [values], ["scene.tif"], clusters=3, categories=NAMES, places=[UTM])
    made = export(seg, tmp_path / "out", Export(to=("geotiff",)), workers=1).path
    colors = {
        int(row["value"]): [int(row[part]) for part in ("red", "green", "blue")] for row in table(made / "classes.csv")
    }
    with rasterio.open(made / "scene.tif") as data:
        assert (data.crs.to_epsg(), tuple(data.transform)[:6], data.nodata) == (32633, UTM.transform, 255)
        assert (data.tags(ns="IMAGE_STRUCTURE")["LAYOUT"], data.block_shapes) == ("COG", [(512, 512)])
        np.testing.assert_array_equal(data.read(1), values)
        found = {number: list(color[:3]) for number, color in data.colormap(1).items() if number in colors}
        assert found == colors
        assert data.overviews(1) == [2, 4]
        small = data.read(1, out_shape=(300, 520))
    np.testing.assert_array_equal(small, np.arange(520 * 300).reshape(300, 520) % 3)


def test_a_system_without_a_number_is_kept(out: Path) -> None:
    with rasterio.open(out / "turned.tif") as data:
        assert data.crs == rasterio.CRS.from_wkt(WKT)
        assert tuple(data.transform)[:6] == TURNED.transform


def test_gdal_lists_names_and_a_table(out: Path) -> None:
    said = said_by("gdalinfo", out / "turned.tif")
    assert [said.find(f"      {number}: {name}\n") > 0 for number, name in enumerate(NAMES)] == [True] * 3
    rows = ElementTree.fromstring(said[said.index("<GDALRasterAttributeTable") : said.index("</GDALRasterA") + 27])
    found = [[cell.text for cell in row.findall("F")][:3] for row in rows.findall("Row")]
    assert found == [["0", "12", "sand"], ["1", "10", "Wald & Wiese"], ["2", "1", "=door"]]
    assert "NoData Value=255" in said


def test_names_with_gaps_and_odd_letters() -> None:
    listed = [(2, "a\x00b", (1, 2, 3)), (0, "c", (4, 5, 6)), (2, "a\x00b", (1, 2, 3))]
    root = ElementTree.fromstring(gdal_sidecar(listed, [5, 6, 7], None))
    assert [one.text for one in root.iter("Category")] == ["c", None, "a_b"]
    assert [[cell.text for cell in row] for row in root.iter("Row")] == [
        ["2", "12", "a_b", "1", "2", "3"], ["0", "6", "c", "4", "5", "6"],
    ]  # fmt: skip
    assert not list(ElementTree.fromstring(gdal_sidecar([(70000, "far", (0, 0, 0))], [1], None)).iter("Category"))


def test_qgis_finds_names_and_colours_beside_maps_and_polygons(out: Path) -> None:
    """Drawn by QGIS 3.22: without the style it lists all 256 entries of the palette."""
    both = ElementTree.fromstring((out / "a/utm.qml").read_text().partition("\n")[2])
    colors = [row["color"] for row in table(out / "classes.csv")][:3]
    assert [(one.get("label"), one.get("color")) for one in both.iter("paletteEntry")] == list(
        zip(NAMES, colors, strict=True)
    )
    assert [one.get("value") for one in both.iter("category")] == list(NAMES)
    map_only = ElementTree.fromstring((out / "nowhere.qml").read_text().partition("\n")[2])
    assert (len(list(map_only.iter("paletteEntry"))), len(list(map_only.iter("category")))) == (3, 0)


@pytest.fixture
def by_rows(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From the call on, all images are exported a few rows at a time."""

    def start() -> None:
        monkeypatch.setattr(large_image, "LARGE", 0)
        monkeypatch.setattr(label_maps, "BAND_ROWS", 64)
        monkeypatch.setattr(large_polygons, "GROUP", 50)
        for name in ("encoded", "sieve", "polygons", "measured"):  # what needs the whole
            monkeypatch.setattr(exported_image, name, None)

    return start


def windows_of_a_working_image(folder: Path) -> Path:
    """Overlapping windows of a smaller working image; rows have areas of their own in degrees."""
    working = np.random.default_rng(1).integers(0, 4, (90, 70)).astype(np.uint8)
    working[working == 3] = 255
    how: dict[str, Any] = {"patch": 40, "stride": 30, "sources": [(700, 545)], "places": [DEGREES]}
    return segmentation(folder / "seg.h5", [working], ["a/scene.tif"], clusters=3, categories=NAMES, **how)


def test_a_large_image_is_written_by_rows_with_the_same_result(tmp_path: Path, by_rows: Callable[[], None]) -> None:
    seg = windows_of_a_working_image(tmp_path)
    settings = Export(to=("geotiff", "csv", "stac"))
    whole = export(seg, tmp_path / "whole", settings, workers=1).path
    by_rows()
    assert not export(seg, tmp_path / "tried", settings, workers=1, dry_run=True).path.exists()
    rows = export(seg, tmp_path / "rows", settings, workers=1).path
    assert files_of(rows) == files_of(whole)
    for name in ("areas.csv", "classes.csv", "a/scene.tif.aux.xml", "a/scene.qml", "a/scene.stac.json"):
        assert (rows / name).read_bytes() == (whole / name).read_bytes(), name
    check_same_rasters(rows / "a/scene.tif", whole / "a/scene.tif")
    wrong = tmp_path / "rows" / "a" / "scene.tif" / "none.tif"
    with pytest.raises(ArtifactError, match=r"none\.tif: cannot be written"), geo_files.large_cog(wrong, {}, None):
        pass
    assert not list(tmp_path.rglob("*.plain"))


def check_same_rasters(one_path: Path, other_path: Path) -> None:
    with rasterio.open(one_path) as one, rasterio.open(other_path) as other:
        assert one.profile == other.profile
        assert one.overviews(1) == other.overviews(1) == [2]
        for shape in ((700, 545), (350, 273)):
            np.testing.assert_array_equal(one.read(1, out_shape=shape), other.read(1, out_shape=shape))


@pytest.mark.parametrize("objects", [False, True])
def test_polygons_objects_and_sieve_of_a_large_image_by_rows(
    tmp_path: Path, by_rows: Callable[[], None], objects: bool
) -> None:
    """Polygons are joined across windows and bands, with the areas and outlines of the whole."""
    seg = windows_of_a_working_image(tmp_path)
    settings = Export(to=("geotiff", "csv", "gpkg", "geojson"), objects=objects, sieve=150, simplify=0)
    whole = export(seg, tmp_path / "whole", settings, workers=1).path
    by_rows()
    rows = export(seg, tmp_path / "rows", settings, workers=1).path
    assert files_of(rows) == files_of(whole)
    same = ["areas.csv", "classes.csv", "a/scene.tif.aux.xml", "a/scene.qml", *(["objects.csv"] if objects else [])]
    for name in same:
        assert (rows / name).read_bytes() == (whole / name).read_bytes(), name
    for name in ("a/scene.tif", *(["objects/a/scene.tif"] if objects else [])):
        check_same_rasters(rows / name, whole / name)
    assert layer_facts(rows) == layer_facts(whole)
    assert len(layer_facts(rows)) > 100
    found, wanted = (json.loads((one / "a/scene.geojson").read_text())["features"] for one in (rows, whole))
    assert sorted(map(feature_facts, found)) == sorted(map(feature_facts, wanted))


@pytest.mark.parametrize("objects", [False, True])
def test_a_large_image_without_polygons_has_an_empty_layer(
    tmp_path: Path, by_rows: Callable[[], None], objects: bool
) -> None:
    void = np.full((8, 9), 255, np.uint8)
    seg = segmentation(tmp_path / "seg.h5", [void], ["scene.tif"], clusters=3, categories=NAMES, places=[UTM])
    settings = Export(to=("gpkg",), objects=objects)
    whole = export(seg, tmp_path / "whole", settings, workers=1).path
    by_rows()
    rows = export(seg, tmp_path / "rows", settings, workers=1).path
    assert files_of(rows) == files_of(whole)
    (meta, polygons, columns), (wanted, _, fields) = (rows_of(one / "classes.gpkg", "classes") for one in (rows, whole))
    assert (len(polygons), meta["crs"], meta["geometry_type"]) == (0, wanted["crs"], wanted["geometry_type"])
    assert [(name, one.dtype) for name, one in columns.items()] == [(name, one.dtype) for name, one in fields.items()]


def test_the_memory_of_a_large_image_is_said_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Formats that need the whole map, and maps of other tools."""
    monkeypatch.setattr(large_image, "LARGE", 20)
    monkeypatch.setattr(large_image, "BYTES", {"map": 1e9, "parts": 2e9, "outlines": 3e9})
    seg = segmentation(tmp_path / "seg.h5", [MAP], ["p.tif"], clusters=3, places=[UTM])
    made = export(seg, tmp_path / "one", Export(to=("geotiff", "coco", "png"), sieve=2), workers=1).path
    assert (made / "coco.json").is_file()
    said = "p.tif: 0 million pixels are in memory as a whole, about 72 GB, since --to coco,png needs it"
    assert said in caplog.text
    caplog.clear()
    export(seg, tmp_path / "two", Export(to=("geotiff", "gpkg"), sieve=2), workers=1)
    assert "in memory" not in caplog.text
    export(made, tmp_path / "three", Export(to=("geotiff",)), workers=1)
    assert "about 24 GB, since it is no artifact, or has no place on a map" in caplog.text
    caplog.clear()
    monkeypatch.setattr(large_image, "MOST_CATEGORIES", 2)
    export(seg, tmp_path / "four", Export(to=("geotiff",)), workers=1)
    assert "about 24 GB, since it has 3 categories, more than 2; only" in caplog.text


def test_superpixels_of_a_large_image_by_rows(tmp_path: Path, by_rows: Callable[[], None]) -> None:
    """No two windows share a number."""
    (tmp_path / "images").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (100, 80)).astype(np.uint8)
    (tmp_path / "images" / "scene.tif").write_bytes(encoded(noise, "tiff", None, UTM))
    reading = Images(size=(50, 40), patch=30, stride=20)
    made = superpixels(tmp_path / "images", tmp_path / "sp.h5", Superpixels(segments=9), reading, workers=1).path
    settings = Export(to=("geotiff",))
    whole = export(made, tmp_path / "whole", settings, workers=1).path
    by_rows()
    rows = export(made, tmp_path / "rows", settings, workers=1).path
    with rasterio.open(rows / "scene.tif") as one, rasterio.open(whole / "scene.tif") as other:
        assert one.profile == other.profile
        np.testing.assert_array_equal(one.read(1), other.read(1))
        assert one.read(1).max() > 20
    check_pixels_by_rows(made, tmp_path)


def check_pixels_by_rows(made: Path, folder: Path) -> None:
    """Of an artifact, and of the file of the image: those of the whole."""
    run = label_maps.open_predictions(made)
    (item,) = run.maps
    assert isinstance(item, label_maps.StoredMap)
    pixels = item.pixels()
    assert pixels is not None
    whole = sample_nearest(pixels, item.source_grid)
    without = segmentation(folder / "seg.h5", [np.zeros((50, 40), np.uint8)], ["scene.tif"], sources=[(100, 80)])
    (bare,) = label_maps.open_predictions(without).maps
    assert isinstance(bare, label_maps.StoredMap)
    image = backdrop.find_places(run, None, {}, 1)["scene.tif"]
    for bands in (backdrop.working_bands(bare, item, None), backdrop.working_bands(bare, None, image)):
        assert bands is not None
        np.testing.assert_array_equal(np.concatenate([rows for _, rows in bands]), whole)
    assert backdrop.working_bands(bare, None, None) is None


def layer_facts(folder: Path) -> list[Any]:
    """All that is said of polygons, and their points."""
    _, polygons, columns = rows_of(folder / "classes.gpkg", "classes")
    points = [sorted(point for ring in rings_of(polygon) for point in ring[1:]) for polygon in polygons]
    said = zip(*(map(shown, columns[name].tolist()) for name in sorted(columns)), strict=True)
    return sorted(zip(points, said, strict=True))


def shown(value: Any) -> str:
    """A value without the digits that depend on the order of a sum."""
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def feature_facts(feature: Any) -> tuple[list[Any], str]:
    rings = feature["geometry"]["coordinates"]
    return sorted(point for ring in rings for point in ring[1:]), json.dumps(feature["properties"])


# ---------------------------------------------------------------------------------------- every export keeps the place


def test_every_file_says_where_it_lies(out: Path) -> None:
    for name in ("a/utm.tif", "a/utm.png", "objects/a/utm.tif", "objects/a/utm.png"):
        with rasterio.open(out / name) as data:
            assert (data.crs.to_epsg(), tuple(data.transform)[:6]) == (32633, UTM.transform), name
    rows = table(out / "places.csv")
    assert [row["name"] for row in rows] == ["a/utm.tif", "degrees.tif", "mercator.tif", "turned.tif"]
    assert (rows[0]["crs"], [float(rows[0][letter]) for letter in "abcdef"]) == ("EPSG:32633", list(UTM.transform))
    assert not (out / "nowhere.png.aux.xml").exists()


def test_maps_of_other_tools_keep_their_place(tmp_path: Path) -> None:
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "tile.tif").write_bytes(encoded(MAP, "tiff", None, UTM))
    made = export(tmp_path / "maps", tmp_path / "out", Export(to=("tiff",), objects=True), workers=1).path
    assert [read_header(made / name).place for name in ("tile.tif", "objects/tile.tif")] == [UTM, UTM]


# ---------------------------------------------------------------------------------------- polygons


def rings_of(polygon: bytes) -> list[list[tuple[float, float]]]:
    order, kind, count = struct.unpack_from("<BII", polygon)
    assert (order, kind) == (1, 3)
    at, found = 9, []
    for _ in range(count):
        (points,) = struct.unpack_from("<I", polygon, at)
        numbers = struct.unpack_from(f"<{2 * points}d", polygon, at + 4)
        found.append(list(zip(numbers[::2], numbers[1::2], strict=True)))
        at += 4 + 16 * points
    return found


def rows_of(path: Path, layer: str) -> tuple[dict[str, Any], list[bytes], dict[str, NDArray[Any]]]:
    about, _, polygons, columns = raw.read(str(path), layer=layer)
    return about, polygons, dict(zip(about["fields"].tolist(), columns, strict=True))


def test_geopackage_by_hand(out: Path) -> None:
    about, polygons, columns = rows_of(out / "classes.gpkg", "classes_epsg_32633")
    assert (about["crs"], about["geometry_type"]) == ("EPSG:32633", "Polygon")
    assert columns["class"].tolist() == ["sand", NAMES[1], NAMES[1], "=door"]
    assert columns["value"].tolist() == [0, 1, 1, 2]
    assert columns["area_m2"].tolist() == [3, 0.5, 2, 0.25]
    assert columns["area_ha"].tolist() == pytest.approx([3e-4, 5e-5, 2e-4, 2.5e-5])
    assert set(columns["source"].tolist()) == {"a/utm.tif"}
    assert columns["object"].tolist() == [1, 2, 3, 4]
    door = rings_of(polygons[3])
    x, y = 400001.0, 4999999.0
    assert set(door[0]) == {(x, y), (x + 0.5, y), (x, y - 0.5), (x + 0.5, y - 0.5)}
    for polygon, area in zip(polygons, columns["area_m2"].tolist(), strict=True):  # outer rings are counterclockwise
        outer, *holes = (np.array(ring) - (x, y) for ring in rings_of(polygon))
        assert rings_area([outer.tolist()]) > 0 > max([rings_area([hole.tolist()]) for hole in holes], default=-1)
        assert rings_area([ring.tolist() for ring in (outer, *holes)]) == pytest.approx(area)


def test_geopackage_has_a_layer_and_a_style_for_each_system(out: Path) -> None:
    layers = raw.read_layers if hasattr(raw, "read_layers") else pytest.importorskip("pyogrio").list_layers
    names = [name for name, _ in layers(str(out / "classes.gpkg"))]
    assert names == ["classes_epsg_32633", "classes_epsg_4326", "classes_epsg_3857", "classes_4", "layer_styles"]
    about, polygons, _ = rows_of(out / "classes.gpkg", "classes_4")
    assert rasterio.CRS.from_user_input(about["crs"]) == rasterio.CRS.from_wkt(WKT)
    assert len(polygons) == 4
    _, _, styles = rows_of(out / "classes.gpkg", "layer_styles")
    assert styles["f_table_name"].tolist() == names[:4]
    assert styles["useAsDefault"].all()
    root = ElementTree.fromstring(styles["styleQML"][0].partition("\n")[2])
    assert [one.get("label") for one in root.iter("category")] == list(NAMES)
    colors = [one.get("value") for one in root.iter("Option") if one.get("name") == "color"]
    first = table(out / "classes.csv")[0]
    assert colors[0] == ",".join([first["red"], first["green"], first["blue"], "255"])


def test_a_package_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"gone/a\.gpkg: cannot be written .*so nothing is kept"):
        write_layer(tmp_path / "gone" / "a.gpkg", "a", {"value": np.array([1])})


def test_ogrinfo_reads_the_layers(out: Path) -> None:
    said = said_by("ogrinfo", "-al", "-geom=NO", out / "classes.gpkg", "classes_epsg_4326")
    assert "Feature Count: 4" in said
    assert 'ID["EPSG",4326]' in said
    assert "class (String) = Wald & Wiese" in said


# ---------------------------------------------------------------------------------------- GeoJSON


def test_geojson_of_a_place_is_in_degrees(out: Path) -> None:
    found = json.loads((out / "degrees.geojson").read_text())["features"]
    door = found[3]
    x, y = 13 + 2e-4, 60 - 2e-4
    assert {tuple(point) for point in door["geometry"]["coordinates"][0]} == {
        (round(left, 9), round(top, 9)) for left in (x, x + 1e-4) for top in (y, y - 1e-4)
    }
    assert door["properties"]["class"] == "=door"
    assert door["properties"]["fill"] == table(out / "classes.csv")[2]["color"]
    assert door["properties"]["source"] == "degrees.tif"
    assert all(rings_area(one["geometry"]["coordinates"]) > 0 for one in found)
    utm = json.loads((out / "a/utm.geojson").read_text())["features"][0]["geometry"]["coordinates"][0]
    x, y = np.array(utm).T
    assert (13.72, 45.14) < (x.min(), y.min()) < (x.max(), y.max()) < (13.74, 45.15)  # 400 km E, 5000 km N in zone 33
    assert "classification" in json.loads((out / "nowhere.geojson").read_text())["features"][0]["properties"]


def test_pixels_for_a_place_on_request(tmp_path: Path) -> None:
    seg = segmentation(tmp_path / "seg.h5", [MAP], ["p.tif"], clusters=3, places=[UTM])
    made = export(seg, tmp_path / "out", Export(to=("geojson",), coordinates="pixels"), workers=1).path
    found = json.loads((made / "p.geojson").read_text())["features"]
    assert found[2]["geometry"]["coordinates"] == [[[[2, 2], [3, 2], [3, 3], [2, 3], [2, 2]]]]
    assert files_of(made) == ["classes.csv", "p.geojson", "places.csv", "unseg.json"]


# ---------------------------------------------------------------------------------------- STAC


def test_stac_describes_the_files(out: Path) -> None:
    item = json.loads((out / "a/utm.stac.json").read_text())
    with rasterio.open(out / "a/utm.tif") as data:
        bounds = rasterio.warp.transform_bounds(data.crs, "EPSG:4326", *data.bounds)
    assert item["bbox"] == pytest.approx(bounds, abs=1e-7)
    assert rings_area(item["geometry"]["coordinates"]) > 0
    assert item["properties"]["proj:code"] == "EPSG:32633"
    assert item["properties"]["proj:shape"] == [4, 6]
    assert item["properties"]["datetime"] == "1970-01-01T00:00:00Z"
    assert set(item["assets"]) == {"geotiff", "png", "geojson"}
    assert all((out / "a" / asset["href"]).is_file() for asset in item["assets"].values())
    classes = item["assets"]["geotiff"]["classification:classes"]
    assert [(one["value"], one["name"], one["title"]) for one in classes] == [
        (0, "sand", "sand"), (1, "Wald-Wiese", "Wald & Wiese"), (2, "door", "=door"), (255, "void", "void"),
    ]  # fmt: skip
    assert classes[3]["nodata"] is True
    assert classes[0]["color_hint"] == table(out / "classes.csv")[0]["color"][1:].upper()
    assert 'PROJCRS["grid"' in json.loads((out / "turned.stac.json").read_text())["properties"]["proj:wkt2"]
    assert not (out / "nowhere.stac.json").exists()
    assert stac_classes([(7, "水", (0, 0, 0))], 255)[0]["name"] == "class-7"


# ---------------------------------------------------------------------------------------- areas


def test_all_pixels_of_the_earth_have_its_area() -> None:
    found = ground(Georeference("EPSG:4326", (1.0, 0.0, -180.0, 0.0, -1.0, 90.0)), (180, 360))
    assert found is not None
    assert found.measured == ELLIPSOID
    assert found.rows.sum() * 360 == pytest.approx(510_065_621_724_000, rel=1e-4)


@pytest.mark.parametrize(
    ("place", "how", "area", "side"),
    [
        (UTM, PLANE, 0.25, 0.5),
        (TURNED, PLANE, 0.25, 0.5),
        (
            Georeference("EPSG:2263", (3.0, 0.0, 1e6, 0.0, -3.0, 2e5)),
            PLANE,
            (3 * 0.3048006) ** 2,
            3 * 0.3048006,
        ),  # feet
        (MERCATOR, ELLIPSOID, 0.25 * 0.2508, 0.5 * 0.5008),  # enlarged by 1 / cos of the latitude on both sides
        (DEGREES, ELLIPSOID, 55.800e-1 * 111.412e-1, float("nan")),  # lengths of degrees at 60 degrees, in tables
        (Georeference("My grid", UTM.transform), "", 0, 0),
        (Georeference("EPSG:4326", (1.0, 0.0, 500.0, 0.0, -1.0, 900.0)), "", 0, 0),
    ],
)
def test_pixels_on_the_ground(place: Georeference, how: str, area: float, side: float) -> None:
    found = ground(place, (4, 6))
    if not how:
        assert found is None
        return
    assert found is not None
    assert found.measured == how
    assert found.rows == pytest.approx(area, rel=2e-3)
    assert found.side == pytest.approx(side, rel=2e-3, nan_ok=True)


def test_tables_have_areas_from_the_place(out: Path) -> None:
    first, degrees, mercator, turned, nowhere, total = table(out / "areas.csv")
    assert (first["sand area m2"], first["sand area ha"]) == ("3", "0.0003")
    assert float(mercator["sand area m2"]) == pytest.approx(3 * 0.2508, rel=2e-3)
    assert float(degrees["sand area m2"]) == pytest.approx(12 * 62.168, rel=2e-3)
    assert (turned["sand area m2"], nowhere["sand area m2"], total["sand area m2"]) == ("3", "", "")
    rows = table(out / "objects.csv")
    assert [row["area m2"] for row in rows[:4]] == ["3", "0.5", "2", "0.25"]
    assert rows[3]["perimeter m"] == f"{4 * 0.5**0.5 / 2:.6g}"
    assert rows[4]["perimeter m"] == "" != rows[4]["area m2"]
    assert json.loads((out / "unseg.json").read_text())["areas_on"] == {"plane": 2, "ellipsoid": 2}


def test_a_given_size_comes_first(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    seg = segmentation(tmp_path / "seg.h5", [MAP], ["p.tif"], clusters=3, places=[UTM])
    with caplog.at_level("INFO", "unseg"):
        made = export(seg, tmp_path / "out", Export(to=("csv", "gpkg", "geotiff"), pixel_size="2m"), workers=1).path
    assert "as uint8 GeoTIFF on the grid" in caplog.text
    assert table(made / "areas.csv")[0]["cluster 0 area m2"] == "48"
    assert rows_of(made / "classes.gpkg", "classes")[2]["area_m2"].tolist() == [48, 8, 32, 4]
    assert "areas in m2" not in caplog.text


# ---------------------------------------------------------------------------------------- what cannot be done


def test_what_is_missing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    seg = segmentation(tmp_path / "seg.h5", [MAP], ["p.tif"], clusters=3, places=[UTM])
    bare = segmentation(tmp_path / "bare.h5", [MAP], ["p.tif"], clusters=3)
    for path, settings, message in (
        (seg, {"to": ("tiff", "geotiff")}, "both would be NAME.tif"),
        (seg, {"to": ("stac", "csv")}, "--to stac: describes other files of an image: add geotiff or"),
        (bare, {"to": ("gpkg",)}, "--to gpkg: no image of .* has a known place on a map"),
        (bare, {"to": ("stac", "png")}, "--to stac: no image of .* has a known place"),
        (bare, {"to": ("geojson",), "coordinates": "map"}, "--coordinates map: no image of .* has a known place"),
        (seg, {"to": ("png",), "coordinates": "map"}, "--coordinates: changes nothing in png; add geojson to --to"),
    ):
        with pytest.raises(ConfigError, match=message):
            export(path, tmp_path / "out", Export(**settings), workers=1)
    for name in geo_files.PACKAGES:
        monkeypatch.setitem(sys.modules, name, None)
    geo_files._module.cache_clear()
    for format_ in ("geotiff", "gpkg", "stac,geotiff", "geojson"):
        with pytest.raises(
            ConfigError, match=r"needs rasterio and pyogrio: pip install '\.\[geo\]' in your copy of unseg"
        ):
            export(seg, tmp_path / "out", Export(to=tuple(format_.split(","))), workers=1)
    made = export(seg, tmp_path / "out", Export(to=("csv", "png", "geojson"), coordinates="pixels"), workers=1).path
    assert "areas in m2 need --pixel-size, or rasterio" in caplog.text
    assert "cluster 0 area m2" not in table(made / "areas.csv")[0]
    assert (made / "p.png.aux.xml").is_file()
