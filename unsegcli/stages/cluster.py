"""`unseg cluster`: assign every pixel to a cluster, with a trained model or a k-means baseline."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from unsegcli import console, store
from unsegcli.dataflow.dataset import Dataset, find_dataset, is_artifact
from unsegcli.dataflow.runner import Outcome, Pass, Stage, Work, prepare
from unsegcli.errors import ConfigError, DataError
from unsegcli.params import (
    AUTO,
    K_MEANS,
    MODEL,
    OBJECTS,
    VECTORS,
    Cluster,
    Inputs,
    Run,
    Superpixels,
    as_stored,
    changed_options,
    spelling,
)
from unsegcli.segmenters import baselines
from unsegcli.segmenters.centres import apply_centres, dataset_to_assign, fit_tables, read_centres
from unsegcli.segmenters.cutting import compiles_first
from unsegcli.segmenters.feature_files import (
    FeaturesFile,
    as_needed,
    check_for_features,
    counted_colours,
    features_file,
    refines,
    shown,
)
from unsegcli.segmenters.model_file import ModelFile, is_model, read_model_file
from unsegcli.segmenters.model_inputs import dataset_for
from unsegcli.segmenters.separate_windows import note_features_of_windows
from unsegcli.segmenters.vector_groups import (
    VectorGroups,
    VectorSample,
    cutting_used,
    fit_groups,
    group_window,
    read_groups,
    sample_vectors,
    stored_groups,
)
from unsegcli.segmenters.vectors import ModelVectors, cutting_of, described_by, recorded_cutting

STAGE = Stage("cluster", 3, "segmentation")  # models with `architecture` resnet or pyramid see shifted input
FITTING = STAGE._replace(revision=5)  # k-means, whose output holds all that is needed to apply its centres
COMPARING = STAGE._replace(revision=6)  # k-means on a file of features, layer by layer
GROUPING = STAGE._replace(revision=1)  # k-means on the vectors of a model
LEVELS = ("", "pixel", "superpixel")
SORTS, POOLINGS = ("image", "component"), ("mean", "logit")
SMALLEST_TILE = 64
OF_SCORES = ("per", "flips", "refine", "tile", "confidence")  # settings of a model's scores
OF_OBJECTS = ("objects", "threshold", "pooling", "classes", "starts", "iterations", "seed")
IF_CHANGED = ("squash", "mini_batch")  # settings of objects that are in the recipe only if they are used


@dataclass
class Shared:
    """What the clusterings of one call share, so that it is computed once."""

    several: bool = False  # whether there is more than one number of clusters
    sample: baselines.Sample | None = None
    vectors: ModelVectors | None = None
    vector_sample: VectorSample | None = None


def cluster(inputs: Inputs, params: Cluster | None = None, run: Run | None = None) -> Outcome:
    """Assign every pixel to a cluster: with a model if the first input is one, else with k-means.

    Args:
        inputs: a model, optionally followed by images, superpixels or features (default: its training data); or, for
            k-means, one artifact of kind superpixels or features; for `bands` or with centres also images.
        params: settings; those that do not apply to the input must keep their defaults.
        run: how to run, the device, and the segmentation to write.
    """
    params, run = params or Cluster(), (run or Run()).of("cluster")
    if isinstance(params.classes, tuple):
        raise ConfigError("several numbers of clusters give several outputs: call `cluster_each`")
    return _cluster(inputs, params, run, Shared())


def cluster_each(inputs: Inputs, params: Cluster | None = None, run: Run | None = None) -> list[Outcome]:
    """Assign every pixel to a cluster, once for each model and each number of clusters; see `cluster`.

    The names of several models, and several numbers of clusters, are added to the names of their outputs. With several
    numbers all are clusters of the same features: those of a model are the groups of its vectors, also for the number
    that it was trained with.
    """
    params, run = params or Cluster(), (run or Run()).of("cluster")
    if isinstance(params.classes, tuple) and len(set(params.classes)) < len(params.classes):
        raise ConfigError(f"--classes {','.join(map(str, params.classes))}: has a number twice")
    models = list(itertools.takewhile(is_model, inputs.paths))
    if len(models) < 2:
        return _for_each_number(inputs, params, run)
    outcomes = []
    for model, name in zip(models, _names_of(models), strict=True):
        one = replace(run, output=_numbered(run.output, name))
        console.note(f"{model} -> {one.output}")
        rest = inputs.paths[len(models) :]
        outcomes += _for_each_number(replace(inputs, paths=[model, *rest]), params, one)
    return outcomes


def _names_of(models: Sequence[str | Path]) -> list[str]:
    """Return a name for each model: that of its file, with its folder if two are equal."""
    names = [Path(one).stem for one in models]
    if len(set(names)) < len(names):
        names = [f"{Path(one).resolve().parent.name}-{Path(one).stem}" for one in models]
    if len(set(names)) < len(names):
        raise ConfigError(f"{', '.join(map(str, models))}: two models have the same name, or one is given twice")
    return names


def _for_each_number(inputs: Inputs, params: Cluster, run: Run) -> list[Outcome]:
    if not isinstance(params.classes, tuple):
        return [_cluster(inputs, params, run, Shared())]
    shared = Shared(several=True)
    return [
        _cluster(inputs, replace(params, classes=number), replace(run, output=_numbered(run.output, number)), shared)
        for number in params.classes
    ]


def _numbered(output: str | Path, what: str | int) -> Path:
    """Add a number or a name to the name of an output."""
    return Path(output).with_stem(f"{Path(output).stem}-{what}")


def _cluster(inputs: Inputs, params: Cluster, run: Run, shared: Shared) -> Outcome:
    if is_model(inputs.paths[0]):
        return _by_model(inputs, params, run, shared)
    named = [*changed_options(params, (MODEL, OBJECTS), ("confidence", "method")), *_device(run)]
    if is_artifact(inputs.paths[0]) and store.kind_of(inputs.paths[0]) == "features":
        named = [name for name in named if name not in ("--per", "--refine", "--no-refine")]
    if named:
        raise ConfigError(
            f"{inputs.paths[0]}: is not a model, but {', '.join(named)} is only for models: give a model first, or "
            "leave it out"
        )
    return _by_k_means(inputs, params, run, shared) if params.centres is None else _by_centres(inputs, params, run)


def _by_k_means(inputs: Inputs, params: Cluster, run: Run, shared: Shared) -> Outcome:
    chosen = params.classes is not None
    params = params if chosen else replace(params, classes=params.number)
    baselines.check_settings(params)
    first = inputs.paths[0]
    if params.features != "bands" and not is_artifact(first):
        raise ConfigError(
            f"{first}: --features {params.features} needs superpixels; make them with `unseg superpixels`, or use "
            "--features bands"
        )
    dataset = find_dataset(inputs, kinds=("superpixels", "features"), known_from=run.output)
    params, file = _of_features(params, dataset)
    more = {"method": f"baseline: {baselines.BASELINES[params.features]}", **baselines.sampled_images(dataset)}
    stage = FITTING if file is None else COMPARING
    found = prepare(stage, dataset, run, [baselines.settings_of(params, file)], more)
    if not chosen:  # said once the inputs are found
        console.note(f"{params.classes} clusters; use --classes N for another number")
    if file is not None and params.features == "regions":
        console.note(shown(file, params))
    if found.earlier is not None:
        return found.earlier
    found = _reading_as_needed(found.opened(), params)
    work = partial(baselines.assign_window, params=params)
    if run.dry_run:
        peak = baselines.peak_of(found.dataset, params, file)
        return found.write(partial(work, fit=baselines.untrained(found.dataset, params)), "clusters", {}, peak=peak)
    sample = shared.sample or baselines.draw_sample(found.dataset, params, run.pool)
    fit = baselines.fit_sample(sample, params)
    shared.sample = sample if shared.several else None  # may have hundreds of megabytes
    del sample
    if run.dask:  # what is known of each window would be sent with every batch
        fit = replace(fit, known={})
    tables = {"centres": fit.means, **fit.curve_tables(), **fit_tables(fit, found.dataset, params)}
    attributes = {"role": "clusters", "clusters": fit.clusters}
    return found.write(partial(work, fit=fit), "clusters", attributes, tables)


def _reading_as_needed(found: Pass, params: Cluster) -> Pass:
    return replace(found, dataset=as_needed(found.dataset, params, refine=bool(params.refine)))


def _of_features(params: Cluster, dataset: Dataset) -> tuple[Cluster, FeaturesFile | None]:
    """Check the settings against the input; return what a file of features holds."""
    if dataset.kind != "features":
        baselines.check_without_features(params, str(dataset.named[0] if dataset.named else dataset.kind))
        return params, None
    file = features_file(dataset)
    check_for_features(params, file)
    return replace(params, refine=refines(params, file), colours=counted_colours(params, file)), file


def _by_centres(inputs: Inputs, params: Cluster, run: Run) -> Outcome:
    """Apply the centres of an earlier run; nothing is fitted."""
    path = str(params.centres)
    named = changed_options(replace(params, centres=None), (K_MEANS, VECTORS), ("classes", "max_classes", "seed"))
    if named:
        raise ConfigError(f"--centres {path}: has its own clusters and settings; leave out {', '.join(named)}")
    centres = read_centres(path)
    dataset = dataset_to_assign(centres, inputs, known_from=run.output)
    more = {"method": f"baseline: {baselines.BASELINES[centres.settings.features]}"}
    refine, settings = False, []
    if dataset.kind == "features":
        file = features_file(dataset)
        check_for_features(replace(params, colours=float(centres.settings.colours)), file)
        refine = refines(params, file)
        settings = [{"refine": refine}] if file.dense else []
    else:
        baselines.check_without_features(params, str(inputs.paths[0]))
    found = prepare(FITTING, dataset, run, settings, more)
    if found.earlier is not None:
        return found.earlier
    try:
        found = found.opened()
    except DataError as error:
        raise DataError(f"{error} (images are read as those that {path} was fitted on)") from error
    if found.dataset.kind == "pictures" and centres.cutting is not None and compiles_first(centres.cutting):
        console.note("the first run compiles SLIC for this processor, which takes about ten seconds")
    settled = Cluster(features=centres.settings.features, colours=float(centres.settings.colours), refine=refine)
    found = _reading_as_needed(found, settled)
    console.note(f"{centres.attributes['clusters']} clusters of {path}, whose centres are used as they are")
    work = partial(apply_centres, centres=centres, refine=refine)
    return found.write(work, "clusters", centres.attributes, centres.tables)


def _by_model(inputs: Inputs, params: Cluster, run: Run, shared: Shared) -> Outcome:
    model, chosen = read_model_file(inputs.paths[0]), params.classes is not None
    if params.centres is not None or _groups_vectors(params, model, shared):
        return _by_vectors(inputs, params, run, model, shared)
    params = _of_model(replace(params, refine=bool(params.refine)), model)
    dataset = dataset_for(model, replace(inputs, paths=inputs.paths[1:]), run.output)
    if model.embeds and not chosen:
        console.note(f"{params.classes} clusters of objects; use --classes N for another number")
    params = replace(params, per=_level(params, dataset.kind, model))
    changed = [name for name in IF_CHANGED if getattr(params, name) != getattr(Cluster, name)]
    names = (*OF_SCORES, *((*OF_OBJECTS, *changed) if model.embeds else ()))
    settings = as_stored({name: getattr(params, name) for name in names})
    # torch uses its own threads, so everything runs in this process.
    found = prepare(STAGE, dataset, run.in_this_process("a model"), [settings], {"method": model.method})
    if found.earlier is not None:
        return found.earlier
    return _apply(found.opened(), model, params)


def _apply(found: Pass, model: ModelFile, params: Cluster) -> Outcome:
    """Apply the model to every window; torch is imported here, so that an unchanged output returns quickly."""
    from unsegcli.segmenters.network import apply_window
    from unsegcli.segmenters.objects import fit_objects, paint_window
    from unsegcli.segmenters.trained import open_trained

    trained = open_trained(model.path, params.method, found.run.device)
    if hasattr(trained.method.module, "image_features"):
        note_features_of_windows(found.dataset, trained.method.name)
    if not model.embeds:
        what = "object masks" if trained.method.role == "mask" else f"{trained.classes} clusters"
        console.note(f"{what} by {trained.method.name}, on {trained.device}")
        cut = trained.needs_regions and found.dataset.kind == "pictures"
        work: Work = partial(apply_window, trained=trained, params=params, cutting=cutting_of(model) if cut else None)
        attributes = {"role": trained.method.role, "clusters": trained.classes}
        return found.write(work, "clusters", attributes)
    console.note(
        f"{params.number} clusters of objects, 1 to {params.number}, and background as cluster 0, by "
        f"{trained.method.name}, on {trained.device}"
    )
    paint = partial(paint_window, trained=trained, params=params)
    if found.run.dry_run:
        return found.write(partial(paint, grouping=None), "clusters", {})
    grouping = fit_objects(found.dataset, trained, params, found.run.workers)
    attributes = {"role": "clusters", "clusters": params.number + 1}
    return found.write(partial(paint, grouping=grouping), "clusters", attributes)


def _groups_vectors(params: Cluster, model: ModelFile, shared: Shared) -> bool:
    """Whether the vectors of a model are grouped: if another number of clusters is asked for than its own."""
    return not model.embeds and params.classes is not None and (shared.several or params.classes != model.classes)


def _by_vectors(inputs: Inputs, params: Cluster, run: Run, model: ModelFile, shared: Shared) -> Outcome:
    """Group the vectors of a model's superpixels by k-means, or by the centres of an earlier such run."""
    _check_vectors(params)
    dataset = dataset_for(model, replace(inputs, paths=inputs.paths[1:]), run.output)
    earlier: VectorGroups | None = None
    if params.centres is not None:
        earlier, fingerprint = read_groups(params.centres, model)
        dataset = dataset.with_input("centres", params.centres, fingerprint)
    cutting = (None if earlier is None else earlier.cutting) or cutting_used(model, dataset)
    run = run.in_this_process("a model")  # torch uses its own threads
    more = {"method": model.method, **({} if earlier else baselines.sampled_images(dataset))}
    found = prepare(GROUPING, dataset, run, [_vector_settings(params, dataset, cutting)], more)
    if found.earlier is not None:
        return found.earlier
    found = found.opened()
    method = None if params.method is None else str(params.method)
    shared.vectors = shared.vectors or described_by(model, method, run.device, params.tile, cutting or Superpixels())
    work = partial(group_window, describe=shared.vectors)
    if run.dry_run:
        return found.write(partial(work, groups=None), "clusters", {})
    if earlier is not None:
        console.note(
            f"{earlier.attributes['clusters']} clusters of {params.centres}, whose centres are used as they are"
        )
        return found.write(partial(work, groups=earlier), "clusters", earlier.attributes, earlier.kept)
    shared.vector_sample = shared.vector_sample or sample_vectors(found.dataset, shared.vectors, params.seed)
    groups = fit_groups(shared.vector_sample, params)
    tables = stored_groups(groups, model, cutting)
    return found.write(partial(work, groups=groups), "clusters", groups.attributes, tables)


