"""`unseg cluster` with a model that gives embeddings: objects are found, and grouped over all images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from called import cluster, evaluate, superpixels, train
from numpy.typing import NDArray
from PIL import Image
from reading_back import maps_of, parameters_of
from toy import USERS_METHOD, write_masks
from typed import one_line, unseg

from unsegcli import store
from unsegcli.errors import ConfigError, DataError
from unsegcli.params import Cluster, Superpixels, Train
from unsegcli.presets import read_preset

# What is lighter than the ground is object; the vector of a pixel is its colour.
EMBEDDING = """

from unsegcli.methods._contract import Embedded


def embeddings(network, batch, config):
    light = batch.images.amax(1)
    return Embedded(batch.images - 0.3, 10 * (light - 0.5) + 0 * network(batch.images)[:, 0])
"""
COLOURS = np.array([[230, 40, 40], [40, 230, 40], [40, 40, 230]])
SIDE = 32
GROUPS = Cluster(classes=3)


def scene(number: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """An image of a square in one of three colours on a dark ground, and its label: 0 ground, 1 to 3."""
    random = np.random.default_rng(number)
    label = np.zeros((SIDE, SIDE), np.uint8)
    top, left = random.integers(2, 14, 2)
    label[top : top + 12, left : left + 14] = 1 + number % 3
    colours = np.vstack([[50, 50, 50], COLOURS])
    return np.clip(colours[label] + random.normal(0, 5, (SIDE, SIDE, 3)), 0, 255).astype(np.uint8), label


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Thirty scenes with labels whose numbers are permuted."""
    (tmp_path / "data" / "images").mkdir(parents=True)
    (tmp_path / "data" / "labels").mkdir()
    for number in range(30):
        image, label = scene(number)
        Image.fromarray(image).save(tmp_path / "data" / "images" / f"p{number:02}.png")
        Image.fromarray(np.array([2, 0, 3, 1], np.uint8)[label]).save(
            tmp_path / "data" / "labels" / f"p{number:02}.png"
        )
    return tmp_path / "data"


@pytest.fixture
def method(tmp_path: Path) -> str:
    path = tmp_path / "mine.py"
    path.write_text(USERS_METHOD.split("def cluster_scores")[0] + EMBEDDING)
    return str(path)


@pytest.fixture
def model(folder: Path, method: str, tmp_path: Path) -> Path:
    return train([folder], tmp_path / "m.h5", Train(steps=1, precision="float32"), method=method, workers=1)[0].path


def test_permuted_truth_is_found(model: Path, method: str, folder: Path, tmp_path: Path) -> None:
    """Background and three clusters of objects: mIoU 1 over four classes."""
    made = cluster([model], tmp_path / "seg.h5", GROUPS, method=method, workers=1).path
    with store.open_artifact(made) as artifact:
        assert (artifact.attributes["role"], artifact.attributes["clusters"]) == ("clusters", 4)
        assert artifact.recipe["parameters"]["objects"] == "picture"
        assert artifact.recipe["parameters"]["starts"] == 3
    scores = evaluate([made], tmp_path / "metrics.h5", labels=folder / "labels", workers=1).scores
    assert scores["scores"]["miou"] == pytest.approx(1)
    for number, found in enumerate(maps_of(made)):
        np.testing.assert_array_equal(found > 0, scene(number)[1] > 0, "cluster 0 is background")


def test_number_of_clusters_is_free_and_has_a_default(
    model: Path, method: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "unseg")
    made = cluster([model], tmp_path / "a.h5", method=method, workers=1).path
    assert "3 clusters of objects; use --classes N for another number" in caplog.text
    assert "3 clusters of objects, 1 to 3, and background as cluster 0" in caplog.text
    assert "30 objects in 30 images (0 without one)" in caplog.text
    more = cluster([model], tmp_path / "b.h5", Cluster(classes=5), method=method, workers=1).path
    assert {int(found.max()) for found in maps_of(more)} == {1, 2, 3, 4, 5}
    assert {int(found.max()) for found in maps_of(made)} == {1, 2, 3}


