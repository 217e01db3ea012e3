"""Evaluation protocols: how published codes match clusters to classes and average scores, and the default.

Each lists what it does not reproduce: steps outside scoring, such as crops, test-time flips and CRF.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.scoring.confusion import CountMatrix
from unsegcli.core.scoring.matching import By, many_to_one, one_to_one
from unsegcli.core.scoring.scores import Over
from unsegcli.errors import ConfigError


@dataclass(frozen=True)
class Protocol:
    """Rules to compute scores from a confusion matrix."""

    name: str
    matching: str = "one-to-one"  # one-to-one, many-to-one, none (clusters are classes), or as-numbers-allow
    by: By = "count"  # quantity that the matching maximises
    over: Over = "truth"  # classes of the mean IoU
    drops_extra: bool = False  # pixels of clusters numbered beyond the classes leave the score
    needs_equal: bool = False  # as many clusters as classes
    polarity: str = "given"  # of object masks: given, or best-of-two (an oracle)
    ignore: tuple[int, ...] = ()
    roles: tuple[str, ...] = ("clusters", "classes")  # what it scores
    not_reproduced: tuple[str, ...] = ()


PROTOCOLS = {
    "iic": Protocol(
        "iic",
        matching="as-numbers-allow",
        not_reproduced=(
            "choice of the checkpoint by labelled accuracy",
            "scores on images of the training",
        ),
    ),
    "picie": Protocol(
        "picie",
        over="either",
        needs_equal=True,
        not_reproduced=("images scaled and centre-cropped to 320 x 320", "the curated image list"),
    ),
    "stego": Protocol(
        "stego",
        over="either",
        drops_extra=True,
        not_reproduced=(
            "centre crop to 320 x 320",
            "mean over the image and its mirror image",
            "CRF",
            "choice of the checkpoint by labelled mIoU",
        ),
    ),
    "maskcontrast": Protocol(
        "maskcontrast",
        matching="as-numbers-allow",
        by="iou",
        over="all",
        ignore=(255,),
        not_reproduced=("k-means fitted on the validation set", "background from thresholded saliency", "five seeds"),
    ),
    "iem": Protocol(
        "iem",
        polarity="best-of-two",
        roles=("mask",),
        not_reproduced=("scaling and centre crop to 128 x 128",),
    ),
    "davis": Protocol(
        "davis",
        matching="none",
        ignore=(255,),
        roles=("mask", "classes"),
        not_reproduced=(
            "the list of sequences and the resolution of 480 rows",
            "temporal stability (of the first version)",
            "matching of objects without labels of the first frame (of the unsupervised track)",
        ),
    ),
}


def assignment_of(matrix: CountMatrix, protocol: Protocol) -> NDArray[np.intp]:
    """Match clusters to classes: (clusters,), -1 = none.

    Args:
        matrix: (clusters + 1, classes), the last row = pixels in no cluster.
        protocol: rules of the matching.
    """
    inner, outside = matrix[:-1], matrix[-1]
    clusters, classes = inner.shape
    if protocol.needs_equal and clusters != classes:
        raise ConfigError(
            f"--protocol {protocol.name} needs as many clusters as classes, but there are {clusters} and {classes}"
        )
    if protocol.matching == "none":
        return np.where(np.arange(clusters) < classes, np.arange(clusters), -1)
    if protocol.drops_extra:
        kept = one_to_one(inner[:classes], protocol.by, outside)
        return np.concatenate([kept, np.full(max(0, clusters - classes), -1, np.intp)])
    equal = clusters == classes
    one = protocol.matching == "one-to-one" or (protocol.matching == "as-numbers-allow" and equal)
    return one_to_one(inner, protocol.by, outside) if one else many_to_one(inner, protocol.by, outside)


def scored_part(matrix: CountMatrix, protocol: Protocol) -> CountMatrix:
    """Remove the pixels that the protocol does not score."""
    classes = matrix.shape[1]
    if not protocol.drops_extra or matrix.shape[0] - 1 <= classes:
        return matrix
    kept = np.zeros_like(matrix)
    kept[:classes] = matrix[:classes]
    return kept
