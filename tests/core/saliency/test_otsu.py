"""Otsu's threshold: by hand, against every cut tried, and with weights."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from unsegcli.core.saliency.otsu import otsu, otsu_pair


def variance_between(values: NDArray[np.float64], at: float) -> float:
    low, high = values[values <= at], values[values > at]
    if not len(low) or not len(high):
        return 0.0
    return float(len(low) * len(high) / len(values) ** 2 * (low.mean() - high.mean()) ** 2)


def test_by_hand() -> None:
    # 0 0 1 | 4 5 5: means 1/3 and 14/3, between 1/4 (13/3)^2 = 169/36; mean 2.5, variance 67/6 - 25/4 = 59/12.
    cut = otsu(np.array([4.0, 0.0, 5.0, 1.0, 0.0, 5.0]))
    assert cut.at == 1.0
    assert cut.separation == pytest.approx((169 / 36) / (59 / 12))


def test_two_values_part_entirely() -> None:
    assert otsu(np.array([0.2, 0.2, 0.9])) == (0.2, 1.0)


@pytest.mark.parametrize("values", [[3.0], [0.5, 0.5, 0.5]])
def test_values_that_are_alike_have_no_upper_side(values: list[float]) -> None:
    cut = otsu(np.array(values))
    assert cut == (values[0], 0.0)
    assert not (np.array(values) > cut.at).any()


@given(st.lists(st.integers(0, 20), min_size=2, max_size=40))
def test_no_other_cut_is_better(values: list[int]) -> None:
    array = np.array(values, np.float64)
    cut = otsu(array)
    found = variance_between(array, cut.at)
    assert found >= max(variance_between(array, at) for at in array) - 1e-9
    assert 0 <= cut.separation <= 1
    if array.var() > 0:
        assert cut.separation == pytest.approx(found / array.var())


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 5)), min_size=2, max_size=12))
def test_a_weight_is_as_many_values(pairs: list[tuple[int, int]]) -> None:
    values, weights = (np.array(column, np.float64) for column in zip(*pairs, strict=True))
    weighted, repeated = otsu(values, weights), otsu(np.repeat(values, weights.astype(int)))
    assert weighted.at == repeated.at
    assert weighted.separation == pytest.approx(repeated.separation)


def test_two_thresholds_by_hand() -> None:
    # 0 0 2 | 9 10 | 20: means 2/3, 9.5, 20; within 8/3 + 1/2 = 19/6; mean 41/6, total 585 - 1681/6 = 1829/6.
    cut = otsu_pair(np.array([9.0, 0.0, 20.0, 2.0, 10.0, 0.0]))
    assert (cut.low, cut.high) == (2, 10)
    assert cut.separation == pytest.approx(1 - 19 / 1829)


@pytest.mark.parametrize(("values", "at"), [([3.0], 3), ([0.5, 0.5], 0.5), ([1.0, 4.0, 1.0], 1)])
def test_fewer_than_three_values_have_no_middle(values: list[float], at: float) -> None:
    cut = otsu_pair(np.array(values))
    assert cut == (at, at, otsu(np.array(values)).separation)


@given(st.lists(st.integers(0, 12), min_size=3, max_size=30))
def test_no_other_pair_is_better(values: list[int]) -> None:
    array = np.array(values, np.float64)

    def within(low: float, high: float) -> float:
        parts = [array[array <= low], array[(array > low) & (array <= high)], array[array > high]]
        return float(sum(((part - part.mean()) ** 2).sum() for part in parts if len(part)))

    cut = otsu_pair(array)
    best = min(within(low, high) for low in array for high in array if low <= high)
    assert within(cut.low, cut.high) == pytest.approx(best, abs=1e-9)
    if array.var() > 0:
        assert cut.separation == pytest.approx(1 - best / ((array - array.mean()) ** 2).sum())
