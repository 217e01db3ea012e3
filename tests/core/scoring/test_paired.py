"""The paired bootstrap: known answers, the right share of false finds, and seeds as a second level."""

from __future__ import annotations

import numpy as np
import pytest

from unsegcli.core.scoring.paired import difference, holm, mean_over_seeds
from unsegcli.core.scoring.protocols import Protocol
from unsegcli.core.scoring.scores import Bootstrap
from unsegcli.core.scoring.tally import ClusterTally


def tally_of(rights: np.ndarray, replicates: int = 200) -> ClusterTally:
    """The scores of images with so many of 100 pixels right, two classes of 50 pixels each."""
    tally = ClusterTally(2, 2, Protocol("unseg", matching="none"), replicates, 0, per_image=False)
    for index, right in enumerate(rights.tolist()):
        tally.add(index, np.array([[50, 100 - right], [0, right - 50], [0, 0]]))
    return tally


def test_equal_results_have_no_difference() -> None:
    one, other = (tally_of(np.arange(60, 100)).replicates["accuracy"] for _ in range(2))
    assert difference((0.7, 0.7), (one, other)) == (0, 0, 0, 1)


def test_a_constant_shift_is_known_exactly() -> None:
    """The images differ much, but the second result is always 5 pixels of 100 worse: the difference is sure."""
    rights = np.random.default_rng(0).integers(60, 100, 30)
    first, second = tally_of(rights), tally_of(rights - 5)
    low, high = np.quantile(first.replicates["accuracy"], [0.025, 0.975])
    assert high - low > 0.05
    found = difference((0.8, 0.75), (first.replicates["accuracy"], second.replicates["accuracy"]))
    assert found == pytest.approx((0.05, 0.05, 0.05, 2 / 201))


def accuracies(rights: np.ndarray, seed: int) -> np.ndarray:
    """The accuracy in each replicate, of images with so many of 100 pixels right."""
    bootstrap = Bootstrap(2, 1, 200, seed)
    for index, right in enumerate(rights.tolist()):
        bootstrap.add(index, np.array([[right], [100 - right]]))
    right, wrong = bootstrap.matrices[:, :, 0].T
    found: np.ndarray = right / (right + wrong)
    return found


def test_equal_methods_are_called_different_as_rarely_as_it_says() -> None:
    rng, finds = np.random.default_rng(1), 0
    for repeat in range(150):
        hard = rng.normal(0, 8, 40)
        rights = [np.clip(78 + hard + rng.normal(0, 4, 40), 51, 100).round().astype(int) for _ in range(2)]
        one, other = (accuracies(right, repeat) for right in rights)
        finds += difference((0.0, 0.0), (one, other)).p < 0.05
    assert 0.01 <= finds / 150 <= 0.11


def test_fewer_replicates_are_the_first_of_more() -> None:
    """So results with matrices of different sizes stay paired."""
    rights = np.arange(60, 90)
    many, few = (tally_of(rights, number).replicates["accuracy"] for number in (120, 50))
    np.testing.assert_array_equal(many[:50], few)


def test_draws_of_seeds_have_the_variance_of_their_mean() -> None:
    scores = np.array([0.2, 0.5, 0.6, 0.9])
    drawn = mean_over_seeds(np.repeat(scores[:, None], 40_000, axis=1), np.random.default_rng(0))
    assert drawn.mean() == pytest.approx(scores.mean(), abs=0.005)
    assert drawn.var() == pytest.approx(scores.var(ddof=1) / 4, rel=0.03)


def test_a_single_seed_is_always_drawn() -> None:
    values = np.arange(5.0)[None]
    np.testing.assert_array_equal(mean_over_seeds(values, np.random.default_rng(0)), values[0])


def test_replicates_without_pixels_do_not_count() -> None:
    one, other = np.array([np.nan, 0.5, 0.5]), np.array([0.5, 0.25, np.nan])
    assert difference((0.5, 0.25), (one, other)) == (0.25, 0.25, 0.25, 1.0)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9]) == [0.9]
    assert holm([0.6, 0.6]) == [1, 1]
