"""Rasters that are read in parts: the same pixels as when they are read whole, whatever the file is like."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
from called import cluster, superpixels
from PIL import Image
from typed import one_line, unseg

from unsegcli import store
from unsegcli.core.geometry import Box, boxes
from unsegcli.dataflow.dataset import Dataset, Window, dataset_from_files, stored_sources
from unsegcli.errors import CHANGED, DataError
from unsegcli.images import rasters
from unsegcli.images.decode import read_header
from unsegcli.images.find import file_digest
from unsegcli.images.mask_files import read_mask, read_part_of_mask
from unsegcli.images.working import decodes_in_parts, read_box, read_working
from unsegcli.params import Cluster, Images, Inputs, Run, Superpixels
from unsegcli.segmenters.centres import dataset_to_assign, read_centres
from unsegcli.segmenters.cutting_alike import read_cutting
from unsegcli.segmenters.model_inputs import dataset_for
from unsegcli.stages import superpixels as stage

rasterio = pytest.importorskip("rasterio")
from rasterio import shutil as raster_files  # noqa: E402
from rasterio.enums import ColorInterp, Resampling  # noqa: E402
from rasterio.transform import Affine  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # rasterio's own, while files are written here

HEIGHT, WIDTH = 90, 130


def placed(left: float = 0, top: float = 0, side: float = 0.5, turned: float = 0) -> Affine:
    """The transform of a raster with its corner at this column and row of one at 500000, 5000000."""
    a, b = side * np.cos(np.radians(turned)), side * np.sin(np.radians(turned))
    return Affine(a, b, 500_000 + 0.5 * left, b, -a, 5_000_000 - 0.5 * top)


PLACE = placed()
ROTATED = placed(turned=30)
UPWARDS = Affine(0.5, 0, 500_000, 0, 0.5, 5_000_000)


def picture(bands: int = 3, dtype: str = "uint8", height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Blobs and noise (bands, height, width)."""
    rows, columns = np.mgrid[:height, :width]
    noise = np.random.default_rng(bands).random((bands, height, width))
    smooth = [0.5 + 0.3 * np.sin(rows / (7 + band)) + 0.2 * np.cos(columns / (9 - band % 8)) for band in range(bands)]
    values = 0.7 * np.stack(smooth) + 0.3 * noise
    full = {"uint8": 255, "uint16": 4095, "int16": 900}.get(dtype, 1.0)
    return (values * full).astype(dtype)


def write(path: Path, pixels: np.ndarray, **options: Any) -> Path:
    given = {"crs": "EPSG:32633", "transform": PLACE, "driver": "GTiff", **options}
    bands, height, width = pixels.shape
    with rasterio.open(path, "w", count=bands, height=height, width=width, dtype=pixels.dtype, **given) as file:
        file.write(pixels)
    return path


def opened(given: Path | list[Path], images: Images) -> Dataset:
    paths = given if isinstance(given, list) else [given]
    return dataset_from_files(Inputs(paths, images)).opened(1)


