"""VOC 2012, DAVIS 2016, BSDS500 and plain folders: files that are taken as they are, by lists and folders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from preparing import names_below, pixels, prepared
from published_trees_objects import (
    BERKELEY,
    SBD_TRAIN,
    SBD_VAL,
    VIDEOS,
    VOC_TRAIN,
    VOC_VAL,
    berkeley,
    packed,
    photograph,
    rectangle,
    sbd,
    videos,
    voc,
    voc_palette,
)
from torchvision.datasets import SBDataset, VOCSegmentation
from torchvision.datasets.voc import DATASET_YEAR_DICT
from typed import unseg

from unsegcli.datasets import bsds500, voc_2012
from unsegcli.datasets._contract import SetSplit
from unsegcli.errors import DataError
from unsegcli.labels import match_labels, read_labels
from unsegcli.legend import read_legend

AUG = ["2008_000002", "2008_000003"]  # of SBD, without those that VOC labels


# ------------------------------------------------------------------------------------------------ voc-2012


@pytest.fixture(scope="module")
def voc_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return voc(tmp_path_factory.mktemp("voc"))


@pytest.fixture(scope="module")
def sbd_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sbd(tmp_path_factory.mktemp("sbd"))


@pytest.fixture(scope="module")
def prepared_voc(voc_folder: Path, sbd_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    archives, out = tmp_path_factory.mktemp("in"), tmp_path_factory.mktemp("out")
    packed(voc_folder, archives / "VOCtrainval_11-May-2012.tar", "VOCdevkit")
    packed(sbd_folder, archives / "benchmark.tgz", "benchmark_RELEASE")
    return prepared(out / "voc", archives, name="voc-2012")


def test_sbd_adds_the_images_that_voc_does_not_label(prepared_voc: Path) -> None:
    for split, names in {"train": VOC_TRAIN, "aug": AUG, "val": VOC_VAL}.items():
        assert names_below(prepared_voc / "images" / split) == names
        assert names_below(prepared_voc / "labels" / split) == names
    assert {*SBD_TRAIN, *SBD_VAL} - {*VOC_TRAIN, *VOC_VAL} == {*AUG}
    assert sum(split.images for split in voc_2012.SETS[0].splits[:2]) == 10582


@pytest.mark.parametrize("split", ["train", "val"])
def test_torchvision_reads_the_same_voc(voc_folder: Path, prepared_voc: Path, split: str) -> None:
    other = VOCSegmentation(voc_folder, year="2012", image_set=split)
    legend = read_legend(prepared_voc / "classes.toml")
    assert len(other) > 0
    for path, (image, target) in zip(sorted((prepared_voc / "images" / split).iterdir()), other, strict=True):
        np.testing.assert_array_equal(pixels(path), np.asarray(image))
        values = np.asarray(target)
        [found] = read_labels(prepared_voc / "labels" / split / f"{path.stem}.png", legend)
        np.testing.assert_array_equal(found, np.where(values == 255, -1, values.astype(int)))
        assert (found < 0).any()


def test_torchvision_reads_the_same_sbd(sbd_folder: Path, prepared_voc: Path) -> None:
    compared = 0
    for split in ("train", "val"):
        other = SBDataset(sbd_folder / "benchmark_RELEASE/dataset", image_set=split, mode="segmentation")
        for path, (_, target) in zip(other.masks, other, strict=True):
            ours = prepared_voc / "labels/aug" / f"{Path(path).stem}.png"
            if ours.exists():
                np.testing.assert_array_equal(pixels(ours), np.asarray(target))
                compared += 1
    assert compared == len(AUG)


def test_the_legend_has_the_colours_of_voc(prepared_voc: Path) -> None:
    legend = read_legend(prepared_voc / "classes.toml")
    table = np.array(voc_palette()).reshape(-1, 3)
    assert [one.color for one in legend.classes] == [tuple(map(int, color)) for color in table[:21]]
    assert legend.ignore == (255,)


def test_without_sbd_its_archive_is_named(voc_folder: Path, tmp_path: Path) -> None:
    said = "incomplete: benchmark.tgz of SBD with labels of 11,355 images such as cls/2008_000002.mat; --incomplete"
    with pytest.raises(DataError, match=said):
        prepared(tmp_path / "out", voc_folder, name="voc-2012")
    folder = prepared(tmp_path / "out", voc_folder, name="voc-2012", incomplete=True)
    assert sorted(path.name for path in (folder / "images").iterdir()) == ["train", "val"]


def test_sbd_is_read_as_torchvision_unpacks_it(voc_folder: Path, sbd_folder: Path, tmp_path: Path) -> None:
    folder = prepared(tmp_path / "out", voc_folder, sbd_folder / "benchmark_RELEASE/dataset", name="voc-2012")
    assert names_below(folder / "labels/aug") == AUG


def test_a_label_file_that_sbd_lists_is_missed(voc_folder: Path, sbd_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(sbd_folder, tmp_path / "in")
    (folder / "benchmark_RELEASE/dataset/cls/2008_000003.mat").unlink()
    with pytest.raises(DataError, match=r"incomplete: cls/2008_000003.mat \(of benchmark.tgz\)"):
        prepared(tmp_path / "out", voc_folder, folder, name="voc-2012")


def test_torchvision_downloads_the_same_files_of_voc_and_sbd() -> None:
    theirs = DATASET_YEAR_DICT["2012"]
    ours = [(one.url, one.md5) for one in voc_2012.SETS[0].downloads]
    assert ours == [(theirs["url"], theirs["md5"]), (SBDataset.url, SBDataset.md5)]


# ------------------------------------------------------------------------------------------------ davis-2016


def test_frames_keep_their_videos_and_splits(tmp_path: Path) -> None:
    root = videos(tmp_path / "unpacked")
    packed(root, tmp_path / "DAVIS-data.zip", "DAVIS")
    folder = prepared(tmp_path / "out", tmp_path / "DAVIS-data.zip", name="davis-2016")
    legend = read_legend(folder / "classes.toml")
    for split, sequences in VIDEOS.items():
        frames = [f"{name}/{frame:05d}" for name, count in sequences.items() for frame in range(count)]
        assert names_below(folder / "images" / split) == frames
        for frame in frames:
            [found] = read_labels(folder / f"labels/{split}/{frame}.png", legend)
            np.testing.assert_array_equal(found, rectangle(int(frame[-5:])))
            image = (folder / f"images/{split}/{frame}.jpg").read_bytes()
            assert image == (root / f"DAVIS/JPEGImages/480p/{frame}.jpg").read_bytes()


def test_what_is_missing_of_the_videos_is_named(tmp_path: Path) -> None:
    root = videos(tmp_path / "in")
    (root / "DAVIS/Annotations/480p/blackswan/00001.png").unlink()
    (root / "DAVIS/ImageSets/480p/train.txt").unlink()
    said = r"ImageSets/480p/train.txt, the list of 2,079 frames .*; Annotations/480p/blackswan/00001.png \(of DAVIS-"
    with pytest.raises(DataError, match=said):
        prepared(tmp_path / "out", root, name="davis-2016")


def test_a_list_of_videos_alone_is_refused(tmp_path: Path) -> None:
    root = videos(tmp_path / "in")
    (root / "DAVIS/ImageSets/480p/val.txt").write_text("blackswan\n")
    with pytest.raises(DataError, match="'blackswan' does not name a frame"):
        prepared(tmp_path / "out", root, name="davis-2016")


# ------------------------------------------------------------------------------------------------ bsds500


@pytest.fixture
def _few_are_published(monkeypatch: pytest.MonkeyPatch) -> None:
    splits = tuple(SetSplit(name, len(names), len(names)) for name, names in BERKELEY.items())
    monkeypatch.setitem(bsds500.SETS[0].__dict__, "splits", splits)


@pytest.mark.usefixtures("_few_are_published")
def test_all_annotators_are_taken(tmp_path: Path) -> None:
    packed(berkeley(tmp_path / "unpacked"), tmp_path / "BSR_bsds500.tgz", "BSR")
    folder = prepared(tmp_path / "out", tmp_path / "BSR_bsds500.tgz", name="bsds500")
    for split, names in BERKELEY.items():
        assert names_below(folder / "images" / split) == sorted(names)
        for number, name in enumerate(names):
            maps = read_labels(folder / f"labels/{split}/{name}.mat")
            assert [found.tolist() for found in maps] == [(rectangle(number + k) + 1).tolist() for k in range(2)]
    assert not (folder / "classes.toml").exists()
    assert json.loads((folder / "prepared.json").read_text())["as_published"]


@pytest.mark.usefixtures("_few_are_published")
def test_fewer_files_than_published_are_noticed(tmp_path: Path) -> None:
    root = berkeley(tmp_path / "in")
    (root / "BSR/BSDS500/data/images/test/3063.jpg").unlink()
    with pytest.raises(DataError, match=r"incomplete: images/test/3063.jpg \(of BSR_bsds500.tgz\); --incomplete"):
        prepared(tmp_path / "out", root, name="bsds500")
    (root / "BSR/BSDS500/data/groundTruth/test/3063.mat").unlink()
    with pytest.raises(DataError, match="2 images and 2 label files in test, but 3 are published"):
        prepared(tmp_path / "out", root, name="bsds500")


# ------------------------------------------------------------------------------------------------ folder

LEGEND = '[[class]]\nname = "meadow"\nfrom = [0]\n[[class]]\nname = "roof"\nfrom = [1]\n'


def own_images(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photograph(1)).save(folder / name)
    return folder


def own_labels(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rectangle(1).astype(np.uint8)).save(folder / name)
    return folder


def test_a_folder_in_our_layout_is_linked(tmp_path: Path) -> None:
    source = own_images(tmp_path / "in", "images/east/a.png", "images/west/a.png")
    own_labels(source, "labels/east/a.png", "labels/west/a.png")
    (source / "classes.toml").write_text(LEGEND)
    folder = prepared(tmp_path / "out", source, name="folder")
    for place in ("images/east/a.png", "images/west/a.png", "labels/east/a.png", "labels/west/a.png"):
        assert (folder / place).samefile(source / place)
    assert (folder / "classes.toml").read_text() == LEGEND


def test_labels_and_legend_of_other_places_come_together(tmp_path: Path) -> None:
    source = own_images(tmp_path / "in", "tiles/a.png", "tiles/b.png")
    labels = own_labels(tmp_path / "truth", "a.bmp", "b.bmp")
    (tmp_path / "my.toml").write_text(LEGEND)
    settings = {"labels": labels, "legend": tmp_path / "my.toml"}
    folder = prepared(tmp_path / "out", source, name="folder", **settings)
    assert names_below(folder / "labels") == names_below(folder / "images") == ["tiles/a", "tiles/b"]
    match = match_labels(["tiles/a.png", "tiles/b.png"], folder / "labels")
    assert not match.missing
    (tmp_path / "my.toml").write_text(LEGEND.replace("roof", "house"))
    prepared(folder, source, name="folder", **settings)
    assert "house" in (folder / "classes.toml").read_text()


def test_an_archive_of_images_and_masks_of_valid_pixels_beside_labels(tmp_path: Path) -> None:
    loose = own_images(tmp_path / "loose", "east/a.png", "b.png")
    packed(loose, tmp_path / "photos.zip", "east", "b.png")
    folder = prepared(tmp_path / "out", tmp_path / "photos.zip", name="folder")
    assert names_below(folder / "images") == ["b", "east/a"]
    source = own_images(tmp_path / "in", "images/a.png")
    own_labels(source, "labels/a.png", "masks/a.png")
    folder = prepared(tmp_path / "own", source, name="folder")
    assert (folder / "labels/a.png").samefile(source / "labels/a.png")


def test_images_alone_need_neither_labels_nor_a_legend(tmp_path: Path) -> None:
    folder = prepared(tmp_path / "out", own_images(tmp_path / "in", "a.png", "b.png"), name="folder")
    assert sorted(path.name for path in folder.iterdir()) == ["images", "prepared.json", "unseg.json"]


def test_labels_without_their_image_or_with_two_are_refused(tmp_path: Path) -> None:
    source = own_images(tmp_path / "in", "images/a.png", "images/b.png")
    own_labels(source, "labels/a.png")
    with pytest.raises(DataError, match=r"no label with the same stem for .*images/b.png; --incomplete"):
        prepared(tmp_path / "out", source, name="folder")
    own_images(source, "images/east/a.png", "images/b.png")  # two images of one stem
    with pytest.raises(DataError, match=r"no label with the same stem for .*images/b.png, .*images/east/a.png; --inc"):
        prepared(tmp_path / "out", source, name="folder")
    own_labels(source, "labels/b.png", "labels/b.tif")
    with pytest.raises(DataError, match=r"labels/b.png and .*labels/b.tif have the same name without suffix: keep one"):
        prepared(tmp_path / "out", source, name="folder")


def test_a_broken_legend_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    source = own_images(tmp_path / "in", "a.png")
    (source / "classes.toml").write_text("[[class]]\n")
    with pytest.raises(DataError, match=r"class 1 of legend .* has no name"):
        prepared(tmp_path / "out", source, name="folder")
    assert not (tmp_path / "out").exists()


def test_a_prepared_folder_is_scored_as_typed(tmp_path: Path) -> None:
    source = own_images(tmp_path / "in", "a.png", "b.png")
    labels = own_labels(tmp_path / "truth", "a.png", "b.png")
    (source / "classes.toml").write_text(LEGEND)
    done = unseg("prepare", "folder", source, "--labels", labels, "-o", tmp_path / "own")
    assert done.stdout.strip() == str(tmp_path / "own")
    unseg("cluster", tmp_path / "own", "--features", "bands", "--classes", 2, "-o", tmp_path / "c.h5")
    scores = json.loads(unseg("evaluate", tmp_path / "c.h5", "-o", tmp_path / "m.h5", "--json").stdout)
    assert scores["images"] == 2
    assert {one["class"] for one in scores["per_class"]} == {"meadow", "roof"}
