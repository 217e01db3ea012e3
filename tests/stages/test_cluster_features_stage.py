"""K-means on files of features: of superpixels and of cells, right where the answer is obvious."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from called import cluster, relabel, superpixels
from numpy.typing import NDArray
from reading_back import fingerprint, maps_of, table_of

from unsegcli import store
from unsegcli.dataflow.dataset import dataset_from_artifact, release_artifacts
from unsegcli.errors import ConfigError, DataError
from unsegcli.params import AUTO, Cluster, Inputs, Run, Superpixels
from unsegcli.segmenters.baselines import peak_of
from unsegcli.segmenters.feature_files import features_file, weight_of_colours
from unsegcli.stages.cluster import cluster_each

FOUR = Cluster(classes=4)
QUADRANTS = np.repeat(np.repeat(np.array([[0, 1], [2, 3]]), 24, axis=0), 32, axis=1)
NETWORK = {
    "pretrained/name": ["lite0"],
    "pretrained/digest": ["0" * 64],
    "pretrained/licence": ["Apache-2.0"],
    "pretrained/labels": ["ImageNet-1k"],
}
CELL = 4.0  # pixels


@pytest.fixture(scope="module")
def sp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from PIL import Image

    folder = tmp_path_factory.mktemp("features")
    (folder / "data").mkdir()
    colours = np.array([[200, 30, 30], [30, 200, 30], [30, 30, 200], [220, 220, 60]])
    for number in range(3):
        noise = np.random.default_rng(number).integers(-9, 10, (48, 64, 3))
        Image.fromarray((colours[QUADRANTS] + noise).astype(np.uint8)).save(folder / "data" / f"{number}.png")
    return superpixels([folder / "data"], folder / "sp.h5", Superpixels(pixels_per_segment=100), workers=1).path


def vectors(quadrants: NDArray[Any], seed: int) -> NDArray[np.float32]:
    """Vectors (..., 9): a layer of 5 dimensions tells left from right; one of 4, a thousand times larger, the rest."""
    chance = np.random.default_rng(seed)
    directions = np.random.default_rng(7).normal(size=(2, 2, 5))
    side, level = directions[0][quadrants % 2], 1000 * directions[1][quadrants // 2][..., :4]
    found = np.concatenate([side, level], axis=-1)
    scale = np.repeat([0.05, 50.0], [5, 4])
    return (found + scale * chance.normal(size=found.shape)).astype(np.float32)


def write(sp: Path, path: Path, *, dense: bool = False, pixels: bool = True, valid: Any = None, **more: Any) -> Path:
    """Write features of the images of a superpixels file."""
    with store.open_artifact(sp) as artifact:
        windows: list[dict[str, Any]] = []
        for row in range(artifact.window_count):
            regions, window = artifact.read("superpixels", row), {}
            if dense:
                window["dense"] = vectors(QUADRANTS[2::4, 2::4], row).astype(np.float16)
            else:
                first = np.unique(regions, return_index=True)[1]
                window |= {"superpixels": regions, "features": vectors(QUADRANTS.ravel()[first], row)}
            if pixels:
                window["images"] = artifact.read("images", row)
            if valid is not None:
                window["valid"] = valid
            windows.append({name: store.encode(array) for name, array in window.items()})
        groups = ("sources", "windows", "skipped")
        names = [name for name in artifact.field_names() if name.split("/")[0] in groups]
        tables = {name: artifact.table(name) for name in names if not (dense and name == "windows/superpixels")}
        if dense:
            tables["windows/cell"] = np.full((len(windows), 2), CELL)
        tables |= {"layers/name": ["10", "15"], "layers/dimensions": np.array([5, 4], np.int32), **NETWORK, **more}
        target = store.Target(path, "features", {"stage": "a test", "name": path.name})
        store.write_whole(target, tables, {"reading": artifact.attributes["reading"]}, {}, windows)
    return path


@pytest.fixture(scope="module")
def pooled(sp: Path) -> Path:
    return write(sp, sp.with_name("pooled.h5"))


@pytest.fixture(scope="module")
def dense(sp: Path) -> Path:
    return write(sp, sp.with_name("dense.h5"), dense=True)


def agreement(found: NDArray[np.uint8]) -> float:
    """Share of pixels in the commonest pairing of each cluster with a quadrant."""
    counts = np.zeros((256, 4))
    np.add.at(counts, (found.ravel(), np.broadcast_to(QUADRANTS, found.shape).ravel()), 1)
    return float(counts.max(axis=1).sum() / found.size)


@pytest.mark.parametrize(
    "how", [{}, {"metric": "euclidean"}, {"whiten": True, "pca": 1}, {"pca": 2}, {"pca": 0}, {"colours": 1.0}]
)
def test_quadrants_are_found_though_layers_differ_in_size(pooled: Path, tmp_path: Path, how: dict[str, Any]) -> None:
    found = np.stack(maps_of(cluster([pooled], tmp_path / "a.h5", FOUR, workers=1, **how).path))
    assert agreement(found) > 0.95


@pytest.mark.parametrize("how", [{}, {"metric": "euclidean"}, {"refine": False}, {"colours": 1.0}])
def test_cells_are_drawn_at_the_pixels(dense: Path, tmp_path: Path, how: dict[str, Any]) -> None:
    found = np.stack(maps_of(cluster([dense], tmp_path / "a.h5", FOUR, workers=1, **how).path))
    assert agreement(found) > (0.99 if how.get("refine") is not False else 0.93)


@pytest.mark.parametrize("kind", ["pooled", "dense"])
def test_a_cluster_is_divided_by_the_vectors_that_made_it(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    two = cluster([request.getfixturevalue(kind)], tmp_path / "two.h5", Cluster(classes=2), workers=1).path
    one = relabel(two, [], tmp_path / "one.h5", split="1").path
    path = relabel(one, [], tmp_path / "split.h5", split="0").path
    assert agreement(np.stack(maps_of(two))) < 0.6
    assert agreement(np.stack(maps_of(path))) > 0.95
    assert len(table_of(path, "fit/centres")) == 4
    with store.open_artifact(path) as artifact:
        assert store.problems_of(artifact) == []


def test_void_stays_void_in_cells(sp: Path, tmp_path: Path) -> None:
    valid = np.ones((48, 64), bool)
    valid[:9] = False
    made = write(sp, tmp_path / "features.h5", dense=True, valid=valid)
    for found in maps_of(cluster([made], tmp_path / "a.h5", FOUR, workers=1).path):
        np.testing.assert_array_equal(found == 255, ~valid)


def test_networks_are_said_first_and_passed_on(pooled: Path, tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    made = cluster([pooled], tmp_path / "a.h5", FOUR, workers=1).path
    assert said.messages[0] == "pretrained weights: lite0 (ImageNet-1k labels)"
    assert {name: list(table_of(made, name)) for name in NETWORK} == NETWORK
    again = cluster([pooled], tmp_path / "b.h5", Cluster(), workers=1, centres=made).path
    assert {name: list(table_of(again, name)) for name in NETWORK} == NETWORK


@pytest.mark.parametrize("how", [{}, {"colours": 1.0}, {"metric": "euclidean", "pca": 3}])
@pytest.mark.parametrize("kind", ["pooled", "dense"])
def test_centres_give_the_same_maps(
    kind: str, how: dict[str, Any], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    file = request.getfixturevalue(kind)
    fitted = cluster([file], tmp_path / "fit.h5", FOUR, workers=1, **how).path
    applied = cluster([file], tmp_path / "out.h5", Cluster(), workers=1, centres=fitted).path
    np.testing.assert_array_equal(np.stack(maps_of(applied)), np.stack(maps_of(fitted)))


def test_centres_of_other_features_are_refused(sp: Path, pooled: Path, tmp_path: Path) -> None:
    fitted = cluster([pooled], tmp_path / "fit.h5", FOUR, workers=1).path
    other = write(sp, tmp_path / "other.h5", **{"pretrained/digest": ["1" * 64]})
    with pytest.raises(DataError, match=r"other.h5: other pretrained weights went in than into .*fit.h5"):
        cluster([other], tmp_path / "out.h5", Cluster(), workers=1, centres=fitted)
    other = write(sp, tmp_path / "layers.h5", **{"layers/name": ["4", "15"]})
    with pytest.raises(DataError, match=r"layers.h5: has other layers than .*fit.h5 was fitted on"):
        cluster([other], tmp_path / "out.h5", Cluster(), workers=1, centres=fitted)


@pytest.mark.slow
def test_any_number_of_workers(dense: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unsegcli.dataflow.runner.PIXELS_WORTH_A_PROCESS", 1)
    one, two = (fingerprint(cluster([dense], tmp_path / f"{n}.h5", FOUR, workers=n).path) for n in (1, 2))
    assert one == two


def test_several_numbers_and_a_number_that_is_found(pooled: Path, tmp_path: Path) -> None:
    made = cluster_each(Inputs([pooled]), Cluster(classes=(2, 4)), Run(tmp_path / "seg.h5", workers=1))
    assert [outcome.path.name for outcome in made] == ["seg-2.h5", "seg-4.h5"]
    chosen = cluster([pooled], tmp_path / "auto.h5", Cluster(classes="auto", max_classes=3), workers=1).path
    assert list(table_of(chosen, "choice/clusters")) == [2, 3]


@pytest.mark.parametrize(
    ("kind", "how", "times"),
    [("pooled", {"colours": 0}, 0), ("dense", {"refine": False}, 0), ("dense", {}, 1), ("pooled", {}, 2)],
)
def test_pixels_stay_unread_where_they_are_not_needed(
    kind: str,
    how: dict[str, Any],
    times: int,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file, read, rows = request.getfixturevalue(kind), store.Artifact.read, []

    def counting(self: store.Artifact, name: str, row: int) -> Any:
        rows.extend([row] if name == "images" else [])
        return read(self, name, row)

    monkeypatch.setattr(store.Artifact, "read", counting)
    made = cluster([file], tmp_path / "a.h5", FOUR, workers=1, **how).path
    assert [rows.count(row) for row in (1, 2)] == [times] * 2  # row 0 tells the number of bands, too
    rows.clear()
    refine = {"refine": how["refine"]} if "refine" in how else {}
    cluster([file], tmp_path / "b.h5", Cluster(), workers=1, centres=made, **refine)
    assert [rows.count(row) for row in (1, 2)] == [min(times, 1)] * 2


def test_dry_runs(pooled: Path, dense: Path, tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    for file in (pooled, dense):
        cluster([file], tmp_path / "a.h5", FOUR, workers=1, dry_run=True, limit=2)
        assert "would write" in said.messages[-1]
        assert "2 images" in said.messages[-1]
    assert not (tmp_path / "a.h5").exists()


def test_memory_is_estimated_by_sample_and_maps(pooled: Path, dense: Path) -> None:
    at_most = {}
    for name, file in (("pooled", pooled), ("dense", dense)):
        dataset = dataset_from_artifact(file)
        peak = peak_of(dataset, Cluster(classes=24, colours=0.0, refine=name == "dense"), features_file(dataset))
        at_most[name] = [peak(side * side, 3) for side in (48, 480)]
    assert at_most["pooled"][0] < 1e5  # three images with few vectors
    assert at_most["dense"][1] > 24 * 480 * 480 * 4  # at least the maps of all clusters
    release_artifacts()


@pytest.mark.parametrize(
    ("kind", "how", "says"),
    [
        ("dense", {"per": "superpixel"}, "--per superpixel: .* has one vector for each cell of a grid"),
        ("pooled", {"per": "pixel"}, "--per pixel: .* has one vector for each superpixel"),
        ("pooled", {"refine": True}, "--refine: .* has superpixels"),
        ("pooled", {"place": 0.5, "colours": 0}, "its features have no position"),
        ("dense", {"describe": ("colour",)}, "--describe: nothing is described by hand"),
        ("pooled", {"colours": -1}, "--colours -1: must be a number from 0, or auto"),
        ("pooled", {"metric": "taxi"}, "--metric taxi: is not one of"),
        ("sp", {"metric": "euclidean", "pca": 3}, "is not a file of features, but --metric, --pca is only for one"),
    ],
)
def test_settings_that_do_not_apply(
    kind: str, how: dict[str, Any], says: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with pytest.raises(ConfigError, match=says):
        cluster([request.getfixturevalue(kind)], tmp_path / "a.h5", FOUR, workers=1, **how)


def test_without_pixels(sp: Path, tmp_path: Path) -> None:
    lean = write(sp, tmp_path / "lean.h5", dense=True, pixels=False)
    for how, option in (({"colours": 1.0}, "--colours 1.0"), ({"features": "bands"}, "--features bands")):
        with pytest.raises(ConfigError, match=f"{option}: .* holds no pixels"):
            cluster([lean], tmp_path / "a.h5", FOUR, workers=1, **how)
    found = np.stack(maps_of(cluster([lean], tmp_path / "a.h5", FOUR, workers=1).path))
    assert agreement(found) > 0.93


def test_hand_crafted_features_count_more_for_more_clusters(
    pooled: Path, tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    assert [weight_of_colours(AUTO, clusters) for clusters in (2, 5, 24)] == [0.1, 0.25, pytest.approx(2 / 3)]
    assert weight_of_colours(0.3, 24) == 0.3
    cluster_each(Inputs([pooled]), Cluster(classes=(2, 4)), Run(tmp_path / "seg.h5", workers=1))
    assert [text.partition("with weight ")[2] for text in said.messages if "with weight" in text] == [
        "0.10; cosine similarity",
        "0.20; cosine similarity",
    ]
    lengths = []
    for clusters in (2, 4):
        projection = table_of(tmp_path / f"seg-{clusters}.h5", "fit/projection")
        lengths.append(np.linalg.norm(projection[9:]) / np.linalg.norm(projection[:9]))
    assert lengths[1] == pytest.approx(2 * lengths[0])


def test_hand_crafted_features_need_superpixels_and_pixels(sp: Path, dense: Path, tmp_path: Path) -> None:
    lean = write(sp, tmp_path / "lean.h5", pixels=False)
    for file in (lean, dense):
        made = cluster([file], tmp_path / "a.h5", FOUR, workers=1).path
        assert table_of(made, "fit/projection").shape[0] == 9