def both(path: Path, images: Images, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    """Pixels and valid pixels of a file's windows, read whole and in parts."""
    found = []
    for large in (10**9, 100):
        monkeypatch.setattr(rasters, "LARGE", large)
        data = opened(path, images)
        assert bool(data.units[0].source.in_parts) == (large == 100)
        windows = [window for unit in data.units for window in unit.windows()]
        assert len(data.units) > 1 or large > 100
        found.append((data.units[0].source, windows))
    (source, whole), (again, parts) = found
    assert (source.scaling, source.place, source.digest) == (again.scaling, again.place, again.digest)
    assert [window.box for window in whole] == [window.box for window in parts]
    assert [window.key for window in whole] == [window.key for window in parts]
    return whole, parts


def good(window: Window) -> np.ndarray:
    return np.ones(window.pixels.shape[:2], bool) if window.valid is None else window.valid


TILED = {"tiled": True, "blockxsize": 32, "blockysize": 16}
FILES = {
    "strips": ({}, {}),
    "lzw and predictor": ({"compress": "lzw", "predictor": 2, **TILED}, {}),
    "12 bits in 16": ({"nbits": 12, "compress": "deflate"}, {"dtype": "uint16"}),
    "float, predictor 3, NaN": ({"nodata": float("nan"), "compress": "deflate", "predictor": 3}, {"dtype": "float32"}),
    "float, nodata": ({"nodata": -9999.0, **TILED}, {"dtype": "float32"}),
    "band-interleaved": ({"interleave": "band", **TILED}, {"bands": 5, "dtype": "int16"}),
    "no CRS": ({"crs": None, "transform": Affine.identity()}, {"bands": 1}),
    "rotated": ({"transform": ROTATED}, {"bands": 4}),
    "BigTIFF": ({"bigtiff": "YES", "nodata": 0, **TILED}, {"bands": 2, "dtype": "uint16"}),
}


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.37])
@pytest.mark.parametrize("name", FILES)
def test_parts_are_as_the_whole(name: str, scale: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options, kind = FILES[name]
    pixels = picture(**kind)
    nodata = options.get("nodata")
    if nodata is not None:
        pixels[:, 20:50, 40:77] = nodata
    path = write(tmp_path / "a.tif", pixels, **options)
    whole, parts = both(path, Images(patch=32, stride=24, scale=scale), monkeypatch)
    exact = scale in (1.0, 0.5)
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(good(one), good(other))
        different = np.abs(one.pixels.astype(int) - other.pixels)
        # Beside void pixels an average is rounded in another way than by Pillow.
        assert different.max() <= (0 if exact and nodata is None else 1)
        assert (different > 0).mean() < 0.02
    if nodata is not None:
        assert any(window.valid is not None and not window.valid.all() for window in parts)


def test_the_place_is_the_same_by_both_readers(tmp_path: Path) -> None:
    for number, place in enumerate((PLACE, ROTATED, UPWARDS)):
        path = write(tmp_path / f"{number}.tif", picture(), transform=place)
        with rasters.open_raster(path) as raster:
            assert raster.place == read_header(path).place
            assert raster.place.crs == "EPSG:32633"
            assert raster.place.transform == pytest.approx(tuple(place)[:6])


@pytest.mark.parametrize("large", [10**9, 100])
def test_an_internal_mask_is_void(large: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rasters, "LARGE", large)
    mask = np.ones((HEIGHT, WIDTH), bool)
    mask[30:, 100:] = False
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(
            tmp_path / "a.tif", "w", driver="GTiff", count=3, height=HEIGHT, width=WIDTH, dtype="uint8", **TILED
        ) as file,
    ):
        file.write(picture())
        file.write_mask(mask)
    windows = [w for unit in opened(tmp_path / "a.tif", Images(patch=1000)).units for w in unit.windows()]
    np.testing.assert_array_equal(windows[0].valid, mask)


def test_a_change_before_alpha_is_looked_at_in_parts_decides_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rasters, "LARGE", 100)
    opaque = picture(4)
    opaque[3] = 255
    files = [write(tmp_path / name, opaque, photometric="RGB", **TILED) for name in ("a.tif", "b.tif")]
    data = dataset_from_files(Inputs(files))
    write(files[0], picture(4), photometric="RGB", **TILED)
    found = data.opened(1)
    assert found.bad == (("a.tif", CHANGED),)
    assert found.reading.alpha == "drop"


@pytest.mark.parametrize("bands", [4, 6])
@pytest.mark.parametrize("large", [10**9, 100])
def test_a_band_of_alpha_is_void(bands: int, large: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rasters, "LARGE", large)
    pixels = picture(bands)
    pixels[-1] = 255
    pixels[-1, :, 60:] = 0
    path = write(tmp_path / "a.tif", pixels)
    with rasterio.open(path, "r+") as file:
        file.colorinterp = (*file.colorinterp[:-1], ColorInterp.alpha)
    (window,) = opened(path, Images(patch=1000)).units[0].windows()
    assert window.pixels.shape[2] == bands - 1
    assert window.valid is not None
    np.testing.assert_array_equal(window.valid, pixels[-1] != 0)


def test_a_fourth_band_that_is_infrared_is_a_band(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rasters, "LARGE", 100)
    path = write(tmp_path / "a.tif", picture(4), photometric="RGB", **TILED)  # GDAL calls the fourth band alpha
    data = opened(path, Images(patch=40))
    assert data.reading is not None
    assert (data.reading.channels, data.reading.alpha) == (4, "band")


