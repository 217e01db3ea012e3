"""Legends, label files of every kind, and the matching of label files to images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from scipy.io import savemat

from unsegcli import labels
from unsegcli.errors import ConfigError, DataError
from unsegcli.images import mat_files
from unsegcli.labels import find_labels, match_labels, read_labels
from unsegcli.legend import IGNORED, Legend, LegendClass

NUMBERS = Legend(
    ignore=(255,),
    classes=(LegendClass("ground", None, (3, 1)), LegendClass("sky", (0, 0, 255), (0,))),
)
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
COLORS = Legend(
    ignore=(WHITE,),
    classes=(LegendClass("tree", None, (GREEN,)), LegendClass("rest", None, (RED, BLUE))),
)


def save_png(path: Path, pixels: NDArray[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def inside(folder: Path, matched: list[Path]) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in matched]


# Finding


def test_labels_beside_images_are_found(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    assert find_labels(tmp_path / "images") is None
    (tmp_path / "labels").mkdir()
    for folder in (tmp_path, tmp_path / "images", tmp_path / "labels" / ".." / "images"):
        assert find_labels(folder) == tmp_path / "labels"


# Reading numbers


def test_labels_of_a_split_are_those_of_its_name(tmp_path: Path) -> None:
    """Both splits may have images of one name."""
    for folder in ("images/train/a", "images/val", "labels/val", "photos"):
        (tmp_path / folder).mkdir(parents=True)
    assert find_labels(tmp_path / "images/val") == tmp_path / "labels/val"
    assert find_labels(tmp_path / "images/train/a") == tmp_path / "labels"
    (tmp_path / "labels/train/a").mkdir(parents=True)
    assert find_labels(tmp_path / "images/train/a") == tmp_path / "labels/train/a"
    assert find_labels(tmp_path / "images") == find_labels(tmp_path / "photos") == tmp_path / "labels"
    assert find_labels(tmp_path / "photos/2024") is None
    (tmp_path / "images/labels").mkdir()
    assert find_labels(tmp_path / "images/val") == tmp_path / "images/labels"  # what lies next to it goes first


def test_without_a_legend_values_mean_themselves(tmp_path: Path) -> None:
    path = save_png(tmp_path / "x.png", np.array([[0, 255, 7]], dtype=np.uint8))
    (plain,) = read_labels(path)
    assert plain.tolist() == [[0, 255, 7]]
    assert plain.dtype == np.int32
    (some_ignored,) = read_labels(path, ignore=(255, 300))
    assert some_ignored.tolist() == [[0, IGNORED, 7]]


def test_legend_merges_and_ignores(tmp_path: Path) -> None:
    path = save_png(tmp_path / "x.png", np.array([[0, 1], [255, 3]], dtype=np.uint8))
    (numbers,) = read_labels(path, NUMBERS)
    assert numbers.tolist() == [[1, 0], [IGNORED, 0]]
    assert numbers.dtype == np.int16
    (fewer,) = read_labels(path, NUMBERS, ignore=(1,))
    assert fewer.tolist() == [[1, IGNORED], [IGNORED, 0]]


def test_values_that_the_legend_does_not_name_are_listed(tmp_path: Path) -> None:
    path = save_png(tmp_path / "x.png", np.arange(14, dtype=np.uint8).reshape(2, 7))
    with pytest.raises(
        DataError, match=r"hold 2, 4, 5, 6, 7, 8, 9, 10, 11, 12 and 1 more, missing from the legend"
    ) as caught:
        read_labels(path, NUMBERS)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("dtype", ["uint16", "int32", "int64"])
@pytest.mark.parametrize("stranger", [2, 254, 256, 30000])
def test_one_value_in_a_thousand_that_is_not_named(tmp_path: Path, dtype: str, stranger: int) -> None:
    values = np.zeros((40, 25), dtype=dtype)
    values[39, 24] = stranger
    np.save(tmp_path / "x.npy", values)
    with pytest.raises(DataError, match=f"hold {stranger}, missing from the legend"):
        read_labels(tmp_path / "x.npy", NUMBERS)


def test_large_maps_are_looked_up_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels, "BLOCK", 10)
    values = np.random.default_rng(0).choice([0, 1, 3, 255], size=(11, 4)).astype(np.int32)
    np.save(tmp_path / "x.npy", values)
    expected = np.select([values == 255, values == 0], [IGNORED, 1], 0)
    assert np.array_equal(read_labels(tmp_path / "x.npy", NUMBERS)[0], expected)


@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "uint16", "int16", "int32", "uint32", "int64", "uint64", ">i4", ">u2"]
)
def test_every_integer_type(tmp_path: Path, dtype: str) -> None:
    top = min(np.iinfo(dtype).max, 2**62 + 1)
    legend = Legend((top,), (LegendClass("a", None, (5,)), LegendClass("b", None, (-3, top - 1))))
    np.save(tmp_path / "x.npy", np.array([[5, top - 1, top], [5, 5, top]], dtype=dtype))
    (numbers,) = read_labels(tmp_path / "x.npy", legend)
    assert numbers.tolist() == [[0, 1, IGNORED], [0, 0, IGNORED]]


def test_negative_values(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([[-1, 0, 3]], dtype=np.int8))
    with pytest.raises(DataError, match="the value -1"):
        read_labels(tmp_path / "x.npy")
    assert read_labels(tmp_path / "x.npy", ignore=(-1,))[0].tolist() == [[IGNORED, 0, 3]]
    legend = Legend((0,), (LegendClass("a", None, (3,)), LegendClass("b", None, (-1,))))
    assert read_labels(tmp_path / "x.npy", legend)[0].tolist() == [[1, IGNORED, 0]]


@pytest.mark.parametrize("value", [2**31, 2**63])
def test_values_too_large_without_a_legend(tmp_path: Path, value: int) -> None:
    np.save(tmp_path / "x.npy", np.array([[0, value]], dtype=np.uint64))
    with pytest.raises(DataError, match=str(value)):
        read_labels(tmp_path / "x.npy")


@settings(max_examples=30)
@given(
    data=st.data(),
    dtype=st.sampled_from(["uint8", "int16", "uint16", "int32", "int64"]),
    classes=st.integers(1, 6),
)
def test_lookup_is_what_a_loop_over_pixels_gives(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, dtype: str, classes: int
) -> None:
    limits = np.iinfo(dtype)
    values = data.draw(
        st.lists(st.integers(int(limits.min), int(limits.max)), min_size=classes, max_size=12, unique=True)
    )
    members: list[list[int]] = [[value] for value in values[:classes]]
    ignored = []
    for value in values[classes:]:
        place = data.draw(st.integers(0, classes))
        (ignored if place == classes else members[place]).append(value)
    legend = Legend(tuple(ignored), tuple(LegendClass(str(n), None, tuple(own)) for n, own in enumerate(members)))
    flat = data.draw(st.lists(st.sampled_from(values), min_size=6, max_size=6))
    path = tmp_path_factory.mktemp("lookup") / "x.npy"
    np.save(path, np.array(flat, dtype=dtype).reshape(2, 3))
    expected = [next((n for n, own in enumerate(members) if value in own), IGNORED) for value in flat]
    assert read_labels(path, legend)[0].ravel().tolist() == expected


def test_floats_are_read_if_they_are_whole(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([[0.0, np.nan], [3.0, 255.0]], dtype=np.float32))
    assert read_labels(tmp_path / "x.npy", NUMBERS)[0].tolist() == [[1, IGNORED], [0, IGNORED]]
    assert read_labels(tmp_path / "x.npy")[0].tolist() == [[0, IGNORED], [3, 255]]


@pytest.mark.parametrize("bad", [1.5, np.inf, 1e300])
def test_other_floats_are_no_labels(tmp_path: Path, bad: float) -> None:
    np.save(tmp_path / "x.npy", np.array([[0.0, bad]]))
    with pytest.raises(DataError, match="integers"):
        read_labels(tmp_path / "x.npy")


def test_true_and_false_are_one_and_zero(tmp_path: Path) -> None:
    mask = np.array([[True, False, True]])
    np.save(tmp_path / "x.npy", mask)
    Image.fromarray(mask).save(tmp_path / "x.png")
    for name in ("x.npy", "x.png"):
        assert read_labels(tmp_path / name)[0].tolist() == [[1, 0, 1]]


def test_pages_and_16_bits_of_a_tiff(tmp_path: Path) -> None:
    stack = np.arange(24, dtype=np.uint16).reshape(2, 3, 4) + 1000
    tifffile.imwrite(tmp_path / "x.tif", stack, photometric="minisblack")
    assert np.array_equal(read_labels(tmp_path / "x.tif", page=1)[0], stack[1])
    Image.fromarray(stack[0]).save(tmp_path / "x.png")
    assert np.array_equal(read_labels(tmp_path / "x.png")[0], stack[0])
    with pytest.raises(DataError, match="page 2"):
        read_labels(tmp_path / "x.tif", page=2)


# Reading colours


def rgb(*colors: tuple[int, ...]) -> NDArray[np.uint8]:
    return np.array([colors], dtype=np.uint8)


def test_colours_by_legend(tmp_path: Path) -> None:
    pixels = rgb(RED, GREEN, BLUE, WHITE)
    save_png(tmp_path / "x.png", pixels)
    np.save(tmp_path / "x.npy", np.concatenate([pixels] * 5))
    tifffile.imwrite(tmp_path / "x.tif", np.concatenate([pixels] * 5), photometric="rgb")
    for name in ("x.png", "x.npy", "x.tif"):
        (numbers,) = read_labels(tmp_path / name, COLORS)
        assert numbers[0].tolist() == [1, 0, 1, IGNORED]


def test_colours_that_the_legend_does_not_name(tmp_path: Path) -> None:
    path = save_png(tmp_path / "x.png", rgb(RED, (1, 2, 3), (1, 2, 254)))
    with pytest.raises(DataError, match="hold #010203, #0102fe, missing from the legend"):
        read_labels(path, COLORS)


@pytest.mark.parametrize("legend", [None, NUMBERS])
def test_colours_without_a_legend_of_colours(tmp_path: Path, legend: Legend | None) -> None:
    path = save_png(tmp_path / "x.png", rgb(RED, GREEN))
    with pytest.raises(DataError, match=r"colours, not numbers.* legend.* #00ff00, #ff0000"):
        read_labels(path, legend)


def test_three_equal_bands_are_numbers(tmp_path: Path) -> None:
    path = save_png(tmp_path / "x.png", rgb((3, 3, 3), (0, 0, 0)))
    assert read_labels(path, NUMBERS)[0].tolist() == [[0, 1]]
    assert read_labels(path)[0].tolist() == [[3, 0]]


def save_palette(path: Path, **options: Any) -> Path:
    image = Image.frombytes("P", (3, 1), bytes([0, 1, 3]))
    image.putpalette([*RED, *GREEN, *(9, 9, 9), *WHITE])
    image.save(path, **options)
    return path


def test_a_palette_is_read_by_index_or_by_colour(tmp_path: Path) -> None:
    path = save_palette(tmp_path / "x.png")
    assert read_labels(path)[0].tolist() == [[0, 1, 3]]
    assert read_labels(path, NUMBERS)[0].tolist() == [[1, 0, 0]]
    assert read_labels(path, COLORS)[0].tolist() == [[1, 0, IGNORED]]


def test_a_transparent_palette_entry_is_ignored_with_colours_only(tmp_path: Path) -> None:
    path = save_palette(tmp_path / "x.png", transparency=0)
    assert read_labels(path, NUMBERS)[0].tolist() == [[1, 0, 0]]
    assert read_labels(path, COLORS)[0].tolist() == [[IGNORED, 0, IGNORED]]


def test_colours_stored_as_grey_or_black_and_white(tmp_path: Path) -> None:
    legend = Legend((), (LegendClass("no", None, ((0, 0, 0),)), LegendClass("yes", None, (WHITE,))))
    save_png(tmp_path / "grey.png", np.array([[0, 255]], dtype=np.uint8))
    save_png(tmp_path / "bits.png", np.array([[False, True]]))
    for name in ("grey.png", "bits.png"):
        assert read_labels(tmp_path / name, legend)[0].tolist() == [[0, 1]]


def test_transparent_pixels_are_ignored_and_half_transparent_ones_refused(tmp_path: Path) -> None:
    path = save_png(tmp_path / "x.png", rgb((*RED, 255), (*GREEN, 255), (7, 7, 7, 0)))
    assert read_labels(path, COLORS)[0].tolist() == [[1, 0, IGNORED]]
    path = save_png(tmp_path / "opaque.png", rgb((*RED, 255), (*GREEN, 255)))
    assert read_labels(path, COLORS)[0].tolist() == [[1, 0]]
    path = save_png(tmp_path / "half.png", rgb((*RED, 255), (*GREEN, 128)))
    with pytest.raises(DataError, match="not an alpha band of 0 and 255"):
        read_labels(path, COLORS)


def test_grey_with_alpha(tmp_path: Path) -> None:
    path = save_png(tmp_path / "x.png", rgb((3, 255), (0, 255), (99, 0)))
    assert read_labels(path, NUMBERS)[0].tolist() == [[0, 1, IGNORED]]


def test_orientation_tags_do_not_turn_labels(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(rgb(RED, GREEN, GREEN)).save(tmp_path / "x.png", exif=exif)
    assert read_labels(tmp_path / "x.png", COLORS)[0].tolist() == [[1, 0, 0]]
    Image.fromarray(np.array([[3, 0, 0]], dtype=np.uint8)).save(tmp_path / "x.png", exif=exif)
    assert read_labels(tmp_path / "x.png", NUMBERS)[0].tolist() == [[0, 1, 1]]


def test_what_does_not_fit_a_legend_of_colours(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([[0, 1]], dtype=np.int32))
    with pytest.raises(DataError, match="colours"):
        read_labels(tmp_path / "x.npy", COLORS)
    with pytest.raises(ConfigError, match="colours"):
        read_labels(tmp_path / "x.npy", COLORS, ignore=(1,))


def test_other_numbers_of_bands_and_jpeg_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((9, 8, 5), dtype=np.uint8))
    with pytest.raises(DataError, match="9 x 8 x 5"):
        read_labels(tmp_path / "x.npy")
    Image.fromarray(rgb(RED)).save(tmp_path / "x.jpg")
    with pytest.raises(DataError, match="JPEG"):
        read_labels(tmp_path / "x.jpg")
    with pytest.raises(DataError, match=r"none\.png"):
        read_labels(tmp_path / "none.png")


# MATLAB files


def save_bsds(path: Path, maps: list[NDArray[Any]]) -> Path:
    cells = np.empty((1, len(maps)), dtype=object)
    for number, one in enumerate(maps):
        cells[0, number] = {"Segmentation": one, "Boundaries": np.zeros_like(one)}
    savemat(path, {"groundTruth": cells})
    return path


def test_bsds_has_a_map_for_each_annotator(tmp_path: Path) -> None:
    maps = [
        np.array([[1, 1, 2], [3, 3, 2]], dtype=np.uint16),
        np.array([[1, 1, 1], [2, 2, 300]], dtype=np.uint16),
    ]
    found = read_labels(save_bsds(tmp_path / "x.mat", maps))
    assert [one.tolist() for one in found] == [one.tolist() for one in maps]
    (single,) = read_labels(save_bsds(tmp_path / "y.mat", maps[:1]), ignore=(3,))
    assert single.tolist() == [[1, 1, 2], [IGNORED, IGNORED, 2]]


def test_coco_stuff_and_a_lone_matrix(tmp_path: Path) -> None:
    values = np.array([[0, 3], [255, 1]], dtype=np.uint8)
    savemat(tmp_path / "coco.mat", {"S": values, "captions": np.array(["a"], dtype=object)})
    savemat(tmp_path / "lone.mat", {"anything": values.astype(float), "scalar": 3.0})
    for name in ("coco.mat", "lone.mat"):
        assert read_labels(tmp_path / name, NUMBERS)[0].tolist() == [[1, 0], [IGNORED, 0]]


def test_mat_files_that_hold_no_labels(tmp_path: Path) -> None:
    square = np.ones((2, 2))
    savemat(tmp_path / "two.mat", {"left": square, "right": square})
    savemat(tmp_path / "other.mat", {"groundTruth": {"Boundaries": square}})
    savemat(tmp_path / "number.mat", {"groundTruth": 3.0})
    savemat(tmp_path / "text.mat", {"S": "not a numeric matrix"})
    savemat(tmp_path / "empty.mat", {"groundTruth": np.empty((1, 0), dtype=object)})
    complaints = {
        "two.mat": "left, right",
        "other.mat": "Segmentation",
        "number.mat": "Segmentation",
        "text.mat": "not a numeric matrix",
        "empty.mat": "without annotators",
    }
    for name, complaint in complaints.items():
        with pytest.raises(DataError, match=complaint):
            read_labels(tmp_path / name)


def test_mat_files_that_unpack_to_more_than_an_image_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before they are unpacked, also if no variable is too large by itself."""
    monkeypatch.setattr(mat_files, "MOST_BYTES", 100_000)
    square = np.zeros((290, 290), np.uint8)
    savemat(tmp_path / "good.mat", {"S": square}, do_compression=True)
    savemat(tmp_path / "large.mat", {"S": np.zeros((320, 320), np.uint8)}, do_compression=True)
    savemat(tmp_path / "two.mat", {"S": square, "rest": square}, do_compression=True)
    savemat(tmp_path / "plain.mat", {"S": square, "rest": square})
    assert read_labels(tmp_path / "good.mat")[0].shape == (290, 290)
    for name in ("large.mat", "two.mat", "plain.mat"):
        with pytest.raises(DataError, match=rf"{name}: unpacks to more than 0\.1 million bytes"):
            read_labels(tmp_path / name)


