"""`unseg relabel`: name, merge and renumber the categories of a segmentation.

With a metrics artifact the names come from a matching to labels, which the recipe records.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unsegcli import console, store
from unsegcli.core.scoring.confusion import confusion
from unsegcli.core.scoring.matching import one_to_one
from unsegcli.dataflow.dataset import held_open, relative_hints, release_artifacts, source_tables
from unsegcli.dataflow.label_maps import Predictions, open_predictions
from unsegcli.dataflow.naming import Naming, by_matching, by_names, colors_of, divided, names_of, unused_color
from unsegcli.dataflow.next_output import last_made_from, next_output
from unsegcli.dataflow.provenance import LABELS, carried, joined, note_networks, provenance
from unsegcli.dataflow.runner import Outcome, unchanged, write_artifact
from unsegcli.errors import ConfigError, DataError, as_unseg_writes
from unsegcli.images.find import file_digest
from unsegcli.legend import Legend, given_legend, read_legend
from unsegcli.names import NamesFile, find_category, oldest_number, open_names, parse_rules
from unsegcli.params import OUTPUTS, Inputs, Relabel, Run
from unsegcli.recipe import Recipe, make_recipe
from unsegcli.segmenters.behind import DATA, Behind, find_behind
from unsegcli.segmenters.comparisons import comparison_of
from unsegcli.segmenters.splitting import Division, category_of, divided_fit, fit_parts, members

REVISION = 4  # clusters without a name keep their oldest number, and their colours unless others are farther apart
WAYS = "rules such as 3=water, --names FILE, --split CLUSTER, --metrics FILE, or --like FILE"


def relabel(inputs: Inputs, params: Relabel | None = None, run: Run | None = None) -> Outcome:
    """Write a segmentation with new numbers and names.

    Args:
        inputs: a segmentation.
        params: rules such as `3=water`, or a file of names; or a metrics file or an earlier segmentation to copy names
            from; and a legend with names and colours, whose order sets the numbers.
        run: the segmentation to write.
    """
    params, run = params or Relabel(), run or Run()
    if not inputs.paths or (len(inputs.paths) > 1 and not params.split):
        raise ConfigError(f"relabel needs exactly one segmentation, but {len(inputs.paths)} are given")
    run.of("relabel")  # an output that is named like a picture is an error
    predictions = open_predictions(inputs.paths[0])
    if predictions.role not in ("clusters", "classes") or predictions.clusters is None:
        raise ConfigError(f"{inputs.paths[0]}: holds {predictions.role}; relabel needs clusters or classes")
    _check_one_way(params)
    if params.split:
        return _split(predictions, inputs.paths[1:], params, run)
    named = _named(predictions, params)
    recipe = make_recipe("relabel", REVISION, [{"rules": list(params.rules)}], named.inputs, named.more)
    note_networks(named.hints, "segmentation")
    reads = [hint["path"] for hint in named.hints.values()]
    target = _target(predictions, recipe, params, run, reads)
    outcome = unchanged(target) or _write(target, predictions, named.naming, named.hints)
    for number in named.mixed:
        name = named.naming.names[number]
        console.note(f"{name} is mixed; divide it: unseg relabel {target.path} --split {number}")
    return outcome


class Named(NamedTuple):
    """The naming, and its origin for the recipe and the file."""

    naming: Naming
    inputs: dict[str, str]
    hints: dict[str, dict[str, str]]
    more: dict[str, str]  # of the recipe
    mixed: tuple[int, ...] = ()  # new categories that show several things


def _target(run: Predictions, recipe: Recipe, params: Relabel, how: Run, reads: Sequence[str]) -> store.Target:
    """Choose the output: without -o a name of its own, so that no other file is replaced."""
    if how.output:
        return store.Target(how.output, "segmentation", recipe, force=how.force, reads=reads)
    output, taken = next_output(Path(OUTPUTS["relabel"]), recipe)
    if taken and not output.exists():
        console.note(_what_is_kept(run, params, output, taken))
    return store.Target(output, "segmentation", recipe, force=how.force, reads=reads)


def _what_is_kept(run: Predictions, params: Relabel, output: Path, taken: Sequence[Path]) -> str:
    """Say which names are taken, and how to go on from a file that has names for the same clusters already."""
    before = last_made_from(run.inputs["segmentation"], taken)
    if before is None:
        return f"{taken[-1]} is kept: the output is {output}"
    typed = shlex.join(["unseg", "relabel", str(before), *_typed_for(open_predictions(before), run, params)])
    return (
        f"{before} has other names for the same clusters; it is kept, and the output is {output}. To go on from it, "
        f"with its numbers: {typed}"
    )


def _typed_for(before: Predictions, run: Predictions, params: Relabel) -> list[str]:
    """Return rules, or what is divided, by the numbers of another file; RULES if it has named one of the clusters."""
    places: dict[int | str, int] = {}
    for number, name in enumerate(names_of(before)):
        places[_known_as(name)] = -1 if _known_as(name) in places else number
    there = [places.get(_known_as(name), -1) for name in names_of(run)]
    if params.split:
        number = there[find_category(params.split, len(there), names_of(run), f"--split {params.split}")]
        return ["--split", "CLUSTER" if number < 0 else str(number)]
    rules = parse_rules(params.rules, len(there), run.categories)
    if not rules or any(there[number] < 0 for one in rules for number in one.clusters):
        return ["RULES"]
    return [f"{'+'.join(str(there[number]) for number in one.clusters)}={one.name}" for one in rules]


def _known_as(name: str) -> int | str:
    """Return what a category is known as before and after a renaming: its name, else its oldest number."""
    oldest = oldest_number(name)
    return name if oldest is None else oldest


def _check_one_way(params: Relabel) -> None:
    given = (params.rules, params.names, params.metrics, params.like, params.split)
    if sum(one not in (None, "", ()) and one != [] for one in given) != 1:
        raise ConfigError(f"give exactly one of: {WAYS}")
    if params.into != Relabel.into and not params.split:
        raise ConfigError("--into is only for --split; leave it out")
    if params.split and params.legend is not None:
        raise ConfigError("--legend names classes, and --split makes new clusters: leave one of them out")


def _named(run: Predictions, params: Relabel) -> Named:
    legend = None if params.legend is None else read_legend(given_legend(params.legend))
    hints, inputs = dict(run.hints), dict(run.inputs)
    labels = {"labels_used": run.labels_used} if run.labels_used else {}
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
        return Named(naming, inputs, hints, labels)
    if params.names is not None:
        naming, mixed = _by_file(run, open_names(params.names), legend)
        inputs["names"] = file_digest(Path(params.names))
        return Named(naming, inputs, hints, labels, mixed)
    names = parse_rules(params.rules, run.clusters or 0, run.categories)
    return Named(by_names(run, names, legend), inputs, hints, labels)


# How to name


def _by_file(run: Predictions, file: NamesFile, legend: Legend | None) -> tuple[Naming, tuple[int, ...]]:
    """Name clusters by a file; return also the new numbers of those that it calls mixed."""
    _check_made_for(run, file)
    names = file.names(run.clusters or 0)
    naming = by_names(run, names, legend)
    return naming, tuple(dict.fromkeys(naming.numbers[one.clusters[0]] for one in names if one.mixed))


def _check_made_for(run: Predictions, file: NamesFile) -> None:
    """Raise an error if a file of names belongs to another segmentation: its numbers mean other clusters."""
    if file.segmentation in ("", run.inputs["segmentation"]):
        return
    with store.open_artifact(run.name) as artifact:
        before = [one["path"] for one in provenance(artifact) if one["fingerprint"] == file.segmentation]
    found = f"relabel {os.path.relpath(before[0])}, for which it was" if before else "relabel the one that it was"
    raise DataError(
        f"{file.path}: names the clusters of another segmentation than {run.name}: {found} made, or save the names "
        f"again from the page of {run.name}"
    )


def _by_metrics(run: Predictions, path: Path, legend: Legend | None) -> tuple[Naming, str]:
    with store.open_artifact(path, "metrics") as artifact:
        scores = json.loads(bytes(artifact.table("scores")))
        fingerprint = artifact.fingerprint
        scored = [hint["fingerprint"] for name, hint in artifact.inputs.items() if name.startswith("segmentation")]
    with as_unseg_writes(path, "scores"):
        if not scores.get("assignment"):
            raise ConfigError(f"{path}: has no matching of clusters to classes; evaluate one segmentation of clusters")
        if run.inputs["segmentation"] not in scored:
            raise ConfigError(f"{path}: was made from another segmentation than {run.name}; evaluate this one first")
        names = scores["legend_classes"]
        if legend is not None and list(legend.names) != names:
            raise ConfigError(f"{path}: was made with the classes {', '.join(names)}, which differ from the legend")
        wanted = {cluster: names[number] for cluster, number in enumerate(scores["assignment"]) if number >= 0}
        return by_matching(run, wanted, names, legend), fingerprint


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
    colors = list(colors_of(old))
    for _ in fresh:
        colors.append(unused_color(colors))
    return Naming(numbers, tuple(names), tuple(colors), old.role)


# Dividing


def _split(run: Predictions, given: Sequence[str | Path], params: Relabel, how: Run) -> Outcome:
    """Divide one category by k-means on what was compared when the segmentation was made."""
    number = find_category(params.split, run.clusters or 0, names_of(run), f"--split {params.split}")
    behind = find_behind(Path(run.name), given, f"unseg relabel {run.name} FILE --split {params.split}")
    used = {name: hint for name, hint in behind.inputs.items() if name in ("model", *DATA)}
    settings = {"rules": [], "split": number, "into": params.into}
    inputs = {**run.inputs, **{name: hint["fingerprint"] for name, hint in used.items()}}
    labels = {"labels_used": run.labels_used} if run.labels_used else {}
    hints = {**run.hints, **used}
    note_networks(hints, "segmentation")
    reads = [hint["path"] for hint in hints.values()]
    recipe = make_recipe("relabel", REVISION, [settings], inputs, labels)
    target = _target(run, recipe, params, how, reads)
    return unchanged(target) or _write_split(target, run, behind, number, params.into)


def _write_split(target: store.Target, run: Predictions, behind: Behind, number: int, into: int) -> Outcome:
    category = category_of(run.name, number)
    try:
        found = comparison_of(category, behind, 0)
        sample = members(found.dataset, found.compare, category, found.params, found.workers)
    finally:
        release_artifacts()
    parts = fit_parts(sample, into, found.params, unit=found.unit)
    naming = divided(run, number, into)
    tables: dict[str, Any] = {"categories/name": list(naming.names), "categories/color": list(naming.colors)}
    numbers, others = naming.numbers, None
    if found.tables:
        tables |= divided_fit(found.tables, found.categories, number, parts, numbers)
        others = tables["fit/centres"][:-into]
    work = Division(category, found.compare, parts, others, numbers, len(naming.names), found.params)
    dataset = replace(found.dataset, hints={**run.hints, **found.dataset.hints})
    attributes = {"role": naming.role, "clusters": len(naming.names)}
    outcome = write_artifact(target, dataset, work, "dividing", attributes, found.workers, tables)
    listed = ", ".join(f"{one} ({naming.names[one]})" for one in numbers)
    console.note(f"{names_of(run)[number]} is divided into {listed}")
    if not found.tables:
        console.note("the file has no centres for `cluster --centres`, as the one that it was made from")
    return outcome


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
