"""Frames and labels of the first in, labels of all frames out; and their scores by the protocol of DAVIS."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from called import evaluate, propagate, superpixels
from moving_object import moving_object
from numpy.typing import NDArray
from PIL import Image
from reading_back import maps_of
from tiny_model import write_method, write_model
from typed import unseg

from unsegcli import store
from unsegcli.cli.evaluate import show_scores
from unsegcli.core.cell_vectors import cell_vectors
from unsegcli.dataflow.dataset import Window, dataset_from_files
from unsegcli.dataflow.runner import Result, write_artifact
from unsegcli.errors import ConfigError, DataError
from unsegcli.params import Evaluate, Images, Inputs, Propagate
from unsegcli.segmenters.frames import Follower

DAVIS = Evaluate(protocol="davis")


def write_frames(folder: Path, images: list[NDArray[Any]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number}.png")  # 10 comes after 9
    return folder


def squares(count: int = 4, bands: int = 3, step: int = 2) -> tuple[list[NDArray[Any]], list[NDArray[Any]]]:
    """Images of two textured squares that move over a dark ground, and their labels 1 and 2."""
    random = np.random.default_rng(0)
    ground = random.integers(0, 60, (32, 48, bands))
    one, two = random.integers(90, 200, (10, 10, bands)), random.integers(200, 256, (8, 8, bands))
    images, labels = [], []
    for number in range(count):
        image, label = ground.copy(), np.zeros((32, 48), np.uint8)
        for value, (patch, top, left) in enumerate(((one, 4, 4 + step * number), (two, 20, 34 - step * number)), 1):
            inside = np.s_[top : top + len(patch), left : left + len(patch)]
            image[inside], label[inside] = patch, value
        images.append(image.astype(np.uint8))
        labels.append(label)
    return images, labels


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """A folder with frames/ and truth/."""
    images, labels = squares()
    write_frames(tmp_path / "frames", images)
    write_frames(tmp_path / "truth", labels)
    return tmp_path


def run(scene: Path, output: str = "seg.h5", params: Propagate | None = None, **more: Any) -> Path:
    given = {"first": scene / "truth" / "0.png", **more}
    outcome = propagate(scene / "frames", scene / output, params, **given)
    with store.open_artifact(outcome.path, "segmentation") as artifact:
        assert store.problems_of(artifact) == []
    return outcome.path


def test_two_objects_are_followed(scene: Path) -> None:
    path = run(scene, confidence=True)
    truth = squares()[1]
    found = maps_of(path)
    np.testing.assert_array_equal(found[0], truth[0])
    with store.open_artifact(path) as artifact:
        assert (artifact.attributes["role"], artifact.attributes["clusters"]) == ("classes", 3)
        assert artifact.recipe["labels_used"] == "propagate: the labels of first frames"
        assert 0.5 < artifact.read("confidence", 3).mean() <= 1
        assert artifact.table("windows/confidence")[0] == 1
    scores = evaluate([path], scene / "m.h5", DAVIS, labels=scene / "truth", workers=1).scores
    assert scores["scores"]["j_mean"] > 0.9
    assert scores["scores"]["f_mean"] > 0.9
    assert scores["chance"]["first_labels_copied_j_and_f"] < 0.8
    assert [(row["object"], row["frames"]) for row in scores["per_object"]] == [(1, 2), (2, 2)]
    assert scores["labels_used"] == "propagate: the labels of first frames and scoring"


def test_frames_that_stand_still_keep_the_labels(tmp_path: Path) -> None:
    images, labels = squares(step=0)
    write_frames(tmp_path / "frames", images)
    write_frames(tmp_path / "truth", labels)
    for found in maps_of(run(tmp_path)):
        np.testing.assert_array_equal(found, labels[0])


def test_numbers_of_objects_have_no_influence(scene: Path) -> None:
    first = maps_of(run(scene))
    other = np.array([0, 9, 4], np.uint8)
    Image.fromarray(other[squares()[1][0]]).save(scene / "truth" / "0.png")
    second = maps_of(run(scene, "other.h5"))
    for one, two in zip(first, second, strict=True):
        np.testing.assert_array_equal(other[one], two)


@pytest.mark.parametrize("bands", [1, 4])
def test_one_object_any_bands_and_255(tmp_path: Path, bands: int) -> None:
    """An object of 255 is the number 1 of a mask; with another object, 255 is unknown."""
    images, labels = squares(bands=bands)
    write_frames(tmp_path / "frames", [image[:, :, 0] if bands == 1 else image for image in images])
    write_frames(tmp_path / "truth", [np.uint8(255) * (label == 1) for label in labels])
    path = run(tmp_path, images=Images(alpha="band"))
    with store.open_artifact(path) as artifact:
        assert (artifact.attributes["role"], artifact.attributes["clusters"]) == ("mask", 2)
    np.testing.assert_array_equal(maps_of(path)[0], labels[0] == 1)
    scores = evaluate([path], tmp_path / "m.h5", DAVIS, labels=tmp_path / "truth", workers=1).scores["scores"]
    assert scores["j_mean"] > 0.9
    Image.fromarray(np.where(labels[0] == 2, 255, labels[0]).astype(np.uint8)).save(tmp_path / "truth" / "0.png")
    np.testing.assert_array_equal(maps_of(run(tmp_path, "b.h5", images=Images(alpha="band")))[0] == 255, labels[0] == 2)


def test_sequences_in_folders(tmp_path: Path) -> None:
    images, labels = squares(count=3)
    for name, order in (("a", 1), ("b", -1)):
        write_frames(tmp_path / "frames" / name, images[::order])
        write_frames(tmp_path / "truth" / name, labels[::order])
    path = run(tmp_path, first=tmp_path / "truth")
    scores = evaluate([path], tmp_path / "m.h5", DAVIS, labels=tmp_path / "truth", workers=1).scores
    assert [(row["sequence"], row["object"]) for row in scores["per_object"]] == [
        *(("a", 1), ("a", 2), ("b", 1), ("b", 2))
    ]
    assert scores["scores"]["j_mean"] > 0.9
    with pytest.raises(ConfigError, match=r"in 2 folders; give a folder"):
        run(tmp_path, "c.h5", first=tmp_path / "truth" / "a" / "0.png")
    (tmp_path / "truth" / "b" / "0.png").unlink()
    with pytest.raises(DataError, match=r"no labels for the first frame b/0.png"):
        run(tmp_path, "c.h5", first=tmp_path / "truth")


def test_a_stopped_run_goes_on_with_the_same_result(scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The frames that are stored are followed again, and the rest is as if nothing had happened."""
    whole = maps_of(run(scene))
    monkeypatch.setattr("unsegcli.store.writing.SHARD_BYTES", 1)
    follow, calls = Follower.__call__, []

    def stopped(self: Follower, window: Any) -> Any:
        calls.append(window.name)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return follow(self, window)

    with monkeypatch.context() as patched:
        patched.setattr(Follower, "__call__", stopped)
        with pytest.raises(KeyboardInterrupt):
            run(scene, "again.h5")
    followed: list[str] = []
    monkeypatch.setattr(Follower, "__call__", lambda self, window: followed.append(window.name) or follow(self, window))
    for one, two in zip(whole, maps_of(run(scene, "again.h5")), strict=True):
        np.testing.assert_array_equal(one, two)
    assert followed == ["2.png", "3.png"], "what was stored is not written again"


