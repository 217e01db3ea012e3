"""Pretrained networks and used labels are named by every file that they went into."""

from __future__ import annotations

import hashlib
import json
from itertools import islice
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from reading_back import fingerprint
from sample_artifacts import sample
from toy import users_method, write_images
from typed import unseg

from unsegcli import store
from unsegcli.cli.evaluate import show_scores
from unsegcli.dataflow import provenance as provenance_of
from unsegcli.dataflow.provenance import carried, in_words, joined, network_tables, networks, tables_of
from unsegcli.recipe import canonical
from unsegcli.store import open_artifact
from unsegcli.training.restarts import content_with

LITE = network_tables("lite0", "0" * 64, "Apache-2.0", "ImageNet-1k")
OWN = network_tables("own.pth", "1" * 64, "", "")
ROW = {"name": "lite0", "licence": "Apache-2.0", "labels": "ImageNet-1k"}
WITH_BACKBONE = "\n\ndef backbones(network):\n    return [network]\n"


def tables_in(path: str | Path) -> dict[str, list[str]]:
    with store.open_artifact(path) as artifact:
        assert store.problems_of(artifact) == []
        return tables_of(artifact)


def test_each_network_and_each_use_is_listed_once() -> None:
    first, second = {**LITE, "labels/used": ["a", "b"]}, {"labels/used": ["b", "c"]}
    both = joined(first, OWN, second, LITE)
    assert both["pretrained/name"] == ["lite0", "own.pth"]
    assert both["pretrained/licence"] == ["Apache-2.0", ""]
    assert both["labels/used"] == ["a", "b", "c"]
    assert joined({}, {}) == {}


def test_in_words() -> None:
    assert in_words(networks(joined(LITE, OWN))) == "pretrained weights: lite0 (ImageNet-1k labels), own.pth"
    assert in_words([]) == ""


def test_only_what_a_kind_can_hold_is_carried(tmp_path: Path) -> None:
    path = sample("segmentation").write(tmp_path / "a.h5")
    hints = {"segmentation": {"path": str(path), "fingerprint": ""}, "pictures": {"path": "gone", "fingerprint": ""}}
    assert carried(hints, "metrics").keys() == {*LITE, "labels/used"}
    assert carried(hints, "features").keys() == LITE.keys()
    assert carried(hints, "superpixels") == {}


def named_by_itself(path: Path, others: list[Path]) -> None:
    """Make a file whose inputs are other files and, twice, itself: inputs are not part of the fingerprint."""
    sample("segmentation").write(path)
    prints = {other.name: {"path": str(other), "fingerprint": fingerprint(other)} for other in [*others, path]}
    with h5py.File(path, "r+") as file:
        file.attrs["inputs"] = canonical({**prints, "again": prints[path.name]})


def test_files_that_name_each_other_in_circles_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [tmp_path / f"{number}.h5" for number in range(12)]
    for number, path in enumerate(paths):
        named_by_itself(path, paths[:number])
    opened: list[Path] = []
    monkeypatch.setattr(provenance_of.store, "open_artifact", lambda path: opened.append(path) or open_artifact(path))
    with open_artifact(paths[-1]) as artifact:
        steps = list(islice(provenance_of.provenance(artifact), 100_000))
    assert sorted(opened) == sorted(paths)
    assert len(steps) <= provenance_of.MOST
    assert {step["path"] for step in steps} == set(map(str, paths))
    assert {step["state"] for step in steps} == {"unchanged"}


