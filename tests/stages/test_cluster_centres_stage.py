"""Centres of an earlier k-means run on new images: the same numbers, and nothing is fitted."""

from __future__ import annotations

import json
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

from unsegcli import store
from unsegcli.errors import ArtifactError, ConfigError, DataError
from unsegcli.params import Cluster, Images, Superpixels

FOUR = Cluster(classes=4)
BANDS = Cluster(classes=4, features="bands", blur=1.5, samples=100)
SMALL = Superpixels(pixels_per_segment=100)


@pytest.fixture
def sp(make_images: MakeImages, tmp_path: Path) -> Path:
    return superpixels([make_images()], tmp_path / "sp.h5", SMALL, workers=1).path


@pytest.fixture
def regions(sp: Path, tmp_path: Path) -> Path:
    """Segmentation by k-means on superpixels."""
    return cluster([sp], tmp_path / "regions.h5", FOUR, workers=1).path


@pytest.fixture
def bands(make_images: MakeImages, tmp_path: Path) -> Path:
    """Segmentation by k-means on blurred pixels."""
    return cluster([make_images()], tmp_path / "bands.h5", BANDS, workers=1).path


def applied(paths: Any, output: Path, centres: Path, **how: Any) -> Path:
    return cluster(paths, output, Cluster(centres=centres), **{"workers": 1, **how}).path


def flipped_images(folder: Path, count: int = 2) -> Path:
    """Images with the same colours at other places."""
    folder.mkdir()
    for number in range(count):
        Image.fromarray(four_quadrants(noise_seed=50 + number)[::-1, ::-1].copy()).save(folder / f"n{number}.png")
    return folder


def test_the_images_of_the_fit_get_the_same_maps(sp: Path, regions: Path, bands: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    for name, source, centres in (("a", sp, regions), ("b", data, regions), ("c", data, bands), ("d", sp, bands)):
        made = applied([source], tmp_path / f"{name}.h5", centres)
        np.testing.assert_array_equal(maps_of(made), maps_of(centres), err_msg=name)
        np.testing.assert_array_equal(table_of(made, "centres"), table_of(centres, "centres"))


def test_windows_are_cut_as_they_were(make_images: MakeImages, tmp_path: Path) -> None:
    folder, patches = make_images(height=64, width=96), Images(patch=40, stride=30)
    cut = superpixels([folder], tmp_path / "sp.h5", Superpixels(segments=20), patches, workers=1).path
    for params, source, reading in ((FOUR, cut, None), (BANDS, folder, patches)):
        made = cluster([source], tmp_path / f"{params.features}.h5", params, reading, workers=1).path
        again = applied([folder], tmp_path / f"{params.features}-again.h5", made)
        np.testing.assert_array_equal(table_of(again, "windows/box"), table_of(made, "windows/box"))
        for one, other in zip(maps_of(again), maps_of(made), strict=True):
            np.testing.assert_array_equal(one, other)


def test_numbers_mean_the_same_in_new_images(regions: Path, bands: Path, tmp_path: Path) -> None:
    """Each colour is in the opposite corner, and must have the number that it had before."""
    new = flipped_images(tmp_path / "new")
    colours = np.array(maps_of(bands))[0, 12::24, 16::32]
    for found in maps_of(applied([new], tmp_path / "b.h5", bands)):
        np.testing.assert_array_equal(found[12::24, 16::32], colours[::-1, ::-1])
    made = applied([new], tmp_path / "r.h5", regions)
    with store.open_artifact(made) as artifact:
        assert artifact.attributes["clusters"] == 4
        assert artifact.attributes["role"] == "clusters"
        assert artifact.recipe["method"] == "baseline: k-means on region features"
    before = np.unique(maps_of(regions))
    assert set(np.unique(maps_of(made))) <= set(before)


def test_one_new_image_does_not_depend_on_the_others(regions: Path, tmp_path: Path) -> None:
    new = flipped_images(tmp_path / "new")
    alone = maps_of(applied([new / "n1.png"], tmp_path / "a.h5", regions))[0]
    np.testing.assert_array_equal(maps_of(applied([new], tmp_path / "b.h5", regions))[1], alone)


def test_result_is_the_same_for_any_number_of_workers(
    regions: Path, bands: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unsegcli.dataflow.runner.PIXELS_WORTH_A_PROCESS", 1)
    new = flipped_images(tmp_path / "new", 4)
    for centres in (regions, bands):
        made = [applied([new], tmp_path / f"{centres.stem}{n}.h5", centres, workers=n) for n in (1, 2)]
        assert fingerprint(made[0]) == fingerprint(made[1])


def test_centres_are_an_input_of_the_recipe(
    regions: Path, bands: Path, tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    new = flipped_images(tmp_path / "new")
    made = applied([new], tmp_path / "out.h5", regions)
    with store.open_artifact(made) as artifact:
        assert artifact.recipe["inputs"]["centres"] == fingerprint(regions)
        assert artifact.inputs["centres"]["path"] == "regions.h5"
    before = made.stat().st_mtime_ns
    applied([new], made, regions)
    assert made.stat().st_mtime_ns == before
    assert "up to date" in said.text
    applied([new], made, bands)
    assert "other centres" in said.text


def test_a_result_can_give_its_centres_on(regions: Path, tmp_path: Path) -> None:
    new = flipped_images(tmp_path / "new")
    first = applied([new], tmp_path / "first.h5", regions)
    second = applied([tmp_path / "data"], tmp_path / "second.h5", first)
    np.testing.assert_array_equal(maps_of(second), maps_of(regions))


def test_values_of_more_than_8_bits_are_scaled_as_before(tmp_path: Path) -> None:
    """New images that are darker as a whole would else be stretched to the same colours."""
    for folder, factor in (("old", 40), ("dark", 4)):
        (tmp_path / folder).mkdir()
        for number in range(2):
            values = four_quadrants(noise_seed=number)[:, :, 0].astype(np.uint16) * factor
            Image.fromarray(values).save(tmp_path / folder / f"p{number}.tif")
    fitted = cluster([tmp_path / "old"], tmp_path / "fit.h5", replace(BANDS, classes=3), workers=1).path
    made = applied([tmp_path / "dark"], tmp_path / "out.h5", fitted)
    assert table_of(made, "sources/scaling")[0].tolist() == table_of(fitted, "sources/scaling")[0].tolist()
    assert len(np.unique(maps_of(made))) == 1


def test_names_and_merged_clusters_are_kept(regions: Path, tmp_path: Path) -> None:
    named = relabel(regions, ("3=water", "0+2=land"), tmp_path / "named.h5").path
    merged = relabel(named, ("2=forest",), tmp_path / "merged.h5").path
    for centres in (named, merged):
        made = applied([tmp_path / "data"], tmp_path / f"{centres.stem}-again.h5", centres)
        np.testing.assert_array_equal(maps_of(made), maps_of(centres))
        for name in ("categories/name", "categories/color"):
            assert table_of(made, name) == table_of(centres, name)


def test_void_stays_void(regions: Path, bands: Path, tmp_path: Path) -> None:
    new, masks = flipped_images(tmp_path / "new", 1), tmp_path / "masks"
    masks.mkdir()
    valid = np.full((48, 64), 255, np.uint8)
    valid[:9] = 0
    Image.fromarray(valid).save(masks / "n0.png")
    for centres in (regions, bands):
        found = maps_of(applied([new], tmp_path / f"{centres.stem}-new.h5", centres, mask=masks))[0]
        np.testing.assert_array_equal(found == 255, valid == 0)


def test_a_dry_run_writes_nothing(regions: Path, tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    path = applied([tmp_path / "data"], tmp_path / "out.h5", regions, dry_run=True)
    assert not path.exists()
    assert "would write" in said.text


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"classes": 4}, "--classes"),
        ({"features": "bands", "blur": 3.0}, "--features, --blur"),
        ({"seed": 1}, "--seed"),
    ],
)
def test_settings_of_a_fit_are_refused(regions: Path, tmp_path: Path, settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=f"has its own clusters and settings; leave out {named}"):
        cluster([tmp_path / "data"], tmp_path / "out.h5", Cluster(centres=regions, **settings))


