"""Names and colours of the categories of a label map, from the map, a matching or a legend.

Nothing here reads ground truth; names from a matching depend on labels, which the page states.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli import console, store
from unsegcli.core.palette import (
    CONFUSABLE,
    MOST_DISTINCT,
    class_colors,
    hex_color,
    palette,
    parse_color,
    seen_distance,
)
from unsegcli.dataflow.label_maps import Predictions
from unsegcli.errors import ConfigError, as_unseg_writes
from unsegcli.images.find import file_digest
from unsegcli.legend import Legend, given_legend, legend_beside

Colors = NDArray[np.uint8]

MASK_COLORS = ((187, 187, 187), (68, 119, 170))  # background, object


@dataclass(frozen=True)
class Matching:
    """The scores of one run, from a metrics artifact."""

    path: Path
    fingerprint: str
    scores: dict[str, Any]  # as JSON, of this run alone
    matrix: NDArray[np.int64] | None = None  # pixels (cluster and "none", class), if they are stored
    inputs: Mapping[str, str] = field(default_factory=dict)  # digests of what it was made from, by name
    images: tuple[str, ...] = ()  # names of those that were scored, if they are stored

    @property
    def labels(self) -> Path | None:
        """The folder of the labels that were used for scoring, if it is known."""
        found = self.scores.get("labels")
        return Path(found) if isinstance(found, str) else None

    @property
    def legend(self) -> Path | None:
        """The legend that was used for scoring; None = none."""
        found = self.scores.get("legend")
        return None if found is None else Path(found)

    def holds_legend(self) -> bool:
        """Return whether the legend is the one that was used: else the file could name any file of this computer."""
        if self.legend is None:
            return True
        try:
            return self.legend.is_file() and file_digest(self.legend) == self.inputs.get("legend")
        except OSError:
            return False

    @property
    def assignment(self) -> tuple[int, ...]:
        """The class of each cluster, -1 = none; () if clusters were not matched."""
        return tuple(self.scores.get("assignment") or ())

    def checked(self) -> Matching:
        """Return this, or raise a `ValueError` if a score that is shown is of another type than `unseg` writes."""
        chance, protocol = self.scores.get("chance") or {}, self.scores.get("protocol") or {}
        good = all(isinstance(name, str) for name in self.class_names)
        good &= all(type(class_) is int and class_ >= -1 for class_ in self.assignment)
        good &= all(isinstance(value, int | float | None) for value in chance.values())
        good &= isinstance(protocol.get("ignore") or [], list)
        good &= isinstance(self.scores.get("labels", ""), str) and isinstance(self.scores.get("legend") or "", str)
        if not good:
            raise ValueError("values of another type")
        return self

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes that clusters were matched to."""
        return tuple(self.scores.get("legend_classes") or ())


@dataclass(frozen=True)
class Categories:
    """Names and colours of the categories of a label map and of its ground truth."""

    names: tuple[str, ...]
    colors: Colors  # (category, 3)
    class_of: tuple[int, ...] | None  # class of each category, -1 = none; None = unknown
    class_names: tuple[str, ...]
    class_colors: Colors  # (class, 3)
    shared: bool  # whether categories and classes have the same colours and share one key

    def entries(self, shares: Sequence[float]) -> list[tuple[str, tuple[int, int, int]]]:
        """Return name and colour of each category with a nonzero share, merging those of the same class and colour."""
        groups: dict[tuple[str, tuple[int, int, int]], list[int]] = {}
        for number, name in enumerate(self.names):
            if shares[number] > 0:
                red, green, blue = (int(value) for value in self.colors[number])
                groups.setdefault((_without_cluster(name, number), (red, green, blue)), []).append(number)
        return [
            (self.names[numbers[0]] if len(numbers) == 1 else _with_clusters(name, numbers), color)
            for (name, color), numbers in groups.items()
        ]


