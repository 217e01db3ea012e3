"""Score one run: choose the protocol, score each image, and combine all images. Works on arrays only.

Where label maps and ground truth come from is not known here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.scoring.ceiling import SEGMENTS, Segments, best_labelling, segments_of
from unsegcli.core.scoring.confusion import CountMatrix, IntegerMap, confusion
from unsegcli.core.scoring.matching import By
from unsegcli.core.scoring.object_scores import ObjectScores, best_of_two, object_scores
from unsegcli.core.scoring.protocols import PROTOCOLS, Protocol
from unsegcli.core.scoring.superpixel_scores import BorderScores, ShapeScores, border_scores, shape_scores
from unsegcli.core.scoring.tally import CeilingTally, ClusterTally, ObjectTally, SuperpixelTally
from unsegcli.errors import ConfigError, DataError
from unsegcli.params import Evaluate

VERSION = 1  # of the scores as JSON
FIXED_BY_PROTOCOL = ("matching", "match_by", "named_on", "polarity")
POLARITIES = ("given", "best-of-two")
HALVES = {"even": 0, "odd": 1}  # images are counted from 0
MIOU_OVER = {
    "truth": "classes with a label",
    "either": "classes with a label or a prediction",
    "all": "all classes, absent ones count 0",
}

Counted = tuple[CountMatrix, int, dict[Segments, CountMatrix]]  # matrix, ignored pixels, best labellings of segments
Judged = tuple[ObjectScores, NDArray[np.int8], NDArray[Any] | None]  # scores, truth as -1 0 1, confidence
Bordered = tuple[list[BorderScores], ShapeScores]  # one of the borders for each annotator


def check_evaluate(params: Evaluate) -> None:
    """Raise an error for settings that are not valid."""
    if params.protocol and params.protocol not in PROTOCOLS:
        raise ConfigError(f"--protocol {params.protocol}: is not one of {', '.join(PROTOCOLS)}")
    own = Evaluate()
    if params.protocol and any(getattr(params, name) != getattr(own, name) for name in FIXED_BY_PROTOCOL):
        raise ConfigError(
            f"--protocol {params.protocol} sets matching and polarity: leave out --many-to-one, --match-by, "
            "--named-on, --polarity"
        )
    if params.polarity not in POLARITIES:
        raise ConfigError(f"--polarity {params.polarity}: must be {' or '.join(POLARITIES)} here")
    if params.named_on and params.matching != "many-to-one":
        raise ConfigError(f"--named-on {params.named_on}: names all clusters, so add --many-to-one")
    if params.replicates < 0 or (params.tolerance is not None and params.tolerance < 0):
        raise ConfigError("--replicates and --tolerance must not be negative")
    if params.background is not None and (params.background < 0 or not params.ceiling):
        raise ConfigError(f"--background {params.background}: must be a cluster number, and is only for --ceiling")


def protocol_for(params: Evaluate, role: str, name: str) -> Protocol:
    """Return the published protocol that was chosen, or unseg's own with the user's settings.

    Args:
        params: the user's choices.
        role: what the label maps hold.
        name: of the run, for errors.
    """
    if params.ceiling and role not in ("clusters", "classes"):
        raise ConfigError(f"--ceiling is only for clusters, but {name} holds {role}; leave it out")
    if params.polarity != "given" and role != "mask":
        raise ConfigError(f"--polarity is only for object masks, but {name} holds {role}; leave it out")
    if params.named_on and role != "clusters":
        raise ConfigError(f"--named-on is only for clusters, but {name} holds {role}; leave it out")
    if params.protocol:
        protocol = PROTOCOLS[params.protocol]
        if role not in protocol.roles:
            wanted = "object masks" if "mask" in protocol.roles else "clusters"
            raise ConfigError(f"--protocol {protocol.name} scores {wanted}, but {name} holds {role}")
        return protocol
    if role == "classes":
        return Protocol("unseg", matching="none")
    return Protocol("unseg", matching=params.matching, by=cast(By, params.match_by), polarity=params.polarity)


def described(
    protocol: Protocol, params: Evaluate, role: str, ignore: Sequence[Any], matrix: CountMatrix | None
) -> dict[str, Any]:
    """Describe the protocol for the output."""
    clusters = matrix.shape[0] - 1 if matrix is not None else None
    classes = matrix.shape[1] if matrix is not None else None
    matched = role == "clusters"
    one = protocol.matching == "one-to-one" or (protocol.matching == "as-numbers-allow" and clusters == classes)
    return {
        "name": protocol.name,
        "matching": ("one-to-one" if one else "many-to-one") if matched else "none",
        "cost": protocol.by if matched else None,
        "named_on": f"{params.named_on} images, which are not scored" if params.named_on else None,
        "level": "data set" if role in ("clusters", "classes") else "image",
        "clusters": clusters,
        "classes": classes,
        "miou_over": MIOU_OVER[protocol.over],
        "ignore": list(ignore),
        "grid": params.grid,
        "polarity": protocol.polarity if role == "mask" else None,
        "not_reproduced": list(protocol.not_reproduced),
    }


# One image


def counted(predicted: IntegerMap, truth: IntegerMap, clusters: int, classes: int, params: Evaluate) -> Counted:
    """Count pixels of clusters and classes; both maps (height, width), negative = void or not scored."""
    matrix = confusion(predicted, truth, clusters, classes, void=-1)
    best: dict[Segments, CountMatrix] = {
        sort: best_labelling(segments_of(predicted, sort, params.background), truth, classes)
        for sort in (SEGMENTS if params.ceiling else ())
    }
    return matrix, int(truth.size - matrix.sum()), best


def judged(predicted: IntegerMap, truth: IntegerMap, confidence: NDArray[Any] | None, protocol: Protocol) -> Judged:
    """Score an object mask; class 0 of the truth is background, all others are objects."""
    binary = np.sign(truth).astype(np.int8)
    if protocol.name == "iem":
        binary[predicted < 0] = -1  # the paper crops the labels like the image
    score = best_of_two if protocol.polarity == "best-of-two" else object_scores
    return score(predicted > 0, binary), binary, confidence


def bordered(
    regions: IntegerMap, truths: Sequence[IntegerMap], pixels: NDArray[Any] | None, params: Evaluate
) -> Bordered:
    """Score superpixels against the maps of one or more annotators."""
    fitting = pixels if pixels is not None and pixels.shape[:2] == regions.shape else None
    return border_scores(regions, truths, params.tolerance, both_sides=True), shape_scores(regions, fitting)


# All images


def scores_of_clusters(
    found: Iterable[Counted], clusters: int, names: Sequence[str], protocol: Protocol, params: Evaluate
) -> tuple[dict[str, Any], ClusterTally]:
    """Return the scores of the dataset, and their tally; `names` are the class names."""
    tally = ClusterTally(clusters, len(names), protocol, params.replicates, params.seed, params.per_image)
    ceiling, ignored, index = CeilingTally(len(names), params.background), 0, -1
    for index, (matrix, unscored, best) in enumerate(found):
        if params.named_on and index % 2 == HALVES[params.named_on]:
            tally.name_by(matrix)
            continue
        tally.add(index, matrix)
        ceiling.add(best)
        ignored += unscored
    if params.named_on and index < 1:
        raise DataError(f"--named-on {params.named_on}: needs at least two images with labels")
    result = {**tally.result(names, ignored), "legend_classes": list(names)}
    return (result | {"oracle_ceiling": ceiling.result(tally)} if params.ceiling else result), tally


def scores_of_objects(
    found: Iterable[Judged], protocol: Protocol, params: Evaluate
) -> tuple[dict[str, Any], ObjectTally]:
    """Return the scores of object masks over all images, and their tally."""
    tally = ObjectTally(params.replicates, params.seed)
    for index, (scores, truth, confidence) in enumerate(found):
        tally.add(index, scores, truth)
        if confidence is not None:
            tally.curve.add(confidence, truth)
    return tally.result(protocol.polarity), tally


def scores_of_superpixels(found: Iterable[Bordered], params: Evaluate) -> tuple[dict[str, Any], SuperpixelTally]:
    """Return the scores of superpixels over all images, and their tally."""
    tally = SuperpixelTally(params.replicates, params.seed)
    for index, (borders, shape) in enumerate(found):
        tally.add(index, borders, shape)
    return tally.result(), tally


def plain(value: Any) -> Any:
    """Convert a value for JSON: numpy numbers to Python numbers, and NaN to None."""
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value
