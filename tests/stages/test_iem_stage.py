"""Images in, object masks out: what is stored, on which grid, and that no image costs another its mask."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from called import cluster, evaluate, iem, superpixels
from conftest import MakeImages
from numpy.typing import NDArray
from PIL import Image
from reading_back import fingerprint, maps_of, table_of

from unsegcli import store
from unsegcli.core.geometry import Box, paint
from unsegcli.errors import ConfigError, DataError
from unsegcli.images import rasters
from unsegcli.params import Cluster, Evaluate, Iem, Images, Superpixels, recorded

QUICK = Iem(size=(64,), sigma=2.5, kernel=7)
VOID = 255


def scene(height: int = 80, width: int = 100, seed: int = 0, bands: int = 3) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """A dark noisy image with a bright disc, which is where the seed says, and the disc."""
    random = np.random.default_rng(seed)
    row, column = height * random.uniform(0.42, 0.58), width * random.uniform(0.42, 0.58)
    disc = np.hypot(*(np.mgrid[:height, :width] - np.array([row, column])[:, None, None])) < 0.25 * min(height, width)
    colours = np.where(disc[:, :, None], np.linspace(220, 140, bands), 40)
    noisy = colours + random.normal(0, 12, (height, width, bands))
    return np.clip(noisy, 0, 255).astype(np.uint8), disc


def write_scenes(folder: Path, count: int = 3, **shape: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.fromarray(scene(seed=number, **shape)[0]).save(folder / f"p{number}.png")
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_scenes(tmp_path / "data")


def run(inputs: Any, output: Path, params: Iem = QUICK, images: Images | None = None, **more: Any) -> Path:
    """Part the images, and check whatever must hold of every output."""
    outcome = iem([inputs], output, params, images, **{"workers": 1, **more})
    with store.open_artifact(outcome.path, "segmentation") as artifact:
        assert store.problems_of(artifact) == []
        confidences = artifact.table("windows/confidence")
        assert len(confidences) == artifact.window_count
        assert ((confidences >= 0) & (confidences <= 1)).all()
    return outcome.path


def on_source(path: Path, source: int) -> NDArray[Any]:
    """The map of a source on its own grid."""
    with store.open_artifact(path) as artifact:
        rows = np.flatnonzero(artifact.table("windows/source") == source)
        boxes = [Box(*map(int, artifact.table("windows/box")[row])) for row in rows]
        height, width = map(int, artifact.table("windows/grid")[rows[0]])
        size = tuple(map(int, artifact.table("sources/size")[source]))
        return paint([artifact.read("segmentation", row) for row in rows], boxes, (height, width), (size[0], size[1]))


def iou(found: NDArray[Any], truth: NDArray[np.bool_]) -> float:
    return float(((found == 1) & truth).sum() / ((found == 1) | truth).sum())


# ---------------------------------------------------------------------------------------- what is stored


def test_object_is_found_in_every_image(photos: Path, tmp_path: Path) -> None:
    path = run(photos, tmp_path / "masks.h5")
    with store.open_artifact(path) as artifact:
        assert artifact.attributes["role"] == "mask"
        assert artifact.attributes["clusters"] == 2
        assert not artifact.has("confidence")
        assert (artifact.table("windows/confidence") > 0.7).all()
        assert artifact.table("windows/grid").tolist() == [[64, 80]] * 3
    assert all(found.dtype == np.uint8 for found in maps_of(path))
    for number in range(3):
        assert iou(on_source(path, number), scene(seed=number)[1]) > 0.9


def test_confidence_of_each_pixel_is_that_of_foreground(photos: Path, tmp_path: Path) -> None:
    path = run(photos, tmp_path / "masks.h5", replace(QUICK, confidence=True))
    for found, confidence in zip(maps_of(path), maps_of(path, "confidence"), strict=True):
        assert confidence.dtype == np.float16
        assert confidence[found == 1].mean() > 0.7
        assert confidence[found == 0].mean() < 0.3


def test_more_parts_are_clusters(photos: Path, tmp_path: Path) -> None:
    path = run(photos, tmp_path / "parts.h5", replace(QUICK, parts=3))
    with store.open_artifact(path) as artifact:
        assert artifact.attributes["role"] == "clusters"
        assert artifact.attributes["clusters"] == 3
    assert all(set(np.unique(found)) == {0, 1, 2} for found in maps_of(path))


def test_masks_of_superpixels_are_on_the_grid_of_their_windows(tmp_path: Path) -> None:
    folder = write_scenes(tmp_path / "large", 2, height=150, width=190)
    segments = superpixels([folder], tmp_path / "sp.h5", Superpixels(segments=60), workers=1).path
    path = run(segments, tmp_path / "masks.h5", Iem())
    assert [found.shape for found in maps_of(path)] == [(150, 190)] * 2
    for number, found in enumerate(maps_of(path)):
        assert iou(found, scene(150, 190, number)[1]) > 0.9
    # As large as they are, without a change of size: the outline is finer.
    fine = run(segments, tmp_path / "fine.h5", Iem(size=()))
    for number, found in enumerate(maps_of(fine)):
        assert iou(found, scene(150, 190, number)[1]) > 0.97


def test_each_window_is_parted_by_itself_and_keeps_its_pixels(tmp_path: Path) -> None:
    tiles = [[scene(100, 100, 2 * row + column) for column in range(2)] for row in range(2)]
    folder = tmp_path / "wide"
    folder.mkdir()
    Image.fromarray(np.vstack([np.hstack([pixels for pixels, _ in row]) for row in tiles])).save(folder / "a.png")
    path = run(folder, tmp_path / "masks.h5", QUICK, Images(patch=100))
    assert [found.shape for found in maps_of(path)] == [(100, 100)] * 4
    truth = np.vstack([np.hstack([disc for _, disc in row]) for row in tiles])
    assert iou(on_source(path, 0), truth) > 0.9


def test_what_is_done_with_windows_and_large_rasters_is_said(
    photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO", "unseg")
    run(photos, tmp_path / "whole.h5", limit=1)
    assert "each window" not in caplog.text
    assert "with one mask" not in caplog.text
    run(photos, tmp_path / "windows.h5", QUICK, Images(patch=50), limit=1)
    assert "each window is segmented by itself" in caplog.text
    monkeypatch.setattr(rasters, "LARGE", 79 * 100)
    run(photos, tmp_path / "large.h5", limit=1)
    assert "p0.png: 80 x 100 pixels are segmented as one image of 64 x 80, with one mask; --patch" in caplog.text


def test_superpixels_as_first_mask(photos: Path, tmp_path: Path) -> None:
    first = replace(QUICK, init="superpixels", iterations=0)
    made_here = run(photos, tmp_path / "a.h5", first)
    squares = run(photos, tmp_path / "b.h5", replace(first, init="square"))
    assert all((one != other).any() for one, other in zip(maps_of(made_here), maps_of(squares), strict=True))
    segments = superpixels([photos], tmp_path / "sp.h5", Superpixels(segments=40), Images(size=(64,)), workers=1).path
    given = run(segments, tmp_path / "c.h5", first)
    for found, regions in zip(maps_of(given), maps_of(segments, "superpixels"), strict=True):
        assert all(len(np.unique(found[regions == number])) == 1 for number in range(regions.max() + 1))
        assert 0.2 < found.mean() < 0.6
    for number in range(3):
        found = on_source(run(photos, tmp_path / "d.h5", replace(QUICK, init="superpixels")), number)
        assert iou(found, scene(seed=number)[1]) > 0.9


def test_crop_leaves_the_rest_void_and_not_scored(photos: Path, tmp_path: Path) -> None:
    path = run(photos, tmp_path / "masks.h5", replace(QUICK, size=(), crop=True))
    for found in maps_of(path):
        assert (found[:, :10] == VOID).all()
        assert (found[:, 90:] == VOID).all()
        assert set(np.unique(found[:, 10:90])) == {0, 1}
    (tmp_path / "labels").mkdir()
    for number in range(3):
        truth = scene(seed=number)[1].astype(np.uint8)
        truth[:, :10] = truth[:, 90:] = 1  # wrong, if it were scored
        Image.fromarray(truth).save(tmp_path / "labels" / f"p{number}.png")
    scores = {
        protocol: evaluate(
            [path], tmp_path / "m.h5", Evaluate(protocol=protocol, replicates=0), labels=tmp_path / "labels", workers=1
        ).scores["scores"]
        for protocol in ("iem", "")
    }
    assert scores["iem"]["iou"] > 0.9
    assert scores[""]["iou"] < 0.7


def test_crop_is_that_of_the_square_image_itself(tmp_path: Path) -> None:
    pixels = scene(80, 100)[0]
    for folder, shown in (("whole", pixels), ("cut", pixels[:, 10:90])):
        (tmp_path / folder).mkdir()
        Image.fromarray(shown).save(tmp_path / folder / "a.png")
    unscaled = replace(QUICK, size=())
    whole = maps_of(run(tmp_path / "whole", tmp_path / "a.h5", replace(unscaled, crop=True)))[0]
    np.testing.assert_array_equal(whole[:, 10:90], maps_of(run(tmp_path / "cut", tmp_path / "b.h5", unscaled))[0])


def test_masked_pixels_are_void(photos: Path, tmp_path: Path) -> None:
    masks = tmp_path / "valid"
    masks.mkdir()
    valid = np.full((80, 100), 255, np.uint8)
    valid[:, :20] = 0
    for number in range(3):
        Image.fromarray(valid).save(masks / f"p{number}.png")
    path = run(photos, tmp_path / "masks.h5", replace(QUICK, size=(), confidence=True), mask=masks)
    for found, confidence in zip(maps_of(path), maps_of(path, "confidence"), strict=True):
        np.testing.assert_array_equal(found == VOID, valid == 0)
        assert (confidence[valid == 0] == 0).all()


# ---------------------------------------------------------------------------------------- first masks from elsewhere


def test_first_masks_of_an_earlier_run_are_gone_on_with(photos: Path, tmp_path: Path) -> None:
    whole = run(photos, tmp_path / "whole.h5")
    half = run(photos, tmp_path / "half.h5", replace(QUICK, iterations=6))
    assert any((one != other).any() for one, other in zip(maps_of(half), maps_of(whole), strict=True))
    gone_on = run(photos, tmp_path / "b.h5", replace(QUICK, init=str(half), iterations=144))
    np.testing.assert_array_equal(np.stack(maps_of(gone_on)), np.stack(maps_of(whole)))


def test_first_masks_of_a_folder_are_found_by_name(photos: Path, tmp_path: Path) -> None:
    masks = tmp_path / "first"
    masks.mkdir()
    firsts = [np.zeros((80, 100), np.uint8) for _ in range(3)]
    for number, (first, ending) in enumerate(zip(firsts, ("", "_mask", "_proposal"), strict=True)):
        first[10 * number : 30 + 10 * number, 20:60] = 255
        Image.fromarray(first).save(masks / f"p{number}{ending}.png")
    path = run(photos, tmp_path / "m.h5", replace(QUICK, size=(), init=str(masks), iterations=0))
    for found, first in zip(maps_of(path), firsts, strict=True):
        np.testing.assert_array_equal(found, first > 0)


def test_first_masks_are_cut_like_the_windows(photos: Path, tmp_path: Path) -> None:
    masks = tmp_path / "first"
    masks.mkdir()
    first = np.zeros((80, 100), np.uint8)
    first[30:60, 35:75] = 255
    for number in range(3):
        Image.fromarray(first).save(masks / f"p{number}.png")
    settings = replace(QUICK, size=(), init=str(masks), iterations=0)
    path = run(photos, tmp_path / "m.h5", settings, Images(patch=50, stride=30))
    np.testing.assert_array_equal(on_source(path, 1), first > 0)


def test_image_without_a_fitting_first_mask_is_skipped_and_listed(
    photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    masks = tmp_path / "first"
    masks.mkdir()
    Image.fromarray(np.eye(80, 100, dtype=np.uint8)).save(masks / "p0.png")
    Image.fromarray(np.eye(100, 80, dtype=np.uint8)).save(masks / "p1.png")
    for _ in range(2):  # the second time it is a cache hit, and says the same
        caplog.clear()
        outcome = iem([photos], tmp_path / "m.h5", replace(QUICK, init=str(masks)), workers=1)
        assert outcome.skipped == 2
        assert "p1.png" in caplog.text
        assert "another image" in caplog.text
        assert "no initial mask for p2.png" in caplog.text
    assert table_of(outcome.path, "sources/name") == ["p0.png"]
    assert table_of(outcome.path, "skipped/name") == ["p1.png", "p2.png"]


def test_recipe_holds_what_first_masks_are_and_not_where(photos: Path, tmp_path: Path) -> None:
    half = run(photos, tmp_path / "half.h5", replace(QUICK, iterations=6))
    moved = tmp_path / "moved.h5"
    moved.write_bytes(half.read_bytes())
    path = run(photos, tmp_path / "b.h5", replace(QUICK, init=str(half)))
    before = path.stat().st_mtime_ns
    run(photos, path, replace(QUICK, init=str(moved), square=0.3))
    assert path.stat().st_mtime_ns == before
    other = run(photos, tmp_path / "other.h5", replace(QUICK, iterations=7))
    run(photos, path, replace(QUICK, init=str(other)))
    assert path.stat().st_mtime_ns != before


def test_first_masks_of_another_kind_are_refused(photos: Path, tmp_path: Path) -> None:
    clusters = cluster([photos], tmp_path / "seg.h5", Cluster(classes=3, features="bands"), workers=1).path
    segments = superpixels([photos], tmp_path / "sp.h5", workers=1).path
    for init, message in (
        (str(clusters), "holds clusters"),
        (str(segments), "superpixels"),
        ("sqaure", "square or superpixels"),
        (str(tmp_path / "none.h5"), "existing file or folder"),
    ):
        with pytest.raises((ConfigError, DataError), match=message) as raised:
            iem([photos], tmp_path / "m.h5", replace(QUICK, init=init), workers=1)
        assert "\n" not in str(raised.value)
    assert not (tmp_path / "m.h5").exists()


# ---------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kernel": 10}, "odd"),
        ({"kernel": -1}, "odd"),
        ({"kernel": 65}, "must not exceed the shorter side"),
        ({"square": 0.0}, "--square 0"),
        ({"square": 1.5}, "--square 1.5"),
        ({"square": float("nan")}, "--square nan"),
        ({"parts": 1}, "--parts 1"),
        ({"parts": 300}, "--parts 300"),
        ({"parts": 3, "confidence": True}, "--confidence"),
        ({"repeats": 0}, "--repeats"),
        ({"scale_factor": 0}, "--scale-factor"),
        ({"iterations": -1}, "--iterations"),
        ({"sigma": 0.0}, "--sigma"),
        ({"sigma": float("nan")}, "--sigma"),
        ({"sigma": float("inf")}, "--sigma"),
        ({"diversity": -1.0}, "--diversity"),
        ({"diversity": float("nan")}, "--diversity"),
        ({"update": "some"}, "contour, all"),
        ({"size": (0,)}, "--size 0"),
        ({"size": (1, 2, 3)}, "--size"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_senseless_settings_are_refused(change: dict[str, Any], message: str, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        iem([photos], tmp_path / "m.h5", replace(QUICK, **change), workers=1)
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.glob("m.h5*"))


def test_no_image_costs_another_its_mask(photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Image.fromarray(scene(3, 3)[0]).save(photos / "q_tiny.png")
    Image.fromarray(np.full((50, 60, 3), 99, np.uint8)).save(photos / "r_plain.png")
    Image.fromarray(scene(20, 300)[0]).save(photos / "s_wide.png")
    Image.fromarray(np.zeros((4, 3000, 3), np.uint8)).save(photos / "t_too_wide.png")
    (photos / "u_broken.png").write_bytes((photos / "p0.png").read_bytes()[:2000])
    outcome = iem([photos], tmp_path / "m.h5", replace(QUICK, confidence=True, iterations=20), workers=1)
    assert outcome.skipped == 2
    names = table_of(outcome.path, "sources/name")
    assert names == ["p0.png", "p1.png", "p2.png", "q_tiny.png", "r_plain.png", "s_wide.png"]
    assert sorted(table_of(outcome.path, "skipped/name")) == ["t_too_wide.png", "u_broken.png"]
    assert "skipped t_too_wide.png: 64 x 48000 pixels are too large" in caplog.text
    assert "1 of 6 images: the image has one colour only" in caplog.text
    confidences = table_of(outcome.path, "windows/confidence")
    assert np.isfinite(confidences).all()
    assert confidences[4] == 0
    assert (maps_of(outcome.path)[4] == 0).all()
    assert all(np.isfinite(values).all() for values in maps_of(outcome.path, "confidence"))
    alone = run(write_scenes(tmp_path / "alone"), tmp_path / "a.h5", replace(QUICK, confidence=True, iterations=20))
    np.testing.assert_array_equal(np.stack(maps_of(outcome.path)[:3]), np.stack(maps_of(alone)))


def test_folder_where_no_image_can_be_parted_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    Image.fromarray(np.zeros((4, 3000, 3), np.uint8)).save(tmp_path / "data" / "a.png")
    with pytest.raises(DataError, match="--patch"):
        iem([tmp_path / "data"], tmp_path / "m.h5", QUICK, workers=1)


def test_five_bands_of_which_one_is_not_finite_in_places(tmp_path: Path) -> None:
    pixels, disc = scene(80, 80, bands=5)
    values = pixels.astype(np.float32) * 100
    values[:10, :10, 3] = np.nan
    values[70:, 70:, 0] = np.inf
    (tmp_path / "data").mkdir()
    tifffile.imwrite(tmp_path / "data" / "a.tif", values, photometric="minisblack", planarconfig="contig")
    settings = replace(QUICK, size=(), confidence=True)
    path = run(tmp_path / "data", tmp_path / "m.h5", settings, Images(axes="yxc"))
    found, confidence = maps_of(path)[0], maps_of(path, "confidence")[0]
    np.testing.assert_array_equal(found == VOID, ~np.isfinite(values).all(axis=2))
    assert iou(found, disc) > 0.9
    assert np.isfinite(confidence).all()


# ---------------------------------------------------------------------------------------- runs


def test_result_is_the_same_for_any_number_of_workers(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unsegcli.dataflow.runner.PIXELS_WORTH_A_PROCESS", 1)
    settings = replace(QUICK, confidence=True)
    one, two = (run(photos, tmp_path / f"{workers}.h5", settings, workers=workers) for workers in (1, 2))
    assert fingerprint(one) == fingerprint(two)


def test_unchanged_run_writes_nothing_and_draws_traces_all_the_same(photos: Path, tmp_path: Path) -> None:
    path, ways = run(photos, tmp_path / "m.h5"), tmp_path / "ways"
    before = path.stat().st_mtime_ns
    run(photos, path, trace=ways)
    assert path.stat().st_mtime_ns == before
    pages = sorted(ways.glob("*.png"))
    assert [page.name for page in pages] == ["p0.png", "p1.png", "p2.png"]
    drawn = [page.stat().st_mtime_ns for page in pages]
    run(photos, path, trace=ways)
    assert [page.stat().st_mtime_ns for page in pages] == drawn
    run(photos, path, replace(QUICK, square=0.3), trace=ways)
    assert path.stat().st_mtime_ns != before
    assert all(page.stat().st_mtime_ns != time for page, time in zip(pages, drawn, strict=True))


def test_traces_of_windows_have_names_of_their_own(photos: Path, tmp_path: Path) -> None:
    settings = replace(QUICK, size=(), iterations=3)
    run(photos, tmp_path / "m.h5", settings, Images(patch=80), trace=tmp_path / "ways", limit=1)
    assert sorted(page.name for page in (tmp_path / "ways").glob("*.png")) == ["p0.png_0_0.png", "p0.png_0_20.png"]


def test_every_setting_changes_the_recipe(photos: Path, tmp_path: Path) -> None:
    changes: list[dict[str, Any]] = [
        {},
        *({"size": (32,)}, {"iterations": 2}, {"sigma": 2.0}, {"kernel": 5}, {"repeats": 1}, {"scale_factor": 2}),
        *({"diversity": 2e-3}, {"init": "superpixels"}, {"square": 0.3}, {"crop": True}, {"smooth": False}),
        *({"update": "all"}, {"parts": 3}, {"confidence": True}),
    ]
    recipes = set()
    for number, change in enumerate(changes):
        settings = replace(QUICK, **{"iterations": 1, **change})
        path = run(photos, tmp_path / f"{number}.h5", settings, limit=1)
        with store.open_artifact(path) as artifact:
            recipes.add(json.dumps(artifact.recipe["parameters"], sort_keys=True))
    assert len(recipes) == len(changes) == len(recorded(Iem())) + 1


def test_dry_run_writes_nothing(photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "unseg")
    iem([photos], tmp_path / "out" / "m.h5", QUICK, trace=tmp_path / "ways", dry_run=True, workers=1)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "ways").exists()
    assert "3 images" in caplog.text


def test_images_have_their_size_from_iem_itself(make_images: MakeImages, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="setting of the stage, not of reading"):
        iem([make_images()], tmp_path / "m.h5", QUICK, Images(size=(64,)))
