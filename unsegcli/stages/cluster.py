"""`unseg cluster`: a cluster for every pixel, by a trained model or by one of the k-means baselines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from unsegcli import console, store
from unsegcli.dataflow.dataset import Supply, find_supply, is_artifact
from unsegcli.dataflow.runner import Outcome, Work, estimate, sweep, unchanged
from unsegcli.errors import ConfigError
from unsegcli.params import AUTO, Cluster, Learned, Objects, Pictures
from unsegcli.recipe import make_recipe
from unsegcli.segmenters import baselines
from unsegcli.segmenters.model_file import ModelFile, is_model, read_model_file
from unsegcli.segmenters.model_inputs import Given, supply_for

REVISION = 2
LEVELS = ("", "pixel", "superpixel")
OBJECTS, POOLINGS = ("picture", "component"), ("mean", "logit")
SMALLEST_TILE = 64


def cluster(
    inputs: Sequence[str | Path],
    output: str | Path = "segmentation.h5",
    params: Cluster | None = None,
    pictures: Pictures | None = None,
    *,
    learned: Learned | None = None,
    objects: Objects | None = None,
    method: str | Path | None = None,
    device: str = "auto",
    mask: str | Path | None = None,
    images: str | Path | None = None,
    limit: int | None = None,
    workers: int = 0,
    force: bool = False,
    dry_run: bool = False,
) -> Outcome:
    """Give every pixel a cluster: by a model if the first input is one, else by k-means, which learns nothing.

    Args:
        inputs: a model, then pictures or superpixels if not those that it learned from; or, for k-means, one
            artifact of kind superpixels or features; for `rgb` also pictures.
        output: the segmentation to write.
        params: k-means: features, number of clusters, starts and seed. With a model only the number may be said; and
            starts and seed, if its clusters are found afterwards.
        pictures: how pictures are read, where they are not in an artifact already.
        learned: model: how its scores become a map.
        objects: model whose clusters are found afterwards: what is an object.
        method: model: the file of the method, if it is a user's own.
        device: model: where it runs: auto cpu cuda mps.
        mask: folder of masks of valid pixels; for pictures only.
        images: folder where the pictures of an artifact without pixels lie now.
        limit: the first so many pictures only.
        workers: processes; 0 = one for each processor. The result is the same for any number.
        force: replace a model, or a file that is not an artifact.
        dry_run: only say what would be done.
    """
    given = Given(list(inputs), pictures or Pictures(), mask, images, limit, Path(output))
    run = _Run(output, workers, force, dry_run)
    if is_model(inputs[0]):
        return _by_model(given, params, learned or Learned(), objects, method, device, run)
    named = [*_options(objects, Objects()), *_options(learned, Learned(), method, device)]
    if named:
        raise ConfigError(
            f"{inputs[0]}: is no model, and {', '.join(named)} goes with one: name a model first, or leave it out"
        )
    return _by_k_means(given, params or Cluster(), run)


@dataclass(frozen=True)
class _Run:
    """How a run is to be done; the result does not depend on it."""

    output: str | Path
    workers: int
    force: bool
    dry_run: bool


def _by_k_means(given: Given, params: Cluster, run: _Run) -> Outcome:
    baselines.check_settings(params)
    first = given.inputs[0]
    if params.features != "rgb" and not is_artifact(first):
        raise ConfigError(
            f"{first}: --features {params.features} needs superpixels; make them first with "
            "`unseg superpixels`, or take --features rgb"
        )
    supply, reading = find_supply(
        given.inputs,
        given.pictures,
        kinds=("superpixels", "features"),
        mask=given.mask,
        images=given.images,
        limit=given.limit,
        known_from=given.known_from,
    )
    method = f"baseline: {baselines.BASELINES[params.features]}"
    recipe = make_recipe("cluster", REVISION, [baselines.settings_of(params), *reading], supply.inputs, method=method)
    target = store.Target(run.output, "segmentation", recipe, force=run.force, reads=given.inputs)
    earlier = unchanged(target)
    if earlier:
        return earlier
    supply = supply.opened(run.workers)
    work = partial(baselines.assign_window, params=params)
    if run.dry_run:
        return _tried(target, supply, partial(work, fit=baselines.untrained(supply, params)), run.workers)
    fit = baselines.fit_centres(supply, params, run.workers)
    attributes = {"role": "clusters", "clusters": fit.clusters}
    tables = {"centres": fit.in_feature_units(), **fit.curve_tables()}
    return sweep(target, supply, partial(work, fit=fit), "clusters", attributes, run.workers, tables)


def _by_model(
    given: Given,
    params: Cluster | None,
    learned: Learned,
    objects: Objects | None,
    method: str | Path | None,
    device: str,
    run: _Run,
) -> Outcome:
    _check(learned)
    model = read_model_file(given.inputs[0])
    grouping = _grouping(model, params, objects)
    supply, reading = supply_for(model, replace(given, inputs=given.inputs[1:]))
    learned = replace(learned, per=_level(learned, supply, model))
    objects = objects or Objects()
    afterwards = [] if grouping is None else [objects, _of_grouping(grouping)]
    settings = [learned, *afterwards, *reading]
    recipe = make_recipe("cluster", REVISION, settings, supply.inputs, method=model.method)
    reads = [given.inputs[0], *(hint["path"] for hint in supply.hints.values())]
    target = store.Target(run.output, "segmentation", recipe, force=run.force, reads=reads)
    earlier = unchanged(target)
    if earlier:
        return earlier
    # torch is loaded here, and not for k-means nor where nothing is to be done.
    from unsegcli.segmenters.network import apply_window
    from unsegcli.segmenters.objects import fit_objects, paint_window
    from unsegcli.segmenters.trained import open_trained

    trained = open_trained(model.path, method, device)
    supply = supply.opened(run.workers)
    in_this_process = 1  # torch has its own threads
    if grouping is None:
        console.note(f"{trained.classes} clusters by {trained.method.name}, on {trained.device}")
        work: Work = partial(apply_window, trained=trained, params=learned)
        if run.dry_run:
            return _tried(target, supply, work, in_this_process)
        attributes = {"role": trained.method.role, "clusters": trained.classes}
        return sweep(target, supply, work, "clusters", attributes, in_this_process)
    console.note(
        f"{grouping.classes} clusters of objects, 1 to {grouping.classes}, and background as cluster 0, by "
        f"{trained.method.name}, on {trained.device}"
    )
    paint = partial(paint_window, trained=trained, learned=learned, params=objects)
    if run.dry_run:
        return _tried(target, supply, partial(paint, grouping=None), in_this_process)
    found = fit_objects(supply, trained, learned, objects, grouping, in_this_process)
    attributes = {"role": "clusters", "clusters": int(grouping.classes) + 1}
    return sweep(target, supply, partial(paint, grouping=found), "clusters", attributes, in_this_process)


def _grouping(model: ModelFile, params: Cluster | None, objects: Objects | None) -> Cluster | None:
    """How the objects of a model are grouped; None if its clusters are its own."""
    if model.embeds:
        grouping = params or Cluster(classes=model.classes)
        _refuse_k_means(replace(grouping, starts=Cluster.starts, seed=Cluster.seed))
        if params is None:
            console.note(f"{model.classes} clusters of objects; say --classes N for another number")
        if grouping.classes == AUTO:
            raise ConfigError("--classes auto: objects have no number that is found by itself; say --classes N")
        baselines.check_settings(grouping)
        _check_objects(objects or Objects())
        return grouping
    _refuse_k_means(params)
    named = _options(objects, Objects())
    if named:
        raise ConfigError(f"{', '.join(named)}: {model.path} has its own clusters, and finds no objects; leave it out")
    if params is not None and params.classes != model.classes:
        raise ConfigError(f"--classes {params.classes}: {model.path} was trained for {model.classes}; leave it out")
    return None


def _of_grouping(grouping: Cluster) -> dict[str, int]:
    return {name: getattr(grouping, name) for name in ("classes", "starts", "iterations", "seed")}


def _check_objects(objects: Objects) -> None:
    for name, known in (("objects", OBJECTS), ("pooling", POOLINGS)):
        if getattr(objects, name) not in known:
            raise ConfigError(f"--{name} {getattr(objects, name)}: is not one of {', '.join(known)}")
    if not 0 < objects.threshold < 1:
        raise ConfigError(f"--threshold {objects.threshold:g}: is a probability, between 0 and 1")


def _tried(target: store.Target, supply: Supply, work: Work, workers: int) -> Outcome:
    console.note(f"would write {target.path}: {estimate(supply, work, workers)}")
    return Outcome(target.path, len(supply.bad))


def _level(learned: Learned, supply: Supply, model: ModelFile) -> str:
    if learned.per == "superpixel" and supply.kind == "pictures":
        raise ConfigError(
            f"--per superpixel: these are pictures; make superpixels of them with `unseg superpixels -o sp.h5`, then "
            f"`unseg cluster {model.path} sp.h5`"
        )
    return learned.per or ("pixel" if supply.kind == "pictures" else "superpixel")


def _refuse_k_means(params: Cluster | None) -> None:
    if params is not None and params != Cluster(classes=params.classes):
        named = ", ".join(_options(replace(params, classes=Cluster.classes), Cluster()))
        raise ConfigError(f"{named} is for k-means; with a model, leave it out")


def _options(given: Any, default: Any, method: object = None, device: str = "auto") -> list[str]:
    """The options that differ from their defaults, as typed."""
    every = () if given is None else fields(given)
    names = [field.name for field in every if getattr(given, field.name) != getattr(default, field.name)]
    names += ["method"] * (method is not None) + ["device"] * (device != "auto")
    return [f"--{name}" for name in names]


def _check(learned: Learned) -> None:
    if learned.per not in LEVELS:
        raise ConfigError(f"--per {learned.per}: is not one of {', '.join(LEVELS[1:])}")
    if learned.tile < SMALLEST_TILE:
        raise ConfigError(f"--tile {learned.tile}: must be at least {SMALLEST_TILE}")
