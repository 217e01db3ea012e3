"""`unseg export` of segmentations: label maps with their palette, tables, objects and outlines, by hand."""

from __future__ import annotations

import csv
import errno
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import yaml
from called import cluster, export, relabel
from PIL import Image
from skimage.measure import points_in_poly
from stages.test_visualize_stage import files_of, segmentation
from tiny_model import write_method, write_model
from typed import one_line, unseg

from unsegcli import store
from unsegcli.errors import ArtifactError, ConfigError
from unsegcli.images.decode import read_header, read_index
from unsegcli.images.georeference import Georeference, written_tags
from unsegcli.params import Cluster, Export
from unsegcli.views.export import encoded
from unsegcli.views.export_folder import coded

# Four by six pixels: a block of 1 with a hole of 2, a second part of 1, and void at the end.
MAP = np.array(
    [[0, 0, 0, 0, 0, 1], [0, 1, 1, 1, 0, 1], [0, 1, 2, 1, 0, 0], [0, 1, 1, 1, 0, 255]],
    np.uint8,
)  # fmt: skip
NAMES = ("sand", "house", "=door")
WKT = (
    'PROJCS["grid",GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563]],PRIMEM["Greenwich",0],'
    'UNIT["degree",0.0174532925199433]],PROJECTION["Transverse_Mercator"],PARAMETER["central_meridian",13.37],'
    'PARAMETER["false_easting",500000],UNIT["metre",1]]'
)


@pytest.fixture(scope="module")
def seg(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return segmentation(
        tmp_path_factory.mktemp("maps") / "seg.h5",
        [MAP, MAP[:, ::-1]],
        ["a/p.jpg", "q.jpg"],
        clusters=3,
        categories=NAMES,
    )


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(), newline="")))


def made(path: Path, folder: Path, **settings: Any) -> Path:
    return export(path, folder / "out", Export(**settings), workers=1).path


# ---------------------------------------------------------------------------------------- label maps and their classes


