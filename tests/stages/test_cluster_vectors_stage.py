"""`unseg cluster MODEL --classes N`: what a model knows about superpixels, grouped into any number of clusters."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from called import cluster, relabel, superpixels
from conftest import MakeImages, four_quadrants
from PIL import Image
from reading_back import fingerprint, maps_of, table_of
from tiny_model import write_method, write_model

from unsegcli import store
from unsegcli.dataflow.dataset import dataset_from_files
from unsegcli.errors import ArtifactError, ConfigError, DataError
from unsegcli.params import Cluster, Images, Inputs, Run, Superpixels
from unsegcli.segmenters.network import superpixel_vectors
from unsegcli.segmenters.trained import open_trained
from unsegcli.stages.cluster import cluster_each

SMALL = Superpixels(pixels_per_segment=100)
VECTORS = """
from unsegcli.core.nn.pooling import pool

def region_vectors(network, batch, config):
    return pool(network(batch.images), batch.superpixels, batch.superpixel_count).means
"""
QUADRANTS = np.repeat(np.repeat(np.array([[0, 1], [2, 3]]), 24, axis=0), 32, axis=1)


@pytest.fixture
def method(tmp_path: Path) -> Path:
    return write_method(tmp_path / "mine.py", VECTORS)


@pytest.fixture
def data(make_images: MakeImages) -> Path:
    return make_images()


@pytest.fixture
def sp(data: Path, tmp_path: Path) -> Path:
    return superpixels([data], tmp_path / "sp.h5", SMALL, workers=1).path


@pytest.fixture
def model(tmp_path: Path, method: Path, sp: Path) -> Path:
    """A model of two clusters that learned from superpixels."""
    inputs = {"superpixels": {"path": sp.name, "fingerprint": fingerprint(sp)}}
    return write_model(tmp_path / "model.h5", method, inputs=inputs)


def agree(found: list[Any], wanted: list[Any]) -> float:
    """Share of pixels, after each cluster was given its best number."""
    one, other = np.stack(found).ravel(), np.stack(wanted).ravel()
    return sum(np.bincount(other[one == number]).max() for number in np.unique(one)) / len(one)


def test_another_number_of_clusters_groups_the_vectors(model: Path, method: Path, sp: Path, tmp_path: Path) -> None:
    """The model knows four colours: five groups part one of them, and two join them."""
    five = cluster([model], tmp_path / "five.h5", Cluster(classes=5, method=method)).path
    assert agree(maps_of(five), [QUADRANTS] * 3) > 0.97
    two = cluster([model], tmp_path / "two.h5", Cluster(classes=2, method=method)).path
    assert agree(maps_of(two), maps_of(five)) < 0.9
    with store.open_artifact(five) as artifact, store.open_artifact(sp) as pieces:
        assert artifact.attributes["clusters"] == 5
        assert artifact.recipe["inputs"] == {"model": fingerprint(model), "superpixels": fingerprint(sp)}
        for index, found in enumerate(maps_of(five)):
            regions = pieces.read("superpixels", index)
            assert all(len(np.unique(found[regions == region])) == 1 for region in np.unique(regions))
            own, second = np.moveaxis(artifact.read("distances", index), 2, 0)
            assert (own <= second).all()
            assert own.max() < second.max() == 254


def test_a_group_of_vectors_is_divided(model: Path, method: Path, tmp_path: Path) -> None:
    two = cluster([model], tmp_path / "two.h5", Cluster(classes=2, method=method)).path
    with pytest.raises(ConfigError, match="your own method; give its Python file"):
        relabel(two, [], tmp_path / "a.h5", split="0")
    path = relabel([two, method], [], tmp_path / "four.h5", split="0", into=3).path
    assert agree(maps_of(path), [QUADRANTS] * 3) > 0.97
    new = cluster([model], tmp_path / "new.h5", Cluster(centres=path, method=method)).path
    assert np.mean(np.stack(maps_of(new)) == np.stack(maps_of(path))) > 0.97


@pytest.mark.parametrize("by", ["vectors", "colours"])
def test_a_cluster_of_a_model_is_divided(by: str, model: Path, method: Path, tmp_path: Path) -> None:
    """By what the model knows of superpixels; without its method file by their colours."""
    seg = cluster([model], tmp_path / "seg.h5", Cluster(method=method)).path
    merged = relabel(seg, ["0+3=both"], tmp_path / "merged.h5").path
    given = [merged, method] if by == "vectors" else [merged]
    path = relabel(given, [], tmp_path / "split.h5", split="both").path
    assert agree(maps_of(path), [QUADRANTS] * 3) > 0.95
    with store.open_artifact(path) as artifact:
        assert not artifact.has("fit/centres")


def test_its_own_number_keeps_its_own_clusters(model: Path, method: Path, tmp_path: Path) -> None:
    made = [cluster([model], tmp_path / f"{n}.h5", Cluster(classes=n, method=method)).path for n in (None, 4)]
    assert fingerprint(made[0]) == fingerprint(made[1])
    assert (np.stack(maps_of(made[0])) == QUADRANTS).mean() > 0.97, "clusters have the model's numbers"


def test_seed_and_starts_count_and_a_second_run_has_nothing_to_do(
    model: Path, method: Path, tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    asked = Cluster(classes=6, method=method)
    made = cluster([model], tmp_path / "six.h5", asked).path
    again = cluster([model], tmp_path / "again.h5", asked).path
    assert fingerprint(made) == fingerprint(again)
    before = made.stat().st_mtime_ns
    cluster([model], made, replace(asked, method=None))  # not even the method file is needed
    assert made.stat().st_mtime_ns == before
    assert "up to date" in said.text
    cluster([model], made, replace(asked, seed=1))
    assert "seed 0, now 1" in said.text


def test_the_number_can_be_chosen(model: Path, method: Path, tmp_path: Path) -> None:
    made = cluster([model], tmp_path / "auto.h5", Cluster(classes="auto", max_classes=6, method=method)).path
    with store.open_artifact(made) as artifact:
        assert artifact.attributes["clusters"] == 4
        assert artifact.table("choice/clusters").tolist() == [2, 3, 4, 5, 6]


def test_several_numbers_give_several_files_and_compute_vectors_once(
    model: Path, method: Path, sp: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unsegcli.segmenters import network

    calls, whole = [], network.superpixel_vectors

    def counted(*given: Any, **more: Any) -> Any:
        calls.append(1)
        return whole(*given, **more)

    monkeypatch.setattr(network, "superpixel_vectors", counted)
    asked = Cluster(classes=(2, 4, 5), method=method)
    made = [one.path for one in cluster_each(Inputs([model]), asked, Run(tmp_path / "c.h5"))]
    assert [path.name for path in made] == ["c-2.h5", "c-4.h5", "c-5.h5"]
    assert len(calls) == 3, "once for each image"
    alone = cluster([model], tmp_path / "alone.h5", replace(asked, classes=5)).path
    assert fingerprint(alone) == fingerprint(made[2])
    with store.open_artifact(made[1]) as artifact:
        assert artifact.has("fit/centres"), "in a curve the model's own number is a grouping like the others"
    with pytest.raises(ConfigError, match="2,2: has a number twice"):
        cluster_each(Inputs([model]), replace(asked, classes=(2, 2)), Run(tmp_path / "d.h5"))
    with pytest.raises(ConfigError, match="call `cluster_each`"):
        cluster([model], tmp_path / "e.h5", asked)


def test_several_numbers_by_k_means_are_those_of_single_runs(sp: Path, tmp_path: Path) -> None:
    made = cluster_each(Inputs([sp]), Cluster(classes=(3, 4)), Run(tmp_path / "k.h5", workers=1))
    for one, number in zip(made, (3, 4), strict=True):
        alone = cluster([sp], tmp_path / "alone.h5", Cluster(classes=number), workers=1).path
        assert fingerprint(one.path) == fingerprint(alone)


def flipped_images(folder: Path) -> Path:
    """Images with the same colours at other places."""
    folder.mkdir()
    for number in range(2):
        Image.fromarray(four_quadrants(noise_seed=50 + number)[::-1, ::-1].copy()).save(folder / f"n{number}.png")
    return folder


def test_centres_are_applied_to_new_images_by_the_same_model(model: Path, method: Path, tmp_path: Path) -> None:
    fitted = cluster([model], tmp_path / "fit.h5", Cluster(classes=5, method=method)).path
    new, asked = flipped_images(tmp_path / "new"), Cluster(centres=fitted, method=method)
    before = np.array([np.bincount(maps_of(fitted)[0][corner == QUADRANTS]).argmax() for corner in range(4)])
    for source in (new, superpixels([new], tmp_path / "new.h5", SMALL, workers=1).path):
        made = cluster([model, source], tmp_path / f"{source.stem}-map.h5", asked).path
        for found in maps_of(made):
            corners = [np.bincount(found[3 - corner == QUADRANTS]).argmax() for corner in range(4)]
            known = before[None] == np.array(corners)[:, None]
            assert agree([found], [QUADRANTS]) > 0.97
            assert known.diagonal().sum() >= 3, "a colour has its number, but for the one that was parted"
        with store.open_artifact(made) as artifact:
            assert artifact.attributes["clusters"] == 5
            assert artifact.recipe["inputs"]["centres"] == fingerprint(fitted)
            assert artifact.table("fit/centres").tolist() == table_of(fitted, "fit/centres").tolist()
    again = cluster([model, tmp_path / "data"], tmp_path / "again.h5", asked).path
    for one, other in zip(maps_of(again), maps_of(fitted), strict=True):
        np.testing.assert_array_equal(one, other, err_msg="images are cut as the superpixels of the training were")


def test_names_are_kept(model: Path, method: Path, tmp_path: Path) -> None:
    fitted = cluster([model], tmp_path / "fit.h5", Cluster(classes=5, method=method)).path
    named = relabel(fitted, ("3=water", "0+2=land"), tmp_path / "named.h5").path
    made = cluster([model], tmp_path / "out.h5", Cluster(centres=named, method=method)).path
    np.testing.assert_array_equal(maps_of(made), maps_of(named))
    assert table_of(made, "categories/name") == table_of(named, "categories/name")


def test_images_are_cut_as_by_default_if_the_model_saw_none(data: Path, method: Path, tmp_path: Path) -> None:
    digest = dataset_from_files(Inputs(data)).inputs["pictures"]
    inputs = {"pictures": {"path": data.name, "fingerprint": digest}}
    model = write_model(tmp_path / "model.h5", method, inputs=inputs)
    made = cluster([model], tmp_path / "a.h5", Cluster(classes=6, method=method)).path
    cut = superpixels([data], tmp_path / "default.h5", workers=1).path
    by_file = cluster([model, cut], tmp_path / "b.h5", Cluster(classes=6, method=method)).path
    np.testing.assert_array_equal(maps_of(made), maps_of(by_file))
    with store.open_artifact(made) as artifact:
        assert artifact.recipe["parameters"]["pixels_per_segment"] == Superpixels.pixels_per_segment


def test_void_stays_void(model: Path, method: Path, data: Path, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    valid = np.full((48, 64), 255, np.uint8)
    valid[:9] = 0
    for number in range(3):
        Image.fromarray(valid).save(masks / f"p{number}.png")
    made = cluster([model, data], tmp_path / "out.h5", Cluster(classes=6, method=method), mask=masks).path
    for found in maps_of(made):
        np.testing.assert_array_equal(found == 255, valid == 0)


def test_an_image_without_any_superpixel_is_void(model: Path, method: Path, data: Path, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    for number, value in enumerate((255, 0, 255)):
        Image.fromarray(np.full((48, 64), value, np.uint8)).save(masks / f"p{number}.png")
    asked = Cluster(classes=6, method=method)
    made = cluster([model, data], tmp_path / "out.h5", asked, mask=masks)
    assert made.skipped == 0
    assert [(found == 255).mean() for found in maps_of(made.path)] == [0, 1, 0]


def test_tiles_change_little(method: Path, tmp_path: Path) -> None:
    """A superpixel at the border of two tiles gets the mean of what both see of it."""
    trained = open_trained(write_model(tmp_path / "model.h5", method, nearest=False, kernel=5, layers=2), method, "cpu")
    pixels = four_quadrants(150, 200)
    regions = (np.arange(150)[:, None] // 10 * 20 + np.arange(200) // 10).astype(np.int32)
    whole, tiled = (superpixel_vectors(trained, pixels, None, regions, tile=tile) for tile in (512, 64))
    assert whole.shape == (300, 4)
    assert np.abs(whole - tiled).mean() < 0.05 * whole.std(axis=0).mean()
    assert np.corrcoef(whole.ravel(), tiled.ravel())[0, 1] > 0.99


def test_vectors_keep_the_numbers_of_the_superpixels(method: Path, tmp_path: Path) -> None:
    """Also where they are not numbered in the order in which they appear."""
    trained = open_trained(write_model(tmp_path / "model.h5", method), method, "cpu")
    pixels = four_quadrants(150, 200)
    regions = (np.arange(150)[:, None] // 10 * 20 + np.arange(200) // 10).astype(np.int32)
    for tile in (512, 64):
        plain, turned = (superpixel_vectors(trained, pixels, None, one, tile=tile) for one in (regions, 299 - regions))
        np.testing.assert_allclose(plain, turned[::-1], rtol=1e-5, atol=1e-5)


def test_a_dry_run_writes_nothing(model: Path, method: Path, tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    path = cluster([model], tmp_path / "out.h5", Cluster(classes=6, method=method), dry_run=True).path
    assert not path.exists()
    assert "would write" in said.text


def test_what_does_not_go_together_is_refused(model: Path, method: Path, sp: Path, data: Path, tmp_path: Path) -> None:
    out, asked = tmp_path / "out.h5", Cluster(classes=6, method=method)
    for changed, words in (
        ({"per": "pixel"}, "--per: does not apply to a model with another number of clusters"),
        ({"flips": True, "refine": True}, "--flips, --refine: does not apply"),
        ({"features": "bands"}, "--features: does not apply"),
        ({"tile": 8}, "--tile 8"),
        ({"starts": 0}, "--starts"),
    ):
        with pytest.raises(ConfigError, match=words):
            cluster([model], out, replace(asked, **changed))
    fitted = cluster([model], tmp_path / "fit.h5", asked).path
    with pytest.raises(ConfigError, match="--classes: does not apply to a model with centres of an earlier run"):
        cluster([model], out, replace(asked, centres=fitted))
    with pytest.raises(ConfigError, match=r"fit.h5: groups the vectors of a model; give that model"):
        cluster([data], out, Cluster(centres=fitted))
    other = write_model(tmp_path / "other.h5", method, nearest=False)
    with pytest.raises(ConfigError, match=r"was made with another model than .*other.h5"):
        cluster([other, data], out, Cluster(centres=fitted, method=method))
    plain = cluster([sp], tmp_path / "plain.h5", Cluster(classes=3), workers=1).path
    with pytest.raises(ConfigError, match=r"plain.h5: holds no groups of a model's vectors"):
        cluster([model, data], out, Cluster(centres=plain, method=method))


@pytest.mark.parametrize("settings", [b'{"features": "mod', b"\xff"])
def test_damaged_centres_are_refused(settings: bytes, model: Path, method: Path, tmp_path: Path) -> None:
    asked = Cluster(classes=6, method=method)
    fitted = cluster([model], tmp_path / "fit.h5", asked).path
    with h5py.File(fitted, "r+") as file:
        del file["fit/settings"]
        file["fit/settings"] = np.frombuffer(settings, np.uint8)
    with pytest.raises(ArtifactError, match=r"fit.h5: (its centres are not valid|fit/settings is not .*JSON)"):
        cluster([model], tmp_path / "out.h5", Cluster(centres=fitted, method=method))


def test_superpixels_of_the_training_that_are_gone_are_named(
    model: Path, method: Path, sp: Path, data: Path, tmp_path: Path
) -> None:
    sp.unlink()
    with pytest.raises(DataError, match=r"sp.h5: not found, .* make superpixels of the images"):
        cluster([model, data], tmp_path / "out.h5", Cluster(classes=6, method=method))
    superpixels([data], sp, Superpixels(pixels_per_segment=50), workers=1)
    with pytest.raises(DataError, match=r"sp.h5: has changed since"):
        cluster([model, data], tmp_path / "out.h5", Cluster(classes=6, method=method))
    assert cluster([model, sp], tmp_path / "out.h5", Cluster(classes=6, method=method)).path.exists()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return torch.zeros(batch.superpixel_count + 1, 2)", "region_vectors returned shape"),
        ("return torch.zeros(batch.superpixel_count, 2) / 0", "its vectors are NaN or infinite"),
        ("raise KeyError('gone')", "in region_vectors: KeyError"),
    ],
)
def test_vectors_that_are_wrong_are_told(body: str, words: str, sp: Path, tmp_path: Path) -> None:
    method = write_method(tmp_path / "odd.py", f"def region_vectors(network, batch, config):\n    {body}\n")
    model = write_model(tmp_path / "odd.h5", method)
    with pytest.raises((ConfigError, ArtifactError, DataError), match=words):
        cluster([model, sp], tmp_path / "out.h5", Cluster(classes=6, method=method))


def test_windows_of_a_large_image(model: Path, method: Path, data: Path, tmp_path: Path) -> None:
    made = cluster([model, data], tmp_path / "out.h5", Cluster(classes=6, method=method), Images(patch=32)).path
    assert len(maps_of(made)) == 3 * 4
