"""Each invariant, broken on purpose, is found by verifying."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from sample_artifacts import Sample, problems, sample

from unsegcli.recipe import canonical
from unsegcli.store import KINDS, ROLES, open_artifact, problems_of
from unsegcli.store.kinds import window_name


def with_window(kind: str, index: int, name: str, values: NDArray[Any], **tables: Any) -> Sample:
    """A sample with one window's dataset replaced, and with the tables of `windows/` given."""
    whole = sample(kind).changed(tables={f"windows/{column}": rows for column, rows in tables.items()})
    whole.windows[index] = {**whole.windows[index], name: values}
    return whole


def with_boxes(boxes: list[list[int]], grids: list[list[int]], sources: list[int]) -> Sample:
    """A segmentation with these windows of two sources; one of which none is given has one that is right."""
    if 0 not in sources and min(sources) > 0:
        boxes, grids, sources = [[0, 0, 4, 6], *boxes], [[4, 6], *grids], [0, *sources]
    if max(sources) == 0:
        boxes, grids, sources = [*boxes, [0, 0, 4, 6]], [*grids, [4, 6]], [*sources, 1]
    whole = sample("segmentation").changed(
        tables={
            "windows/box": np.array(boxes, np.int32),
            "windows/grid": np.array(grids, np.int32),
            "windows/source": np.array(sources, np.int32),
            "windows/confidence": np.zeros(len(boxes), np.float32),
            "windows/farthest": np.zeros(len(boxes)),
        }
    )
    windows = [{"segmentation": np.zeros((max(1, box[2]), max(1, box[3])), np.uint8)} for box in boxes]
    return Sample("segmentation", whole.tables, whole.attributes, windows)


def with_distances(own: int, second: int, labels: int = 0, **tables: Any) -> Sample:
    """A segmentation whose first window has one category and these two distances everywhere."""
    whole = with_window("segmentation", 0, "segmentation", np.full((4, 6), labels, np.uint8), **tables)
    whole.windows[0]["distances"] = np.tile(np.array([own, second], np.uint8), (4, 6, 1))
    return whole


def without(kind: str, name: str) -> Sample:
    whole = sample(kind)
    del whole.tables[name]
    return whole


def halves(values: list[int]) -> NDArray[np.uint16]:
    return np.array([values] * 4, np.uint16)


