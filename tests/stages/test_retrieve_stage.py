"""`unseg retrieve`: objects of models, given masks, floors, lists and classes; right on cases known in advance."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from called import superpixels, train
from PIL import Image
from stages.test_cluster_objects_stage import COLOURS, EMBEDDING, SIDE, scene
from toy import USERS_METHOD, write_masks
from typed import one_line, unseg

from unsegcli import store
from unsegcli.cli.retrieve import show_retrieval
from unsegcli.errors import ConfigError, DataError
from unsegcli.params import Inputs, Retrieve, Run, Superpixels, Train
from unsegcli.stages.retrieve import retrieve

LEGEND = "".join(
    f'[[class]]\nname = "{name}"\nfrom = [{number}]\n'
    for number, name in enumerate(("background", "red", "green", "Blue"))
)
IMAGES = 12


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve scenes of one square in one of three colours, their labels, masks, superpixels, and a model."""
    place = tmp_path_factory.mktemp("retrieve")
    for name in ("images", "labels"):
        (place / "data" / name).mkdir(parents=True)
    for number in range(IMAGES):
        for name, values in zip(("images", "labels"), scene(number), strict=True):
            Image.fromarray(values).save(place / "data" / name / f"p{number:02}.png")
    (place / "data" / "classes.toml").write_text(LEGEND)
    (place / "mine.py").write_text(USERS_METHOD.split("def cluster_scores")[0] + EMBEDDING)
    asked = Train(steps=1, precision="float32")
    train([place / "data"], place / "model.h5", asked, method=str(place / "mine.py"), workers=1)
    superpixels([place / "data"], place / "sp.h5", Superpixels(pixels_per_segment=30), workers=1)
    write_masks(place / "masks.h5", place / "data" / "images", lambda window: scene(int(window.name[1:3]))[1] > 0)
    return place


def found_in(paths: Any, place: Path, output: Path, **settings: Any) -> dict[str, Any]:
    params = replace(Retrieve(), **settings)
    return retrieve(Inputs(paths), params, Run(output / "out.h5", workers=1)).scores


def by_masks(place: Path, output: Path, **settings: Any) -> dict[str, Any]:
    """With the vectors of the model, for given masks."""
    given = {"method": place / "mine.py", "proposals": place / "masks.h5", **settings}
    return found_in([place / "model.h5"], place, output, **given)


def test_objects_of_a_model_have_the_class_of_the_nearest(place: Path, tmp_path: Path) -> None:
    """And so with given masks, and for superpixels; floors are of the same segments."""
    for paths, more in (
        ([place / "model.h5"], {"method": place / "mine.py"}),
        ([place / "model.h5"], {"method": place / "mine.py", "proposals": place / "masks.h5"}),
        ([place / "sp.h5"], {"proposals": place / "masks.h5"}),
    ):
        found = found_in(paths, place, tmp_path, floors=True, **more)
        assert found["labels_used"].startswith("retrieve: ")
        assert found["scores"]["accuracy"] == pytest.approx(1, abs=1e-9 if "method" in more else 0.06)
        assert found["protocol"]["background"] == "background"
        assert found["vectors"]["segments"] == IMAGES
        assert found["pixels"]["outside"] == found["pixels"]["scored"] - IMAGES * 12 * 14
        assert found["chance"]["scores"]["accuracy"] < found["ceiling"]["scores"]["accuracy"] == pytest.approx(1)
        floors = {floor["of"]: floor["scores"]["miou"] for floor in found["floors"]}
        assert floors.pop("colour histograms") == pytest.approx(1)
        assert set(floors) == ({"untrained network"} if "method" in more else set())
    assert found["protocol"]["standardised"] is True


def test_vectors_that_say_nothing_say_nothing(place: Path, tmp_path: Path) -> None:
    """The vector is the same wherever a pixel is: then the nearest is any one."""
    dull = EMBEDDING.replace("batch.images - 0.3", "torch.ones_like(batch.images)")
    assert dull != EMBEDDING
    method = tmp_path / "dull.py"
    method.write_text(USERS_METHOD.split("def cluster_scores")[0] + dull)
    asked = Train(steps=1, precision="float32")
    model = train([place / "data"], tmp_path / "m.h5", asked, method=str(method), workers=1)[0].path
    found = found_in([model, place / "data"], place, tmp_path, method=method, floors=True)
    assert found["scores"]["miou"] < 0.6
    assert found["floors"][1]["scores"]["miou"] == pytest.approx(1)


