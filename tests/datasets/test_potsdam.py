"""Potsdam: tiles of the publishers become the patches of the published preparation."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image
from preparing import prepared
from published_trees import potsdam_files, potsdam_tile, tiff, unpacked, zipped
from scipy.io import loadmat, savemat

from unsegcli.datasets import potsdam
from unsegcli.errors import DataError
from unsegcli.labels import read_labels
from unsegcli.legend import read_legend

PATCHES = 2  # in a row of a tile
SIDE = 16  # of a patch, instead of 200


def make_small(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(potsdam, "PATCH", SIDE)
    patched.setattr(potsdam, "TILE", 2 * PATCHES * SIDE)


@pytest.fixture(scope="module")
def downloaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Potsdam.zip as it is offered, with archives inside, but of small tiles."""
    folder = tmp_path_factory.mktemp("potsdam")
    with pytest.MonkeyPatch.context() as patched:
        make_small(patched)
        images, labels = potsdam_files(labels=38)
    inside = {"Potsdam/4_Ortho_RGBIR.zip": zipped(images), "Potsdam/5_Labels_all.zip": zipped(labels)}
    (folder / "Potsdam.zip").write_bytes(zipped(inside))
    return folder / "Potsdam.zip"


@pytest.fixture(autouse=True)
def _small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    make_small(monkeypatch)


