"""Object masks made before, on the windows of a training: the right ones, on the right pixels, or an error."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from called import iem
from numpy.typing import NDArray
from PIL import Image
from toy import object_mask, two_colours, write_images, write_masks

from unsegcli.dataflow.dataset import Dataset, Window, dataset_from_files
from unsegcli.errors import ConfigError, DataError
from unsegcli.params import Iem, Images, Inputs
from unsegcli.training.data import NO_MASK, NO_OBJECT, NOT_SURE, TrainingImage, open_proposals, report_left_out, usable
from unsegcli.training.data import with_proposal as add


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_images(tmp_path / "data", 3, 20, 24)


def opened(folder: Path, **reading: Any) -> Dataset:
    return dataset_from_files(Inputs(folder, Images(**reading))).opened(1)


def windows(folder: Path, **reading: Any) -> list[Window]:
    return [window for unit in opened(folder, **reading).units for window in unit.windows()]


def expected(number: int) -> NDArray[np.bool_]:
    return object_mask(two_colours(number, 20, 24))


@pytest.mark.parametrize("role", ["mask", "proposal"])
def test_mask_of_each_image_is_found(role: str, folder: Path, tmp_path: Path) -> None:
    masks = open_proposals(write_masks(tmp_path / "m.h5", folder, role=role))
    for number, window in enumerate(windows(folder)):
        found = masks.on(window)
        assert found is not None
        np.testing.assert_array_equal(found[0], expected(number))
        assert found[1] == 1.0, "no confidence is stored"


@pytest.mark.parametrize("values", [(0, 1), (0, 254), (0, 7)])
def test_any_number_but_0_is_object(values: tuple[int, int], folder: Path, tmp_path: Path) -> None:
    masks = write_masks(tmp_path / "m.h5", folder, lambda w: np.where(object_mask(w.pixels), values[1], values[0]))
    found = open_proposals(masks).on(windows(folder)[1])
    assert found is not None
    np.testing.assert_array_equal(found[0], expected(1))


def test_void_is_no_object(folder: Path, tmp_path: Path) -> None:
    masks = write_masks(tmp_path / "m.h5", folder, lambda w: np.where(object_mask(w.pixels), 1, 255))
    found = open_proposals(masks).on(windows(folder)[0])
    assert found is not None
    np.testing.assert_array_equal(found[0], expected(0))


def test_windows_of_a_image_are_cut_from_its_mask(folder: Path, tmp_path: Path) -> None:
    """Whether or not the mask itself was made in windows."""
    for name, cut in (("whole.h5", {}), ("cut.h5", {"patch": 12, "stride": 8})):
        masks = open_proposals(write_masks(tmp_path / name, folder, **cut))
        for window in windows(folder, patch=10):
            found = masks.on(window)
            assert found is not None
            number = int(window.name[1])
            np.testing.assert_array_equal(found[0], expected(number)[window.box.slices])


def test_masks_of_another_working_size_are_brought_to_the_pixels(folder: Path, tmp_path: Path) -> None:
    """Twice as large, so that each pixel of the image reads the mask under its centre."""

    def checks(window: Window) -> NDArray[np.bool_]:
        rows, columns = (np.arange(side) // 4 % 2 for side in window.grid)
        return np.asarray(rows[:, None] == columns)

    found = open_proposals(write_masks(tmp_path / "m.h5", folder, checks, scale=2.0)).on(windows(folder)[0])
    assert found is not None
    rows, columns = np.arange(20) // 2 % 2, np.arange(24) // 2 % 2
    np.testing.assert_array_equal(found[0], rows[:, None] == columns)


def test_masks_by_iem_are_taken(folder: Path, tmp_path: Path) -> None:
    made = iem([folder], tmp_path / "iem.h5", Iem(size=(32,), iterations=3), workers=1).path
    found = open_proposals(made).on(windows(folder, size=(16,))[0])
    assert found is not None
    assert found[0].shape == (16, 19)
    assert 0 <= found[1] <= 1


def test_confidence_is_that_of_the_windows(folder: Path, tmp_path: Path) -> None:
    whole = write_masks(tmp_path / "a.h5", folder, confidence_of=lambda w: 0.25 + 0.25 * int(w.name[1]))
    certain = [found[1] for found in map(open_proposals(whole).on, windows(folder)) if found]
    assert certain == [0.25, 0.5, 0.75]
    halves = write_masks(tmp_path / "b.h5", folder, confidence_of=lambda w: float(w.box.left > 0), patch=20)
    found = open_proposals(halves).on(windows(folder)[0])  # 20 + 4 columns; the second window begins at column 4
    assert found is not None
    assert found[1] == pytest.approx(12 / 24), "overlaps are cut halfway"


def test_images_without_a_mask_are_known(folder: Path, tmp_path: Path) -> None:
    masks = open_proposals(write_masks(tmp_path / "m.h5", folder))
    write_images(folder, 5, 20, 24)
    found = [masks.on(window) is not None for window in windows(folder)]
    assert found == [True, True, True, False, False]
    masks.check(unit.source for unit in opened(folder).units)  # which is no error


def test_mask_of_another_image_is_an_error(folder: Path, tmp_path: Path) -> None:
    masks = open_proposals(write_masks(tmp_path / "m.h5", folder))
    Image.fromarray(two_colours(9, 20, 24)).save(folder / "p1.png")
    with pytest.raises(DataError, match=r"m\.h5: the mask of p1\.png was made from another image.*make it again"):
        masks.check(unit.source for unit in opened(folder).units)
    Image.fromarray(two_colours(9, 24, 20)).save(folder / "p1.png")
    with pytest.raises(DataError, match=r"since this is 24 x 20, but p1\.png is 20 x 24"):
        masks.check(unit.source for unit in opened(folder).units)


def test_other_roles_and_kinds_are_refused(folder: Path, tmp_path: Path) -> None:
    made = write_masks(tmp_path / "m.h5", folder, role="clusters")
    with pytest.raises(ConfigError, match=r"m\.h5: holds clusters, not object masks; make masks with"):
        open_proposals(made)


def image(share: float, confidence: float = 1.0, valid: NDArray[np.bool_] | None = None) -> TrainingImage:
    """An image of 400 pixels with an object of so many of them, from the top."""
    mask = np.arange(400).reshape(20, 20) < 400 * share
    return add(TrainingImage(two_colours(0), valid, None), (mask, confidence))


def test_what_can_be_learned_from() -> None:
    given = [image(share) for share in (0, 0.0075, 0.01, 0.5, 0.99, 0.9925, 1)]
    given += [TrainingImage(two_colours(0), None, None), image(0.5, 0.4), image(0.5, 0.5)]
    left_out: Counter[str] = Counter()
    kept = list(usable(given, 0.5, left_out))
    assert kept == [given[2], given[3], given[4], given[9]]
    assert left_out == {NO_OBJECT: 4, NO_MASK: 1, NOT_SURE: 1}


def test_only_valid_pixels_count() -> None:
    valid = np.zeros((20, 20), np.bool_)
    valid[:10] = True
    kept = image(0.25, valid=valid)
    assert kept.proposal is not None
    assert kept.proposal.sum() == 100
    assert not list(usable([image(1.0, valid=valid), image(1.0, valid=~valid & False)], 0, Counter()))
    assert list(usable([kept], 0, Counter())) == [kept]


def test_nothing_usable_is_an_error() -> None:
    with pytest.raises(DataError, match=r"m\.h5: has no usable mask for these images \(3 without a mask\)"):
        report_left_out(Counter({NO_MASK: 3}), 0, "m.h5")
    report_left_out(Counter(), 0, "m.h5")  # that nothing could be read is said elsewhere
