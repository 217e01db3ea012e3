"""The k-means baselines: right on images where the answer is obvious, and the same however they are run."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from called import cluster, superpixels
from conftest import MakeImages
from numpy.typing import NDArray
from PIL import Image
from reading_back import fingerprint, maps_of, table_of

from unsegcli import store
from unsegcli.core.superpixels.features import region_features
from unsegcli.core.superpixels.region_space import Space
from unsegcli.dataflow.label_maps import open_predictions
from unsegcli.errors import ArtifactError, ConfigError, DataError
from unsegcli.params import Cluster, Images, Inputs, Superpixels

FOUR = Cluster(classes=4)
RGB = Cluster(classes=4, features="bands", blur=1.0, samples=100)
SMALL = Superpixels(pixels_per_segment=100)
QUADRANTS = np.repeat(np.repeat(np.array([[0, 1], [2, 3]]), 24, axis=0), 32, axis=1)


def agreement(found: NDArray[np.uint8], truth: NDArray[np.int64]) -> float:
    """Share of pixels in the commonest pairing of each cluster with a quadrant."""
    counts = np.zeros((256, 4))
    np.add.at(counts, (found.ravel(), truth.ravel()), 1)
    return float(counts.max(axis=1).sum() / truth.size)


@pytest.fixture
def sp(make_images: MakeImages, tmp_path: Path) -> Path:
    return superpixels([make_images()], tmp_path / "sp.h5", SMALL, workers=1).path


def test_regions_find_the_quadrants_in_every_image(sp: Path, tmp_path: Path) -> None:
    # A few clusters more than colours: superpixels at a border differ from those inside.
    found = maps_of(cluster([sp], tmp_path / "seg.h5", replace(FOUR, classes=8), workers=1).path)
    assert len(found) == 3
    # One numbering holds for the whole folder, so the stack is compared at once.
    assert agreement(np.stack(found), np.stack([QUADRANTS] * 3)) > 0.97


def test_distances_are_those_to_the_own_and_to_the_second_centre(sp: Path, tmp_path: Path) -> None:
    seg = cluster([sp], tmp_path / "seg.h5", FOUR, workers=1).path
    again = cluster([sp], tmp_path / "again.h5", Cluster(centres=seg), workers=1).path
    with store.open_artifact(seg) as artifact, store.open_artifact(sp) as pieces:
        space = Space(artifact.table("fit/mean"), artifact.table("fit/projection"))
        for index, (found, applied) in enumerate(
            zip(maps_of(seg, "distances"), maps_of(again, "distances"), strict=True)
        ):
            regions = pieces.read("superpixels", index).astype(np.int32)
            points = space(region_features(pieces.read("images", index), regions))
            distances = np.linalg.norm(points[:, None] - artifact.table("fit/centres"), axis=2)
            wanted = np.sort(distances, axis=1)[:, :2][regions]
            farthest = artifact.table("windows/farthest")[index]
            assert farthest == pytest.approx(wanted.max(), rel=1e-5)
            np.testing.assert_allclose(found * farthest / 254, wanted, atol=farthest / 254)
            np.testing.assert_array_equal(found, applied)


@pytest.mark.parametrize("masked", [False, True])
def test_pixels_have_distances_too_and_void_has_none(masked: bool, make_images: MakeImages, tmp_path: Path) -> None:
    folder, mask = make_images(), None
    if masked:
        mask = tmp_path / "masks"
        mask.mkdir()
        for path in folder.glob("*.png"):
            Image.fromarray(np.where(QUADRANTS == 3, 0, 255).astype(np.uint8)).save(mask / path.name)
    seg = cluster([folder], tmp_path / "seg.h5", RGB, mask=mask, workers=1).path
    found, labels = maps_of(seg, "distances")[0], maps_of(seg)[0]
    assert (found[:, :, 0] == 255).tolist() == (labels == 255).tolist()
    assert bool((labels == 255).any()) is masked
    own, second = found[12, 16]
    assert own < 30 < second, "the middle of a quadrant is near its centre and far from others"


def weights_said(caplog: pytest.LogCaptureFixture) -> tuple[float, float]:
    """The weights of row and column in the notes."""
    found = re.search(r"weights: row ([\d.]+), column ([\d.]+)", caplog.text)
    assert found, caplog.text
    return float(found[1]), float(found[2])


def spotted(seed: int, height: int = 96, width: int = 96) -> NDArray[np.uint8]:
    """A tile (height, width, 3) of two covers, dark and bright, in blobs that lie anywhere but have a slant."""
    from scipy.ndimage import gaussian_filter

    chance = np.random.default_rng(seed)
    slope = np.linspace(-0.02, 0.02, height)[:, None] + np.linspace(-0.02, 0.02, width)
    blobs = gaussian_filter(chance.normal(size=(height, width)), 6, mode="wrap") + slope * chance.choice([-1, 1])
    grey = np.where(blobs > 0, 150, 110)[:, :, None] + chance.normal(0, 12, (height, width, 3))
    return np.clip(grey, 0, 255).astype(np.uint8)


def facade(seed: int) -> NDArray[np.uint8]:
    """A photograph (64, 96, 3) of sky, wall and ground in tones that differ between images."""
    chance = np.random.default_rng(seed)
    edges = (chance.integers(16, 24), chance.integers(42, 50))
    tones = np.array([[170, 190, 220], [150, 120, 100], [90, 90, 95]]) + chance.normal(0, 15, (3, 1))
    image = tones[np.searchsorted(edges, np.arange(64), side="right")][:, None]
    return np.clip(image + chance.normal(0, 8, (64, 96, 3)), 0, 255).astype(np.uint8)


def cut(images: list[NDArray[np.uint8]], folder: Path) -> Path:
    """Superpixels of images that are written into a new folder."""
    (folder / "data").mkdir(parents=True)
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / "data" / f"{number}.png")
    return superpixels([folder / "data"], folder / "sp.h5", SMALL, workers=1).path


def test_one_scene_is_grouped_by_cover_not_by_quarters(tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    sp = cut([spotted(3)], tmp_path)
    found = maps_of(cluster([sp], tmp_path / "seg.h5", FOUR, workers=1).path)[0]
    assert "takes 3 images, and there is 1" in said.text
    without = maps_of(cluster([sp], tmp_path / "none.h5", replace(FOUR, place=0.0), workers=1).path)[0]
    np.testing.assert_array_equal(found, without)
    quarters = np.repeat(np.repeat(np.array([[0, 1], [2, 3]]), 48, axis=0), 48, axis=1)
    placed = maps_of(cluster([sp], tmp_path / "fixed.h5", replace(FOUR, place=3.0), workers=1).path)[0]
    assert agreement(placed, quarters) > 0.6 > agreement(found, quarters)


def test_windows_of_one_scene_are_one_image(tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    (tmp_path / "data").mkdir()
    Image.fromarray(spotted(3)).save(tmp_path / "data" / "scene.png")
    tiles = Images(patch=32)
    sp = superpixels([tmp_path / "data"], tmp_path / "sp.h5", SMALL, images=tiles, workers=1).path
    cluster([sp], tmp_path / "seg.h5", FOUR, workers=1)
    assert "takes 3 images, and there is 1" in said.text


@pytest.mark.parametrize(("features", "least"), [("bands", 1.0), ("regions", 0.88)])
def test_windows_that_overlap_change_few_labels(features: str, least: float, tmp_path: Path) -> None:
    whole = cut([spotted(5, 64, 80).repeat(2, axis=0).repeat(2, axis=1)], tmp_path)
    windows = Images(patch=88, stride=40)
    tiled = superpixels([tmp_path / "data"], tmp_path / "tiled.h5", SMALL, images=windows, workers=1).path
    fitted = cluster([whole], tmp_path / "a.h5", Cluster(classes=2, features=features), workers=1).path
    applied = cluster([tiled], tmp_path / "b.h5", Cluster(centres=fitted), workers=1).path
    found, other = (open_predictions(path).maps[0].on((128, 160)) for path in (fitted, applied))
    assert len(maps_of(applied)) == 6
    assert len(np.unique(found)) == 2
    assert (found == other).mean() >= least


def test_place_counts_in_sixteen_facades(tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    cluster([cut([facade(seed) for seed in range(16)], tmp_path)], tmp_path / "seg.h5", FOUR, workers=1)
    row, column = weights_said(said)
    assert row > 0.4
    assert column < 0.05


def test_place_does_not_count_in_tiles(tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    cluster([cut([spotted(seed) for seed in range(16)], tmp_path)], tmp_path / "seg.h5", FOUR, workers=1)
    assert max(weights_said(said)) < 0.1


def test_place_is_for_regions_and_in_their_recipe(sp: Path, tmp_path: Path) -> None:
    with store.open_artifact(cluster([sp], tmp_path / "a.h5", replace(FOUR, place=0.25), workers=1).path) as made:
        assert made.recipe["parameters"]["place"] == 0.25
    with pytest.raises(ConfigError, match="--place is only for --features regions"):
        cluster([sp], tmp_path / "b.h5", replace(RGB, place=0.25), workers=1)
    for wrong in (-1.0, float("nan"), "much"):
        with pytest.raises(ConfigError, match=f"--place {wrong}: must be a number from 0, or auto"):
            cluster([sp], tmp_path / "b.h5", replace(FOUR, place=wrong), workers=1)


def test_centres_are_means_of_region_features(sp: Path, tmp_path: Path) -> None:
    from unsegcli.core.superpixels.features import region_features
    from unsegcli.dataflow.dataset import dataset_from_artifact

    made = cluster([sp], tmp_path / "seg.h5", FOUR, workers=1).path
    centres, maps, sums, areas = table_of(made, "centres"), maps_of(made), np.zeros((4, 152)), np.zeros(4)
    for unit, found in zip(dataset_from_artifact(sp).opened(1).units, maps, strict=True):
        window = unit.windows()[0]
        features = region_features(window.pixels, window.superpixels)
        numbers, first, sizes = np.unique(window.superpixels, return_index=True, return_counts=True)
        clusters = found.ravel()[first]
        np.add.at(sums, clusters, sizes[:, None] * features[numbers])
        np.add.at(areas, clusters, sizes)
    np.testing.assert_allclose(centres, sums / areas[:, None], rtol=1e-4, atol=1e-4)


def test_a_sample_of_some_regions_is_enough(sp: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unsegcli.segmenters.baselines.MOST_VALUES", 3 * 20 * 152)
    part = maps_of(cluster([sp], tmp_path / "b.h5", replace(FOUR, classes=8), workers=1).path)
    assert agreement(np.stack(part), np.stack([QUADRANTS] * 3)) > 0.9


def test_features_of_a_region_are_computed_once(sp: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from unsegcli.segmenters import baselines

    computed: list[int] = []

    def counting(pixels: NDArray[np.uint8], regions: NDArray[np.int32]) -> NDArray[np.float32]:
        computed.append(len(pixels))
        return plain(pixels, regions)

    plain = baselines.region_features
    monkeypatch.setattr(baselines, "region_features", counting)
    kept = maps_of(cluster([sp], tmp_path / "a.h5", FOUR, workers=1).path)
    assert len(computed) == 3
    monkeypatch.setattr(baselines, "FITTED", 1 << 30)
    monkeypatch.setattr(baselines, "Counter", lambda windows: dict.fromkeys(windows, 2))  # as if nothing were kept
    np.testing.assert_array_equal(maps_of(cluster([sp], tmp_path / "b.h5", FOUR, workers=1).path), kept)
    assert len(computed) == 9


def test_what_is_described_is_chosen_and_recorded(sp: Path, tmp_path: Path) -> None:
    named = replace(FOUR, describe=("colour", "texture"))
    made = cluster([sp], tmp_path / "a.h5", named, workers=1).path
    with store.open_artifact(made) as artifact:
        assert artifact.recipe["parameters"]["describe"] == ["colour", "texture"]
        assert artifact.table("fit/projection").shape == (152, 14)
    for wrong in (("colour", "smell"), ()):
        with pytest.raises(ConfigError, match=r"--describe .*: is not a list of some of colour, texture"):
            cluster([sp], tmp_path / "b.h5", replace(FOUR, describe=wrong), workers=1)
    with pytest.raises(ConfigError, match="--describe is only for --features regions"):
        cluster([sp], tmp_path / "b.h5", replace(RGB, describe=("colour",)), workers=1)


@pytest.mark.parametrize("features", ["regions", "bands"])
def test_vectors_are_compared_by_their_distances(
    features: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One band of 20 tells the halves apart; the others hold blocks of little difference, and the corner no data."""
    caplog.set_level("INFO", "unseg")
    random = np.random.default_rng(0)
    for name in ("a", "b"):
        vectors = random.normal(0, 0.1, (6, 6, 20)).repeat(8, axis=0).repeat(8, axis=1)
        vectors[:24, :, 7] += 1
        vectors[:4, :4] = np.nan
        tifffile.imwrite(tmp_path / f"{name}.tif", vectors.astype(np.float32), planarconfig="contig")
    sp = superpixels([tmp_path], tmp_path / "sp.h5", Superpixels(pixels_per_segment=60), workers=1).path
    params = Cluster(classes=2, features=features)
    for found in maps_of(cluster([sp], tmp_path / "c.h5", params, workers=1).path):
        assert (found[:4, :4] == 255).all()
        upper, lower = found[:22, 6:], found[26:]
        assert (upper == upper[0, 0]).mean() > 0.95
        assert (lower == 1 - upper[0, 0]).mean() > 0.95
    assert ("by the values of the 20 bands alone" in caplog.text) == (features == "regions")
    assert "20 bands are scaled by the same factor" in caplog.text


