"""SLIC on a device (a GPU if there is one, else the CPU) beside `slic`: equal except for ties."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage import data

from unsegcli.core.superpixels import local_kmeans, slic_torch
from unsegcli.core.superpixels import slic as on_cpu
from unsegcli.core.superpixels.fixed_point import fixed_point
from unsegcli.core.superpixels.lattice import lattice
from unsegcli.core.superpixels.slic import slic
from unsegcli.core.superpixels.slic_torch import nearest_centres, slic_on_device

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
TIE = 1e-5  # relative difference of distances that float32 does not tell apart


def photograph(bands: int, top: int = 100) -> np.ndarray:
    image = data.astronaut()[top : top + 120, 150:300]
    return np.concatenate([image, image[::-1]], axis=2)[:, :, :bands]


def disc() -> np.ndarray:
    return np.hypot(*np.mgrid[-60:60, -75:75]) < 55


@pytest.mark.parametrize("bands", [1, 3, 5])
@pytest.mark.parametrize("masked", [False, True])
def test_a_pixel_that_differs_is_a_tie(bands: int, masked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (on_cpu, slic_torch):
        monkeypatch.setattr(module, "HALVES", (None,))
    valid = disc() if masked else None
    planes = fixed_point(photograph(bands), valid)
    one = on_cpu._nearest_centres(planes, valid, 80, 10.0)
    other = nearest_centres(planes[None], valid, 80, 10.0, DEVICE)[0]
    np.testing.assert_array_equal(one < 0, other < 0)
    rows, columns = np.nonzero(one != other)
    centres = local_kmeans.cell_means(local_kmeans.gathered(planes, valid, lattice(planes.shape[1:], valid, 80)))
    area = (planes[0].size if valid is None else valid.sum()) / 80
    weights = on_cpu.weights_of(10.0, area, bands)
    features = np.concatenate([[rows, columns], planes[:, rows, columns]]).T
    distances = [(weights * (features - centres[which[rows, columns]]) ** 2).sum(axis=1) for which in (one, other)]
    np.testing.assert_allclose(*distances, rtol=TIE)
    assert len(rows) < 0.001 * one.size


@pytest.mark.parametrize("bands", [1, 3])
@pytest.mark.parametrize("masked", [False, True])
def test_superpixels_of_a_batch_are_those_of_each_image(bands: int, masked: bool) -> None:
    images = [photograph(bands, top) for top in (0, 100, 200)]
    images.insert(1, np.full_like(images[0], 9))  # has too few pieces, so it is repeated with more centres
    valid = disc() if masked else None
    for image, found in zip(images, slic_on_device(images, valid, 90, 10.0, DEVICE), strict=True):
        expected = slic(image, valid, 90, 10.0)
        assert found.dtype == expected.dtype
        assert found.max() == expected.max()
        assert (found == expected).mean() > 0.97


def test_batches_on_the_device_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    images = [photograph(3, top) for top in (0, 50, 100, 150, 200)]
    expected = list(slic_on_device(images, None, 60, 10.0, DEVICE))
    monkeypatch.setattr(slic_torch, "BATCH_PIXELS", 2 * images[0].shape[0] * images[0].shape[1])
    np.testing.assert_array_equal(list(slic_on_device(images, None, 60, 10.0, DEVICE)), expected)


def test_nothing_valid_and_no_images() -> None:
    image = photograph(3)
    nothing = np.zeros(image.shape[:2], bool)
    assert list(slic_on_device([], None, 60, 10.0, DEVICE)) == []
    (found,) = slic_on_device([image], nothing, 60, 10.0, DEVICE)
    assert (found == -1).all()
