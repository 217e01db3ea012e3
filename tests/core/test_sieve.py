"""The sieve: by hand, and what must hold for any map."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from unsegcli.core.pieces import BandPieces, PieceNumbers
from unsegcli.core.sieve import sieve
from unsegcli.core.superpixels.regions import areas, components


def test_a_speck_takes_the_value_with_the_longest_border() -> None:
    values = np.array([[0, 0, 0, 0], [0, 2, 1, 1], [1, 1, 1, 1]])
    assert sieve(values, 2)[1, 1] == 1  # two sides each, and 1 has 6 pixels, 0 has 5
    narrow = np.array([[0, 0, 0], [0, 2, 0], [1, 1, 1], [1, 1, 1]])
    assert sieve(narrow, 2)[1, 1] == 0
    assert (sieve(narrow, 1) == narrow).all()


def test_the_smallest_is_first_and_what_it_joins_counts_together() -> None:
    """What was 1 joins the two halves of 0, which are large enough only together."""
    values = np.array([[0, 1, 0], [0, 1, 0], [0, 2, 0], [2, 2, 2], [2, 2, 2]])
    assert sieve(values, 4).tolist() == [[0, 0, 0], [0, 0, 0], [0, 2, 0], [2, 2, 2], [2, 2, 2]]


def test_void_neither_gives_nor_takes() -> None:
    values = np.array([[-1, -1, -1], [-1, 3, -1], [0, -1, 0]])
    assert (sieve(values, 9) == values).all()
    assert sieve(np.array([[0, 0, 0, -1]]), 2).tolist() == [[0, 0, 0, -1]]


@given(seed=st.integers(0, 999), smallest=st.integers(1, 12))
def test_no_part_is_smaller_afterwards(seed: int, smallest: int) -> None:
    values = np.random.default_rng(seed).integers(0, 3, (8, 9))
    found = sieve(values, smallest)
    parts = components(found)
    assert areas(parts, int(parts.max()) + 1).min() >= smallest
    large = components(values)
    sizes = areas(large, int(large.max()) + 1)[large]
    biggest = sizes == sizes.max()
    assert (found[biggest] == values[biggest]).all() or sizes.max() < smallest


@given(seed=st.integers(0, 999), smallest=st.integers(0, 12), cuts=st.sets(st.integers(1, 9), max_size=4))
def test_a_map_in_bands_has_the_same_parts(seed: int, smallest: int, cuts: set[int]) -> None:
    values = np.random.default_rng(seed).integers(-1, 3, (10, 9))
    bands = np.split(values, sorted(cuts))
    pieces, numbers = BandPieces(smallest), PieceNumbers()
    first = np.concatenate([pieces.add(band) for band in bands])
    np.testing.assert_array_equal(first, np.concatenate([numbers.of(band) for band in bands]))
    parts = pieces.parts()
    wanted = components(sieve(values, smallest))
    np.testing.assert_array_equal(parts.of_piece[first], wanted)
    count = len(parts.values)
    assert parts.areas.tolist() == areas(wanted, count).tolist()
    assert parts.last_rows.tolist() == [np.nonzero(wanted == number)[0].max() for number in range(count)]
    np.testing.assert_array_equal(np.append(parts.values, -1)[parts.of_piece[first]], sieve(values, smallest))
    some = parts.only([0, 2])
    kept = np.isin(sieve(values, smallest), [0, 2])
    np.testing.assert_array_equal(some.of_piece[first], components(np.where(kept, wanted, -1)))


def test_a_part_that_two_bands_share_is_sieved_as_one() -> None:
    """Two pixels of 1, one in each band: too few for three, enough for two."""
    values = np.array([[0, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 0]])
    for smallest, count in ((2, 2), (3, 1)):
        pieces = BandPieces(smallest)
        for band in (values[:2], values[2:]):
            pieces.add(band)
        assert len(pieces.parts().values) == count
