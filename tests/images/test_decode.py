"""Every format, band count, depth and orientation against arrays made here; and files that are broken."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from unsegcli.errors import ConfigError, DataError
from unsegcli.images import decode
from unsegcli.images.decode import orient, read_header, read_index, read_pixels


def noise(shape: tuple[int, ...], dtype: str = "uint8", seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.normal(size=shape).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)


def smooth(height: int = 24, width: int = 40) -> np.ndarray:
    """An image that lossy formats keep to a few levels."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows * 4 + 60, columns * 3 + 40, rows * 2 + columns * 2], axis=2).astype(np.uint8)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def raw_png(size: tuple[int, int], depth: int, colour: int, raw: bytes, *extra: bytes) -> bytes:
    """A PNG file by hand: `raw` holds the filter bytes, too."""
    start = chunk(b"IHDR", struct.pack(">IIBBBBB", size[1], size[0], depth, colour, 0, 0, 0))
    end = chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + start + b"".join(extra) + end


def agree(path: Path, page: int = 0, axes: str = "auto") -> np.ndarray:
    """Decode, and demand that the header said the same before."""
    header = read_header(path, axes)
    decoded = read_pixels(path, page, axes)
    assert decoded.pixels.shape == (*header.oriented, header.bands)
    assert decoded.pixels.dtype == np.dtype(header.dtype)
    assert decoded.pixels.dtype.isnative
    assert (decoded.orientation, decoded.nodata) == (header.orientation, header.nodata)
    return decoded.pixels


# PNG


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize(("bands", "layout"), [(1, "grey"), (2, "grey+alpha"), (3, "rgb"), (4, "rgb+alpha")])
def test_png_keeps_all_bits_of_all_bands(tmp_path: Path, dtype: str, bands: int, layout: str) -> None:
    expected = noise((7, 5, bands), dtype)
    path = tmp_path / "a.png"
    path.write_bytes(imagecodecs.png_encode(expected[:, :, 0] if bands == 1 else expected))
    np.testing.assert_array_equal(agree(path), expected)
    header = read_header(path)
    assert (header.layout, header.pages, header.height, header.width) == (layout, 1, 7, 5)
    np.testing.assert_array_equal(np.atleast_3d(read_index(path)), expected)


ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def in_passes(pixels: np.ndarray) -> bytes:
    """The rows of an interlaced PNG: first row and column of each pass, and the steps between rows and columns."""
    passes = [pixels[top::down, left::across] for top, left, down, across in ADAM7]
    return b"".join(b"\0" + row.tobytes() for one in passes for row in one)


def plain_pngs() -> dict[str, bytes]:
    """Files whose decoder is libspng, with all that a decoder might act upon."""
    rgb, rgba = noise((9, 11, 3)), noise((9, 11, 4))
    rows = b"".join(b"\0" + row.tobytes() for row in rgb)
    interlaced = bytearray(raw_png((9, 11), 8, 2, in_passes(rgb)))
    interlaced[28] = 1
    interlaced[29:33] = struct.pack(">I", zlib.crc32(interlaced[12:29]))
    return {
        "rgb": imagecodecs.png_encode(rgb),
        "rgba": imagecodecs.png_encode(rgba),
        "interlaced": bytes(interlaced),
        "gamma": raw_png((9, 11), 8, 2, rows, chunk(b"gAMA", struct.pack(">I", 220000))),
        "background": raw_png((9, 11), 8, 2, rows, chunk(b"bKGD", struct.pack(">HHH", 1, 2, 3))),
        "bits": raw_png((9, 11), 8, 2, rows, chunk(b"sBIT", b"\5\5\5")),
        "transparent colour": raw_png((9, 11), 8, 2, rows, chunk(b"tRNS", struct.pack(">HHH", *rgb[0, 0].tolist()))),
    }


def outcome_of(path: Path) -> np.ndarray | str:
    try:
        return read_pixels(path).pixels
    except DataError as error:
        return str(error)