def test_a_hundred_bands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    chance = np.random.default_rng(0)
    spectra = chance.integers(40, 200, (2, 100))
    for number in range(2):
        image = np.repeat(spectra, [20, 20], axis=0)[None].repeat(40, axis=0) + chance.integers(0, 9, (40, 40, 100))
        np.save(tmp_path / "data" / f"{number}.npy", image.astype(np.uint8))
    how = Images(axes="yxc")
    sp = superpixels([tmp_path / "data"], tmp_path / "sp.h5", SMALL, images=how, workers=1).path
    found = np.stack(maps_of(cluster([sp], tmp_path / "seg.h5", Cluster(classes=2), workers=1).path))
    assert ((found[:, :, :20] == found[0, 0, 0]).mean() + (found[:, :, 20:] != found[0, 0, 0]).mean()) / 2 > 0.9


def test_pixels_find_the_quadrants_in_every_image(make_images: MakeImages, tmp_path: Path) -> None:
    found = maps_of(cluster([make_images()], tmp_path / "seg.h5", RGB, workers=1).path)
    assert agreement(np.stack(found), np.stack([QUADRANTS] * 3)) > 0.9


def test_stored_pixels_and_image_files_give_the_same(sp: Path, tmp_path: Path) -> None:
    from_files = maps_of(cluster([tmp_path / "data"], tmp_path / "a.h5", RGB, workers=1).path)
    from_artifact = maps_of(cluster([sp], tmp_path / "b.h5", RGB, workers=1).path)
    np.testing.assert_array_equal(from_files, from_artifact)