def test_maps_show_the_colours_of_the_list(seg: Path, tmp_path: Path) -> None:
    out = made(seg, tmp_path, to=("png", "tiff", "npy"))
    wanted = [f"{stem}{end}" for stem in ("a/p", "q") for end in (".npy", ".png", ".tif")]
    assert files_of(out) == sorted([*wanted, "classes.csv", "unseg.json"])
    classes = table(out / "classes.csv")
    assert [(row["value"], row["name"]) for row in classes] == [
        ("0", "sand"), ("1", "house"), ("2", "'=door"), ("255", "void"),
    ]  # fmt: skip
    colors = {int(row["value"]): [int(row[part]) for part in ("red", "green", "blue")] for row in classes}
    assert [row["color"] for row in classes] == ["#{:02x}{:02x}{:02x}".format(*colors[value]) for value in colors]
    shown = np.array([[colors[value] for value in row] for row in MAP.tolist()])
    with Image.open(out / "a/p.png") as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(np.asarray(image), MAP)
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), shown)
    with tifffile.TiffFile(out / "a/p.tif") as tiff:
        page = tiff.pages[0]
        np.testing.assert_array_equal(page.asarray(), MAP)
        assert page.photometric.name == "PALETTE"  # type: ignore[union-attr]
        np.testing.assert_array_equal(page.colormap.T[MAP] // 257, shown)  # type: ignore[union-attr]
    assert read_header(out / "a/p.tif").nodata == 255
    np.testing.assert_array_equal(np.load(out / "a/p.npy"), MAP)
    assert len({tuple(color) for color in colors.values()}) == 4


def test_what_is_written_can_be_read_as_label_maps(seg: Path, tmp_path: Path) -> None:
    out = made(seg, tmp_path, to=("png",))
    for name in ("a/p.png", "q.png"):
        assert read_index(out / name).dtype == np.uint8
    again = export(out, tmp_path / "again", Export(to=("png",)), workers=1).path
    np.testing.assert_array_equal(read_index(again / "a/p.png"), MAP)


def test_many_categories_have_a_palette_in_tiff_only(tmp_path: Path) -> None:
    path = segmentation(tmp_path / "a.h5", [np.array([[299, 65535]], np.uint16)], clusters=300)
    out = made(path, tmp_path, to=("png", "tiff"))
    with Image.open(out / "p0.png") as image:
        assert image.mode.startswith("I")
    with tifffile.TiffFile(out / "p0.tif") as tiff:
        page = tiff.pages[0]
        assert (page.photometric.name, page.asarray().tolist()) == ("PALETTE", [[299, 65535]])  # type: ignore[union-attr]
    assert [row["value"] for row in table(out / "classes.csv")][-2:] == ["299", "65535"]


def test_values_of_masks(tmp_path: Path) -> None:
    """The values are given; void is the largest number that is free, and the file is grey."""
    path = segmentation(tmp_path / "a.h5", [np.array([[0, 1, 255]], np.uint8)], clusters=2, role="mask")
    out = made(path, tmp_path, to=("png",), values=(0, 255))
    with Image.open(out / "p0.png") as image:
        assert (image.mode, np.asarray(image).tolist()) == ("L", [[0, 255, 254]])
    rows = [(row["value"], row["name"]) for row in table(out / "classes.csv")]
    assert rows == [("0", "background"), ("255", "object"), ("254", "void")]
    with pytest.raises(ConfigError, match="3 values for 2 categories: background, object"):
        made(path, tmp_path, to=("png",), values=(0, 1, 2))


def test_masks_of_other_tools(tmp_path: Path) -> None:
    """0 and 255 are background and object, as 0 and 1 are; so is a mask that is all object, or empty."""
    for name, values in (("a", [[0, 255, 0]]), ("b", [[255, 255, 255]]), ("c", [[0, 0, 0]])):
        (tmp_path / "maps").mkdir(exist_ok=True)
        (tmp_path / name).mkdir()
        Image.fromarray(np.array(values, np.uint8)).save(tmp_path / "maps" / f"{name}.png")
        Image.fromarray(np.array(values, np.uint8)).save(tmp_path / name / f"{name}.png")
        out = made(tmp_path / name, tmp_path, to=("png", "csv", "yolo"), role="mask")
        assert [row["name"] for row in table(out / "classes.csv")] == ["background", "object", "void"]
        np.testing.assert_array_equal(read_index(out / f"{name}.png"), np.array(values) // 255)
    out = made(tmp_path / "maps", tmp_path, to=("png", "csv"), role="mask", values=(0, 255))
    assert read_index(out / "a.png").tolist() == [[0, 255, 0]]
    assert table(out / "areas.csv")[-1]["object pixels"] == "4"


def test_only_numbers_that_maps_have_are_classes(tmp_path: Path) -> None:
    """The numbers of other tools may have gaps; they are kept, and void is a free one."""
    (tmp_path / "maps").mkdir()
    Image.fromarray(np.array([[112, 255, 111]], np.uint8)).save(tmp_path / "maps" / "a.png")
    out = made(tmp_path / "maps", tmp_path, to=("png", "csv", "coco"), objects=True)
    assert read_index(out / "a.png").tolist() == [[112, 255, 111]]
    rows = [(row["value"], row["name"], row["coco"]) for row in table(out / "classes.csv")]
    assert rows == [
        ("111", "cluster 111", "1"), ("112", "cluster 112", "2"), ("255", "cluster 255", "3"), ("254", "void", ""),
    ]  # fmt: skip
    assert [row["class"] for row in table(out / "objects.csv")] == ["cluster 112", "cluster 255", "cluster 111"]
    with pytest.raises(ConfigError, match="2 values for 3 categories: cluster 111, cluster 112, cluster 255"):
        made(tmp_path / "maps", tmp_path, values=(0, 1))


@pytest.mark.parametrize(
    ("values", "format_", "expected"),
    [
        (range(255), "png", ("uint8", 255)),
        (range(256), "png", ("uint16", 65535)),
        ((0, 255), "png", ("uint8", 254)),
        (tuple(range(65536)), "tiff", ("uint32", 4294967295)),
        ((4294967295,), "npy", ("uint32", 4294967294)),
    ],
)
def test_void_is_the_largest_free_number(values: tuple[int, ...], format_: str, expected: tuple[str, int]) -> None:
    assert coded(values, format_) == expected


def test_tiff_keeps_the_place_on_the_map(tmp_path: Path) -> None:
    utm = Georeference("EPSG:32633", (0.5, 0.0, 400000.0, 0.0, -0.25, 5000000.0))
    turned = Georeference("EPSG:4326", (0.0, 0.1, 5.0, 0.1, 0.0, 6.0))
    others = [Georeference(crs, utm.transform) for crs in ("", WKT, "My grid")]
    for number, place in enumerate((utm, turned, *others)):
        path = tmp_path / f"{number}.tif"
        path.write_bytes(encoded(MAP, "tiff", {0: (1, 2, 3)}, place))
        assert read_header(path).place == place
        np.testing.assert_array_equal(read_index(path), MAP)
    assert written_tags(Georeference("EPSG:32633")) == []
    assert 2048 in written_tags(turned)[-1][3]
    assert 3072 in written_tags(utm)[-1][3]
    assert [tag for tag, *_ in written_tags(Georeference("Gitter für Höhen", utm.transform))] == [33550, 33922, 34735]


def test_gdal_reads_wkt_where_the_model_is_user_defined() -> None:
    """Otherwise it takes the text for a name, and the system for a local one: as looked at with gdalinfo."""
    keys, texts = (tag[3] for tag in written_tags(Georeference(WKT, (1, 0, 0, 0, -1, 0)))[-2:])
    rows = [keys[start : start + 4] for start in range(4, len(keys), 4)]
    assert rows == [(1024, 0, 1, 32767), (1025, 0, 1, 1), (3072, 0, 1, 32767), (3073, 34737, len(texts), 0)]
    assert texts == f"ESRI PE String = {WKT}|"


def test_a_scene_gives_its_place_to_its_map(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    transform = (0.5, 0.0, 400000.0, 0.0, -0.25, 5000000.0)
    places = [Georeference(crs, transform) for crs in ("EPSG:32633", "", WKT)]
    (tmp_path / "images").mkdir()
    for name, place in zip("abc", places, strict=True):
        (tmp_path / "images" / f"{name}.tif").write_bytes(encoded(np.eye(16, dtype=np.uint8), "tiff", None, place))
    seg = cluster([tmp_path / "images"], tmp_path / "seg.h5", Cluster(features="bands", classes=2), workers=1).path
    out = made(seg, tmp_path, to=("tiff",))
    assert [read_header(out / f"{name}.tif").place for name in "abc"] == places
    assert "1 image with a coordinate system that has neither an EPSG number" in caplog.text


# ---------------------------------------------------------------------------------------- tables


def test_areas_have_a_total_real_units_and_numbers_of_objects(seg: Path, tmp_path: Path) -> None:
    out = made(seg, tmp_path, to=("csv",), pixel_size="10m", objects=True)
    first, second, total = table(out / "areas.csv")
    assert [first["name"], first["height"], first["width"], total["name"]] == ["a/p.jpg", "4", "6", "total"]
    assert (first["house pixels"], first["house area m2"], first["house area ha"], first["house objects"]) == (
        "10", "1000", "0.1", "2",
    )  # fmt: skip
    assert (first["void pixels"], first["sand objects"]) == ("1", "1")
    assert total["house pixels"] == "20"
    assert total["house share"] == f"{20 / 48:.6f}"
    assert (total["house objects"], total["house area ha"]) == ("4", "0.2")
    assert second["'=door pixels" if "'=door pixels" in second else "=door pixels"] == "1"


def test_areas_of_large_images_are_plain_numbers_that_add_up(tmp_path: Path) -> None:
    values = np.zeros((1500, 1234), np.uint8)
    values[:3] = 1
    np.save(tmp_path / "p.npy", values)
    out = made(tmp_path / "p.npy", tmp_path, to=("csv", "geojson"), pixel_size="30.5m", objects=True)
    row, objects = table(out / "areas.csv")[0], table(out / "objects.csv")
    both = [row[f"cluster {number} area m2"] for number in (0, 1)]
    assert both == ["1718448964.5", "3443785.5"] == [one["area m2"] for one in reversed(objects)]
    assert [row[f"cluster {number} area ha"] for number in (0, 1)] == ["171844.89645", "344.37855"]
    drawn = json.loads((out / "p.geojson").read_text())["features"]
    assert [one["properties"]["measurements"]["area m2"] for one in drawn] == [3443785.5, 1718448964.5]


@pytest.mark.parametrize("wrong", ["m", "0m", "-1m", "x0.3m"])
def test_a_pixel_has_a_size(wrong: str, seg: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--pixel-size .* must be a number above 0"):
        made(seg, tmp_path, pixel_size=wrong)


def test_objects_by_hand(tmp_path: Path) -> None:
    """A folder of maps, with its images for the means."""
    for name, values in (("maps", MAP), ("images", np.stack([MAP * 0 + 7, np.arange(24).reshape(4, 6)], axis=2))):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "p.npy", np.where(values == 255, 3, values).astype(np.uint8))
    out = export(
        tmp_path / "maps", tmp_path / "out", Export(to=("png",), objects=True, pixel_size="2um"), workers=1,
        images=tmp_path / "images",
    ).path  # fmt: skip
    rows = table(out / "objects.csv")
    assert [(row["object"], row["class"], row["area"], row["area um2"]) for row in rows] == [
        ("1", "cluster 0", "12", "48"), ("2", "cluster 1", "2", "8"), ("3", "cluster 1", "8", "32"),
        ("4", "cluster 2", "1", "4"), ("5", "cluster 3", "1", "4"),
    ]  # fmt: skip
    assert [rows[2][name] for name in ("left", "top", "width", "height", "x", "y")] == [
        "1",
        "1",
        "3",
        "3",
        "2.50",
        "2.50",
    ]
    assert [rows[1][name] for name in ("left", "top", "width", "height", "x", "y")] == [
        "5",
        "0",
        "1",
        "2",
        "5.50",
        "1.00",
    ]
    assert [rows[1][name] for name in ("mean 1", "mean 2")] == ["7", "8"]
    assert rows[3]["perimeter"] == f"{4 * 0.5**0.5:.2f}"
    assert rows[3]["perimeter um"] == f"{8 * 0.5**0.5:.6g}"
    numbered = read_index(out / "objects" / "p.png")
    assert numbered[2].tolist() == [1, 3, 4, 3, 1, 1]
    assert "confidence" not in rows[0]


def test_means_are_in_the_values_of_the_images_and_clusters_say_how_sure_they_are(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    values = np.full((20, 20), 1000, np.uint16)
    values[:, 10:] = 3000
    values[0, 0] = 1010
    tifffile.imwrite(tmp_path / "images" / "p.tif", values)
    seg = cluster([tmp_path / "images"], tmp_path / "seg.h5", Cluster(features="bands", classes=2), workers=1).path
    rows = table(made(seg, tmp_path, to=("csv",), objects=True) / "objects.csv")
    assert [float(row["mean 1"]) for row in rows] == pytest.approx([1000, 3000], abs=8)
    assert all(0.5 < float(row["confidence"]) <= 1 for row in rows)


def test_what_cannot_be_measured_is_said(seg: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    out = made(seg, tmp_path, to=("csv",), objects=True)
    assert "mean 1" not in table(out / "objects.csv")[0]
    assert "no mean of bands for 2 images; set --images" in caplog.text


def test_background_is_no_object(tmp_path: Path) -> None:
    path = segmentation(tmp_path / "a.h5", [np.eye(4, dtype=np.uint8)], clusters=2, role="mask")
    out = made(path, tmp_path, to=("csv", "coco", "yolo"), objects=True)
    assert [row["class"] for row in table(out / "objects.csv")] == ["object"] * 4
    rows = [(row["name"], row["coco"], row["yolo"]) for row in table(out / "classes.csv")]
    assert rows == [("background", "", ""), ("object", "1", "0")]


def test_numbers_in_a_mask_are_objects_of_one_class(tmp_path: Path) -> None:
    """As proposals number them; here two touch each other, and stay apart."""
    path = segmentation(tmp_path / "a.h5", [np.array([[0, 1, 2, 0, 3, 255]], np.uint8)], clusters=4, role="proposal")
    out = made(path, tmp_path, to=("png", "csv", "coco"), objects=True, values=(0, 255))
    assert read_index(out / "p0.png").tolist() == [[0, 255, 255, 0, 255, 254]]
    assert [(row["value"], row["name"], row["coco"]) for row in table(out / "classes.csv")][:2] == [
        ("0", "background", ""), ("255", "object", "1"),
    ]  # fmt: skip
    assert read_index(out / "objects" / "p0.png").tolist() == [[0, 1, 2, 0, 3, 0]]
    areas = table(out / "areas.csv")[0]
    assert (areas["object pixels"], areas["object objects"], areas["background pixels"]) == ("3", "3", "2")
    assert [one["name"] for one in json.loads((out / "coco.json").read_text())["categories"]] == ["object"]
    plain = export(path, tmp_path / "plain", Export(to=("png",)), workers=1).path
    assert read_index(plain / "p0.png").tolist() == [[0, 1, 2, 0, 3, 255]]
    assert [row["name"] for row in table(plain / "classes.csv")] == [
        "background", "object 1", "object 2", "object 3", "void",
    ]  # fmt: skip


def test_a_sieve_changes_everything_that_is_written(seg: Path, tmp_path: Path) -> None:
    out = made(seg, tmp_path, to=("png", "csv"), sieve=3, objects=True)
    expected = MAP.copy()
    expected[2, 2], expected[:2, 5] = 1, 0
    np.testing.assert_array_equal(read_index(out / "a/p.png"), expected)
    assert table(out / "areas.csv")[0]["house pixels"] == "9"
    assert [row["area"] for row in table(out / "objects.csv")[:2]] == ["14", "9"]


# ---------------------------------------------------------------------------------------- outlines


def rings_area(rings: list[list[list[float]]]) -> float:
    total = 0.0
    for ring in rings:
        assert ring[0] == ring[-1]
        x, y = np.array(ring).T
        total += float((x[:-1] * y[1:] - x[1:] * y[:-1]).sum()) / 2
    return total


def test_geojson_by_hand(seg: Path, tmp_path: Path) -> None:
    out = made(seg, tmp_path, to=("geojson",), simplify=0)
    found = json.loads((out / "a/p.geojson").read_text())
    names = [one["properties"]["classification"]["name"] for one in found["features"]]
    assert (found["type"], names) == ("FeatureCollection", list(NAMES))
    areas = [sum(map(rings_area, one["geometry"]["coordinates"])) for one in found["features"]]
    assert areas == [12, 10, 1]
    door = found["features"][2]["geometry"]
    assert door == {"type": "MultiPolygon", "coordinates": [[[[2, 2], [3, 2], [3, 3], [2, 3], [2, 2]]]]}
    color = found["features"][0]["properties"]["classification"]["color"]
    assert [str(part) for part in color] == [table(out / "classes.csv")[0][part] for part in ("red", "green", "blue")]


def test_geojson_of_objects_has_measurements(seg: Path, tmp_path: Path) -> None:
    out = made(seg, tmp_path, to=("geojson",), objects=True, pixel_size="0.5um")
    found = json.loads((out / "q.geojson").read_text())["features"]
    assert [one["geometry"]["type"] for one in found] == ["Polygon"] * 4
    assert sorted(one["properties"]["measurements"]["area"] for one in found) == [1, 2, 8, 12]
    assert sorted(one["properties"]["measurements"]["area um2"] for one in found) == [0.25, 0.5, 2, 3]
    assert {one["properties"]["objectType"] for one in found} == {"annotation"}


def test_outlines_of_any_map_add_up_to_the_image(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    values = random.integers(0, 3, (12, 15)).astype(np.uint8).repeat(4, axis=0).repeat(4, axis=1)
    speckled = random.random(values.shape) < 0.05
    values[speckled] = random.integers(0, 3, int(speckled.sum()))
    out = made(segmentation(tmp_path / "a.h5", [values], clusters=3), tmp_path, to=("geojson",))
    found = json.loads((out / "p0.geojson").read_text())["features"]
    assert sum(rings_area(rings) for one in found for rings in one["geometry"]["coordinates"]) == values.size


def test_yolo_by_hand(tmp_path: Path) -> None:
    values = np.array([[0, 0, 1, 1], [0, 0, 1, 1]], np.uint8)
    path = segmentation(tmp_path / "a.h5", [values], ["sub/p.jpg"], clusters=2, categories=["a: b", "c"])
    out = made(path, tmp_path, to=("yolo",))
    lines = (out / "labels/sub/p.txt").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["0", "1"]
    points = np.array(lines[1].split()[1:], float).reshape(-1, 2)
    assert sorted(map(tuple, points.tolist())) == [(0.5, 0), (0.5, 1), (1, 0), (1, 1)]
    assert yaml.safe_load((out / "data.yaml").read_text()) == {
        "path": ".", "train": "images", "val": "images", "names": {0: "a: b", 1: "c"},
    }  # fmt: skip


def test_a_parser_of_yolo_gives_the_map_back(seg: Path, tmp_path: Path) -> None:
    """As the format is documented: in each line a class and at least three points, all from 0 to 1."""
    out = made(seg, tmp_path, to=("yolo",), simplify=0)
    for name, values in (("a/p", MAP), ("q", MAP[:, ::-1])):
        height, width = values.shape
        centres = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=2).reshape(-1, 2) + 0.5
        painted = np.full(values.size, 255, np.uint8)
        for line in (out / f"labels/{name}.txt").read_text().splitlines():
            class_, *numbers = line.split()
            points = np.array(numbers, float).reshape(-1, 2)
            assert len(points) >= 3
            assert 0 <= points.min() <= points.max() <= 1
            inside = points_in_poly(centres, points * (width, height))
            assert (painted[inside] == 255).all()
            painted[inside] = int(class_)
        np.testing.assert_array_equal(painted.reshape(values.shape), values)


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
def test_pycocotools_reads_masks_and_polygons(seg: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    out = made(seg, tmp_path, to=("coco",), simplify=0)
    for name in ("coco.json", "coco-polygons.json"):
        data = coco.COCO(str(out / name))
        assert [one["name"] for one in data.loadCats(data.getCatIds())] == list(NAMES)
        assert [one["file_name"] for one in data.loadImgs(data.getImgIds())] == ["a/p.jpg", "q.jpg"]
        for image, values in ((1, MAP), (2, MAP[:, ::-1])):
            painted = np.full(MAP.shape, 255, np.uint8)
            for one in data.loadAnns(data.getAnnIds(imgIds=[image])):
                mask = data.annToMask(one) == 1
                assert one["area"] == mask.sum()
                left, top, width, height = one["bbox"]
                rows, columns = np.nonzero(mask)
                assert (columns.min(), rows.min()) == (left, top)
                assert (np.ptp(columns) + 1, np.ptp(rows) + 1) == (width, height)
                assert (painted[mask] == 255).all()
                painted[mask] = one["category_id"] - 1
            np.testing.assert_array_equal(painted, values)
    capsys.readouterr()


# ---------------------------------------------------------------------------------------- as typed


def test_without_an_argument_the_last_of_a_chain_is_taken(
    seg: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("seg.h5").write_bytes(seg.read_bytes())
    relabel("seg.h5", ["0=water", "1+2=land"], "named.h5")
    result = unseg("export", "--workers", "1")
    assert result.stdout == "export\n"
    assert "using named.h5" in " ".join(result.stderr.split())
    assert files_of(Path("export")) == ["a/p.png", "areas.csv", "classes.csv", "q.png", "unseg.json"]
    assert {row["name"] for row in table(Path("export/classes.csv"))} == {"water", "land", "void"}
    assert "up to date" in unseg("export", "--workers", "1").stderr
    assert "must be different whole numbers" in one_line(unseg("export", "--values", "0,x", expect=2))
    assert "--to pdf: is not one of png, tiff" in one_line(unseg("export", "--to", "pdf", expect=2))
    assert unseg("export", "--to", "npy", "--to", "csv,png", "-o", "several").stdout == "several\n"
    assert json.loads(Path("several/unseg.json").read_text())["formats"] == ["npy", "csv", "png"]
    assert "--to is for a segmentation, but m.h5 is a model" in one_line(
        unseg("export", write_model(Path("m.h5"), write_method(Path("mine.py"))), "--to", "png", expect=2)
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--to", "png", "--pixel-size", "1m"],
            "--pixel-size: changes nothing in png; add csv or gpkg to --to, or ",
        ),
        (
            ["--to", "csv", "--values", "0,1,2"],
            "changes nothing in csv; add png or tiff or geotiff or npy to --to",
        ),
        (["--simplify", "0"], "--simplify: changes nothing in png, csv; add coco or yolo or geojson or gpkg to --to"),
        (["--method", "iic"], "--method is for a model"),
        (["--values", "0,1,70000"], "numbers up to 70,000 do not fit into PNG: use --to tiff or npy"),
        (["--values", "0,1,99999999999", "--to", "tiff"], "do not fit into TIFF: the largest is 4,294,967,295"),
        (["--values", "0,00,1"], "must be different whole numbers"),
        (["tiff", "--to", "png"], "formats are joined by commas: --to png,tiff"),
        (["-o", "out.csv", "--to", "csv"], "the output is a folder: name it out"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_would_change_nothing_is_an_error(
    arguments: list[str], message: str, seg: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in one_line(unseg("export", str(seg), *arguments, expect=2))
    assert not list(tmp_path.iterdir())


def test_a_full_disk_keeps_nothing(seg: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        if path.suffix == ".png":
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(
        ArtifactError, match=r"p\.png: cannot be written \(No space left on device\), so nothing is kept"
    ):
        made(seg, tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_recipe_says_that_labels_named_the_clusters(seg: Path, tmp_path: Path) -> None:
    out = made(seg, tmp_path, to=("csv",))
    about = json.loads((out / "unseg.json").read_text())
    assert (about["kind"], about["labels_used"], about["formats"]) == ("exported files", None, ["csv"])
    with store.open_artifact(seg) as artifact:
        assert about["recipe"]["inputs"] == {"segmentation": artifact.fingerprint}
