"""`unseg relabel`: name, merge and renumber the categories of a segmentation.

With a metrics artifact the names come from a matching to labels, which the recipe records.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unsegcli import console, store
from unsegcli.core.palette import MOST_DISTINCT, palette
from unsegcli.core.scoring.confusion import confusion
from unsegcli.core.scoring.matching import one_to_one
from unsegcli.dataflow.dataset import held_open, relative_hints, release_artifacts, source_tables
from unsegcli.dataflow.label_maps import Predictions, open_predictions
from unsegcli.dataflow.provenance import LABELS, carried, joined, note_networks
from unsegcli.dataflow.runner import Outcome, unchanged
from unsegcli.errors import ConfigError
from unsegcli.images.find import file_digest
from unsegcli.legend import Legend, given_legend, read_legend
from unsegcli.params import Inputs, Relabel, Run
from unsegcli.recipe import make_recipe

REVISION = 2  # categories keep their colours, and those without a rule their names
RULE = re.compile(r"\s*(\d+(?:\s*\+\s*\d+)*)\s*=\s*(\S.*?)\s*")
UNNAMED = re.compile(r"cluster \d+( \(was \d+\))?")


@dataclass(frozen=True)
class Naming:
    """The new number of each category, and the names and colours of the new categories."""

    numbers: tuple[int, ...]  # one for each old category
    names: tuple[str, ...]
    colors: tuple[str, ...]
    role: str  # clusters or classes


def relabel(inputs: Inputs, params: Relabel | None = None, run: Run | None = None) -> Outcome:
    """Write a segmentation with new numbers and names.

    Args:
        inputs: a segmentation.
        params: rules such as `3=water`; or a metrics file or an earlier segmentation to copy names from; and a legend
            with names and colours, whose order sets the numbers.
        run: the segmentation to write.
    """
    params, run = params or Relabel(), (run or Run()).of("relabel")
    if len(inputs.paths) != 1:
        raise ConfigError(f"relabel needs exactly one segmentation, but {len(inputs.paths)} are given")
    predictions = open_predictions(inputs.paths[0])
    if predictions.role not in ("clusters", "classes") or predictions.clusters is None:
        raise ConfigError(f"{inputs.paths[0]}: holds {predictions.role}; relabel needs clusters or classes")
    named = _named(predictions, params)
    recipe = make_recipe("relabel", REVISION, [{"rules": list(params.rules)}], named.inputs, named.more)
    note_networks(named.hints, "segmentation")
    reads = [hint["path"] for hint in named.hints.values()]
    target = store.Target(run.output, "segmentation", recipe, force=run.force, reads=reads)
    return unchanged(target) or _write(target, predictions, named.naming, named.hints)


class Named(NamedTuple):
    """The naming, and its origin for the recipe and the file."""

    naming: Naming
    inputs: dict[str, str]
    hints: dict[str, dict[str, str]]
    more: dict[str, str]  # of the recipe


def _named(run: Predictions, params: Relabel) -> Named:
    if sum((bool(params.rules), params.metrics is not None, params.like is not None)) != 1:
        raise ConfigError("give exactly one of: rules such as 3=water, --metrics FILE, or --like FILE")
    legend = None if params.legend is None else read_legend(given_legend(params.legend))
    hints, inputs = dict(run.hints), dict(run.inputs)
    if params.legend is not None:
        inputs["legend"] = file_digest(Path(params.legend))
    if params.metrics is not None:
        naming, fingerprint = _by_metrics(run, Path(params.metrics), legend)
        console.note("names come from a matching to labels, which the recipe records")
        inputs["metrics"] = fingerprint
        hints["metrics"] = {"path": str(params.metrics), "fingerprint": fingerprint}
        return Named(naming, inputs, hints, {"labels_used": "naming"})
    if params.like is not None:
        old = open_predictions(params.like)
        naming = _like(run, old)
        inputs["like"], hints["like"] = old.inputs["segmentation"], old.hints["segmentation"]
        return Named(naming, inputs, hints, {})
    return Named(_by_rules(run, params.rules, legend), inputs, hints, {})


# How to name


def _by_rules(run: Predictions, rules: Sequence[str], legend: Legend | None) -> Naming:
    """Number categories in the order of the legend or the rules; unnamed clusters follow in their old order."""
    clusters, wanted = run.clusters or 0, dict[int, str]()
    for rule in rules:
        match = RULE.fullmatch(rule)
        if match is None:
            raise ConfigError(f"{rule!r} is not a rule: write 3=water, or 1+4=roof to merge")
        for number in map(int, match[1].split("+")):
            if number >= clusters:
                raise ConfigError(f"{rule!r} names cluster {number}, but the clusters are 0 to {clusters - 1}")
            if wanted.setdefault(number, match[2]) != match[2]:
                raise ConfigError(f"cluster {number} is given two names, {wanted[number]!r} and {match[2]!r}")
    if legend is None:
        names = list(dict.fromkeys(wanted.values()))
        old = _colors_of(run)
        first = {name: number for number, name in reversed(wanted.items())}
        return _numbered(run, wanted, names, tuple(old[first[name]] for name in names), "clusters")
    unknown = sorted(set(wanted.values()) - set(legend.names))
    if unknown:
        raise ConfigError(f"the legend has no class {unknown[0]!r}; it has {', '.join(legend.names)}")
    return _numbered(run, wanted, list(legend.names), _legend_colors(legend), "classes")


def _by_metrics(run: Predictions, path: Path, legend: Legend | None) -> tuple[Naming, str]:
    with store.open_artifact(path, "metrics") as artifact:
        scores = json.loads(bytes(artifact.table("scores")))
        fingerprint = artifact.fingerprint
        scored = [hint["fingerprint"] for name, hint in artifact.inputs.items() if name.startswith("segmentation")]
    if not scores.get("assignment"):
        raise ConfigError(f"{path}: has no matching of clusters to classes; evaluate one segmentation of clusters")
    if run.inputs["segmentation"] not in scored:
        raise ConfigError(f"{path}: was made from another segmentation than {run.name}; evaluate this one first")
    names = scores["legend_classes"]
    if legend is not None and list(legend.names) != names:
        raise ConfigError(f"{path}: was made with the classes {', '.join(names)}, which differ from the legend")
    wanted = {cluster: names[number] for cluster, number in enumerate(scores["assignment"]) if number >= 0}
    colors = _palette(len(names)) if legend is None else _legend_colors(legend)
    return _numbered(run, wanted, names, colors, "classes"), fingerprint


def _numbered(
    run: Predictions, wanted: dict[int, str], names: Sequence[str], colors: tuple[str, ...], role: str
) -> Naming:
    """Number categories in the order of `names`, which have these colours, followed by unnamed clusters.

    An unnamed cluster keeps a name of its own and its colour, unless a named category has that colour.
    """
    clusters = run.clusters or 0
    unnamed = [number for number in range(clusters) if number not in wanted]
    numbers = tuple(
        names.index(wanted[number]) if number in wanted else len(names) + unnamed.index(number)
        for number in range(clusters)
    )
    old, all_colors = _colors_of(run), list(colors)
    for number in unnamed:
        all_colors.append(old[number] if old[number] not in all_colors else _unused_color(all_colors))
    kept = [_kept_name(run, number, numbers[number]) for number in unnamed]
    return Naming(numbers, (*names, *kept), tuple(all_colors), role)


def _kept_name(run: Predictions, old: int, new: int) -> str:
    """Return the name of a cluster that no rule mentions: its own if it has one, else its number, now and before."""
    name = run.categories[old] if old < len(run.categories) else ""
    if name and not UNNAMED.fullmatch(name):
        return name
    return f"cluster {new}" if new == old else f"cluster {new} (was {old})"


def _colors_of(run: Predictions) -> tuple[str, ...]:
    """Return the colours in which `visualize` shows the categories of a segmentation."""
    return (*run.colors, *_palette(run.clusters or 0)[len(run.colors) :])


def _legend_colors(legend: Legend) -> tuple[str, ...]:
    own = _palette(len(legend.classes))
    given = (None if one.color is None else "#{:02x}{:02x}{:02x}".format(*one.color) for one in legend.classes)
    return tuple(color or filled for color, filled in zip(given, own, strict=True))


def _palette(count: int) -> tuple[str, ...]:
    return tuple("#{:02x}{:02x}{:02x}".format(*color) for color in palette(count).tolist())


def _unused_color(used: Sequence[str]) -> str:
    """Return the first colour of the palette that is not used yet, or the next one if all are."""
    own = _palette(max(MOST_DISTINCT, len(used) + 1))
    return next((color for color in own if color not in used), own[len(used)])


def _like(run: Predictions, old: Predictions) -> Naming:
    """Match each cluster one-to-one to an old cluster by overlap; unmatched clusters get new numbers."""
    if old.clusters is None or run.clusters is None or "segmentation" not in old.inputs:
        raise ConfigError(f"{old.name}: --like needs a segmentation")
    olds = {(item.source.digest, item.source.page): item for item in old.maps if hasattr(item, "source")}
    total = np.zeros((run.clusters, old.clusters), np.int64)
    shared = 0
    try:
        with console.progress(len(run.maps), "comparing") as bar:
            for item in run.maps:
                before = olds.get((item.source.digest, item.source.page)) if hasattr(item, "source") else None
                bar.update()
                if before is not None:
                    shared += 1
                    grid = item.grid
                    total += confusion(item.on(grid), before.on(grid), run.clusters, old.clusters, void=-1)[:-1]
    finally:
        release_artifacts()
    if not shared:
        raise ConfigError(f"{old.name}: has no image in common with {run.name}; give a segmentation of the same images")
    given = one_to_one(total)
    fresh = [number for number in range(run.clusters) if given[number] < 0]
    numbers = tuple(
        int(given[number]) if given[number] >= 0 else old.clusters + fresh.index(number)
        for number in range(run.clusters)
    )
    names = [*(old.categories or [f"cluster {number}" for number in range(old.clusters)])]
    names += [f"cluster {old.clusters + number}" for number in range(len(fresh))]
    colors = list(_colors_of(old))
    for _ in fresh:
        colors.append(_unused_color(colors))
    return Naming(numbers, tuple(names), tuple(colors), old.role)


# Writing


def _write(target: store.Target, run: Predictions, naming: Naming, hints: dict[str, dict[str, str]]) -> Outcome:
    fingerprint = run.inputs["segmentation"]
    try:
        artifact = held_open(run.name, fingerprint)
        table = _table(naming)
        with target.writing() as writer, console.progress(artifact.window_count, "relabelling", "window") as bar:
            for row in range(len(writer.notes), artifact.window_count):
                writer.append([_window(artifact, row, table)], None)
                bar.update()
            sources = [item.source for item in run.maps if hasattr(item, "source")]
            copied = ("windows/source", "windows/box", "windows/grid", "windows/confidence", "windows/farthest")
            tables = {name: artifact.table(name) for name in copied if artifact.has(name)}
            skipped = {name: artifact.table(name) for name in ("skipped/name", "skipped/reason")}
            what_went_in = _what_went_in(hints)
            writer.finish(
                {
                    **source_tables(sources, target.path),
                    **tables,
                    **skipped,
                    "categories/name": list(naming.names),
                    "categories/color": list(naming.colors),
                    **_centres(artifact, naming),
                    **what_went_in,
                },
                {"role": naming.role, "clusters": len(naming.names), "reading": artifact.attributes["reading"]},
                relative_hints(hints, target.path),
            )
            return Outcome(target.path, len(skipped["skipped/name"]))
    finally:
        release_artifacts()


def _what_went_in(hints: dict[str, dict[str, str]]) -> dict[str, list[str]]:
    """Return the tables of pretrained networks and used labels; metrics have nothing but the names."""
    others = {name: hint for name, hint in hints.items() if name != "metrics"}
    found = carried(others, "segmentation")
    if "metrics" not in hints:
        return found
    return joined(found, {LABELS: [f"relabel: names from {Path(hints['metrics']['path']).name}"]})


def _centres(artifact: store.Artifact, naming: Naming) -> dict[str, Any]:
    """Return the centres of k-means, if there are any, and the new category of each."""
    if not artifact.has("fit/centres"):
        return {}
    names = ("fit/centres", "fit/mean", "fit/projection", "fit/scaling", "fit/settings")
    kept = {name: artifact.table(name) for name in names if artifact.has(name)}
    before = artifact.table("fit/category") if artifact.has("fit/category") else np.arange(len(kept["fit/centres"]))
    return {**kept, "fit/category": np.array(naming.numbers, np.int32)[before]}


def _table(naming: Naming) -> NDArray[Any]:
    """Return the lookup table from old to new numbers; the last entry is void."""
    dtype = np.uint8 if len(naming.names) <= np.iinfo(np.uint8).max else np.uint16
    return np.append(np.array(naming.numbers, np.int64), np.iinfo(dtype).max).astype(dtype)


def _window(artifact: store.Artifact, row: int, table: NDArray[Any]) -> dict[str, store.Encoded]:
    labels = artifact.read("segmentation", row)
    void = labels == np.iinfo(labels.dtype).max
    found = {"segmentation": store.encode(table[np.where(void, len(table) - 1, labels)])}
    for name in ("confidence", "distances"):
        if artifact.has(name):
            found[name] = store.encode(artifact.read(name, row))
    return found
