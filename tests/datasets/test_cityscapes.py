"""Cityscapes with 27 classes, against torchvision's reader of the same tree."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from preparing import prepared
from published_trees import SCENES, cityscapes_files, unpacked, zipped

from unsegcli.datasets import cityscapes
from unsegcli.errors import DataError
from unsegcli.labels import read_labels
from unsegcli.legend import read_legend


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many images as the tiny tree has are expected, at a smaller size."""
    from dataclasses import replace

    (whole,) = cityscapes.SETS
    splits = tuple(replace(one, images=len(SCENES[one.name]), labels=len(SCENES[one.name])) for one in whole.splits)
    monkeypatch.setattr(cityscapes, "SIDE", 64)
    from unsegcli.datasets._load import known_sets

    monkeypatch.setitem(known_sets(), "cityscapes-27", (replace(whole, splits=splits), cityscapes))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for files in cityscapes_files().values():
        unpacked(files, tmp_path / "cityscapes")
    return tmp_path / "cityscapes"


@pytest.mark.parametrize("split", SCENES)
def test_torchvision_reads_the_same_of_the_same_tree(split: str, tree: Path, tmp_path: Path) -> None:
    from torchvision.datasets import Cityscapes
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms import functional as transforms

    def cropped(image: Image.Image, how: InterpolationMode) -> np.ndarray:
        return np.asarray(transforms.center_crop(transforms.resize(image, 64, how), [64, 64]))

    folder = prepared(tmp_path / "out", tree, name="cityscapes-27")
    legend = read_legend(folder / "classes.toml")
    theirs = Cityscapes(str(tree), split, target_type="semantic")
    assert len(theirs) == len(list((folder / "images" / split).iterdir())) == len(SCENES[split])
    for number, path in enumerate(theirs.images):
        scene = Path(path).name.removesuffix("_leftImg8bit.png")
        image, label = theirs[number]
        ours = np.asarray(Image.open(folder / f"images/{split}/{scene}.png"))
        np.testing.assert_array_equal(ours, cropped(image, InterpolationMode.BILINEAR))
        truth = read_labels(folder / f"labels/{split}/{scene}.png", legend)[0]
        expected = cropped(label, InterpolationMode.NEAREST).astype(int) - 7
        np.testing.assert_array_equal(truth, np.where(expected < 0, -1, expected))
    named = {one.id: one.name for one in Cityscapes.classes if one.id >= 7}
    assert {one.sources[0]: one.name for one in legend.classes} == named


def test_archives_and_the_unpacked_tree_are_read_alike(tree: Path, tmp_path: Path) -> None:
    downloads = tmp_path / "downloads"
    for name, files in cityscapes_files().items():
        unpacked({name: zipped(files)}, downloads)
    whole = prepared(tmp_path / "whole", tree, name="cityscapes-27", original_size=True)
    streamed = prepared(tmp_path / "streamed", downloads, name="cityscapes-27", original_size=True)
    names = sorted(one.relative_to(whole).as_posix() for one in whole.rglob("*.png"))
    assert len(names) == 6
    for name in names:
        assert (whole / name).read_bytes() == (streamed / name).read_bytes()


def test_what_is_missing_is_said_with_what_was_expected(tree: Path, tmp_path: Path) -> None:
    (tree / "gtFine/train/bochum/bochum_000000_000313_gtFine_labelIds.png").unlink()
    expected = r"gtFine/train has 1 of 2 files \(of gtFine_trainvaltest.zip\); the label of train/bochum_000000_000313"
    with pytest.raises(DataError, match=expected):
        prepared(tmp_path / "out", tree, name="cityscapes-27")