def _vector_settings(params: Cluster, dataset: Dataset, cutting: Superpixels | None) -> dict[str, Any]:
    """Return the settings that the result depends on."""
    names = ["tile"] if params.centres is not None else ["classes", "starts", "iterations", "seed", "tile"]
    names += ["max_classes"] if params.classes == AUTO else []
    cut = {} if dataset.kind != "pictures" or cutting is None else recorded_cutting(cutting)
    return {**as_stored({name: getattr(params, name) for name in names}), "groups": "vectors", **cut}


def _check_vectors(params: Cluster) -> None:
    """Raise an error for settings that do not apply to the groups of a model's vectors."""
    named = changed_options(params, (), ("features", "place", "blur", "samples", "flips", "refine", "confidence"))
    named += changed_options(params, (OBJECTS, VECTORS)) + (["--per"] if params.per == "pixel" else [])
    if params.centres is not None:
        named += changed_options(params, (), ("classes", "max_classes", "starts", "seed"))
    if named:
        what = "centres of an earlier run" if params.centres is not None else "another number of clusters"
        raise ConfigError(f"{', '.join(named)}: does not apply to a model with {what}; leave it out")
    _check_tile(params)
    baselines.check_settings(params)


def _of_model(params: Cluster, model: ModelFile) -> Cluster:
    """Fill in the number of clusters, and raise an error for settings that do not apply to the model."""
    named = changed_options(params, (K_MEANS, VECTORS), () if model.embeds else ("seed", "max_classes"))
    if model.embeds and "--starts" in named:
        named.remove("--starts")  # objects are grouped by k-means
    if named:
        raise ConfigError(f"{', '.join(named)} is only for k-means; leave it out with a model")
    if params.per not in LEVELS:
        raise ConfigError(f"--per {params.per}: is not one of {', '.join(LEVELS[1:])}")
    _check_tile(params)
    if model.embeds:
        return _of_objects(params, model)
    named = changed_options(params, (OBJECTS,))
    if named:
        raise ConfigError(f"{', '.join(named)}: {model.path} has its own clusters, not objects; leave it out")
    return replace(params, classes=model.classes)