def find_matching(paths: Sequence[Path], runs: Sequence[Predictions]) -> tuple[Matching | None, ...]:
    """Find the scores of each run in metrics artifacts; None = no file scored it. An error if a file scored none."""
    found: list[Matching | None] = [None] * len(runs)
    for path in paths:
        scored = [read_matching(path, run) for run in runs]
        if not any(scored):
            names = " ".join(run.name for run in runs)
            raise ConfigError(f"{path}: was not made from the current {names}; run `unseg evaluate {names}` again")
        found = [before or now for before, now in zip(found, scored, strict=True)]
    return tuple(found)


def most_different(paths: Sequence[Path]) -> list[str]:
    """Return the images on which results differ most, in order, if one of these metrics artifacts compares results."""
    for path in paths:
        with store.open_artifact(path, "metrics") as artifact:
            rows = json.loads(bytes(artifact.table("scores"))).get("most_different", [])
        with as_unseg_writes(path, "scores"):
            if rows:
                return [str(row["image"]) for row in rows]
    return []


def read_matching(path: Path, run: Predictions) -> Matching | None:
    """Read the scores of a run from a metrics artifact; None if it has none."""
    with store.open_artifact(path, "metrics") as artifact:
        scores = json.loads(bytes(artifact.table("scores")))
        scored = {name: hint["fingerprint"] for name, hint in artifact.inputs.items()}
        fingerprint = artifact.fingerprint
        matrix = artifact.table("matrix") if artifact.has("matrix") else None
        images = tuple(artifact.table("images/name")) if artifact.has("images/name") else ()
        inputs = artifact.recipe["inputs"]
    numbers = [
        int(name.rpartition(".")[2])
        for name, digest in scored.items()
        if run.inputs.get(name.rpartition(".")[0]) == digest and name.rpartition(".")[2].isdecimal()
    ]
    if not numbers:
        return None
    with as_unseg_writes(path, "scores"):
        if "runs" not in scores:
            return Matching(path, fingerprint, scores, matrix, inputs, images).checked()
        of_all = {name: scores[name] for name in ("labels", "legend") if name in scores}
        return Matching(path, fingerprint, {**scores["runs"][numbers[0]], **of_all}, None, inputs, images).checked()


def name_categories(run: Predictions, count: int, legend: Legend | None, matching: Matching | None) -> Categories:
    """Choose names and colours: those in the artifact, else those of matched classes, else defaults.

    Args:
        run: the label maps.
        count: number of categories.
        legend: names and colours of the classes, if any.
        matching: clusters matched to classes, if any.
    """
    class_names, class_colors = known_classes(legend, matching)
    names, colors, class_of = _unnamed(run.role, count, class_names, class_colors)
    if run.parts:
        names = [f"part {number}" for number in range(count)]
    if run.role == "clusters" and matching is not None and matching.assignment:
        class_of = _padded(matching.assignment, count)
        with as_unseg_writes(matching.path, "scores"):
            colors = _matched_colors(class_of, class_colors)
            names = [
                f"cluster {number}" if class_ < 0 else _with_clusters(_class_name(class_names[class_]), [number])
                for number, class_ in enumerate(class_of)
            ]
    names[: len(run.categories)] = run.categories[:count]
    for number, text in enumerate(run.colors[:count]):
        colors[number] = parse_color(text)
    shared = run.role == "mask" or (class_of is not None and len(class_names) > 0)
    if run.role == "mask":
        class_names, class_colors = ("background", "object"), np.array(MASK_COLORS, np.uint8)
    return Categories(tuple(names), colors, class_of, tuple(map(_class_name, class_names)), class_colors, shared)


