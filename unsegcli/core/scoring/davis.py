"""Scores of objects in videos as in the DAVIS benchmark (Perazzi et al. 2016): region similarity J, boundary measure F.

J is the IoU of an object in a frame. F is the harmonic mean of the precision and recall of its boundary: the shares of
the boundary pixels of one map that are near the boundary of the other. For each object both are summed up over its
frames as mean, recall and decay.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unsegcli.errors import DataError

NEAR = 0.008  # of the image's diagonal: distance within which boundaries match
FOUND = 0.5  # score above which an object counts as found in a frame, for the recall
QUARTERS = 4  # the decay is the mean over the first quarter of the frames less that over the last

Mask = NDArray[np.bool_]  # (height, width)


class FrameScore(NamedTuple):
    """The scores of one object in one frame."""

    region: float  # J
    boundary: float  # F


ABSENT = FrameScore(1.0, 1.0)  # of an object that is neither in the map nor in the labels


class OverFrames(NamedTuple):
    """The scores of one object over its frames."""

    mean: float
    recall: float
    decay: float


def frame_scores(predicted: NDArray[Any], truth: NDArray[Any]) -> dict[int, FrameScore]:
    """Score every object of a frame that is in the map or in the labels, by its number; 0 is background.

    Args:
        predicted: (height, width); negative = void, which counts as background.
        truth: (height, width); negative = not scored.
    """
    known = truth >= 0
    present = np.union1d(predicted[known & (predicted > 0)], truth[truth > 0])
    return {int(one): frame_score((predicted == one) & known, truth == one, known) for one in present}


def frame_score(found: Mask, truth: Mask, known: Mask) -> FrameScore:
    """Score one object; both masks are empty where the frame is not scored."""
    union = int((found | truth).sum())
    region = int((found & truth).sum()) / union if union else 1.0
    return FrameScore(region, boundary_f(found, truth, tolerance(known.shape)))


def tolerance(shape: Sequence[int]) -> int:
    """Return the distance in pixels within which boundaries match."""
    return math.ceil(NEAR * math.hypot(*shape))


def boundary_f(found: Mask, truth: Mask, near: int) -> float:
    """Compute the F-measure of the boundary; 1 if both maps have none, 0 if one has none.

    Args:
        found: (height, width).
        truth: (height, width).
        near: distance in pixels, of pixel centres, within which boundaries match.
    """
    ours, theirs = outline(found), outline(truth)
    if not ours.any() or not theirs.any():
        return float(ours.any() == theirs.any())
    rows, columns = (np.flatnonzero((ours | theirs).any(axis=axis)) for axis in (1, 0))
    inside = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    precision = _share_near(ours[inside], theirs[inside], near)
    recall = _share_near(theirs[inside], ours[inside], near)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def outline(mask: Mask) -> Mask:
    """Return the pixels whose right, lower, or lower right neighbour differs: (height, width)."""
    next_row, next_column = (np.append(np.arange(1, side), side - 1) for side in mask.shape)
    below, beside = mask[next_row], mask[:, next_column]
    differs: Mask = (mask != below) | (mask != beside) | (mask != below[:, next_column])
    return differs


def _share_near(lines: Mask, others: Mask, near: int) -> float:
    """Compute the share of the pixels of an outline that are near another, which is not empty."""
    from scipy.ndimage import distance_transform_edt

    distances = distance_transform_edt(~others)
    return float((distances[lines] <= near).mean())


def over_frames(values: Sequence[float]) -> OverFrames:
    """Sum up the scores of the frames of one object, in order."""
    scores = np.asarray(values, np.float64)
    # Quarters share their border frames, as published.
    edges = np.round(np.linspace(1, len(scores), QUARTERS + 1) + 1e-10).astype(np.int64) - 1
    first, last = scores[edges[0] : edges[1] + 1], scores[edges[-2] : edges[-1] + 1]
    return OverFrames(float(scores.mean()), float((scores > FOUND).mean()), float(first.mean() - last.mean()))


class VideoTally:
    """The scores of the objects of all sequences."""

    def __init__(self) -> None:
        """Start without sequences."""
        self._rows: list[dict[str, Any]] = []
        self._copied: list[float] = []
        self._pixels = np.zeros(2, np.int64)  # scored, ignored

    def add(
        self,
        sequence: str,
        objects: Sequence[int],
        frames: Sequence[Mapping[int, FrameScore]],
        copied: Sequence[Mapping[int, FrameScore]],
    ) -> None:
        """Add a sequence.

        Args:
            sequence: its name.
            objects: numbers of the objects in its first frame; others are not scored.
            frames: the scores of the objects in each frame that is scored.
            copied: the same for the labels of the first frame, taken for all frames.
        """
        for one in objects:
            scores = [frame.get(one, ABSENT) for frame in frames]
            region = over_frames([score.region for score in scores])
            boundary = over_frames([score.boundary for score in scores])
            row: dict[str, Any] = {"sequence": sequence, "object": one, "frames": len(frames)}
            row |= {f"j_{name}": value for name, value in region._asdict().items()}
            row |= {f"f_{name}": value for name, value in boundary._asdict().items()}
            self._rows.append(row)
            floors = [frame.get(one, ABSENT) for frame in copied]
            self._copied.append(float(np.mean(floors)))

    def add_pixels(self, counts: Sequence[tuple[int, int]]) -> None:
        """Add the pixels of frames: scored, ignored."""
        self._pixels += np.array(counts).sum(axis=0)

    def result(self) -> dict[str, Any]:
        """Return all scores for the output."""
        if not self._rows:
            raise DataError("no sequence has an object with a label in its first frame")
        names = [f"{what}_{name}" for what in "jf" for name in OverFrames._fields]
        means = {name: float(np.mean([row[name] for row in self._rows])) for name in names}
        return {
            "scores": {"j_and_f": (means["j_mean"] + means["f_mean"]) / 2, **means},
            "interval": {},
            "chance": {"first_labels_copied_j_and_f": float(np.mean(self._copied))},
            "pixels": {"scored": int(self._pixels[0]), "ignored": int(self._pixels[1]), "unmatched": 0, "dropped": 0},
            "per_class": [],
            "assignment": [],
            "per_object": self._rows,
        }
