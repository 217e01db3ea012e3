"""`unseg cluster` with a model: the right images, read as those that it learned from; right, and the same again."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from called import cluster, evaluate, superpixels
from conftest import MakeImages, four_quadrants
from PIL import Image
from reading_back import fingerprint, maps_of
from tiny_model import PLAIN, write_method, write_model
from typed import unseg

from unsegcli import store
from unsegcli.dataflow.dataset import dataset_from_files
from unsegcli.dataflow.label_maps import open_predictions
from unsegcli.errors import ArtifactError, ConfigError, DataError
from unsegcli.params import Cluster, Images, Inputs, Superpixels

QUADRANTS = np.repeat(np.repeat(np.array([[0, 1], [2, 3]]), 24, axis=0), 32, axis=1)


def hint(path: Path, digest: str) -> dict[str, str]:
    return {"path": path.name, "fingerprint": digest}


@pytest.fixture
def method(tmp_path: Path) -> Path:
    return write_method(tmp_path / "mine.py")


@pytest.fixture
def data(make_images: MakeImages) -> Path:
    return make_images()


@pytest.fixture
def sp(data: Path, tmp_path: Path) -> Path:
    return superpixels([data], tmp_path / "sp.h5", Superpixels(pixels_per_segment=100), workers=1).path


@pytest.fixture
def model(tmp_path: Path, method: Path, data: Path) -> Path:
    """A model that learned from the images in data/."""
    digest = dataset_from_files(Inputs(data)).inputs["pictures"]
    return write_model(tmp_path / "model.h5", method, inputs={"pictures": hint(data, digest)})


@pytest.fixture
def wide(tmp_path: Path) -> tuple[Path, Path]:
    method = write_method(tmp_path / "wide.py", "MULTIPLE = 4")
    return write_model(tmp_path / "wide.h5", method, nearest=False, kernel=9, layers=3, sharpness=20.0), method


def test_images_it_learned_from_are_found_and_clustered(model: Path, method: Path, tmp_path: Path) -> None:
    made = cluster([model], tmp_path / "seg.h5", method=method).path
    for found in maps_of(made):
        np.testing.assert_array_equal(found, QUADRANTS)
    with store.open_artifact(made) as artifact:
        assert artifact.attributes["role"] == "clusters"
        assert artifact.attributes["clusters"] == 4
        assert artifact.recipe["inputs"]["model"] == fingerprint(model)
        assert artifact.recipe["parameters"]["per"] == "pixel"
        assert set(artifact.inputs) == {"model", "pictures"}
        assert "device" not in json.dumps(artifact.recipe)
        assert artifact.table("windows/confidence").min() > 0.9
        assert not artifact.has("confidence")
        assert not artifact.has("distances"), "its clusters have no centres"


def test_named_images_and_a_second_run_give_the_same(
    model: Path, method: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = [
        fingerprint(cluster([model, *more], tmp_path / f"{number}.h5", method=method, workers=workers).path)
        for number, (more, workers) in enumerate([([], 1), ([tmp_path / "data"], 1), ([tmp_path / "data"], 2)])
    ]
    assert len(set(made)) == 1
    caplog.set_level("INFO", "unseg")
    cluster([model], tmp_path / "0.h5")  # nothing is to be done, so not even the method file is needed
    assert "up to date" in caplog.text


def test_evaluate_reads_the_result(model: Path, method: Path, data: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels"
    labels.mkdir()
    for number in range(3):
        Image.fromarray(QUADRANTS.astype(np.uint8)).save(labels / f"p{number}.png")
    made = cluster([model], tmp_path / "seg.h5", method=method).path
    evaluated = evaluate([made], tmp_path / "metrics.h5", labels=labels, workers=1)
    assert evaluated.scores["scores"]["accuracy"] == pytest.approx(1)


def test_superpixels_are_painted_as_a_whole(model: Path, method: Path, sp: Path, tmp_path: Path) -> None:
    made = cluster([model, sp], tmp_path / "seg.h5", confidence=True, method=method).path
    with store.open_artifact(sp) as artifact, store.open_artifact(made) as result:
        assert result.recipe["parameters"]["per"] == "superpixel"
        for index, found in enumerate(maps_of(made)):
            regions, sure = artifact.read("superpixels", index), result.read("confidence", index)
            assert sure.dtype == np.float16
            assert result.table("windows/confidence")[index] == pytest.approx(sure.mean(), abs=1e-3)
            for region in np.unique(regions):
                assert len(np.unique(found[regions == region])) == 1
                assert len(np.unique(sure[regions == region])) == 1
            assert (found == QUADRANTS).mean() > 0.97
    single = cluster([model, sp], tmp_path / "pixels.h5", per="pixel", method=method).path
    np.testing.assert_array_equal(maps_of(single), [QUADRANTS] * 3)
    with pytest.raises(ConfigError, match="make superpixels"):
        cluster([model], tmp_path / "no.h5", per="superpixel", method=method)


def test_superpixels_it_learned_from_are_found(method: Path, sp: Path, tmp_path: Path) -> None:
    model = write_model(tmp_path / "model.h5", method, inputs={"superpixels": hint(sp, fingerprint(sp))})
    made = cluster([model], tmp_path / "seg.h5", method=method).path
    with store.open_artifact(made) as artifact:
        assert artifact.recipe["inputs"] == {"model": fingerprint(model), "superpixels": fingerprint(sp)}
    superpixels([tmp_path / "data"], sp, Superpixels(pixels_per_segment=50), workers=1)
    with pytest.raises(DataError, match=r"sp\.h5: has changed since"):
        cluster([model], tmp_path / "again.h5", method=method)
    assert cluster([model, sp], tmp_path / "again.h5", method=method).path.exists()
    sp.unlink()
    with pytest.raises(DataError, match="not found, but"):
        cluster([model], tmp_path / "third.h5", method=method)


def test_images_that_have_changed_or_gone_are_told(model: Path, method: Path, data: Path, tmp_path: Path) -> None:
    Image.fromarray(four_quadrants(noise_seed=9)).save(data / "p9.png")
    with pytest.raises(DataError, match="has changed"):
        cluster([model], tmp_path / "seg.h5", method=method)
    data.rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=r"data: not found, but .*unseg cluster"):
        cluster([model], tmp_path / "seg.h5", method=method)
    assert len(maps_of(cluster([model, tmp_path / "elsewhere"], tmp_path / "seg.h5", method=method).path)) == 4
    orphan = write_model(tmp_path / "orphan.h5", method)
    with pytest.raises(DataError, match="does not record its training data"):
        cluster([orphan], tmp_path / "seg.h5", method=method)


def test_limit_and_dry_run(model: Path, method: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "unseg")
    outcome = cluster([model], tmp_path / "seg.h5", method=method, dry_run=True)
    assert "3 images" in caplog.text
    assert not outcome.path.exists()
    assert len(maps_of(cluster([model], tmp_path / "seg.h5", method=method, limit=2).path)) == 2


def test_bad_images_are_skipped_and_listed(model: Path, method: Path, data: Path, tmp_path: Path) -> None:
    (data / "z.png").write_bytes(b"broken")
    outcome = cluster([model, data], tmp_path / "seg.h5", method=method)
    assert outcome.skipped == 1
    with store.open_artifact(outcome.path) as artifact:
        assert artifact.table("skipped/name") == ["z.png"]


def test_images_of_other_bands_or_values_are_refused(model: Path, method: Path, sp: Path, tmp_path: Path) -> None:
    (tmp_path / "five").mkdir()
    five_bands = np.zeros((20, 20, 5), np.uint8)
    tifffile.imwrite(tmp_path / "five" / "a.tif", five_bands, photometric="rgb", extrasamples=["unspecified"] * 2)
    with pytest.raises(DataError, match=r"a\.tif"):
        cluster([model, tmp_path / "five"], tmp_path / "seg.h5", method=method)
    (tmp_path / "deep").mkdir()
    tifffile.imwrite(tmp_path / "deep" / "a.tif", np.zeros((20, 20, 3), np.uint16), photometric="rgb")
    with pytest.raises(DataError, match="8-bit values"):
        cluster([model, tmp_path / "deep"], tmp_path / "seg.h5", method=method)
    five = superpixels([tmp_path / "five"], tmp_path / "five.h5", workers=1).path
    with pytest.raises(DataError, match="5 bands"):
        cluster([model, five], tmp_path / "seg.h5", method=method)


def test_deep_images_are_scaled_as_before(method: Path, tmp_path: Path) -> None:
    """New images that are darker as a whole stay darker: no percentiles of their own."""
    reading = replace(PLAIN, values="whole")
    limits = [(0.0, 2550.0)] * 3
    model = write_model(tmp_path / "deep.h5", method, reading=reading, scaling=limits)
    (tmp_path / "new").mkdir()
    tifffile.imwrite(tmp_path / "new" / "a.tif", four_quadrants().astype(np.uint16) * 10, photometric="rgb")
    made = cluster([model, tmp_path / "new"], tmp_path / "seg.h5", method=method).path
    np.testing.assert_array_equal(maps_of(made)[0], QUADRANTS)
    with store.open_artifact(made) as artifact:
        np.testing.assert_array_equal(artifact.table("sources/scaling")[0], limits)


def test_superpixels_scaled_otherwise_are_warned_of(
    method: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "new").mkdir()
    tifffile.imwrite(tmp_path / "new" / "a.tif", four_quadrants().astype(np.uint16) * 10, photometric="rgb")
    sp = superpixels([tmp_path / "new"], tmp_path / "sp.h5", workers=1).path
    reading = replace(PLAIN, values="whole")
    model = write_model(tmp_path / "deep.h5", method, reading=reading, scaling=[(0.0, 9.0)] * 3)
    cluster([model, sp], tmp_path / "seg.h5", method=method)
    assert "scaled differently" in caplog.text


def test_tiles_and_patches(wide: tuple[Path, Path], make_images: MakeImages, tmp_path: Path) -> None:
    model, method = wide
    folder = make_images("large", count=1, height=90, width=150)
    maps = [
        maps_of(cluster([model, folder], tmp_path / f"{tile}.h5", tile=tile, method=method).path)[0]
        for tile in (64, 512)
    ]
    assert (maps[0] == maps[1]).mean() > 0.999
    assert len(np.unique(maps[1])) > 1
    patches = cluster([model, folder], tmp_path / "p.h5", images=Images(patch=48), method=method).path
    assert len(maps_of(patches)) == 8


def test_flips_of_a_mirrored_image_are_mirrored(wide: tuple[Path, Path], tmp_path: Path) -> None:
    model, method = wide
    (tmp_path / "both").mkdir()
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    Image.fromarray(image).save(tmp_path / "both" / "a.png")
    Image.fromarray(image[:, ::-1]).save(tmp_path / "both" / "b.png")
    made = cluster([model, tmp_path / "both"], tmp_path / "seg.h5", flips=True, method=method).path
    one, other = maps_of(made)
    np.testing.assert_array_equal(one, other[:, ::-1])


def test_refining_follows_the_image(wide: tuple[Path, Path], make_images: MakeImages, tmp_path: Path) -> None:
    model, method = wide
    folder = make_images("plain", count=1)
    plain, refined = (
        maps_of(cluster([model, folder], tmp_path / f"{on}.h5", refine=on, method=method).path)[0]
        for on in (False, True)
    )
    assert refined.shape == plain.shape
    assert (refined != plain).any()


def test_void_stays_void(model: Path, method: Path, data: Path, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    valid = np.full((48, 64), 255, np.uint8)
    valid[:9] = 0
    for number in range(3):
        Image.fromarray(valid).save(masks / f"p{number}.png")
    sp = superpixels([data], tmp_path / "masked.h5", mask=masks, workers=1).path
    for number, (source, mask) in enumerate(((data, masks), (sp, None))):
        asked = Cluster(confidence=True, refine=True)
        made = cluster([model, source], tmp_path / f"{number}.h5", asked, method=method, mask=mask).path
        for found, sure in zip(maps_of(made), maps_of(made, "confidence"), strict=True):
            np.testing.assert_array_equal(found == 255, valid == 0)
            assert (sure[valid == 0] == 0).all()
            assert (sure[valid > 0] > 0).all()


def test_what_does_not_go_together_is_refused(model: Path, method: Path, sp: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "seg.h5"
    for params, words in (
        (Cluster(features="bands"), "--features is only for k-means"),
        (Cluster(starts=5, blur=1.0), "--blur, --starts is only for k-means"),
        (Cluster(classes=5), "no function region_vectors, .* than the 4 that it was trained with"),
    ):
        with pytest.raises(ConfigError, match=words):
            cluster([model], out, params, method=method)
    assert cluster([model], out, Cluster(classes=4), method=method).path == out
    for wrong, words in (
        ({"flips": True, "tile": 64}, "--flips, --tile is only for models"),
        ({"method": method}, "--method is only for models"),
        ({"device": "cpu"}, "--device is only for models"),
    ):
        with pytest.raises(ConfigError, match=words):
            cluster([sp], out, **wrong)
    with pytest.raises(ConfigError, match="give only one model"):
        cluster([model, model], out, method=method)
    for inputs in ([sp, model], [data, model]):
        with pytest.raises(ConfigError, match="give a model first"):
            cluster(inputs, out, method=method)
        with pytest.raises(ConfigError, match="an HDF5 file must be the only input"):
            cluster(inputs, out, Cluster(features="bands"))
    with pytest.raises(ConfigError, match="a model sets how images are read"):
        cluster([model, data], out, images=Images(scale=0.5), method=method)
    with pytest.raises(ConfigError, match="--tile 8"):
        cluster([model], out, tile=8, method=method)
    with pytest.raises(ConfigError, match="--per region"):
        cluster([model], out, per="region", method=method)
    with pytest.raises(ConfigError, match="--method mine"):
        cluster([model], tmp_path / "other.h5")
    with pytest.raises(ArtifactError, match="an input of this command"):
        cluster([model, sp], sp, method=method, force=True)


def test_k_means_never_loads_torch(sp: Path, tmp_path: Path) -> None:
    script = (
        "import sys; from unsegcli.cli import app\n"
        f"sys.argv = ['unseg', 'cluster', {str(sp)!r}, '-o', {str(tmp_path / 'seg.h5')!r}, '--workers', '1']\n"
        "try:\n    app()\nexcept SystemExit as end:\n    assert not end.code\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
    assert maps_of(tmp_path / "seg.h5")


def test_through_a_pipe(model: Path, method: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `unseg train ... | unseg cluster | unseg evaluate`."""
    labels = tmp_path / "labels"
    labels.mkdir()
    for number in range(3):
        Image.fromarray(QUADRANTS.astype(np.uint8)).save(labels / f"p{number}.png")
    program = f"{sys.executable} -m unsegcli"
    line = f"echo model.h5 | {program} cluster --method mine.py -q | {program} evaluate --labels labels --json -q"
    done = subprocess.run(["sh", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["scores"]["accuracy"] == 1
    # Without any input, the model is taken before superpixels are.
    monkeypatch.chdir(tmp_path)
    taken = unseg("cluster", "--method", "mine.py", "-o", "again.h5")
    assert "using model.h5 (model)" in taken.stderr
    assert "clusters; use --classes" not in taken.stderr


def test_features_of_whole_images_are_those_of_windows_and_that_is_said(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    more = "def image_features(network, batch, config):\n    return batch.images.mean((2, 3))\n"
    method = write_method(tmp_path / "summary.py", more)
    model = write_model(tmp_path / "summary.h5", method)
    params = Cluster(method=str(method))
    caplog.set_level("INFO", "unseg")
    cluster([model, data], tmp_path / "whole.h5", params)
    assert "each window counts as one" not in caplog.text
    cluster([model, data], tmp_path / "windows.h5", params, Images(patch=24))
    assert "summary uses features of a whole image, and here each window counts as one" in caplog.text


def test_windows_that_overlap_by_what_a_network_sees_change_nothing(
    wide: tuple[Path, Path], make_images: MakeImages, tmp_path: Path
) -> None:
    model, method = wide
    data = make_images("data", height=96, width=128)
    found = []
    for windows in (Images(), Images(patch=64, stride=32)):  # the middles are 16 pixels away; 12 are seen
        made = cluster([model, data], tmp_path / f"{windows.patch}.h5", Cluster(method=str(method)), windows)
        found.append([one.on(one.grid) for one in open_predictions(made.path).maps])
    np.testing.assert_array_equal(found[0], found[1])
