"""Training from images to a model: what is stored, what stops it, and that it goes on to the bit where it was."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from called import cluster, superpixels, train
from numpy.typing import NDArray
from PIL import Image
from reading_back import history_of, parameters_of, rewrite_recipe, weights_of
from toy import object_mask, tiny, tiny_sets, users_method, write_images, write_masks

from unsegcli import store
from unsegcli.dataflow import dataset as datasets
from unsegcli.dataflow.dataset import Window
from unsegcli.dataflow.runner import Outcome
from unsegcli.errors import ArtifactError, ConfigError, DataError, UnsegError
from unsegcli.methods import inmars, maskcontrast
from unsegcli.methods._load import find_method
from unsegcli.params import Images, Superpixels, Train
from unsegcli.stages.train import CHECKED_EVERY, ENOUGH_STEPS, _asked_to_stop
from unsegcli.training import setup as setup
from unsegcli.training.checkpoint import Training
from unsegcli.training.interrupts import delayed_interrupts
from unsegcli.training.monitor import Losses

PLAIN = Train()
SHORT = replace(PLAIN, steps=6)
LONG = 40  # steps of a training that is stopped on its way
CLASSES = 3

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_images(tmp_path / "data")


@pytest.fixture
def mine(tmp_path: Path) -> str:
    return str(users_method(tmp_path))


def same_weights(first: Path, second: Path) -> bool:
    one, other = weights_of(first), weights_of(second)
    return one.keys() == other.keys() and all(one[name].tobytes() == other[name].tobytes() for name in one)


# ---------------------------------------------------------------------------------------- what is stored


def test_what_a_model_holds(folder: Path, mine: str, tmp_path: Path) -> None:
    made = train(
        [folder], tmp_path / "m.h5", replace(SHORT, classes=4), method=mine, sets=["learning_rate=0.02"], workers=1
    )
    assert made == [Outcome(tmp_path / "m.h5", 0)]
    assert {path.name for path in tmp_path.iterdir()} == {"data", "mine.py", "m.h5"}
    loaded = find_method(mine)
    with store.open_artifact(tmp_path / "m.h5", "model") as artifact:
        assert store.problems_of(artifact) == []
        assert artifact.attributes["method"] == artifact.recipe["method"] == loaded.identity
        config = json.loads(artifact.attributes["config"])
        assert (config["classes"], config["learning_rate"]) == (4, 0.02)
        assert artifact.recipe["settings"] == config
        assert artifact.recipe["parameters"]["steps"] == 6
        assert not artifact.has("scaling"), "8-bit images are taken as they are"
        assert artifact.inputs["pictures"]["path"] == "data"
        assert str(tmp_path) not in json.dumps(artifact.recipe)
    assert weights_of(tmp_path / "m.h5")["weight"].shape == (4, 3, 1, 1)


def test_history_has_every_term_of_every_step(folder: Path, mine: str, tmp_path: Path) -> None:
    path = train([folder], tmp_path / "m.h5", SHORT, method=mine, sets=["shy=true"], workers=1)[0].path
    history = history_of(path)
    assert {len(history[name]) for name in ("loss", "sure", "even")} == {6}
    assert [np.isnan(value) for value in history["even"]] == 3 * [True, False]
    assert np.isfinite(history["loss"]).all()
    assert history["watch-step"] == [1, 2, 3, 4, 5, 6]
    assert {len(history[f"watch-{name}"]) for name in ("live", "evenness", "largest", "agreement")} == {6}


def test_deep_images_keep_their_scaling(mine: str, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for number in range(2):
        values = np.random.default_rng(number).integers(0, 4000, (16, 16)).astype(np.uint16)
        Image.fromarray(values).save(tmp_path / "deep" / f"p{number}.png")
    path = train([tmp_path / "deep"], tmp_path / "m.h5", SHORT, method=mine, workers=1)[0].path
    with store.open_artifact(path) as artifact:
        low, high = artifact.table("scaling")[0]
    assert 0 < low < 200 < 3800 < high < 4000


@pytest.mark.parametrize("name", ["context", "iic", "infoseg", "inmars"])
def test_methods_learn_from_superpixels(name: str, folder: Path, tmp_path: Path) -> None:
    made = superpixels([folder], tmp_path / "sp.h5", Superpixels(pixels_per_segment=20), workers=1).path
    path = train([made], tmp_path / "m.h5", SHORT, method=name, sets=tiny_sets(name), workers=1)[0].path
    with store.open_artifact(path, "model") as artifact:
        assert artifact.attributes["method"] == name
        assert artifact.inputs["superpixels"]["path"] == "sp.h5"


def test_superpixels_are_made_where_they_are_needed(folder: Path, tmp_path: Path) -> None:
    train([folder], tmp_path / "m.h5", SHORT, method="inmars", sets=tiny_sets("inmars"), workers=1)
    assert {path.name for path in tmp_path.iterdir()} == {"data", "m.h5", "m-superpixels.h5"}


# ---------------------------------------------------------------------------------------- object masks


@pytest.fixture
def guided(tmp_path: Path) -> str:
    """A method that learns object masks from those that are given."""
    text = users_method(
        tmp_path, "guided.py", '\ndef needs(config): return ("proposals",)\nROLE = "mask"\n'
    ).read_text()
    text = text.replace("classes: int = 3", "classes: int = 2")
    told = "    scores = network(batch.images)"
    learned = "    wanted = nn.functional.cross_entropy(network(batch.images), batch.proposals.long())\n"
    text = text.replace(told, learned + '    return {"loss": wanted, "wanted": wanted.detach()}\n' + told)
    path = tmp_path / "guided.py"
    path.write_text(text)
    return str(path)


def train_guided(folder: Path, output: Path, guided: str, masks: Path | None, **more: Any) -> Path:
    params = replace(PLAIN, steps=60, **more.pop("params", {}))
    return train(
        [folder], output, params, method=guided, proposals=masks, sets=["learning_rate=0.1"], workers=1, **more
    )[0].path


def test_masks_are_learned_from(folder: Path, guided: str, tmp_path: Path) -> None:
    masks = write_masks(tmp_path / "masks.h5", folder)
    path = train_guided(folder, tmp_path / "m.h5", guided, masks)
    with store.open_artifact(path) as artifact, store.open_artifact(masks) as given:
        assert artifact.recipe["inputs"]["proposals"] == given.fingerprint
        assert artifact.inputs["proposals"]["path"] == "masks.h5"
        assert artifact.recipe["parameters"]["min_confidence"] == 0
    made = cluster([path], tmp_path / "seg.h5", method=guided, workers=1).path
    with store.open_artifact(made, "segmentation") as result, store.open_artifact(masks) as given:
        assert (result.attributes["role"], result.attributes["clusters"]) == ("mask", 2)
        wrong = [(result.read("segmentation", at) != given.read("segmentation", at)).mean() for at in range(6)]
    assert max(wrong) < 0.01, "0 is background and 1 object"


def test_superpixels_and_masks_of_the_same_images_go_together(folder: Path, guided: str, tmp_path: Path) -> None:
    masks = write_masks(tmp_path / "masks.h5", folder)
    made = superpixels([folder], tmp_path / "sp.h5", Superpixels(pixels_per_segment=20), workers=1).path
    first, second = (train_guided(one, tmp_path / f"{one.stem}.m.h5", guided, masks) for one in (folder, made))
    assert same_weights(first, second)


def test_images_without_a_usable_mask_are_left_out(
    folder: Path, guided: str, tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    def only_some(window: Window) -> NDArray[np.bool_]:
        return object_mask(window.pixels) & (window.name != "p2.png")

    masks = write_masks(tmp_path / "m.h5", folder, only_some, lambda window: 0.1 * int(window.name[1]))
    write_images(folder, 7)
    path = train_guided(folder, tmp_path / "a.h5", guided, masks, params={"min_confidence": 0.15})
    assert "skipping 4 of 7 images without a usable mask in " in said.text
    assert "2 below --min-confidence, 1 with a mask below 1 % or above 99 % of the area, 1 without a mask" in said.text
    assert "epochs of 3 images" in said.text
    for name in ("p0.png", "p1.png", "p2.png", "p6.png"):
        (folder / name).unlink()
    assert same_weights(path, train_guided(folder, tmp_path / "b.h5", guided, masks)), "as if they were not there"
    with pytest.raises(DataError, match=r"has no usable mask for these images \(3 below --min-confidence\)"):
        train_guided(folder, tmp_path / "c.h5", guided, masks, params={"min_confidence": 0.6})


def test_wrong_masks_end_before_anything_is_written(folder: Path, guided: str, mine: str, tmp_path: Path) -> None:
    masks = write_masks(tmp_path / "masks.h5", folder)
    before = set(tmp_path.iterdir())
    with pytest.raises(ConfigError, match=r"needs object masks: make them with .* --proposals"):
        train_guided(folder, tmp_path / "m.h5", guided, None)
    with pytest.raises(ConfigError, match=r"--proposals: --method mine does not use object masks"):
        train([folder], tmp_path / "m.h5", SHORT, method=mine, proposals=masks, workers=1)
    with pytest.raises(ConfigError, match=r"--min-confidence: --method mine does not use"):
        train([folder], tmp_path / "m.h5", replace(SHORT, min_confidence=0.5), method=mine, workers=1)
    with pytest.raises(ConfigError, match=r"--min-confidence 2: must be from 0 to 1"):
        train_guided(folder, tmp_path / "m.h5", guided, masks, params={"min_confidence": 2.0})
    with pytest.raises(ConfigError, match=r"--classes 5: --method guided always has 2"):
        train_guided(folder, tmp_path / "m.h5", guided, masks, params={"classes": 5})
    with pytest.raises(ArtifactError, match=r"is both read and to be written|masks\.h5"):
        train_guided(folder, masks, guided, masks)
    write_images(folder, 1, 24, 20)
    with pytest.raises(DataError, match=r"masks\.h5: the mask of p0\.png .* 24 x 20, but p0\.png is 20 x 20"):
        train_guided(folder, tmp_path / "m.h5", guided, masks)
    assert set(tmp_path.iterdir()) == before


CONTRAST = tiny_sets("maskcontrast", average=0.9)


def contrast(folder: Path, output: Path, masks: Path, steps: int = 12, **more: Any) -> Path:
    given: dict[str, Any] = {"method": "maskcontrast", "proposals": masks, "sets": CONTRAST, "workers": 1, **more}
    return train([folder], output, replace(PLAIN, steps=steps), **given)[0].path


@contextmanager
def stopping_at(step: int, method: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A training by this method, one of ours, breaks at a step."""
    real = method.loss

    def stops(network: Any, batch: Any, config: Any) -> Any:
        if batch.step == step:
            raise ZeroDivisionError
        return real(network, batch, config)

    with monkeypatch.context() as patched:
        patched.setattr(method, "loss", stops)
        with pytest.raises(ZeroDivisionError):
            yield