def test_overviews_are_not_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.tif", picture(), **TILED)
    with rasterio.open(path, "r+") as file:
        file.build_overviews([2, 4], Resampling.average)
    whole, parts = both(path, Images(patch=50), monkeypatch)
    assert all((one.pixels == other.pixels).all() for one, other in zip(whole, parts, strict=True))


def test_a_truncated_tail_is_refused_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rasters, "LARGE", 100)
    path = write(tmp_path / "a.tif", picture(), **TILED, compress="deflate")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"a\.tif: (the file is truncated|cannot be read)"):
        opened(path, Images(patch=32))


@pytest.mark.parametrize("how", ["mosaic", "virtual raster"])
def test_a_truncated_tile_is_named(how: str, tmp_path: Path) -> None:
    files = tiles(tmp_path / "tiles", picture())
    with rasterio.open(files[2]) as file:
        raster_files.copy(file, tmp_path / "a.vrt", driver="VRT")
    files[2].write_bytes(files[2].read_bytes()[:-40])
    given = files if how == "mosaic" else [tmp_path / "a.vrt"]
    with pytest.raises(DataError, match=r"t2\.tif: the file is truncated"):
        opened(given, Images(mosaic=how == "mosaic"))


def test_a_block_that_cannot_be_read_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(rasters, "LARGE", 100)
    path = write(Path("a.tif"), picture(), **TILED, compress="deflate")
    with tifffile.TiffFile(path) as tiff:
        place, length = tiff.pages[0].dataoffsets[-1], tiff.pages[0].databytecounts[-1]
    damaged = bytearray(path.read_bytes())
    damaged[place : place + length] = b"\xff" * length
    path.write_bytes(damaged)
    line = one_line(unseg("superpixels", "a.tif", "--patch", "32", "--workers", "1", expect=1))
    assert "a.tif: cannot be read at row" in line


@pytest.mark.parametrize(("driver", "name"), [("JP2OpenJPEG", "a.jp2"), ("HFA", "a.img"), ("VRT", "a.vrt")])
def test_other_formats_of_gdal(driver: str, name: str, tmp_path: Path) -> None:
    pixels = picture(dtype="uint16")
    if driver == "VRT":
        write(tmp_path / "inside.tif", pixels)
        with rasterio.open(tmp_path / "inside.tif") as file:
            raster_files.copy(file, tmp_path / name, driver="VRT")
    else:
        write(
            tmp_path / name, pixels, driver=driver, **({"reversible": "yes", "quality": 100} if "2" in driver else {})
        )
    data = opened(tmp_path / name, Images(patch=50, percentiles=(0, 100)))
    source = data.units[0].source
    assert source.place.crs == "EPSG:32633"
    found = data.units[0].windows()[0].pixels
    low, high = source.scaling[0]
    np.testing.assert_allclose(low + found[:, :, 0] / 255 * (high - low), pixels[0, :50, :50], atol=9)


def test_the_digest_of_a_virtual_raster_is_also_about_its_files(tmp_path: Path) -> None:
    write(tmp_path / "inside.tif", picture())
    with rasterio.open(tmp_path / "inside.tif") as file:
        raster_files.copy(file, tmp_path / "a.vrt", driver="VRT")
    before = file_digest(tmp_path / "a.vrt")
    write(tmp_path / "inside.tif", 255 - picture())
    assert file_digest(tmp_path / "a.vrt") != before


def test_a_palette_becomes_colours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.tif", picture(1) // 64)
    with rasterio.open(path, "r+") as file:
        file.write_colormap(1, {0: (1, 2, 3), 1: (40, 50, 60), 2: (7, 70, 77), 3: (200, 0, 9)})
    whole, parts = both(path, Images(patch=50), monkeypatch)
    assert all((one.pixels == other.pixels).all() for one, other in zip(whole, parts, strict=True))
    assert {tuple(colour) for colour in parts[0].pixels.reshape(-1, 3)} <= {
        (1, 2, 3),
        (40, 50, 60),
        (7, 70, 77),
        (200, 0, 9),
    }


