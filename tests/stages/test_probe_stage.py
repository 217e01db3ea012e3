"""`unseg probe`: by superpixels, features and models; right on cases known in advance, and the same again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from called import superpixels
from conftest import MakeImages
from numpy.typing import NDArray
from PIL import Image
from reading_back import fingerprint, table_of
from sample_artifacts import pretrained
from stages.test_cluster_vectors_stage import VECTORS
from tiny_model import write_method, write_model
from typed import one_line, unseg

from unsegcli import store
from unsegcli.cli.probe import show_probes
from unsegcli.dataflow.dataset import Window, dataset_from_files
from unsegcli.dataflow.runner import Result, write_artifact
from unsegcli.errors import ConfigError, DataError
from unsegcli.params import Images, Inputs, Probe, Run, Superpixels
from unsegcli.segmenters.subjects import divided
from unsegcli.stages.evaluate import evaluate
from unsegcli.stages.probe import probe

QUADRANTS = np.repeat(np.repeat(np.array([[0, 1], [2, 3]], np.uint8), 24, axis=0), 32, axis=1)
IMAGES = 6


@pytest.fixture
def data(make_images: MakeImages, tmp_path: Path) -> Path:
    """Six labelled images of four colours."""
    folder = make_images("data/images", count=IMAGES)
    write_labels(tmp_path / "data" / "labels", [QUADRANTS] * IMAGES)
    return folder


@pytest.fixture
def sp(data: Path, tmp_path: Path) -> Path:
    return superpixels([data], tmp_path / "sp.h5", Superpixels(pixels_per_segment=100), workers=1).path


def write_labels(folder: Path, maps: list[NDArray[Any]]) -> Path:
    folder.mkdir(exist_ok=True)
    for number, values in enumerate(maps):
        Image.fromarray(values.astype(np.uint8)).save(folder / f"p{number}.png")
    return folder


def probed(paths: Any, tmp_path: Path, name: str = "probe.h5", params: Probe | None = None, **how: Any) -> Any:
    return probe(Inputs(paths, **how), params or Probe(), Run(tmp_path / name, workers=1)).scores


def test_colours_are_told_apart_up_to_the_ceiling(sp: Path, tmp_path: Path) -> None:
    found = probed([sp], tmp_path)
    assert found["labels_used"] == "probe: trained and scored on labels"
    assert found["scores"]["accuracy"] > 0.97
    assert found["scores"]["accuracy"] <= found["ceiling"]["accuracy"]
    assert found["chance"]["largest_class"] == pytest.approx(0.25)
    assert found["pixels"] == {"scored": IMAGES * 48 * 64, "ignored": 0, "outside": 0}
    assert (found["images"], found["vectors"]["of"]) == (IMAGES, "features of k-means on regions")
    assert len(found["halves"]) == 3
    assert [row["class"] for row in found["per_class"]] == ["0", "1", "2", "3"]


def test_the_ceiling_is_the_achievable_accuracy_of_evaluate(sp: Path, tmp_path: Path) -> None:
    ceiling = probed([sp], tmp_path)["ceiling"]["accuracy"]
    scores = evaluate(Inputs([sp]), run=Run(tmp_path / "m.h5", workers=1)).scores["scores"]
    assert ceiling == pytest.approx(scores["achievable_segmentation_accuracy"])


@pytest.mark.slow
def test_labels_by_chance_give_the_largest_class(data: Path, tmp_path: Path) -> None:
    """Each superpixel has a class by chance, mostly 1: then colours say nothing."""
    sp = superpixels([data], tmp_path / "fine.h5", Superpixels(pixels_per_segment=2), workers=1).path
    random, maps = np.random.default_rng(0), []
    with store.open_artifact(sp) as artifact:
        for index, count in enumerate(artifact.table("windows/superpixels")):
            classes = np.where(random.random(int(count)) < 0.8, 1, random.choice([0, 2], int(count)))
            maps.append(classes[artifact.read("superpixels", index)])
    found = probed([sp], tmp_path, params=Probe(labels=write_labels(tmp_path / "odd", maps)))
    assert found["ceiling"]["accuracy"] == 1
    assert found["chance"]["largest_class"] == pytest.approx(0.8, abs=0.07)
    assert found["scores"]["accuracy"] == pytest.approx(found["chance"]["largest_class"], abs=0.05)


def test_windows_and_copies_of_an_image_stay_on_one_side(tmp_path: Path) -> None:
    """Labels that follow the image alone: a probe that saw a window, page or copy of it could tell, and else not."""
    (tmp_path / "images").mkdir()
    for number in range(6):
        values = np.full((32, 64, 3), 40 * (number // 2), np.uint8)
        Image.fromarray(values).save(tmp_path / "images" / f"p{number}.png")  # each one twice
    labels = write_labels(tmp_path / "labels", [np.full((32, 64), number // 2) for number in range(6)])
    asked = Superpixels(segments=8)
    cut = superpixels([tmp_path / "images"], tmp_path / "sp.h5", asked, Images(patch=32), workers=1).path
    found = probed([cut], tmp_path, params=Probe(labels=labels))
    assert found["images"] == 6
    assert found["scores"]["accuracy"] == 0


def test_windows_are_put_together_on_the_grid_of_the_labels(data: Path, tmp_path: Path) -> None:
    asked = Superpixels(pixels_per_segment=60)
    cut = superpixels([data], tmp_path / "sp.h5", asked, Images(patch=32, scale=1.0), workers=1).path
    found = probed([cut], tmp_path)
    assert found["pixels"]["scored"] == IMAGES * 48 * 64
    assert found["scores"]["accuracy"] > 0.97


def test_ignored_and_void_pixels(data: Path, tmp_path: Path) -> None:
    """Ignored labels are not scored; labelled pixels that are void are wrong, as in evaluate."""
    truth = QUADRANTS.copy()
    truth[:, :5] = 255
    labels = write_labels(tmp_path / "labels", [truth] * IMAGES)
    masks = tmp_path / "masks"
    masks.mkdir()
    valid = np.full((48, 64), 255, np.uint8)
    valid[:6] = 0
    for number in range(IMAGES):
        Image.fromarray(valid).save(masks / f"p{number}.png")
    asked = Superpixels(pixels_per_segment=60)
    cut = superpixels([data], tmp_path / "sp.h5", asked, workers=1, mask=masks).path
    found = probed([cut], tmp_path, params=Probe(labels=labels, ignore=(255,)))
    assert found["pixels"] == {
        "scored": IMAGES * 48 * 59, "ignored": IMAGES * 48 * 5, "outside": IMAGES * 6 * 59,
    }  # fmt: skip
    assert found["ceiling"]["accuracy"] <= 42 / 48
    assert found["scores"]["accuracy"] > 0.84


def test_models_and_superpixels_side_by_side(sp: Path, data: Path, tmp_path: Path) -> None:
    """Each model with its data, artifacts by themselves; images are cut as the model's superpixels were."""
    method = write_method(tmp_path / "mine.py", VECTORS)
    inputs = {"superpixels": {"path": sp.name, "fingerprint": fingerprint(sp)}}
    model = write_model(tmp_path / "model.h5", method, inputs=inputs)
    other = write_model(tmp_path / "other.h5", method, inputs=inputs, nearest=False)
    asked = Probe(method=method)
    found = probed([sp, model, other, data], tmp_path, params=asked)
    names = [run["input"] for run in found["runs"]]
    assert names == [str(sp), str(model), str(other)]
    assert [run["vectors"]["dimensions"] for run in found["runs"]] == [152, 4, 4]
    assert found["runs"][1]["scores"] == probed([model], tmp_path, "alone.h5", asked)["scores"]
    assert all(run["scores"]["accuracy"] > 0.95 for run in found["runs"])
    assert {run["vectors"]["superpixels"] for run in found["runs"]} == {table_of(sp, "windows/superpixels").sum()}


