"""COCO-Stuff and COCO-Persons, from the archives of their publishers."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from preparing import prepared
from published_trees import COCO_SIZES, coco_files, coco_pixels, unpacked, zipped
from scipy.ndimage import map_coordinates

from unsegcli.datasets import coco_stuff
from unsegcli.datasets._load import find_set
from unsegcli.errors import ConfigError, DataError
from unsegcli.labels import read_labels
from unsegcli.legend import read_legend
from unsegcli.params import Inputs, Prepare, Run
from unsegcli.stages.prepare import prepare

TRAIN, VAL = ["000000000009", "000000000025"], ["000000581921"]


@pytest.fixture(scope="module")
def downloaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("coco")
    for name, files in coco_files().items():
        (folder / name).write_bytes(zipped(files))
    return folder


@pytest.fixture
def lists(tmp_path: Path) -> tuple[Path, Path]:
    paths = unpacked({"train2017/L.txt": "\n".join(TRAIN).encode(), "val2017/L.txt": f"{VAL[0]}\n".encode()}, tmp_path)
    return paths / "train2017/L.txt", paths / "val2017/L.txt"


def as_iic(pixels: NDArray[Any], *, labels: bool) -> NDArray[np.uint8]:
    """Scaling by 0.33 and the middle 128 x 128, in the order of the published code and one band at a time."""
    if pixels.ndim == 3:
        return np.stack([as_iic(pixels[..., band], labels=False) for band in range(3)], 2)
    rows, columns = (round(length * 0.33) for length in pixels.shape)
    if labels:
        scaled = pixels[np.ix_(*((np.arange(n) / 0.33).astype(int) for n in (rows, columns)))]
    else:
        at = [
            np.clip((np.arange(n) + 0.5) / 0.33 - 0.5, 0, m - 1)
            for n, m in zip((rows, columns), pixels.shape, strict=True)
        ]
        scaled = map_coordinates(pixels.astype(float), np.meshgrid(*at, indexing="ij"), order=1)
    padded = np.zeros((max(rows, 128), max(columns, 128)))
    top, left = padded.shape[0] // 2 - rows // 2, padded.shape[1] // 2 - columns // 2
    padded[top : top + rows, left : left + columns] = scaled
    top, left = padded.shape[0] // 2 - 64, padded.shape[1] // 2 - 64
    return np.asarray(np.floor(padded[top : top + 128, left : left + 128] + 0.5), np.uint8)


def test_images_and_labels_have_the_size_and_crop_of_iic(
    downloaded: Path, lists: tuple[Path, Path], tmp_path: Path
) -> None:
    folder = prepared(tmp_path / "out", downloaded, name="coco-stuff-15", names=lists)
    for split, name in (("train2017", TRAIN[0]), ("train2017", TRAIN[1]), ("val2017", VAL[0])):
        stored = Image.open(io.BytesIO(coco_files()[f"{split}.zip"][f"{split}/{name}.jpg"]))
        image = np.asarray(Image.open(folder / f"images/{split}/{name}.png"))
        difference = image.astype(int) - as_iic(np.asarray(stored), labels=False)
        assert np.abs(difference).max() <= 1, name  # halves may be rounded either way
        assert (difference != 0).mean() < 0.01, name
        label = np.asarray(Image.open(folder / f"labels/{split}/{name}.png"))
        np.testing.assert_array_equal(label, as_iic(coco_pixels(name)[1], labels=True))
    assert (label.shape, min(COCO_SIZES[TRAIN[1]]) * 0.33 < 128) == ((128, 128), True)  # one has a margin


def test_classes_are_merged_as_published(downloaded: Path, lists: tuple[Path, Path], tmp_path: Path) -> None:
    """A few values by hand, of github.com/mhamilton723/STEGO's table: grass 123 is a plant, 156 and 105 are sky."""
    classes = {}
    for name in ("coco-stuff-3", "coco-stuff-15", "coco-stuff-27"):
        folder = prepared(tmp_path / name, downloaded, name=name, names=lists)
        legend = read_legend(folder / "classes.toml")
        classes[name] = {value: legend.names[number] for value, number in legend.numbers().items() if number >= 0}
        read_labels(folder / f"labels/val2017/{VAL[0]}.png", legend)  # names every value
    assert classes["coco-stuff-3"] == {
        v: one for v, one in classes["coco-stuff-27"].items() if one in ("sky", "plant", "ground")
    }
    expected = {
        0: "person",
        7: "vehicle",
        24: "animal",
        105: "sky",
        123: "plant",
        156: "sky",
        144: "ground",
        181: "solid",
    }
    assert {value: classes["coco-stuff-27"][value] for value in expected} == expected
    assert sorted(classes["coco-stuff-27"]) == list(range(182))
    assert sorted(classes["coco-stuff-15"]) == list(range(91, 182))