def test_result_is_the_same_for_any_number_of_workers(
    make_images: MakeImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unsegcli.dataflow.runner.PIXELS_WORTH_A_PROCESS", 1)
    folder = make_images(count=6)
    sp = superpixels([folder], tmp_path / "sp.h5", SMALL, workers=1).path
    for params, source in ((FOUR, sp), (RGB, folder)):
        made = [
            fingerprint(cluster([source], tmp_path / f"{params.features}{n}.h5", params, workers=n).path)
            for n in (1, 2)
        ]
        assert made[0] == made[1]


def test_sample_of_a_image_does_not_depend_on_the_others(make_images: MakeImages, tmp_path: Path) -> None:
    """Adding an image must not change which pixels are drawn from the rest."""
    from unsegcli.dataflow.dataset import dataset_from_files
    from unsegcli.segmenters.baselines import _draw

    folder = make_images(count=3)
    alone = dataset_from_files(Inputs(folder / "p1.png")).opened(1).units[0].windows()[0]
    among = dataset_from_files(Inputs(folder)).opened(1).units[1].windows()[0]
    np.testing.assert_array_equal(_draw(alone, RGB, 9, 99)[0], _draw(among, RGB, 9, 99)[0])
    other_seed = _draw(alone, replace(RGB, seed=1), 9, 99)[0]
    assert not np.array_equal(_draw(alone, RGB, 9, 99)[0], other_seed)


def test_void_stays_void(make_images: MakeImages, tmp_path: Path) -> None:
    folder, masks = make_images(count=2), tmp_path / "masks"
    masks.mkdir()
    valid = np.full((48, 64), 255, np.uint8)
    valid[:9] = 0
    for number in range(2):
        Image.fromarray(valid).save(masks / f"p{number}.png")
    sp = superpixels([folder], tmp_path / "sp.h5", SMALL, mask=masks, workers=1).path
    for number, made in enumerate(
        (
            cluster([sp], tmp_path / "a.h5", FOUR, workers=1),
            cluster([sp], tmp_path / "b.h5", RGB, workers=1),
            cluster([folder], tmp_path / "c.h5", RGB, mask=masks, workers=1),
        )
    ):
        for found in maps_of(made.path):
            np.testing.assert_array_equal(found == 255, valid == 0, err_msg=str(number))


def test_without_pixels_the_images_are_read_again(make_images: MakeImages, tmp_path: Path) -> None:
    folder = make_images()
    complete = superpixels([folder], tmp_path / "a.h5", SMALL, workers=1).path
    lean = superpixels([folder], tmp_path / "b.h5", replace(SMALL, pixels=False), workers=1).path
    assert lean.stat().st_size < complete.stat().st_size
    expected = maps_of(cluster([complete], tmp_path / "sa.h5", FOUR, workers=1).path)
    np.testing.assert_array_equal(maps_of(cluster([lean], tmp_path / "sb.h5", FOUR, workers=1).path), expected)
    folder.rename(tmp_path / "moved")
    with pytest.raises(DataError, match="--images"):
        cluster([lean], tmp_path / "sc.h5", FOUR, workers=1)
    found = cluster([lean], tmp_path / "sc.h5", FOUR, images=tmp_path / "moved", workers=1).path
    np.testing.assert_array_equal(maps_of(found), expected)


def test_changed_image_is_not_taken_for_the_old_one(make_images: MakeImages, tmp_path: Path) -> None:
    folder = make_images(count=1)
    lean = superpixels([folder], tmp_path / "b.h5", replace(SMALL, pixels=False), workers=1).path
    Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(folder / "p0.png")
    with pytest.raises(DataError, match="changed"):
        cluster([lean], tmp_path / "s.h5", FOUR, workers=1)


def test_features_of_another_program_are_clustered(sp: Path, tmp_path: Path) -> None:
    """An artifact of kind features: two well separated vectors, given by the parity of the superpixel."""
    made = tmp_path / "features.h5"
    with store.open_artifact(sp) as artifact:
        target = store.Target(made, "features", {"stage": "a test"})
        windows = []
        for index, count in enumerate(artifact.table("windows/superpixels")):
            features = np.zeros((int(count), 5), np.float32)
            features[1::2] = 10
            windows.append(
                {
                    "superpixels": store.encode(artifact.read("superpixels", index)),
                    "features": store.encode(features),
                }
            )
        names = [name for name in artifact.field_names() if name.split("/")[0] in ("sources", "windows", "skipped")]
        tables = {name: artifact.table(name) for name in names}
        store.write_whole(target, tables, {"reading": artifact.attributes["reading"]}, {}, windows)
        for index, found in enumerate(
            maps_of(cluster([made], tmp_path / "seg.h5", replace(FOUR, classes=2), workers=1).path)
        ):
            odd = artifact.read("superpixels", index) % 2 == 1
            assert len(np.unique(found[odd])) == 1
            assert len(np.unique(found[~odd])) == 1
            assert found[odd][0] != found[~odd][0]
    with pytest.raises(ConfigError, match="its features have no position"):
        cluster([made], tmp_path / "seg.h5", replace(FOUR, place=0.0), workers=1)


def test_more_clusters_than_uint8_can_number(sp: Path, tmp_path: Path) -> None:
    path = cluster([sp], tmp_path / "seg.h5", replace(RGB, classes=256, starts=1, iterations=2), workers=1).path
    with store.open_artifact(path) as artifact:
        assert artifact.read("segmentation", 0).dtype == np.uint16
        assert artifact.attributes["clusters"] == 256


def test_fewer_colours_than_clusters_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "data").mkdir()
    Image.fromarray(np.full((30, 30, 3), 77, np.uint8)).save(tmp_path / "data" / "plain.png")
    path = cluster([tmp_path / "data"], tmp_path / "seg.h5", RGB, workers=1).path
    assert "1 distinct" in caplog.text
    assert (maps_of(path)[0] == 0).all()


