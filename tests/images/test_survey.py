"""What is decided for a folder of images, and the working pixels that come of it."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import pickle
import time
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from conftest import rewrite
from PIL import Image

from unsegcli.errors import CHANGED, ArtifactError, ChangedError, ConfigError, DataError
from unsegcli.images import find
from unsegcli.images.decode import read_header, read_pixels
from unsegcli.images.find import digest_files, file_digest, find_images
from unsegcli.images.survey import Survey, check_fits, survey, with_band_range
from unsegcli.images.working import Reading, read_working
from unsegcli.params import Images


def noise(shape: tuple[int, ...], dtype: str = "uint8", seed: int = 0) -> np.ndarray:
    limits = np.iinfo(dtype)
    return np.random.default_rng(seed).integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)


def save(folder: Path, name: str, pixels: np.ndarray, **options: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if name.endswith(".png"):
        (folder / name).write_bytes(imagecodecs.png_encode(pixels))
    elif name.endswith(".npy"):
        np.save(folder / name, pixels)
    else:
        tifffile.imwrite(folder / name, pixels, **options)


def look(folder: Path, masks: Path | None = None, **settings: object) -> Survey:
    files = digest_files(find_images([folder]), {})
    return survey(files, Images(**settings), masks, workers=1)


def working(found: Survey, index: int = 0) -> tuple[np.ndarray, np.ndarray | None]:
    return read_working(found.sources[index], found.reading)


# bands and alpha


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 5, 9])
def test_any_number_of_bands_is_read_as_it_is(tmp_path: Path, bands: int) -> None:
    pixels = noise((8, 9, bands))
    save(tmp_path, "a.npy", pixels)
    found = look(tmp_path, axes="yxc")
    assert found.reading.channels == bands
    read, valid = working(found)
    np.testing.assert_array_equal(read, pixels)
    assert valid is None


@pytest.mark.parametrize(
    ("dtype", "settings", "said"),
    [
        ("uint8", {"scaling": "image"}, True),
        ("uint8", {"percentiles": (2.0, 98.0)}, True),
        ("uint8", {"percentiles": (2.0, 98.0), "contrast": "image"}, False),
        ("uint8", {}, False),
        ("uint16", {"scaling": "image"}, False),
    ],
)
def test_a_scaling_that_changes_nothing_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, dtype: str, settings: dict[str, object], said: bool
) -> None:
    save(tmp_path, "a.png", noise((6, 5, 1), dtype))
    with caplog.at_level("INFO", "unseg"):
        look(tmp_path, **settings)
    assert ("images of 8 bits are taken as they are" in caplog.text) is said


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("bands", [2, 4])
@pytest.mark.parametrize("kind", ["drop", "mask", "band"])
def test_last_band_is_decided_once_a_folder(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, dtype: str, bands: int, kind: str
) -> None:
    full = np.iinfo(dtype).max
    last = {"drop": [full, full], "mask": [full, 0], "band": [full, 7]}[kind]
    for index in range(2):
        pixels = noise((6, 5, bands), dtype, seed=index)
        pixels[:, :, -1] = full
        pixels[2:, :, -1] = last[index]
        save(tmp_path, f"{index}.png", pixels)
    with caplog.at_level("INFO", "unseg"):
        found = look(tmp_path)
    assert found.reading.alpha == kind
    assert found.reading.channels == (bands if kind == "band" else bands - 1)
    valid = [working(found, index)[1] for index in range(2)]
    assert valid[0] is None
    if kind == "mask":
        assert valid[1] is not None
        np.testing.assert_array_equal(valid[1], np.arange(6)[:, None].repeat(5, axis=1) < 2)
        assert not working(found, 1)[0][2:].any()
    else:
        assert valid[1] is None
    said = {"drop": "dropped", "mask": "mask of valid pixels", "band": "used as a band"}[kind]
    assert sum(said in record.message for record in caplog.records) == 1


def test_last_band_of_zeros_is_dropped_but_is_a_mask_beside_opaque_ones(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pixels = noise((6, 5, 4))
    pixels[:, :, 3] = 0
    save(tmp_path, "a.png", pixels)
    with caplog.at_level("INFO", "unseg"):
        assert look(tmp_path).reading.alpha == "drop"
    assert "the fourth band is 0 everywhere: dropped" in caplog.text
    pixels[:, :, 3] = 255
    save(tmp_path, "b.png", pixels)
    found = look(tmp_path)
    assert found.reading.alpha == "mask"
    valid = working(found)[1]
    assert valid is not None
    assert not valid.any()


@pytest.mark.parametrize(("alpha", "channels"), [("drop", 3), ("mask", 3), ("band", 4)])
def test_alpha_option_overrides_what_is_found(tmp_path: Path, alpha: str, channels: int) -> None:
    save(tmp_path, "a.png", noise((6, 5, 4)))
    assert look(tmp_path).reading.alpha == "band"
    found = look(tmp_path, alpha=alpha)
    assert (found.reading.alpha, found.reading.channels) == (alpha, channels)


@pytest.mark.parametrize(("name", "slices"), [("stack.tif", 3), ("stack.tif", 4), ("stack.npy", 7)])
def test_slices_that_look_like_bands_are_pointed_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, slices: int
) -> None:
    pixels = noise((slices, 20, 18))
    save(tmp_path, name, pixels, **({"photometric": "rgb"} if name.endswith("tif") else {}))
    with caplog.at_level("INFO", "unseg"):
        assert len(look(tmp_path).sources) == 1
    assert f"{name}: {slices} bands, stored one after another" in caplog.text
    assert "--axes pyx reads each as an image" in caplog.text
    caplog.clear()
    with caplog.at_level("INFO", "unseg"):
        assert len(look(tmp_path, axes="pyx").sources) == slices
        assert look(tmp_path, axes="cyx").reading.channels in (slices, slices - 1)
    assert "stored one after another" not in caplog.text
    assert f"1 file contains {slices} images" in caplog.text


def test_bands_beside_each_other_are_not_taken_for_slices(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(tmp_path, "a.tif", noise((20, 18, 3)), photometric="rgb")
    with caplog.at_level("INFO", "unseg"):
        look(tmp_path)
    assert "slices" not in caplog.text


def test_bands_are_chosen_by_number_and_are_no_alpha(tmp_path: Path) -> None:
    pixels = noise((6, 5, 4))
    pixels[:, :, 3] = 255
    save(tmp_path, "a.png", pixels)
    found = look(tmp_path, bands=(4, 1, 1))
    np.testing.assert_array_equal(working(found)[0], pixels[:, :, [3, 0, 0]])
    assert found.reading.alpha == "band"
    with pytest.raises(DataError, match="band 5, but 1 images have fewer"):
        look(tmp_path, bands=(5,))
    with pytest.raises(ConfigError, match="counted from 1"):
        look(tmp_path, bands=(0,))


def test_bands_make_one_folder_of_images_of_different_bands(tmp_path: Path) -> None:
    save(tmp_path, "a.tif", noise((6, 5, 6)), planarconfig="contig", photometric="minisblack")
    save(tmp_path, "b.png", noise((6, 5, 3)))
    with pytest.raises(DataError, match=r"1 of 3 bands \(b\.png\), 1 of 6 bands \(a\.tif\).*--bands"):
        look(tmp_path)
    assert look(tmp_path, bands=(3, 2, 1)).reading.channels == 3


def test_grey_is_repeated_among_colours_and_that_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    grey = noise((6, 5))
    save(tmp_path, "a.png", grey)
    save(tmp_path, "b.png", noise((6, 5, 3)))
    rgba = noise((6, 5, 4))
    rgba[:, :, 3] = np.where(rgba[:, :, 3] > 99, 255, 0)
    save(tmp_path, "c.png", rgba)
    with caplog.at_level("INFO", "unseg"):
        found = look(tmp_path)
    assert (found.reading.channels, found.reading.alpha) == (3, "mask")
    np.testing.assert_array_equal(working(found, 0)[0], np.stack([grey] * 3, axis=2))
    np.testing.assert_array_equal(working(found, 2)[1], rgba[:, :, 3] == 255)
    assert "grey images repeated to three bands: 1 of 3" in caplog.text


def test_soft_alpha_among_colours_is_dropped(tmp_path: Path) -> None:
    save(tmp_path, "a.png", noise((6, 5, 3)))
    save(tmp_path, "b.png", noise((6, 5, 4)))
    found = look(tmp_path)
    assert (found.reading.alpha, found.reading.channels) == ("drop", 3)
    np.testing.assert_array_equal(working(found, 1)[0], noise((6, 5, 4))[:, :, :3])
    with pytest.raises(DataError, match="different numbers of bands"):
        look(tmp_path, alpha="band")


def test_four_bands_of_floats_are_bands(tmp_path: Path) -> None:
    save(tmp_path, "a.npy", np.ones((6, 5, 4), dtype=np.float32))
    assert look(tmp_path).reading.channels == 4


# scaling


def test_percentiles_over_the_folder_by_hand(tmp_path: Path) -> None:
    save(tmp_path, "a.tif", np.arange(0, 500, dtype=np.uint16).reshape(20, 25))
    save(tmp_path, "b.tif", np.arange(500, 1001, dtype=np.uint16)[:500].reshape(20, 25))
    found = look(tmp_path, percentiles=(10.0, 90.0))
    low, high = found.sources[0].scaling[0]
    assert (low, high) == pytest.approx((99.9, 899.1))
    assert found.sources[1].scaling == found.sources[0].scaling
    expected = np.clip(np.floor((np.arange(500) - low) / (high - low) * 255 + 0.5), 0, 255)
    np.testing.assert_array_equal(working(found)[0].ravel(), expected)
    alone = look(tmp_path, percentiles=(0.0, 100.0), scaling="image")
    assert [source.scaling for source in alone.sources] == [((0.0, 499.0),), ((500.0, 999.0),)]


def test_bands_are_scaled_alone_and_invalid_pixels_do_not_count(tmp_path: Path) -> None:
    pixels = np.stack([np.linspace(0, 1, 100), np.linspace(-50, 50, 100)], axis=1).reshape(10, 10, 2)
    pixels[3, 3] = (np.nan, 1e9)
    pixels[4, 4] = (7.0, np.inf)
    pixels[5, 5] = (-9999.0, -9999.0)
    save(tmp_path, "a.npy", pixels.astype(np.float32))
    found = look(tmp_path, percentiles=(0.0, 100.0), nodata=-9999.0)
    assert found.sources[0].scaling == ((0.0, 1.0), (-50.0, 50.0))
    read, valid = working(found)
    assert valid is not None
    assert np.argwhere(~valid).tolist() == [[3, 3], [4, 4], [5, 5]]
    assert not read[~valid].any()
    assert (read[0, 0].tolist(), read[9, 9].tolist()) == ([0, 0], [255, 255])


def vectors(bands: int, dtype: str = "float32") -> np.ndarray:
    """An image of vectors whose bands have different ranges."""
    spread = np.random.default_rng(bands).normal(0, np.linspace(1, 9, bands), (20, 20, bands))
    return (spread + np.linspace(-20, 20, bands)).astype(dtype)


@pytest.mark.parametrize(
    ("bands", "dtype", "settings", "expected"),
    [
        (17, "float32", {}, "same"),
        (17, "int8", {}, "same"),
        (17, "uint16", {}, "each"),
        (16, "float32", {}, "each"),
        (17, "float32", {"bands": (1, 2, 3)}, "each"),
        (17, "float32", {"band_range": "each"}, "each"),
        (4, "float32", {"band_range": "same"}, "same"),
    ],
)
def test_many_bands_of_real_numbers_are_scaled_by_one_factor(
    tmp_path: Path, bands: int, dtype: str, settings: dict[str, object], expected: str
) -> None:
    save(tmp_path, "a.npy", np.abs(vectors(bands)).astype(dtype) if dtype[0] == "u" else vectors(bands, dtype))
    found = look(tmp_path, axes="yxc", **settings)
    assert found.reading.band_range == expected
    widths = [high - low for low, high in found.sources[0].scaling]
    assert (max(widths) - min(widths) < 1e-9 * max(widths)) == (expected == "same")
    recorded = with_band_range(Images(axes="yxc", **settings), digest_files(find_images([tmp_path]), {})).band_range
    assert recorded == (settings.get("band_range", "auto") if expected == "each" else "same")


@pytest.mark.parametrize("scaling", ["folder", "image"])
def test_distances_between_vectors_keep_their_proportions(tmp_path: Path, scaling: str) -> None:
    pixels = vectors(24)
    pixels[3, 3, 5] = np.nan
    save(tmp_path, "a.npy", pixels)
    found = look(tmp_path, axes="yxc", scaling=scaling, percentiles=(0.0, 100.0))
    read, valid = working(found)
    assert valid is not None
    assert np.argwhere(~valid).tolist() == [[3, 3]]
    good = valid.ravel()
    before, after = (one.reshape(400, -1)[good].astype(np.float64) for one in (pixels, read))
    ratio = np.linalg.norm(after[1:] - after[0], axis=1) / np.linalg.norm(before[1:] - before[0], axis=1)
    assert ratio.max() / ratio.min() < 1.05


def test_flat_images_become_zeros(tmp_path: Path) -> None:
    save(tmp_path, "a.tif", np.full((5, 6), 4000, dtype=np.uint16))
    assert not working(look(tmp_path))[0].any()


def test_contrast_of_each_image_is_stretched_also_with_8_bits(tmp_path: Path) -> None:
    dim = np.arange(100, dtype=np.uint8).reshape(10, 10)
    save(tmp_path, "a.png", dim)
    save(tmp_path, "b.png", dim // 2 + 100)
    save(tmp_path, "c.tif", dim.astype(np.uint16) * 300)
    settings = {"percentiles": (0.0, 100.0), "contrast": "image"}
    found = look(tmp_path, **settings)
    assert [source.scaling for source in found.sources] == [((0.0, 99.0),), ((100.0, 149.0),), ((0.0, 29700.0),)]
    for source in found.sources:
        pixels, _ = read_working(source, found.reading)
        assert (pixels.min(), pixels.max()) == (0, 255)
    again = Reading.from_json(found.reading.to_json())
    assert (again, again.shares_scaling) == (found.reading, False)
    (tmp_path / "c.tif").unlink()
    assert look(tmp_path).sources[0].scaling == ((0.0, 255.0),)  # by default, as they are
    assert "contrast" not in look(tmp_path).reading.to_json()  # as in files of earlier versions


def test_stored_scaling_is_used_again(tmp_path: Path) -> None:
    save(tmp_path / "old", "a.tif", noise((20, 20), "uint16"))
    save(tmp_path / "new", "b.tif", noise((20, 20), "uint16", seed=1) // 2)
    old = look(tmp_path / "old")
    files = digest_files(find_images([tmp_path / "new"]), {})
    scaling = old.sources[0].scaling
    new = survey(files, Images(size=(3,)), None, 1, known=old.reading, known_scaling=scaling)
    assert new.sources[0].scaling == scaling
    assert new.reading == old.reading
    with pytest.raises(DataError, match="for 2 bands, but 1"):
        survey(files, Images(), None, 1, known=old.reading, known_scaling=scaling * 2)


def test_bytes_and_deep_images_share_no_scaling(tmp_path: Path) -> None:
    save(tmp_path, "a.png", noise((9, 8)))
    save(tmp_path, "b.png", noise((9, 8), "uint16"))
    with pytest.raises(DataError, match=r"8-bit values \(a\.png\).*b\.png.*--scaling image"):
        look(tmp_path)
    found = look(tmp_path, scaling="image")
    assert found.reading.values == "mixed"
    assert found.sources[0].scaling == ((0.0, 255.0),)
    np.testing.assert_array_equal(working(found)[0][:, :, 0], noise((9, 8)))
    assert found.sources[1].scaling[0][1] > 255


def test_new_images_must_fit(tmp_path: Path) -> None:
    save(tmp_path, "a.png", noise((6, 5, 3)))
    save(tmp_path / "b", "four.npy", noise((6, 5, 4)))
    save(tmp_path / "b", "deep.png", noise((6, 5, 3), "uint16"))
    save(tmp_path / "b", "grey.png", noise((6, 5)))
    reading = look(tmp_path / "a.png").reading
    with pytest.raises(DataError, match=r"x: 4 bands do not give the 3 bands"):
        check_fits("x", read_header(tmp_path / "b/four.npy"), reading)
    with pytest.raises(DataError, match="x: values of type uint16, but the earlier images have 8-bit values"):
        check_fits("x", read_header(tmp_path / "b/deep.png"), reading)
    check_fits("x", read_header(tmp_path / "b/grey.png"), reading)
    chosen = dataclasses.replace(reading, bands=(1, 2, 4))
    with pytest.raises(DataError, match="requests band 4, but the image has 3"):
        check_fits("x", read_header(tmp_path / "a.png"), chosen)


# valid pixels


def test_nodata_of_the_file_and_of_the_user(tmp_path: Path) -> None:
    pixels = noise((6, 5, 3)) // 2 + 1
    pixels[0, 0] = 0
    pixels[1, 1] = (0, 0, 9)
    save(tmp_path, "a.tif", pixels, photometric="rgb", extratags=[(42113, "s", 0, "0", True)])
    valid = working(look(tmp_path))[1]
    assert valid is not None
    assert np.argwhere(~valid).tolist() == [[0, 0]]
    for nodata in (300.0, -1.0, 0.5):
        assert working(look(tmp_path, nodata=nodata))[1] is None


def test_mask_folder(tmp_path: Path) -> None:
    pixels = noise((6, 5, 3))
    mask = noise((6, 5)) % 3
    save(tmp_path / "pictures/x", "a.png", pixels)
    save(tmp_path / "pictures", "b.png", pixels)
    save(tmp_path / "valid/x", "a.tif", mask)
    save(tmp_path / "valid/deeper", "b.png", np.dstack([mask, mask * 0, mask, mask * 0 + 255]))
    found = look(tmp_path / "pictures", tmp_path / "valid")
    for index in range(2):
        read, valid = working(found, index)
        assert valid is not None
        np.testing.assert_array_equal(valid, mask != 0)
        np.testing.assert_array_equal(read, np.where(valid[:, :, None], pixels, 0))
        assert found.sources[index].mask_digest


def test_images_without_a_mask_are_listed(tmp_path: Path) -> None:
    for index in range(7):
        save(tmp_path / "pictures", f"{index}.png", noise((6, 5)))
    save(tmp_path / "valid", "3.png", noise((6, 5)))
    with pytest.raises(DataError, match=r"no mask for 6 images: 0\.png, 1\.png, 2\.png, 4\.png, 5\.png, \.\.\."):
        look(tmp_path / "pictures", tmp_path / "valid")
    with pytest.raises(DataError, match="give --mask a folder"):
        look(tmp_path / "pictures", tmp_path / "nothing")


def test_masks_that_do_not_fit(tmp_path: Path) -> None:
    save(tmp_path / "pictures", "a.png", noise((6, 5)))
    save(tmp_path / "valid", "a.png", noise((5, 6)))
    with pytest.raises(DataError, match=r"the mask is 5 x 6, but a\.png is 6 x 5: give a mask of the same size"):
        look(tmp_path / "pictures", tmp_path / "valid")
    save(tmp_path / "valid/more", "a.png", noise((6, 5)))
    (tmp_path / "valid/a.png").unlink()
    save(tmp_path / "valid/other", "a.png", noise((6, 5)))
    with pytest.raises(DataError, match="several masks for a"):
        look(tmp_path / "pictures", tmp_path / "valid")


def test_mask_of_a_turned_image_has_its_upright_size(tmp_path: Path) -> None:
    save(tmp_path / "pictures", "a.tif", noise((6, 5)), extratags=[(274, 3, 1, 6, True)])
    save(tmp_path / "valid", "a.png", noise((6, 5)))
    with pytest.raises(DataError, match="after applying its EXIF orientation 6: rotate the mask likewise"):
        look(tmp_path / "pictures", tmp_path / "valid")
    mask = noise((5, 6)) % 2
    save(tmp_path / "valid", "a.png", mask)
    found = look(tmp_path / "pictures", tmp_path / "valid")
    assert (found.sources[0].height, found.sources[0].width, found.sources[0].orientation) == (5, 6, 6)
    np.testing.assert_array_equal(working(found)[1], mask != 0)


def test_a_image_without_a_valid_pixel_is_fine(tmp_path: Path) -> None:
    save(tmp_path, "a.tif", np.full((6, 5), 3, dtype=np.uint16))
    read, valid = working(look(tmp_path, nodata=3.0, size=(3,)))
    assert valid is not None
    assert not valid.any()
    assert not read.any()


# sizes, pages, bad files


@pytest.mark.parametrize(
    ("settings", "grid"), [({"size": (10,)}, (10, 15)), ({"size": (7, 5)}, (7, 5)), ({"scale": 0.5}, (10, 15))]
)
def test_working_size(tmp_path: Path, settings: dict[str, object], grid: tuple[int, int]) -> None:
    save(tmp_path, "a.png", noise((20, 30, 3)))
    found = look(tmp_path, **settings)
    read, _ = working(found)
    assert read.shape == (*grid, 3)
    assert (found.sources[0].height, found.sources[0].width) == (20, 30)


def test_working_size_is_limited_too(tmp_path: Path) -> None:
    save(tmp_path, "a.png", noise((20, 30)))
    with pytest.raises(DataError, match="working image of 2000 x 3000 = 6 million pixels is over the limit"):
        look(tmp_path, scale=100.0, max_pixels=5_000_000)


def test_pages_are_sources(tmp_path: Path) -> None:
    stack = noise((3, 6, 5))
    save(tmp_path, "stack.tif", stack, photometric="minisblack")
    save(tmp_path, "z.png", noise((7, 7)))
    found = look(tmp_path)
    assert [source.name for source in found.sources] == ["stack.tif#0", "stack.tif#1", "stack.tif#2", "z.png"]
    for page in range(3):
        np.testing.assert_array_equal(working(found, page)[0][:, :, 0], stack[page])
    save(tmp_path / "valid", "stack.tif", stack % 2, photometric="minisblack")
    found = look(tmp_path / "stack.tif", tmp_path / "valid")
    np.testing.assert_array_equal(working(found, 2)[1], stack[2] % 2 == 1)


def test_unreadable_files_are_left_out_and_listed(tmp_path: Path) -> None:
    save(tmp_path, "a.png", noise((6, 5, 3)))
    (tmp_path / "b.png").write_bytes(b"")
    (tmp_path / "c.jpg").write_text("hello")
    save(tmp_path, "d.png", noise((66, 50, 4)))
    (tmp_path / "d.png").write_bytes((tmp_path / "d.png").read_bytes()[:900])
    found = look(tmp_path, max_pixels=9000)
    assert [source.name for source in found.sources] == ["a.png"]
    skipped = dict(found.skipped)
    assert skipped["b.png"] == "the file is empty"
    assert skipped["c.jpg"].startswith("is not a PNG, JPEG")
    assert "truncated" in skipped["d.png"]
    (tmp_path / "a.png").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"no image can be read: a\.png: is not a PNG.*; b\.png.*; c\.jpg.*; \.\.\."):
        look(tmp_path)


def test_a_image_that_fails_when_sampled_is_left_out(tmp_path: Path) -> None:
    for name in "ab":
        save(tmp_path, f"{name}.png", noise((60, 50, 3), "uint16"))
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:3000])
    for scaling in ("folder", "image"):
        found = look(tmp_path, scaling=scaling)
        assert [source.name for source in found.sources] == ["b.png"]
        assert [name for name, _ in found.skipped] == ["a.png"]


# images that change


def encoded(name: str, value: int) -> bytes:
    """A file of 6 x 5 pixels of one value; files of the same name are of the same size."""
    depth, suffix = name.split(".")
    pixels = np.full((6, 5, 3), value, depth)
    stream = io.BytesIO()
    if suffix == "npy":
        np.save(stream, pixels)
    elif suffix == "tif":
        tifffile.imwrite(stream, pixels)
    elif depth == "uint16":
        stream.write(imagecodecs.png_encode(pixels))
    else:
        Image.fromarray(pixels).save(stream, "JPEG" if suffix == "jpg" else suffix)
    return stream.getvalue().ljust(2000, b"\0")  # decoders do not look at what follows


FORMATS = ["uint8.png", "uint16.png", "uint8.jpg", "uint8.bmp", "uint8.tif", "uint16.tif", "uint8.npy", "uint16.npy"]


@pytest.mark.parametrize("name", FORMATS)
def test_a_change_is_refused_even_if_size_and_time_are_as_before(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(encoded(name, 40))
    found = look(tmp_path, axes="yxc" if name.endswith(".npy") else "auto", scaling="image")
    before = path.stat()
    working(found)
    rewrite(path, encoded(name, 200))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    with pytest.raises(ChangedError, match="has changed since it was first looked at: run again") as error:
        working(found)
    assert "\n" not in str(error.value)
    rewrite(path, encoded(name, 40))
    working(found)


@pytest.mark.parametrize("name", ["uint8.png", "uint8.tif", "uint16.tif"])
def test_a_mask_that_changed_is_refused_too(tmp_path: Path, name: str) -> None:
    save(tmp_path / "images", f"{Path(name).stem}.png", noise((6, 5, 3)))
    mask = tmp_path / "masks" / name
    mask.parent.mkdir()
    mask.write_bytes(encoded(name, 0))
    found = look(tmp_path / "images", mask.parent)
    assert working(found)[1] is not None
    rewrite(mask, encoded(name, 1))
    with pytest.raises(ChangedError, match=r"masks.*: has changed since it was first looked at"):
        working(found)
    rewrite(mask, encoded(name, 0))
    assert working(found)[1] is not None


def test_a_change_before_the_values_are_looked_at_leaves_the_image_out(tmp_path: Path) -> None:
    for settings in ({"scaling": "folder"}, {"scaling": "image"}):
        for name in ("a.tif", "b.tif"):
            save(tmp_path, name, noise((6, 5, 3), "uint16"))
        files = digest_files(find_images([tmp_path]), {})
        save(tmp_path, "a.tif", noise((6, 5, 3), "uint16", seed=1))
        found = survey(files, Images(**settings), None, 1)
        assert found.skipped == [("a.tif", CHANGED)]
        assert [source.name for source in found.sources] == ["b.tif"]


def test_a_change_before_alpha_is_looked_at_decides_nothing(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        save(tmp_path, name, np.dstack([noise((6, 5, 3)), np.full((6, 5), 255, np.uint8)]))
    files = digest_files(find_images([tmp_path]), {})
    save(tmp_path, "a.png", noise((6, 5, 4)))
    found = survey(files, Images(), None, 1)
    assert found.skipped == [("a.png", CHANGED)]
    assert found.reading.alpha == "drop"


def test_a_change_that_is_undone_while_it_is_decoded_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "uint8.png"
    path.write_bytes(encoded(path.name, 40))
    found = look(tmp_path)
    time.sleep(0.02)  # a tick of the clock by which files are stamped

    def read(*arguments: object) -> object:
        rewrite(path, encoded(path.name, 200))
        decoded = read_pixels(*arguments)
        rewrite(path, encoded(path.name, 40))
        return decoded

    monkeypatch.setattr("unsegcli.images.working.read_pixels", read)
    with pytest.raises(ChangedError):
        working(found)


def test_a_file_that_cannot_be_read_any_more_has_changed(tmp_path: Path) -> None:
    save(tmp_path, "a.png", noise((6, 5, 3)))
    found = look(tmp_path)
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:60])
    with pytest.raises(ChangedError):
        working(found)
    (tmp_path / "a.png").unlink()
    with pytest.raises(DataError, match="no such file"):
        working(found)


def test_the_same_content_under_another_time_is_no_change(tmp_path: Path) -> None:
    save(tmp_path, "a.png", noise((6, 5, 3)))
    found = look(tmp_path)
    before = working(found)[0]
    os.utime(tmp_path / "a.png", (1, 1))
    np.testing.assert_array_equal(working(found)[0], before)


@pytest.mark.parametrize("settled", [True, False])
def test_pages_of_one_file_are_digested_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settled: bool) -> None:
    """Unless the file is so new that a change might not show in its times."""
    pages = noise((5, 6, 5, 3))
    save(tmp_path, "a.tif", pages, photometric="rgb")
    found = look(tmp_path)
    digested: list[Path] = []

    def counted(path: Path) -> str:
        digested.append(path)
        return file_digest(path)

    monkeypatch.setattr(find, "file_digest", counted)
    monkeypatch.setattr(find, "SETTLED", 0 if settled else 10**12)
    for index in range(5):
        np.testing.assert_array_equal(working(found, index)[0], pages[index])
    assert len(digested) == (1 if settled else 5)
    rewrite(tmp_path / "a.tif", (tmp_path / "a.tif").read_bytes()[:-1] + b"x")
    with pytest.raises(ChangedError):
        working(found, 0)


def test_a_source_of_another_size_or_bands_is_an_error(tmp_path: Path) -> None:
    save(tmp_path, "a.png", noise((6, 5, 3)))
    found = look(tmp_path)
    save(tmp_path, "a.png", noise((6, 6, 3)))
    changed = dataclasses.replace(found.sources[0], digest=file_digest(tmp_path / "a.png"))
    with pytest.raises(DataError, match="is 6 x 6, but was 6 x 5"):
        read_working(changed, found.reading)
    save(tmp_path, "a.npy", noise((6, 5, 7)))
    path = tmp_path / "a.npy"
    changed = dataclasses.replace(found.sources[0], path=str(path), digest=file_digest(path))
    with pytest.raises(DataError, match="7 bands"):
        read_working(changed, dataclasses.replace(found.reading, axes="yxc"))


@pytest.mark.parametrize(
    "settings",
    [
        {"alpha": "maybe"},
        {"scaling": "band"},
        {"contrast": "high"},
        {"percentiles": (50.0, 50.0)},
        {"percentiles": (-1.0, 50.0)},
        {"max_pixels": 0},
        {"axes": "xx"},
        {"size": (3,), "scale": 0.5},
    ],
)
def test_settings_that_make_no_sense(tmp_path: Path, settings: dict[str, object]) -> None:
    save(tmp_path, "a.png", noise((6, 5, 4)))
    with pytest.raises(ConfigError):
        look(tmp_path, **settings)


def test_no_files_at_all() -> None:
    with pytest.raises(DataError, match="no images given"):
        survey([], Images(), None, 1)


def test_workers_do_not_change_what_is_found(tmp_path: Path) -> None:
    for index in range(16):
        save(tmp_path, f"{index}.png", noise((12, 10, 4), "uint16", seed=index))
    files = digest_files(find_images([tmp_path]), {})
    assert survey(files, Images(), None, 1) == survey(files, Images(), None, 2)


# storing


def test_reading_survives_json_and_pickle(tmp_path: Path) -> None:
    reading = Reading("cyx", (4, 1), "band", 2, "real", 0.1 + 0.2, (0.1, 99.9), "folder", (7, 8), 1 / 3, 10**9)
    assert Reading.from_json(reading.to_json()) == reading
    assert type(Reading.from_json(reading.to_json()).bands) is tuple
    save(tmp_path, "a.png", noise((6, 5, 3)))
    found = look(tmp_path)
    assert Reading.from_json(found.reading.to_json()) == found.reading
    assert pickle.loads(pickle.dumps(found.sources[0])) == found.sources[0]
    for text in ("", "[]", "{}", '{"bands": [1], "percentiles": [1, 2], "size": [], "colour": 1}'):
        with pytest.raises(ArtifactError, match="attribute `reading` is not valid"):
            Reading.from_json(text)


@pytest.mark.parametrize("name", ["band_range", "resampling"])
@pytest.mark.parametrize("value", ["auto", "nearest", 7, None, ["each"]])
def test_a_reading_of_no_known_choice_is_refused(name: str, value: object) -> None:
    reading = Reading("cyx", (), "none", 1, "real", None, (1, 99), "folder", (), 1, 10**9)
    text = json.dumps({**json.loads(reading.to_json()), name: value})
    with pytest.raises(ArtifactError, match="attribute `reading` is not valid"):
        Reading.from_json(text)


def test_jpeg_with_orientation_is_upright_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    exif = Image.Exif()
    exif[274] = 8
    rows, columns = np.mgrid[:16, :32]
    stored = np.dstack([rows * 9, columns * 5, rows * 0]).astype(np.uint8)
    Image.fromarray(stored).save(tmp_path / "a.jpg", exif=exif, quality=100, subsampling=0)
    with caplog.at_level("INFO", "unseg"):
        found = look(tmp_path)
    read, _ = working(found)
    np.testing.assert_allclose(read.astype(int), np.rot90(stored).astype(int), atol=6)
    assert "rotated by their EXIF orientation: 1 of 1" in caplog.text