BROKEN: dict[str, tuple[Sample, str]] = {
    "a gap in the numbering": (
        with_window("superpixels", 1, "superpixels", halves([0, 0, 2, 2])),
        "superpixels/000001 is not numbered from 0 to 1 without gaps",
    ),
    "more superpixels than counted": (
        with_window("superpixels", 1, "superpixels", halves([0, 1, 2, 2])),
        "superpixels/000001 is not numbered from 0 to 1",
    ),
    "fewer superpixels than counted": (
        with_window("superpixels", 2, "superpixels", halves([0, 0, 0, 0])),
        "superpixels/000002 is not numbered from 0 to 1",
    ),
    "a superpixel in two pieces": (
        with_window("superpixels", 1, "superpixels", halves([0, 1, 1, 0])),
        "superpixels/000001 has a superpixel that is not connected",
    ),
    "a superpixel that touches itself at a corner only": (
        with_window("superpixels", 1, "superpixels", np.kron(np.eye(2, dtype=np.uint16), np.ones((2, 2), np.uint16))),
        "superpixels/000001 has a superpixel that is not connected",
    ),
    "a category beyond the clusters": (
        with_window("segmentation", 2, "segmentation", np.full((4, 4), 4, np.uint8)),
        "segmentation/000002 has a category above 3",
    ),
    "a feature that is not finite": (
        with_window("features", 1, "features", np.array([[0, 0, 0, 0, 0], [0, 0, np.nan, 0, 0]], np.float32)),
        "features/000001 has values that are not finite",
    ),
    "a second centre that is nearer than the own one": (
        with_distances(3, 2),
        "distances/000000 has a second centre that is nearer than the own one",
    ),
    "a void pixel with a distance": (
        with_distances(3, 4, labels=255),
        "distances/000000 is not void where the segmentation is void, and only there",
    ),
    "a pixel of a category without a distance": (
        with_distances(255, 255),
        "distances/000000 is not void where the segmentation is void, and only there",
    ),
    "distances of no unit": (
        without("segmentation", "windows/farthest"),
        "distances/000001 cannot be used without windows/farthest",
    ),
    "half a shard": (without("superpixels", "shard/of"), "shard/number is there alone"),
    "a shard beyond the last": (
        sample("features").changed(tables={"shard/number": np.array([6], np.int32)}),
        "shard/number is 6, which is not from 1 to 5",
    ),
    "a shard before the first": (
        sample("segmentation").changed(tables={"shard/number": np.array([0], np.int32)}),
        "shard/number is 0, which is not from 1 to 5",
    ),
    "images that do not add up": (
        sample("metrics").changed(tables={"matrix": np.zeros((2, 3), np.int64)}),
        "per-image does not add up to matrix",
    ),
    "images without names": (without("metrics", "images/name"), "images/name is missing"),
    "scores without names": (without("metrics", "images/score"), "images/score is missing"),
    "pairs that do not add up": (
        sample("metrics").changed(tables={"pairs": np.array([[0, 1, 0, 2, 3]])}),
        "pairs does not add up to matrix",
    ),
    "pairs of no cluster": (
        sample("metrics").changed(tables={"pairs": np.array([[0, 1, 2, 2, 3]])}),
        "pairs does not add up to matrix",
    ),
    "pairs of no image": (
        sample("metrics").changed(tables={"pairs": np.array([[0, 2, 0, 2, 3]])}),
        "pairs has a number below 0, or an image outside 0 to 1",
    ),
    "an unknown role": (
        sample("segmentation").changed(attributes={"role": "opinion"}),
        f"the role 'opinion' is not one of: {', '.join(ROLES)}",
    ),
    "a window beyond the grid": (
        with_boxes([[0, 0, 4, 6], [0, 3, 4, 4]], [[4, 6]] * 2, [0, 1]),
        "window 1 extends beyond its working image",
    ),
    "a window before the grid": (
        with_boxes([[-1, 0, 4, 6], [0, 0, 4, 4]], [[4, 6]] * 2, [0, 1]),
        "window 0 extends beyond its working image",
    ),
    "a column in no window": (
        with_boxes([[0, 0, 4, 6], [0, 0, 4, 5]], [[4, 6]] * 2, [0, 1]),
        "the windows of source 1 do not cover its image exactly",
    ),
    "a row between two windows": (
        with_boxes([[0, 0, 2, 6], [3, 0, 1, 6]], [[4, 6]] * 2, [0, 0]),
        "the windows of source 0 do not cover its image exactly",
    ),
    "a hole in the middle": (
        with_boxes([[0, 0, 2, 3], [0, 3, 2, 3], [2, 0, 2, 3]], [[4, 6]] * 3, [1, 1, 1]),
        "the windows of source 1 do not cover its image exactly",
    ),
    "the same window twice": (
        with_boxes([[0, 0, 4, 6], [0, 0, 4, 6]], [[4, 6]] * 2, [0, 0]),
        "the windows of source 0 do not cover its image exactly",
    ),
    "windows of two grids": (
        with_boxes([[0, 0, 4, 4], [0, 2, 4, 4]], [[4, 6], [4, 8]], [0, 0]),
        "the windows of source 0 do not cover its image exactly",
    ),
    "a window of no source": (
        with_boxes([[0, 0, 4, 6], [0, 0, 4, 6]], [[4, 6]] * 2, [0, 2]),
        "windows/source refers to a source outside 0 to 1",
    ),
    "a tile of no source": (
        sample("superpixels").changed(tables={"members/source": np.array([1, 2], np.int32)}),
        "members/source refers to a source outside 0 to 1",
    ),
    "a source without a window": (
        with_boxes([[0, 0, 4, 6]] * 3, [[4, 6]] * 3, [1, 0, 1]),
        "windows/source does not have the windows of every source, one source after the other",
    ),
    "a window of a source below 0": (
        with_boxes([[0, 0, 4, 6], [0, 0, 4, 6]], [[4, 6]] * 2, [-1, 1]),
        "windows/source refers to a source outside 0 to 1",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_broken_invariant(what: str, tmp_path: Path) -> None:
    broken, message = BROKEN[what]
    assert [problem for problem in problems(broken.write(tmp_path / "a.h5")) if message in problem]


@pytest.mark.parametrize("role", ROLES)
def test_every_role_is_allowed(role: str, tmp_path: Path) -> None:
    assert problems(sample("segmentation").changed(attributes={"role": role}).write(tmp_path / "a.h5")) == []


@pytest.mark.parametrize(("role", "count"), [("mask", 0), ("proposal", 0), ("classes", 1)])
def test_objects_of_masks_have_any_number(role: str, count: int, tmp_path: Path) -> None:
    whole = with_window("segmentation", 2, "segmentation", np.full((4, 4), 200, np.uint8))
    found = problems(whole.changed(attributes={"role": role}).write(tmp_path / "a.h5"))
    assert len([problem for problem in found if "has a category above" in problem]) == count


def test_void_is_no_superpixel_and_no_category(tmp_path: Path) -> None:
    voids = with_window(
        "superpixels", 0, "superpixels", np.full((4, 6), 65535, np.uint16), superpixels=np.array([0, 2, 2], np.int64)
    )
    assert problems(voids.write(tmp_path / "a.h5")) == []
    voids = with_window("segmentation", 0, "segmentation", np.full((4, 6), 255, np.uint8))
    voids.windows[0]["distances"] = np.full((4, 6, 2), 255, np.uint8)
    assert problems(voids.write(tmp_path / "b.h5")) == []


def test_overlapping_windows_are_sound(tmp_path: Path) -> None:
    boxes = [[top, left, 3, 4] for top in (0, 1) for left in (0, 2)]
    assert problems(with_boxes(boxes, [[4, 6]] * 4, [1] * 4).write(tmp_path / "a.h5")) == []


Change = Callable[[h5py.File], object]


def tampered(kind: str, path: Path, change: Change) -> list[str]:
    sample(kind).write(path)
    with h5py.File(path, "r+") as file:
        change(file)
    return problems(path)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("superpixels", "images/000000"),
        ("segmentation", "confidence/000001"),
        ("features", "features/000002"),
        ("segmentation", "centres"),
        ("superpixels", "sources/scaling"),
        ("model", "weights/features.0.bias"),
        ("model", "history/loss"),
        ("metrics", "matrix"),
        ("checkpoint", "state/temperature"),
    ],
)
def test_a_value_changed_with_its_checksum(kind: str, name: str, tmp_path: Path) -> None:
    """HDF5 computes the checksum of a chunk anew when it is written, so only our digests can tell."""

    def change(file: h5py.File) -> None:
        values = file[name][()]
        changed = np.array(values)
        changed.reshape(-1)[0] += 1
        file[name][...] = changed

    found = tampered(kind, tmp_path / "a.h5", change)
    assert found
    assert all("digest differs" in problem or "fingerprint does not match" in problem for problem in found)


