"""Images in, superpixels out: what is stored, and that nothing but the images and settings decides it."""

from __future__ import annotations

import os
import time
import types
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from called import superpixels
from conftest import MakeImages, four_quadrants
from PIL import Image
from reading_back import fingerprint
from sample_artifacts import differences, values_of

from unsegcli import console, store
from unsegcli.core.geometry import Box, paint
from unsegcli.core.superpixels.regions import is_connected
from unsegcli.dataflow.runner import UpToDate
from unsegcli.errors import ArtifactError, ConfigError, DataError
from unsegcli.images import find
from unsegcli.images.find import file_digest
from unsegcli.params import Images, Superpixels
from unsegcli.segmenters.cutting import ALGORITHMS, with_void
from unsegcli.stages.superpixels import peak_of

SMALL = Superpixels(pixels_per_segment=100)


@pytest.mark.parametrize("algorithm", list(ALGORITHMS))
def test_superpixels_follow_the_four_quadrants(algorithm: str, make_images: MakeImages, tmp_path: Path) -> None:
    outcome = superpixels([make_images()], tmp_path / "sp.h5", replace(SMALL, algorithm=algorithm), workers=1)
    assert outcome == (tmp_path / "sp.h5", 0)
    with store.open_artifact(outcome.path, "superpixels") as artifact:
        assert artifact.window_count == 3
        assert store.problems_of(artifact) == []
        assert artifact.table("sources/name") == ["p0.png", "p1.png", "p2.png"]
        for index in range(3):
            regions = artifact.read("superpixels", index)
            assert regions.dtype == np.uint16
            assert is_connected(regions.astype(int))
            assert regions.max() + 1 == artifact.table("windows/superpixels")[index]
            # No superpixel crosses from one plain quadrant into another.
            quadrants = (regions[:24, :32], regions[:24, 32:], regions[24:, :32], regions[24:, 32:])
            assert sum(len(np.unique(quadrant)) for quadrant in quadrants) == len(np.unique(regions))
            np.testing.assert_array_equal(artifact.read("images", index), four_quadrants(noise_seed=index))


