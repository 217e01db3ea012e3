"""Run lengths of COCO: by hand, and as its own reader understands them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unsegcli.core.run_lengths import compressed, region_runs


def test_runs_go_down_the_columns() -> None:
    regions = np.array([[0, 0, 1], [-1, 0, 1]])
    assert region_runs(regions) == [[0, 1, 1, 2, 2], [4, 2]]


def test_numbers_become_letters() -> None:
    """5 and 15 fit into one letter, 16 into two, since the fifth bit is the sign; the fourth is the difference -1."""
    assert compressed([5, 15, 16]) == "5?`0"
    assert compressed([5, 2, 9, 1]) == "529O"
    assert compressed([]) == ""


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
@given(seed=st.integers(0, 999), height=st.integers(1, 40), width=st.integers(1, 40))
def test_pycocotools_reads_them(seed: int, height: int, width: int) -> None:
    mask = pytest.importorskip("pycocotools.mask")
    regions = np.random.default_rng(seed).integers(-1, 3, (height, width)).repeat(5, axis=0)
    for number, runs in enumerate(region_runs(regions)):
        assert sum(runs) == regions.size
        read = mask.decode({"size": list(regions.shape), "counts": compressed(runs).encode()})
        np.testing.assert_array_equal(read == 1, regions == number)