def test_queue_and_second_network_go_on_to_the_bit(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: pytest.LogCaptureFixture
) -> None:
    masks = write_masks(tmp_path / "masks.h5", folder)
    whole = contrast(folder, tmp_path / "whole.h5", masks)
    assert "agreement" in said.text
    assert "likeness" in said.text
    names = weights_of(whole)
    assert {"queue", "next"} < names.keys()
    assert not np.array_equal(names["key.vectors.weight"], names["query.vectors.weight"])
    with stopping_at(7, maskcontrast, monkeypatch):
        contrast(folder, tmp_path / "m.h5", masks, checkpoint_minutes=0)
    resumed = contrast(folder, tmp_path / "m.h5", masks)
    assert "resuming after step 7 of 12" in said.text
    assert same_weights(whole, resumed)
    np.testing.assert_equal(history_of(whole), history_of(resumed))


def test_weights_from_a_file_are_begun_with(folder: Path, tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    masks = write_masks(tmp_path / "masks.h5", folder)
    config = tiny(find_method("maskcontrast"))
    torch.manual_seed(7)
    backbone = maskcontrast.Network(config, 3).query.backbone
    torch.save({f"module.encoder_q.{name}": value for name, value in backbone.state_dict().items()}, tmp_path / "w.pth")
    still = {"sets": [*CONTRAST, "learning_rate=1e-12"], "weights": tmp_path / "w.pth"}
    path = contrast(folder, tmp_path / "m.h5", masks, 1, **still)
    assert re.search(r"(\d+) of \1 weights loaded from .*w\.pth", said.text)
    found = weights_of(path)
    for name, value in backbone.named_parameters():
        for which in ("query", "key"):
            np.testing.assert_allclose(found[f"{which}.backbone.{name}"], value.detach(), atol=1e-6)
    with store.open_artifact(path) as artifact:
        assert len(artifact.recipe["weights"]) == 64
        assert str(tmp_path) not in str(artifact.recipe)
    with pytest.raises(ConfigError, match=r"--weights .*: --method mine always starts from random weights"):
        train([folder], tmp_path / "x.h5", SHORT, method=str(users_method(tmp_path)), weights="imagenet", workers=1)


def test_recipe_of_a_method_without_masks_does_not_speak_of_them(folder: Path, mine: str, tmp_path: Path) -> None:
    path = train([folder], tmp_path / "m.h5", SHORT, method=mine, workers=1)[0].path
    with store.open_artifact(path) as artifact:
        assert "min_confidence" not in artifact.recipe["parameters"]
        assert "proposals" not in artifact.recipe["inputs"]


def test_arithmetic_of_the_caller_is_left_as_it_was(folder: Path, mine: str, tmp_path: Path) -> None:
    tiny = np.array([1e-40], np.float32)
    train([folder], tmp_path / "m.h5", SHORT, method=mine, workers=1)
    assert (tiny * np.float32(0.5))[0] > 0, "numbers next to 0 are numbers again"


def test_memory_does_not_change_the_result(folder: Path, mine: str, tmp_path: Path) -> None:
    made = [
        train([folder], tmp_path / f"{memory}.h5", SHORT, method=mine, memory=memory, workers=1)[0].path
        for memory in (4.0, 0.0)
    ]
    assert same_weights(*made)
    assert not list(tmp_path.glob("*.partial"))


# ---------------------------------------------------------------------------------------- one recipe, one result


def test_numbers_are_float32_unless_asked_otherwise(folder: Path, mine: str, tmp_path: Path) -> None:
    path = train([folder], tmp_path / "m.h5", Train(steps=2), method=mine, workers=1)[0].path
    assert parameters_of(path)["precision"] == "float32"
    assert parameters_of(path)["compile"] is False


def test_recipe_holds_the_precision_that_auto_came_to(
    folder: Path, mine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = replace(SHORT, precision="auto")
    made = {}
    for units in (False, True):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda units=units: units, raising=False)
        made[units] = train([folder], tmp_path / f"{units}.h5", asked, method=mine, device="cpu", workers=1)[0].path
    assert {units: parameters_of(path)["precision"] for units, path in made.items()} == {False: "float32", True: "bf16"}
    assert not same_weights(made[False], made[True])
    with pytest.raises(ArtifactError, match=r"another way \(precision "):
        train([folder], made[False], asked, method=mine, device="cpu", workers=1)


def test_compiled_is_another_recipe(folder: Path, mine: str, tmp_path: Path) -> None:
    path = train([folder], tmp_path / "m.h5", SHORT, method=mine, workers=1)[0].path
    with pytest.raises(ArtifactError, match=r"another way \(compile off, now on\)"):
        train([folder], path, replace(SHORT, compile=True), method=mine, workers=1)


def test_model_from_before_the_recipe_held_the_precision_is_up_to_date(
    folder: Path, mine: str, tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    path = train([folder], tmp_path / "m.h5", SHORT, method=mine, workers=1)[0].path
    rewrite_recipe(path, lambda recipe: {**recipe, "parameters": _as_once(recipe["parameters"])})
    before = path.read_bytes()
    train([folder], path, SHORT, method=mine, workers=1)
    assert path.read_bytes() == before
    assert "does not record its precision" in said.text
    with pytest.raises(ArtifactError, match=r"another way \(steps "):
        train([folder], path, replace(SHORT, steps=7), method=mine, workers=1)


def _as_once(parameters: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**parameters, "precision": "auto"}.items() if name != "compile"}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is here")
def test_devices_agree_within_the_stated_tolerance(folder: Path, mine: str, tmp_path: Path) -> None:
    """The tolerance of docs/methods.md, "One recipe, one result"; the recipes are equal."""
    made = [
        train([folder], tmp_path / f"{device}.h5", SHORT, method=mine, device=device, workers=1)[0].path
        for device in ("cpu", "cuda")
    ]
    assert parameters_of(made[0]) == parameters_of(made[1])
    losses = [history_of(path)["loss"] for path in made]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)


