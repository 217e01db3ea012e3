"""Images in, proposals out: what is stored, masks made elsewhere, and that runs can be repeated."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from called import evaluate, iem, proposals, superpixels, visualize
from numpy.typing import NDArray
from PIL import Image
from reading_back import fingerprint, maps_of, table_of

from unsegcli import store
from unsegcli.core.geometry import sample_nearest
from unsegcli.core.saliency.masks import agreement, majority, tidied
from unsegcli.core.superpixels.regions import components
from unsegcli.errors import ConfigError, DataError
from unsegcli.params import LATER, PHASE_CUES, Evaluate, Iem, Images, Proposals, Superpixels, recorded
from unsegcli.stages.proposals import ALL_CUES, IMPLAUSIBLE

VOID = 255
SHAPE = (80, 100)
READING = {one.name for one in fields(Images)} - set(LATER)
QUICK = Proposals(cue="rbd", size=(80,))


def scene(seed: int = 0, bands: int = 3, shape: tuple[int, int] = SHAPE) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """A bright disc on a dark striped ground, and the disc."""
    random = np.random.default_rng(seed)
    height, width = shape
    centre = np.array([height * random.uniform(0.42, 0.58), width * random.uniform(0.42, 0.58)])
    disc = np.hypot(*(np.mgrid[:height, :width] - centre[:, None, None])) < 0.28 * min(shape)
    colours = np.where(disc[:, :, None], np.linspace(220, 140, bands), 50.0)
    stripes = 12 * np.sin(np.arange(width) / 2)[None, :, None]
    return np.clip(colours + stripes + random.normal(0, 4, (height, width, bands)), 0, 255).astype(np.uint8), disc


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    for number in range(3):
        Image.fromarray(scene(number)[0]).save(folder / f"p{number}.png")
    return folder


def run(inputs: Any, output: Path, params: Proposals = QUICK, images: Images | None = None, **more: Any) -> Path:
    """Propose masks, and check whatever must hold of every output."""
    outcome = proposals([inputs], output, params, images, **{"workers": 1, **more})
    with store.open_artifact(outcome.path, "segmentation") as artifact:
        assert store.problems_of(artifact) == []
        assert artifact.attributes["role"] == "proposal"
        assert artifact.attributes["clusters"] == 2
        for index, confidence in enumerate(artifact.table("windows/confidence")):
            found = artifact.read("segmentation", index)
            assert found.dtype == np.uint8
            assert set(np.unique(found)) <= {0, 1, VOID}
            assert 0 <= confidence <= 1
            assert confidence == 0 or (found == 1).any()
    return outcome.path


def iou(found: NDArray[Any], truth: NDArray[np.bool_]) -> float:
    return float(((found == 1) & truth).sum() / ((found == 1) | truth).sum())


# ---------------------------------------------------------------------------------------- what is stored


@pytest.mark.parametrize("method", ALL_CUES)
def test_object_is_found_in_every_image(method: str, photos: Path, tmp_path: Path) -> None:
    path = run(photos, tmp_path / "m.h5", replace(QUICK, cue=method, confidence=True))
    assert (table_of(path, "windows/confidence") > 0.6).all()
    for number, (found, objectness) in enumerate(zip(maps_of(path), maps_of(path, "confidence"), strict=True)):
        assert iou(found, scene(number)[1]) > 0.85
        assert objectness.dtype == np.float16
        assert objectness[found == 1].mean() > objectness[found == 0].mean() + 0.4


def test_images_are_worked_on_in_the_size_that_the_method_is_meant_for(photos: Path, tmp_path: Path) -> None:
    for method, shape in (("mr", (300, 375)), ("iem", (128, 160))):
        found = maps_of(run(photos, tmp_path / f"{method}.h5", Proposals(cue=method), limit=1))[0]
        assert found.shape == shape
        assert iou(sample_nearest(found, SHAPE), scene(0)[1]) > 0.9
    as_they_are = run(photos, tmp_path / "own.h5", Proposals(cue="mr", size=()), limit=1)
    assert maps_of(as_they_are)[0].shape == SHAPE


def test_iem_is_that_of_its_own_command(photos: Path, tmp_path: Path) -> None:
    own = iem([photos], tmp_path / "iem.h5", Iem(size=(64,), confidence=True), workers=1).path
    params = Proposals(cue="iem", size=(64,), clean=False, confidence=True)
    path = run(photos, tmp_path / "p.h5", params)
    for field in ("segmentation", "confidence"):
        np.testing.assert_array_equal(np.stack(maps_of(path, field)), np.stack(maps_of(own, field)))
    np.testing.assert_array_equal(table_of(path, "windows/confidence"), table_of(own, "windows/confidence"))


def test_consensus_is_the_vote_of_the_three(photos: Path, tmp_path: Path) -> None:
    segments = superpixels([photos], tmp_path / "sp.h5", Superpixels(segments=80), workers=1).path
    plain = Proposals(clean=False, confidence=True)
    single = [run(segments, tmp_path / f"{name}.h5", replace(plain, cue=name)) for name in ALL_CUES[:3]]
    path = run(segments, tmp_path / "all.h5", replace(plain, cue="consensus"))
    for index, confidence in enumerate(table_of(path, "windows/confidence")):
        masks = [maps_of(one)[index] == 1 for one in single]
        np.testing.assert_array_equal(maps_of(path)[index] == 1, majority(masks))
        assert confidence == pytest.approx(agreement(masks))
        objectness = np.mean([maps_of(one, "confidence")[index].astype(float) for one in single], axis=0)
        np.testing.assert_allclose(maps_of(path, "confidence")[index], objectness, atol=2e-3)


def test_superpixels_are_taken_as_they_are(photos: Path, tmp_path: Path) -> None:
    segments = superpixels([photos], tmp_path / "sp.h5", Superpixels(segments=60), workers=1).path
    path = run(segments, tmp_path / "m.h5", Proposals(cue="rbd", clean=False))
    for number, (found, regions) in enumerate(zip(maps_of(path), maps_of(segments, "superpixels"), strict=True)):
        assert all(len(np.unique(found[regions == region])) == 1 for region in range(regions.max() + 1))
        assert iou(found, scene(number)[1]) > 0.85
    with pytest.raises(ConfigError, match="already has superpixels"):
        proposals([segments], tmp_path / "n.h5", QUICK, workers=1)


def test_windows_have_a_mask_each_on_their_own_grid(photos: Path, tmp_path: Path) -> None:
    path = run(photos, tmp_path / "m.h5", replace(QUICK, size=(60,)), Images(patch=80), limit=1)
    assert [found.shape for found in maps_of(path)] == [(80, 80), (80, 80)]
    assert iou(maps_of(path)[0], scene(0)[1][:, :80]) > 0.8


def test_void_is_in_no_mask(photos: Path, tmp_path: Path) -> None:
    masks = tmp_path / "valid"
    masks.mkdir()
    valid = np.full(SHAPE, 255, np.uint8)
    valid[:, :12] = 0
    for number in range(3):
        Image.fromarray(valid if number else np.zeros_like(valid)).save(masks / f"p{number}.png")
    for method in ALL_CUES:
        path = run(photos, tmp_path / f"{method}.h5", replace(QUICK, cue=method, confidence=True), mask=masks)
        found, objectness = maps_of(path), maps_of(path, "confidence")
        assert (found[0] == VOID).all()
        for number in (1, 2):
            np.testing.assert_array_equal(found[number] == VOID, valid == 0)
            assert (objectness[number][valid == 0] == 0).all()
            assert iou(found[number], scene(number)[1]) > 0.85


def test_no_image_costs_another_its_mask(photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Image.fromarray(np.full((50, 60, 3), 99, np.uint8)).save(photos / "q_plain.png")
    Image.fromarray(scene(0)[0][:2, :3]).save(photos / "r_tiny.png")
    Image.fromarray(scene(0)[0][:1, :1]).save(photos / "s_pixel.png")
    (photos / "t_broken.png").write_bytes((photos / "p0.png").read_bytes()[:2000])
    for method in ALL_CUES:
        caplog.clear()
        settings = Proposals(cue=method, size=(), confidence=True)
        outcome = proposals([photos], tmp_path / f"{method}.h5", settings, workers=1)
        assert outcome.skipped == 1
        assert "no object: nothing salient" in caplog.text
        maps = maps_of(outcome.path)
        assert (maps[3] == 0).all()
        assert (maps[5] == 0).all()
        assert table_of(outcome.path, "windows/confidence")[[3, 5]].tolist() == [0, 0]
        for number in range(3):
            assert iou(maps[number], scene(number)[1]) > 0.85


def test_five_bands_of_real_numbers(tmp_path: Path) -> None:
    pixels, disc = scene(bands=5)
    (tmp_path / "data").mkdir()
    tifffile.imwrite(
        tmp_path / "data" / "a.tif", pixels.astype(np.float32) * 7, photometric="minisblack", planarconfig="contig"
    )
    for method in ALL_CUES:
        settings = replace(QUICK, cue=method)
        path = run(tmp_path / "data", tmp_path / f"{method}.h5", settings, Images(axes="yxc"))
        assert iou(maps_of(path)[0], disc) > 0.85


def test_masks_are_tidied_and_those_of_a_senseless_area_refused(
    photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    raw = maps_of(run(photos, tmp_path / "raw.h5", replace(QUICK, clean=False)))
    neat = maps_of(run(photos, tmp_path / "neat.h5"))
    for one, other in zip(raw, neat, strict=True):
        np.testing.assert_array_equal(other == 1, tidied(one == 1, np.ones(SHAPE, np.bool_), 0.01))
    small, share = run(photos, tmp_path / "s.h5", replace(QUICK, area=(0.0, 0.05))), np.mean(neat[0] == 1)
    assert share > 0.05
    assert all((found == 0).all() for found in maps_of(small))
    assert (table_of(small, "windows/confidence") == 0).all()
    assert f"3 of 3 images: {IMPLAUSIBLE}" in caplog.text
    assert all((found == 0).all() for found in maps_of(run(photos, tmp_path / "t.h5", replace(QUICK, smallest=0.5))))


# ---------------------------------------------------------------------------------------- phases of each image


CELLS = [(12, 12, 5), (12, 21, 5), (40, 30, 6), (60, 70, 7), (20, 80, 2)]  # two touch, and one is small


def cells(dark: bool = False) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Small bright discs on a dark noisy ground, or the reverse; and the discs."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    inside = np.any([np.hypot(rows - row, columns - column) <= size for row, column, size in CELLS], axis=0)
    noise = np.random.default_rng(0).normal(0, 5, SHAPE)
    values = np.where(inside, 160.0, 40.0) + noise
    return np.clip(255 - values if dark else values, 0, 255).astype(np.uint8), inside


@pytest.fixture
def slides(tmp_path: Path) -> Path:
    folder = tmp_path / "slides"
    folder.mkdir()
    for number in range(2):
        Image.fromarray(cells(dark=number == 1)[0]).save(folder / f"{number}.png")
    return folder


@pytest.mark.parametrize("cue", PHASE_CUES)
def test_all_objects_of_an_image_are_found_bright_or_dark(cue: str, slides: Path, tmp_path: Path) -> None:
    path = run(slides, tmp_path / "m.h5", Proposals(cue=cue, confidence=True))
    for found, objectness in zip(maps_of(path), maps_of(path, "confidence"), strict=True):
        np.testing.assert_array_equal(found == 1, cells()[1])
        np.testing.assert_array_equal(objectness > 0.5, cells()[1])
    assert (table_of(path, "windows/confidence") > 0.9).all()
    dark = maps_of(run(slides, tmp_path / "d.h5", Proposals(cue=cue, polarity="dark", clean=False)))
    np.testing.assert_array_equal(dark[0] == 0, cells()[1])
    np.testing.assert_array_equal(dark[1] == 1, cells()[1])


def test_touching_objects_are_parted_and_small_ones_removed_on_request(slides: Path, tmp_path: Path) -> None:
    otsu = Proposals(cue="otsu")
    counts = {}
    for name, change in (("as they are", {}), ("parted", {"separate": 0.5}), ("no small ones", {"smallest": 0.003})):
        found = maps_of(run(slides, tmp_path / "m.h5", replace(otsu, **change)))
        counts[name] = [int(components(np.where(one == 1, 0, -1)).max()) + 1 for one in found]
    assert counts == {"as they are": [4, 4], "parted": [5, 5], "no small ones": [3, 3]}


def test_phases_of_windows_follow_size_patches_and_void(slides: Path, tmp_path: Path) -> None:
    otsu = Proposals(cue="otsu")
    halved = maps_of(run(slides, tmp_path / "half.h5", replace(otsu, size=(40,))))
    assert halved[0].shape == (40, 50)
    assert iou(sample_nearest(halved[0], SHAPE), cells()[1]) > 0.8
    cut = maps_of(run(slides, tmp_path / "cut.h5", replace(otsu, size=(40,)), Images(patch=50), limit=1))
    assert cut[0].shape == (50, 50)
    assert iou(cut[0], cells()[1][:50, :50]) > 0.8
    masks = tmp_path / "valid"
    masks.mkdir()
    for number in range(2):
        Image.fromarray(np.full(SHAPE, number * 255, np.uint8)).save(masks / f"{number}.png")
    void, seen = maps_of(run(slides, tmp_path / "void.h5", otsu, mask=masks))
    assert (void == VOID).all()
    np.testing.assert_array_equal(seen == 1, cells()[1])
    segments = superpixels([slides], tmp_path / "sp.h5", Superpixels(segments=40), workers=1).path
    np.testing.assert_array_equal(maps_of(run(segments, tmp_path / "sp-m.h5", otsu))[0] == 1, cells()[1])


# ---------------------------------------------------------------------------------------- masks made elsewhere


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """Masks of the three images: of 0 and 1, of 0 and 255, and of two tones."""
    folder = tmp_path / "masks"
    folder.mkdir()
    discs = [scene(number)[1] for number in range(3)]
    Image.fromarray(discs[0].astype(np.uint8)).save(folder / "p0.png")
    Image.fromarray(np.dstack([discs[1].astype(np.uint8) * 255] * 3)).save(folder / "p1.png")
    np.save(folder / "p2.npy", discs[2])
    return folder


def test_masks_of_another_tool_are_taken_as_they_are(photos: Path, given: Path, tmp_path: Path) -> None:
    path = run(photos, tmp_path / "m.h5", Proposals(confidence=True), masks=given)
    for number, found in enumerate(maps_of(path)):
        np.testing.assert_array_equal(found == 1, scene(number)[1])
        np.testing.assert_array_equal(maps_of(path, "confidence")[number], scene(number)[1])
    assert table_of(path, "windows/confidence").tolist() == [1, 1, 1]
    with store.open_artifact(path) as artifact:
        assert artifact.recipe["parameters"]["method"] == "masks"


def test_masks_of_another_tool_follow_windows_size_and_void(photos: Path, given: Path, tmp_path: Path) -> None:
    halved = run(photos, tmp_path / "half.h5", Proposals(size=(40,)), masks=given)
    for number, found in enumerate(maps_of(halved)):
        np.testing.assert_array_equal(found == 1, sample_nearest(scene(number)[1], (40, 50)))
    cut = maps_of(run(photos, tmp_path / "cut.h5", Proposals(), Images(patch=60), masks=given, limit=1))
    np.testing.assert_array_equal(cut[0] == 1, scene(0)[1][:60, :60])
    segments = superpixels([photos], tmp_path / "sp.h5", Superpixels(segments=60), workers=1).path
    stored = run(segments, tmp_path / "stored.h5", Proposals(), masks=given)
    np.testing.assert_array_equal(maps_of(stored)[1] == 1, scene(1)[1])


def test_pages_of_a_stack_have_masks_page_by_page(tmp_path: Path) -> None:
    for folder in ("stacks", "masks"):
        (tmp_path / folder).mkdir()
    shown = np.stack([scene(number, bands=1)[0][:, :, 0] for number in range(3)])
    discs = np.stack([scene(number)[1] for number in range(3)]).astype(np.uint8)
    tifffile.imwrite(tmp_path / "stacks" / "cells.tif", shown, photometric="minisblack")
    tifffile.imwrite(tmp_path / "masks" / "cells.tif", discs, photometric="minisblack")
    path = run(tmp_path / "stacks", tmp_path / "m.h5", Proposals(), masks=tmp_path / "masks")
    np.testing.assert_array_equal(np.stack(maps_of(path)), discs)


def test_masks_of_another_tool_are_tidied_if_that_is_asked(photos: Path, given: Path, tmp_path: Path) -> None:
    mask = scene(0)[1].astype(np.uint8)
    mask[0, 0] = 1
    Image.fromarray(mask).save(given / "p0.png")
    np.testing.assert_array_equal(maps_of(run(photos, tmp_path / "a.h5", Proposals(), masks=given))[0], mask)
    tidy = maps_of(run(photos, tmp_path / "b.h5", Proposals(clean=True), masks=given))[0]
    np.testing.assert_array_equal(tidy == 1, scene(0)[1])


def test_image_without_a_mask_is_counted_and_empty(
    photos: Path, given: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (given / "p1.png").unlink()
    Image.fromarray(np.zeros(SHAPE, np.uint8)).save(given / "p0.png")
    path = run(photos, tmp_path / "m.h5", Proposals(), masks=given)
    assert table_of(path, "windows/confidence").tolist() == [0, 0, 1]
    assert not any(maps_of(path)[number].any() for number in (0, 1))
    assert "1 of 3 images: no object: no mask in the folder" in caplog.text
    assert "1 of 3 images: no object: the mask is empty" in caplog.text


def test_mask_of_the_wrong_size_names_file_and_sizes(photos: Path, given: Path, tmp_path: Path) -> None:
    for wrong in ((100, 80), (40, 50)):
        Image.fromarray(np.zeros(wrong, np.uint8)).save(given / "p0.png")
        with pytest.raises(DataError) as raised:
            proposals([photos], tmp_path / "m.h5", Proposals(), masks=given, workers=1)
        message = str(raised.value)
        assert f"p0.png: the mask is {wrong[0]} x {wrong[1]}, but p0.png is 80 x 100" in message
        assert "\n" not in message
        assert not (tmp_path / "m.h5").exists()


@pytest.mark.parametrize("values", [[0, 17, 255], [1, 255], [0, 2]])
def test_mask_with_other_values_is_left_out_and_named(
    values: list[int], photos: Path, given: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Image.fromarray(np.resize(np.array(values, np.uint8), SHAPE)).save(given / "p0.png")
    outcome = proposals([photos], tmp_path / "m.h5", Proposals(), masks=given, workers=1)
    assert outcome.skipped == 1
    assert "0 and 1, or of 0 and 255" in caplog.text
    assert table_of(outcome.path, "sources/name") == ["p1.png", "p2.png"]


def test_folders_of_no_use_are_refused(photos: Path, given: Path, tmp_path: Path) -> None:
    for path in given.iterdir():
        path.rename(path.with_stem(f"other-{path.stem}"))
    for folder, message in ((given, "for none of the images"), (tmp_path / "none", "no such folder")):
        with pytest.raises(DataError, match=message):
            proposals([photos], tmp_path / "m.h5", Proposals(), masks=folder, workers=1)


def test_recipe_holds_what_masks_are_and_not_where(photos: Path, given: Path, tmp_path: Path) -> None:
    path = run(photos, tmp_path / "m.h5", Proposals(), masks=given)
    before = path.stat().st_mtime_ns
    moved = given.rename(tmp_path / "moved")
    run(photos, path, Proposals(smallest=0.3), masks=moved)  # has no influence on masks that are not tidied
    assert path.stat().st_mtime_ns == before
    Image.fromarray(np.eye(*SHAPE, dtype=np.uint8)).save(moved / "p0.png")
    run(photos, path, Proposals(), masks=moved)
    assert path.stat().st_mtime_ns != before


# ---------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cue": "mbd"}, "rbd, mr, iem, consensus"),
        ({"smallest": -0.1}, "--smallest"),
        ({"smallest": 1.0}, "--smallest"),
        ({"smallest": float("nan")}, "--smallest"),
        ({"area": (0.5, 0.5)}, "--area"),
        ({"area": (0.1, 1.5)}, "--area"),
        ({"area": (float("nan"), 0.5)}, "--area"),
        ({"size": (0,)}, "--size 0"),
        ({"separate": -1.0}, "--separate -1"),
        ({"separate": float("inf")}, "--separate inf"),
        ({"cue": "otsu", "phases": 4}, "--phases 4: must be 2 or 3"),
        ({"cue": "kmeans", "polarity": "given"}, "--polarity given: must be one of auto, bright, dark"),
        ({"phases": 3, "polarity": "dark"}, "--phases, --polarity: only for --cue otsu or kmeans"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_senseless_settings_are_refused(change: dict[str, Any], message: str, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        proposals([photos], tmp_path / "m.h5", replace(QUICK, **change), workers=1)
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.glob("m.h5*"))


def test_images_have_their_size_from_proposals_itself(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="setting of the stage, not of reading"):
        proposals([photos], tmp_path / "m.h5", QUICK, Images(size=(64,)))


# ---------------------------------------------------------------------------------------- runs


def test_result_is_the_same_for_any_number_of_workers(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unsegcli.dataflow.runner.PIXELS_WORTH_A_PROCESS", 1)
    settings = replace(QUICK, cue="consensus", confidence=True)
    one, two = (run(photos, tmp_path / f"{workers}.h5", settings, workers=workers) for workers in (1, 2))
    assert fingerprint(one) == fingerprint(two)


def test_unchanged_run_writes_nothing(photos: Path, tmp_path: Path) -> None:
    path = run(photos, tmp_path / "m.h5")
    before = path.stat().st_mtime_ns
    run(photos, path, workers=2)
    assert path.stat().st_mtime_ns == before
    run(photos, path, replace(QUICK, cue="mr"))
    assert path.stat().st_mtime_ns != before


def test_every_setting_changes_the_recipe(photos: Path, tmp_path: Path) -> None:
    changes: list[dict[str, Any]] = [
        *({}, {"cue": "mr"}, {"size": (40,)}, {"clean": False}, {"smallest": 0.02}, {"area": (0.02, 0.9)}),
        *({"confidence": True}, {"separate": 1.0}, {"cue": "otsu"}, {"cue": "otsu", "phases": 3}),
        {"cue": "otsu", "polarity": "bright"},
    ]
    recipes = set()
    for number, change in enumerate(changes):
        path = run(photos, tmp_path / f"{number}.h5", replace(QUICK, **change), limit=1)
        with store.open_artifact(path) as artifact:
            recipes.add(json.dumps(artifact.recipe["parameters"], sort_keys=True))
    assert len(recipes) == len(changes) == len(recorded(Proposals())) + 2  # the unchanged ones, and otsu


def test_settings_of_phases_are_only_in_recipes_that_need_them(photos: Path, tmp_path: Path) -> None:
    """So outputs of versions without these settings stay up to date."""
    with store.open_artifact(run(photos, tmp_path / "m.h5", limit=1)) as artifact:
        found = artifact.recipe["parameters"]
    assert set(found) == {"method", "clean", "smallest", "area", "confidence", "size", *READING}
    assert (found["smallest"], found["area"]) == (0.01, [0.01, 0.99])


def test_dry_run_writes_nothing(photos: Path, given: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "unseg")
    for masks in (None, given):
        proposals([photos], tmp_path / "out" / "m.h5", QUICK, masks=masks, dry_run=True, workers=1)
        assert not (tmp_path / "out").exists()
        assert "3 images" in caplog.text


def test_proposals_are_scored_and_shown_when_they_are_named(photos: Path, tmp_path: Path) -> None:
    path = run(photos, tmp_path / "m.h5", replace(QUICK, confidence=True))
    (tmp_path / "labels").mkdir()
    for number in range(3):
        Image.fromarray(scene(number)[1].astype(np.uint8)).save(tmp_path / "labels" / f"p{number}.png")
    found = evaluate([path], tmp_path / "e.h5", Evaluate(replicates=0), labels=tmp_path / "labels", workers=1).scores
    assert found["role"] == "mask"
    assert {name: found["scores"][name] > 0.85 for name in ("iou", "dice", "accuracy", "max_f")} == dict.fromkeys(
        ("iou", "dice", "accuracy", "max_f"), True
    )
    visualize(path, tmp_path / "shown", workers=1)
    assert (tmp_path / "shown" / "index.html").exists()
    again = iem([photos], tmp_path / "i.h5", Iem(size=(64,), init=str(path), iterations=0), workers=1).path
    assert iou(sample_nearest(maps_of(again)[0], SHAPE), scene(0)[1]) > 0.8
