"""A sample of regions is of bounded size, even, and keeps its columns together."""

from __future__ import annotations

import numpy as np
import pytest

from unsegcli.core.superpixels.region_sample import RegionSample


@pytest.mark.parametrize("limit", [1, 7, 10, 64, 1000])
@pytest.mark.parametrize("parts", [(100,), (1, 1, 98), (33, 0, 33, 34), (7,) * 14 + (2,)])
def test_it_is_every_so_many(limit: int, parts: tuple[int, ...]) -> None:
    sample, start = RegionSample(limit), 0
    for length in parts:
        rows = np.arange(start, start + length)
        sample.add(rows, -rows)
        start += length
    kept, opposite = sample.arrays()
    assert len(kept) <= limit
    assert sample.added == 100
    np.testing.assert_array_equal(kept, np.arange(0, 100, sample.every))
    np.testing.assert_array_equal(opposite, -kept)
    assert sample.every == 1 or 2 * len(kept) > min(limit, 100) - 2