def test_how_images_are_read_is_not_for_the_user(regions: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="sets how images are read"):
        applied([tmp_path / "data"], tmp_path / "out.h5", regions, images=Images(scale=0.5))


def test_another_number_of_bands_is_refused(regions: Path, bands: Path, tmp_path: Path) -> None:
    (tmp_path / "five").mkdir()
    np.save(tmp_path / "five" / "p.npy", np.random.default_rng(0).integers(0, 256, (48, 64, 5), np.uint8))
    cut = superpixels([tmp_path / "five"], tmp_path / "five.h5", SMALL, workers=1).path
    for centres in (regions, bands):
        with pytest.raises(DataError, match=rf"five.h5: has 5 bands, but .*{centres.name} was fitted on 3"):
            applied([cut], tmp_path / "out.h5", centres)
        with pytest.raises(DataError, match=rf"p.npy: 5 bands .*{centres.name} was fitted on"):
            applied([tmp_path / "five"], tmp_path / "out.h5", centres)


def features_file(sp: Path, path: Path, dimensions: int) -> Path:
    """Features of another program: random vectors."""
    random = np.random.default_rng(0)
    with store.open_artifact(sp) as artifact:
        windows = [
            {
                "superpixels": store.encode(artifact.read("superpixels", index)),
                "features": store.encode(random.normal(size=(int(count), dimensions)).astype(np.float32)),
            }
            for index, count in enumerate(artifact.table("windows/superpixels"))
        ]
        names = [name for name in artifact.field_names() if name.split("/")[0] in ("sources", "windows", "skipped")]
        tables = {name: artifact.table(name) for name in names}
        target = store.Target(path, "features", {"stage": "a test", "dimensions": dimensions})
        store.write_whole(target, tables, {"reading": artifact.attributes["reading"]}, {}, windows)
    return path