def _mask_files(folder: Path) -> Iterator[tuple[Path, np.ndarray]]:
    """Masks of every kind of TIFF, and which pixels they call valid."""
    valid = picture(1)[0] > 130
    indices = valid.astype(np.uint8)
    path = write(folder / "palette.tif", indices[np.newaxis])
    with rasterio.open(path, "r+") as file:
        file.write_colormap(1, {0: (255, 255, 255), 1: (0, 0, 0)})
    yield path, valid
    yield write(folder / "plain.tif", indices[np.newaxis]), valid
    for colours in (1, 3, 4):
        path = write(folder / f"{colours}.tif", np.stack([255 * indices] * colours + [np.full_like(indices, 255)]))
        with rasterio.open(path, "r+") as file:
            file.colorinterp = (*file.colorinterp[:-1], ColorInterp.alpha)
        yield path, valid


def test_parts_of_a_mask_are_as_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rasters, "LARGE", 100)
    box = Box(10, 20, 30, 40)
    for path, valid in _mask_files(tmp_path):
        assert read_header(path).in_parts
        np.testing.assert_array_equal(read_mask(path, 0, 10**6), valid, path.name)
        found = read_part_of_mask(path, 0, box, (HEIGHT, WIDTH), 10**6)
        np.testing.assert_array_equal(found, valid[box.slices], path.name)


def test_a_mask_in_a_virtual_raster_is_of_indices_too(tmp_path: Path) -> None:
    path, valid = next(_mask_files(tmp_path))
    with rasterio.open(path) as file:
        raster_files.copy(file, tmp_path / "a.vrt", driver="VRT")
    np.testing.assert_array_equal(read_mask(tmp_path / "a.vrt", 0, 10**6), valid)
    found = read_part_of_mask(tmp_path / "a.vrt", 0, Box(0, 0, HEIGHT, WIDTH), (HEIGHT, WIDTH), 10**6)
    np.testing.assert_array_equal(found, valid)


def test_a_changed_mask_is_read_again(tmp_path: Path) -> None:
    for value in (0, 255):
        Image.fromarray(np.full((6, 5), value, np.uint8)).save(tmp_path / "a.png")
        assert (read_part_of_mask(tmp_path / "a.png", 0, Box(0, 0, 6, 5), (6, 5), 100) == (value > 0)).all()


def test_a_changed_image_is_looked_up_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rasters, "LARGE", 100)
    path = write(tmp_path / "a.tif", picture())
    data = opened(path, Images())
    source, reading = replace(data.units[0].source, in_parts=None), data.reading
    assert reading is not None
    assert decodes_in_parts(source, reading)
    write(path, picture(height=8, width=8))
    assert not decodes_in_parts(source, reading)


def test_a_broken_virtual_raster_is_skipped_if_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.moveaxis(picture(), 0, 2)).save("a.png")
    Path("broken.vrt").write_text("<VRTDataset")
    unseg("superpixels", "a.png", "broken.vrt", "--skip-bad", "--workers", "1")
    with store.open_artifact("superpixels.h5") as artifact:
        assert artifact.table("sources/name") == ["a.png"]
        assert artifact.table("skipped/name") == ["broken.vrt"]