def test_lists_name_what_is_looked_up_and_what_is_scored(place: Path, tmp_path: Path) -> None:
    """Only red ones are looked up: everything is red."""
    reds = [f"p{number:02}" for number in range(0, IMAGES, 3)]
    (tmp_path / "bank.txt").write_text("\n".join(reds))
    (tmp_path / "queries.txt").write_text("p01.png\np02\n\n")
    lists = {"fit_on": tmp_path / "bank.txt", "score_on": tmp_path / "queries.txt"}
    found = by_masks(place, tmp_path, **lists)
    assert found["pixels"]["scored"] == 2 * SIDE * SIDE
    assert found["scores"]["accuracy"] == pytest.approx(1 - 12 * 14 / SIDE**2)
    assert found["spread"] == {}
    with pytest.raises(ConfigError, match="give both lists, or neither"):
        by_masks(place, tmp_path, fit_on=tmp_path / "bank.txt")
    (tmp_path / "queries.txt").write_text("p03\n")
    with pytest.raises(DataError, match="p03: is in "):
        by_masks(place, tmp_path, **lists)
    (tmp_path / "queries.txt").write_text("nobody\n")
    with pytest.raises(DataError, match=r"--score-on: names no image of .* such as p00\.png"):
        by_masks(place, tmp_path, **lists)


def test_classes_alone_and_the_class_outside(place: Path, tmp_path: Path) -> None:
    given: dict[str, Any] = {"only": ("red", "Blue")}
    found = by_masks(place, tmp_path, **given)
    assert found["scores"]["miou_only"] == pytest.approx(1)
    assert found["protocol"]["only"] == ["red", "Blue"]
    other = by_masks(place, tmp_path, **given, outside="green")
    assert other["protocol"]["background"] == "green"
    assert other["scores"]["accuracy"] < 0.3
    with pytest.raises(ConfigError, match="--only blue: is not one of background, red, green, Blue"):
        by_masks(place, tmp_path, **{**given, "only": ("blue",)})


def test_without_a_background_pixels_of_no_segment_are_wrong(
    place: Path, tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    legend = tmp_path / "legend.toml"
    legend.write_text(LEGEND.replace('"background"', '"ground"'))
    found = by_masks(place, tmp_path, legend=legend)
    assert found["scores"]["accuracy"] == pytest.approx(12 * 14 / SIDE**2)
    assert "name their class with --outside CLASS" in said.text


def test_components_are_segments_of_their_own(place: Path, tmp_path: Path) -> None:
    """Two squares in an image, of two classes: as one object, one of them is wrong."""
    folder = tmp_path / "two"
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    label = np.zeros((SIDE, SIDE), np.uint8)
    label[2:12, 2:12], label[18:28, 18:28] = 1, 2
    colours = np.vstack([[50, 50, 50], COLOURS]).astype(np.uint8)
    for number in range(4):
        Image.fromarray(colours[label] + np.uint8(number)).save(folder / "images" / f"p{number}.png")
        Image.fromarray(label).save(folder / "labels" / f"p{number}.png")
    (folder / "classes.toml").write_text(LEGEND)
    masks = write_masks(tmp_path / "masks.h5", folder / "images", lambda _: label > 0)
    paths, given = [place / "model.h5", folder], {"method": place / "mine.py", "proposals": masks}
    whole = found_in(paths, place, tmp_path, **given)
    parts = found_in(paths, place, tmp_path, **given, objects="component")
    assert (whole["vectors"]["segments"], parts["vectors"]["segments"]) == (4, 8)
    assert whole["scores"]["accuracy"] == pytest.approx(1 - 100 / SIDE**2)
    assert parts["scores"]["accuracy"] == pytest.approx(1)


def test_a_second_run_has_nothing_to_do(place: Path, tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    first = by_masks(place, tmp_path)
    assert first == by_masks(place, tmp_path)
    assert "up to date" in said.text
    by_masks(place, tmp_path, seed=4)
    assert "seed 0, now 4" in said.text
    with store.open_artifact(tmp_path / "out.h5", "metrics") as artifact:
        assert set(artifact.recipe["inputs"]) == {"model.0", "pictures.0", "labels", "legend", "proposals"}


def test_what_has_no_segments_is_refused(place: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"sp.h5: finds no objects; give object masks with --proposals"):
        found_in([place / "sp.h5"], place, tmp_path)
    with pytest.raises(ConfigError, match="data: retrieval needs a model"):
        found_in([place / "data"], place, tmp_path)


def test_as_typed(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(place)
    result = unseg("retrieve", "sp.h5", "--proposals", "masks.h5", "--only", "red, Blue", "--floors")
    found = json.loads(result.stdout)
    assert found["protocol"]["only"] == ["red", "Blue"]
    assert "-> retrieval.h5" in result.stderr
    assert "12 segments in 12 images, 12 with a class" in result.stderr
    assert "--only grue" in one_line(unseg("retrieve", "sp.h5", "--proposals", "masks.h5", "--only", "grue", expect=2))
    monkeypatch.setenv("COLUMNS", "160")
    show_retrieval(found)
    shown = capsys.readouterr().out
    for words in ("with the labels of the images", "floor: colour histograms", "ceiling", "miou only"):
        assert words in shown
