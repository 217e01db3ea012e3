"""The page, panels and exports: the right pixels, names that stay inside, and folders that are never overrun."""

from __future__ import annotations

import csv
import io
import json
import logging
import re
import shlex
import shutil
import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
import tifffile
from called import cluster, evaluate, export, iem, relabel, superpixels, visualize
from conftest import MakeImages, four_quadrants
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from page_files import decoded, page_data, page_maps, shown
from PIL import Image

from unsegcli import store
from unsegcli.core.geometry import Box, boxes, working_grid
from unsegcli.core.palette import palette
from unsegcli.dataflow.dataset import release_artifacts
from unsegcli.dataflow.label_maps import open_predictions
from unsegcli.dataflow.output_folder import LONGEST_PART, safe_names
from unsegcli.errors import ArtifactError, ConfigError, DataError
from unsegcli.images import rasters
from unsegcli.images.decode import read_index
from unsegcli.images.georeference import Georeference
from unsegcli.images.working import Reading
from unsegcli.params import Cluster, Evaluate, Export, Iem, Images, Superpixels, Visualize
from unsegcli.stages.visualize import ImageTask, LayerTask, draw_image
from unsegcli.views import drawing
from unsegcli.views.backdrop import regions_behind
from unsegcli.views.categories import name_categories
from unsegcli.views.export import Number, areas, csv_bytes, no_formula
from unsegcli.views.large_page import _shrunk

LABELS, CSV = Export(to=("png",)), Export(to=("csv",))
EVIL = '<script>alert("x")</script> & "=\'1'
READING = Reading((), (), "none", 3, "bytes", None, (1.0, 99.0), "folder", (), 1.0, 200_000_000)
READING = replace(READING, axes="auto")