def test_pixels_without_a_label_are_sky_only_if_asked(
    downloaded: Path, lists: tuple[Path, Path], tmp_path: Path
) -> None:
    plain = prepared(tmp_path / "plain", downloaded, name="coco-stuff-3", names=lists)
    quirk = prepared(tmp_path / "quirk", downloaded, name="coco-stuff-3", names=lists, unlabelled_as_sky=True)
    label = f"labels/val2017/{VAL[0]}.png"
    without = np.asarray(Image.open(plain / label)) == 255
    assert without.any()
    maps = [read_labels(one / label, read_legend(one / "classes.toml"))[0] for one in (plain, quirk)]
    assert (maps[0][without] == -1).all()
    assert (maps[1][without] == 0).all()
    np.testing.assert_array_equal(maps[0][~without], maps[1][~without])


def test_twenty_seven_classes_have_the_size_of_picie(
    downloaded: Path, lists: tuple[Path, Path], tmp_path: Path
) -> None:
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms import functional as transforms

    folder = prepared(tmp_path / "out", downloaded, name="coco-stuff-27", names=lists)
    files = coco_files()
    for split, name in (("train2017", TRAIN[1]), ("val2017", VAL[0])):
        image = Image.open(io.BytesIO(files[f"{split}.zip"][f"{split}/{name}.jpg"]))
        label = Image.fromarray(coco_pixels(name)[1])
        for kind, one, how in (
            ("images", image, InterpolationMode.BILINEAR),
            ("labels", label, InterpolationMode.NEAREST),
        ):
            expected = transforms.center_crop(transforms.resize(one, 320, how), [320, 320])
            found = Image.open(folder / f"{kind}/{split}/{name}.png")
            np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


def test_whole_images_are_linked(downloaded: Path, lists: tuple[Path, Path], tmp_path: Path) -> None:
    files = coco_files()
    source = unpacked(
        {f"images/{name}": one for name, one in {**files["train2017.zip"], **files["val2017.zip"]}.items()},
        tmp_path / "in",
    )
    unpacked({f"annotations/{name}": one for name, one in files["stuffthingmaps_trainval2017.zip"].items()}, source)
    folder = prepared(tmp_path / "out", source, name="coco-stuff-27", names=lists, original_size=True)
    for end in (f"images/val2017/{VAL[0]}.jpg", f"labels/val2017/{VAL[0]}.png"):
        assert (folder / end).samefile(source / end.replace("labels", "annotations"))
    copied = prepared(tmp_path / "copied", downloaded, name="coco-stuff-27", names=lists, original_size=True)
    assert (copied / f"images/val2017/{VAL[0]}.jpg").read_bytes() == files["val2017.zip"][f"val2017/{VAL[0]}.jpg"]


