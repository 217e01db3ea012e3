"""Scores of label maps: by hand, by the published codes' traps, and the shape of the output."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from called import cluster, evaluate, superpixels
from conftest import MakeImages, four_quadrants
from numpy.typing import NDArray
from PIL import Image

from unsegcli import store
from unsegcli.dataflow import scored_runs
from unsegcli.errors import ArtifactError, ConfigError, DataError
from unsegcli.labels import read_labels
from unsegcli.params import Cluster, Evaluate, Images, Superpixels

PLAIN = Evaluate(replicates=0)
QUADRANTS = np.repeat(np.repeat(np.array([[0, 1], [2, 3]], np.uint8), 24, axis=0), 32, axis=1)


def save(path: Path, values: NDArray[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return path


def folders(tmp_path: Path, predicted: list[NDArray[Any]], truth: list[NDArray[Any]]) -> tuple[Path, Path]:
    """Label maps of another tool, and labels, in two folders."""
    for number, (one, other) in enumerate(zip(predicted, truth, strict=True)):
        save(tmp_path / "maps" / f"{number}.png", one.astype(np.uint8))
        save(tmp_path / "truth" / f"{number}.png", other.astype(np.uint8))
    return tmp_path / "maps", tmp_path / "truth"


def score(tmp_path: Path, maps: Path, truth: Path, params: Evaluate = PLAIN, **more: Any) -> dict[str, Any]:
    return evaluate([maps], tmp_path / "metrics.h5", params, labels=truth, workers=1, force=True, **more).scores


@pytest.fixture
def labelled(make_images: MakeImages, tmp_path: Path) -> Path:
    """A data set: data/images, data/labels, data/classes.toml."""
    make_images("data/images")
    for number in range(3):
        save(tmp_path / "data" / "labels" / f"p{number}.png", QUADRANTS)
    (tmp_path / "data" / "classes.toml").write_text(
        "".join(f'[[class]]\nname = "{name}"\nfrom = [{number}]\n' for number, name in enumerate("abcd"))
    )
    return tmp_path / "data"


def test_by_hand(tmp_path: Path) -> None:
    """Ten pixels: cluster 0 has 3 of class 1 and 1 of class 0; cluster 1 has 4 of class 0 and 2 of class 1."""
    maps, truth = folders(tmp_path, [np.array([[0] * 4 + [1] * 6])], [np.array([[1, 1, 1, 0, 0, 0, 0, 0, 1, 1]])])
    found = score(tmp_path, maps, truth)
    assert found["scores"]["accuracy"] == pytest.approx(7 / 10)
    # Class 0: 4 / (5 + 6 - 4); class 1: 3 / (5 + 4 - 3).
    assert found["scores"]["miou"] == pytest.approx((4 / 7 + 3 / 6) / 2)
    assert found["assignment"] == [1, 0]
    assert [row["precision"] for row in found["per_class"]] == pytest.approx([4 / 6, 3 / 4])
    assert [row["recall"] for row in found["per_class"]] == pytest.approx([4 / 5, 3 / 5])
    assert found["chance"]["largest_class"] == pytest.approx(0.5)
    assert found["pixels"] == {"scored": 10, "ignored": 0, "unmatched": 0, "dropped": 0}


def test_renaming_the_clusters_changes_nothing(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    truth = [random.integers(0, 4, (20, 30)) for _ in range(3)]
    predicted = [np.where(random.random(t.shape) < 0.6, t, random.integers(0, 4, t.shape)) for t in truth]
    renamed = [np.array([2, 3, 1, 0])[p] for p in predicted]
    first = score(tmp_path / "a", *folders(tmp_path / "a", predicted, truth))
    second = score(tmp_path / "b", *folders(tmp_path / "b", renamed, truth))
    for name in ("accuracy", "miou", "nmi", "ari"):
        assert first["scores"][name] == pytest.approx(second["scores"][name])


def test_unmatched_clusters_are_wrong_and_reported(tmp_path: Path) -> None:
    """Class 0 is split into clusters 0 (6 pixels) and 2 (4 pixels): the 4 are lost, unless many go to one."""
    maps, truth = folders(tmp_path, [np.array([[0] * 6 + [2] * 4 + [1] * 10])], [np.array([[0] * 10 + [1] * 10])])
    found = score(tmp_path, maps, truth)
    assert found["scores"]["accuracy"] == pytest.approx(16 / 20)
    assert found["pixels"]["unmatched"] == 4
    assert found["assignment"] == [0, 1, -1]
    assert score(tmp_path, maps, truth, Evaluate(matching="many-to-one", replicates=0))["scores"]["accuracy"] == 1
    stego = score(tmp_path, maps, truth, Evaluate(protocol="stego", replicates=0))
    assert stego["scores"]["accuracy"] == 1, "STEGO's code drops the pixels of extra clusters"
    assert stego["pixels"]["dropped"] == 4
    assert stego["protocol"]["not_reproduced"]


@pytest.mark.parametrize(("half", "accuracy", "assignment"), [("even", 0.3, [0, 1]), ("odd", 0.5, [1, 1])])
def test_clusters_named_on_one_half_are_scored_on_the_other(
    tmp_path: Path, half: str, accuracy: float, assignment: list[int]
) -> None:
    """On the first and third image both clusters are their class; on the second, both are mostly class 1."""
    clusters = np.array([[0] * 10 + [1] * 10])
    truths = [clusters, np.array([[1] * 10 + [0] * 4 + [1] * 6]), clusters]
    maps, truth = folders(tmp_path, [clusters] * 3, truths)
    found = score(tmp_path, maps, truth, Evaluate(matching="many-to-one", named_on=half, replicates=20))
    assert found["scores"]["accuracy"] == accuracy
    assert found["interval"]["accuracy"][0] <= accuracy <= found["interval"]["accuracy"][1]
    assert found["assignment"] == assignment
    assert found["pixels"]["scored"] == (20 if half == "even" else 40)
    assert found["protocol"]["named_on"] == f"{half} images, which are not scored"


def test_naming_on_one_half_is_only_for_many_to_one_and_clusters(tmp_path: Path) -> None:
    maps, truth = folders(tmp_path, [np.zeros((4, 6), int)] * 2, [np.zeros((4, 6), int)] * 2)
    with pytest.raises(ConfigError, match="add --many-to-one"):
        score(tmp_path, maps, truth, Evaluate(named_on="even"))
    with pytest.raises(ConfigError, match="only for clusters"):
        score(tmp_path, maps, truth, Evaluate(matching="many-to-one", named_on="even", role="classes"))
    for half in ("even", "odd"):
        alone = folders(tmp_path / half, [np.zeros((4, 6), int)], [np.zeros((4, 6), int)])
        with pytest.raises(DataError, match="at least two images"):
            score(tmp_path, *alone, Evaluate(matching="many-to-one", named_on=half))


def test_fewer_clusters_than_classes(tmp_path: Path) -> None:
    maps, truth = folders(tmp_path, [np.zeros((4, 6), int)], [np.array([[0, 1, 2] * 2] * 4)])
    found = score(tmp_path, maps, truth)
    assert found["scores"]["accuracy"] == pytest.approx(1 / 3)
    assert found["scores"]["miou"] == pytest.approx(1 / 9)


def test_matching_each_image_is_shown_as_an_oracle_only(tmp_path: Path) -> None:
    """Perfect regions with numbers shuffled in every image: no meaning at all, and yet 100 % image by image."""
    truth = [QUADRANTS] * 4
    predicted = [np.roll(np.arange(4), shift)[QUADRANTS] for shift in range(4)]
    found = score(tmp_path, *folders(tmp_path, predicted, truth), Evaluate(per_image=True, replicates=0))
    assert found["oracle_per_image"]["accuracy"] == 1
    assert "oracle" in found["oracle_per_image"]["what"]
    assert found["scores"]["accuracy"] == pytest.approx(0.25)


def test_ignored_values_are_not_scored(tmp_path: Path) -> None:
    labels = np.array([[0, 0, 1, 1, 255, 255]])
    maps, truth = folders(tmp_path, [np.array([[0, 0, 1, 1, 0, 1]])], [labels])
    found = score(tmp_path, maps, truth, Evaluate(ignore=(255,), replicates=0))
    assert found["scores"]["accuracy"] == 1
    assert found["pixels"]["scored"] == 4
    assert found["pixels"]["ignored"] == 2


def test_a_label_of_255_without_a_legend_is_pointed_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    maps, truth = folders(tmp_path, [np.zeros((2, 3), int)], [np.array([[0, 1, 255]] * 2)])
    assert score(tmp_path, maps, truth, Evaluate(replicates=0))["protocol"]["classes"] == 256
    assert "use --ignore 255" in caplog.text
    caplog.clear()
    score(tmp_path, maps, truth, Evaluate(ignore=(255,), replicates=0))
    assert "--ignore" not in caplog.text


def test_mean_iou_is_over_one_matrix_not_over_images(tmp_path: Path) -> None:
    """One large right image, one small wrong one: the mean over images would be far lower."""
    truth = [np.repeat([[0], [1]], 50, axis=0) * np.ones((1, 50), int), np.array([[0, 1]])]
    predicted = [truth[0], np.array([[1, 0]])]
    found = score(tmp_path, *folders(tmp_path, predicted, truth))
    assert found["scores"]["miou"] > 0.99


def test_object_masks_and_their_polarity(tmp_path: Path) -> None:
    truth = np.array([[1, 1, 1, 0, 0, 0, 0, 0]])
    upright, turned = np.array([[1, 1, 0, 0, 0, 0, 0, 0]]), np.array([[0, 0, 0, 1, 1, 1, 1, 1]])
    maps, labels = folders(tmp_path, [upright, turned], [truth, truth])
    given = score(tmp_path, maps, labels, role="mask")
    assert given["scores"]["iou"] == pytest.approx((2 / 3 + 0) / 2)
    assert given["scores"]["dice"] == pytest.approx((4 / 5 + 0) / 2)
    assert given["scores"]["accuracy"] == pytest.approx((7 / 8 + 0) / 2)
    assert given["protocol"]["level"] == "image"
    assert not given["oracle_polarity"]
    best = score(tmp_path, maps, labels, Evaluate(protocol="iem", replicates=0), role="mask")
    assert best["scores"]["iou"] == pytest.approx((2 / 3 + 1) / 2)
    assert best["oracle_polarity"]


def test_object_masks_with_confidence_have_a_max_f(labelled: Path, tmp_path: Path) -> None:
    sp = superpixels([labelled], tmp_path / "sp.h5", Superpixels(pixels_per_segment=100), workers=1).path
    seg = cluster([sp], tmp_path / "seg.h5", Cluster(classes=2), workers=1).path
    mask = (QUADRANTS > 0).astype(np.uint8)
    with store.open_artifact(seg) as artifact:
        copied = [name for name in artifact.field_names() if name.split("/")[0] in ("sources", "windows", "skipped")]
        windows = [{"segmentation": store.encode(mask), "confidence": store.encode(mask.astype(np.float32))}] * 3
        target = store.Target(tmp_path / "mask.h5", "segmentation", {"stage": "a test"})
        tables = {name: artifact.table(name) for name in copied}
        attributes = {"role": "mask", "clusters": 2, "reading": artifact.attributes["reading"]}
        store.write_whole(target, tables, attributes, {}, windows)
    found = evaluate([target.path], tmp_path / "m.h5", PLAIN, workers=1).scores
    assert found["scores"]["iou"] == 1
    assert found["scores"]["max_f"] == pytest.approx(1)


def test_superpixels_against_several_annotators(labelled: Path, tmp_path: Path) -> None:
    sp = superpixels([labelled], tmp_path / "sp.h5", Superpixels(pixels_per_segment=100), workers=1).path
    found = evaluate([sp], tmp_path / "m.h5", PLAIN, workers=1).scores
    assert found["scores"]["boundary_recall"] == 1
    assert found["scores"]["undersegmentation_error"] == 0
    assert found["scores"]["achievable_segmentation_accuracy"] == 1
    assert found["scores"]["explained_variation"] > 0.9
    for annotator in ("anna", "ben"):
        for number in range(3):
            values = QUADRANTS if annotator == "anna" else np.zeros_like(QUADRANTS)
            save(tmp_path / "truth" / annotator / f"p{number}.png", values)
    both = evaluate([sp], tmp_path / "m2.h5", PLAIN, labels=tmp_path / "truth", workers=1).scores
    # Against one region for the whole image there is no border to recall and nothing to leak into.
    assert both["scores"]["boundary_recall"] == 1
    assert both["scores"]["achievable_segmentation_accuracy"] == 1


def test_labels_and_legend_are_found_beside_the_images(
    labelled: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "unseg")
    seg = cluster([labelled], tmp_path / "seg.h5", Cluster(classes=4, features="bands", blur=1), workers=1).path
    found = evaluate([seg], tmp_path / "m.h5", PLAIN, workers=1).scores
    assert found["scores"]["accuracy"] > 0.9
    assert [row["class"] for row in found["per_class"]] == list("abcd")
    assert found["labels_used"] == "scoring"
    assert "reading labels from" in caplog.text


def test_working_grid_and_source_grid(labelled: Path, tmp_path: Path) -> None:
    params = Cluster(classes=4, features="bands", blur=1)
    small = cluster([labelled], tmp_path / "s.h5", params, Images(scale=0.5), workers=1).path
    on_source = evaluate([small], tmp_path / "a.h5", PLAIN, workers=1).scores
    on_working = evaluate([small], tmp_path / "b.h5", Evaluate(grid="working", replicates=0), workers=1).scores
    assert on_source["pixels"]["scored"] == 3 * 48 * 64
    assert on_working["pixels"]["scored"] == 3 * 24 * 32
    assert on_source["scores"]["accuracy"] > 0.85


def test_patches_are_scored_once_each_pixel(labelled: Path, tmp_path: Path) -> None:
    params = Cluster(classes=4, features="bands", blur=1)
    seg = cluster([labelled], tmp_path / "s.h5", params, Images(patch=30, stride=17), workers=1).path
    assert evaluate([seg], tmp_path / "a.h5", PLAIN, workers=1).scores["pixels"]["scored"] == 3 * 48 * 64


def test_turned_images_and_labels_as_stored(tmp_path: Path) -> None:
    """EXIF turns the image; a label file drawn on the stored pixels has no such tag."""
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "data" / "images").mkdir(parents=True)
    Image.fromarray(four_quadrants()).save(tmp_path / "data" / "images" / "p.png", exif=exif)
    params = Cluster(classes=4, features="bands", blur=1)
    seg = cluster([tmp_path / "data"], tmp_path / "seg.h5", params, workers=1).path
    for labels in (QUADRANTS, np.rot90(QUADRANTS, -1)):
        save(tmp_path / "data" / "labels" / "p.png", np.ascontiguousarray(labels))
        found = evaluate([seg], tmp_path / "m.h5", PLAIN, workers=1).scores
        assert found["scores"]["accuracy"] > 0.9, labels.shape


def test_missing_label_is_warned_about_and_counted(
    labelled: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (labelled / "labels" / "p1.png").unlink()
    seg = cluster([labelled], tmp_path / "seg.h5", Cluster(classes=4, features="bands"), workers=1).path
    found = evaluate([seg], tmp_path / "m.h5", PLAIN, workers=1).scores
    assert found["missing"] == ["p1.png"]
    assert found["images"] == 2
    assert "p1.png" in caplog.text


def test_several_runs_have_a_mean_and_a_deviation(labelled: Path, tmp_path: Path) -> None:
    runs = [
        cluster(
            [labelled], tmp_path / f"{seed}.h5", Cluster(classes=4, features="bands", seed=seed, starts=1), workers=1
        ).path
        for seed in range(3)
    ]
    found = evaluate(runs, tmp_path / "m.h5", PLAIN, workers=1).scores
    accuracies = [run["scores"]["accuracy"] for run in found["runs"]]
    assert found["mean"]["accuracy"] == pytest.approx(np.mean(accuracies))
    assert found["standard_deviation"]["accuracy"] == pytest.approx(np.std(accuracies, ddof=1))


def test_interval_holds_the_score_and_is_seeded(labelled: Path, tmp_path: Path) -> None:
    seg = cluster([labelled], tmp_path / "seg.h5", Cluster(classes=4, features="bands"), workers=1).path
    first = evaluate([seg], tmp_path / "a.h5", Evaluate(replicates=100), workers=1).scores
    again = evaluate([seg], tmp_path / "b.h5", Evaluate(replicates=100), workers=2).scores
    assert first == again
    low, high = first["interval"]["accuracy"]
    assert low <= first["scores"]["accuracy"] <= high


def test_kept_in_an_artifact_and_told_again(labelled: Path, tmp_path: Path) -> None:
    seg = cluster([labelled], tmp_path / "seg.h5", Cluster(classes=4, features="bands"), workers=1).path
    first = evaluate([seg], tmp_path / "m.h5", PLAIN, workers=1)
    before = first.path.stat().st_mtime_ns
    assert evaluate([seg], tmp_path / "m.h5", PLAIN, workers=1) == first
    assert first.path.stat().st_mtime_ns == before
    with store.open_artifact(first.path, "metrics") as artifact:
        assert json.loads(bytes(artifact.table("scores"))) == first.scores
        assert artifact.table("matrix").sum() == first.scores["pixels"]["scored"]
        assert store.problems_of(artifact) == []
    values = QUADRANTS.copy()
    values[0, 0] = 3
    save(labelled / "labels" / "p0.png", values)
    assert evaluate([seg], tmp_path / "m.h5", PLAIN, workers=1).scores != first.scores, "changed labels are noticed"


SCHEMA = {
    "version": int,
    "labels_used": str,
    "pretrained": list,
    "input": str,
    "role": str,
    "protocol": dict,
    "scores": dict,
    "interval": dict,
    "chance": dict,
    "pixels": dict,
    "per_class": list,
    "assignment": list,
    "images": int,
    "missing": list,
}
PROTOCOL_KEYS = {
    *("name", "matching", "cost", "named_on", "level", "clusters", "classes"),
    *("miou_over", "ignore", "grid", "polarity", "not_reproduced"),
}


def check_schema(found: dict[str, Any]) -> None:
    for key, type_ in SCHEMA.items():
        assert isinstance(found[key], type_), key
    assert found["protocol"].keys() == PROTOCOL_KEYS
    assert found["pixels"].keys() == {"scored", "ignored", "unmatched", "dropped"}
    assert all(isinstance(value, int | float | None) for value in found["scores"].values())
    if "oracle_ceiling" in found:
        assert found["oracle_ceiling"].keys() == {"what", "background", "component", "picture"}
        assert all(found["oracle_ceiling"][sort].keys() == {"accuracy", "miou"} for sort in ("component", "picture"))
    for row in found["per_class"]:
        assert row.keys() == {"class", "iou", "precision", "recall", "pixels", "predicted"}
    for row in found["pretrained"]:
        assert row.keys() == {"name", "licence", "labels"}
    json.dumps(found, allow_nan=False)


def test_labels_that_change_while_they_are_read_are_not_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their digest is computed before, and would name other labels."""
    maps, truth = folders(tmp_path, [QUADRANTS] * 2, [QUADRANTS] * 2)

    def read(path: Path, *rest: Any) -> Any:
        if path.name.startswith(("0", "p0")):
            save(path, QUADRANTS * 0)
        return read_labels(path, *rest)

    monkeypatch.setattr("unsegcli.stages.evaluate.read_labels", read)
    with pytest.raises(DataError, match="labels have changed while they were read"):
        evaluate([maps], tmp_path / "m.h5", labels=truth, workers=1)
    assert not (tmp_path / "m.h5").exists()


