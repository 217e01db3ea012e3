"""The number of clusters by stability: where it is known, by hand, and where nothing stands out."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from unsegcli.core.mosaic import mosaic
from unsegcli.core.scoring import cluster_number
from unsegcli.core.scoring.cluster_number import curve_of, stability_curve
from unsegcli.core.superpixels.features import region_features
from unsegcli.core.superpixels.region_space import fit_space, place_weights
from unsegcli.core.superpixels.slic import slic
from unsegcli.errors import ConfigError, DataError
from unsegcli.stages.demo import TEXTURES


@pytest.fixture(autouse=True)
def _few_draws(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("slow") is None:
        monkeypatch.setattr(cluster_number, "DRAWS", 3)
        monkeypatch.setattr(cluster_number, "LARGEST_HALF", 300)


def blobs(count: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Points around the corners of a regular figure, none nearer to another than to the rest."""
    angles = 2 * np.pi * np.arange(count) / count
    corners = 10 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    points: NDArray[np.float64] = np.concatenate([corner + random.normal(size=(150, 2)) for corner in corners])
    return points


@pytest.mark.parametrize("count", [3, 4, 6])
def test_blobs_are_counted(count: int) -> None:
    points = blobs(count, np.random.default_rng(0))
    found = stability_curve(points, np.ones(len(points)), 8, seed=0)
    assert found.numbers == tuple(range(2, 9))
    assert found.chosen == count
    assert found.is_clear


@pytest.mark.slow
def test_textures_of_mosaics_are_counted() -> None:
    """Four photographs of textures, whose number is known from how the images were made.

    Not any four are, and not with superpixels that follow single stones; docs/results.md has those that are not.
    """
    textures = [TEXTURES[name]() for name in ("brick", "grass", "gravel", "tissue")]
    points, areas = [], []
    for number in range(40):
        image, _ = mosaic(textures, 128, np.random.default_rng([4, number]))
        regions = slic(image, None, 81, 30.0)
        points.append(region_features(image, regions))
        areas.append(np.bincount(regions.ravel()))
    every, weights = np.concatenate(points), np.concatenate(areas).astype(np.float64)
    images = np.repeat(np.arange(40), [len(one) for one in areas])
    scaled = fit_space(every, weights, 3, place_weights(every, weights, 3, images))(every)
    assert stability_curve(scaled, weights, 8, seed=0).chosen == 4


def test_one_cloud_has_no_number() -> None:
    points = np.random.default_rng(0).normal(size=(600, 4))
    assert not stability_curve(points, np.ones(600), 6, seed=0).is_clear


def test_what_is_chosen_by_hand() -> None:
    numbers = (2, 3, 4, 5, 6)
    assert curve_of(numbers, (0.96, 0.7, 0.9, 0.6, 0.5)).chosen == 4, "light and dark repeat themselves anyway"
    assert curve_of(numbers, (1.0, 0.7, 0.9, 0.6, 0.5)).chosen == 2, "more than light and dark"
    assert curve_of(numbers, (1.0, 0.7, 0.999, 0.6, 0.5)).chosen == 2, "the lowest of equal ones"
    assert curve_of(numbers, (0.9, 0.7, 0.75, 0.6, 0.5)).chosen == 2, "4 stands out, but does not repeat itself well"
    assert curve_of(numbers, (0.5, 0.85, 0.6, 0.95, 0.6)).chosen == 5, "the better one of two that stand out"
    falling = curve_of(numbers, (0.95, 0.9, 0.88, 0.85, 0.82))
    assert (falling.chosen, falling.is_clear) == (2, False)
    rising = curve_of(numbers, (0.5, 0.6, 0.7, 0.8, 0.9))
    assert (rising.chosen, rising.is_clear) == (6, False)


def test_points_without_weight_do_not_count() -> None:
    random = np.random.default_rng(0)
    points = np.concatenate([blobs(3, random), random.uniform(-30, 30, (200, 2))])
    weights = np.concatenate([np.ones(450), np.zeros(200)])
    assert stability_curve(points, weights, 6, seed=0).chosen == 3


def test_same_seed_same_curve() -> None:
    points = blobs(3, np.random.default_rng(0))
    first, again, other = (stability_curve(points, np.ones(450), 5, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first.scores != other.scores


def test_few_points_try_few_numbers() -> None:
    points = np.arange(9.0)[:, None]
    assert stability_curve(points, np.ones(9), 12, seed=0).numbers == (2, 3, 4)
    with pytest.raises(DataError, match="--classes N"):
        stability_curve(np.ones((50, 2)), np.ones(50), 12, seed=0)
    with pytest.raises(ConfigError, match="--max-classes 1"):
        stability_curve(points, np.ones(9), 1, seed=0)
