"""Models are opened as what they are or refused in one line, and tiles give what the whole image gives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import four_quadrants
from tiny_model import PLAIN, write_method, write_model

from unsegcli import store
from unsegcli.core.tiles import spans
from unsegcli.errors import ArtifactError, ConfigError
from unsegcli.segmenters.network import reach_of, scores_of
from unsegcli.segmenters.trained import Trained, device_of, open_trained

QUADRANTS = np.repeat(np.repeat(np.array([[0, 1], [2, 3]]), 24, axis=0), 32, axis=1)


@pytest.fixture
def method(tmp_path: Path) -> Path:
    return write_method(tmp_path / "mine.py")


@pytest.fixture
def wide(tmp_path: Path) -> Trained:
    """Three convolutions of 9 x 9 pixels: it sees 12 pixels around."""
    method = write_method(tmp_path / "wide.py", "MULTIPLE = 4")
    path = write_model(tmp_path / "wide.h5", method, nearest=False, kernel=9, layers=3, sharpness=20.0)
    return open_trained(path, method)


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)


def test_a_model_is_opened_as_it_was_written(tmp_path: Path, method: Path) -> None:
    before = torch.random.get_rng_state()
    trained = open_trained(write_model(tmp_path / "m.h5", method, scaling=[(0, 9)] * 3), method, "cpu")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not trained.network.training
    assert not any(parameter.requires_grad for parameter in trained.network.parameters())
    assert (trained.classes, trained.channels, trained.scaling) == (4, 3, ((0.0, 9.0),) * 3)
    scores = scores_of(trained, four_quadrants())
    np.testing.assert_allclose(scores.sum(axis=0), 1, atol=1e-6)
    np.testing.assert_array_equal(scores.argmax(axis=0), QUADRANTS)


def test_a_users_method_is_given_again(tmp_path: Path, method: Path) -> None:
    path = write_model(tmp_path / "m.h5", method)
    with pytest.raises(ConfigError, match=r"--method mine\.py"):
        open_trained(path)
    other = write_method(tmp_path / "other.py", "# not the same")
    with pytest.raises(ConfigError, match=r"is not the mine.py with which .*m\.h5 was trained; give"):
        open_trained(path, other)
    (tmp_path / "edited").mkdir()
    edited = write_method(tmp_path / "edited" / "mine.py", "# not the same")
    with pytest.raises(ConfigError, match=r"has changed since .*m\.h5 was trained; give") as caught:
        open_trained(path, edited)
    assert "digest" not in str(caught.value)
    method.rename(tmp_path / "renamed.py")  # the content counts
    assert open_trained(path, tmp_path / "renamed.py").classes == 4


def test_a_name_in_a_model_is_never_taken_for_a_file(tmp_path: Path, method: Path) -> None:
    evil = tmp_path / "evil.py"
    evil.write_text("raise SystemExit('it was run')")
    for name in (str(evil), "evil.py", "nonsense", "../evil"):
        path = write_model(tmp_path / "m.h5", method, changed={"method": name})
        with pytest.raises(ArtifactError, match="upgrade unseg"):
            open_trained(path)


def test_what_does_not_fit_is_refused_in_one_line(tmp_path: Path, method: Path) -> None:
    for changed, words in (
        ({"config": '{"classes": 5}'}, r"weights do not fit .*\(4, 3, 1, 1\), not \(5, 3, 1, 1\)"),
        ({"config": '{"classes": 4, "layers": 2}'}, "weights do not fit .*lacks"),
        ({"config": '{"klasses": 4}'}, "no setting klasses"),
        ({"config": "[]"}, "config is not a JSON object"),
        ({"config": "{"}, "config is not JSON"),
        ({"reading": "{}"}, "is not valid"),
    ):
        with pytest.raises(ArtifactError, match=words) as caught:
            open_trained(write_model(tmp_path / "m.h5", method, changed=changed), method)
        assert "\n" not in str(caught.value)
    more = write_model(tmp_path / "more.h5", method, layers=2, nearest=False, changed={"config": '{"classes": 4}'})
    with pytest.raises(ArtifactError, match="weights do not fit"):
        open_trained(more, method)


def test_devices() -> None:
    assert device_of("cpu").type == "cpu"
    assert device_of().type in ("cpu", "cuda", "mps")
    for name in {"cuda", "mps"} - {device_of().type}:
        with pytest.raises(ConfigError, match=f"--device {name}"):
            device_of(name)
    with pytest.raises(ConfigError, match="auto, cpu, cuda, mps"):
        device_of("tpu")


@pytest.mark.parametrize("shape", [(40, 150), (150, 40), (131, 157), (64, 65)])
def test_tiles_give_what_the_whole_gives(wide: Trained, shape: tuple[int, int]) -> None:
    image = noise(*shape)
    whole, tiled = (scores_of(wide, image, tile=tile) for tile in (512, 64))
    assert tiled.shape == (4, *shape)
    np.testing.assert_allclose(tiled, whole, atol=2e-3)
    assert (tiled.argmax(axis=0) == whole.argmax(axis=0)).mean() > 0.999
    assert whole.std(axis=(1, 2)).max() > 0.1, "the test needs scores that differ"


def test_reach_is_measured(wide: Trained) -> None:
    assert 6 <= reach_of(wide, 64) <= 12


def test_any_size_goes_through(wide: Trained) -> None:
    for shape in ((1, 1), (1, 70), (3, 5), (67, 2)):
        scores = scores_of(wide, noise(*shape), tile=64)
        assert scores.shape == (4, *shape)
        np.testing.assert_allclose(scores.sum(axis=0), 1, atol=1e-5)


def test_flips_are_symmetric(wide: Trained) -> None:
    image = noise(50, 90)
    one = scores_of(wide, image, flips=True, tile=64)
    np.testing.assert_array_equal(scores_of(wide, image[:, ::-1], flips=True, tile=64), one[:, :, ::-1])
    assert np.abs(one - scores_of(wide, image, tile=64)).max() > 1e-3


def test_void_pixels_are_black_for_the_network(wide: Trained) -> None:
    image, valid = noise(32, 32), np.ones((32, 32), bool)
    valid[:8] = False
    black = np.where(valid[:, :, None], image, 0).astype(np.uint8)
    np.testing.assert_array_equal(scores_of(wide, image, valid), scores_of(wide, black))


def test_a_image_of_other_bands_is_refused(wide: Trained) -> None:
    with pytest.raises(ConfigError, match="2 bands"):
        scores_of(wide, np.zeros((8, 8, 2), np.uint8))


def test_a_method_that_breaks_its_promise_is_named(tmp_path: Path) -> None:
    for line, words in (("[:, :2]", "cluster_scores returned"), (" * float('nan')", "NaN or infinite")):
        method = tmp_path / "broken.py"
        source = write_method(method).read_text().replace(".softmax(1)", f".softmax(1){line}")
        method.write_text(source)
        trained = open_trained(write_model(tmp_path / "m.h5", method), method)
        with pytest.raises((ConfigError, ArtifactError), match=words):
            scores_of(trained, noise(8, 8))


def test_superpixels_reach_the_method_numbered_from_0(tmp_path: Path) -> None:
    method = tmp_path / "needy.py"
    source = write_method(method).read_text()
    check = (
        "    assert batch.superpixel_count == (batch.superpixels.unique() >= 0).sum() == batch.superpixels.max() + 1\n"
    )
    method.write_text(source.replace("    return (config.sharp", check + "    return (config.sharp"))
    trained = open_trained(write_model(tmp_path / "m.h5", method), method)
    regions = (np.arange(100)[:, None] // 10 * 10 + np.arange(100) // 10).astype(np.int32)
    regions[::7] = -1
    for tile in (64, 512):
        scores_of(trained, noise(100, 100), regions >= 0, regions, tile=tile)


def test_bands_of_the_model_are_those_of_its_reading(tmp_path: Path, method: Path) -> None:
    path = write_model(tmp_path / "m.h5", method, channels=5, reading=replace(PLAIN, channels=5), nearest=False)
    trained = open_trained(path, method)
    assert scores_of(trained, np.zeros((8, 8, 5), np.uint8)).shape == (4, 8, 8)
    with store.open_artifact(path) as artifact:
        assert not artifact.has("scaling")


@pytest.mark.parametrize("length", [4, 64, 68, 100, 200, 1000])
@pytest.mark.parametrize("margin", [0, 5, 12, 1000])
@pytest.mark.parametrize("multiple", [1, 4, 32])
def test_every_pixel_is_in_a_tile_that_knows_it(length: int, margin: int, multiple: int) -> None:
    length = -(-length // multiple) * multiple
    total = np.zeros(length)
    for start, weights in spans(length, 64, margin, multiple):
        assert start % multiple == 0
        total[start : start + len(weights)] += weights
    assert total.min() > 0