def test_schema_of_every_sort_of_result(labelled: Path, tmp_path: Path) -> None:
    sp = superpixels([labelled], tmp_path / "sp.h5", Superpixels(pixels_per_segment=100), workers=1).path
    seg = cluster([sp], tmp_path / "seg.h5", Cluster(classes=5), workers=1).path
    check_schema(evaluate([seg], tmp_path / "a.h5", Evaluate(replicates=50, per_image=True), workers=1).scores)
    check_schema(evaluate([sp], tmp_path / "b.h5", PLAIN, workers=1).scores)
    maps, truth = folders(tmp_path, [QUADRANTS > 0], [QUADRANTS > 0])
    check_schema(score(tmp_path, maps, truth, role="mask"))
    check_schema(score(tmp_path, maps, truth, role="classes"))


@pytest.mark.parametrize(("named_on", "names"), [("", ["p0.png", "p1.png", "p2.png"]), ("even", ["p1.png"])])
def test_the_matrix_of_each_scored_image_is_stored(
    named_on: str, names: list[str], labelled: Path, tmp_path: Path
) -> None:
    sp = superpixels([labelled], tmp_path / "sp.h5", Superpixels(pixels_per_segment=100), workers=1).path
    seg = cluster([sp], tmp_path / "seg.h5", Cluster(classes=5), workers=1).path
    params = Evaluate(replicates=0, matching="many-to-one", named_on=named_on)
    with store.open_artifact(evaluate([seg], tmp_path / "a.h5", params, workers=1).path) as artifact:
        assert store.problems_of(artifact) == []
        assert artifact.table("images/name") == names
        assert len(artifact.table("per-image")) == len(names)
        assert artifact.table("matrix").sum() > 0


