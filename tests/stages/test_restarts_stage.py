"""Several trainings of which one is kept, and the number of clusters chosen before a training."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from called import cluster, superpixels, train
from PIL import Image
from reading_back import history_of, weights_of
from toy import tiny_sets, users_method, write_images

from unsegcli import store
from unsegcli.core.scoring import cluster_number
from unsegcli.dataflow.dataset import dataset_from_artifact
from unsegcli.dataflow.runner import Outcome
from unsegcli.errors import ArtifactError, ConfigError
from unsegcli.params import AUTO, Cluster, Superpixels, Train
from unsegcli.stages import train as stage
from unsegcli.training import restarts
from unsegcli.training import signs as judging
from unsegcli.training.signs import SIGNS

SHORT = Train(precision="float32", steps=4)
THREE = replace(SHORT, restarts=3, seed=5)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def _few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_number, "DRAWS", 2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_images(tmp_path / "data")


@pytest.fixture
def mine(tmp_path: Path) -> str:
    return str(users_method(tmp_path))


# ---------------------------------------------------------------------------------------- restarts


def test_the_kept_model_is_that_of_its_seed(
    folder: Path, mine: str, tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    made = train([folder], tmp_path / "m.h5", THREE, method=mine, workers=1)
    assert made == [Outcome(tmp_path / "m.h5", 0)]
    history = history_of(tmp_path / "m.h5")
    assert history["restart-seed"] == [5, 6, 7]
    assert {name.removeprefix("restart-") for name in history if name.startswith("restart-")} == {
        *SIGNS,
        "seed",
        "kept",
    }
    kept = history["restart-kept"].index(1)
    assert sum(history["restart-kept"]) == 1
    assert history["restart-beyond-chance"][kept] == max(history["restart-beyond-chance"])
    assert f"keeping the run with seed {5 + kept}, chosen by " in said.text
    assert "without labels" in said.text
    assert "seed 5     seed 6     seed 7" in said.text
    assert {path.name for path in tmp_path.iterdir()} == {"data", "mine.py", "m.h5"}, "the other runs are gone"
    alone = train([folder], tmp_path / "alone.h5", replace(SHORT, seed=5 + kept), method=mine, workers=1)[0].path
    found, wanted = weights_of(tmp_path / "m.h5"), weights_of(alone)
    assert all(np.array_equal(found[name], wanted[name]) for name in wanted)
    assert history["loss"] == history_of(alone)["loss"]
    assert history["restart-bound"][kept] == pytest.approx(-history["loss"][-1])


def test_the_kept_model_is_used_like_any_other(folder: Path, mine: str, tmp_path: Path) -> None:
    train([folder], tmp_path / "m.h5", THREE, method=mine, workers=1)
    made = cluster([tmp_path / "m.h5"], tmp_path / "seg.h5", method=mine, workers=1)
    with store.open_artifact(made.path, "segmentation") as artifact:
        assert artifact.attributes["clusters"] == 3


def test_restarts_are_in_the_recipe(
    folder: Path, mine: str, tmp_path: Path, said: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    train([folder], tmp_path / "m.h5", THREE, method=mine, workers=1)
    monkeypatch.setattr(stage, "_learn", None)
    assert train([folder], tmp_path / "m.h5", THREE, method=mine, workers=1)[0].path == tmp_path / "m.h5"
    assert "up to date" in said.text
    with pytest.raises(ArtifactError, match=r"another way \(restarts 3, now 2\)"):
        train([folder], tmp_path / "m.h5", replace(THREE, restarts=2), method=mine, workers=1)


def test_one_run_is_the_recipe_of_a_plain_training(folder: Path, mine: str, tmp_path: Path) -> None:
    path = train([folder], tmp_path / "m.h5", replace(SHORT, restarts=1), method=mine, workers=1)[0].path
    with store.open_artifact(path) as artifact:
        assert "restarts" not in artifact.recipe["parameters"]
        assert "most_classes" not in artifact.recipe["parameters"]
    assert not [name for name in history_of(path) if name.startswith("restart-")]


def test_interrupted_restarts_go_on(
    folder: Path, mine: str, tmp_path: Path, said: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in the middle of the second run, and again before the judgement."""
    train([folder], tmp_path / "whole.h5", THREE, method=mine, workers=1)
    steps, real = [0], stage.take_step

    def breaking(*given: Any) -> Any:
        steps[0] += 1
        if steps[0] == 7:
            raise KeyboardInterrupt
        return real(*given)

    monkeypatch.setattr(stage, "take_step", breaking)
    with pytest.raises(KeyboardInterrupt):
        train([folder], tmp_path / "m.h5", THREE, method=mine, workers=1, checkpoint_minutes=0)
    monkeypatch.setattr(stage, "take_step", real)
    kept = tmp_path / "m.h5.restarts"
    assert {path.name for path in kept.iterdir()} == {"run-seed5.h5", "run-seed6.h5.partial"}
    first = (kept / "run-seed5.h5").read_bytes()

    def no_judgement(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    said.clear()
    monkeypatch.setattr(restarts, "judge", no_judgement)
    with pytest.raises(KeyboardInterrupt):
        train([folder], tmp_path / "m.h5", THREE, method=mine, workers=1)
    monkeypatch.setattr(restarts, "judge", judging.judge)
    assert "run-seed5.h5 is up to date" in said.text
    assert "resuming after step 2 of 4" in said.text
    assert (kept / "run-seed5.h5").read_bytes() == first
    said.clear()
    train([folder], tmp_path / "m.h5", THREE, method=mine, workers=1)
    assert said.text.count("is up to date") == 3, "nothing is trained again"
    assert not kept.exists()
    found, wanted = weights_of(tmp_path / "m.h5"), weights_of(tmp_path / "whole.h5")
    assert all(np.array_equal(found[name], wanted[name]) for name in wanted)
    assert history_of(tmp_path / "m.h5") == history_of(tmp_path / "whole.h5")


def test_judgement_with_superpixels(folder: Path, tmp_path: Path) -> None:
    made = superpixels([folder], tmp_path / "sp.h5", Superpixels(pixels_per_segment=20), workers=1).path
    params = replace(SHORT, restarts=2, steps=2)
    path = train([made], tmp_path / "m.h5", params, method="inmars", sets=tiny_sets("inmars"), workers=1)[0].path
    history = history_of(path)
    assert all(np.isfinite(history[f"restart-{sign}"]).all() for sign in SIGNS)
    assert len(set(history["restart-stability"])) == 1, "two runs agree with each other alike"


@pytest.mark.parametrize(
    ("params", "more", "words"),
    [
        (THREE, {"seeds": 2}, "--restarts keeps one model, but --seeds"),
        (replace(THREE, keep_every=1), {}, "--keep-every keeps several"),
        (replace(SHORT, restarts=0), {}, "--restarts 0"),
        (replace(SHORT, classes=AUTO, max_classes=1), {}, "--max-classes 1"),
    ],
)
def test_wrong_wishes(params: Train, more: dict[str, Any], words: str, folder: Path, mine: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=words):
        train([folder], tmp_path / "m.h5", params, method=mine, workers=1, **more)
    assert not list(tmp_path.glob("*.h5*"))


def test_dry_run_says_how_often(folder: Path, mine: str, tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    train([folder], tmp_path / "m.h5", THREE, method=mine, workers=1, dry_run=True)
    assert "would train mine for 4 steps" in said.text
    assert "for each of 3 models, " in said.text
    assert not list(tmp_path.glob("*.h5*"))


def test_signs_of_models_that_are_known(folder: Path, tmp_path: Path) -> None:
    """A model that parts the two colours, and one that gives each pixel the same cluster."""
    method = users_method(tmp_path)
    paths = []
    for number, scale in enumerate((30.0, 0.0)):
        path = train([folder], tmp_path / f"{number}.h5", SHORT, method=str(method), workers=1)[0].path
        with store.open_artifact(path) as artifact:
            attributes = dict(artifact.attributes)
        weight = np.zeros((3, 3, 1, 1), np.float32)
        weight[0], weight[1] = scale, -scale
        entries = {"weights": {"weight": weight, "bias": np.array([-1.5 * scale, 1.5 * scale, -90], np.float32)}}
        target = store.Target(tmp_path / f"known{number}.h5", "model", {"test": number})
        store.write_whole(target, {}, attributes, {}, entries=entries)
        paths.append(target.path)
    made = superpixels([folder], tmp_path / "sp.h5", Superpixels(pixels_per_segment=20), workers=1).path
    good, blind = judging.judge(paths, dataset_from_artifact(made), method=str(method))
    assert good["confidence"] > 0.95
    assert good["purity"] > 0.95
    assert good["beyond-chance"] > 0.9
    assert good["explained"] > 0.3 > blind["explained"]
    assert good["silhouette"] > 0.3
    assert good["edges"] > 2 > blind["edges"]
    assert (blind["agreement"], blind["beyond-chance"], blind["purity"]) == (1, 0, 1)
    assert np.isnan(good["bound"]), "such a model has no history"


# ---------------------------------------------------------------------------------------- a number that is chosen


def test_number_is_chosen_before_the_training(
    folder: Path, mine: str, tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    made = superpixels([folder], tmp_path / "sp.h5", Superpixels(pixels_per_segment=20), workers=1).path
    params = replace(SHORT, classes=AUTO, max_classes=5)
    for source, name in ((made, "a.h5"), (folder, "b.h5")):
        said.clear()
        path = train([source], tmp_path / name, params, method=mine, workers=1)[0].path
        history = history_of(path)
        assert history["classes-tried"] == [2, 3, 4, 5]
        assert len(history["classes-stability"]) == 4
        with store.open_artifact(path) as artifact:
            chosen = json.loads(artifact.attributes["config"])["classes"]
            assert artifact.recipe["parameters"]["classes"] == artifact.recipe["settings"]["classes"] == AUTO
            assert artifact.recipe["parameters"]["most_classes"] == 5
        assert f"{chosen} clusters: stability" in said.text
        assert chosen == 2, "the images have two colours"
        assert len(weights_of(path)["bias"]) == chosen
        train([source], tmp_path / name, params, method=mine, workers=1)
        assert "up to date" in said.text


def test_number_is_chosen_for_k_means(folder: Path, tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    made = superpixels([folder], tmp_path / "sp.h5", Superpixels(pixels_per_segment=20), workers=1).path
    asked = Cluster(classes=AUTO, max_classes=4)
    for source, params, name in ((made, asked, "a.h5"), (folder, replace(asked, features="bands"), "b.h5")):
        path = cluster([source], tmp_path / name, params, workers=1).path
        with store.open_artifact(path, "segmentation") as artifact:
            assert store.problems_of(artifact) == []
            assert artifact.attributes["clusters"] == 2
            assert artifact.table("centres").shape[0] == 2
            assert artifact.table("choice/clusters").tolist() == [2, 3, 4]
            assert artifact.table("choice/stability").shape == (3,)
        said.clear()
        assert cluster([source], tmp_path / name, params, workers=1).path == path
        assert "up to date" in said.text
    cluster([made], tmp_path / "c.h5", asked, workers=1, dry_run=True)
    assert not (tmp_path / "c.h5").exists()


def test_a_number_that_is_given_is_stored_without_a_choice(folder: Path, tmp_path: Path) -> None:
    path = cluster([folder], tmp_path / "a.h5", Cluster(classes=2, features="bands"), workers=1).path
    with store.open_artifact(path) as artifact:
        assert not artifact.has("choice/clusters")
        assert "most_classes" not in artifact.recipe["parameters"]
    with pytest.raises(ConfigError, match="--max-classes 1"):
        cluster([folder], tmp_path / "b.h5", Cluster(classes=AUTO, max_classes=1, features="bands"), workers=1)


def test_nothing_that_stands_out_is_said(tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    (tmp_path / "noise").mkdir()
    for number in range(3):
        noise = np.random.default_rng(number).integers(0, 256, (30, 30, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / "noise" / f"p{number}.png")
    asked = Cluster(classes=AUTO, max_classes=6, features="bands")
    cluster([tmp_path / "noise"], tmp_path / "a.h5", asked, workers=1)
    warned = [record.getMessage() for record in said.records if record.levelname == "WARNING"]
    assert any("no number of clusters is clearly the most stable" in text for text in warned)
