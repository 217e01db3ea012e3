"""Files that old versions wrote are read for ever: one of every version of every public kind lies here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from unsegcli.store import KINDS, Artifact, open_artifact, problems_of

HERE = Path(__file__).parent
WANTED = [(kind, version) for kind, spec in KINDS.items() if not spec.private for version in range(1, spec.version + 1)]


def check_images(artifact: Artifact) -> None:
    tables = {name: artifact.table(name) for name in artifact.field_names() if name.startswith(("sources", "windows"))}
    assert tables["sources/name"] == ["a.png", "ü/b.tif#1"]
    assert tables["sources/path"] == ["../data/a.png", "../data/ü/b.tif"]
    assert tables["sources/page"].tolist() == [0, 1]
    assert tables["sources/digest"] == ["0" * 64, "f" * 64]
    assert tables["sources/bytes"].tolist() == [100, 5_000_000_000]
    assert tables["sources/modified"].tolist() == [1, 2]
    assert tables["sources/size"].tolist() == [[2, 3], [4, 10]]
    assert tables["sources/orientation"].tolist() == [1, 6]
    assert tables["sources/bands"].tolist() == [3, 4]
    assert tables["sources/scaling"].tolist() == [[[0, 255]] * 2, [[0.5, 900.25]] * 2]
    assert tables["windows/source"].tolist() == [0, 1, 1]
    assert tables["windows/box"].tolist() == [[0, 0, 2, 3], [0, 0, 2, 3], [0, 2, 2, 3]]
    assert tables["windows/grid"].tolist() == [[2, 3], [2, 5], [2, 5]]
    assert artifact.table("skipped/name") == ["bad.png"]
    assert artifact.table("skipped/reason") == ["cannot be decoded"]
    assert artifact.attributes["reading"] == '{"axes": "yxc"}'


def check_regions(artifact: Artifact) -> None:
    maps = [artifact.read("superpixels", index) for index in range(3)]
    assert [cut.dtype.name for cut in maps] == ["uint16"] * 3
    assert [cut.tolist() for cut in maps] == [[[0, 0, 1], [2, 2, 65535]], [[0, 1, 1]] * 2, [[0] * 3] * 2]
    assert artifact.table("windows/superpixels").tolist() == [3, 2, 1]


def check_superpixels(artifact: Artifact) -> None:
    check_images(artifact)
    check_regions(artifact)
    assert artifact.read("images", 0).tolist() == [[[0, 1], [2, 3], [4, 5]], [[6, 7], [8, 9], [10, 11]]]
    assert artifact.read("images", 2)[1, 2].tolist() == [210, 211]


def check_features(artifact: Artifact) -> None:
    check_images(artifact)
    check_regions(artifact)
    assert artifact.read("features", 1).tolist() == [[0, 0.125, 0.25, 0.375], [0.5, 0.625, 0.75, 0.875]]
    assert artifact.read("features", 0)[2, 3] == 1.375


def check_model(artifact: Artifact) -> None:
    assert artifact.entries("weights") == ["head.raw", "trunk.0.steps", "trunk.0.weight"]
    weight = artifact.entry("weights", "trunk.0.weight")
    assert weight.dtype == np.float32
    assert weight.tolist() == [[[[0, 0.25], [0.5, 0.75]]], [[[1, 1.25], [1.5, 1.75]]]]
    steps = artifact.entry("weights", "trunk.0.steps")
    assert (steps.shape, int(steps)) == ((), 7)
    assert artifact.entry("weights", "head.raw").tolist() == [0x3F80, 0xC000]
    assert artifact.entry("history", "loss").tolist() == [3.0, 2.5]
    assert artifact.attributes == {
        "method": "iic",
        "config": '{"classes": 3}',
        "reading": '{"axes": "yxc"}',
        "bfloat16": '["head.raw"]',
    }


def check_segmentation(artifact: Artifact) -> None:
    check_images(artifact)
    assert [artifact.read("segmentation", index).tolist() for index in range(3)] == [
        [[0, 1, 2], [0, 255, 0]],
        [[0, 1, 2], [1, 255, 0]],
        [[0, 1, 2], [2, 255, 0]],
    ]
    assert artifact.read("confidence", 1).tolist() == [[0.25] * 3] * 2
    assert artifact.table("windows/confidence").tolist() == [0, 0.25, 1]
    assert artifact.table("categories/name") == ["sea", "wood", "süd"]
    assert artifact.table("categories/color") == ["#0000ff", "#00ff00", "#ff0000"]
    assert artifact.table("centres").tolist() == [[0.5, 1], [2, 3], [4, 5.25]]
    assert (artifact.attributes["role"], artifact.attributes["clusters"]) == ("clusters", 3)


def check_metrics(artifact: Artifact) -> None:
    assert json.loads(artifact.table("scores").tobytes()) == {"miou": 0.5, "name": "ü"}
    assert artifact.table("matrix").tolist() == [[5, 0], [1, 10**12]]


def check_what_went_in(artifact: Artifact) -> None:
    assert artifact.table("pretrained/name") == ["lite0", "süd.pth"]
    assert artifact.table("pretrained/digest") == ["0" * 64, "f" * 64]
    assert artifact.table("pretrained/licence") == ["Apache-2.0", ""]
    assert artifact.table("pretrained/labels") == ["ImageNet-1k", ""]
    if artifact.kind != "features":
        assert artifact.table("labels/used") == ["relabel: names from süd.h5"]


def check_version_2(artifact: Artifact) -> None:
    """The fields that version 2 added."""
    if artifact.kind in ("superpixels", "features", "segmentation"):
        assert artifact.table("sources/crs") == ["", "EPSG:32633"]
        none, given = artifact.table("sources/transform")
        assert np.isnan(none).all()
        assert given.tolist() == [0.5, 0, 4e5, 0, -0.5, 5.25e6]
        assert [artifact.table(f"shard/{name}").tolist() for name in ("number", "of")] == [[2], [3]]
    if artifact.kind != "superpixels":
        check_what_went_in(artifact)
    if artifact.kind == "features":
        assert artifact.read("dense", 1).tolist() == [[[0, 0.125, 0.25, 0.375], [0.5, 0.625, 0.75, 0.875]]]
        assert artifact.read("valid", 0).tolist() == [[True] * 3, [True, True, False]]
        assert artifact.read("images", 2).tolist() == [[[1, 1]] * 3] * 2
        assert artifact.table("windows/cell").tolist() == [[2, 2]] * 3
        assert (artifact.table("layers/name"), artifact.table("layers/dimensions").tolist()) == (["10", "15"], [1, 3])
    if artifact.kind == "segmentation":
        assert artifact.read("distances", 1)[1].tolist() == [[4, 4], [255, 255], [5, 6]]
        assert artifact.table("windows/farthest").tolist() == [0.5, 1, 2]
    if artifact.kind == "metrics":
        assert artifact.table("per-image").tolist() == [[[5, 0], [0, 10**12]], [[0, 0], [1, 0]]]
        assert artifact.table("images/name") == ["a.png", "ü/b.tif#1"]


CHECKS = {
    "superpixels": check_superpixels,
    "features": check_features,
    "model": check_model,
    "segmentation": check_segmentation,
    "metrics": check_metrics,
}


def test_every_version_of_every_kind_is_here() -> None:
    assert {path.name for path in HERE.glob("*.h5")} == {f"{kind}-{version}.h5" for kind, version in WANTED}


@pytest.mark.parametrize(("kind", "version"), WANTED)
def test_an_old_file_is_read(kind: str, version: int) -> None:
    with open_artifact(HERE / f"{kind}-{version}.h5", kind, shards=True) as artifact:
        CHECKS[kind](artifact)
        if version >= 2:
            check_version_2(artifact)
        assert artifact.recipe["stage"] == "archive"
        assert artifact.recipe["parameters"] == {"classes": 3, "scale": 0.5}
        assert problems_of(artifact) == []


@pytest.mark.parametrize(("kind", "version"), WANTED)
def test_the_archive_stays_small(kind: str, version: int) -> None:
    assert (HERE / f"{kind}-{version}.h5").stat().st_size < 30_000