def test_mat_files_that_cannot_be_read(tmp_path: Path) -> None:
    whole = save_bsds(tmp_path / "x.mat", [np.ones((30, 30), dtype=np.uint16)]).read_bytes()
    (tmp_path / "cut.mat").write_bytes(whole[: len(whole) * 2 // 3])
    (tmp_path / "nonsense.mat").write_bytes(b"nonsense" * 40)
    (tmp_path / "none.mat").write_bytes(b"")
    new = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(400)
    (tmp_path / "new.mat").write_bytes(new)
    for name in ("cut.mat", "nonsense.mat", "none.mat", "absent.mat"):
        with pytest.raises(DataError, match=name):
            read_labels(tmp_path / name)
    with pytest.raises(DataError, match=r"7\.3.*-v7"):
        read_labels(tmp_path / "new.mat")
    with pytest.raises(DataError, match="not page 1"):
        read_labels(tmp_path / "x.mat", page=1)
    with pytest.raises(DataError, match="has colours"):
        read_labels(tmp_path / "x.mat", COLORS)


# Matching


def test_equal_stems_match_and_the_rest_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "x1.PNG", "x2.png", "x10.npy", "y.mat", "classes.toml", ".hidden.png", ".thumbs/x1.png")
    match = match_labels(["x1.jpg", "x2.JPG", "x10.tif", "z10.png", "z9.png"], tmp_path)
    assert {name: inside(tmp_path, paths) for name, paths in match.paths.items()} == {
        "x1.jpg": ["x1.PNG"],
        "x2.JPG": ["x2.png"],
        "x10.tif": ["x10.npy"],
    }
    assert match.missing == ["z9.png", "z10.png"]
    assert match.extra == ["y.mat"]
    assert match.describe() == "labels for 3 of 5 images; none for z9.png, z10.png; no image for y.mat"


def test_describe_names_five_at_most(tmp_path: Path) -> None:
    touch(tmp_path, "a.png")
    match = match_labels(["a.png", *(f"{n}.png" for n in range(7))], tmp_path)
    assert match.describe() == "labels for 1 of 8 images; none for 0.png, 1.png, 2.png, 3.png, 4.png and 2 more"


def test_the_relative_path_goes_before_the_stem(tmp_path: Path) -> None:
    touch(tmp_path, "a/x.png", "b/x.png", "x.png", "deep/er/only.png")
    match = match_labels(["b/x.jpg", "a/x.jpg", "x.jpg", "only.jpg"], tmp_path)
    assert {name: inside(tmp_path, paths) for name, paths in match.paths.items()} == {
        "b/x.jpg": ["b/x.png"],
        "a/x.jpg": ["a/x.png"],
        "x.jpg": ["x.png"],
        "only.jpg": ["deep/er/only.png"],
    }
    assert match.missing == match.extra == []


def test_a_bare_stem_that_two_images_have_is_not_guessed(tmp_path: Path) -> None:
    touch(tmp_path, "x.png", "y.png")
    match = match_labels(["a/x.jpg", "b/x.jpg", "b/y.jpg"], tmp_path)
    assert match.missing == ["a/x.jpg", "b/x.jpg"]
    assert match.extra == ["x.png"]
    assert inside(tmp_path, match.paths["b/y.jpg"]) == ["y.png"]


def test_several_annotators(tmp_path: Path) -> None:
    touch(tmp_path, "ben/x.png", "anna/x.png", "anna/y.png", "ben/s/z.png", "anna/s/z.tif", "anna/t/z.png")
    match = match_labels(["x.jpg", "y.jpg", "s/z.jpg", "t/z.jpg"], tmp_path)
    assert inside(tmp_path, match.paths["t/z.jpg"]) == ["anna/t/z.png"]
    assert inside(tmp_path, match.paths["x.jpg"]) == ["anna/x.png", "ben/x.png"]
    assert inside(tmp_path, match.paths["y.jpg"]) == ["anna/y.png"]
    assert inside(tmp_path, match.paths["s/z.jpg"]) == ["anna/s/z.tif", "ben/s/z.png"]


def test_a_label_folder_of_another_image_is_no_annotator(tmp_path: Path) -> None:
    touch(tmp_path, "a/x.png")
    match = match_labels(["x.jpg", "a/x.jpg"], tmp_path)
    assert list(match.paths) == ["a/x.jpg"]
    assert match.missing == ["x.jpg"]


def test_pages_share_a_label_file(tmp_path: Path) -> None:
    touch(tmp_path, "stack.tif", "s#1.png")
    match = match_labels(["in/stack.tif#0", "in/stack.tif#1", "s#1.jpg"], tmp_path)
    assert match.paths["in/stack.tif#0"] == match.paths["in/stack.tif#1"] == [tmp_path / "stack.tif"]
    assert match.paths["s#1.jpg"] == [tmp_path / "s#1.png"]


@pytest.mark.parametrize("label", ["x.jpg.png", "x_mask.png", "x_labels.tif", "x_gt.png", "anna/x_lc.tif"])
def test_names_that_labelling_tools_give(tmp_path: Path, label: str) -> None:
    touch(tmp_path, label)
    assert match_labels(["x.jpg"], tmp_path).paths == {"x.jpg": [tmp_path / label]}


def test_exact_names_go_before_those_of_tools(tmp_path: Path) -> None:
    touch(tmp_path, "x_mask.png", "x.png")
    match = match_labels(["x.jpg"], tmp_path)
    assert inside(tmp_path, match.paths["x.jpg"]) == ["x.png"]
    match = match_labels(["x.jpg", "x_mask.jpg"], tmp_path)
    assert inside(tmp_path, match.paths["x_mask.jpg"]) == ["x_mask.png"]


def test_images_of_one_stem_are_told_apart_by_their_whole_names(tmp_path: Path) -> None:
    touch(tmp_path, "x.jpg.png", "x.tif.png")
    match = match_labels(["x.jpg", "x.tif"], tmp_path)
    assert inside(tmp_path, match.paths["x.tif"]) == ["x.tif.png"]
    touch(tmp_path, "x.png")
    with pytest.raises(DataError, match=r"x\.png matches two images, x\.jpg and x\.tif"):
        match_labels(["x.jpg", "x.tif"], tmp_path)


@pytest.mark.parametrize("names", [("x.png", "x.mat"), ("x_mask.png", "x_gt.png"), ("s/x.png", "s/x.npy")])
def test_two_label_files_in_one_folder_are_an_error(tmp_path: Path, names: tuple[str, str]) -> None:
    touch(tmp_path, *names)
    with pytest.raises(DataError, match=r"image x\.jpg has two label files"):
        match_labels(["x.jpg"], tmp_path)


def test_label_folders_that_do_not_help(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        match_labels(["x.jpg"], tmp_path / "none")
    with pytest.raises(DataError, match="has no label files"):
        match_labels(["x.jpg"], touch(tmp_path / "empty", "readme.md"))
    with pytest.raises(DataError, match="JPEG"):
        match_labels(["x.jpg"], touch(tmp_path / "lossy", "x.jpg"))
    with pytest.raises(DataError, match=r"like x\.jpg, labels like other\.png"):
        match_labels(["x.jpg"], touch(tmp_path / "others", "other.png"))