def test_second_run_and_other_seed(model: Path, method: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = maps_of(cluster([model], tmp_path / "a.h5", GROUPS, method=method, workers=1).path)
    again = maps_of(cluster([model], tmp_path / "b.h5", GROUPS, method=method, workers=2).path)
    assert all(one.tobytes() == other.tobytes() for one, other in zip(first, again, strict=True))
    caplog.set_level("INFO", "unseg")
    cluster([model], tmp_path / "a.h5", GROUPS)  # nothing is to be done, so not even the method file is needed
    assert "up to date" in caplog.text
    cluster([model], tmp_path / "a.h5", replace(GROUPS, seed=5), method=method, workers=1)
    assert "seed" in caplog.text


def test_images_without_an_object_are_all_background(model: Path, method: str, folder: Path, tmp_path: Path) -> None:
    """And they leave the groups as they are."""
    before = maps_of(cluster([model], tmp_path / "a.h5", GROUPS, method=method, workers=1).path)
    Image.fromarray(np.full((SIDE, SIDE, 3), 50, np.uint8)).save(folder / "images" / "z.png")
    after = maps_of(cluster([model, folder], tmp_path / "b.h5", GROUPS, method=method, workers=1).path)
    assert not after[-1].any()
    assert all(np.array_equal(one, other) for one, other in zip(before, after[:-1], strict=True))
    with pytest.raises(DataError, match=r"no object was found in 31 images; lower --threshold from 0\.999"):
        cluster([model, folder], tmp_path / "c.h5", GROUPS, threshold=0.999, method=method, workers=1)


def test_each_component_may_have_its_own_cluster(model: Path, method: str, tmp_path: Path) -> None:
    """Two squares of two colours in each image: one cluster for both, or one each; a speck only follows."""
    (tmp_path / "pairs").mkdir()
    for number in range(12):
        image = np.full((SIDE, SIDE, 3), 50, np.uint8)
        image[2:14, 2:14], image[18:30, 18:30] = COLOURS[number % 3], COLOURS[(number + 1) % 3]
        image[2, 28] = COLOURS[(number + 1) % 3]
        Image.fromarray(image).save(tmp_path / "pairs" / f"p{number:02}.png")
    given = [model, tmp_path / "pairs"]
    whole = maps_of(cluster(given, tmp_path / "a.h5", GROUPS, method=method, workers=1).path)
    assert all(found[5, 5] == found[20, 20] for found in whole)
    apart = maps_of(cluster(given, tmp_path / "b.h5", GROUPS, objects="component", method=method, workers=1).path)
    for number, found in enumerate(apart):
        assert found[5, 5] != found[20, 20] == found[2, 28]
        assert found[5, 5] == apart[(number + 2) % 3][20, 20], "the same colour is the same cluster"


def test_mini_batches_find_the_same_groups(model: Path, method: str, tmp_path: Path) -> None:
    whole = cluster([model], tmp_path / "a.h5", GROUPS, method=method, workers=1).path
    small = cluster([model], tmp_path / "b.h5", GROUPS, mini_batch=10, method=method, workers=1).path
    pairs = {(int(a), int(b)) for one, other in zip(maps_of(whole), maps_of(small), strict=True)
             for a, b in np.unique(np.stack([one.ravel(), other.ravel()]), axis=1).T}  # fmt: skip
    assert len(pairs) == 4, "equal but for the numbers"
    with store.open_artifact(whole) as first, store.open_artifact(small) as second:
        assert "mini_batch" not in first.recipe["parameters"], "earlier outputs stay up to date"
        assert second.recipe["parameters"]["mini_batch"] == 10


def test_squashed_images_are_seen_square_and_painted_as_they_are(method: str, tmp_path: Path) -> None:
    """A method that finds objects only in images of 64 x 64 pixels, and images of 32 x 64."""
    Path(method).write_text(
        Path(method)
        .read_text()
        .replace("10 * (light - 0.5)", "10 * (light - 0.5 - int(batch.images.shape[2:] != (64, 64)))")
    )
    (tmp_path / "wide").mkdir()
    for number in range(12):
        image = np.repeat(scene(number)[0], 2, axis=1)
        Image.fromarray(image).save(tmp_path / "wide" / f"p{number:02}.png")
    model = train([tmp_path / "wide"], tmp_path / "m.h5", Train(steps=1), method=method, workers=1)[0].path
    with pytest.raises(DataError, match="no object was found"):
        cluster([model], tmp_path / "a.h5", GROUPS, method=method, workers=1)
    made = cluster([model], tmp_path / "a.h5", GROUPS, squash=64, method=method, workers=1).path
    for number, found in enumerate(maps_of(made)):
        truth = np.repeat(scene(number)[1], 2, axis=1) > 0
        assert found.shape == (32, 64)
        assert ((found > 0) & truth).sum() / ((found > 0) | truth).sum() > 0.9
    with store.open_artifact(made) as artifact:
        assert (artifact.recipe["parameters"]["squash"], artifact.recipe["parameters"]["per"]) == (64, "pixel")
    with pytest.raises(ConfigError, match="--squash: superpixels are not squashed"):
        cluster([model], tmp_path / "b.h5", GROUPS, squash=64, per="superpixel", method=method, workers=1)


def test_published_clustering_is_a_preset_as_typed(model: Path, method: str, tmp_path: Path) -> None:
    """A preset of its name gives what its settings give when typed; options win over it; a wrong name lists it."""
    given = ("cluster", model, "--method", method, "--workers", "1", "-o", tmp_path / "seg.h5")
    few = ("--classes", "3", "--squash", "64")
    unseg(*given, "--preset", "maskcontrast-voc", *few)
    asked = parameters_of(str(tmp_path / "seg.h5"))
    wanted = read_preset("cluster", "maskcontrast-voc") | {"classes": 3, "squash": 64, "objects": "picture"}
    assert {name: asked[name] for name in wanted} == wanted
    typed = ("--per", "pixel", "--threshold", "0.62246", "--pooling", "logit", "--mini-batch", "1000", "--seed", "1234")
    assert "up to date" in unseg(*given, *few, *typed).stderr, "the name of a preset is not in the recipe"
    assert "up to date" in unseg(*given, *few, "--preset", "cluster-maskcontrast-voc").stderr
    assert "maskcontrast-voc" in one_line(unseg(*given, "--preset", "voc", expect=2))


def test_superpixels_flips_and_refining(model: Path, method: str, folder: Path, tmp_path: Path) -> None:
    sp = superpixels([folder], tmp_path / "sp.h5", Superpixels(pixels_per_segment=16), workers=1).path
    asked = replace(GROUPS, flips=True, refine=True, confidence=True)
    made = cluster([model, sp], tmp_path / "a.h5", asked, method=method, workers=1).path
    with store.open_artifact(sp) as given, store.open_artifact(made) as result:
        assert result.recipe["parameters"]["per"] == "superpixel"
        sure = result.read("confidence", 0)
        assert (sure.dtype, 0.5 <= float(sure.min()) <= float(sure.max()) <= 1) == (np.float16, True)
        for region in np.unique(given.read("superpixels", 0)):
            assert len(np.unique(result.read("segmentation", 0)[given.read("superpixels", 0) == region])) == 1


def test_void_stays_void(model: Path, method: str, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "valid").mkdir()
    valid = np.zeros((SIDE, SIDE), np.uint8)
    valid[:, 4:] = 1
    for number in range(30):
        Image.fromarray(valid).save(tmp_path / "valid" / f"p{number:02}.png")
    made = cluster([model, folder], tmp_path / "a.h5", GROUPS, mask=tmp_path / "valid", method=method, workers=1).path
    for found in maps_of(made):
        assert (found[:, :4] == 255).all()
        assert (found[:, 4:] < 4).all()


def test_dry_run_writes_nothing(model: Path, method: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "unseg")
    cluster([model], tmp_path / "a.h5", GROUPS, method=method, workers=1, dry_run=True)
    assert "would write" in caplog.text
    assert not (tmp_path / "a.h5").exists()


def test_mistakes_are_one_line(model: Path, method: str, folder: Path, tmp_path: Path) -> None:
    given: dict[str, Any] = {"method": method, "workers": 1}
    out = tmp_path / "seg.h5"
    for wrong, words in (
        ({"threshold": 1.5}, "--threshold 1.5: must be between 0 and 1"),
        ({"objects": "thing"}, "--object-is thing: is not one of image, component"),
        ({"pooling": "max"}, "--pooling max: is not one of mean, logit"),
    ):
        with pytest.raises(ConfigError, match=words):
            cluster([model], out, replace(GROUPS, **wrong), **given)
    with pytest.raises(ConfigError, match="--blur is only for k-means; leave it out with a model"):
        cluster([model], out, replace(GROUPS, blur=5.0), **given)
    with pytest.raises(ConfigError, match="is not a model, but --threshold is only for models"):
        cluster([folder], out, Cluster(features="bands"), threshold=0.4, workers=1)
    scores = tmp_path / "scores.py"
    scores.write_text(USERS_METHOD)
    plain = train([folder], tmp_path / "p.h5", Train(steps=1), method=str(scores), workers=1)[0].path
    with pytest.raises(ConfigError, match=r"--object-is: .*p\.h5 has its own clusters, not objects"):
        cluster([plain], out, objects="component", method=scores, workers=1)
    with pytest.raises(ConfigError, match="--seed is only for k-means"):
        cluster([plain], out, Cluster(classes=3, seed=4), method=scores, workers=1)
    method_file = Path(method)
    shape = "batch.images - 0.3 if len(light) > 1 else light"  # right while it learns
    method_file.write_text(method_file.read_text().replace("batch.images - 0.3", shape))
    wrong = train([folder], tmp_path / "w.h5", Train(steps=1), method=method, workers=1)
    with pytest.raises(ConfigError, match="embeddings returned"):
        cluster([wrong[0].path], out, GROUPS, **given)


@pytest.mark.slow
def test_objects_learned_from_masks(folder: Path, tmp_path: Path) -> None:
    """The whole way: masks, a short training, objects; the network finds what the masks show."""
    masks = write_masks(tmp_path / "masks.h5", folder / "images", lambda window: window.pixels.max(2) > 128)
    sets = [
        "batch=6",
        "width=8",
        "head=16",
        "stride=4",
        "queue=24",
        "learning_rate=0.01",
        "view=64",
        "zoom=2",
        "smallest=0.5",
        "temperature=0.5",  # in so few steps, a sharper comparison leaves less for the masks
    ]
    params = Train(steps=90, precision="float32")
    made = train([folder], tmp_path / "m.h5", params, method="maskcontrast", proposals=masks, sets=sets, workers=1)
    found = cluster([made[0].path], tmp_path / "seg.h5", GROUPS, workers=1).path
    overlaps = []
    for number, one in enumerate(maps_of(found)):
        truth = scene(number)[1] > 0
        overlaps.append(((one > 0) & truth).sum() / ((one > 0) | truth).sum())
    assert np.mean(overlaps) > 0.45, "all of the image would have 0.16"