def test_embeddings_are_clustered_directly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """64 bands of real numbers without colours: three kinds of land that differ in the direction of their vectors."""
    monkeypatch.setattr(rasters, "LARGE", 100)
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    kinds = (np.mgrid[:60, :80][1] // 20 + np.mgrid[:60, :80][0] // 30) % 3
    vectors = random.normal(size=(3, 64))[kinds] + 0.5 * random.normal(size=(60, 80, 64))
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    vectors[:10, :10] = np.nan
    path = write(Path("embedding.tif"), np.moveaxis(vectors, 2, 0).astype("float32"), nodata=float("nan"), **TILED)
    unseg("cluster", path, "--features", "bands", "--classes", "3", "--workers", "1")
    unseg("superpixels", path, "--pixels-per-segment", "40", "--workers", "1")
    unseg("cluster", "superpixels.h5", "--classes", "3", "--workers", "1", "-o", "regions.h5")
    for name, least in (("segmentation.h5", 0.99), ("regions.h5", 0.95)):
        with store.open_artifact(name) as artifact:
            found = artifact.read("segmentation", 0)
        assert (found[:10, :10] == 255).all()
        counts = np.zeros((3, 3), int)
        np.add.at(counts, (kinds[found != 255], found[found != 255]), 1)
        assert counts.max(axis=0).sum() / counts.sum() > least
        assert len(set(counts.argmax(axis=0))) == 3


def test_a_large_raster_is_cut_into_overlapping_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from unsegcli.dataflow import dataset

    monkeypatch.setattr(rasters, "LARGE", 100)
    monkeypatch.setattr(dataset, "STRIDES", (48,))
    monkeypatch.setattr(dataset, "OVERLAP", 16)
    monkeypatch.setattr("unsegcli.images.survey.SMALL_FILE", 0)
    monkeypatch.chdir(tmp_path)
    path = write(Path("a.tif"), picture())
    unseg("superpixels", path, "--workers", "1")
    with store.open_artifact("superpixels.h5") as artifact:
        assert [tuple(row) for row in artifact.table("windows/box")] == boxes(HEIGHT, WIDTH, 64, 48)
        assert set(artifact.table("windows/source").tolist()) == {0}
        assert artifact.recipe["parameters"]["patch"] == 64
        assert store.problems_of(artifact) == []
    assert "up to date" in unseg("superpixels", path, "--workers", "1").stderr
    small = write(Path("small.tif"), picture(height=20, width=30))
    monkeypatch.setattr(rasters, "LARGE", 700)
    unseg("superpixels", small, "--workers", "1", "-o", "small.h5")
    unseg("superpixels", path, "--like", "small.h5", "--workers", "1", "-o", "like.h5")
    unseg("cluster", "small.h5", "--classes", "2", "--features", "bands", "--workers", "1", "-o", "seg.h5")
    unseg("cluster", path, "--centres", "seg.h5", "--workers", "1", "-o", "centres.h5")
    for name, side in (("small.h5", 0), ("like.h5", 64), ("centres.h5", 64)):
        with store.open_artifact(name) as artifact:
            assert artifact.recipe["parameters"]["patch"] == side
            assert "mosaic" not in artifact.recipe["parameters"]


def test_images_are_cut_by_the_size_at_which_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: pytest.LogCaptureFixture
) -> None:
    """New images have the scale of the earlier ones, of which no option tells."""
    monkeypatch.setattr(rasters, "LARGE", HEIGHT * WIDTH // 2)
    monkeypatch.setattr("unsegcli.images.survey.SMALL_FILE", 0)
    inputs = Inputs(write(tmp_path / "a.tif", picture()))
    sp = superpixels(inputs.paths, tmp_path / "sp.h5", Superpixels(segments=9), Images(scale=0.5), workers=1).path
    seg = cluster([sp], tmp_path / "seg.h5", Cluster(classes=2, features="bands"), workers=1).path
    alike, centres = read_cutting(sp), read_centres(seg)
    model: Any = SimpleNamespace(path=tmp_path, vectors=None, fingerprint="", hint={}, reading=alike.reading)
    model.scaling = alike.scaling
    for found in (alike.dataset(inputs, None), dataset_to_assign(centres, inputs), dataset_for(model, inputs)):
        assert found.images is not None
        assert (found.images.patch, len(found.opened(1).units[0].windows())) == (0, 1)
    assert "are cut into windows" not in said.text
    whole = dataset_from_files(inputs)
    assert whole.images is not None
    assert whole.images.patch > 0
    assert "megapixels: all images are cut into windows by --patch" in said.text


def test_finished_blocks_of_an_interrupted_run_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rasters, "LARGE", 100)
    monkeypatch.chdir(tmp_path)
    path = write(Path("a.tif"), picture())
    arguments = ("superpixels", path, "--patch", "64", "--stride", "48", "--workers", "1", "-o")
    unseg(*arguments, "whole.h5")
    cut, calls = stage.cut_window, []

    def stopping(*given: Any) -> Any:
        calls.append(given)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return cut(*given)

    monkeypatch.setattr(stage, "cut_window", stopping)
    with pytest.raises(KeyboardInterrupt):
        stage.superpixels(Inputs(path, Images(patch=64, stride=48)), None, Run("again.h5", workers=1))
    assert "resuming after 1 block finished" in unseg(*arguments, "again.h5").stderr
    assert len(calls) < 4 + len(boxes(HEIGHT, WIDTH, 64, 48))
    with store.open_artifact("whole.h5") as one, store.open_artifact("again.h5") as other:
        assert one.fingerprint == other.fingerprint