def test_baseline_is_named_in_the_recipe(sp: Path, tmp_path: Path) -> None:
    for params in (FOUR, RGB):
        with store.open_artifact(cluster([sp], tmp_path / f"{params.features}.h5", params, workers=1).path) as made:
            assert made.recipe["method"].startswith("baseline: k-means on")
            assert made.attributes["role"] == "clusters"
            assert made.table("centres").shape[0] == 4


def test_clustering_needs_superpixels_or_rgb(make_images: MakeImages, tmp_path: Path, sp: Path) -> None:
    with pytest.raises(ConfigError, match="unseg superpixels"):
        cluster([make_images()], tmp_path / "seg.h5", FOUR)
    with pytest.raises(ConfigError, match="an HDF5 file must be the only input"):
        cluster([sp, sp], tmp_path / "seg.h5", FOUR)
    with pytest.raises(ConfigError, match="pixels already"):
        cluster([sp], tmp_path / "seg.h5", FOUR, Images(scale=0.5))
    with pytest.raises(ConfigError, match="--blur is only for --features bands"):
        cluster([sp], tmp_path / "seg.h5", replace(FOUR, blur=5.0))
    segmented = cluster([sp], tmp_path / "seg.h5", FOUR, workers=1).path
    with pytest.raises(ArtifactError, match="is of kind segmentation"):
        cluster([segmented], tmp_path / "again.h5", FOUR)