def test_a_file_that_names_itself_is_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    named_by_itself(path, [])
    with open_artifact(path) as artifact:
        assert [step["depth"] for step in provenance_of.provenance(artifact)] == [0, 0]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Images with labels, as the working folder."""
    monkeypatch.chdir(tmp_path)
    write_images(Path("images"), 3, 24, 24)
    Path("labels").mkdir()
    for number, path in enumerate(sorted(Path("images").iterdir())):
        np.save(Path("labels") / f"{path.stem}.npy", np.full((24, 24), number % 2, np.uint8))
    return tmp_path


def write_features(path: str) -> None:
    """Features of the superpixels of superpixels.h5, made by a pretrained network."""
    with store.open_artifact("superpixels.h5") as artifact:
        names = [name for name in artifact.field_names() if name.startswith(("sources/", "windows/", "skipped/"))]
        tables: dict[str, Any] = {**{name: artifact.table(name) for name in names}, **LITE}
        windows = [
            {
                "superpixels": store.encode(artifact.read("superpixels", row)),
                "features": store.encode(np.random.default_rng(row).normal(size=(count, 3)).astype(np.float32)),
            }
            for row, count in enumerate(artifact.table("windows/superpixels"))
        ]
        attributes = {"reading": artifact.attributes["reading"]}
    store.write_whole(store.Target(path, "features", {"stage": "test", "inputs": {}}), tables, attributes, {}, windows)


def test_from_features_to_maps_scores_and_pages(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unseg("superpixels", "images", "--segments", "6", "--workers", "1")
    write_features("features.h5")
    said = "pretrained weights: lite0 (ImageNet-1k labels)"
    assert said in unseg("cluster", "features.h5", "--classes", "2", "--workers", "1").stderr
    scored = unseg("evaluate", "segmentation.h5", "--labels", "labels", "--json", "--workers", "1")
    assert said in scored.stderr
    found = json.loads(scored.stdout)
    assert found["pretrained"] == [ROW]
    for scores in (found, {"runs": [found, found], "pretrained": found["pretrained"]}):
        show_scores(scores)
        assert capsys.readouterr().out.count(f"{said}\n") == 1
    assert said in unseg("relabel", "segmentation.h5", "--metrics", "metrics.h5", "-o", "named.h5").stderr
    assert tables_in("segmentation.h5") == LITE
    assert tables_in("metrics.h5") == {**LITE, "labels/used": ["evaluate: scoring"]}
    assert tables_in("named.h5") == {**LITE, "labels/used": ["relabel: names from metrics.h5"]}
    unseg("visualize", "named.h5", "--no-labels", "--workers", "1")
    page = Path("visualization/data/page.js").read_text()
    assert "lite0 (ImageNet-1k labels)" in page
    assert "relabel: names from metrics.h5" in page
    shown = unseg("inspect", "named.h5").stdout
    assert "pretrained weights lite0: licence Apache-2.0, labels ImageNet-1k" in shown
    assert "labels used by relabel: names from metrics.h5" in shown


def test_a_probe_says_so_too(here: Path) -> None:
    unseg("superpixels", "images", "--segments", "6", "--workers", "1")
    write_features("features.h5")
    arguments = ["probe", "features.h5", "--labels", "labels", "--halves", "1", "-o", "probe.h5", "--workers", "1"]
    assert json.loads(unseg(*arguments, "--json").stdout)["pretrained"] == [ROW]
    assert tables_in("probe.h5")["pretrained/name"] == ["lite0"]


def test_a_model_names_its_initial_weights_and_its_clusters_do_as_well(here: Path) -> None:
    method = users_method(here, more=WITH_BACKBONE)
    settings = ["--method", method, "--workers", "1"]
    torch.save(torch.nn.Conv2d(3, 3, 1).state_dict(), "some.pth")
    unseg("train", "images", *settings, "--steps", "1", "--weights", "some.pth", "-o", "model.h5")
    wanted = network_tables("some.pth", hashlib.sha256(Path("some.pth").read_bytes()).hexdigest(), "", "")
    assert tables_in("model.h5") == wanted
    assert wanted.items() <= content_with(Path("model.h5"), {})["tables"].items(), "the best of several runs"
    assert "pretrained weights: some.pth" in unseg("cluster", "model.h5", *settings).stderr
    assert tables_in("segmentation.h5") == wanted