@pytest.mark.parametrize("name", plain_pngs())
def test_quick_decoding_of_png_gives_what_pillow_gives(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Also of damaged files: the same pixels, or the same complaint, and no word of the decoder."""
    content, rng = plain_pngs()[name], np.random.default_rng(1)
    damaged = [content, content[:-1], content[:-12], content[:-30], content[: len(content) // 2], content + b"more"]
    for place in rng.integers(0, len(content), 60):
        damaged.append(content[:place] + bytes([content[place] ^ 1 << int(rng.integers(8))]) + content[place + 1 :])
    quick, pillow = [], []
    path = tmp_path / "a.png"
    for one in damaged:
        path.write_bytes(one)
        quick.append(outcome_of(path))
        with monkeypatch.context() as patch:
            patch.setattr(decode, "_quickly", lambda path: None)
            pillow.append(outcome_of(path))
    assert isinstance(quick[0], np.ndarray)
    for one, other in zip(quick, pillow, strict=True):
        np.testing.assert_array_equal(one, other)
    assert capfd.readouterr() == ("", "")


def test_plain_png_is_not_decoded_by_pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "_by_pillow", None)
    for name, content in plain_pngs().items():
        (tmp_path / "a.png").write_bytes(content)
        if name != "transparent colour":
            read_pixels(tmp_path / "a.png")


def test_png_of_one_bit(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(raw_png((1, 3), 1, 0, b"\0\xa0"))
    assert agree(path)[:, :, 0].tolist() == [[255, 0, 255]]
    assert read_index(path).tolist() == [[1, 0, 1]]
    assert read_index(path).dtype == np.uint8


@pytest.mark.parametrize(
    ("depth", "raw", "stored", "factor"), [(2, b"\0\x1b", [0, 1, 2], 85), (4, b"\0\x3c\xf0", [3, 12, 15], 17)]
)
def test_png_of_few_bits_of_grey(tmp_path: Path, depth: int, raw: bytes, stored: list[int], factor: int) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(raw_png((1, 3), depth, 0, raw))
    assert agree(path)[0, :, 0].tolist() == [value * factor for value in stored]
    assert read_index(path)[0].tolist() == stored


def test_palette_gives_colours_as_a_image_and_numbers_as_labels(tmp_path: Path) -> None:
    index = np.array([[0, 1, 2], [2, 1, 0]], dtype=np.uint8)
    image = Image.fromarray(index)
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    image.save(tmp_path / "a.png")
    colours = np.array([[10, 20, 30], [40, 50, 60], [70, 80, 90]], dtype=np.uint8)
    np.testing.assert_array_equal(agree(tmp_path / "a.png"), colours[index])
    np.testing.assert_array_equal(read_index(tmp_path / "a.png"), index)
    image.save(tmp_path / "b.png", transparency=1)
    pixels = agree(tmp_path / "b.png")
    assert pixels[:, :, 3].tolist() == [[255, 0, 255], [255, 0, 255]]
    assert read_header(tmp_path / "b.png").layout == "rgb+alpha"


def test_transparent_grey_of_16_bits(tmp_path: Path) -> None:
    raw = b"\0" + struct.pack(">3H", 1, 2, 65535)
    path = tmp_path / "a.png"
    path.write_bytes(raw_png((1, 3), 16, 0, raw, chunk(b"tRNS", struct.pack(">H", 2))))
    assert agree(path).tolist() == [[[1, 65535], [2, 0], [65535, 65535]]]


def test_png_orientation_is_found_before_and_after_the_pixels(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    exif_chunk = chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
    data = raw_png((1, 2), 8, 0, b"\0\x05\x09")
    for place in (33, len(data) - 12):
        path = tmp_path / f"{place}.png"
        path.write_bytes(data[:place] + exif_chunk + data[place:])
        assert agree(path)[:, :, 0].tolist() == [[5], [9]]
        assert read_header(path).orientation == 6
        assert read_index(path).tolist() == [[5, 9]]


# orientation, by hand: what the image 1 2 3 / 4 5 6 becomes

UPRIGHT = {
    1: [[1, 2, 3], [4, 5, 6]],
    2: [[3, 2, 1], [6, 5, 4]],
    3: [[6, 5, 4], [3, 2, 1]],
    4: [[4, 5, 6], [1, 2, 3]],
    5: [[1, 4], [2, 5], [3, 6]],
    6: [[4, 1], [5, 2], [6, 3]],
    7: [[6, 3], [5, 2], [4, 1]],
    8: [[3, 6], [2, 5], [1, 4]],
}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_by_hand(tmp_path: Path, orientation: int) -> None:
    stored = np.array(UPRIGHT[1], dtype=np.uint8)
    assert orient(stored, orientation).tolist() == UPRIGHT[orientation]
    tifffile.imwrite(tmp_path / "a.tif", stored, extratags=[(274, 3, 1, orientation, True)])
    assert agree(tmp_path / "a.tif")[:, :, 0].tolist() == UPRIGHT[orientation]
    assert read_index(tmp_path / "a.tif").tolist() == UPRIGHT[1]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "webp", "png"])
def test_exif_orientation_turns_as_pillow_does(tmp_path: Path, suffix: str, orientation: int) -> None:
    from PIL import ImageOps

    exif = Image.Exif()
    exif[274] = orientation
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(smooth()).save(path, exif=exif)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    np.testing.assert_array_equal(agree(path), expected)
    assert read_index(path).shape == (24, 40, 3)


@pytest.mark.parametrize("orientation", [0, 9, 77])
def test_nonsense_orientation_is_upright(tmp_path: Path, orientation: int) -> None:
    tifffile.imwrite(tmp_path / "a.tif", noise((3, 4)), extratags=[(274, 3, 1, orientation, True)])
    assert read_header(tmp_path / "a.tif").orientation == 1


# JPEG, BMP, WebP, GIF


@pytest.mark.parametrize("suffix", ["jpg", "bmp", "webp"])
def test_colours_of_common_formats(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(smooth()).save(path, quality=100)
    tolerance = 0 if suffix == "bmp" else 6
    np.testing.assert_allclose(agree(path).astype(int), smooth().astype(int), atol=tolerance)


def test_grey_jpeg_keeps_one_band(tmp_path: Path) -> None:
    Image.fromarray(smooth()[:, :, 0]).save(tmp_path / "a.jpg", quality=100)
    assert agree(tmp_path / "a.jpg").shape == (24, 40, 1)


def test_cmyk_jpeg_becomes_colours(tmp_path: Path) -> None:
    Image.fromarray(smooth()).convert("CMYK").save(tmp_path / "a.jpg", quality=100)
    with Image.open(tmp_path / "a.jpg") as image:
        assert image.mode == "CMYK"
    np.testing.assert_allclose(agree(tmp_path / "a.jpg").astype(int), smooth().astype(int), atol=6)


def test_lossless_webp_with_alpha_and_first_frame(tmp_path: Path) -> None:
    rgba = noise((6, 8, 4))
    rgba[:, :, 3] |= 1  # colours under full transparency are not kept
    first, second = Image.fromarray(rgba), Image.fromarray(255 - rgba)
    first.save(tmp_path / "a.webp", lossless=True, exact=True)
    np.testing.assert_array_equal(agree(tmp_path / "a.webp"), rgba)
    first.save(tmp_path / "b.webp", lossless=True, exact=True, save_all=True, append_images=[second])
    np.testing.assert_array_equal(agree(tmp_path / "b.webp"), rgba)


def test_first_frame_of_a_gif(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 3), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert agree(tmp_path / "a.gif")[0, 0].tolist()[:3] == [255, 0, 0]


def test_format_is_told_by_content(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(imagecodecs.png_encode(noise((3, 4, 3), "uint16")))
    np.testing.assert_array_equal(agree(tmp_path / "a.jpg"), noise((3, 4, 3), "uint16"))


# TIFF


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32", "int64", "float16", "float32", "float64"])
@pytest.mark.parametrize("bands", [1, 2, 3, 4, 5, 13])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_tiff_bands_and_types(tmp_path: Path, dtype: str, bands: int, planar: str) -> None:
    expected = noise((9, 6, bands), dtype)
    stored = expected if planar == "contig" else expected.transpose(2, 0, 1)
    if bands == 1:
        stored = expected[:, :, 0]
    kind = {"photometric": "minisblack"} | ({"planarconfig": planar} if bands > 1 else {})
    tifffile.imwrite(tmp_path / "a.tif", stored, byteorder=">", **kind)
    np.testing.assert_array_equal(agree(tmp_path / "a.tif"), expected)
    assert read_header(tmp_path / "a.tif").pages == 1


@pytest.mark.parametrize("compression", [None, "lzw", "zlib", "packbits", "zstd", "lzma"])
@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_tiff_compressions(tmp_path: Path, compression: str | None, tile: tuple[int, int] | None) -> None:
    expected = noise((37, 21, 3), "uint16")
    options = {"predictor": 2} if compression in ("lzw", "zlib") else {}
    tifffile.imwrite(tmp_path / "a.tif", expected, photometric="rgb", compression=compression, tile=tile, **options)
    np.testing.assert_array_equal(agree(tmp_path / "a.tif"), expected)
    assert read_header(tmp_path / "a.tif").layout == "rgb"


def test_tiff_jpeg_compression_gives_rgb(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", smooth(32, 48), photometric="rgb", compression="jpeg")
    np.testing.assert_allclose(agree(tmp_path / "a.tif").astype(int), smooth(32, 48).astype(int), atol=12)


def test_tiff_alpha_is_declared_by_the_file(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", noise((4, 5, 4)), photometric="rgb", extrasamples=["unassalpha"])
    tifffile.imwrite(tmp_path / "b.tif", noise((4, 5, 4)), photometric="rgb", extrasamples=["unspecified"])
    tifffile.imwrite(tmp_path / "c.tif", noise((4, 5, 4)), photometric="minisblack", planarconfig="contig")
    layouts = [read_header(tmp_path / f"{name}.tif").layout for name in "abc"]
    assert layouts == ["rgb+alpha", "bands", "bands"]


def test_tiff_palette(tmp_path: Path) -> None:
    index = noise((5, 6)) % 3
    colormap = np.zeros((3, 256), dtype=np.uint16)
    colormap[:, :3] = np.array([[10, 40, 70], [20, 50, 80], [30, 60, 90]]) * 257
    tifffile.imwrite(tmp_path / "a.tif", index, photometric="palette", colormap=colormap)
    colours = np.array([[10, 20, 30], [40, 50, 60], [70, 80, 90]], dtype=np.uint8)
    np.testing.assert_array_equal(agree(tmp_path / "a.tif"), colours[index])
    np.testing.assert_array_equal(read_index(tmp_path / "a.tif"), index)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_tiff_where_zero_is_white(tmp_path: Path, dtype: str) -> None:
    stored = noise((4, 5), dtype)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="miniswhite")
    np.testing.assert_array_equal(agree(tmp_path / "a.tif")[:, :, 0], np.iinfo(dtype).max - stored)
    np.testing.assert_array_equal(read_index(tmp_path / "a.tif"), stored)


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_tiff_of_one_bit(tmp_path: Path, photometric: str) -> None:
    white = noise((5, 9)) % 2 == 1
    stored = white if photometric == "minisblack" else ~white
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric=photometric)
    np.testing.assert_array_equal(agree(tmp_path / "a.tif")[:, :, 0], white * 255)
    np.testing.assert_array_equal(read_index(tmp_path / "a.tif"), white)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_tiff_inks(tmp_path: Path, dtype: str) -> None:
    full = np.iinfo(dtype).max
    inks = np.array([[[0, 0, 0, 0], [full, 0, 0, 0], [0, 0, 0, full], [0, full, full, 0]]], dtype=dtype)
    tifffile.imwrite(tmp_path / "a.tif", inks, photometric="separated")
    pixels = agree(tmp_path / "a.tif")
    assert (pixels // full).tolist() == [[[1, 1, 1], [0, 1, 1], [0, 0, 0], [1, 0, 0]]]


def test_tiff_nodata_tag(tmp_path: Path) -> None:
    for name, text in (("a", "-9999"), ("b", "nan"), ("c", "rubbish"), ("d", "1e+20 ")):
        tag = [(42113, "s", 0, text, True)]
        tifffile.imwrite(tmp_path / f"{name}.tif", noise((3, 4), "float32"), extratags=tag)
    assert [read_header(tmp_path / f"{name}.tif").nodata for name in "abcd"] == [-9999.0, None, None, 1e20]


def test_tiff_pages_are_images_unless_axes_say_otherwise(tmp_path: Path) -> None:
    stack = noise((3, 4, 5), "uint16")
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack")
    assert read_header(tmp_path / "a.tif").pages == 3
    for page in range(3):
        np.testing.assert_array_equal(agree(tmp_path / "a.tif", page)[:, :, 0], stack[page])
        np.testing.assert_array_equal(read_index(tmp_path / "a.tif", page), stack[page])
    assert read_header(tmp_path / "a.tif", "cyx").pages == 1
    np.testing.assert_array_equal(agree(tmp_path / "a.tif", 0, "cyx"), stack.transpose(1, 2, 0))
    np.testing.assert_array_equal(agree(tmp_path / "a.tif", 2, "ypx")[:, :, 0], stack[:, 2])


def test_tiff_pages_of_colours(tmp_path: Path) -> None:
    stack = noise((3, 4, 5, 3))
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="rgb", compression="zlib")
    for page in range(3):
        np.testing.assert_array_equal(agree(tmp_path / "a.tif", page), stack[page])


@pytest.mark.parametrize("options", [{"imagej": True}, {"ome": True}])
def test_tiff_channels_and_slices_of_microscopes(tmp_path: Path, options: dict[str, bool]) -> None:
    stack = noise((3, 2, 6, 7), "uint16")
    name = "a.ome.tif" if "ome" in options else "a.tif"
    tifffile.imwrite(tmp_path / name, stack, metadata={"axes": "ZCYX"}, photometric="minisblack", **options)
    assert read_header(tmp_path / name).pages == 3
    for page in range(3):
        np.testing.assert_array_equal(agree(tmp_path / name, page), stack[page].transpose(1, 2, 0))


def test_tiff_overviews_and_pages_of_other_sizes_are_left_out(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(noise((8, 8, 3)), photometric="rgb", subifds=0)
        tiff.write(noise((4, 4, 3)), photometric="rgb", subfiletype=1)
        tiff.write(noise((5, 6, 3)), photometric="rgb")
    header = read_header(tmp_path / "a.tif")
    assert (header.pages, header.height, header.left_out) == (1, 8, 1)
    np.testing.assert_array_equal(agree(tmp_path / "a.tif"), noise((8, 8, 3)))


# NPY


@pytest.mark.parametrize("dtype", ["uint8", "<u2", ">u2", "int32", "float32", ">f8"])
def test_npy_channel_first_and_last(tmp_path: Path, dtype: str) -> None:
    expected = noise((6, 7, 4), np.dtype(dtype).name).astype(dtype)
    np.save(tmp_path / "last.npy", expected)
    np.save(tmp_path / "first.npy", np.asfortranarray(expected.transpose(2, 0, 1)))
    for name in ("last", "first"):
        np.testing.assert_array_equal(agree(tmp_path / f"{name}.npy"), expected)
    np.save(tmp_path / "grey.npy", expected[:, :, 0])
    assert agree(tmp_path / "grey.npy").shape == (6, 7, 1)


def test_npy_axes(tmp_path: Path) -> None:
    cube = noise((5, 6, 5))
    np.save(tmp_path / "a.npy", cube)
    with pytest.raises(DataError, match="--axes"):
        read_header(tmp_path / "a.npy")
    np.testing.assert_array_equal(agree(tmp_path / "a.npy", 0, "xyc"), cube.transpose(1, 0, 2))
    np.testing.assert_array_equal(agree(tmp_path / "a.npy", 3, "yxp")[:, :, 0], cube[:, :, 3])
    four = noise((2, 3, 5, 6))
    np.save(tmp_path / "b.npy", four)
    with pytest.raises(DataError, match="--axes"):
        read_header(tmp_path / "b.npy")
    np.testing.assert_array_equal(agree(tmp_path / "b.npy", 1, "pcyx"), four[1].transpose(1, 2, 0))
    with pytest.raises(DataError, match=r"4 axes.*cyx names 3"):
        read_header(tmp_path / "b.npy", "cyx")


def test_npy_truth_values(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([[True, False]]))
    assert agree(tmp_path / "a.npy").ravel().tolist() == [255, 0]
    assert read_index(tmp_path / "a.npy").tolist() == [[1, 0]]


@pytest.mark.parametrize("axes", ["yyx", "yc", "", "zyx", "YX"])
def test_axes_that_make_no_sense(tmp_path: Path, axes: str) -> None:
    np.save(tmp_path / "a.npy", noise((3, 4)))
    with pytest.raises(ConfigError, match="--axes"):
        read_header(tmp_path / "a.npy", axes)


# what is refused


@pytest.mark.parametrize(
    "array",
    [np.array([[{}, None]], dtype=object), np.zeros((2, 2), "complex64"), np.zeros((2, 2), "U3"), np.zeros((0, 4))],
    ids=["objects", "complex", "text", "empty"],
)
def test_npy_of_no_numbers_is_refused(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(DataError, match=r"a\.npy"):
        read_pixels(tmp_path / "a.npy")


def test_complex_tiff_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((3, 4), "complex64"))
    with pytest.raises(DataError, match="complex64"):
        read_header(tmp_path / "a.tif")


def bombs() -> dict[str, bytes]:
    """Files of a few bytes that claim 70000 x 70000 pixels."""
    bmp = b"BM" + struct.pack("<IHHI", 60, 0, 0, 54)
    bmp += struct.pack("<IiiHHIIiiII", 40, 70000, 70000, 1, 24, 0, 0, 1, 1, 0, 0) + bytes(6)
    return {"big.png": raw_png((70000, 70000), 8, 2, bytes(100)), "big.bmp": bmp, "big.tif": tiff_bomb()}


def tiff_bomb() -> bytes:
    tags = [(256, 4, 70000), (257, 4, 70000), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1)]
    tags += [(278, 4, 70000), (279, 4, 8)]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return b"II*\0" + struct.pack("<I", 16) + bytes(8) + struct.pack("<H", len(tags)) + entries + bytes(4)


@pytest.mark.parametrize("name", bombs())
def test_bombs_are_refused_by_their_header(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(bombs()[name])
    for read in (read_pixels, read_index):
        with pytest.raises(DataError) as caught:
            read(tmp_path / name)
        assert str(caught.value) == (
            f"{tmp_path / name}: 70000 x 70000 = 4,900 million pixels is over the limit of 200 million: "
            "raise --max-pixels to read it"
        )
    assert read_header(tmp_path / name).height == 70000


def test_limit_can_be_raised_and_counts_bands(tmp_path: Path) -> None:
    Image.fromarray(noise((20, 30))).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"20 x 30 = 0\.0006 million pixels is over the limit of 0\.000599 million"):
        read_pixels(tmp_path / "a.png", max_pixels=599)
    assert read_pixels(tmp_path / "a.png", max_pixels=600).pixels.shape == (20, 30, 1)
    np.save(tmp_path / "a.npy", noise((30, 20, 17)))
    with pytest.raises(DataError, match="samples"):
        read_pixels(tmp_path / "a.npy", axes="yxc", max_pixels=600)


def test_pillow_keeps_its_own_limit(tmp_path: Path) -> None:
    before = Image.MAX_IMAGE_PIXELS
    Image.fromarray(noise((20, 30))).save(tmp_path / "a.png")
    read_pixels(tmp_path / "a.png")
    assert before == Image.MAX_IMAGE_PIXELS


def test_page_that_is_not_there(tmp_path: Path) -> None:
    Image.fromarray(noise((20, 30))).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="page 1"):
        read_pixels(tmp_path / "a.png", page=1)


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"%PDF-1.7 and so on", b"\x89PNG\r\n\x1a\n", b"II*\0", b"\x93NUMPY"]
)
def test_what_is_no_image(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    for read in (read_header, read_pixels, read_index):
        with pytest.raises(DataError) as caught:
            read(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)


def test_no_such_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_header(tmp_path / "a.png")
    with pytest.raises(DataError, match="directory"):
        read_header(tmp_path)


def samples() -> dict[str, bytes]:
    """One good file of each format."""
    files: dict[str, bytes] = {"deep.png": imagecodecs.png_encode(noise((24, 40, 3), "uint16"))}
    for suffix in ("png", "jpg", "bmp", "webp", "gif"):
        stream = io.BytesIO()
        Image.fromarray(noise((24, 40, 3))).save(stream, {"jpg": "jpeg"}.get(suffix, suffix))
        files[f"a.{suffix}"] = stream.getvalue()
    for compression in (None, "lzw", "zlib", "jpeg", "zstd", "packbits"):
        stream = io.BytesIO()
        tifffile.imwrite(stream, noise((24, 40, 3)), photometric="rgb", compression=compression)
        files[f"{compression}.tif"] = stream.getvalue()
    stream = io.BytesIO()
    np.save(stream, noise((24, 40, 3)))
    return files | {"a.npy": stream.getvalue()}


@pytest.mark.parametrize("name", samples())
def test_a_file_cut_short_is_named(tmp_path: Path, name: str) -> None:
    data = samples()[name]
    path = tmp_path / name
    for share in (0.1, 0.5, 0.9):
        path.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(DataError) as caught:
            read_pixels(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", samples())
def test_damage_is_a_data_error_or_nothing(tmp_path: Path, name: str) -> None:
    data = samples()[name]
    path = tmp_path / name
    rng = np.random.default_rng(5)
    for trial in range(60):
        damaged = bytearray(data)
        last = len(data) if trial % 2 else min(len(data), 200)
        for place in rng.integers(0, last, 3):
            damaged[place] = int(rng.integers(256))
        path.write_bytes(damaged)
        for read in (read_pixels, read_index):
            complaint = complaint_of(read, path)
            assert complaint is None or (complaint.startswith(f"{path}: ") and "\n" not in complaint)


def complaint_of(read: Callable[..., object], path: Path) -> str | None:
    try:
        read(path, max_pixels=10_000)
    except DataError as error:
        return str(error)
    return None