def test_an_unreadable_frame_is_skipped_but_not_the_first(scene: Path) -> None:
    (scene / "frames" / "1.png").write_bytes(b"no image")
    with store.open_artifact(run(scene)) as artifact:
        assert list(artifact.table("skipped/name")) == ["1.png"]
        assert artifact.window_count == 3
    (scene / "frames" / "0.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"0.png: cannot be read"):
        run(scene, "b.h5")


@dataclass(frozen=True)
class Dense:
    """Writes dense vectors of cells of 2 x 2 pixels."""

    pixels: bool = True

    def __call__(self, window: Window) -> Result:
        vectors = cell_vectors(window.pixels, window.valid, 2).astype(np.float16)
        datasets = {"dense": store.encode(vectors), **({"images": store.encode(window.pixels)} if self.pixels else {})}
        return Result(datasets, {})


def write_dense(path: Path, folder: Path, *, pixels: bool = True) -> Path:
    """A file of dense features with pretrained weights in it."""
    dataset = dataset_from_files(Inputs(folder)).opened(1)
    target = store.Target(path, "features", {"stage": "test", "inputs": {"pixels": str(pixels)}})
    tables = {
        "windows/cell": np.full((len(dataset.units), 2), 2.0),
        **{f"pretrained/{name}": [name] for name in ("name", "digest", "licence", "labels")},
    }
    return write_artifact(target, dataset, Dense(pixels), "features", {}, 1, tables).path


@pytest.mark.parametrize("pixels", [True, False])
def test_dense_features_of_a_file(scene: Path, pixels: bool) -> None:
    """With and without pixels to align labels with; what went in is copied."""
    dense = write_dense(scene / "dense.h5", scene / "frames", pixels=pixels)
    path = propagate(dense, scene / "seg.h5", first=scene / "truth" / "0.png").path
    with store.open_artifact(path) as artifact:
        assert list(artifact.table("pretrained/licence")) == ["licence"]
    scores = evaluate([path], scene / "m.h5", DAVIS, labels=scene / "truth", workers=1).scores
    assert scores["scores"]["j_mean"] > 0.85
    with pytest.raises(ConfigError, match=r"dense.h5 has cells already"):
        propagate(dense, scene / "b.h5", first=scene / "truth" / "0.png", cell=4)


REGION_VECTORS = """
def region_vectors(network, batch, config):
    count = batch.superpixel_count
    sums = torch.zeros(count + 1, 3).index_add(0, batch.superpixels.flatten() % (count + 1),
                                               batch.images.permute(0, 2, 3, 1).reshape(-1, 3) - 0.3)
    return sums[:count]
"""


def test_a_model_compares_frames_by_what_it_learned(scene: Path) -> None:
    method = write_method(scene / "mine.py", REGION_VECTORS)
    model = write_model(scene / "model.h5", method)
    given = {"first": scene / "truth" / "0.png", "method": method, "device": "cpu"}
    path = propagate([model, scene / "frames"], scene / "seg.h5", **given).path
    scores = evaluate([path], scene / "m.h5", DAVIS, labels=scene / "truth", workers=1).scores
    assert scores["scores"]["j_mean"] > 0.85
    with pytest.raises(ConfigError, match="name the frames after the model"):
        propagate([model], scene / "b.h5", **given)


def test_superpixels_are_taken_for_frames(scene: Path) -> None:
    stored = superpixels([scene / "frames"], scene / "sp.h5", workers=1).path
    first = {"first": scene / "truth" / "0.png"}
    for one, two in zip(maps_of(run(scene)), maps_of(propagate(stored, scene / "b.h5", **first).path), strict=True):
        np.testing.assert_array_equal(one, two)


def test_mistakes_are_named(scene: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--first FILE: give the labels"):
        propagate(scene / "frames", scene / "a.h5")
    with pytest.raises(DataError, match=r"no such file"):
        run(scene, first=scene / "missing.png")
    with pytest.raises(ConfigError, match=r"--cell 3: must be an even number"):
        run(scene, cell=3)
    with pytest.raises(ConfigError, match=r"--patch: frames are followed as a whole"):
        run(scene, images=Images(patch=16))
    Image.fromarray(np.ones((16, 24), np.uint8)).save(scene / "small.png")
    with pytest.raises(DataError, match=r"small.png is 16 x 24, but 0.png is 32 x 48"):
        run(scene, first=scene / "small.png")
    Image.fromarray(np.zeros((32, 48), np.uint8)).save(scene / "empty.png")
    with pytest.raises(DataError, match=r"empty.png: has no object"):
        run(scene, first=scene / "empty.png")
    seg = run(scene)
    for name in ("1.png", "2.png"):
        (scene / "truth" / name).unlink()
    with pytest.raises(DataError, match=r"no frame between the first and the last has labels"):
        evaluate([seg], scene / "m.h5", DAVIS, labels=scene / "truth", workers=1)


def test_as_typed(scene: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(scene)
    tried = unseg("propagate", "frames", "--first", "truth/0.png", "--dry-run")
    assert "would write segmentation.h5: 4 images" in tried.stderr
    assert not Path("segmentation.h5").exists()
    done = unseg("propagate", "frames", "--first", "truth/0.png")
    assert done.stdout == "segmentation.h5\n"
    assert done.stderr.startswith("labels are used: those of the first frame, from truth/0.png\n")
    found = json.loads(unseg("evaluate", "--protocol", "davis", "--labels", "truth").stdout)
    assert found["scores"]["j_and_f"] > 0.9
    show_scores(found)
    shown = capsys.readouterr().out
    assert "labels used for propagate: the labels of first frames and scoring" in shown
    assert "scoring only" not in shown
    assert "J decay" in shown
    again = unseg("propagate", "frames", "--first", "truth/0.png")
    assert "up to date" in again.stderr


@pytest.mark.slow
def test_an_object_that_moves_turns_and_grows(tmp_path: Path) -> None:
    """Copying the first mask reaches less than .4."""
    frames = moving_object()
    write_frames(tmp_path / "frames", [image for image, _ in frames])
    write_frames(tmp_path / "truth", [np.uint8(255) * mask for _, mask in frames])
    path = run(tmp_path)
    scores = evaluate([path], tmp_path / "m.h5", DAVIS, labels=tmp_path / "truth", workers=1).scores
    assert scores["scores"]["j_mean"] >= 0.9
    assert scores["chance"]["first_labels_copied_j_and_f"] < 0.4
