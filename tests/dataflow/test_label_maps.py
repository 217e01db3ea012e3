"""Where the labels of images are looked for, by the places of the images."""

from __future__ import annotations

import pytest

from unsegcli.dataflow.label_maps import image_folder
from unsegcli.images.working import Source


def source(name: str, path: str) -> Source:
    return Source(name, path, 0, "", 0, 0, 4, 4, 1, ())


@pytest.mark.parametrize(
    ("places", "folder"),
    [
        ([("a.png", "/d/images/val/a.png"), ("x/b.png", "/d/images/val/x/b.png")], "/d/images/val"),
        ([("a.png", "/d/images/train/a.png"), ("b.png", "/d/images/aug/b.png")], "/d/images"),
        ([("a.png", "/d/images/train/a.png"), ("b.png", "/e/images/train/b.png")], "/d/images/train"),
        ([("a.png", "/d/one/a.png"), ("b.png", "/d/two/b.png")], "/d/one"),
    ],
)
def test_the_folder_of_images_of_several_splits_is_the_one_above(places: list[tuple[str, str]], folder: str) -> None:
    assert str(image_folder([source(*place) for place in places])) == folder
    assert image_folder([]) is None
