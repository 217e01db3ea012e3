"""The context method from images to maps: what it makes by itself, and that it holds on new images."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from called import cluster, superpixels, train
from reading_back import history_of, maps_of, weights_of
from stages.test_train_stage import same_weights, stopping_at
from toy import write_images

from unsegcli import store
from unsegcli.dataflow.dataset import dataset_from_artifact
from unsegcli.errors import ConfigError
from unsegcli.methods import context
from unsegcli.params import Cluster, Images, Superpixels, Train
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
    from PIL import Image

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