def counts_of(artifact: store.Artifact, run: int) -> dict[str, NDArray[Any]]:
    """Pixels by cluster and class of each image of a run, from the pairs of a metrics file."""
    found: dict[str, NDArray[Any]] = {}
    for number, image, cluster_, class_, pixels in artifact.table("pairs").tolist():
        if number == run:
            found.setdefault(artifact.table("images/name")[image], np.zeros((6, 4), int))[cluster_, class_] = pixels
    return found


def test_the_counts_of_each_image_are_stored_of_many_images_and_of_several_runs(
    labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sp = superpixels([labelled], tmp_path / "sp.h5", Superpixels(pixels_per_segment=100), workers=1).path
    runs = [cluster([sp], tmp_path / f"{n}.h5", Cluster(classes=5, seed=n, starts=1), workers=1).path for n in range(2)]
    with store.open_artifact(evaluate(runs[:1], tmp_path / "one.h5", PLAIN, workers=1).path) as artifact:
        each = dict(zip(artifact.table("images/name"), artifact.table("per-image"), strict=True))
    monkeypatch.setattr(scored_runs, "MOST_VALUES", 10)
    for given in (runs[:1], runs):
        with store.open_artifact(evaluate(given, tmp_path / "a.h5", PLAIN, workers=1, force=True).path) as artifact:
            assert store.problems_of(artifact) == []
            assert not artifact.has("per-image")
            assert artifact.has("matrix") is (given != runs)
            found = counts_of(artifact, 0)
            assert {name: matrix.tolist() for name, matrix in found.items()} == {k: v.tolist() for k, v in each.items()}
            assert bool(counts_of(artifact, 1)) is (given == runs)


def test_the_scores_of_each_mask_are_stored(tmp_path: Path) -> None:
    left = QUADRANTS % 2
    maps, truth = folders(tmp_path, [left, left * 0], [left, left])
    score(tmp_path, maps, truth, role="mask")
    with store.open_artifact(tmp_path / "metrics.h5") as artifact:
        assert store.problems_of(artifact) == []
        at = artifact.table("images/score").index("iou")
        assert artifact.table("images/name") == ["0.png", "1.png"]
        assert artifact.table("image-scores")[0, :, at].tolist() == [1, 0]


def test_results_of_different_methods_are_no_runs_of_one(labelled: Path, tmp_path: Path) -> None:
    made = [
        cluster([labelled], tmp_path / f"{blur}.h5", Cluster(classes=4, features="bands", blur=blur), workers=1).path
        for blur in (1, 2)
    ]
    with pytest.raises(ConfigError, match=r"different methods, not runs of one: use `unseg compare .*1\.h5 .*2\.h5`"):
        evaluate(made, tmp_path / "m.h5", PLAIN, workers=1)
    with pytest.raises(ConfigError, match="different methods"):
        evaluate([made[0], labelled / "labels"], tmp_path / "m.h5", PLAIN, labels=labelled / "labels", workers=1)
    folders_only = [labelled / "labels", labelled / "labels"]
    found = evaluate(folders_only, tmp_path / "m.h5", PLAIN, labels=labelled / "labels", workers=1).scores
    assert found["mean"]["accuracy"] == 1


def test_videos_by_the_protocol_of_davis(tmp_path: Path) -> None:
    """Objects of the first labels only; the first and last frame are not scored; a folder of another tool."""
    one = np.zeros((20, 30), int)
    one[4:10, 4:10] = 1
    moved, both = np.roll(one, 3, axis=1), np.where(np.roll(one, 8, axis=0) > 0, 2, one)
    davis = Evaluate(protocol="davis")
    maps, truth = folders(tmp_path, [both, moved, one, moved, both], [one, one, one, both, one])
    found = score(tmp_path, maps, truth, davis, role="classes")
    check_schema(found)
    assert found["scores"]["j_mean"] == pytest.approx((1 / 3 + 1 + 1 / 3) / 3)
    assert found["scores"]["j_recall"] == pytest.approx(1 / 3)
    assert [row["object"] for row in found["per_object"]] == [1]
    assert found["pixels"]["scored"] == 3 * 600
    assert found["chance"]["first_labels_copied_j_and_f"] == 1
    as_one = score(tmp_path, maps, truth, davis, role="mask")
    assert as_one["scores"]["j_mean"] == pytest.approx((1 / 3 + 1 + 18 / 90) / 3), "all numbers are one object"
    with pytest.raises(ConfigError, match=r"--protocol davis scores object masks, but .* holds clusters"):
        score(tmp_path, maps, truth, davis)


def test_nothing_to_score_is_null_not_nan(tmp_path: Path) -> None:
    maps, truth = folders(tmp_path, [np.zeros((3, 3), int)], [np.full((3, 3), 255)])
    found = score(tmp_path, maps, truth, Evaluate(ignore=(255,), replicates=0))
    assert found["scores"]["accuracy"] is None
    assert not any(isinstance(value, float) and math.isnan(value) for value in found["scores"].values())


@pytest.mark.parametrize(
    ("predicted", "labels", "complaint"),
    [
        (np.zeros((4, 6), int), np.zeros((6, 6), int), "do not show the same image"),
        (np.zeros((4, 6, 3), int) + np.arange(3), np.zeros((4, 6), int), "not colours"),
    ],
)
def test_maps_that_do_not_fit(predicted: NDArray[Any], labels: NDArray[Any], complaint: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=complaint):
        score(tmp_path, *folders(tmp_path, [predicted], [labels]))


def test_legend_that_misses_a_value(labelled: Path, tmp_path: Path) -> None:
    (labelled / "classes.toml").write_text('[[class]]\nname = "a"\nfrom = [0, 1]\n')
    seg = cluster([labelled], tmp_path / "seg.h5", Cluster(classes=4, features="bands"), workers=1).path
    with pytest.raises(DataError, match=r"2, 3"):
        evaluate([seg], tmp_path / "m.h5", PLAIN, workers=1)


def test_wishes_that_cannot_be_met(labelled: Path, tmp_path: Path) -> None:
    seg = cluster([labelled], tmp_path / "seg.h5", Cluster(classes=5, features="bands"), workers=1).path
    with pytest.raises(ConfigError, match="as many clusters as classes"):
        evaluate([seg], tmp_path / "m.h5", Evaluate(protocol="picie", replicates=0), workers=1)
    with pytest.raises(ConfigError, match="object masks"):
        evaluate([seg], tmp_path / "m.h5", Evaluate(protocol="iem", replicates=0), workers=1)
    with pytest.raises(ConfigError, match="is not one of"):
        evaluate([seg], tmp_path / "m.h5", Evaluate(protocol="mine"), workers=1)
    with pytest.raises(DataError, match="no such folder"):
        evaluate([seg], tmp_path / "m.h5", labels=tmp_path / "nowhere", workers=1)
    with pytest.raises(ArtifactError, match="of kind metrics"):
        evaluate([evaluate([seg], tmp_path / "m.h5", PLAIN, workers=1).path], tmp_path / "n.h5", workers=1)
    (labelled / "labels").rename(tmp_path / "away")
    with pytest.raises(DataError, match="--labels"):
        evaluate([seg], tmp_path / "m2.h5", PLAIN, workers=1)


def test_classes_are_scored_by_the_legend_that_named_them_only(labelled: Path, tmp_path: Path) -> None:
    """Numbers alone would match anything: names must agree with the legend."""
    from called import relabel

    merged = tmp_path / "merged.toml"
    merged.write_text('[[class]]\nname = "left"\nfrom = [0, 2]\n[[class]]\nname = "right"\nfrom = [1, 3]\n')
    seg = cluster([labelled], tmp_path / "seg.h5", Cluster(classes=4, features="bands", blur=1), workers=1).path
    metrics = evaluate(
        [seg], tmp_path / "m.h5", Evaluate(matching="many-to-one", replicates=0), legend=merged, workers=1
    )
    named = relabel(seg, [], tmp_path / "named.h5", metrics=metrics.path).path
    with pytest.raises(DataError, match="--legend"):
        evaluate([named], tmp_path / "n.h5", PLAIN, workers=1)
    again = evaluate([named], tmp_path / "n.h5", PLAIN, legend=merged, workers=1).scores
    assert again["scores"]["accuracy"] == metrics.scores["scores"]["accuracy"]


def test_ignored_labels_do_not_count_for_superpixels(labelled: Path, tmp_path: Path) -> None:
    sp = superpixels([labelled], tmp_path / "sp.h5", Superpixels(pixels_per_segment=100), workers=1).path
    legend = labelled / "classes.toml"
    legend.write_text("ignore = [255]\n" + legend.read_text())
    values = QUADRANTS.copy()
    values[10:14, 10:14] = 255  # a hole that no superpixel can follow
    for number in range(3):
        save(labelled / "labels" / f"p{number}.png", values)
    found = evaluate([sp], tmp_path / "m.h5", Evaluate(replicates=50), workers=1).scores
    assert found["scores"]["boundary_recall"] == 1
    assert found["scores"]["undersegmentation_error"] == 0
    low, high = found["interval"]["compactness"]
    assert low <= found["scores"]["compactness"] <= high


def test_wishes_that_contradict_a_protocol(labelled: Path, tmp_path: Path) -> None:
    seg = cluster([labelled], tmp_path / "seg.h5", Cluster(classes=4, features="bands"), workers=1).path
    with pytest.raises(ConfigError, match="sets matching"):
        evaluate([seg], tmp_path / "m.h5", Evaluate(protocol="stego", match_by="iou"), workers=1)
    with pytest.raises(ConfigError, match="object masks"):
        evaluate([seg], tmp_path / "m.h5", Evaluate(polarity="best-of-two"), workers=1)
    with pytest.raises(DataError, match="no such file"):
        evaluate([seg], tmp_path / "m.h5", PLAIN, legend=tmp_path / "nowhere.toml", workers=1)
    with pytest.raises(ArtifactError, match="an input of this command"):
        evaluate([seg], seg, PLAIN, workers=1, force=True)


def test_ceiling_by_hand(tmp_path: Path) -> None:
    """Cluster 1 lies on an object of class 1 in one place and of class 2 in another; 0 is background."""
    predicted = np.array([[0, 1, 1, 0, 0, 1, 1, 0]])
    labels = np.array([[0, 1, 1, 0, 0, 2, 2, 2]])
    maps, truth = folders(tmp_path, [predicted], [labels])
    plain = score(tmp_path, maps, truth)
    assert "oracle_ceiling" not in plain
    found = score(tmp_path, maps, truth, Evaluate(ceiling=True, background=0, replicates=0))
    check_schema(found)
    assert found["scores"] == plain["scores"]
    ceiling = found["oracle_ceiling"]
    assert ceiling["component"]["accuracy"] == pytest.approx(7 / 8)
    # Class 0: 3 / 4, class 1: 1, class 2: 2 / 3.
    assert ceiling["component"]["miou"] == pytest.approx((3 / 4 + 1 + 2 / 3) / 3)
    assert ceiling["picture"]["accuracy"] == pytest.approx(5 / 8), "both objects get one class"
    assert ceiling["background"] == 0
    assert "oracle" in ceiling["what"]
    without = score(tmp_path, maps, truth, Evaluate(ceiling=True, replicates=0))["oracle_ceiling"]
    assert without["component"]["accuracy"] == 1, "the last pixel is a segment of its own"
    assert without["background"] is None


def test_background_keeps_the_class_that_it_was_matched_to(tmp_path: Path) -> None:
    """In the second image the background lies on class 1 throughout; as a segment it would get that."""
    truth = [np.array([[0, 0, 0, 0, 0, 1]]), np.array([[1, 1]])]
    predicted = [np.array([[0, 0, 0, 0, 0, 1]]), np.array([[0, 0]])]
    maps, labels = folders(tmp_path, predicted, truth)
    kept = score(tmp_path, maps, labels, Evaluate(ceiling=True, background=0, replicates=0))
    assert kept["oracle_ceiling"]["picture"]["accuracy"] == pytest.approx(6 / 8)
    free = score(tmp_path, maps, labels, Evaluate(ceiling=True, replicates=0))
    assert free["oracle_ceiling"]["picture"]["accuracy"] == 1


def test_wrong_wishes_for_a_ceiling(tmp_path: Path) -> None:
    maps, truth = folders(tmp_path, [QUADRANTS > 0], [QUADRANTS > 0])
    with pytest.raises(ConfigError, match=r"--ceiling is only for clusters, but .* holds mask"):
        score(tmp_path, maps, truth, Evaluate(ceiling=True), role="mask")
    with pytest.raises(ConfigError, match="is only for --ceiling"):
        score(tmp_path, maps, truth, Evaluate(background=0))
    with pytest.raises(ConfigError, match=r"--background 2: .* has only the clusters 0 to 1"):
        score(tmp_path, maps, truth, Evaluate(ceiling=True, background=2))