def test_the_input_is_never_the_output(sp: Path) -> None:
    before = sp.read_bytes()
    with pytest.raises(ArtifactError):
        cluster([sp], sp, FOUR)
    assert sp.read_bytes() == before


def test_everything_void_is_an_error(make_images: MakeImages, tmp_path: Path) -> None:
    folder, masks = make_images(count=1), tmp_path / "masks"
    masks.mkdir()
    Image.fromarray(np.zeros((48, 64), np.uint8)).save(masks / "p0.png")
    sp = superpixels([folder], tmp_path / "sp.h5", SMALL, mask=masks, workers=1).path
    for params in (FOUR, RGB):
        with pytest.raises(DataError, match="no image has a valid pixel"):
            cluster([sp], tmp_path / "seg.h5", params, workers=1)


def test_golden_centres(make_images: MakeImages, tmp_path: Path) -> None:
    """Four losses of a short run, in the sense of this stage: what k-means found must not drift.

    Regenerate by printing `centres` here, after making sure that the change is meant (and raising REVISION).
    """
    path = cluster([make_images()], tmp_path / "seg.h5", RGB, workers=1).path
    with store.open_artifact(path) as artifact:
        centres = artifact.table("centres")
    np.testing.assert_allclose(centres, GOLDEN_CENTRES, atol=1e-4)


GOLDEN_CENTRES = [
    [0.191256, 0.241859, 0.786540],
    [0.840407, 0.125630, 0.126971],
    [0.867293, 0.848052, 0.166697],
    [0.135958, 0.781082, 0.154216],
]