def as_published(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Bilinear interpolation at half the size, pixel by pixel: the middle of a new pixel lies between four old ones."""
    out = np.zeros((pixels.shape[0] // 2, pixels.shape[1] // 2, pixels.shape[2]), np.uint8)
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            y, x = (row + 0.5) * 2 - 0.5, (column + 0.5) * 2 - 0.5
            top, left = int(y), int(x)
            dy, dx = y - top, x - left
            four = pixels[top : top + 2, left : left + 2].astype(float)
            upper = four[0, 0] * (1 - dx) + four[0, 1] * dx
            lower = four[1, 0] * (1 - dx) + four[1, 1] * dx
            out[row, column] = np.floor(upper * (1 - dy) + lower * dy + 0.5)
    return out


def test_patches_are_those_of_the_published_preparation(downloaded: Path, tmp_path: Path) -> None:
    folder = prepared(tmp_path / "out", downloaded, name="potsdam")
    pixels, colors = potsdam_tile("6_7")
    side = 2 * SIDE
    patch = tifffile.imread(folder / "images/labelled/potsdam_6_7_r01_c00.tif")
    assert patch.shape == (SIDE, SIDE, 4)
    np.testing.assert_array_equal(patch, as_published(pixels[side : 2 * side, :side]))
    values = np.asarray(Image.open(folder / "labels/labelled/potsdam_6_7_r01_c00.png"))
    by_color = {bytes.fromhex(one.color[1:]): one.values[0] for one in potsdam.PALETTE}
    for row, column in ((0, 0), (3, 15), (12, 7), (15, 2)):  # the nearest of an even place is the upper left
        assert values[row, column] == by_color[bytes(colors[side + 2 * row, 2 * column])]


def test_counts_splits_and_facts_are_written(downloaded: Path, tmp_path: Path) -> None:
    folder = prepared(tmp_path / "out", downloaded, name="potsdam")
    about = json.loads((folder / "prepared.json").read_text())
    assert about["counts"] == {
        "labelled": {"images": 24 * PATCHES**2, "labels": 24 * PATCHES**2},
        "unlabelled": {"images": 14 * PATCHES**2, "labels": 0},
    }
    assert about["published_counts"]["labelled"] == {"images": 5400, "labels": 5400}
    assert about["published_counts"]["unlabelled"]["images"] == 8550 - 5400
    assert about["read"]["files"] == 38 + 24
    assert len(list(folder.glob("images/*/*.tif"))) == 38 * PATCHES**2


def test_three_classes_are_merged_by_the_legend(downloaded: Path, tmp_path: Path) -> None:
    folder = prepared(tmp_path / "out", downloaded, name="potsdam-3")
    legend = read_legend(folder / "classes.toml")
    assert [one.sources for one in legend.classes] == [(0, 4), (1, 5), (2, 3)]
    label = folder / "labels/labelled/potsdam_2_10_r00_c00.png"
    six = np.asarray(Image.open(label))
    np.testing.assert_array_equal(read_labels(label, legend)[0], np.array([0, 1, 2, 2, 0, 1])[six])


def test_colours_beside_the_palette_are_read_as_the_nearest_or_not_scored() -> None:
    colors = np.array([[[252, 255, 0], [255, 255, 0], [128, 128, 128], [0, 40, 230]]], np.uint8)
    numbers, counts = potsdam.class_numbers(colors)
    assert numbers.tolist() == [[4, 4, 255, 1]]
    assert list(counts.values()) == [2, 1]


def test_an_incomplete_download_names_what_is_missing(tmp_path: Path) -> None:
    images, labels = potsdam_files()
    del images["4_Ortho_RGBIR/top_potsdam_7_13_RGBIR.tif"], labels["top_potsdam_2_11_label.tif"]
    unpacked(images, tmp_path / "in")
    (tmp_path / "in/5_Labels_for_participants.zip").write_bytes(zipped(labels))
    expected = (
        r"top_potsdam_7_13_RGBIR.tif \(of 4_Ortho_RGBIR\); top_potsdam_2_11_label.tif \(of 5_Labels\); --incomplete"
    )
    with pytest.raises(DataError, match=expected):
        prepared(tmp_path / "out", tmp_path / "in", name="potsdam")
    assert not (tmp_path / "out").exists()


def test_a_tile_of_another_size_is_named(tmp_path: Path) -> None:
    images, labels = potsdam_files()
    images["4_Ortho_RGBIR/top_potsdam_3_10_RGBIR.tif"] = tiff(np.zeros((80, 80, 4), np.uint8))
    unpacked({**images, **labels}, tmp_path / "in")
    with pytest.raises(DataError, match=r"top_potsdam_3_10_RGBIR.tif is 80 x 80 x 4 of uint8, but 64 x 64 x 4"):
        prepared(tmp_path / "out", tmp_path / "in", name="potsdam")


def test_an_archive_that_is_missing_as_a_whole_is_named(tmp_path: Path) -> None:
    images, labels = potsdam_files()
    (tmp_path / "4_Ortho_RGBIR.zip").write_bytes(zipped(images))
    with pytest.raises(DataError, match=r"incomplete: 5_Labels_for_participants\.zip with the labels of 24"):
        prepared(tmp_path / "out", tmp_path / "4_Ortho_RGBIR.zip", name="potsdam")
    (tmp_path / "5_Labels_all.zip").write_bytes(zipped(labels))
    with pytest.raises(DataError, match=r"incomplete: 4_Ortho_RGBIR\.zip with 38 tiles"):
        prepared(tmp_path / "out", tmp_path / "5_Labels_all.zip", name="potsdam")


def matlab(**values: NDArray[Any]) -> bytes:
    out = io.BytesIO()
    savemat(out, values)
    return out.getvalue()


def made_by_iic(numbers: Mapping[str, Sequence[int]]) -> dict[str, bytes]:
    """Potsdam.tar.gz: patches with random numbers as names, and lists."""
    random = np.random.default_rng(0)
    files = {f"Potsdam/{name}": "".join(f"{one}\n" for one in ids).encode() for name, ids in numbers.items()}
    for number in (one for ids in numbers.values() for one in ids):
        files[f"Potsdam/imgs/{number}.mat"] = matlab(img=random.integers(0, 256, (SIDE, SIDE, 4), np.uint8))
    for number in (one for name, ids in numbers.items() if name != "unlabelled_train.txt" for one in ids):
        files[f"Potsdam/gt/{number}.mat"] = matlab(gt=random.integers(0, 6, (SIDE, SIDE), np.int32))
    return files


def test_the_patches_of_the_authors_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = {"labelled_train.txt": [7, 3], "labelled_test.txt": [5], "unlabelled_train.txt": [1]}
    monkeypatch.setattr(potsdam, "MADE_LISTS", {name: len(ids) for name, ids in numbers.items()})
    files = made_by_iic(numbers)
    folder = prepared(tmp_path / "out", unpacked(files, tmp_path / "in"), name="potsdam")
    names = sorted(one.relative_to(folder).as_posix() for one in folder.rglob("*") if one.suffix in (".tif", ".png"))
    labelled = [f"{kind}/labelled/{n}.{end}" for kind, end in (("images", "tif"), ("labels", "png")) for n in (3, 5, 7)]
    assert names == sorted([*labelled, "images/unlabelled/1.tif"])
    pixels = loadmat(io.BytesIO(files["Potsdam/imgs/5.mat"]))["img"]
    np.testing.assert_array_equal(tifffile.imread(folder / "images/labelled/5.tif"), pixels)
    values = loadmat(io.BytesIO(files["Potsdam/gt/5.mat"]))["gt"]
    np.testing.assert_array_equal(read_labels(folder / "labels/labelled/5.png")[0], values)
    (tmp_path / "in/Potsdam/gt/3.mat").unlink()
    (tmp_path / "in/Potsdam/labelled_test.txt").unlink()
    with pytest.raises(DataError, match=r"gt/3\.mat; labelled_test\.txt has 0 of 1 names"):
        prepared(tmp_path / "again", tmp_path / "in", name="potsdam")