def test_inputs_are_divided_at_models(tmp_path: Path) -> None:
    model = str(write_model(tmp_path / "m.h5", write_method(tmp_path / "mine.py")))
    assert divided(["a.h5", "b.h5"]) == [(None, ["a.h5"]), (None, ["b.h5"])]
    assert divided(["a.h5", model, model, "b", "c"]) == [(None, ["a.h5"]), (model, []), (model, ["b", "c"])]


def test_a_second_run_has_nothing_to_do_and_seeds_count(
    sp: Path, tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    first, again = probed([sp], tmp_path), probed([sp], tmp_path)
    assert first == again
    assert "up to date" in said.text
    one = probed([sp], tmp_path, params=Probe(halves=1, seed=5))
    assert "seed 0, now 5" in said.text
    assert one["spread"] == {}
    with store.open_artifact(tmp_path / "probe.h5", "metrics") as artifact:
        assert set(artifact.inputs) == {"superpixels.0"}
        assert json.loads(bytes(artifact.table("scores"))) == one


def test_an_image_without_any_superpixel_is_wrong_everywhere(data: Path, sp: Path, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    for number in range(IMAGES):
        valid = np.full((48, 64), 255 * (number != 2), np.uint8)
        valid[:, :32] *= number != 3  # a window of it is void
        Image.fromarray(valid).save(masks / f"p{number}.png")
    inputs = {"superpixels": {"path": sp.name, "fingerprint": fingerprint(sp)}}
    method = write_method(tmp_path / "mine.py", VECTORS)
    model = write_model(tmp_path / "model.h5", method, inputs=inputs)
    found = probed([model, data], tmp_path, params=Probe(method=method), mask=masks, images=Images(patch=32, stride=32))
    assert (found["images"], found["skipped"]) == (IMAGES, [])
    assert found["pixels"] == {"scored": IMAGES * 48 * 64, "ignored": 0, "outside": 48 * 64 * 3 // 2}
    assert found["scores"]["accuracy"] > 0.7


def test_images_that_cannot_be_read_are_listed(
    data: Path, sp: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And are a failure, also when nothing is left to do; one that an earlier stage skipped is none."""
    (data / "p4.png").write_bytes(b"broken")
    inputs = {"superpixels": {"path": sp.name, "fingerprint": fingerprint(sp)}}
    method = write_method(tmp_path / "mine.py", VECTORS)
    models = [write_model(tmp_path / f"{name}.h5", method, inputs=inputs) for name in "ab"]
    monkeypatch.chdir(tmp_path)
    typed = ["probe", models[0], data, models[1], data, "--method", method]
    for _ in range(2):
        result = unseg(*typed, expect=1)
        assert "1 image could not be read and was skipped" in one_line(result)
        assert "skipped p4.png: " in result.stderr
        runs = json.loads(result.stdout)["runs"]
        assert [[one["name"] for one in run["skipped"]] for run in runs] == [["p4.png"], ["p4.png"]]
        assert {run["images"] for run in runs} == {IMAGES - 1}
    unseg(*typed, "--skip-bad")
    cut = superpixels([data], tmp_path / "fewer.h5", workers=1).path
    for _ in range(2):
        result = unseg("probe", cut)
        assert "skipped p4.png: " in result.stderr
        assert json.loads(result.stdout)["skipped"] == []


def test_no_labelled_image_can_be_read(data: Path, sp: Path, tmp_path: Path) -> None:
    for number in range(IMAGES - 1):
        (tmp_path / "data" / "labels" / f"p{number}.png").unlink()
    (data / f"p{IMAGES - 1}.png").write_bytes(b"broken")
    inputs = {"superpixels": {"path": sp.name, "fingerprint": fingerprint(sp)}}
    method = write_method(tmp_path / "mine.py", VECTORS)
    model = write_model(tmp_path / "model.h5", method, inputs=inputs)
    with pytest.raises(DataError, match="no image with a label could be read"):
        probed([model, data], tmp_path, params=Probe(method=method))


def test_mistakes_are_told(sp: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="images: a probe needs superpixels"):
        probed([data], tmp_path)
    with pytest.raises(ConfigError, match="--halves 0"):
        probed([sp], tmp_path, params=Probe(halves=0))
    with pytest.raises(DataError, match="1 has labels; give at least two"):
        probed([sp], tmp_path, limit=1)
    bare = write_method(tmp_path / "bare.py")
    model = write_model(tmp_path / "bare.h5", bare)
    with pytest.raises(ConfigError, match="has no function region_vectors"):
        probed([model, sp], tmp_path, params=Probe(method=bare))
    (tmp_path / "data" / "labels").rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="no folder labels/ found"):
        probed([sp], tmp_path)


def test_floors_stand_beside(sp: Path, data: Path, tmp_path: Path) -> None:
    """Of the same superpixels: the vectors of the network with random weights, and colours."""
    method = write_method(tmp_path / "mine.py", VECTORS)
    inputs = {"superpixels": {"path": sp.name, "fingerprint": fingerprint(sp)}}
    model = write_model(tmp_path / "model.h5", method, inputs=inputs)
    plain = probed([model, sp], tmp_path, params=Probe(method=method))
    found = probed([model, sp], tmp_path, params=Probe(method=method, floors=True))
    assert plain["floors"] == []
    assert found["scores"] == plain["scores"]
    assert [(floor["of"], floor["dimensions"]) for floor in found["floors"]] == [
        ("untrained network", 4), ("colour histograms", 96),
    ]  # fmt: skip
    assert all(floor["scores"]["accuracy"] > 0.9 for floor in found["floors"])
    assert [floor["of"] for floor in probed([sp], tmp_path, params=Probe(floors=True))["floors"]] == [
        "colour histograms"
    ]


DENSE = (
    VECTORS
    + """

def dense_features(network, batch, config):
    return torch.nn.functional.avg_pool2d(batch.images, 4) + 0 * network(batch.images)[:, :3, ::4, ::4]
"""
)
QUICK = {"per": "pixel", "epochs": 40.0, "halves": 1}


@pytest.fixture
def pixels(data: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A model whose features of pixels are colours, and its method."""
    method = write_method(tmp_path / "mine.py", DENSE)
    return write_model(tmp_path / "model.h5", method), method


def test_pixels_are_told_apart_by_their_features(pixels: tuple[Path, Path], data: Path, tmp_path: Path) -> None:
    model, method = pixels
    found = probed([model, data], tmp_path, params=Probe(**QUICK, method=method, floors=True))
    assert found["scores"]["accuracy"] > 0.97
    assert found["vectors"] == {"of": "vectors of mine", "dimensions": 3, "pixels": IMAGES * 48 * 64}
    assert found["pixels"] == {"scored": IMAGES * 48 * 64, "ignored": 0, "outside": 0}
    assert found["ceiling"] is None
    assert found["chance"]["largest_class"] == pytest.approx(0.25)
    assert found["protocol"]["epoch"] == "the last one"
    assert {floor["of"]: floor["dimensions"] for floor in found["floors"]} == {
        "untrained network": 3, "colour histograms": 96,
    }  # fmt: skip


def write_dense(path: Path, images: Path) -> Path:
    """A file of dense features, which are colours of cells of 5 pixels, with the pretrained networks of a sample."""
    dataset = dataset_from_files(Inputs(images)).opened(1)
    target = store.Target(path, "features", {"stage": "test", "inputs": dataset.inputs}, force=True)

    def work(window: Window) -> Result:
        rows, columns = (np.minimum(np.arange(0, side, 5) + 2, side - 1) for side in window.pixels.shape[:2])
        cells = window.pixels[rows][:, columns].astype(np.float16)
        return Result({"dense": store.encode(cells), "images": store.encode(window.pixels)}, {})

    tables = {"windows/cell": np.full((IMAGES, 2), 5.0), **pretrained()}
    return write_artifact(target, dataset, work, "features", {}, 1, tables).path


def test_dense_features_of_a_file_and_what_went_into_it(
    data: Path, tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    """The last cells reach beyond the images. What the pretrained network learned from is said, and handed on."""
    made = write_dense(tmp_path / "features.h5", data)
    found = probed([made], tmp_path, params=Probe(**QUICK, floors=True))
    assert found["scores"]["accuracy"] > 0.93
    assert found["vectors"]["of"] == "features of the file"
    assert [floor["of"] for floor in found["floors"]] == ["colour histograms"]
    assert found["pretrained"][0] == {
        "name": "lite0", "licence": "Apache-2.0", "labels": "ImageNet-1k",
    }  # fmt: skip
    assert "pretrained weights: lite0 (ImageNet-1k labels)" in said.text
    assert table_of(tmp_path / "probe.h5", "pretrained/name")[0] == "lite0"
    with pytest.raises(ConfigError, match="has its features already"):
        probed([made], tmp_path, params=Probe(**QUICK, squash=32))


def test_the_last_epoch_is_reported_and_the_best_only_if_asked_for(
    pixels: tuple[Path, Path], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training that is spoilt in its last epoch."""
    from unsegcli.core.nn.pixel_probe import PixelClassifier, fit_pixels

    def spoilt(examples: Any, classes: int, how: Any, seed: int, after_epoch: Any = None) -> PixelClassifier:
        made = fit_pixels(examples, classes, how, seed, after_epoch)
        made.layer.weight.data.zero_()
        if after_epoch is not None:
            after_epoch(made)
        return made

    monkeypatch.setattr("unsegcli.segmenters.pixel_probing.fit_pixels", spoilt)
    model, method = pixels
    last = probed([model, data], tmp_path, params=Probe(**QUICK, method=method))
    best = probed([model, data], tmp_path, params=Probe(**QUICK, method=method, best_epoch=True))
    assert last["scores"]["accuracy"] < 0.5
    assert best["scores"]["accuracy"] > 0.97
    assert "chosen on labels" not in json.dumps(last)
    assert best["labels_used"].endswith("the epoch is chosen on labels, too")
    assert best["protocol"]["epoch"] == "the best one, chosen on labels"


def test_pixels_of_windows_masks_and_squashed_images(pixels: tuple[Path, Path], data: Path, tmp_path: Path) -> None:
    """Void pixels are wrong, ignored ones are not scored, and windows are put together on the grid of the labels."""
    model, method = pixels
    masks = tmp_path / "masks"
    masks.mkdir()
    valid = np.full((48, 64), 255, np.uint8)
    valid[:6] = 0
    truth = QUADRANTS.copy()
    truth[:, :5] = 255
    for number in range(IMAGES):
        Image.fromarray(valid).save(masks / f"p{number}.png")
    labels = write_labels(tmp_path / "labels", [truth] * IMAGES)
    params = Probe(**QUICK, method=method, labels=labels, ignore=(255,))
    found = probed([model, data], tmp_path, params=params, mask=masks, images=Images(patch=32))
    assert found["pixels"] == {
        "scored": IMAGES * 48 * 59, "ignored": IMAGES * 48 * 5, "outside": IMAGES * 6 * 59,
    }  # fmt: skip
    assert 0.8 < found["scores"]["accuracy"] <= 42 / 48
    squashed = probed([model, data], tmp_path, params=replace(params, squash=40), mask=masks)
    assert squashed["pixels"] == found["pixels"]
    assert 0.8 < squashed["scores"]["accuracy"] <= 42 / 48


def test_lists_of_images(sp: Path, pixels: tuple[Path, Path], data: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("p0\np1\np2\n")
    (tmp_path / "b.txt").write_text("p5.png\n")
    lists = {"fit_on": tmp_path / "a.txt", "score_on": tmp_path / "b.txt"}
    found = probed([sp], tmp_path, params=Probe(**lists))
    assert (found["pixels"]["scored"], found["spread"], found["protocol"]["halves"]) == (48 * 64, {}, 0)
    by_pixels = probed([pixels[0], data], tmp_path, params=Probe(**QUICK, **lists, method=pixels[1]))
    assert by_pixels["pixels"]["scored"] == 48 * 64
    assert by_pixels["scores"]["accuracy"] > 0.95
    (tmp_path / "b.txt").write_text("p4.png\n")
    assert probed([sp], tmp_path, params=Probe(**lists))["pixels"]["scored"] == 48 * 64, "the content of a list counts"


def test_settings_of_pixels_are_refused_elsewhere(sp: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--best-epoch: is only for --per pixel"):
        probed([sp], tmp_path, params=Probe(best_epoch=True))
    with pytest.raises(ConfigError, match="superpixels have no features of pixels"):
        probed([sp], tmp_path, params=Probe(per="pixel"))
    method = write_method(tmp_path / "bare.py")
    model = write_model(tmp_path / "bare.h5", method)
    with pytest.raises(ConfigError, match=r"bare\.h5: its method bare has no function dense_features"):
        probed([model, data], tmp_path, params=Probe(per="pixel", method=method))


def test_images_without_a_label_are_left_out(sp: Path, tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    (tmp_path / "data" / "labels" / "p3.png").unlink()
    found = probed([sp], tmp_path)
    assert (found["images"], found["missing"]) == (IMAGES - 1, ["p3.png"])
    assert "1 image has no label" in said.text


def test_as_typed(sp: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(sp.parent)
    result = unseg("probe")
    found = json.loads(result.stdout)
    assert found["scores"]["accuracy"] > 0.97
    assert "using sp.h5" in result.stderr
    assert "probe.h5" in result.stderr
    monkeypatch.setenv("COLUMNS", "160")
    show_probes(found)
    shown = capsys.readouterr().out
    for words in ("linear probe, trained and scored on labels", "ceiling", "largest class", "sp.h5"):
        assert words in shown