def test_result_is_the_same_for_any_number_of_workers(
    make_images: MakeImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unsegcli.dataflow.runner.PIXELS_WORTH_A_PROCESS", 1)  # else one process would do
    folder = make_images(count=6)
    made = [superpixels([folder], tmp_path / f"{n}.h5", SMALL, workers=n).path for n in (1, 2)]
    assert fingerprint(made[0]) == fingerprint(made[1])


def test_result_does_not_depend_on_where_the_folder_lies(make_images: MakeImages, tmp_path: Path) -> None:
    here, there = make_images("here/data"), make_images("there/data")
    first = superpixels([here], tmp_path / "a.h5", SMALL, workers=1).path
    second = superpixels([there], tmp_path / "deep" / "b.h5", SMALL, workers=1).path
    assert fingerprint(first) == fingerprint(second)


def test_every_setting_changes_the_recipe(make_images: MakeImages, tmp_path: Path) -> None:
    folder = make_images(count=1)
    changes: list[tuple[Superpixels, Images]] = [
        (SMALL, Images()),
        (replace(SMALL, algorithm="felzenszwalb"), Images()),
        (replace(SMALL, segments=9), Images()),
        (replace(SMALL, pixels_per_segment=50), Images()),
        (replace(SMALL, compactness=3.0), Images()),
        (replace(SMALL, pixels=False), Images()),
        *((SMALL, images) for images in IMAGE_SETTINGS),
    ]
    recipes = set()
    for number, (params, images) in enumerate(changes):
        path = superpixels([folder], tmp_path / f"{number}.h5", params, images, workers=1).path
        with store.open_artifact(path) as artifact:
            recipes.add(str(artifact.about["recipe"]))
    assert len(recipes) == len(changes)


IMAGE_SETTINGS = [
    Images(axes="yxc"),
    Images(bands=(3, 1)),
    Images(alpha="band"),
    Images(nodata=0),
    Images(percentiles=(2.0, 98.0)),
    Images(scaling="image"),
    Images(size=(20,)),
    Images(scale=0.5),
    Images(patch=30),
    Images(patch=30, stride=20),
    Images(max_pixels=10_000),
]


def test_patches_paint_back_to_the_image(make_images: MakeImages, tmp_path: Path) -> None:
    images = Images(patch=20, stride=13)
    path = superpixels([make_images()], tmp_path / "sp.h5", SMALL, images, workers=1).path
    with store.open_artifact(path) as artifact:
        assert store.problems_of(artifact) == []
        sources = artifact.table("windows/source")
        for source in range(3):
            rows = np.flatnonzero(sources == source)
            boxes = [Box(*map(int, artifact.table("windows/box")[row])) for row in rows]
            maps = [artifact.read("images", row) for row in rows]
            whole = paint(maps, boxes, (48, 64), (48, 64))
            np.testing.assert_array_equal(whole, four_quadrants(noise_seed=source))


def test_masked_pixels_belong_to_no_superpixel(make_images: MakeImages, tmp_path: Path) -> None:
    folder, masks = make_images(count=2), tmp_path / "masks"
    masks.mkdir()
    valid = np.zeros((48, 64), np.uint8)
    valid[5:40, 7:50] = 255
    for number in range(2):
        Image.fromarray(valid).save(masks / f"p{number}.png")
    path = superpixels([folder], tmp_path / "sp.h5", SMALL, mask=masks, workers=1).path
    with store.open_artifact(path) as artifact:
        assert store.problems_of(artifact) == []
        np.testing.assert_array_equal(artifact.read("superpixels", 1) == 65535, valid == 0)
        assert "masks" in artifact.recipe["inputs"]


def test_changed_mask_is_noticed(make_images: MakeImages, tmp_path: Path) -> None:
    folder, masks = make_images(count=1), tmp_path / "masks"
    masks.mkdir()
    made = []
    for value in (0, 255):
        valid = np.full((48, 64), 255, np.uint8)
        valid[:10] = value
        Image.fromarray(valid).save(masks / "p0.png")
        made.append(fingerprint(superpixels([folder], tmp_path / "sp.h5", SMALL, mask=masks, workers=1).path))
    assert made[0] != made[1]


def test_broken_image_is_skipped_and_listed(
    make_images: MakeImages, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = make_images()
    whole = (folder / "p1.png").read_bytes()
    (folder / "p1.png").write_bytes(whole[: len(whole) // 2])
    (folder / "notes.jpg").write_text("not an image")
    for _ in range(2):  # the second time it is a cache hit, and says the same
        caplog.clear()
        outcome = superpixels([folder], tmp_path / "sp.h5", SMALL, workers=1)
        assert outcome.skipped == 2
        assert "p1.png" in caplog.text
        assert "notes.jpg" in caplog.text
    with store.open_artifact(outcome.path) as artifact:
        assert artifact.table("sources/name") == ["p0.png", "p2.png"]
        assert sorted(artifact.table("skipped/name")) == ["notes.jpg", "p1.png"]


def test_unchanged_run_writes_nothing(make_images: MakeImages, tmp_path: Path) -> None:
    folder = make_images()
    path = superpixels([folder], tmp_path / "sp.h5", SMALL, workers=1).path
    before = path.stat().st_mtime_ns
    superpixels([folder], path, SMALL, workers=2)
    assert path.stat().st_mtime_ns == before
    Image.fromarray(four_quadrants(noise_seed=9)).save(folder / "p0.png")
    superpixels([folder], path, SMALL, workers=1)
    assert path.stat().st_mtime_ns != before


def test_two_files_of_one_size_and_time_that_swap_places_are_noticed(
    make_images: MakeImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an archive unpacks them, with times of its own."""
    folder, pixels = tmp_path / "data", np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3)).astype(np.uint8)
    folder.mkdir()
    for name, one in zip("ab", pixels, strict=True):
        Image.fromarray(one).save(folder / f"{name}.bmp")
        os.utime(folder / f"{name}.bmp", (1, 1))
    time.sleep(1.1)  # the time in an artifact has no fractions of a second
    superpixels(folder, tmp_path / "a.h5")
    read: list[Path] = []
    monkeypatch.setattr(find, "file_digest", lambda path: read.append(path) or file_digest(path))
    assert isinstance(superpixels(folder, tmp_path / "a.h5"), UpToDate)
    assert read == []
    (folder / "a.bmp").rename(folder / "c")
    (folder / "b.bmp").rename(folder / "a.bmp")
    (folder / "c").rename(folder / "b.bmp")
    assert not isinstance(superpixels(folder, tmp_path / "a.h5"), UpToDate)
    with store.open_artifact(tmp_path / "a.h5") as artifact:
        np.testing.assert_array_equal(artifact.read("images", 0), pixels[1])


def test_limit_takes_the_first(make_images: MakeImages, tmp_path: Path) -> None:
    path = superpixels([make_images(count=5)], tmp_path / "sp.h5", SMALL, limit=2, workers=1).path
    with store.open_artifact(path) as artifact:
        assert artifact.table("sources/name") == ["p0.png", "p1.png"]


def test_dry_run_writes_nothing(make_images: MakeImages, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "unseg")
    folder = make_images()
    superpixels([folder], tmp_path / "out" / "sp.h5", SMALL, dry_run=True)
    assert not (tmp_path / "out").exists()
    assert "3 images" in caplog.text
    assert "MB on disk" in caplog.text


class Bar:
    """A progress bar that remembers where it stood."""

    def __init__(self) -> None:
        self.n, self.seen = 0.0, [0.0]

    def update(self, more: float) -> None:
        self.n += more
        if more:
            self.seen.append(self.n)


EIGHTHS = {"": [0, 2, 6, 8, 10, 14, 16], "patches": [0, 1, 3, 4, 5, 7, 8, 9, 11, 12, 13, 15, 16]}


@pytest.mark.parametrize("cut", EIGHTHS)
def test_the_bar_moves_while_an_image_is_worked_on(
    cut: str, make_images: MakeImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The algorithm reports a quarter and three quarters of each image, or of each of its two windows."""

    def reporting(pixels: np.ndarray, valid: Any, aim: int, params: Any, report: Callable[[float], None]) -> Any:
        report(0.25)
        report(0.75)
        return np.zeros(pixels.shape[:2], np.int32)

    bar = Bar()
    monkeypatch.setitem(ALGORITHMS, "slic", reporting)
    monkeypatch.setattr(console, "progress", lambda *_, done: nullcontext(bar))
    reading = Images(patch=20, size=(20, 40)) if cut else Images()
    superpixels([make_images(count=2)], tmp_path / "sp.h5", SMALL, reading, workers=1)
    assert bar.seen == [number / 8 for number in EIGHTHS[cut]]


def test_more_superpixels_than_uint16_can_number() -> None:
    """65,535 superpixels leave no value for void in uint16."""
    regions = np.arange(65_536).reshape(256, 256)
    regions[0, 0] = -1
    assert with_void(np.minimum(regions, 65_534), 65_535).dtype == np.uint16
    wide = with_void(regions, 65_536)
    assert wide.dtype == np.uint32
    assert wide[0, 0] == 2**32 - 1
    assert wide[0, 1] == 1


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (Superpixels(algorithm="watershed"), "slic, slic-skimage, felzenszwalb"),
        (Superpixels(compactness=0), "compactness"),
        (Superpixels(segments=-1), "segments"),
    ],
)
def test_senseless_settings_are_refused(
    params: Superpixels, message: str, make_images: MakeImages, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        superpixels([make_images()], tmp_path / "sp.h5", params)
    assert not list(tmp_path.glob("sp.h5*"))


def test_output_that_is_no_artifact_is_kept(make_images: MakeImages, tmp_path: Path) -> None:
    precious = tmp_path / "thesis.h5"
    precious.write_text("years of work")
    with pytest.raises(ArtifactError, match="--force"):
        superpixels([make_images()], precious, SMALL, workers=1)
    assert precious.read_text() == "years of work"


def test_folder_of_broken_images_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(DataError, match=r"a\.png"):
        superpixels([tmp_path / "data"], tmp_path / "sp.h5", SMALL)


def test_superpixels_can_be_cut_anew_from_an_artifact(make_images: MakeImages, tmp_path: Path) -> None:
    folder = make_images()
    first = superpixels([folder], tmp_path / "a.h5", SMALL, Images(scale=0.5), workers=1).path
    finer = replace(SMALL, pixels_per_segment=30)
    anew = superpixels([first], tmp_path / "b.h5", finer, workers=1).path
    direct = superpixels([folder], tmp_path / "c.h5", finer, Images(scale=0.5), workers=1).path
    with store.open_artifact(anew) as one, store.open_artifact(direct) as other:
        assert differences(values_of(one), values_of(other)) == []
    assert fingerprint(anew) != fingerprint(direct), "they are made in different ways"
    with pytest.raises(ConfigError, match="pixels already"):
        superpixels([first], tmp_path / "d.h5", finer, Images(scale=0.5))


def test_mean_size_is_that_of_the_valid_part(make_images: MakeImages, tmp_path: Path) -> None:
    """A mask that leaves a quarter must leave about a quarter of the superpixels, not smaller ones."""
    folder, masks = make_images(count=1, height=96, width=128), tmp_path / "masks"
    masks.mkdir()
    valid = np.zeros((96, 128), np.uint8)
    valid[:48, :64] = 255
    Image.fromarray(valid).save(masks / "p0.png")
    counts = []
    for name, mask in (("all.h5", None), ("part.h5", masks)):
        path = superpixels([folder], tmp_path / name, replace(SMALL, pixels_per_segment=64), mask=mask, workers=1).path
        with store.open_artifact(path) as artifact:
            counts.append(int(artifact.table("windows/superpixels")[0]))
    assert counts[1] == pytest.approx(counts[0] / 4, rel=0.35)


def test_noise_that_leaves_few_superpixels_is_warned_about(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "data").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (120, 140, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "data" / "noise.png")
    superpixels([tmp_path / "data"], tmp_path / "a.h5", Superpixels(algorithm="slic-skimage"), workers=1)
    assert "1 of 1 images: far fewer superpixels" in caplog.text
    caplog.clear()
    windows = Superpixels(algorithm="slic-skimage")
    superpixels([tmp_path / "data"], tmp_path / "w.h5", windows, reading=Images(patch=70), workers=1)
    assert "4 of 4 windows: far fewer superpixels" in caplog.text
    caplog.clear()
    path = superpixels([tmp_path / "data"], tmp_path / "b.h5", workers=1).path
    assert not caplog.records
    with store.open_artifact(path) as artifact:
        assert artifact.table("windows/superpixels")[0] == 84


def test_many_separate_parts_are_warned_about(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "masks").mkdir()
    dots = np.zeros((100, 100), np.uint8)
    dots[::4, ::4] = 255
    Image.fromarray(dots).save(tmp_path / "data" / "dots.png")
    Image.fromarray(dots).save(tmp_path / "masks" / "dots.png")
    superpixels([tmp_path / "data"], tmp_path / "a.h5", Superpixels(segments=20), mask=tmp_path / "masks", workers=1)
    assert "1 of 1 images: more superpixels than requested" in caplog.text


def test_image_without_a_valid_pixel_is_warned_about(
    make_images: MakeImages, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder, masks = make_images(count=2), tmp_path / "masks"
    masks.mkdir()
    for number, value in enumerate((0, 255)):
        Image.fromarray(np.full((48, 64), value, np.uint8)).save(masks / f"p{number}.png")
    superpixels([folder], tmp_path / "sp.h5", SMALL, mask=masks, workers=1)
    assert "1 of 2 images: no valid pixel" in caplog.text


def test_band_that_is_lost_in_a_mixed_folder_is_warned_about(
    make_images: MakeImages, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = make_images(count=2)
    infrared = np.random.default_rng(0).integers(1, 255, (48, 64, 4)).astype(np.uint8)
    Image.fromarray(infrared).save(folder / "nir.png")
    superpixels([folder], tmp_path / "sp.h5", SMALL, workers=1)
    assert "the last band of 1 of 3 images holds values" in caplog.text


def test_the_first_run_says_that_it_compiles(
    make_images: MakeImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    caplog.set_level("INFO")
    data = make_images(count=1)
    superpixels([data], tmp_path / "a.h5", workers=1)
    caplog.clear()
    superpixels([data], tmp_path / "b.h5", workers=1)
    assert "compiles" not in caplog.text
    spec = types.SimpleNamespace(origin=str(tmp_path / "connected.py"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec)
    superpixels([data], tmp_path / "c.h5", workers=1)
    assert "the first run compiles SLIC" in caplog.text


def test_the_estimated_memory_is_that_of_the_algorithm() -> None:
    """Measured peaks of a process of 0.1 GB with an image of 6000 x 6000: 0.73, 1.10, 1.30 and 2.03 GB."""
    for bands, gigabytes in ((1, 0.73), (3, 1.10), (4, 1.30), (8, 2.03)):
        assert 0.1 + peak_of("slic", 36_000_000, bands) / 1e9 == pytest.approx(gigabytes, rel=0.1)
    assert peak_of("slic-skimage", 1000, 3) > peak_of("felzenszwalb", 1000, 3) > 0


# ---------------------------------------------------------------------------------------- like an earlier file


def test_images_are_read_and_cut_like_those_of_an_earlier_file(make_images: MakeImages, tmp_path: Path) -> None:
    old, new = make_images("old", count=1), make_images("new", count=2)
    how = Images(bands=(3, 1), patch=32, scale=0.5)
    first = superpixels([old], tmp_path / "a.h5", replace(SMALL, compactness=3.0), how, workers=1).path
    again = superpixels([new], tmp_path / "b.h5", Superpixels(like=first), workers=1).path
    plain = superpixels([new], tmp_path / "c.h5", replace(SMALL, compactness=3.0), how, workers=1).path
    with store.open_artifact(again) as made, store.open_artifact(plain) as wanted:
        assert made.window_count == wanted.window_count
        for row in range(made.window_count):
            np.testing.assert_array_equal(made.read("superpixels", row), wanted.read("superpixels", row))
        assert made.attributes["reading"] == wanted.attributes["reading"]
        assert made.recipe["parameters"].items() >= {"compactness": 3.0, "patch": 32}.items()
        assert made.inputs["like"]["fingerprint"] == fingerprint(first)


def test_what_cannot_be_like_an_earlier_file_is_refused(make_images: MakeImages, tmp_path: Path) -> None:
    old = superpixels([make_images("old", count=1)], tmp_path / "a.h5", SMALL, workers=1).path
    like = Superpixels(like=old)
    with pytest.raises(ConfigError, match="sets how images are read and cut; leave out --segments, --bands"):
        superpixels(["old"], tmp_path / "b.h5", replace(like, segments=3), Images(bands=(1,)))
    with pytest.raises(ConfigError, match="give images instead"):
        superpixels([old], tmp_path / "b.h5", like)
    again = superpixels([old], tmp_path / "c.h5", SMALL, workers=1).path
    with pytest.raises(ArtifactError, match="does not record how its images were read and cut"):
        superpixels([tmp_path / "old"], tmp_path / "b.h5", Superpixels(like=again))
    (tmp_path / "grey").mkdir()
    Image.fromarray(np.zeros((48, 64), np.uint8)).save(tmp_path / "grey" / "g.png")
    Image.fromarray(np.zeros((48, 64, 4), np.uint8)).save(tmp_path / "grey" / "four.png")
    with pytest.raises(DataError, match="four"):
        superpixels([tmp_path / "grey" / "four.png"], tmp_path / "b.h5", like, workers=1)