def legend_to_show(
    run: Predictions,
    given: str | Path | None,
    matchings: Sequence[Matching | None],
    images: str | Path | None,
    labels: Path | None = None,
) -> Path | None:
    """Return the legend: the one given, else the one used for scoring, else the one next to the images, if it fits.

    Args:
        run: the label maps.
        given: as the user named it.
        matchings: scores of the results.
        images: the folder of the images if it is known better than by the run.
        labels: the folder of labels that are shown.
    """
    if given is not None:
        return given_legend(given)
    for matching in matchings:
        if matching is not None and matching.holds_legend():
            return matching.legend
        if matching is not None and matching.legend is not None and matching.legend.is_file():
            console.warn(
                f"{matching.legend} is not the legend with which {matching.path} was made, or has changed: to use it, "
                f"give --legend {matching.legend}"
            )
    if labels is None and run.role != "classes":
        return None
    return legend_beside(run.images if images is None else Path(images), labels)


def known_classes(legend: Legend | None, matching: Matching | None) -> tuple[tuple[str, ...], Colors]:
    """Return names and colours of the classes of the ground truth; none if neither names them."""
    names = legend.names if legend is not None else matching.class_names if matching is not None else ()
    if legend is not None and matching is not None and matching.class_names not in ((), legend.names):
        raise ConfigError(
            f"{matching.path}: was made with the classes {', '.join(matching.class_names)}, but the legend has "
            f"{', '.join(legend.names)}: give the legend used for scoring with --legend"
        )
    given = ["" if one.color is None else hex_color(one.color) for one in legend.classes] if legend is not None else []
    chosen = class_colors(names, given or [""] * len(names))
    colors = np.array([*map(parse_color, chosen)], np.uint8).reshape(-1, 3)
    return names, colors


def _unnamed(
    role: str, count: int, class_names: Sequence[str], class_colors: Colors
) -> tuple[list[str], Colors, tuple[int, ...] | None]:
    """Return default names, colours and classes for a role."""
    colors = palette(count)
    if role == "mask":
        colors[: len(MASK_COLORS)] = MASK_COLORS[:count]
        names = ["background", "object" if count <= len(MASK_COLORS) else "object 1"]
        names += [f"object {number}" for number in range(2, count)]
        return names[:count], colors, tuple(int(number > 0) for number in range(count))
    if role == "classes":
        known = min(count, len(class_names))
        colors[:known] = class_colors[:known]
        names = [*class_names[:known], *(f"class {number}" for number in range(known, count))]
        return [_class_name(name) for name in names], colors, tuple(range(count))
    free = _unlike(class_colors, count)  # an unmatched cluster must not look like a class
    return [f"cluster {number}" for number in range(count)], free[np.arange(count) % len(free)], None


def _matched_colors(class_of: Sequence[int], class_colors: Colors) -> Colors:
    """Give each cluster the colour of its class, and unmatched clusters colours that no class has."""
    found, free = palette(len(class_of)), _unlike(class_colors, sum(one < 0 for one in class_of))
    for number, class_ in enumerate(class_of):
        left = sum(other < 0 for other in class_of[:number])
        found[number] = class_colors[class_] if class_ >= 0 else free[left % len(free)]
    return found


def _unlike(class_colors: Colors, count: int) -> Colors:
    """Return the palette colours, in order, that cannot be confused with a class colour.

    If these are fewer than `count`, add the next most different ones, so that clusters stay distinguishable.
    """
    others = palette(MOST_DISTINCT)
    if not len(class_colors):
        return others
    apart = seen_distance(others, class_colors).min(axis=1)
    free = apart > CONFUSABLE
    free[np.argsort(-apart, kind="stable")[:count]] = True
    unlike: Colors = others[free]
    return unlike


def _padded(assignment: Sequence[int], count: int) -> tuple[int, ...]:
    return (*assignment[:count], *([-1] * (count - len(assignment))))


def _class_name(name: str) -> str:
    """Return the name of a class; without a legend names are numbers."""
    return f"class {name}" if name.isdecimal() else name


def _with_clusters(name: str, numbers: Sequence[int]) -> str:
    """Name a class and the clusters matched to it: "water (clusters 0, 2)"."""
    return f"{name} (cluster{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))})"


def _without_cluster(name: str, number: int) -> str:
    return name.removesuffix(f" (cluster {number})")
