"""`unseg relabel --split`: one cluster becomes several, found in what was clustered; the others stay."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from called import cluster, relabel, superpixels
from conftest import MakeImages
from PIL import Image
from reading_back import maps_of, table_of

from unsegcli import store
from unsegcli.core.palette import confusable
from unsegcli.errors import ConfigError, DataError, UnsegError
from unsegcli.params import Cluster, Relabel, Superpixels
from unsegcli.segmenters.behind import find_behind
from unsegcli.store.kinds import UNKNOWN_DISTANCE

FOUR = Cluster(classes=4)
BANDS = Cluster(classes=4, features="bands", blur=1)
QUADRANTS = np.repeat(np.repeat(np.array([[0, 1], [2, 3]]), 24, axis=0), 32, axis=1)


@pytest.fixture
def data(make_images: MakeImages, tmp_path: Path) -> Path:
    make_images("data/images")
    return tmp_path / "data"


@pytest.fixture
def sp(data: Path, tmp_path: Path) -> Path:
    return superpixels([data], tmp_path / "sp.h5", Superpixels(pixels_per_segment=100), workers=1).path


@pytest.fixture
def mixed(sp: Path, tmp_path: Path) -> Path:
    """Clusters of superpixels, of which the two on the left are merged: mixed (0), cluster 1 and cluster 2."""
    seg = cluster([sp], tmp_path / "seg.h5", FOUR, workers=1).path
    return relabel(seg, ["0+2=mixed"], tmp_path / "mixed.h5").path


def agreement(path: Path) -> float:
    """Share of the pixels on the left in the commonest pairing of each category with a quadrant."""
    found = np.stack(maps_of(path))[:, :, :32]
    counts = np.zeros((256, 4))
    np.add.at(counts, (found.ravel(), np.broadcast_to(QUADRANTS[:, :32], found.shape).ravel()), 1)
    return float(counts.max(axis=1).sum() / found.size)


def problems(path: Path) -> list[str]:
    with store.open_artifact(path) as artifact:
        return store.problems_of(artifact)


def test_a_mixed_cluster_is_divided_and_the_others_stay(mixed: Path, tmp_path: Path) -> None:
    assert agreement(mixed) == 0.5
    path = relabel(mixed, [], tmp_path / "split.h5", split="Mixed", into=2).path
    assert agreement(path) > 0.97
    assert problems(path) == []
    assert table_of(path, "categories/name") == ["mixed 1", "cluster 1", "cluster 2 (was 3)", "mixed 2"]
    colors = table_of(path, "categories/color")
    assert colors[:3] == table_of(mixed, "categories/color")
    assert not confusable(colors[3], colors[:3])
    for before, after in zip(maps_of(mixed), maps_of(path), strict=True):
        np.testing.assert_array_equal(np.where(after == 3, 0, after), before)
    again = relabel(path, [], tmp_path / "again.h5", split="mixed 2", into=3).path
    assert table_of(again, "categories/name")[3:] == ["mixed 2.1", "mixed 2.2", "mixed 2.3"]


def test_distances_are_to_the_centres_of_the_parts(mixed: Path, tmp_path: Path) -> None:
    path = relabel(mixed, [], tmp_path / "split.h5", split="0").path
    farthest, before = table_of(path, "windows/farthest"), table_of(mixed, "windows/farthest")
    for row, (old, new) in enumerate(zip(maps_of(mixed, "distances"), maps_of(path, "distances"), strict=True)):
        inside = np.isin(maps_of(path)[row], (0, 3))
        np.testing.assert_allclose(new[~inside] * farthest[row], old[~inside] * before[row], atol=farthest[row])
        assert (new[inside] < UNKNOWN_DISTANCE).all()
        own, second = np.moveaxis(new[inside].astype(int), 1, 0)
        assert (own <= second + 1).mean() > 0.9, "the nearest of all, nearly always"


def test_centres_of_the_parts_serve_new_images(mixed: Path, sp: Path, tmp_path: Path, make_images: MakeImages) -> None:
    path = relabel(mixed, [], tmp_path / "split.h5", split="mixed").path
    assert sorted(table_of(path, "fit/category").tolist()) == [0, 1, 2, 3]
    assert len(table_of(path, "fit/centres")) == 4, "of the two that were merged none is left"
    same = cluster([sp], tmp_path / "same.h5", Cluster(centres=path), workers=1).path
    assert np.mean(np.stack(maps_of(same)) == np.stack(maps_of(path))) > 0.97
    assert agreement(cluster([make_images("new")], tmp_path / "new.h5", Cluster(centres=path), workers=1).path) > 0.95
    fresh = cluster([make_images("more")], tmp_path / "more.h5", Cluster(centres=mixed), workers=1).path
    assert agreement(relabel(fresh, [], tmp_path / "fresh.h5", split="mixed").path) > 0.95, "images cut on the way"


def test_pixels_are_divided_as_they_were_clustered(data: Path, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    valid = np.full((48, 64), 255, np.uint8)
    valid[:9] = 0
    for number in range(3):
        Image.fromarray(valid).save(masks / f"p{number}.png")
    seg = cluster([data], tmp_path / "seg.h5", BANDS, mask=masks, workers=1).path
    merged = relabel(seg, ["1+3=both"], tmp_path / "merged.h5").path
    path = relabel(merged, [], tmp_path / "split.h5", split="both").path
    assert problems(path) == []
    for before, after in zip(maps_of(seg), maps_of(path), strict=True):
        np.testing.assert_array_equal(after == 255, valid == 0)
        assert all(len(np.unique(after[before == number])) <= 2 for number in range(4))
    kept = np.stack(maps_of(path))[:, valid > 0], np.stack(maps_of(seg))[:, valid > 0]
    pairs = np.unique(np.stack([one.ravel() for one in kept]), axis=1, return_counts=True)[1]
    assert np.sort(pairs)[-4:].sum() > 0.97 * pairs.sum(), "the two clusters come back"


def test_what_was_clustered_is_found_or_asked_for(mixed: Path, sp: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere" / "pieces.h5"
    moved.parent.mkdir()
    expected = maps_of(relabel(mixed, [], tmp_path / "split.h5", split="0").path)
    shutil.move(sp, moved)
    with pytest.raises(DataError, match=r"sp.h5: not found, but .*mixed.h5 was made from it; .*unseg relabel .* FILE"):
        relabel(mixed, [], tmp_path / "a.h5", split="0")
    found = relabel([mixed, moved], [], tmp_path / "b.h5", split="0").path
    np.testing.assert_array_equal(np.stack(maps_of(found)), np.stack(expected))
    superpixels([tmp_path / "data"], sp, Superpixels(pixels_per_segment=150), workers=1)
    with pytest.raises(DataError, match=r"sp.h5: has been made again since"):
        relabel(mixed, [], tmp_path / "a.h5", split="0")
    (tmp_path / "seg.h5").unlink()
    with pytest.raises(DataError, match=r"seg.h5: not found, but .*mixed.h5 was relabelled from it"):
        relabel(mixed, [], tmp_path / "a.h5", split="0")
    found = relabel([mixed, moved], [], tmp_path / "c.h5", split="0").path
    np.testing.assert_array_equal(np.stack(maps_of(found)), np.stack(expected))


def test_a_split_is_repeated_only_if_something_changed(mixed: Path, tmp_path: Path) -> None:
    path = relabel(mixed, [], tmp_path / "split.h5", split="0").path
    before = path.stat().st_mtime_ns
    relabel(mixed, [], path, split="mixed")
    assert path.stat().st_mtime_ns == before
    relabel(mixed, [], path, split="0", into=3)
    assert path.stat().st_mtime_ns != before


@pytest.mark.parametrize(
    ("how", "complaint"),
    [
        ({"split": "9"}, "--split 9' names cluster 9, but the clusters are 0 to 2"),
        ({"split": "roof"}, "no category 'roof': give a number, 0 to 2, or one of mixed"),
        ({"split": "0", "rules": ["0=a"]}, "give exactly one of"),
        ({"split": "0", "legend": "classes.toml"}, "leave one of them out"),
        ({"into": 3, "rules": ["0=a"]}, "--into is only for --split"),
        ({"split": "0", "into": 999}, "distinct feature vectors"),
    ],
)
def test_a_split_that_makes_no_sense(mixed: Path, tmp_path: Path, how: dict[str, Any], complaint: str) -> None:
    rules = how.pop("rules", [])
    with pytest.raises(UnsegError, match=complaint):
        relabel(mixed, rules, tmp_path / "out.h5", **how)


def test_an_empty_category_cannot_be_divided(sp: Path, tmp_path: Path) -> None:
    legend = tmp_path / "classes.toml"
    legend.write_text("".join(f'[[class]]\nname = "{name}"\nfrom = [{at}]\n' for at, name in enumerate("ab")))
    seg = cluster([sp], tmp_path / "seg.h5", replace(FOUR, classes=2), workers=1).path
    path = relabel(seg, ["0+1=b"], tmp_path / "b.h5", legend=legend).path
    with pytest.raises(DataError, match="category 0 has no pixels"):
        relabel(path, [], tmp_path / "out.h5", split="a")
    assert Relabel().split == ""
    with pytest.raises(ConfigError, match="give exactly one of"):
        relabel(path, [], tmp_path / "out.h5")


def test_an_image_and_its_copy_are_divided_once_each(data: Path, tmp_path: Path) -> None:
    shutil.copy(data / "images" / "p0.png", data / "images" / "z.png")
    pieces = superpixels([data], tmp_path / "sp.h5", Superpixels(pixels_per_segment=100), workers=1).path
    seg = cluster([pieces], tmp_path / "seg.h5", replace(FOUR, classes=2), workers=1).path
    path = relabel(seg, [], tmp_path / "split.h5", split="0").path
    assert table_of(path, "sources/name") == table_of(seg, "sources/name") == ["p0.png", "p1.png", "p2.png", "z.png"]
    assert len(maps_of(path)) == 4


def test_many_renamings_are_followed_and_a_circle_is_not(mixed: Path, tmp_path: Path) -> None:
    before = mixed
    for number in range(21):
        path = tmp_path / f"{number}.h5"
        _relabelled_copy(mixed, before, path)
        before = path
    assert find_behind(path, [], "").data == tmp_path / "sp.h5"
    _relabelled_copy(mixed, path, tmp_path / "0.h5")
    with pytest.raises(DataError, match="lead back to themselves"):
        find_behind(path, [], "")


def _relabelled_copy(mixed: Path, before: Path, path: Path) -> None:
    """Write what renaming nothing in the file `before` would write."""
    shutil.copy(mixed, path)
    with store.open_artifact(mixed) as artifact:
        hint = {"path": before.name, "fingerprint": artifact.fingerprint}
    with h5py.File(path, "r+") as file:
        file.attrs["inputs"] = json.dumps({"segmentation": hint})
