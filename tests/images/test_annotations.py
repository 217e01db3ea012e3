"""Annotations beside images are left out by their names; images that are only named alike are not."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import MakeImages

from unsegcli.dataflow.dataset import find_dataset
from unsegcli.images.annotations import find_annotations
from unsegcli.images.find import find_images
from unsegcli.params import Inputs

LEFT_OUT = [
    (["train/1.png", "train/2.png", "trainannot/1.png", "trainannot/2.png"], {"trainannot/": 2}),
    (["JPEGImages/7.jpg", "JPEGImages/8.jpg", "SegmentationClass/7.png"], {"SegmentationClass/": 1}),
    (["leftImg8bit/a/a_1_leftImg8bit.png", "gtFine/a/a_1_gtFine_labelIds.png"], {"gtFine/": 1}),
    (["x/images/x.png", "x/masks/4d1e.png", "x/masks/88ab.png"], {"x/masks/": 2}),  # one mask for each object
    (["jpg/image_1.jpg", "segmim/segmim_1.jpg"], {"segmim/": 1}),
    (["train/1_01.jpg", "train_masks/1_01_mask.gif"], {"train_masks/": 1}),
    (["a.png", "labels/a.png", "masks/a.png", "sub/labels/a.png"], {"labels/": 1, "masks/": 1, "sub/labels/": 1}),
    (["img/train/1.png", "ground_truth/train/1.png"], {"ground_truth/": 1}),
    (["12_sat.jpg", "12_mask.png"], {"*_mask.png": 1}),
    (["1_1_s.bmp", "1_1_s_GT.bmp"], {"*_GT.bmp": 1}),
    (["cell.tif", "cell_mask_0.png", "cell_mask_1.png"], {"*_mask*.png": 2}),
    (["street/a.jpg", "street/a.png", "street/b.JPG", "street/b.png", "street/c.jpg"], {"*.png": 2}),
]
TAKEN = [
    ["labels/001.jpg", "bottles/1.jpg"],  # photographs of labels
    ["labels/1.jpg", "masks/1.jpg"],  # nothing else is there
    ["with_mask/1.jpg", "without_mask/1.jpg"],  # faces
    ["cats/1.jpg", "dogs/1.jpg"],
    ["masked/1.jpg", "maskotes/1.jpg"],
    ["a_mask.png", "b.png"],
    ["a.jpg", "b.jpg", "c.jpg", "a.png"],
    ["x/a.jpg", "y/a.png"],
    ["segments/1.png", "plain/1.png"],
]


@pytest.mark.parametrize(("names", "groups"), LEFT_OUT)
def test_annotations_are_found(names: list[str], groups: dict[str, int]) -> None:
    found = find_annotations(names)
    assert (found.groups, len(found.names)) == (groups, sum(groups.values()))
    assert names[0] not in found.names


@pytest.mark.parametrize("names", TAKEN)
def test_images_stay_images(names: list[str]) -> None:
    assert find_annotations(names).names == frozenset()


def test_a_doubtful_folder_is_named() -> None:
    assert find_annotations(["bottles/1.jpg", "labels/001.jpg"]).doubtful == ("labels",)
    assert find_annotations(["labels/001.jpg"]).doubtful == ("labels",)


def test_many_folders_take_no_time() -> None:
    names = [
        f"{number}/{part}/{number}_{each}.png"
        for number in range(3000)
        for part in ("images", "masks")
        for each in "abc"
    ]
    assert len(find_annotations(names).names) == 9000


@pytest.fixture
def camvid(tmp_path: Path) -> Path:
    for name in ("train/1.png", "train/2.png", "trainannot/1.png", "trainannot/2.png", "val/9.png", "val/9_gt.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def test_it_is_said_what_is_left_out_and_how_to_take_it(camvid: Path, said: pytest.LogCaptureFixture) -> None:
    assert [file.name for file in find_images([camvid])] == ["train/1.png", "train/2.png", "val/9.png"]
    (line,) = said.messages
    assert line == (
        f"{camvid}: 3 files look like annotations of other images, left out: trainannot/, *_gt.png; to read them too, "
        f"add the folder {camvid}/trainannot"
    )
    said.clear()
    assert len(find_images([camvid, camvid / "trainannot", f"{camvid}/**/*_gt.png"])) == 6
    assert len(find_images([camvid], annotations=True)) == 6
    assert len(find_images([camvid / "trainannot"])) == 2
    assert len(find_images([camvid / "val/9_gt.png"])) == 1


def test_no_training_sees_them(make_images: MakeImages, tmp_path: Path) -> None:
    make_images("data/train")
    alone = find_dataset(Inputs([tmp_path / "data"]))
    make_images("data/trainannot")
    both = find_dataset(Inputs([tmp_path / "data"]))
    assert [unit.source.name for unit in both.opened(1).units] == ["train/p0.png", "train/p1.png", "train/p2.png"]
    assert both.inputs == alone.inputs, "nor does the recipe"


def test_a_folder_of_other_images_is_read_and_said(tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    for name in ("a.png", "labels/7.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert len(find_images([tmp_path])) == 2
    (line,) = said.messages
    assert "labels/ is named like annotations, but read as images" in line