def test_features_of_another_program(sp: Path, regions: Path, tmp_path: Path) -> None:
    made = features_file(sp, tmp_path / "features.h5", 5)
    fitted = cluster([made], tmp_path / "fit.h5", FOUR, workers=1).path
    np.testing.assert_array_equal(maps_of(applied([made], tmp_path / "out.h5", fitted)), maps_of(fitted))
    with pytest.raises(DataError, match=r"has features of 6 dimensions, but .* of 5"):
        applied([features_file(sp, tmp_path / "six.h5", 6)], tmp_path / "out.h5", fitted)
    with pytest.raises(DataError, match=r"is of kind superpixels, but .*fit.h5 was fitted on features"):
        applied([sp], tmp_path / "out.h5", fitted)
    with pytest.raises(DataError, match=r"is of kind features, but .*regions.h5 was fitted on superpixels"):
        applied([made], tmp_path / "out.h5", regions)
    with pytest.raises(DataError, match="was fitted on a file of features"):
        applied([tmp_path / "data"], tmp_path / "out.h5", fitted)


def test_superpixels_made_elsewhere_are_needed_of_new_images(sp: Path, tmp_path: Path) -> None:
    with h5py.File(sp, "r+") as file:
        file.attrs["recipe"] = json.dumps({"stage": "another program"})
    fitted = cluster([sp], tmp_path / "fit.h5", FOUR, workers=1).path
    with pytest.raises(DataError, match=r"does not record how its superpixels were made; .*unseg superpixels"):
        applied([tmp_path / "data"], tmp_path / "out.h5", fitted)
    np.testing.assert_array_equal(maps_of(applied([sp], tmp_path / "out.h5", fitted)), maps_of(fitted))


@pytest.mark.parametrize(
    ("left_out", "says"),
    [(("fit",), "earlier version, .*; make it again"), (("fit", "centres"), "has no centres of k-means")],
)
def test_files_without_centres(regions: Path, tmp_path: Path, left_out: tuple[str, ...], says: str) -> None:
    with h5py.File(regions, "r+") as file:
        for name in left_out:
            del file[name]
    with pytest.raises(ArtifactError, match=says):
        applied([tmp_path / "data"], tmp_path / "out.h5", regions)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("fit/settings", np.frombuffer(b'{"features": "words"}', np.uint8)),
        ("fit/settings", np.frombuffer(b"[]", np.uint8)),
        ("fit/settings", np.frombuffer(b'{"features": "reg', np.uint8)),
        ("fit/centres", np.full((4, 58), np.nan)),
        ("fit/projection", np.zeros((152, 7))),
        ("fit/mean", np.zeros(7)),
        ("fit/category", np.array([0, 1, 2, 4], np.int32)),
    ],
)
def test_broken_centres_are_refused(regions: Path, tmp_path: Path, name: str, value: Any) -> None:
    with h5py.File(regions, "r+") as file:
        if name in file:
            del file[name]
        file[name] = value
    with pytest.raises(ArtifactError, match=r"its centres are not valid|fit/settings is not"):
        applied([tmp_path / "data"], tmp_path / "out.h5", regions)


def as_before(path: Path, features: int) -> None:
    """Turn a file into one of an earlier version, in which features have mean 0, deviation 2 and weight 1."""
    with h5py.File(path, "r+") as file:
        del file["fit/mean"], file["fit/projection"]
        file["fit/scaling"] = np.tile([0.0, 2.0, 1.0], (features, 1))


def test_bands_of_an_earlier_version_still_apply(bands: Path, tmp_path: Path) -> None:
    expected = maps_of(bands)
    with h5py.File(bands, "r+") as file:
        file["fit/centres"][:] /= 2
    as_before(bands, 3)
    made = applied([tmp_path / "data"], tmp_path / "again.h5", bands)
    np.testing.assert_array_equal(maps_of(made), expected)
    third = applied([tmp_path / "data"], tmp_path / "third.h5", made)
    np.testing.assert_array_equal(maps_of(third), expected)


def test_damaged_settings_of_an_earlier_version_are_refused(regions: Path, tmp_path: Path) -> None:
    as_before(regions, 11)
    with h5py.File(regions, "r+") as file:
        del file["fit/settings"]
        file["fit/settings"] = np.frombuffer(b"{", np.uint8)
    with pytest.raises(ArtifactError, match=r"its centres are not valid|fit/settings is not"):
        applied([tmp_path / "data"], tmp_path / "out.h5", regions)


def test_regions_of_an_earlier_version_are_refused(regions: Path, tmp_path: Path) -> None:
    as_before(regions, 11)
    with pytest.raises(
        ArtifactError, match="earlier version, which described superpixels in another way; make it again"
    ):
        applied([tmp_path / "data"], tmp_path / "again.h5", regions)


def test_a_missing_file_is_named(sp: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"nowhere.h5: no such file"):
        applied([sp], tmp_path / "out.h5", tmp_path / "nowhere.h5")