def test_lists_are_known_by_their_digest(
    downloaded: Path, lists: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(coco_stuff.LISTS, "Coco164kFew_Stuff_6", {"train2017": "0" * 12, "val2017": "0" * 12})
    folder = prepared(tmp_path / "out", downloaded, name="coco-stuff-3", names=lists)
    about = json.loads((folder / "prepared.json").read_text())
    digest = about["lists"][0]["md5"]
    assert [(one["names"], one["published"]) for one in about["lists"]] == [(2, None), (1, None)]
    assert f"(2 names, MD5 {digest}) is not a published list of coco-stuff-3" in about["warnings"][0]
    published = {"train2017": digest[:12], "val2017": about["lists"][1]["md5"][:12]}
    monkeypatch.setitem(coco_stuff.LISTS, "Coco164kFew_Stuff_6", published)
    again = prepared(tmp_path / "again", downloaded, name="coco-stuff-3", names=lists)
    about = json.loads((again / "prepared.json").read_text())
    assert about["lists"][0]["published"] == "Coco164kFew_Stuff_6 of train2017"
    assert not [text for text in about["warnings"] if "list" in text]


def test_lists_are_found_in_the_archive_of_their_authors(downloaded: Path, tmp_path: Path) -> None:
    files = {"curated/train2017/Coco164kFew_Stuff_6.txt": TRAIN[1].encode()}
    unpacked(files, tmp_path / "in")
    done = prepare(
        Inputs([downloaded, tmp_path / "in"]), Prepare(name="coco-stuff-3"), Run(output=tmp_path / "out", workers=1)
    )
    assert not isinstance(done, dict)
    assert [one.name for one in done.path.glob("images/*/*")] == [f"{TRAIN[1]}.png"]


def test_without_a_list_it_is_said_where_it_is_from(downloaded: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"36,660 chosen images.*Coco164kFew_Stuff_6\.txt.*--names.*Curated\.tar\.gz"):
        prepared(tmp_path / "out", downloaded, name="coco-stuff-3")


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        (f"train2017.zip/train2017/{TRAIN[1]}.jpg", rf"train2017/{TRAIN[1]}\.jpg \(of train2017\.zip\)"),
        ("val2017.zip", r"incomplete: val2017\.zip; --incomplete"),
        (
            f"stuffthingmaps_trainval2017.zip/train2017/{TRAIN[0]}.png",
            rf"train2017/{TRAIN[0]}\.png \(of stuffthingmaps",
        ),
    ],
)
def test_what_a_download_lacks_is_named(lost: str, said: str, lists: tuple[Path, Path], tmp_path: Path) -> None:
    files = coco_files()
    archive, _, name = lost.partition("/")
    del (files[archive] if name else files)[name or archive]
    for one, content in files.items():
        unpacked({one: zipped(content)}, tmp_path / "in")
    with pytest.raises(DataError, match=said):
        prepared(tmp_path / "out", tmp_path / "in", name="coco-stuff-27", names=lists)
    if not name:
        return
    left = prepared(tmp_path / "out", tmp_path / "in", name="coco-stuff-27", names=lists, incomplete=True)
    about = json.loads((left / "prepared.json").read_text())
    assert sum(one["images"] for one in about["counts"].values()) == 2
    assert about["as_published"] is False


# Persons


def test_images_with_enough_persons_are_taken(downloaded: Path, tmp_path: Path) -> None:
    """A third of each first image is covered, in two parts; a tenth of the second is too little."""
    folder = prepared(tmp_path / "out", downloaded, name="coco-persons")
    taken = sorted(one.relative_to(folder / "images").as_posix() for one in folder.glob("images/*/*"))
    assert taken == [f"train2017/{TRAIN[0]}.png", f"val2017/{VAL[0]}.png"]
    legend = read_legend(folder / "classes.toml")
    label = folder / f"labels/val2017/{VAL[0]}.png"
    values = np.asarray(Image.open(label))
    np.testing.assert_array_equal(read_labels(label, legend)[0], np.where(values == 0, 0, 1))
    assert json.loads((folder / "prepared.json").read_text())["labels_used"].endswith("choosing the images")


def test_a_margin_is_no_person(downloaded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coco_stuff, "COVERED", (0.05, 0.15))
    folder = prepared(tmp_path / "out", downloaded, name="coco-persons")
    label = folder / f"labels/train2017/{TRAIN[1]}.png"  # 361 rows become 119
    truth = read_labels(label, read_legend(folder / "classes.toml"))[0]
    assert (truth[0] == -1).all()
    assert (truth[64] >= 0).all()


@pytest.mark.parametrize("block", [7, 64, 1 << 20])
def test_a_large_file_of_annotations_is_read_in_blocks(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coco_stuff, "BLOCK", block)
    content = coco_files()["annotations_trainval2017.zip"]["annotations/instances_train2017.json"]
    whole = json.loads(content)
    found: dict[str, list[Any]] = {"images": [], "annotations": []}
    for key, one in coco_stuff.objects_in(io.BytesIO(content), ("images", "annotations")):
        found[key].append(one)
    assert found == {key: whole[key] for key in found}
    with pytest.raises(ValueError, match="the list annotations does not end"):
        list(coco_stuff.objects_in(io.BytesIO(content[: content.index(b'"bbox"') + 40]), ("images", "annotations")))


def test_what_a_set_does_not_score_is_in_its_legend() -> None:
    for name in ("coco-stuff-3", "coco-stuff-15", "coco-stuff-27"):
        one = find_set(name)[0]
        assert sorted([*one.ignore, *(value for each in one.classes for value in each.values)]) == [*range(182), 255]
    assert replace(find_set("coco-persons")[0]).rules.clusters == 2