def test_a_shrunken_raster_is_read_in_small_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rasters, "LARGE", 100)
    monkeypatch.setattr("unsegcli.images.working.DECODED_AT_ONCE", 3000)
    path = write(tmp_path / "a.tif", picture(), **TILED)
    data = opened(path, Images(size=(12,)))
    assert data.reading is not None
    source = data.units[0].source
    grid = (12, 17)
    pixels, _ = read_box(source, data.reading, Box(0, 0, *grid))
    monkeypatch.setattr(rasters, "LARGE", 10**9)
    (unit,) = opened(path, Images(size=(12,))).units
    whole, _ = read_working(unit.source, unit.reading)
    assert np.abs(pixels.astype(int) - whole).max() <= 1


def test_patches_of_half_the_size_are_those_of_the_published_preparation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tile is halved by means of 2 x 2 pixels, rounded half up, and cut into squares from the top left."""
    monkeypatch.setattr(rasters, "LARGE", 100)
    monkeypatch.chdir(tmp_path)
    pixels = picture(4, height=120, width=160)
    path = write(Path("tile.tif"), pixels, **TILED)
    cut = ("--patch", "20", "--stride", "20", "--scale", "0.5", "--resampling", "mean", "--alpha", "band")
    unseg("superpixels", path, *cut, "--workers", "1")
    sums = pixels.astype(int).reshape(4, 60, 2, 80, 2).sum(axis=(2, 4))
    halved = ((sums + 2) // 4).transpose(1, 2, 0)
    with store.open_artifact("superpixels.h5") as artifact:
        assert artifact.window_count == 3 * 4
        for row, (top, left) in enumerate((top, left) for top in (0, 20, 40) for left in (0, 20, 40, 60)):
            np.testing.assert_array_equal(artifact.read("images", row), halved[top : top + 20, left : left + 20])


# Tiles as one surface


def tiles(folder: Path, pixels: np.ndarray, **options: Any) -> list[Path]:
    """Four tiles that overlap by a few pixels."""
    folder.mkdir()
    found = []
    for number, (top, left) in enumerate([(0, 0), (0, 60), (40, 0), (40, 60)]):
        part = pixels[:, top : top + 50, left : left + 70]
        found.append(write(folder / f"t{number}.tif", part, transform=placed(left, top), **options))
    return found


def test_tiles_are_one_surface(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pixels = picture(4)
    files = tiles(Path("tiles"), pixels, photometric="RGB")  # GDAL calls the fourth band alpha
    unseg("superpixels", *files, "--mosaic", "--patch", "64", "--workers", "1", "-o", "m.h5")
    unseg("superpixels", write(Path("whole.tif"), pixels), "--patch", "64", "--workers", "1", "-o", "w.h5")
    with store.open_artifact("m.h5") as mosaic, store.open_artifact("w.h5") as whole:
        assert len(mosaic.table("windows/source")) == len(whole.table("windows/source"))
        for row in range(len(whole.table("windows/source"))):
            np.testing.assert_array_equal(mosaic.read("images", row), whole.read("images", row))
            np.testing.assert_array_equal(mosaic.read("superpixels", row), whole.read("superpixels", row))
        (source,), (other,) = stored_sources(mosaic), stored_sources(whole)
        assert source.name == "tiles-mosaic"
        assert source.place == other.place
        assert [member.digest for member in source.members] == [file_digest(file) for file in files]
        assert [member.box for member in source.members][3] == Box(40, 60, 50, 70)
        assert store.problems_of(mosaic) == []


@pytest.mark.parametrize(("left", "top", "hinted"), [(WIDTH, 0, True), (0, HEIGHT, True), (WIDTH + 9, 0, False)])
def test_tiles_side_by_side_are_pointed_out(
    left: int, top: int, hinted: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = [
        write(tmp_path / f"{name}.tif", picture(), transform=placed(*place))
        for name, place in (("a", (0, 0)), ("b", (left, top)))
    ]
    with caplog.at_level("INFO", "unseg"):
        opened(files, Images())
        assert ("--mosaic reads them as one" in caplog.text) == hinted
        caplog.clear()
        opened(files[:1], Images())
    assert "--mosaic" not in caplog.text


def test_bands_of_a_place_are_no_slices(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "unseg"):
        opened(write(tmp_path / "a.tif", picture(20), interleave="band"), Images())
    assert "slices" not in caplog.text


def test_where_no_tile_lies_is_void(tmp_path: Path) -> None:
    files = tiles(tmp_path / "tiles", picture(dtype="float32"), nodata=-1.0)
    windows = opened(files[1:], Images(mosaic=True, patch=1000)).units[0].windows()
    valid = np.ones((HEIGHT, WIDTH), bool)
    valid[:40, :60] = False
    np.testing.assert_array_equal(windows[0].valid, valid)


def test_without_stored_pixels_a_mosaic_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files = tiles(Path("tiles"), picture())
    for name, more in (("with", []), ("without", ["--no-pixels"])):
        unseg("superpixels", *files, "--mosaic", "--patch", "64", "--workers", "1", *more, "-o", f"{name}.h5")
        unseg("cluster", f"{name}.h5", "--classes", "3", "--workers", "1", "-o", f"{name}-seg.h5")
    with store.open_artifact("with-seg.h5") as one, store.open_artifact("without-seg.h5") as other:
        for row in range(len(one.table("windows/source"))):
            np.testing.assert_array_equal(one.read("segmentation", row), other.read("segmentation", row))
        assert len(stored_sources(other)[0].members) == 4
    Path("tiles").rename("elsewhere")
    line = one_line(unseg("cluster", "without.h5", "--classes", "3", "--seed", "1", "-o", "again.h5", expect=1))
    assert "t0.tif does not exist; give the folder of images with --images" in line
    unseg("cluster", "without.h5", "--classes", "3", "--workers", "1", "--images", "elsewhere", "-o", "again.h5")
    with store.open_artifact("without-seg.h5") as one, store.open_artifact("again.h5") as other:
        assert one.read("segmentation", 0).tobytes() == other.read("segmentation", 0).tobytes()
    for more, wanted in (([], False), (["--images", "elsewhere"], True)):
        said = unseg("visualize", "without-seg.h5", *more, "-o", f"page-{wanted}").stderr
        assert ("not shown" not in said) == wanted


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"crs": "EPSG:32632"}, "two coordinate systems: t0.tif has EPSG:32633, odd.tif has EPSG:32632"),
        ({"transform": placed(side=1)}, "two sizes of pixels: t0.tif has 0.5 x 0.5, odd.tif has 1 x 1"),
        ({"nodata": 7}, "two nodata values: t0.tif has none, odd.tif has 7"),
        ({"transform": placed(3.4)}, "odd.tif lies 0.40 pixels off the grid of t0.tif"),
        ({"crs": None, "transform": Affine.identity()}, "odd.tif: has no georeference"),
    ],
)
def test_tiles_that_do_not_fit_are_refused(options: dict[str, Any], said: str, tmp_path: Path) -> None:
    files = [*tiles(tmp_path / "tiles", picture()), write(tmp_path / "tiles" / "odd.tif", picture(), **options)]
    line = one_line(unseg("superpixels", *files, "--mosaic", "-o", tmp_path / "sp.h5", expect=1))
    assert said in line


def test_without_rasterio_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    rasters.is_installed.cache_clear()
    try:
        files = tiles(tmp_path / "tiles", picture())
        write(tmp_path / "a.jp2", picture(), driver="JP2OpenJPEG")
        output = ("-o", tmp_path / "sp.h5")
        assert "pip install '.[geo]'" in one_line(unseg("superpixels", *files, "--mosaic", *output, expect=2))
        assert "pip install '.[geo]'" in one_line(unseg("superpixels", tmp_path / "a.jp2", *output, expect=1))
        unseg("superpixels", files[0], "--workers", "1", *output)
    finally:
        rasters.is_installed.cache_clear()
