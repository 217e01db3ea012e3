"""Where GeoTIFFs lie on the map, by tags written by hand, from the file to the artifact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from toy import write_images
from typed import unseg

from unsegcli import store
from unsegcli.dataflow.dataset import stored_sources
from unsegcli.images.decode import orient, read_header
from unsegcli.images.georeference import Georeference, chained, georeference, stored_place

UTM = ((1024, 1), (1025, 1), (3072, 32633))
NORTH_UP = {33550: (0.5, 0.25, 0.0), 33922: (0.0, 0.0, 0.0, 400000.0, 5000000.0, 0.0)}
PLACED = (0.5, 0, 400000, 0, -0.25, 5000000)
HALF_A_PIXEL_UP_AND_LEFT = (0.5, 0, 399999.75, 0, -0.25, 5000000.125)


def tags(keys: tuple[tuple[int, int | str], ...], place: dict[int, tuple[float, ...]] = NORTH_UP) -> dict[int, Any]:
    """Tags of a GeoTIFF with these keys; texts are put into their own tag."""
    texts, rows = "", []
    for key, value in keys:
        if isinstance(value, str):
            rows += [key, 34737, len(value) + 1, len(texts)]
            texts += f"{value}|"
        else:
            rows += [key, 0, 1, value]
    return {**place, 34735: (1, 1, 0, len(keys), *rows), **({34737: texts} if texts else {})}


def write(path: Path, found: dict[int, Any], pixels: np.ndarray | None = None) -> Path:
    sorts = {274: "H", 33550: "d", 33922: "d", 34264: "d", 34735: "H"}
    extra = [(tag, sorts.get(tag, "s"), 0 if tag == 34737 else len(value), value, True) for tag, value in found.items()]
    image = np.arange(12, dtype=np.uint8).reshape(3, 4) if pixels is None else pixels
    tifffile.imwrite(path, image, photometric="minisblack", extratags=extra)
    return path


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (tags(UTM), Georeference("EPSG:32633", PLACED)),
        (tags(((1024, 2), (1025, 1), (2048, 4326))), Georeference("EPSG:4326", PLACED)),
        (tags(((1024, 1), (1025, 2), (3072, 32633))), Georeference("EPSG:32633", HALF_A_PIXEL_UP_AND_LEFT)),
        (tags(((1024, 1), (2048, 4326), (3072, 32767), (3073, "My grid"))), Georeference("My grid", PLACED)),
        (tags(((1024, 1), (1026, "by hand"), (3072, 32767))), Georeference("by hand", PLACED)),
        (
            tags(((1024, 1), (3072, 32767), (3073, 'ESRI PE String = PROJCS["x"]'))),
            Georeference('PROJCS["x"]', PLACED),
        ),
        (tags(((1024, 1), (2048, 4326), (3072, 32767))), Georeference("", PLACED)),
        (tags(UTM, {}), Georeference("EPSG:32633", ())),
        (NORTH_UP, Georeference("", PLACED)),
        ({}, Georeference()),
    ],
    ids=["projected", "geographic", "point", "named", "cited", "wkt", "unnamed", "no place", "no system", "none"],
)  # fmt: skip
def test_tags(found: dict[int, Any], wanted: Georeference, tmp_path: Path) -> None:
    assert read_header(write(tmp_path / "a.tif", found)).place == wanted


def test_a_tiepoint_inside_the_image_and_a_matrix_say_the_same() -> None:
    inside = {33550: (2.0, 3.0, 0.0), 33922: (5.0, 7.0, 0.0, 110.0, 79.0, 0.0)}
    matrix = {34264: (2.0, 0.0, 0.0, 100.0, 0.0, -3.0, 0.0, 100.0, *(0.0,) * 7, 1.0)}
    assert georeference(inside, 3, 4, 1) == georeference(matrix, 3, 4, 1) == Georeference("", (2, 0, 100, 0, -3, 100))


def test_a_turned_grid_by_its_matrix() -> None:
    matrix = {34264: (1.0, 2.0, 0.0, 10.0, 3.0, 4.0, 0.0, 20.0, *(0.0,) * 7, 1.0)}
    assert georeference(matrix, 3, 4, 1).transform == (1, 2, 10, 3, 4, 20)


@pytest.mark.parametrize(
    "place",
    [
        {33550: (0.0, 1.0, 0.0), 33922: (0.0,) * 6}, {33550: (1.0, 1.0, 0.0)}, {33922: (0.0,) * 24},
        {33550: (np.nan, 1.0, 0.0), 33922: (0.0,) * 6}, {34264: (1.0,) * 16}, {34264: (1.0, 2.0)}, {34264: b"matrix"},
        {34735: (1, 1, 0, 1, 3072)}, {34735: "keys"}, {34735: (1, 1, 0, 1, 3072, 34736, 1, 0)},
    ],
)  # fmt: skip
def test_tags_that_make_no_sense_are_ignored(place: dict[int, Any]) -> None:
    assert georeference(place, 3, 4, 1) == Georeference()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_place_is_that_of_the_image_as_shown(orientation: int, tmp_path: Path) -> None:
    """Every pixel as shown lies where the same pixel lies in the image as stored."""
    rows, columns = np.mgrid[0:3, 0:4]
    shown = orient(np.stack([columns, rows], axis=2), orientation)
    header = read_header(write(tmp_path / "a.tif", {274: (orientation,), **tags(UTM)}))
    a, b, c, d, e, f = header.place.transform
    assert header.oriented == shown.shape[:2]
    for row in range(shown.shape[0]):
        for column in range(shown.shape[1]):
            x, y = shown[row, column]
            wanted = (400000 + 0.5 * (x + 0.5), 5000000 - 0.25 * (y + 0.5))
            found = (a * (column + 0.5) + b * (row + 0.5) + c, d * (column + 0.5) + e * (row + 0.5) + f)
            assert found == pytest.approx(wanted, abs=1e-6)


def test_maps_are_chained_from_the_inner_one() -> None:
    assert chained((2, 0, 1, 0, 2, 1), (1, 0, 10, 0, 1, 20)) == (2, 0, 21, 0, 2, 41)
    assert stored_place(3, 4, 6) == (0, 1, 0, -1, 0, 3)


def test_pages_of_their_own_have_no_place(tmp_path: Path) -> None:
    stack = np.zeros((2, 3, 4), np.uint8)
    assert read_header(write(tmp_path / "a.tif", tags(UTM), stack)).place == Georeference()


def test_places_go_from_the_images_to_every_artifact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Size, bands and windows leave them as they are, since they are about the source's own grid."""
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 255, (16, 20), np.uint8)
    Path("images").mkdir()
    write(Path("images/a.tif"), tags(UTM), pixels)
    write(Path("images/b.tif"), {}, pixels[::-1])
    unseg("superpixels", "images", "--segments", "4", "--size", "8", "--patch", "6", "--workers", "1")
    unseg("cluster", "superpixels.h5", "--classes", "2", "--workers", "1")
    unseg("relabel", "segmentation.h5", "0=a", "1=b", "-o", "named.h5")
    for name in ("superpixels.h5", "segmentation.h5", "named.h5"):
        with store.open_artifact(name) as artifact:
            assert artifact.table("sources/crs") == ["EPSG:32633", ""]
            first, second = artifact.table("sources/transform")
            assert first.tolist() == list(PLACED)
            assert np.isnan(second).all()
            assert [source.place for source in stored_sources(artifact)] == [
                Georeference("EPSG:32633", PLACED),
                Georeference(),
            ]
            assert store.problems_of(artifact) == []


def test_images_without_a_place_have_no_such_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_images(Path("images"), 2, 16, 16)
    unseg("superpixels", "images", "--segments", "4", "--workers", "1")
    with store.open_artifact("superpixels.h5") as artifact:
        assert not artifact.has("sources/crs")
        assert not artifact.has("sources/transform")