def _check_tile(params: Cluster) -> None:
    if params.tile < SMALLEST_TILE:
        raise ConfigError(f"--tile {params.tile}: must be at least {SMALLEST_TILE}")


def _of_objects(params: Cluster, model: ModelFile) -> Cluster:
    if params.classes is None:
        params = replace(params, classes=model.classes)
    if params.classes == AUTO:
        raise ConfigError("--classes auto: not available for objects; set --classes N")
    baselines.check_settings(params)
    for name, known in (("objects", SORTS), ("pooling", POOLINGS)):
        if getattr(params, name) not in known:
            raise ConfigError(f"{spelling(Cluster, name)} {getattr(params, name)}: is not one of {', '.join(known)}")
    if not 0 < params.threshold < 1:
        raise ConfigError(f"--threshold {params.threshold:g}: must be between 0 and 1")
    if params.squash and params.per == "superpixel":
        raise ConfigError("--squash: superpixels are not squashed; leave out --per superpixel")
    return replace(params, per="pixel") if params.squash else params


def _level(params: Cluster, kind: str, model: ModelFile) -> str:
    if params.per == "superpixel" and kind == "pictures":
        raise ConfigError(
            f"--per superpixel: the inputs are images; make superpixels with `unseg superpixels -o sp.h5`, then run "
            f"`unseg cluster {model.path} sp.h5`"
        )
    return params.per or ("pixel" if kind == "pictures" else "superpixel")


def _device(run: Run) -> list[str]:
    return ["--device"] if run.device != AUTO else []
