"""`unseg compare`: known differences, the images that all have, runs of one method, other tools, and the page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from called import cluster, evaluate
from conftest import MakeImages
from numpy.typing import NDArray
from PIL import Image
from reading_back import fingerprint
from tiny_model import write_method, write_model
from typed import unseg

from unsegcli import store
from unsegcli.cli._tables import print_parts
from unsegcli.cli.compare import describe_comparison
from unsegcli.dataflow.dataset import dataset_from_files
from unsegcli.dataflow.label_maps import open_predictions
from unsegcli.dataflow.same_method import methods_of, same_method, untraced
from unsegcli.errors import ConfigError, DataError
from unsegcli.params import Cluster, Compare, Evaluate, Inputs, Run
from unsegcli.stages.compare import compare

IMAGES = 12
QUADRANTS = np.repeat(np.repeat(np.array([[0, 1], [2, 3]], np.uint8), 24, axis=0), 32, axis=1)
QUICK = Compare(replicates=200)


def write_maps(folder: Path, maps: list[NDArray[Any]], first: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, values in enumerate(maps, first):
        Image.fromarray(values.astype(np.uint8)).save(folder / f"p{number}.png")
    return folder


def with_errors(wrong: float, random: np.random.Generator) -> NDArray[Any]:
    """Labels of which some pixels have another class."""
    return np.where(random.random(QUADRANTS.shape) < wrong, (QUADRANTS + 1) % 4, QUADRANTS)


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    return write_maps(tmp_path / "truth", [QUADRANTS] * IMAGES)


def compared(folders: list[Path], truth: Path, tmp_path: Path, params: Compare = QUICK) -> dict[str, Any]:
    asked = Compare(**{**vars(params), "labels": truth})
    return compare(Inputs(folders), asked, Run(tmp_path / "compare.h5", workers=1, force=True)).scores


def differences(found: dict[str, Any], score: str = "accuracy") -> list[dict[str, Any]]:
    return [row for row in found["differences"] if row["score"] == score]


def test_equal_results_do_not_differ_and_a_worse_one_is_found(truth: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    maps = [with_errors(wrong, random) for wrong in random.uniform(0.1, 0.4, IMAGES)]
    worse = [np.where(random.random(one.shape) < 0.03, (one + 2) % 4, one) for one in maps]
    folders = [write_maps(tmp_path / name, some) for name, some in (("a", maps), ("b", maps), ("c", worse))]
    found = compared(folders, truth, tmp_path)
    equal, better, _ = differences(found)
    assert (equal["difference"], equal["interval"], equal["p"]) == (0, [0, 0], 1)
    assert not equal["more_than_chance"]
    assert better["more_than_chance"]
    assert 0.01 < better["interval"][0] < better["difference"] < better["interval"][1] < 0.05
    low, high = found["methods"][0]["interval"]["accuracy"]
    assert high - low > 2 * (better["interval"][1] - better["interval"][0]), "what is common to both cancels"


def test_alone_and_compared_a_result_has_the_same_scores(truth: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    folders = [write_maps(tmp_path / n, [with_errors(0.2, random) for _ in range(IMAGES)]) for n in "ab"]
    found = compared(folders, truth, tmp_path)
    alone = evaluate([folders[1]], tmp_path / "m.h5", Evaluate(replicates=200), labels=truth, workers=1).scores
    assert found["runs"][1]["scores"] == alone["scores"]
    assert found["runs"][1]["interval"] == alone["interval"]
    assert found["methods"][1]["interval"] == alone["interval"]
    with store.open_artifact(tmp_path / "compare.h5", "metrics") as artifact:
        assert store.problems_of(artifact) == []
        pairs = artifact.table("pairs")
        assert sorted(set(pairs[:, 0].tolist())) == [0, 1]
        assert pairs[:, 4].sum() == 2 * IMAGES * QUADRANTS.size
        assert json.loads(bytes(artifact.table("scores"))) == found


def test_only_images_that_all_have_count(truth: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "unseg")
    (truth / "p3.png").unlink()
    folders = [
        write_maps(tmp_path / "a", [QUADRANTS] * 12),
        write_maps(tmp_path / "b", [QUADRANTS] * 9 + [QUADRANTS * 0], first=2),
    ]
    found = compared(folders, truth, tmp_path)
    assert "10 images are in all results; left out are 2 of" in caplog.text
    assert "1 of 10 images have no label" in caplog.text
    assert "only 9 images to compare on" in caplog.text
    assert found["left_out"] == [{"input": str(folders[0]), "images": ["p0.png", "p1.png"]}]
    assert (found["missing"], found["images"]) == (["p3.png"], 9)
    assert found["runs"][0]["pixels"]["scored"] == 9 * QUADRANTS.size
    assert found["image_score"] == "accuracy"
    assert found["most_different"][0] == {"image": "p11.png", "scores": [1, 0.25], "spread": 0.75}


def test_masks_and_classes_of_other_tools(truth: Path, tmp_path: Path) -> None:
    shifted = [np.roll(QUADRANTS, number % 3, axis=1) for number in range(IMAGES)]
    folders = [write_maps(tmp_path / "a", [QUADRANTS] * IMAGES), write_maps(tmp_path / "b", shifted)]
    masks = compared(folders, truth, tmp_path, Compare(replicates=100, role="mask"))
    assert masks["methods"][0]["scores"]["iou"] == 1
    assert differences(masks, "iou")[0]["more_than_chance"]
    assert masks["image_score"] == "iou"
    classes = compared(folders, truth, tmp_path, Compare(replicates=100, role="classes"))
    assert [method["matching"] for method in classes["methods"]] == ["none", "none"]
    named = Compare(replicates=100, matching="many-to-one", named_on="even")
    halves = compared(folders, truth, tmp_path, named)
    assert len(halves["most_different"]) == IMAGES / 2


def bands(data: Path, output: Path, **settings: Any) -> Path:
    return cluster([data], output, Cluster(classes=4, features="bands", starts=1, **settings), workers=1).path


def test_seeds_of_one_recipe_are_one_method(make_images: MakeImages, tmp_path: Path) -> None:
    data = make_images("data/images").parent
    write_maps(data / "labels", [QUADRANTS] * 3)
    runs = [bands(data, tmp_path / f"ours-seed{seed}.h5", seed=seed) for seed in range(3)]
    other = bands(data, tmp_path / "other.h5", blur=3)
    found = compare(Inputs([*runs, other]), QUICK, Run(tmp_path / "c.h5", workers=1)).scores
    assert [(one["name"], one["runs"]) for one in found["methods"]] == [("ours", [0, 1, 2]), (str(other), [3])]
    accuracies = [run["scores"]["accuracy"] for run in found["runs"]]
    assert found["methods"][0]["scores"]["accuracy"] == pytest.approx(np.mean(accuracies[:3]))
    assert found["methods"][0]["standard_deviation"]["accuracy"] == pytest.approx(np.std(accuracies[:3], ddof=1))
    assert found["methods"][1]["standard_deviation"] == {}
    assert len(differences(found)) == 1
    again = compare(Inputs([*runs, other]), QUICK, Run(tmp_path / "c.h5", workers=1))
    assert again.unchanged
    assert again.scores == found


def test_models_of_other_seeds_are_traced(make_images: MakeImages, tmp_path: Path) -> None:
    """The maps of two models have different inputs, but the recipes of the models differ by their seed only."""
    data, method = make_images(), write_method(tmp_path / "mine.py")
    pictures = {"pictures": {"path": "data", "fingerprint": dataset_from_files(Inputs(data)).inputs["pictures"]}}
    models = []
    for name, seed, steps in (("a", 0, 5), ("b", 1, 5), ("c", 1, 6)):
        recipe = {"stage": "train", "parameters": {"seed": seed, "steps": steps}, "inputs": {}}
        models.append(write_model(tmp_path / f"{name}.h5", method, inputs=pictures, recipe=recipe))
    made = unseg("cluster", *models, "--method", method, "-o", tmp_path / "seg.h5").stdout.split()
    assert [Path(path).name for path in made] == ["seg-a.h5", "seg-b.h5", "seg-c.h5"]
    for path, model in zip(made, models, strict=True):
        with store.open_artifact(path) as artifact:
            assert artifact.recipe["inputs"]["model"] == fingerprint(model)
    runs = [open_predictions(path) for path in made]
    assert methods_of(runs) == [[0, 1], [2]]
    assert methods_of([runs[0], runs[0]]) == [[0], [1]], "the same result twice is no other seed"
    assert (same_method(runs[:2]), same_method(runs)) == (True, False)
    models[1].unlink()
    assert methods_of(runs) == [[0], [1], [2]]
    assert same_method(runs[:2]) is None
    assert untraced(runs) == [made[1]]
    labels = write_maps(tmp_path / "labels", [QUADRANTS] * 3)
    result = unseg("evaluate", *made[:2], "--labels", labels, "-o", tmp_path / "m.h5")
    assert "their models are gone: no mean is made" in result.stderr
    assert "mean" not in json.loads(result.stdout)


def test_what_cannot_be_compared_is_refused(truth: Path, tmp_path: Path) -> None:
    maps = write_maps(tmp_path / "a", [QUADRANTS] * IMAGES)
    empty = write_maps(tmp_path / "b", [QUADRANTS], first=99)
    with pytest.raises(ConfigError, match="at least two results"):
        compared([maps], truth, tmp_path)
    with pytest.raises(DataError, match="has none of the images of"):
        compared([maps, empty], truth, tmp_path)
    with pytest.raises(ConfigError, match="--replicates 10: compare needs at least 40"):
        compared([maps, maps], truth, tmp_path, Compare(replicates=10))
    (tmp_path / "page").touch()
    with pytest.raises(ConfigError, match="page: is a file; give the name of a folder"):
        compared([maps, maps], truth, tmp_path, Compare(page=tmp_path / "page"))
    with pytest.raises(ConfigError, match="videos are not compared"):
        compared([maps, maps], truth, tmp_path, Compare(protocol="davis"))
    with pytest.raises(DataError, match="no pixel is scored"):
        compared([maps, maps], truth, tmp_path, Compare(ignore=(0, 1, 2, 3)))


def test_as_typed_with_a_page_of_the_images_that_differ(
    make_images: MakeImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = make_images("data/images").parent
    labels = write_maps(data / "labels", [QUADRANTS] * 3)
    monkeypatch.chdir(tmp_path)
    first = bands(data, Path("first.h5"))
    other = write_maps(tmp_path / "other", [QUADRANTS, QUADRANTS * 0, QUADRANTS])
    result = unseg("compare", first, other, "--labels", labels, "--page", "page", "--table", "csv")
    assert result.stdout.startswith("result,clusters,accuracy,accuracy_interval_low,accuracy_interval_high,miou")
    page = (tmp_path / "page" / "data" / "page.js").read_text()
    assert page.index('"p1.png"') < page.index('"p0.png"')
    found = json.loads(unseg("compare", first, other, "--labels", labels).stdout)
    print_parts(describe_comparison(found))
    shown = " ".join(capsys.readouterr().out.split())
    assert "2 results on 3 images: one-to-one; labels used for scoring" in shown
    assert "chance: largest class" in shown
    assert "more than chance" in shown
    found["methods"][0]["runs"] = [0, 2]
    print_parts(describe_comparison(found))
    assert "3 results of 2 methods on 3 images" in capsys.readouterr().out