def test_a_text_changed(tmp_path: Path) -> None:
    def change(file: h5py.File) -> None:
        file["sources/name"][0] = b"b.png"

    assert tampered("superpixels", tmp_path / "a.h5", change) == ["the fingerprint does not match the content"]


def test_a_hint_may_change(tmp_path: Path) -> None:
    """So that a file whose images were moved can be told where they are now."""

    def change(file: h5py.File) -> None:
        file["sources/path"][0] = b"elsewhere.png"

    assert tampered("superpixels", tmp_path / "a.h5", change) == []


@pytest.mark.parametrize(
    ("name", "value"), [("fingerprint", "0" * 64), ("clusters", 5), ("role", "classes"), ("reading", '{"axes":"cyx"}')]
)
def test_an_attribute_changed(name: str, value: Any, tmp_path: Path) -> None:
    found = tampered("segmentation", tmp_path / "a.h5", lambda file: file.attrs.__setitem__(name, value))
    assert found == ["the fingerprint does not match the content"]


def test_a_weight_that_is_missing_or_surplus(tmp_path: Path) -> None:
    def surplus(file: h5py.File) -> None:
        file["weights/more"] = np.zeros(2)

    assert tampered("model", tmp_path / "a.h5", lambda file: file.__delitem__("weights/mask"))
    assert tampered("model", tmp_path / "b.h5", surplus)


def test_another_recipe(tmp_path: Path) -> None:
    def change(file: h5py.File) -> None:
        file.attrs["recipe"] = canonical({**json.loads(file.attrs["recipe"]), "revision": 7})

    assert tampered("metrics", tmp_path / "a.h5", change) == ["the fingerprint does not match the content"]


def test_a_recipe_that_is_not_canonical(tmp_path: Path) -> None:
    def change(file: h5py.File) -> None:
        file.attrs["recipe"] = json.dumps(json.loads(file.attrs["recipe"]), indent=1)

    assert tampered("metrics", tmp_path / "a.h5", change) == ["the recipe is not in its canonical form"]


def test_missing_digests(tmp_path: Path) -> None:
    found = tampered("superpixels", tmp_path / "a.h5", lambda file: file.__delitem__("digests"))
    assert len(found) == 1
    assert "digests/superpixels is missing" in found[0]


def test_all_problems_are_listed(tmp_path: Path) -> None:
    def change(file: h5py.File) -> None:
        for index in (0, 2):
            file[f"images/{window_name(index)}"][0, 0, 0] += 1

    found = tampered("superpixels", tmp_path / "a.h5", change)
    assert [problem.partition(" ")[0] for problem in found[:2]] == ["images/000000", "images/000002"]


@pytest.mark.parametrize("kind", KINDS)
def test_progress_is_told_for_each_dataset(kind: str, tmp_path: Path) -> None:
    with open_artifact(sample(kind).write(tmp_path / "a.h5")) as artifact:
        expected = sum(artifact.sizes(name)[0] for name in artifact.field_names())
        told: list[int] = []
        assert problems_of(artifact, lambda: told.append(1)) == []
        assert len(told) == expected
