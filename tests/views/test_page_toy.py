"""A page of two small images whose areas, neighbours, certainties and crops are worked out by hand.

Both have 12 x 12 pixels, so a cell has one pixel, and a crop shows 4 x 4 of them. The left half of the first image is
cluster 0, the right half cluster 1. In the second image rows 0 to 2 are cluster 1, the rest is cluster 2, but row 11
is void.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from called import visualize
from numpy.typing import NDArray
from page_files import decoded, page_data, page_maps, shown
from PIL import Image

from unsegcli import store
from unsegcli.images.working import Reading

SIDE, VOID = 12, 255
READING = Reading("auto", (), "none", 3, "bytes", None, (1.0, 99.0), "folder", (), 1.0, 200_000_000)


def maps() -> list[NDArray[np.uint8]]:
    first, second = np.zeros((2, SIDE, SIDE), np.uint8)
    first[:, 6:] = 1
    second[:3], second[3:], second[11] = 1, 2, VOID
    return [first, second]


def distances() -> list[NDArray[np.uint8]]:
    """Half as far from the own centre as from the second; a tenth in rows 8 to 11 of cluster 0, and in cluster 2."""
    first, second = np.zeros((2, SIDE, SIDE, 2), np.uint8)
    first[:] = 50, 100
    first[8:, :6] = 10, 100
    second[:] = 100, 200
    second[3:] = 20, 200
    second[11] = VOID
    return [first, second]


def image(number: int) -> NDArray[np.uint8]:
    pixels = np.zeros((SIDE, SIDE, 3), np.uint8)
    pixels[:, :6], pixels[:, 6:] = (200, 40, 40), (40, 60 + number, 200)
    return pixels


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("toy")
    files = [home / "a.png", home / "b.png"]
    for number, path in enumerate(files):
        Image.fromarray(image(number)).save(path)
    tables: dict[str, Any] = {
        "sources/name": [path.name for path in files],
        "sources/path": [path.name for path in files],
        "sources/page": np.zeros(2, np.int32),
        "sources/digest": [hashlib.sha256(path.read_bytes()).hexdigest() for path in files],
        "sources/bytes": np.array([path.stat().st_size for path in files]),
        "sources/modified": np.array([path.stat().st_mtime_ns for path in files]),
        "sources/size": np.full((2, 2), SIDE, np.int32),
        "sources/orientation": np.ones(2, np.uint8),
        "sources/bands": np.full(2, 3, np.int32),
        "sources/scaling": np.array([[[0, 255]] * 3] * 2, np.float64),
        "windows/source": np.arange(2, dtype=np.int32),
        "windows/box": np.array([[0, 0, SIDE, SIDE]] * 2, np.int32),
        "windows/grid": np.full((2, 2), SIDE, np.int32),
        "windows/farthest": np.array([1.0, 3.0]),
        "skipped/name": [],
        "skipped/reason": [],
    }
    windows = [
        {"segmentation": store.encode(one), "distances": store.encode(other)}
        for one, other in zip(maps(), distances(), strict=True)
    ]
    recipe = {"stage": "sample", "revision": 1, "parameters": {}, "inputs": {}}
    attributes = {"role": "clusters", "clusters": 4, "reading": READING.to_json()}
    store.write_whole(store.Target(home / "toy.h5", "segmentation", recipe), tables, attributes, {}, windows)
    return visualize(home / "toy.h5", home / "page", workers=1).path


def clusters(page: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = page_data(page)["results"][0]["clusters"]
    return found


def test_areas_and_shares(page: Path) -> None:
    images = page_data(page)["results"][0]["images"]
    assert [one["areas"] for one in images] == [[[0, 72], [1, 72]], [[1, 36], [2, 96]]]
    assert [one["void"] for one in images] == [0, 12]
    assert [one["pixels"] for one in clusters(page)] == [72, 108, 96, 0]
    assert [one["share"] for one in clusters(page)] == pytest.approx([72 / 276, 108 / 276, 96 / 276, 0], abs=1e-5)
    assert [one["images"] for one in clusters(page)] == [1, 2, 1, 0]


def test_neighbours_share_the_border(page: Path) -> None:
    assert [one["neighbours"] for one in clusters(page)] == [[[1, 1.0]], [[0, 0.5], [2, 0.5]], [[1, 1.0]], []]


def test_certainty_is_from_the_distances(page: Path) -> None:
    result = page_data(page)["results"][0]
    doubts = [(48 * 0.5 + 24 * 0.1 + 72 * 0.5) / 144, (36 * 0.5 + 96 * 0.1) / 132]
    assert [one["certainty"] for one in result["images"]] == pytest.approx([1 - doubt for doubt in doubts], abs=1e-5)
    assert "centre" in result["certainty"]


def test_crops_are_the_most_typical_and_the_most_doubtful_places(page: Path) -> None:
    crops = [one["crops"] for one in clusters(page)]
    # Of cluster 0 the first place whose middle, rows 8 and 9, is near the centre; and one whose middle is not. The
    # first of those is shown already, as the second most typical place.
    boxes = [[7, 0, 11, 4], [0, 0, 4, 4]]
    assert crops[0]["typical"][:2] == [{"image": 0, "box": box} for box in boxes]
    assert crops[0]["doubtful"][0] == {"image": 0, "box": [4, 0, 8, 4]}
    # Cluster 1 fills places of the first image, but only three rows of the second; each image comes once first.
    assert crops[1]["typical"][:2] == [{"image": 0, "box": [0, 6, 4, 10]}, {"image": 1, "box": [0, 0, 4, 4]}]
    assert crops[2]["typical"][0] == {"image": 1, "box": [3, 0, 7, 4]}
    assert crops[3] is None


def test_crops_show_the_image_with_the_typical_ones_first(page: Path) -> None:
    crops = clusters(page)[1]["crops"]
    strip = shown(page, crops["file"])
    count = len(crops["typical"]) + len(crops["doubtful"])
    assert strip.shape == (crops["side"], crops["side"] * count, 3)
    red, _, blue = strip[crops["side"] // 2, crops["side"] // 2].astype(int)  # in the right half of the first image
    assert blue > red + 80
    grey = strip[5 * crops["side"] // 6, 11 * crops["side"] // 10].astype(
        int
    )  # cluster 2, below cluster 1 in the second crop, is pale
    assert grey.max() - grey.min() < 30


def test_maps_decode_to_the_numbers(page: Path) -> None:
    for number, values in enumerate(maps()):
        found = page_maps(page, number)
        np.testing.assert_array_equal(decoded(found["results"][0]), np.where(values == VOID, -1, values.astype(int)))
        assert (found["superpixels"], found["truth"]) == (None, None)
