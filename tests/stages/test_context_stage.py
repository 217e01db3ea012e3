"""The context method from images to maps: what it makes by itself, and that it holds on new images."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from called import cluster, superpixels, train
from PIL import Image
from reading_back import history_of, maps_of, rewrite_recipe, table_of, weights_of
from stages.test_probe_stage import probed
from stages.test_train_stage import same_weights, stopping_at
from toy import users_method, write_features, write_images

from unsegcli import load_model, store
from unsegcli.dataflow.dataset import dataset_from_artifact
from unsegcli.dataflow.label_maps import open_predictions
from unsegcli.errors import ArtifactError, ConfigError, DataError
from unsegcli.methods import context
from unsegcli.params import Cluster, Images, Probe, Superpixels, Train
from unsegcli.segmenters.network import superpixel_vectors
from unsegcli.segmenters.trained import open_trained

CUT = Superpixels(pixels_per_segment=20)
SETS = ["width=16", "heads=2", "layers=1", "words=5", "batch=4", "learning_rate=0.01"]
SHORT = Train(classes=2, steps=12, sets=SETS)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_images(tmp_path / "data", 8, 40, 40)


@pytest.fixture
def model(folder: Path, tmp_path: Path) -> Path:
    made = superpixels([folder], tmp_path / "sp.h5", CUT, workers=1).path
    return train([made], tmp_path / "m.h5", SHORT, workers=1)[0].path


def test_superpixels_are_made_by_the_command_that_is_shown(
    folder: Path, tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    two = replace(SHORT, seeds=2)
    images = Images(size=(40,), bands=(3, 1, 2))
    made = train([folder], tmp_path / "m.h5", two, images, limit=5, workers=1)
    assert (
        f"$ unseg superpixels {folder} --bands 3,1,2 --size 40 --limit 5 -o {tmp_path / 'm-superpixels.h5'}"
        in said.text
    )
    assert [one.path.name for one in made] == ["m-seed0.h5", "m-seed1.h5"]
    with store.open_artifact(tmp_path / "m-superpixels.h5", "superpixels") as artifact:
        assert artifact.window_count == 5
        assert artifact.recipe["parameters"]["bands"] == [3, 1, 2]
    assert len(maps_of(cluster([made[0].path], tmp_path / "s.h5", workers=1).path)) == 5
    said.clear()
    assert [one.path for one in train([folder], tmp_path / "m.h5", two, images, limit=5, workers=1)] == [
        one.path for one in made
    ]
    assert "epochs of" not in said.text, "nothing is trained again"


def test_a_dry_run_makes_nothing(folder: Path, tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    assert train([folder], tmp_path / "m.h5", SHORT, dry_run=True, workers=1) == []
    assert "once there are superpixels" in said.text
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_several_processes_are_given_superpixels(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="`unseg superpixels` first"):
        train([folder], tmp_path / "m.h5", SHORT, workers=1)


def test_restarts_and_unreadable_images(folder: Path, tmp_path: Path) -> None:
    (folder / "broken.png").write_bytes(b"no image")
    for _ in range(2):  # made, and up to date
        made = train([folder], tmp_path / "m.h5", replace(SHORT, restarts=2), workers=1)
        assert [(one.path.name, one.skipped) for one in made] == [("m.h5", 1)]
    assert {path.name for path in tmp_path.iterdir()} == {"data", "m.h5", "m-superpixels.h5"}


def test_numbers_of_superpixels_may_be_any(model: Path, tmp_path: Path) -> None:
    window = dataset_from_artifact(tmp_path / "sp.h5").opened(1).units[0].windows()[0]
    trained, regions = open_trained(model), window.superpixels
    assert regions is not None
    plain = superpixel_vectors(trained, window.pixels, None, regions)
    other = superpixel_vectors(trained, window.pixels, None, (3 * (regions.max() - regions) + 2).astype(np.int32))
    np.testing.assert_allclose(other[2::3], plain[::-1], atol=1e-3)


def test_new_images_are_cut_as_those_of_the_training(model: Path, tmp_path: Path) -> None:
    new = write_images(tmp_path / "new", 3, 30, 50)
    given = superpixels([new], tmp_path / "new.h5", CUT, workers=1).path
    expected = maps_of(cluster([model, given], tmp_path / "a.h5", workers=1).path)
    (tmp_path / "sp.h5").unlink()
    found = maps_of(cluster([model, new], tmp_path / "b.h5", workers=1).path)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_any_number_of_clusters(model: Path, tmp_path: Path) -> None:
    found = maps_of(cluster([model], tmp_path / "s.h5", Cluster(classes=5), workers=1).path)
    assert len(np.unique(np.stack(found))) == 5


def test_two_colours_are_two_clusters(model: Path, folder: Path, tmp_path: Path) -> None:
    for path, found in zip(sorted(folder.iterdir()), maps_of(cluster([model], tmp_path / "s.h5").path), strict=True):
        dark = np.asarray(Image.open(path))[:, :, 0] < 130
        agreement = (dark == found).mean()
        assert max(agreement, 1 - agreement) > 0.95


def test_it_resumes_to_the_bit(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: pytest.LogCaptureFixture
) -> None:
    with stopping_at(7, context, monkeypatch):
        train([tmp_path / "sp.h5"], tmp_path / "again.h5", SHORT, checkpoint_minutes=0, workers=1)
    resumed = train([tmp_path / "sp.h5"], tmp_path / "again.h5", SHORT, workers=1)[0].path
    assert "resuming after step 7 of 12" in said.text
    assert same_weights(model, resumed)
    np.testing.assert_equal(history_of(model), history_of(resumed))


def test_a_model_on_the_way_is_finished_and_changes_nothing(model: Path, tmp_path: Path) -> None:
    kept = train([tmp_path / "sp.h5"], tmp_path / "k.h5", replace(SHORT, keep_every=6), workers=1)[0].path
    assert same_weights(model, kept)
    early = weights_of(tmp_path / "k-step6.h5")
    assert early["centres"].any()
    assert not np.array_equal(early["exit.weight"], weights_of(model)["exit.weight"])
    assert len(maps_of(cluster([tmp_path / "k-step6.h5"], tmp_path / "s.h5").path)) == 8


def test_restarts_keep_one(model: Path, tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    kept = train([tmp_path / "sp.h5"], tmp_path / "r.h5", replace(SHORT, restarts=2), workers=1)[0].path
    assert "keeping the run with seed" in said.text
    assert (tmp_path / "r.h5.restarts").exists() is False
    shutil.move(tmp_path / "sp.h5", tmp_path / "elsewhere.h5")
    assert len(maps_of(cluster([kept, tmp_path / "data"], tmp_path / "s.h5").path)) == 8


def test_void_and_large_windows(tmp_path: Path) -> None:
    """An image of several tiles, a third of which is void: every valid superpixel has one cluster."""
    image = np.zeros((96, 150, 1), np.uint8)
    image[:, :90] = np.random.default_rng(0).integers(40, 60, (96, 90, 1))
    image[:, 40:90] += 120
    (tmp_path / "big").mkdir()
    for number in range(3):
        np.save(tmp_path / "big" / f"p{number}.npy", image)
    made = superpixels([tmp_path / "big"], tmp_path / "sp.h5", CUT, Images(nodata=0), workers=1).path
    path = train([made], tmp_path / "m.h5", SHORT, sets=[*SETS, "crop=64", "tokens=30"], workers=1)[0].path
    found = maps_of(cluster([path], tmp_path / "s.h5", Cluster(tile=64), workers=1).path)[0]
    assert (found[:, 90:] == 255).all()
    assert set(np.unique(found[:, :90])) == {0, 1}
    assert (found[:, 45:85] == found[0, 60]).mean() > 0.95


def test_a_model_from_before_a_setting_is_up_to_date(model: Path, tmp_path: Path) -> None:
    rewrite_recipe(model, lambda recipe: {**recipe, "settings": _without(recipe["settings"], "beside")})
    before = model.stat().st_mtime_ns
    train([tmp_path / "sp.h5"], model, SHORT, workers=1)
    assert model.stat().st_mtime_ns == before


def _without(values: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != name}


# With a file of features


@pytest.fixture
def features(folder: Path, tmp_path: Path) -> Path:
    made = superpixels([folder], tmp_path / "sp.h5", CUT, workers=1).path
    return write_features(tmp_path / "f.h5", made)


@pytest.fixture
def seeing(features: Path, tmp_path: Path) -> Path:
    return train([features], tmp_path / "fm.h5", SHORT, workers=1)[0].path


def test_two_colours_are_two_clusters_of_features(
    seeing: Path, features: Path, tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    """Wherever the file of features is, and with other files of the same network."""
    same = write_features(tmp_path / "same.h5", tmp_path / "sp.h5")
    for given in ([], [features], [same]):
        made = cluster([seeing, *given], tmp_path / "s.h5", force=True).path
        assert "pretrained weights: lite0 (ImageNet-1k labels)" in said.text
        assert table_of(made, "pretrained/name") == ["lite0"]
        found = np.stack(maps_of(made))
        assert len(found) == 8
        assert not np.array_equal(found[0][:, 0], found[0][:, -1])
    assert table_of(seeing, "pretrained/labels") == ["ImageNet-1k"]


def test_vectors_of_a_model_on_features(seeing: Path, features: Path, tmp_path: Path) -> None:
    first = cluster([seeing], tmp_path / "s.h5", Cluster(classes=5), workers=1).path
    assert table_of(first, "pretrained/name") == ["lite0"]
    again = cluster([seeing, features], tmp_path / "c.h5", Cluster(centres=first), workers=1).path
    np.testing.assert_array_equal(np.stack(maps_of(first)), np.stack(maps_of(again)))
    flipped = cluster([seeing], tmp_path / "m.h5", Cluster(flips=True, confidence=True), workers=1).path
    plain = cluster([seeing], tmp_path / "p.h5", workers=1).path
    assert (np.stack(maps_of(flipped)) == np.stack(maps_of(plain))).mean() > 0.9
    labels = tmp_path / "labels"
    labels.mkdir()
    for number, found in enumerate(maps_of(plain)):
        Image.fromarray(found).save(labels / f"p{number}.png")
    assert probed([seeing], tmp_path, params=Probe(labels=labels, halves=1))["scores"]["accuracy"] > 0.95


@pytest.mark.slow
def test_hand_crafted_features_are_seen_unless_there_are_no_pixels(seeing: Path, tmp_path: Path) -> None:
    assert weights_of(seeing)["entry.0.weight"].shape[1] > 34
    bare = write_features(tmp_path / "bare.h5", tmp_path / "sp.h5", pixels=False)
    model = train([bare], tmp_path / "bm.h5", SHORT, sets=[*SETS, "beside=1"], restarts=2, workers=1)[0].path
    assert weights_of(model)["entry.0.weight"].shape[1] == 34
    assert weights_of(model)["centres"].shape == (2, 34 + 16)
    expected = maps_of(cluster([model], tmp_path / "s.h5", workers=1).path)
    with_pixels = cluster([model, tmp_path / "f.h5"], tmp_path / "t.h5", workers=1).path
    np.testing.assert_array_equal(np.stack(expected), np.stack(maps_of(with_pixels)))
    with pytest.raises(DataError, match=r"has no pixels, but .* was trained on a file with pixels"):
        cluster([seeing, bare], tmp_path / "u.h5", workers=1)


def test_training_on_features_resumes_to_the_bit(
    seeing: Path, features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stopping_at(7, context, monkeypatch):
        train([features], tmp_path / "again.h5", SHORT, checkpoint_minutes=0, workers=1)
    assert same_weights(seeing, train([features], tmp_path / "again.h5", SHORT, workers=1)[0].path)


def test_what_does_not_fit_the_vectors_of_a_model(seeing: Path, model: Path, features: Path, tmp_path: Path) -> None:
    other = write_features(tmp_path / "other.h5", tmp_path / "sp.h5", digest="1" * 64)
    long = write_features(tmp_path / "long.h5", tmp_path / "sp.h5", sizes=(2, 41))
    command = "`unseg features sp.h5 --backbone lite0 --layers block0,block1`"
    for given, text in {
        other: "has vectors of lite0, dimensions of its layers: block0 \\(2\\), block1 \\(40\\), but",
        long: "block1 \\(41\\), but .* was trained on lite0, dimensions of its layers: block0 \\(2\\), block1 \\(40\\)",
        tmp_path / "data": command,
        tmp_path / "sp.h5": command,
    }.items():
        with pytest.raises((ConfigError, DataError), match=text):
            cluster([seeing, given], tmp_path / "s.h5", workers=1)
    with pytest.raises(ArtifactError, match="of kind features, but superpixels"):
        cluster([model, features], tmp_path / "s.h5", workers=1)
    with pytest.raises(ConfigError, match=r"apply it to one with unsegcli\.files.cluster"):
        load_model(seeing)


def test_features_that_cannot_be_learned_from(features: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="which --method inmars does not take"):
        train([features], tmp_path / "m.h5", Train(method="inmars"), workers=1)
    dense = write_features(tmp_path / "dense.h5", tmp_path / "sp.h5", dense=True)
    with pytest.raises(DataError, match=r"has vectors of cells, not of superpixels; make those with .*`unseg features"):
        train([dense], tmp_path / "m.h5", SHORT, workers=1)


def test_a_method_of_ones_own_on_features(features: Path, tmp_path: Path) -> None:
    more = """