# ---------------------------------------------------------------------------------------- seeds, lengths, copies


def test_seeds_give_a_model_each(folder: Path, mine: str, tmp_path: Path) -> None:
    made = train([folder], tmp_path / "m.h5", replace(SHORT, seed=3), method=mine, seeds=2, memory=0, workers=1)
    assert [outcome.path.name for outcome in made] == ["m-seed3.h5", "m-seed4.h5"]
    assert not same_weights(*(outcome.path for outcome in made))
    alone = train([folder], tmp_path / "four.h5", replace(SHORT, seed=4), method=mine, workers=1)[0].path
    assert same_weights(alone, made[1].path)


@pytest.mark.parametrize(
    ("length", "steps"), [({"steps": 5}, 5), ({"epochs": 4.0}, 6), ({"epochs": 0.1}, 1), ({}, 3)], ids=str
)
def test_length(length: dict[str, Any], steps: int, folder: Path, mine: str, tmp_path: Path) -> None:
    path = train([folder], tmp_path / "m.h5", replace(PLAIN, **length), method=mine, workers=1)[
        0
    ].path  # 6 images, batch 4
    assert len(history_of(path)["loss"]) == steps


def test_minutes_fix_the_number_of_steps(
    folder: Path, mine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("unsegcli.training.setup.seconds_a_step", lambda order, pool, step: 0.5)
    path = train([folder], tmp_path / "m.h5", replace(PLAIN, minutes=0.1), method=mine, workers=1)[0].path
    assert len(history_of(path)["loss"]) == 12
    assert "0.5 s per step: 12 steps in 0.1 minutes" in said.text


def test_timed_steps_leave_no_trace(folder: Path, mine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds: list[float] = []

    def measured(*given: Any) -> float:
        seconds.append(original(*given))
        return 60 * 0.05 / 6.5

    original = setup.seconds_a_step
    monkeypatch.setattr("unsegcli.training.setup.seconds_a_step", measured)
    timed = train([folder], tmp_path / "a.h5", replace(PLAIN, minutes=0.05), method=mine, workers=1)[0].path
    plain = train([folder], tmp_path / "b.h5", SHORT, method=mine, workers=1)[0].path
    assert same_weights(timed, plain)
    assert 0 < seconds[0] < 10


def test_models_on_the_way_are_kept(folder: Path, mine: str, tmp_path: Path) -> None:
    path = train([folder], tmp_path / "m.h5", replace(SHORT, keep_every=2), method=mine, workers=1)[0].path
    assert sorted(one.name for one in tmp_path.glob("*.h5")) == ["m-step2.h5", "m-step4.h5", "m.h5"]
    assert len(history_of(tmp_path / "m-step4.h5")["loss"]) == 4
    assert history_of(tmp_path / "m-step4.h5")["loss"] == history_of(path)["loss"][:4]
    assert not same_weights(tmp_path / "m-step4.h5", path)


@pytest.mark.parametrize(
    ("params", "more", "words"),
    [
        (Train(steps=5, epochs=1), {}, "--steps and --epochs"),
        (Train(minutes=0), {}, "--minutes must be above 0"),
        (Train(precision="half"), {}, "--precision half"),
        (Train(seed=-1), {}, "--seed"),
        (SHORT, {"seeds": 0}, "--seeds"),
        (SHORT, {"sets": ["learning_rate=0"]}, "learning_rate must be above 0"),
        (SHORT, {"sets": ["classes=0"]}, "classes 0"),
        (SHORT, {"preset": "nonsense"}, "--preset nonsense"),
        (SHORT, {"device": "tpu"}, "--device tpu"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_wishes(params: Train, more: dict[str, Any], words: str, folder: Path, mine: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=words):
        train([folder], tmp_path / "m.h5", params, method=mine, workers=1, **more)
    assert not list(tmp_path.glob("*.h5*"))


def test_dry_run_writes_nothing(folder: Path, mine: str, tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    train([folder], tmp_path / "m.h5", replace(PLAIN, epochs=2), method=mine, workers=1, dry_run=True)
    assert "would train mine for 3 steps, about 0 s on cpu, with 6 images" in said.text
    train([folder], tmp_path / "m.h5", replace(PLAIN, epochs=2, seeds=3), method=mine, workers=1, dry_run=True)
    assert "3 steps, about 0 s for each of 3 models, 0 s in total, on cpu" in said.text
    assert not list(tmp_path.glob("*.h5*"))


def test_files_are_closed_after_an_error_and_an_estimate(
    folder: Path, mine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = superpixels(
        [folder], tmp_path / "sp.h5", Superpixels(pixels_per_segment=30), Images(patch=16), workers=1
    ).path
    monkeypatch.setattr(datasets, "PIXELS_OF_A_BLOCK", 100)
    train([made], tmp_path / "m.h5", SHORT, method=mine, workers=1, dry_run=True)
    assert datasets.held_open.cache_info().currsize == 0
    with pytest.raises(UnsegError, match="step 2"):
        train([made], tmp_path / "m.h5", SHORT, method=mine, sets=["breaks=1"], workers=1)
    assert datasets.held_open.cache_info().currsize == 0


def test_number_of_clusters_is_said_if_it_was_not_given(
    folder: Path, mine: str, tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    train([folder], tmp_path / "m.h5", SHORT, method=mine, sets=["classes=5"], workers=1)
    assert "5 clusters; use --classes N" in said.text
    assert len(weights_of(tmp_path / "m.h5")["bias"]) == 5
    said.clear()
    again = train([folder], tmp_path / "m.h5", replace(SHORT, classes=5), method=mine, workers=1)
    assert "up to date" in said.text, "said one way or the other, it is the same"
    assert "say --classes" not in said.text
    assert again[0].path == tmp_path / "m.h5"


# ---------------------------------------------------------------------------------------- repeated runs


def test_same_recipe_is_left_alone(
    folder: Path, mine: str, tmp_path: Path, said: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = train([folder], tmp_path / "m.h5", SHORT, method=mine, workers=1)
    before = (tmp_path / "m.h5").read_bytes()
    monkeypatch.setattr("unsegcli.stages.train._learn", None)
    assert train([folder], tmp_path / "m.h5", SHORT, method=mine, workers=1, memory=1, checkpoint_minutes=9) == first
    assert (tmp_path / "m.h5").read_bytes() == before
    assert "up to date" in said.text


def test_settings_with_the_names_of_ours_are_in_the_recipe(folder: Path, tmp_path: Path) -> None:
    """A method may call a setting of its own like one on reading images, such as `bands` of iic."""
    for number, sets in enumerate((["bands=0.1"], ["bands=0.2"], ["bands=0.1", "epochs=7"])):
        given: list[str] = [*tiny_sets("iic"), *sets]
        train(
            [folder],
            tmp_path / f"{number}.h5",
            replace(PLAIN, steps=1),
            Images(),
            method="iic",
            sets=given,
            workers=1,
        )
    recipes = set()
    for number in range(3):
        with store.open_artifact(tmp_path / f"{number}.h5") as artifact:
            recipes.add(str(artifact.about["recipe"]))
    assert len(recipes) == 3


def test_a_model_of_another_recipe_is_replaced_by_force_only(folder: Path, mine: str, tmp_path: Path) -> None:
    path = train([folder], tmp_path / "m.h5", SHORT, method=mine, workers=1)[0].path
    with pytest.raises(ArtifactError, match=r"was trained in another way \(learning_rate .*\).*--force"):
        train([folder], path, SHORT, method=mine, sets=["learning_rate=0.5"], workers=1)
    before = weights_of(path)
    train([folder], path, SHORT, method=mine, sets=["learning_rate=0.5"], workers=1, force=True)
    assert not np.array_equal(weights_of(path)["weight"], before["weight"])


def test_a_changed_method_file_is_another_recipe(folder: Path, mine: str, tmp_path: Path) -> None:
    path = train([folder], tmp_path / "m.h5", SHORT, method=mine, workers=1)[0].path
    users_method(tmp_path, more="\n# changed\n")
    with pytest.raises(ArtifactError, match=r"another way \(the file of the method has changed\)"):
        train([folder], path, SHORT, method=mine, workers=1)


# ---------------------------------------------------------------------------------------- what stops it


def test_loss_that_is_no_number(folder: Path, mine: str, tmp_path: Path) -> None:
    with pytest.raises(UnsegError) as caught:
        train([folder], tmp_path / "m.h5", replace(SHORT, steps=9), method=mine, sets=["breaks=4"], workers=1)
    text = str(caught.value)
    assert "NaN or infinite at step 5 (loss nan, sure 1." in text
    assert "no checkpoint was saved" in text
    assert all(word in text for word in ("--set learning_rate=", "--set grad_clip=1", "--precision float32"))
    assert {path.name for path in tmp_path.iterdir()} == {"data", "mine.py"}


def test_no_thread_outlives_a_training(folder: Path, mine: str, tmp_path: Path) -> None:
    before = set(threading.enumerate())
    train([folder], tmp_path / "m.h5", SHORT, method=mine, workers=1)
    assert set(threading.enumerate()) <= before
    with pytest.raises(UnsegError) as caught:
        train([folder], tmp_path / "n.h5", replace(SHORT, steps=40), method=mine, sets=["breaks=4"], workers=1)
    assert set(threading.enumerate()) <= before, "while the frames of the error are still there"
    assert "step 5" in str(caught.value)


def test_loss_that_is_no_number_names_the_state_before(folder: Path, mine: str, tmp_path: Path) -> None:
    wrong: dict[str, Any] = {"method": mine, "sets": ["breaks=4"], "workers": 1, "checkpoint_minutes": 0}
    for _ in range(2):  # going on from there meets the same
        with pytest.raises(UnsegError, match=r"at step 5 .*; a checkpoint saved at step 4 is in .*m\.h5\.partial"):
            train([folder], tmp_path / "m.h5", replace(SHORT, steps=9), **wrong)
        assert not (tmp_path / "m.h5").exists()
        assert (tmp_path / "m.h5.partial" / "checkpoint.h5").exists()


def test_losses_that_are_read_late_still_name_their_step(tmp_path: Path) -> None:
    """A GPU is asked only now and then."""
    network = torch.nn.Linear(1, 1)
    training = Training(network, torch.optim.SGD(network.parameters()), torch.amp.GradScaler("cpu", enabled=False), 50)
    losses = Losses(training, store.Target(tmp_path / "m.h5", "model", {}))
    for step in range(CHECKED_EVERY):
        training.step += 1
        losses.add({"loss": torch.tensor(float(step))})
    assert losses.read() == {"loss": f"{CHECKED_EVERY - 1:.3f}"}
    for value in (5.0, float("inf"), 7.0):
        training.step += 1
        losses.add({"loss": torch.tensor(value)})
    with pytest.raises(UnsegError, match=rf"at step {CHECKED_EVERY + 2} \(loss inf\)"):
        losses.read()
    assert training.history["loss"] == [*map(float, range(CHECKED_EVERY)), 5.0]


@pytest.mark.parametrize(("steps", "warned"), [(3, True), (6, False)])
def test_unused_grouping_is_warned_about(
    steps: int, warned: bool, folder: Path, tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    made = superpixels([folder], tmp_path / "sp.h5", Superpixels(pixels_per_segment=20), workers=1).path
    sets = tiny_sets("infoseg", guide_batches=3)
    train([made], tmp_path / "m.h5", replace(PLAIN, steps=steps), method="infoseg", sets=sets, workers=1)
    assert ("the first grouping (guide) was never used" in said.text) is warned


def test_collapse_is_warned_about(folder: Path, tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    method = users_method(tmp_path, more="\nREVISION = 2\n")
    blind = method.read_text().replace("return network(batch.images)", "return torch.zeros_like(network(batch.images))")
    method.write_text(blind)
    train([folder], tmp_path / "few.h5", SHORT, method=str(method), workers=1)
    assert "collapsed" not in said.text, "after so few steps it means nothing"
    train([folder], tmp_path / "m.h5", replace(SHORT, steps=ENOUGH_STEPS), method=str(method), workers=1)
    assert [record.levelname for record in said.records if "have collapsed" in record.message] == ["WARNING"]
    assert f"step {ENOUGH_STEPS}: 1 of 3 clusters live, evenness 0.00, largest 100%, agreement 100%" in said.text


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_short_numbers_train_as_well(precision: str, folder: Path, mine: str, tmp_path: Path) -> None:
    path = train([folder], tmp_path / "m.h5", replace(SHORT, precision=precision), method=mine, workers=1)[0].path
    plain = train([folder], tmp_path / "p.h5", SHORT, method=mine, workers=1)[0].path
    assert weights_of(path)["weight"].dtype == np.float32
    assert history_of(path)["loss"] != history_of(plain)["loss"]
    assert history_of(path)["loss"] == pytest.approx(history_of(plain)["loss"], abs=0.05)


# ---------------------------------------------------------------------------------------- killed, and run again


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with superpixels and a model that was trained in one go."""
    folder = tmp_path_factory.mktemp("whole")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    images = write_images(folder / "data")
    superpixels([images], folder / "sp.h5", Superpixels(pixels_per_segment=20), workers=1)
    train([folder / "sp.h5"], folder / "whole.h5", replace(PLAIN, steps=LONG), method="inmars", sets=SETS, workers=1)
    torch.set_num_threads(threads)
    return folder


SETS = tiny_sets("inmars", learning_rate=0.01)


def start(folder: Path, output: Path, checkpoint_minutes: float) -> subprocess.Popen[str]:
    sets = [word for pair in SETS for word in ("--set", pair)]
    command = [
        sys.executable,
        "-m",
        "unsegcli",
        "train",
        str(folder / "sp.h5"),
        "--method",
        "inmars",
        "-o",
        str(output),
    ]
    command += [
        "--workers",
        "1",
        "--steps",
        str(LONG),
        *sets,
        "--checkpoint-minutes",
        str(checkpoint_minutes),
        "--verbose",
    ]
    command += ["--precision", "float32"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def step_kept(output: Path) -> int:
    with store.open_artifact(output.with_name(output.name + ".partial") / "checkpoint.h5", "checkpoint") as artifact:
        return int(json.loads(artifact.attributes["progress"])["step"])


def resume(folder: Path, output: Path, **more: Any) -> None:
    train(
        [folder / "sp.h5"],
        output,
        replace(PLAIN, steps=LONG),
        method="inmars",
        sets=more.pop("sets", SETS),
        workers=1,
        **more,
    )


@pytest.mark.slow
def test_killed_training_goes_on_to_the_bit(undisturbed: Path, tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    output = tmp_path / "m.h5"
    moment = random.SystemRandom().randrange(1, LONG // 2)
    child = start(undisturbed, output, 0)
    assert child.stderr is not None
    for line in child.stderr:
        if line.startswith(f"checkpoint saved at step {moment}"):
            break
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert child.returncode == -signal.SIGKILL, "it must not have come to its end"
    assert not output.exists()
    step = step_kept(output)
    assert moment <= step < LONG
    with pytest.raises(
        ArtifactError, match=r"started in another way and is not finished \(learning_rate .*\).*--force"
    ):
        resume(undisturbed, output, sets=[*SETS, "learning_rate=0.02"])
    assert step_kept(output) == step, "and the refused one has not touched it"
    resume(undisturbed, output)
    assert f"resuming after step {step} of {LONG}" in said.text
    assert same_weights(output, undisturbed / "whole.h5"), f"killed after step {step}"
    np.testing.assert_equal(history_of(output), history_of(undisturbed / "whole.h5"))
    assert [path.name for path in tmp_path.iterdir()] == ["m.h5"]


def test_checkpoint_of_another_device_is_refused(
    undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: pytest.LogCaptureFixture
) -> None:
    output = tmp_path / "m.h5"
    with stopping_at(3, inmars, monkeypatch):
        resume(undisturbed, output, checkpoint_minutes=0)
    step = step_kept(output)
    with monkeypatch.context() as patch:
        patch.setattr(Training, "device", "cuda")  # as if this were one
        with pytest.raises(ArtifactError, match=rf"saved at step {step} on cpu, but this run uses cuda.*--device cpu"):
            resume(undisturbed, output)
    assert step_kept(output) == step, "and the refused one has not touched it"
    with monkeypatch.context() as patch:
        patch.setattr(Training, "device", "cuda")
        resume(undisturbed, output, force=True)
    assert "it is discarded because of --force" in said.text
    assert len(history_of(output)["loss"]) == LONG


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_interrupted_training_keeps_its_state(
    number: int, code: int, word: str, undisturbed: Path, tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    output = tmp_path / "m.h5"
    child = start(undisturbed, output, 60)  # so that nothing but the signal makes it keep a state
    assert child.stderr is not None
    for line in child.stderr:
        if line.startswith("step "):
            break
    child.send_signal(number)
    out, rest = child.communicate(timeout=600)
    assert child.returncode == code, rest
    assert (out, f"error: {word}" in rest, "Traceback" in rest) == ("", True, False)
    step = step_kept(output)
    assert 0 < step < LONG
    assert rest.splitlines()[-1] == (
        f"error: {word}; checkpoint saved at step {step} of {LONG}; run the same command again to continue"
    )
    resume(undisturbed, output)
    assert f"resuming after step {step} of {LONG}" in said.text
    assert same_weights(output, undisturbed / "whole.h5")


def test_force_throws_an_unfinished_training_away(undisturbed: Path, mine: str, tmp_path: Path) -> None:
    output = tmp_path / "m.h5"
    with pytest.raises(UnsegError):
        train([undisturbed / "data"], output, SHORT, method=mine, sets=["breaks=4"], workers=1, checkpoint_minutes=0)
    with pytest.raises(ArtifactError, match="--force"):
        train([undisturbed / "data"], output, SHORT, method=mine, workers=1)
    made = train([undisturbed / "data"], output, SHORT, method=mine, workers=1, force=True)
    assert len(history_of(made[0].path)["loss"]) == 6


# ---------------------------------------------------------------------------------------- several processes


def torchrun(*arguments: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-addr", "127.0.0.1"]
    command += ["--master-port", str(free_port()), "-m", "unsegcli", "train", *arguments, "--precision", "float32"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=1200
    )
    assert (done.returncode != 0) == (expect != 0), done.stderr
    return done


def free_port() -> int:
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["context", "inmars", "infoseg", "iic", "maskcontrast"])
def test_two_processes_equal_one(name: str, undisturbed: Path, tmp_path: Path) -> None:
    sets = tiny_sets(name, optimizer="sgd", learning_rate=0.05, warmup=0.0)
    words = [word for pair in sets for word in ("--set", pair)]
    given = [str(undisturbed / "sp.h5"), "--method", name, "--steps", "2", *words, "--workers", "1"]
    masks = write_masks(undisturbed / "masks.h5", undisturbed / "data") if name == "maskcontrast" else None
    given += [] if masks is None else ["--proposals", str(masks)]
    done = torchrun(*given, "-o", str(tmp_path / "two.h5"))
    assert done.stdout == f"{tmp_path / 'two.h5'}\n", "only one of them writes and prints"
    assert done.stderr.count("2 steps of 4 crops") == 1, "and only one of them talks"
    assert [path.name for path in tmp_path.iterdir()] == ["two.h5"]
    one = train(
        [undisturbed / "sp.h5"],
        tmp_path / "one.h5",
        replace(PLAIN, steps=2),
        method=name,
        sets=sets,
        proposals=masks,
        workers=1,
    )[0].path
    found, wanted = weights_of(tmp_path / "two.h5"), weights_of(one)
    begun = train(
        [undisturbed / "sp.h5"],
        tmp_path / "b.h5",
        replace(PLAIN, steps=1),
        method=name,
        sets=[*sets, "learning_rate=1e-12"],
        proposals=masks,
        workers=1,
    )[0].path
    for key, value in wanted.items():  # test_processes.py has the exact comparison; float32 rounds small gradients
        if "num_batches" not in key:
            moved = np.abs(value - weights_of(begun)[key]).max()
            assert np.abs(found[key] - value).max() <= 0.05 * moved + 1e-6, key
    np.testing.assert_allclose(history_of(tmp_path / "two.h5")["loss"], history_of(one)["loss"], rtol=1e-4, atol=1e-5)
    again = torchrun(*given, "-o", str(tmp_path / "two.h5"))
    assert again.stdout == done.stdout
    assert again.stderr.count("up to date") == 1


@pytest.mark.slow
def test_two_processes_keep_the_restart_that_one_keeps(undisturbed: Path, mine: str, tmp_path: Path) -> None:
    given = [str(undisturbed / "data"), "--method", mine, "--steps", "2", "--restarts", "3", "--workers", "1"]
    done = torchrun(*given, "-o", str(tmp_path / "two.h5"))
    assert done.stdout == f"{tmp_path / 'two.h5'}\n"
    assert done.stderr.count("keeping the run with seed") == 1, "only one of them judges and talks"
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".h5"] == ["two.h5"]
    short = replace(PLAIN, steps=2, restarts=3)
    one = train([undisturbed / "data"], tmp_path / "one.h5", short, method=mine, workers=1)[0].path
    assert history_of(tmp_path / "two.h5")["restart-kept"] == history_of(one)["restart-kept"]
    assert list(tmp_path.glob("*.restarts")) == []


@pytest.mark.slow
def test_failure_of_one_process_ends_all(undisturbed: Path, tmp_path: Path) -> None:
    method = users_method(tmp_path)
    broken = "    if rank() == 1 and batch.step == 2:\n        raise ZeroDivisionError\n    scores ="
    text = method.read_text().replace("    scores =", broken, 1)
    method.write_text(
        text.replace("import torch\n", "import torch\nfrom unsegcli.core.nn.distributed_sums import rank\n", 1)
    )
    started = time.monotonic()
    arguments = [str(undisturbed / "data"), "--method", str(method), "--steps", "9", "-o", str(tmp_path / "m.h5")]
    done = torchrun(*arguments, "--workers", "1", expect=1)
    assert "ZeroDivisionError" in done.stderr
    assert time.monotonic() - started < 120
    assert not (tmp_path / "m.h5").exists()
    shutil.rmtree(tmp_path / "m.h5.partial", ignore_errors=True)


def test_signal_during_an_agreement_stops_at_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(own: int | None, device: torch.device) -> int | None:
        signal.raise_signal(signal.SIGTERM)
        return own

    with delayed_interrupts(patient=True) as request:
        monkeypatch.setattr("unsegcli.stages.train.agreed_signal", interrupted)
        assert not _asked_to_stop(request, 1, torch.device("cpu"))
        assert _asked_to_stop(request, 2, torch.device("cpu"))
    assert request.signal == signal.SIGTERM


@pytest.mark.slow
@pytest.mark.parametrize(("number", "to"), [(signal.SIGINT, "all"), (signal.SIGTERM, "second")])
def test_signals_keep_the_state_of_several_processes(
    number: signal.Signals, to: str, undisturbed: Path, tmp_path: Path
) -> None:
    """Sent to all as Ctrl-C on a terminal does, after which torchrun sends it again, or to one that writes nothing."""
    method = users_method(tmp_path)
    begun = tmp_path / "begun"  # by the process that writes nothing, which names itself
    lingering = f"""    import os, time
    if os.environ["RANK"] == "1" and batch.step == 3:
        open({str(begun)!r}, "w").write(str(os.getpid()))
    time.sleep(0.1)
    scores ="""
    method.write_text(method.read_text().replace("    scores =", lingering, 1))
    given = [str(undisturbed / "data"), "--method", str(method), "--steps", "12", "--workers", "1"]
    output = tmp_path / "two.h5"
    started = begin_torchrun(*given, "-o", str(output))
    try:
        second = process_named_in(begun)
        if to == "all":
            os.killpg(started.pid, number)
        else:
            os.kill(second, number)
        _, errors = started.communicate(timeout=100)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
    assert started.returncode != 0
    assert "checkpoint saved at step" in errors
    assert not output.exists()
    done = torchrun(*given, "-o", str(output))
    assert "resuming after step" in done.stderr
    whole = undisturbed / "whole-of-two.h5"
    if not whole.exists():
        torchrun(*given, "-o", str(whole))
    assert same_weights(output, whole)


def begin_torchrun(*arguments: str) -> subprocess.Popen[str]:
    """Start a training of two processes in a process group of its own."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-addr", "127.0.0.1"]
    command += ["--master-port", str(free_port()), "-m", "unsegcli", "train", *arguments, "--precision", "float32"]
    return subprocess.Popen(
        command,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def process_named_in(file: Path) -> int:
    """Wait for a file with the number of a process."""
    ends = time.monotonic() + 100
    while time.monotonic() < ends:
        if file.exists() and (text := file.read_text()):
            return int(text)
        time.sleep(0.05)
    raise TimeoutError("the training did not start")


@pytest.mark.slow
def test_batch_must_part_evenly(undisturbed: Path, mine: str, tmp_path: Path) -> None:
    done = torchrun(str(undisturbed / "data"), "--method", mine, "--set", "batch=3", "-o", str(tmp_path / "m.h5"),
                    "--steps", "2", "--workers", "1", expect=2)  # fmt: skip
    assert "error: batch 3: must be a multiple of the 2 processes" in done.stderr
