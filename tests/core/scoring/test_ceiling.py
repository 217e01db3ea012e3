"""The best labelling of given segments: by hand, and that nothing can beat it."""

from __future__ import annotations

import numpy as np

from unsegcli.core.scoring.ceiling import best_labelling, segments_of
from unsegcli.core.scoring.confusion import confusion
from unsegcli.core.scoring.matching import assigned, one_to_one
from unsegcli.core.scoring.scores import accuracy

LABELS = np.array([[1, 1, 0, 1], [1, 0, 0, 1], [0, 0, 2, -1]])


def test_segments_are_parts_or_all_of_a_cluster() -> None:
    parts = segments_of(LABELS, "component")
    assert parts.tolist() == [[0, 0, 1, 2], [0, 1, 1, 2], [1, 1, 3, -1]]
    assert segments_of(LABELS, "picture").tolist() == [[0, 0, 1, 0], [0, 1, 1, 0], [1, 1, 2, -1]]
    assert segments_of(LABELS, "component", background=0).tolist() == [[0, 0, -1, 1], [0, -1, -1, 1], [-1, -1, 2, -1]]


def test_best_labelling_by_hand() -> None:
    """Segment 0 has classes 1 1 0, segment 1 has 2 2; one pixel lies in no segment, and one is ignored."""
    segments, truth = np.array([[0, 0, 0, 1, 1, -1, 0]], np.int32), np.array([[1, 1, 0, 2, 2, 1, -1]])
    expected = [[0, 0, 0], [1, 2, 0], [0, 0, 2], [0, 1, 0]]
    assert best_labelling(segments, truth, 3).tolist() == expected


def test_image_without_a_segment() -> None:
    none = np.full((2, 2), -1, np.int32)
    assert best_labelling(none, np.array([[0, 1], [1, -1]]), 2).tolist() == [[0, 0], [0, 0], [1, 2]]


def test_no_matching_of_the_clusters_is_better() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        labels, truth = random.integers(0, 4, (12, 12)), random.integers(0, 3, (12, 12))
        matrix = confusion(labels, truth, 4, 3)
        matched = accuracy(assigned(matrix, one_to_one(matrix[:-1])))
        whole = accuracy(best_labelling(segments_of(labels, "picture"), truth, 3))
        parts = accuracy(best_labelling(segments_of(labels, "component"), truth, 3))
        assert matched <= whole <= parts