SEES_REGIONS = SEES_VECTORS = True
MULTIPLE = 1


def needs(config):
    return ("regions",)


class Network(nn.Module):
    def __init__(self, config, channels, layers):
        super().__init__()
        self.size = sum(layer.size for layer in layers)
        self.score = nn.Linear(self.size, config.classes)


def loss(network, batch, config):
    scores = network.score(batch.regions.features[:, -network.size:]).softmax(1)
    return {"loss": -scores.square().mean() - scores.std(0).mean()}


def cluster_scores(network, batch, config):
    return network.score(batch.regions.features[:, -network.size:]).softmax(1)[batch.superpixels].permute(0, 3, 1, 2)
"""
    mine = users_method(tmp_path, more=more)
    model = train([features], tmp_path / "m.h5", Train(method=str(mine), steps=4), workers=1)[0].path
    assert weights_of(model)["score.weight"].shape == (3, 42)
    assert len(maps_of(cluster([model], tmp_path / "s.h5", Cluster(method=mine), workers=1).path)) == 8


@pytest.mark.slow
def test_void_and_large_windows_of_features(tmp_path: Path) -> None:
    image = np.zeros((96, 150, 3), np.uint8)
    image[:, :90] = np.random.default_rng(0).integers(40, 60, (96, 90, 3))
    image[:, 40:90] += 120
    (tmp_path / "big").mkdir()
    for number in range(3):
        np.save(tmp_path / "big" / f"p{number}.npy", image)
    made = superpixels([tmp_path / "big"], tmp_path / "sp.h5", CUT, Images(nodata=0), workers=1).path
    path = train(
        [write_features(tmp_path / "f.h5", made)],
        tmp_path / "m.h5",
        SHORT,
        sets=[*SETS, "crop=64", "tokens=30"],
        workers=1,
    )[0].path
    found = maps_of(cluster([path], tmp_path / "s.h5", Cluster(tile=64), workers=1).path)[0]
    assert (found[:, 90:] == 255).all()
    assert (found[:, 45:85] == found[0, 60]).mean() > 0.95
    assert (found[:, :35] != found[0, 60]).mean() > 0.95


def test_windows_that_overlap_change_few_labels(model: Path, tmp_path: Path) -> None:
    scenes = write_images(tmp_path / "scenes", 2, 120, 120)
    results = []
    for name, windows in (("whole", Images()), ("tiled", Images(patch=80, stride=40))):
        made = superpixels([scenes], tmp_path / f"{name}.h5", CUT, images=windows, workers=1).path
        result = cluster([model, made], tmp_path / f"{name}-c.h5", workers=1).path
        results.append(np.stack([one.on(one.grid) for one in open_predictions(result).maps]))
    assert len(np.unique(results[0])) == 2
    assert (results[0] == results[1]).mean() > 0.93