def files_of(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def segmentation(
    path: Path,
    maps: Sequence[NDArray[Any]],
    names: Sequence[str] = (),
    *,
    grids: Sequence[tuple[int, int]] = (),
    sources: Sequence[tuple[int, int]] = (),
    patch: int = 0,
    stride: int = 0,
    clusters: int = 4,
    role: str = "clusters",
    categories: Sequence[str] = (),
    places: Sequence[Georeference] = (),
) -> Path:
    """A segmentation artifact of these working maps, cut into windows."""
    names = names or [f"p{number}.png" for number in range(len(maps))]
    sources = sources or [values.shape[:2] for values in maps]
    windows, rows = [], []
    for number, values in enumerate(maps):
        for box in boxes(*values.shape, patch, stride):
            rows.append((number, box, values.shape))
            windows.append({"segmentation": store.encode(np.ascontiguousarray(values[box.slices]))})
    count = len(maps)
    tables: dict[str, Any] = {
        "sources/name": list(names),
        "sources/path": [f"gone/{number}.png" for number in range(count)],
        "sources/page": np.array([int([*re.findall(r"#(\d+)$", name), 0][0]) for name in names], np.int32),
        "sources/digest": ["0" * 64] * count,
        "sources/bytes": np.zeros(count, np.int64),
        "sources/modified": np.zeros(count, np.int64),
        "sources/size": np.array(sources, np.int32),
        "sources/orientation": np.ones(count, np.uint8),
        "sources/bands": np.full(count, 3, np.int32),
        "sources/scaling": np.array([[[0, 255]] * 3] * count, np.float64),
        "windows/source": np.array([row[0] for row in rows], np.int32),
        "windows/box": np.array([row[1] for row in rows], np.int32),
        "windows/grid": np.array([row[2] for row in rows], np.int32),
        "skipped/name": [],
        "skipped/reason": [],
    }
    if categories:
        tables["categories/name"] = list(categories)
    if places:
        tables["sources/crs"] = [place.crs for place in places]
        tables["sources/transform"] = np.array([place.transform or [np.nan] * 6 for place in places])
    recipe = {
        "stage": "sample",
        "revision": 1,
        "parameters": {},
        "inputs": {"a": str(np.random.default_rng().random())},
    }
    target = store.Target(path, "segmentation", recipe)
    attributes = {"role": role, "clusters": clusters, "reading": READING.to_json()}
    store.write_whole(target, tables, attributes, {}, windows)
    return path


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images with labels and a legend, superpixels, clusters and their metrics."""
    home = tmp_path_factory.mktemp("template")
    images, labels = home / "data" / "images", home / "data" / "labels"
    images.mkdir(parents=True)
    labels.mkdir()
    truth = np.repeat(np.repeat(np.array([[0, 1], [2, 2]], np.uint8), 24, axis=0), 32, axis=1)
    truth[:2] = 255
    for number in range(3):
        Image.fromarray(four_quadrants(48, 64, number)).save(images / f"p{number}.png")
        Image.fromarray(truth).save(labels / f"p{number}.png")
    legend = "ignore=[255]\n" + "".join(
        f'[[class]]\nname={json.dumps(name)}\ncolor="{color}"\nfrom=[{number}]\n'
        for number, (name, color) in enumerate([("water", "#0000ff"), (EVIL, "#ffff00"), ("road", "#00ff00")])
    )
    (home / "data" / "classes.toml").write_text(legend)
    sp = superpixels([home / "data"], home / "sp.h5", Superpixels(pixels_per_segment=100), workers=1).path
    seg = cluster([sp], home / "seg.h5", Cluster(classes=4, describe=("colour", "texture")), workers=1).path
    evaluate([seg], home / "metrics.h5", Evaluate(replicates=5), workers=1)
    return home


@pytest.fixture
def scene(template: Path, tmp_path: Path) -> Path:
    """A copy of the template, which a test may change."""
    return Path(shutil.copytree(template, tmp_path / "scene"))


def said(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(record.getMessage() for record in caplog.records)


@pytest.fixture(autouse=True)
def _heard(caplog: pytest.LogCaptureFixture, _own_logger: None) -> None:
    caplog.set_level(logging.DEBUG, "unseg")


# ---------------------------------------------------------------------------------------- the page


def page_files(images: int, panels: bool = False) -> set[str]:
    """The files of a page of images p0, p1, ... besides its crops and assets."""
    names = [f"p{number}" for number in range(images)]
    of_images = {f"{folder}/{name}.jpg" for folder in ("images", "thumbs") for name in names}
    maps = {f"data/maps/{number}.js" for number in range(images)}
    drawn = {f"panels/{name}.png" for name in names if panels}
    return {"contact-sheet.png", "data/page.js", "index.html", "unseg.json"} | of_images | maps | drawn


@pytest.fixture(scope="module")
def drawn(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the template with its scores and panels."""
    out = tmp_path_factory.mktemp("drawn") / "out"
    return visualize(template / "seg.h5", out, Visualize(panels=True), metrics=template / "metrics.h5", workers=1).path


def test_folder_has_the_files_of_the_page(scene: Path, caplog: pytest.LogCaptureFixture) -> None:
    outcome = visualize(scene / "seg.h5", scene / "out", metrics=scene / "metrics.h5", workers=1)
    assert outcome == (scene / "out", 0)
    found = {name for name in files_of(outcome.path) if not name.startswith(("page/", "crops/"))}
    assert found == page_files(3)
    assert {f"crops/0-{number}.jpg" for number in range(4)} <= set(files_of(outcome.path))
    assert {".css", ".js"} == {path.suffix for path in (outcome.path / "page").iterdir()}
    assert not (scene / "out.partial").exists()
    assert "reading labels from" in said(caplog)
    about = json.loads((scene / "out" / "unseg.json").read_text())
    assert about["labels_used"] == "naming clusters and display"


def test_every_file_that_the_page_names_is_there(drawn: Path) -> None:
    data = page_data(drawn)
    named = [image[key] for image in data["images"] for key in ("file", "thumb", "maps")]
    named += [cluster["crops"]["file"] for cluster in data["results"][0]["clusters"]]
    assert set(named) <= set(files_of(drawn))
    text = (drawn / "index.html").read_text()
    assert "<title>seg.h5: clusters</title>" in text
    assert set(re.findall(r'(?:src|href)="((?:page|data)/[^"]+)"', text)) <= set(files_of(drawn))


def test_the_page_needs_no_network_and_text_cannot_become_code(drawn: Path) -> None:
    for path in [drawn / "index.html", *(drawn / "page").iterdir()]:
        assert not re.search(r"https?://(?!www\.w3\.org/)", path.read_text()), path
    assert [one["name"] for one in page_data(drawn)["classes"]] == ["water", EVIL, "road"]
    assert b"<" not in (drawn / "data" / "page.js").read_bytes()


def test_the_page_says_what_was_run_and_what_labels_were_used_for(drawn: Path) -> None:
    data = page_data(drawn)
    assert data["summary"] == "3 images, 4 clusters"
    facts = dict(data["about"]["facts"])
    assert facts["parameters classes"] == "4"
    assert [step["path"].rpartition("/")[2] for step in data["about"]["provenance"]] == ["sp.h5", "images"]
    assert any("are wrong" in line for line in data["about"]["labels"])
    assert any("names of clusters come from" in line for line in data["about"]["labels"])
    assert data["about"]["pretrained"] == []


def test_scores_and_confusion_are_those_of_evaluate(drawn: Path, template: Path) -> None:
    result = page_data(drawn)["results"][0]
    scores = json.loads(bytes(_table(template / "metrics.h5", "scores")))
    assert result["scores"] == scores
    assert ["chance: largest class", scores["chance"]["largest_class"]] in result["floors"]
    matrix = _table(template / "metrics.h5", "matrix")
    assert result["confusion"]["clusters_by_class"] == matrix[:-1].tolist()
    after = np.zeros((3, 3), int)
    for row, class_ in zip(matrix, scores["assignment"], strict=False):
        after[class_] += row * (class_ >= 0)
    assert result["confusion"]["classes_by_class"] == after.tolist()
    assert [one["class"] for one in result["clusters"]] == scores["assignment"]
    scored = [one["score"] for one in result["images"]]
    assert np.mean(scored) == pytest.approx(scores["scores"]["accuracy"], abs=1e-4)  # of images of one size


def test_without_labels_nothing_is_said_of_them(scene: Path, caplog: pytest.LogCaptureFixture) -> None:
    visualize(scene / "seg.h5", scene / "out", Visualize(truth=False), workers=1)
    assert "label" not in said(caplog).replace(str(scene), "")
    data = page_data(scene / "out")
    assert (data["about"]["labels"], data["classes"]) == ([], [])
    assert [one["class"] for one in data["results"][0]["clusters"]] == [None] * 4
    assert page_maps(scene / "out", 0)["truth"] is None
    assert json.loads((scene / "out" / "unseg.json").read_text())["labels_used"] is None


def test_maps_and_images_are_those_that_were_worked_on(drawn: Path, template: Path) -> None:
    maps = page_maps(drawn, 1)
    np.testing.assert_array_equal(decoded(maps["results"][0]), _map(template / "seg.h5", 1))
    with store.open_artifact(template / "sp.h5") as artifact:
        np.testing.assert_array_equal(decoded(maps["superpixels"]), artifact.read("superpixels", 1))
        counted = int(artifact.table("windows/superpixels")[1])
    truth = np.repeat(np.repeat(np.array([[0, 1], [2, 2]]), 24, axis=0), 32, axis=1)
    truth[:2] = -1
    np.testing.assert_array_equal(decoded(maps["truth"]), truth)
    about = page_data(drawn)["images"][1]
    assert (about["grid"], about["source"], about["superpixels"], about["truth"]) == ([48, 64], [48, 64], counted, True)
    image = shown(drawn, about["file"]).astype(int)
    assert np.abs(image - four_quadrants(48, 64, 1)).mean() < 6
    assert shown(drawn, about["thumb"]).shape == (48, 64, 3)


@pytest.mark.parametrize("stored", [True, False])
def test_the_page_of_a_large_image_read_part_by_part_is_that_of_the_whole(
    tmp_path: Path, stored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("rasterio")
    monkeypatch.setattr(rasters, "LARGE", 100)  # so that the file is decoded in parts
    tifffile.imwrite(tmp_path / "a.tif", four_quadrants(48, 64, 1), photometric="rgb", tile=(16, 16))
    cut, fine = Images(patch=32, stride=24), Superpixels(pixels_per_segment=20, pixels=stored)
    made = superpixels([tmp_path / "a.tif"], tmp_path / "sp.h5", fine, images=cut, workers=1).path
    seg = cluster([made], tmp_path / "seg.h5", Cluster(classes=4), workers=1).path
    pages = []
    for largest in (10_000, 100):
        monkeypatch.setattr("unsegcli.views.large_page.LARGE", largest)
        for result in (seg, made):
            out = tmp_path / f"{largest}-{result.stem}"
            visualize(result, out, Visualize(panels=True), workers=1)
            pages.append({name: (out / name).read_bytes() for name in files_of(out) if name != "unseg.json"})
    assert pages[:2] == pages[2:]


def test_a_large_image_is_shrunk_as_a_small_one(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (97, 61, 4), np.uint8)
    monkeypatch.setattr("unsegcli.views.large_page.LONGEST_IMAGE", 23)
    found = _shrunk(((box, pixels[box.slices]) for box in _apart(97, 61)), (97, 61))
    expected = drawing.shrunk(pixels[:, :, :3], 23).astype(int)
    assert found.bands == 4
    assert np.abs(found.pixels - expected).max() <= 1


def _apart(height: int, width: int) -> list[Box]:
    """Boxes that do not overlap and cover a grid."""
    return [
        Box(top, left, min(20, height - top), min(27, width - left))
        for top in range(0, height, 20)
        for left in range(0, width, 27)
    ]


def test_the_page_of_a_large_image_needs_no_more_memory_than_a_few_windows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    side = 768
    Image.fromarray(four_quadrants(side, side, 0)).save(tmp_path / "a.png")
    cut = Images(patch=128)
    made = superpixels([tmp_path / "a.png"], tmp_path / "sp.h5", Superpixels(), images=cut, workers=1).path
    seg = cluster([made], tmp_path / "seg.h5", Cluster(features="bands", classes=3), workers=1).path
    run = open_predictions(seg)
    monkeypatch.setattr("unsegcli.views.large_page.LARGE", side)
    for module in ("large_page.LONGEST_IMAGE", "encoded_maps.LONGEST", "page_image.LONGEST_IMAGE"):
        monkeypatch.setattr(f"unsegcli.views.{module}", 128)
    regions = regions_behind(run)["a.png"]
    categories = name_categories(run, 3, None, None)
    task = ImageTask((LayerTask(run.maps[0], "clusters", categories),), regions, None, None, False, False, "")
    draw_image(task)  # libraries are loaded
    tracemalloc.start()
    drawn = draw_image(task)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    release_artifacts()
    assert drawn.grid == (128, 128)
    assert sum(pixels for _, pixels in drawn.layers[0].facts.areas) == side**2
    assert peak < 6 * side**2  # bytes; read as a whole it takes 31 a pixel


def test_the_contact_sheet_has_the_truth_too(scene: Path) -> None:
    wide = visualize(scene / "seg.h5", scene / "with", workers=1).path
    cell = shown(wide, "contact-sheet.png")[drawing.MARGIN + drawing.TITLE :, drawing.MARGIN :][:48, : 3 * 64 + 4]
    truth = cell[:, 2 * 66 :].astype(int)
    blue, yellow = truth[12, 12], truth[12, 50]  # water, and the second class
    assert blue[2] > blue[0] + 50
    assert yellow[2] < yellow[0] - 50


def test_a_new_page_replaces_one_of_other_assets(scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = visualize(scene / "seg.h5", scene / "out", Visualize(truth=False), workers=1).path
    before = stamps(out)
    visualize(scene / "seg.h5", out, Visualize(truth=False), workers=1)
    assert stamps(out) == before
    monkeypatch.setattr("unsegcli.stages.visualize.assets_digest", lambda: "another")
    visualize(scene / "seg.h5", out, Visualize(truth=False), workers=1)
    assert stamps(out) != before


def test_several_results_are_shown_over_the_images_of_the_first(scene: Path) -> None:
    images = scene / "data" / "images"
    other = cluster([images / "p2.png", images / "p0.png"], scene / "b.h5", Cluster(features="bands", classes=2))
    evaluate(
        [scene / "seg.h5", other.path],
        scene / "both.h5",
        Evaluate(replicates=0),
        workers=1,
        labels=scene / "data" / "labels",
    )
    out = visualize([scene / "seg.h5", other.path], scene / "out", metrics=scene / "both.h5", workers=1).path
    data = page_data(out)
    assert [one["name"] for one in data["results"]] == ["seg", "b"]
    assert [len(one["clusters"]) for one in data["results"]] == [4, 2]
    assert [one["scores"]["protocol"]["clusters"] for one in data["results"]] == [4, 2]
    assert [one["name"] for one in data["images"]] == ["p0.png", "p1.png", "p2.png"]
    np.testing.assert_array_equal(decoded(page_maps(out, 0)["results"][1]), _map(other.path, 1))
    np.testing.assert_array_equal(decoded(page_maps(out, 2)["results"][1]), _map(other.path, 0))
    assert page_maps(out, 1)["results"][1] is None
    assert data["results"][1]["images"][1] == {"areas": [], "void": 0, "certainty": None, "score": None}


def test_each_result_takes_the_metrics_that_scored_it(scene: Path) -> None:
    named = relabel(scene / "seg.h5", ["0=alpha"], scene / "named.h5").path
    second = evaluate([named], scene / "second.h5", Evaluate(replicates=0), workers=1).path
    files = (scene / "metrics.h5", second)
    data = page_data(visualize([named, scene / "seg.h5"], scene / "out", metrics=files, workers=1).path)
    assert [one["scores"]["input"].rpartition("/")[2] for one in data["results"]] == ["named.h5", "seg.h5"]
    for result, source, output in zip(
        data["results"], (named, scene / "seg.h5"), ("named-2.h5", "named.h5"), strict=True
    ):
        typed = ["unseg", "relabel", str(source), "--names", "names.toml", "-o", str(scene / output)]
        assert shlex.split(result["relabel"]) == typed, "beside the result, and never what it was made from"
    with pytest.raises(ConfigError, match=r"second\.h5: was not made from"):
        visualize(scene / "seg.h5", scene / "out", metrics=files, workers=1)


def test_results_of_other_images_are_refused(scene: Path, make_images: MakeImages) -> None:
    other = cluster(
        [make_images("other", count=2, height=24)], scene / "b.h5", Cluster(features="bands", classes=2)
    ).path
    with pytest.raises(DataError, match=r"b\.h5: has none of the images of .*seg\.h5"):
        visualize([scene / "seg.h5", other], scene / "out", workers=1)
    with pytest.raises(ConfigError, match="exactly one"):
        export([scene / "seg.h5", scene / "seg.h5"], scene / "out", CSV)


# ---------------------------------------------------------------------------------------- panels


def panel_of(path: Path) -> NDArray[np.uint8]:
    return np.asarray(Image.open(path).convert("RGB"))


def tile(panel: NDArray[np.uint8], number: int, height: int = 240, width: int = 320) -> NDArray[np.uint8]:
    """One tile of a panel of the images of 48 x 64, which are enlarged five times."""
    top = drawing.MARGIN + drawing.TITLE + drawing.LINE
    left = drawing.MARGIN + number * (width + drawing.GUTTER)
    return panel[top : top + height, left : left + width]


def test_panels_are_written_where_they_are_asked_for(drawn: Path) -> None:
    assert {name for name in files_of(drawn) if not name.startswith(("page/", "crops/"))} == page_files(3, panels=True)


def test_tiles_show_image_outlines_clusters_truth_and_errors(drawn: Path, template: Path) -> None:
    panel, scene = panel_of(drawn / "panels" / "p0.png"), template
    shown = [tile(panel, number) for number in range(5)]
    np.testing.assert_array_equal(shown[0][2::5, 2::5], four_quadrants(48, 64, 0))
    assert (shown[1] != shown[0]).any(axis=2).mean() < 0.2  # outlines only
    scores = json.loads(bytes(_table(scene / "metrics.h5", "scores")))
    first = int(_map(scene / "seg.h5")[12, 12])
    assert scores["assignment"][first] == 0
    for colored in shown[2:4]:  # water is blue in the map as in the truth
        red, green, blue = colored[60, 60].astype(int)
        assert blue > red + 50
        assert blue > green + 50
    # One of the two clusters of the lower half has no class, and so is wrong there.
    unmatched = scores["assignment"].index(-1)
    rows, columns = np.nonzero(_map(scene / "seg.h5") == unmatched)
    place = rows[len(rows) // 2] * 5 + 2, columns[len(rows) // 2] * 5 + 2
    assert shown[4][place][0] > shown[4][place][1] + 100
    assert shown[4][60, 60].min() > 120  # right: pale
    assert shown[4][2, 2].tolist() in drawing.VOID.tolist()  # not scored


def _table(path: Path, name: str) -> Any:
    with store.open_artifact(path) as artifact:
        return artifact.table(name)


def _map(path: Path, row: int = 0) -> NDArray[Any]:
    with store.open_artifact(path) as artifact:
        return artifact.read("segmentation", row)


def test_errors_are_counted_as_evaluate_counts_them(drawn: Path, template: Path) -> None:
    scores = json.loads(bytes(_table(template / "metrics.h5", "scores")))
    wrong = 1 - scores["scores"]["accuracy"]
    said_of_labels = " ".join(page_data(drawn)["about"]["labels"])
    assert f"{wrong:.1%} of {scores['pixels']['scored']:,} labelled" in said_of_labels


def test_without_metrics_there_is_truth_but_no_errors(scene: Path, caplog: pytest.LogCaptureFixture) -> None:
    visualize(scene / "seg.h5", scene / "out", Visualize(panels=True), workers=1)
    panel = panel_of(scene / "out" / "panels" / "p0.png")
    assert panel.shape[1] == 2 * drawing.MARGIN + 4 * 320 + 3 * drawing.GUTTER
    assert "with --metrics" in said(caplog)
    data = page_data(scene / "out")
    assert any("not matched to classes" in line for line in data["about"]["labels"])
    assert [image["score"] for image in data["results"][0]["images"]] == [None] * 3
    assert data["results"][0]["scores"] is None


def test_metrics_of_another_run_are_refused(scene: Path) -> None:
    other = cluster([scene / "sp.h5"], scene / "other.h5", Cluster(classes=3), workers=1).path
    with pytest.raises(ConfigError, match="was not made from"):
        visualize(other, scene / "out", metrics=scene / "metrics.h5", workers=1)


def test_metrics_cannot_name_a_folder_or_a_legend_to_be_shown(scene: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Only what they were made from is read: a file of a stranger could name anything on this computer."""
    labels, legend = scene / "private", scene / "other.toml"
    shutil.copytree(scene / "data" / "labels", labels)
    Image.fromarray(np.zeros((48, 64), np.uint8)).save(labels / "p0.png")
    legend.write_text('[[class]]\nname="secret"\nfrom=[0, 1, 2, 255]\n')
    with store.open_artifact(scene / "metrics.h5") as artifact:
        scores, recipe, inputs = json.loads(bytes(artifact.table("scores"))), artifact.recipe, artifact.inputs
        tables = {name: artifact.table(name) for name in artifact.field_names()}
    scores |= {"labels": str(labels), "legend": str(legend)}
    tables["scores"] = np.frombuffer(json.dumps(scores).encode(), np.uint8)
    store.write_whole(store.Target(scene / "hostile.h5", "metrics", recipe), tables, {}, inputs)
    visualize(scene / "seg.h5", scene / "out", metrics=scene / "hostile.h5", workers=1)
    assert f"{labels} does not hold the labels with which" in said(caplog)
    assert f"{legend} is not the legend with which" in said(caplog)
    assert page_data(scene / "out")["classes"][0]["name"] == "water"  # of the legend beside the images
    assert f"reading labels from {scene / 'data' / 'labels'}" in said(caplog)


def test_labels_that_were_scored_are_shown_for_a_part_of_the_images(
    scene: Path, caplog: pytest.LogCaptureFixture
) -> None:
    moved = (scene / "data" / "labels").rename(scene / "elsewhere")
    evaluate([scene / "seg.h5"], scene / "again.h5", Evaluate(replicates=5, labels=moved), workers=1)
    visualize(scene / "seg.h5", scene / "out", metrics=scene / "again.h5", limit=1, workers=1)
    assert f"reading labels from {moved}" in said(caplog)


def test_names_given_by_relabel_win(scene: Path) -> None:
    named = relabel(scene / "seg.h5", ["0=alpha", "1+2=beta"], scene / "named.h5").path
    visualize(named, scene / "out", Visualize(panels=True), workers=1)
    data = page_data(scene / "out")
    found = [(one["name"], one["named"]) for one in data["results"][0]["clusters"]]
    assert found == [("alpha", True), ("beta", True), ("cluster 2 (was 3)", False)]
    assert data["images"][0]["superpixels"] > 0  # found through two files
    assert panel_of(scene / "out" / "panels" / "p0.png").shape[1] > 4 * 320


def test_superpixels_are_shown_with_their_mean_colours(scene: Path) -> None:
    visualize(scene / "sp.h5", scene / "out", Visualize(truth=False, panels=True), workers=1)
    panel = panel_of(scene / "out" / "panels" / "p0.png")
    assert tile(panel, 1)[60, 60].tolist() == pytest.approx([220, 30, 30], abs=6)
    data, maps = page_data(scene / "out"), page_maps(scene / "out", 0)
    assert (data["results"][0]["role"], data["results"][0]["clusters"]) == ("superpixels", [])
    assert maps["results"] == [None]
    assert decoded(maps["superpixels"]).max() + 1 == data["images"][0]["superpixels"]
    assert "superpixels" in data["summary"]


def test_superpixels_and_their_truth_have_the_names_of_the_legend(scene: Path) -> None:
    data = page_data(visualize(scene / "sp.h5", scene / "out", limit=1, workers=1).path)
    assert [(one["name"], one["color"]) for one in data["classes"]][::2] == [("water", "#0000ff"), ("road", "#00ff00")]
    assert page_maps(scene / "out", 0)["truth"] is not None


def test_images_that_are_gone_leave_the_maps(scene: Path, caplog: pytest.LogCaptureFixture) -> None:
    (scene / "sp.h5").unlink()
    (scene / "data" / "images").rename(scene / "moved")
    params = Visualize(truth=False, panels=True)
    visualize(scene / "seg.h5", scene / "out", params, workers=1)
    panel = panel_of(scene / "out" / "panels" / "p0.png")
    assert panel.shape[1] == drawing.NARROWEST_PANEL + 2 * drawing.MARGIN
    assert "--images" in said(caplog)
    data = page_data(scene / "out")
    assert [(image["file"], image["thumb"]) for image in data["images"]] == [(None, None)] * 3
    assert [one["crops"] for one in data["results"][0]["clusters"]] == [None] * 4
    assert not (scene / "out" / "crops").exists()
    visualize(scene / "seg.h5", scene / "out", params, images=scene / "moved", workers=1)
    assert "other missing images" in said(caplog)  # the recipe differs, and so the folder is replaced
    panel = panel_of(scene / "out" / "panels" / "p0.png")
    np.testing.assert_array_equal(tile(panel, 0)[2::5, 2::5], four_quadrants(48, 64, 0))


def test_a_changed_image_is_not_shown_as_the_one_that_was_segmented(scene: Path) -> None:
    (scene / "sp.h5").unlink()
    Image.fromarray(four_quadrants(48, 64, 9)).save(scene / "data" / "images" / "p1.png")
    visualize(scene / "seg.h5", scene / "out", Visualize(truth=False, panels=True), workers=1)
    assert (
        panel_of(scene / "out" / "panels" / "p0.png").shape[1] > panel_of(scene / "out" / "panels" / "p1.png").shape[1]
    )
    data = page_data(scene / "out")
    assert [image["file"] for image in data["images"]] == ["images/p0.jpg", None, "images/p2.jpg"]
    assert any("has changed" in line for line in data["about"]["warnings"])
    shown_in_crops = {one["image"] for cluster in data["results"][0]["clusters"] for one in cluster["crops"]["typical"]}
    assert shown_in_crops == {0, 2}


def test_bad_labels_leave_the_panel_without_truth(scene: Path, caplog: pytest.LogCaptureFixture) -> None:
    Image.new("L", (10, 90)).save(scene / "data" / "labels" / "p1.png")
    assert visualize(scene / "seg.h5", scene / "out", Visualize(panels=True), workers=1).skipped == 0
    assert "p1.png" in said(caplog)
    sizes = [panel_of(scene / "out" / "panels" / f"p{number}.png").shape[1] for number in range(3)]
    assert sizes[1] < sizes[0] == sizes[2]


def test_folders_of_label_maps_are_shown_with_images_found_by_name(tmp_path: Path, make_images: MakeImages) -> None:
    images = make_images("pics", suffix=".jpg")
    maps = tmp_path / "maps"
    maps.mkdir()
    for number, name in enumerate(["p0.png", "p1_mask.png", "p2.jpg.png"]):
        Image.fromarray(np.full((48, 64), number, np.uint8)).save(maps / name)
    visualize(maps, tmp_path / "out", Visualize(panels=True), images=images, workers=1)
    for name in ("p0.png", "p1_mask.png", "p2.jpg.png"):
        panel = panel_of(tmp_path / "out" / "panels" / name)
        assert tile(panel, 0)[60, 60].tolist() == pytest.approx([220, 30, 30], abs=30)
    # Category 2 has the colour of category 2, whatever else is in its image.
    panel = panel_of(tmp_path / "out" / "panels" / "p2.jpg.png")
    assert int(np.argmax(tile(panel, 1)[60, 60])) == int(np.argmax(palette(3)[2]))


def test_role_mask_shows_background_and_object_and_its_errors(tmp_path: Path, make_images: MakeImages) -> None:
    images = make_images("data/images", count=1)
    (tmp_path / "maps").mkdir()
    (tmp_path / "data" / "labels").mkdir()
    found = np.zeros((48, 64), np.uint8)
    found[:24] = 1
    Image.fromarray(found).save(tmp_path / "maps" / "p0.png")
    Image.fromarray(np.uint8(7) * found.repeat(1, axis=0)).save(tmp_path / "data" / "labels" / "p0.png")
    visualize(tmp_path / "maps", tmp_path / "out", role="mask", images=images, workers=1)
    data = page_data(tmp_path / "out")
    assert "0.0% of 3,072 labelled pixels" in data["about"]["labels"][0]
    result = data["results"][0]
    assert [(one["name"], one["class"]) for one in result["clusters"]] == [("background", 0), ("object", 1)]
    assert [one["name"] for one in data["classes"]] == ["background", "object"]
    assert result["images"][0]["score"] == 1
    np.testing.assert_array_equal(decoded(page_maps(tmp_path / "out", 0)["truth"]), found)


def test_a_file_that_is_no_map_is_skipped_and_counted(tmp_path: Path) -> None:
    maps = tmp_path / "maps"
    maps.mkdir()
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(maps / "good.png")
    Image.fromarray(four_quadrants(9, 9)).save(maps / "photo.png")
    assert visualize(maps, tmp_path / "out", workers=1).skipped == 1
    assert visualize(maps, tmp_path / "out", workers=1).skipped == 1  # also where nothing is done
    (maps / "good.png").unlink()
    with pytest.raises(DataError, match="no label map could be read"):
        visualize(maps, tmp_path / "none", workers=1)
    assert not (tmp_path / "none").exists()
    assert not (tmp_path / "none.partial").exists()


def test_limit_takes_the_first_and_workers_change_nothing(scene: Path) -> None:
    params = Visualize(panels=True)
    visualize(scene / "seg.h5", scene / "one", params, limit=2, workers=1)
    visualize(scene / "seg.h5", scene / "two", params, limit=2, workers=2)
    assert page_files(2, panels=True) <= set(files_of(scene / "one"))
    assert not [name for name in files_of(scene / "one") if "p2" in name]
    for name in files_of(scene / "one"):
        assert (scene / "one" / name).read_bytes() == (scene / "two" / name).read_bytes()


def test_dry_run_writes_nothing(scene: Path, caplog: pytest.LogCaptureFixture) -> None:
    visualize(scene / "seg.h5", scene / "out", dry_run=True)
    assert "would write 3 images" in said(caplog)
    assert not (scene / "out").exists()


def test_a_dark_image_is_shown_brighter_and_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for number, level in enumerate((8, 1)):
        Image.fromarray(four_quadrants(48, 64, number) // level).save(tmp_path / "data" / f"p{number}.png")
    sp = superpixels([tmp_path / "data"], tmp_path / "sp.h5", Superpixels(pixels_per_segment=100), workers=1).path
    seg = cluster([sp], tmp_path / "seg.h5", Cluster(classes=3), workers=1).path
    visualize(seg, tmp_path / "out", Visualize(panels=True), workers=1)
    dark, bright = (tile(panel_of(tmp_path / "out" / "panels" / f"p{number}.png"), 0) for number in range(2))
    assert dark.max() > 200
    np.testing.assert_array_equal(bright[2::5, 2::5], four_quadrants(48, 64, 1))
    assert shown(tmp_path / "out", "images/p0.jpg").max() > 200


def test_parts_are_called_parts_and_the_working_size_is_said(tmp_path: Path, make_images: MakeImages) -> None:
    images = make_images(count=2)
    parts = iem([images], tmp_path / "parts.h5", Iem(size=(24,), iterations=3, kernel=3, parts=3), workers=1).path
    visualize(parts, tmp_path / "out", workers=1)
    data = page_data(tmp_path / "out")
    result = data["results"][0]
    assert (data["title"], result["parts"]) == ("parts.h5: parts", True)
    assert [one["name"] for one in result["clusters"]] == ["part 0", "part 1", "part 2"]
    assert [one["crops"] for one in result["clusters"]] == [None] * 3  # part 1 here is not part 1 there
    assert result["suggestions"] == []
    assert data["summary"].endswith(" 3 parts in each")
    assert (data["images"][0]["grid"], data["images"][0]["source"]) == ([24, 32], [48, 64])


def test_the_page_has_the_numbers_and_areas_of_exports(scene: Path) -> None:
    named = relabel(scene / "seg.h5", ["2=alpha"], scene / "named.h5").path
    clusters = page_data(visualize(named, scene / "out", workers=1).path)["results"][0]["clusters"]
    assert (clusters[0]["number"], clusters[0]["name"]) == (0, "alpha")
    table = export(named, scene / "csv", CSV, workers=1).path / "areas.csv"
    rows = list(csv.DictReader(io.StringIO(table.read_text(), newline="")))
    assert [clusters[0]["pixels"]] == [int(row["alpha pixels"]) for row in rows if row["name"] == "total"]


# ---------------------------------------------------------------------------------------- categories


def test_a_cluster_has_the_same_colour_however_many_there_are(tmp_path: Path) -> None:
    path = segmentation(tmp_path / "a.h5", [np.zeros((4, 4), np.uint8)])
    run = open_predictions(path)
    few, many = (name_categories(run, count, None, None) for count in (4, 30))
    np.testing.assert_array_equal(few.colors, many.colors[:4])
    assert few.names == ("cluster 0", "cluster 1", "cluster 2", "cluster 3")


def test_clusters_of_one_class_share_its_colour_and_others_have_none_like_it(scene: Path) -> None:
    from unsegcli.core.palette import seen_distance
    from unsegcli.legend import read_legend
    from unsegcli.views.categories import read_matching

    run = open_predictions(scene / "seg.h5")
    matching = read_matching(scene / "metrics.h5", run)
    assert matching is not None
    matching = replace(matching, scores={**matching.scores, "assignment": [0, -1, 0, 2]})
    found = name_categories(run, 4, read_legend(scene / "data" / "classes.toml"), matching)
    assert found.names == ("water (cluster 0)", "cluster 1", "water (cluster 2)", "road (cluster 3)")
    assert found.colors[[0, 2, 3]].tolist() == [[0, 0, 255], [0, 0, 255], [0, 255, 0]]
    assert seen_distance(found.colors[1:2], found.class_colors).min() > 15
    assert found.entries([1, 1, 1, 0, 0]) == [
        ("water (clusters 0, 2)", (0, 0, 255)),
        ("cluster 1", tuple(found.colors[1].tolist())),
    ]


# ---------------------------------------------------------------------------------------- exported label maps


@settings(max_examples=12)
@given(data=st.data())
def test_exported_maps_are_the_maps(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    draw = data.draw
    factor = draw(st.sampled_from([1, 2, 3]))
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    patch = draw(st.integers(0, 24))
    stride = draw(st.integers(0, patch))
    folder = tmp_path_factory.mktemp("export")
    values = np.random.default_rng(draw(st.integers(0, 99))).integers(0, 5, (height, width)).astype(np.uint8)
    values[values == 4] = 255
    source = (height * factor, width * factor)
    assert working_grid(*source, scale=1 / factor) == (height, width)
    path = segmentation(folder / "a.h5", [values], sources=[source], patch=patch, stride=stride)
    format_ = draw(st.sampled_from(["png", "tiff"]))
    out = export(path, folder / "out", Export(to=(format_,)), workers=1).path
    (name,) = [name for name in files_of(out) if name not in ("classes.csv", "unseg.json")]
    found = read_index(out / name)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, values.repeat(factor, axis=0).repeat(factor, axis=1))


def test_a_map_of_many_categories_has_16_bits_and_its_void_too(tmp_path: Path) -> None:
    values = np.array([[0, 299], [7, 65535]], np.uint16)
    path = segmentation(tmp_path / "a.h5", [values], clusters=300)
    out = export(path, tmp_path / "out", LABELS, workers=1).path
    found = read_index(out / "p0.png")
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, values)
    about = json.loads((out / "unseg.json").read_text())
    assert (about["dtype"], about["void"]) == ("uint16", 65535)


@pytest.mark.parametrize(("clusters", "dtype"), [(255, np.uint8), (256, np.uint16)])
def test_255_categories_and_void_fit_into_8_bits(clusters: int, dtype: Any, tmp_path: Path) -> None:
    path = segmentation(tmp_path / "a.h5", [np.array([[clusters - 1]], np.uint16)], clusters=clusters)
    assert read_index(export(path, tmp_path / "out", LABELS, workers=1).path / "p0.png").dtype == dtype


def test_superpixels_of_several_windows_keep_apart_in_an_export(make_images: MakeImages, tmp_path: Path) -> None:
    images = Images(patch=32, stride=24)
    sp = superpixels([make_images(count=1)], tmp_path / "sp.h5", Superpixels(), images, workers=1).path
    out = export(sp, tmp_path / "out", Export(to=("tiff",)), workers=1).path
    found = tifffile.imread(out / "p0.tif")
    with store.open_artifact(sp) as artifact:
        counts = artifact.table("windows/superpixels")
    first = found[:20, :20]
    last = found[-8:, -8:]
    assert first.max() < counts[0]
    assert last.min() >= counts[:-1].sum()


def test_upright_images_have_upright_maps(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    (tmp_path / "data").mkdir()
    Image.fromarray(four_quadrants(40, 60)).save(tmp_path / "data" / "p.png", exif=exif)
    seg = cluster([tmp_path / "data"], tmp_path / "seg.h5", Cluster(features="bands", classes=4), workers=1).path
    out = export(seg, tmp_path / "out", LABELS, workers=1).path
    with Image.open(out / "p.png") as shown:
        assert shown.size == (40, 60)
        assert shown.getexif().get(274) is None


NAMES = [
    "../../x.png", "/etc/x.png", "a/../b.png", "C:\\win\\x.png", "nul\0byte.png", "con.png", "COM1", "aux.tar/b.png",
    "x.jpg", "x.png", "X.tif", "sub/x.png", "x.jpg.png", "...", "", ".", "trailing. /p .png", "ü.png", "u\u0308.png",
    "y" * 400 + ".png", "水" * 150 + ".png", "lone\udc80.png", "odd\ud800.png", "x.png/inner.png",
    "a?b*c|d.png", "-rf.png",
]  # fmt: skip


def test_names_stay_inside_and_apart() -> None:
    found = safe_names(NAMES, ".png")
    for name in found:
        path = PurePosixPath(name)
        assert not path.is_absolute()
        assert ".." not in path.parts
        assert not set('\0<>:"|?*\\') & set(name)
        assert path.suffix == ".png"
        for part in path.parts:
            assert len(part.encode("utf-8", "surrogateescape")) <= LONGEST_PART + 10
            assert part.split(".")[0].lower() not in ("con", "nul", "aux", "com1")
            assert not part.endswith((" ", "."))
    assert len({name.casefold() for name in found}) == len(NAMES)
    folders = {str(parent) for name in found for parent in PurePosixPath(name).parents}
    assert not folders & set(found)
    by_name = dict(zip(NAMES, found, strict=True))
    assert by_name["sub/x.png"] == "sub/x.png"
    assert by_name["../../x.png"].startswith("x.png")
    assert safe_names(["x.jpg", "x.png", "y.jpg"], ".png") == ["x.jpg.png", "x.png.png", "y.png"]


@settings(max_examples=200)
@given(st.lists(st.text(st.sampled_from("aB./\\\0 .:#2é"), max_size=12), max_size=8))
def test_any_names_stay_inside_and_apart(names: list[str]) -> None:
    found = safe_names(names, ".tif")
    assert len({name.casefold() for name in found}) == len(names)
    folders = {parent.as_posix().casefold() for name in found for parent in PurePosixPath(name).parents}
    for name in found:
        assert name.casefold() not in folders
        assert ".." not in PurePosixPath(name).parts
        assert not PurePosixPath(name).is_absolute()


def test_every_name_is_written_below_the_folder(tmp_path: Path) -> None:
    names = [name for name in NAMES if "\0" not in name and "\ud800" not in name]
    maps = [np.full((3, 3), number % 4, np.uint8) for number in range(len(names))]
    path = segmentation(tmp_path / "in" / "a.h5", maps, names)
    before = files_of(tmp_path)
    out = export(path, tmp_path / "in" / "deep" / "out", LABELS, workers=1).path
    assert len(files_of(out)) == len(names) + 2
    assert [name for name in files_of(tmp_path) if not name.startswith("in/deep/out/")] == before


def test_pages_have_their_number_before_the_suffix(tmp_path: Path) -> None:
    maps = [np.full((3, 3), number, np.uint8) for number in range(3)]
    path = segmentation(tmp_path / "a.h5", maps, ["s/stack.tif#0", "s/stack.tif#2", "odd#name.png"])
    out = export(path, tmp_path / "out", LABELS, workers=1).path
    assert files_of(out) == ["classes.csv", "odd#name.png", "s/stack_0.png", "s/stack_2.png", "unseg.json"]
    assert read_index(out / "s" / "stack_2.png").max() == 1


def test_names_that_are_no_utf8_are_kept(tmp_path: Path) -> None:
    path = segmentation(tmp_path / "a.h5", [np.zeros((3, 3), np.uint8)], ["caf\udce9.png"])
    assert "caf\udce9.png" in files_of(export(path, tmp_path / "out", LABELS, workers=1).path)
    page = visualize(path, tmp_path / "page", Visualize(panels=True), workers=1).path
    assert page_data(page)["images"][0]["name"] == "caf\ufffd.png"
    assert "panels/caf_.png" in files_of(page)  # a browser has no address for the other name
    assert b"caf\xe9.png" in (export(path, tmp_path / "csv", CSV, workers=1).path / "areas.csv").read_bytes()


# ---------------------------------------------------------------------------------------- areas


@settings(max_examples=60)
@given(
    grid=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    source=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    seed=st.integers(0, 99),
)
def test_areas_are_those_of_the_painted_map(grid: tuple[int, int], source: tuple[int, int], seed: int) -> None:
    from unsegcli.core.geometry import sample_nearest

    values = np.random.default_rng(seed).integers(-1, 4, grid).astype(np.int32)
    painted = sample_nearest(values, source)
    expected = [int((painted == number).sum()) for number in (0, 1, 2, 3, -1)]
    assert areas(values, source, 4) == expected


def test_table_sums_to_the_pixels_and_shares_to_one(scene: Path) -> None:
    out = export(scene / "seg.h5", scene / "out", CSV, workers=1).path
    rows = list(csv.DictReader(io.StringIO((out / "areas.csv").read_text(), newline="")))
    assert [row["name"] for row in rows] == ["p0.png", "p1.png", "p2.png", "total"]
    for row in rows[:3]:
        assert int(row["height"]) * int(row["width"]) == 48 * 64
        assert sum(int(value) for name, value in row.items() if name.endswith(" pixels")) == 48 * 64
        assert sum(float(value) for name, value in row.items() if name.endswith(" share")) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@x", "\tx", "\rx"])
def test_no_cell_is_a_formula(name: str) -> None:
    assert no_formula(name) == f"'{name}"
    table = csv_bytes([[name, 4]]).decode()
    assert list(csv.reader(io.StringIO(table, newline=""))) == [[f"'{name}", "4"]]
    assert no_formula("a=1") == "a=1"


def test_negative_numbers_are_no_formulas() -> None:
    assert csv_bytes([[Number("-0.5"), -2, "-3"]]) == b"-0.5,-2,'-3\r\n"


def test_an_export_reads_no_labels(scene: Path, caplog: pytest.LogCaptureFixture) -> None:
    for path in (scene / "data" / "labels").iterdir():
        path.write_bytes(b"broken")
    for params in (LABELS, CSV):
        export(scene / "seg.h5", scene / params.to[0], params, workers=1)
    assert "reading labels" not in said(caplog)


def test_superpixels_have_no_areas(scene: Path) -> None:
    with pytest.raises(ConfigError, match="no categories"):
        export(scene / "sp.h5", scene / "out", CSV, workers=1)


# ---------------------------------------------------------------------------------------- the folder


def stamps(folder: Path) -> dict[str, int]:
    return {name: (folder / name).stat().st_mtime_ns for name in files_of(folder)}


def test_same_recipe_is_left_alone_and_another_replaces_our_files_only(
    scene: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = export(scene / "seg.h5", scene / "out", LABELS, workers=1).path
    before = stamps(out)
    export(scene / "seg.h5", scene / "out", LABELS, workers=1)
    assert stamps(out) == before
    assert "up to date" in said(caplog)
    (out / "notes.txt").write_text("mine")
    export(scene / "seg.h5", scene / "out", LABELS, limit=1, workers=1)
    assert files_of(out) == ["classes.csv", "notes.txt", "p0.png", "unseg.json"]
    assert "will be replaced: limit " in said(caplog)
    visualize(scene / "seg.h5", scene / "out", workers=1)
    assert "holds exported files" in said(caplog)
    assert "p0.png" not in files_of(out)
    assert (out / "notes.txt").read_text() == "mine"


def test_a_missing_file_is_made_again(scene: Path) -> None:
    out = export(scene / "seg.h5", scene / "out", LABELS, workers=1).path
    (out / "p1.png").unlink()
    export(scene / "seg.h5", scene / "out", LABELS, workers=1)
    assert (out / "p1.png").exists()


def test_a_folder_of_others_is_not_touched_without_force(scene: Path) -> None:
    out = scene / "out"
    (out / "sub").mkdir(parents=True)
    (out / "p0.png").write_text("not ours")
    (out / "sub" / "keep.txt").write_text("not ours either")
    with pytest.raises(ArtifactError, match="unseg did not make"):
        export(scene / "seg.h5", out, LABELS, workers=1)
    assert files_of(out) == ["p0.png", "sub/keep.txt"]
    export(scene / "seg.h5", out, LABELS, workers=1, force=True)
    assert files_of(out) == ["classes.csv", "p0.png", "p1.png", "p2.png", "sub/keep.txt", "unseg.json"]
    assert read_index(out / "p0.png").shape == (48, 64)


def test_a_file_in_the_way_of_a_new_name_is_not_overwritten(scene: Path) -> None:
    out = export(scene / "seg.h5", scene / "out", LABELS, limit=1, workers=1).path
    (out / "p1.png").write_text("mine")
    with pytest.raises(ArtifactError, match=r"p1\.png: was not made by unseg"):
        export(scene / "seg.h5", scene / "out", LABELS, workers=1)
    assert (out / "p1.png").read_text() == "mine"
    assert not (scene / "out.partial").exists()


def test_a_forged_list_of_files_removes_nothing_outside(scene: Path) -> None:
    out = export(scene / "seg.h5", scene / "out", LABELS, workers=1).path
    about = json.loads((out / "unseg.json").read_text())
    for name in ("../seg.h5", str(scene / "seg.h5")):
        (out / "unseg.json").write_text(json.dumps({**about, "files": [name]}))
        with pytest.raises(ArtifactError, match="unseg did not make"):
            export(scene / "seg.h5", out, CSV, workers=1)
    assert (scene / "seg.h5").exists()


def test_links_out_of_the_folder_are_not_followed(scene: Path) -> None:
    path = segmentation(scene / "a.h5", [np.zeros((3, 3), np.uint8)], ["sub/p.png"])
    (scene / "elsewhere").mkdir()
    (scene / "out").mkdir()
    (scene / "out" / "sub").symlink_to(scene / "elsewhere")
    with pytest.raises(ArtifactError, match="move it away"):
        export(path, scene / "out", LABELS, workers=1, force=True)
    assert files_of(scene / "elsewhere") == []


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_stands_in_the_way_of_a_folder_or_file_is_said(kind: str, scene: Path) -> None:
    path = segmentation(scene / "a.h5", [np.zeros((3, 3), np.uint8)], ["sub/p.png"])
    out = scene / "out"
    if kind == "file":
        out.mkdir()
        (out / "sub").write_text("")
    else:
        (out / "sub" / "p.png").mkdir(parents=True)
    with pytest.raises(ArtifactError, match="move it away"):
        export(path, out, LABELS, workers=1, force=True)


def test_an_input_is_never_the_output(scene: Path, tmp_path: Path) -> None:
    maps = tmp_path / "maps"
    maps.mkdir()
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(maps / "a.png")
    with pytest.raises(ConfigError, match="is an input folder"):
        visualize(maps, tmp_path / "x" / ".." / "maps", workers=1, force=True)
    out = export(scene / "seg.h5", scene / "out", LABELS, workers=1).path
    with pytest.raises(ConfigError, match="is an input folder"):
        visualize(out, out, workers=1)
    with pytest.raises(ArtifactError, match="is not a folder"):
        visualize(scene / "seg.h5", scene / "sp.h5", workers=1)


def test_a_failure_leaves_the_old_folder(scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = export(scene / "seg.h5", scene / "out", LABELS, workers=1).path
    before = stamps(out)

    def broken(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("unsegcli.views.export_folder.export_any", broken)
    with pytest.raises(KeyboardInterrupt):
        export(scene / "seg.h5", out, CSV, workers=1)
    assert stamps(out) == before
    assert not (scene / "out.partial").exists()


def test_a_linked_partial_folder_is_not_emptied(scene: Path) -> None:
    home = scene / "home"
    home.mkdir()
    (home / "mine.txt").write_text("mine")
    (scene / "out.partial").symlink_to(home)
    with pytest.raises(ArtifactError, match=r"is a link or a file.*move it away"):
        export(scene / "seg.h5", scene / "out", CSV, workers=1)
    assert files_of(home) == ["mine.txt"]


def test_a_partial_folder_with_any_file_named_lock_is_not_removed(scene: Path) -> None:
    partial = scene / "out.partial"
    partial.mkdir()
    for name in ("lock", "mine.txt"):
        (partial / name).touch()
    with pytest.raises(ArtifactError, match=r"of another program.*move them away"):
        export(scene / "seg.h5", scene / "out", CSV, workers=1)
    assert files_of(partial) == ["lock", "mine.txt"]


@pytest.mark.parametrize(
    ("params", "more", "message"),
    [
        (Visualize(truth=False), {"labels": "x"}, "contradict"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    params: Visualize, more: dict[str, Any], message: str, scene: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        visualize(scene / "seg.h5", scene / "out", params, **more)


# ---------------------------------------------------------------------------------------- as typed


def test_only_the_folder_goes_to_standard_output(scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    from unsegcli.cli import app

    monkeypatch.chdir(scene)
    done = CliRunner().invoke(app, ["visualize", "--workers", "1", "--limit", "1"])
    assert (done.stdout, done.exit_code) == ("visualization\n", 0)
    assert "using seg.h5" in done.stderr
    assert "reading labels from" in done.stderr
    assert re.search(r"visualize: 1 image, [\d.]+ s -> visualization\n$", done.stderr)
    again = CliRunner().invoke(app, ["visualize", "--workers", "1", "--limit", "1"])
    assert again.stderr.endswith("nothing to do\nlabels were used for display\nvisualize: 1 image in visualization\n")
    done = CliRunner().invoke(app, ["visualize", "seg.h5", "--export", "csv"])
    assert "--export: is now `unseg export --to png`, tiff or geotiff (labels)" in " ".join(done.stderr.split())
    assert done.exit_code == 2
    done = CliRunner().invoke(app, ["visualize", "seg.h5", "--dry-run", "-o", "new"])
    assert (done.stdout, done.exit_code) == ("", 0)
    assert "open " not in done.stderr


def test_proposals_are_shown_when_they_are_named_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_images: MakeImages
) -> None:
    from typer.testing import CliRunner

    from unsegcli.cli import app

    monkeypatch.chdir(tmp_path)
    segmentation(tmp_path / "p.h5", [np.eye(9, dtype=np.uint8)], role="proposal", clusters=2)
    done = CliRunner().invoke(app, ["visualize"])
    assert done.exit_code == 1
    assert "no input given" in done.stderr
    done = CliRunner().invoke(app, ["visualize", "p.h5", "--workers", "1"])
    assert (done.stdout, done.exit_code) == ("visualization\n", 0)
    segmentation(tmp_path / "s.h5", [np.eye(9, dtype=np.uint8)])
    done = CliRunner().invoke(app, ["visualize", "-o", "v2", "--workers", "1"])
    assert "using s.h5" in done.stderr


def test_clusters_differ_from_each_other_also_beside_many_classes() -> None:
    """With 23 classes few colours are left that no class can be taken for; then the next ones are taken."""
    from unsegcli.core.palette import palette
    from unsegcli.views.categories import _unlike

    assert len({tuple(color) for color in _unlike(palette(23), 23).tolist()}) >= 23
