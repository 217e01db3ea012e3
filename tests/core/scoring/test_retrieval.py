"""Retrieval of segments by hand: whose class is taken, what is scored, and what is left out."""

from __future__ import annotations

import numpy as np
import pytest

from unsegcli.core.scoring.linear_probe import Labelled
from unsegcli.core.scoring.retrieval import majority, painted_counts, restricted, retrieved
from unsegcli.core.scoring.scores import class_scores, mean_iou
from unsegcli.errors import DataError

# Classes: 0 background, 1 cow, 2 car. Three segments that are looked up, and three that are asked for.
BANK = Labelled(
    np.array([[1.0, 0.0], [0.0, 5.0], [-1.0, 0.0]]),
    np.array([[90, 10, 0], [0, 4, 6], [30, 0, 0]]),
    np.array([0, 0, 1]),
    np.zeros((2, 3), np.int64),
)
QUERIES = Labelled(
    np.array([[9.0, 1.0], [0.1, 0.2], [-3.0, 0.1]]),
    np.array([[2, 8, 0], [0, 1, 9], [5, 0, 5]]),
    np.array([0, 1, 1]),
    np.array([[20, 4, 0], [10, 0, 6]]),
)


def test_the_class_of_a_segment_is_its_most_frequent_one_but_the_background() -> None:
    assert majority(BANK.counts, 0).tolist() == [1, 2, -1]
    assert majority(BANK.counts, None).tolist() == [0, 2, 0]


def test_the_nearest_direction_gives_its_class() -> None:
    """The third of the bank has no class: the query that points there is given that of the second, not of the first."""
    assert retrieved(BANK, QUERIES, 0, standardised=False).tolist() == [1, 2, 2]
    assert retrieved(BANK, QUERIES, None, standardised=False).tolist() == [0, 2, 0]


def test_scores_worked_out_by_hand() -> None:
    """Cow: 8 right of 13 true and 10 predicted, 8 / 15; car: 14 of 20 true and 20 predicted, 14 / 26."""
    matrix = painted_counts(np.array([1, 2, 2]), QUERIES, 0)
    assert matrix.tolist() == [[30, 4, 6], [2, 8, 0], [5, 1, 14], [0, 0, 0]]
    assert class_scores(matrix).iou == pytest.approx([30 / 47, 8 / 15, 14 / 26])
    without = painted_counts(np.array([1, 2, 2]), QUERIES, None)
    assert without.tolist() == [[0, 0, 0], [2, 8, 0], [5, 1, 14], [30, 4, 6]]


def test_some_classes_alone() -> None:
    """All labels but those of cars and the background are ignored, also in the segments that are looked up."""
    bank, queries = restricted(BANK, [2], 0), restricted(QUERIES, [2], 0)
    assert majority(bank.counts, 0).tolist() == [-1, 2, -1]
    given = retrieved(bank, queries, 0, standardised=False)
    assert given.tolist() == [2, 2, 2]
    assert class_scores(painted_counts(given, queries, 0)).iou[2] == pytest.approx(14 / (20 + 7))


def test_standardised_dimensions_count_alike() -> None:
    """The first dimension has a large mean and the third a small scale: by directions alone, they decide otherwise."""
    bank = Labelled(
        np.array([[100.0, 0.0, 0.01], [100.0, 1.0, 0.0]]), np.array([[0, 9, 0], [0, 0, 9]]), np.zeros(2, np.int64),
        np.zeros((1, 3), np.int64),
    )  # fmt: skip
    asked = Labelled(np.array([[100.0, 0.6, 0.01]]), np.ones((1, 3), np.int64), bank.images[:1], bank.outside)
    assert retrieved(bank, asked, 0, standardised=False).tolist() == [2]
    assert retrieved(bank, asked, 0, standardised=True).tolist() == [1]


def test_blocks_of_queries_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    counts = np.eye(3, dtype=np.int64)[random.integers(0, 3, 50)]
    each = Labelled(random.normal(size=(50, 4)), counts, np.zeros(50, np.int64), np.zeros((1, 3), np.int64))
    whole = retrieved(each, each, None, standardised=False)
    assert whole.tolist() == counts.argmax(axis=1).tolist()
    monkeypatch.setattr("unsegcli.core.scoring.retrieval.BLOCK", 7)
    assert retrieved(each, each, None, standardised=False).tolist() == whole.tolist()
    assert mean_iou(painted_counts(whole, each, None)) == 1


def test_nothing_to_look_up_is_an_error() -> None:
    bare = Labelled(BANK.vectors[2:], BANK.counts[2:], BANK.images[2:], BANK.outside)
    with pytest.raises(DataError, match="no segment that could be looked up"):
        retrieved(bare, QUERIES, 0, standardised=False)
