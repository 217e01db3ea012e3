"""Scores of objects in videos: by hand, from the published formulas."""

from __future__ import annotations

import numpy as np
import pytest

from unsegcli.core.scoring.davis import (
    FrameScore,
    VideoTally,
    boundary_f,
    frame_score,
    frame_scores,
    outline,
    over_frames,
    tolerance,
)
from unsegcli.errors import DataError


def rectangle(top: int, left: int, height: int, width: int, shape: tuple[int, int] = (20, 30)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[top : top + height, left : left + width] = True
    return mask


KNOWN = np.ones((20, 30), bool)


def test_region_similarity_by_hand() -> None:
    """Two squares of 36 pixels, one three columns beside the other: 18 in both, 54 in any."""
    score = frame_score(rectangle(4, 4, 6, 6), rectangle(4, 7, 6, 6), KNOWN)
    assert score.region == pytest.approx(1 / 3)
    assert frame_score(~KNOWN, ~KNOWN, KNOWN) == (1, 1)
    assert frame_score(~KNOWN, rectangle(4, 4, 6, 6), KNOWN) == (0, 0)


def test_outline_is_one_pixel_wide_and_none_at_the_border() -> None:
    mask = rectangle(0, 0, 2, 2, (4, 4))
    assert outline(mask).astype(int).tolist() == [[0, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert not outline(np.ones((4, 4), bool)).any()


def test_boundary_measure_by_hand() -> None:
    """Half planes: outlines are single columns; of those of a second object, which nobody sees, none is near."""
    left, near, far = (rectangle(0, 0, 20, width) for width in (10, 12, 13))
    assert boundary_f(near, left, 2) == 1
    assert boundary_f(far, left, 2) == 0
    both = left | rectangle(0, 20, 20, 10)
    assert outline(both).sum() == 40
    assert boundary_f(both, left, 2) == pytest.approx(2 * 0.5 * 1 / 1.5), "precision one half, recall one"
    assert boundary_f(KNOWN & False, left, 2) == 0


def test_the_tolerance_is_a_share_of_the_diagonal_rounded_up() -> None:
    assert tolerance((480, 854)) == 8  # 7.84
    assert tolerance((120, 160)) == 2  # 1.6


def test_mean_recall_and_decay_by_hand() -> None:
    """Nine frames: the quarters are frames 1 to 3 and 7 to 9, which share their border frames with the others."""
    found = over_frames([1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2])
    assert found.mean == pytest.approx(0.6)
    assert found.recall == pytest.approx(5 / 9), ".5 itself is not found"
    assert found.decay == pytest.approx(0.9 - 0.3)
    assert over_frames([0.7]) == pytest.approx((0.7, 1, 0))


def test_objects_of_a_frame() -> None:
    truth = np.zeros((20, 30), int)
    truth[4:10, 4:10], truth[0] = 2, -1
    predicted = np.where(truth == 2, 2, 0)
    predicted[0, :5] = 2  # where nothing is scored
    predicted[12:15, 12:15] = 3
    predicted[19] = -1
    found = frame_scores(predicted, truth)
    assert found == {2: (1, 1), 3: (0, 0)}


def test_objects_are_averaged_over_all_sequences() -> None:
    """An object that is nowhere in a frame is right there: object 2 has 1 and .4 in its two frames."""
    one, two = FrameScore(0.5, 0.7), FrameScore(0.4, 0.6)
    tally = VideoTally()
    tally.add("a", [1, 2], [{1: one}, {1: one, 2: two}], [{1: two}, {1: two, 2: two}])
    tally.add("b", [1], [{1: two, 9: one}], [{1: one}])
    tally.add_pixels([(5, 1), (4, 2)])
    found = tally.result()
    assert found["scores"]["j_mean"] == pytest.approx((0.5 + 0.7 + 0.4) / 3)
    assert found["scores"]["f_mean"] == pytest.approx((0.7 + 0.8 + 0.6) / 3)
    assert found["scores"]["j_and_f"] == pytest.approx((1.6 / 3 + 2.1 / 3) / 2)
    assert found["chance"]["first_labels_copied_j_and_f"] == pytest.approx((0.5 + 0.75 + 0.6) / 3)
    assert [row["object"] for row in found["per_object"]] == [1, 2, 1]
    assert found["pixels"] == {"scored": 9, "ignored": 3, "unmatched": 0, "dropped": 0}
    with pytest.raises(DataError, match="no sequence"):
        VideoTally().result()
