"""`unseg export`: write files for other programs: label maps, tables and outlines, or the weights of a model."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from unsegcli import console, store
from unsegcli._version import __version__
from unsegcli.dataflow.dataset import is_artifact, release_artifacts
from unsegcli.dataflow.label_maps import Predictions, open_predictions
from unsegcli.dataflow.output_folder import OutputFolder
from unsegcli.dataflow.provenance import carried, networks
from unsegcli.dataflow.runner import Outcome, UpToDate
from unsegcli.errors import ConfigError, DataError, not_among
from unsegcli.images.find import file_digest
from unsegcli.legend import Legend, read_legend
from unsegcli.params import Export, Inputs, Run, changed_options, recorded
from unsegcli.recipe import make_recipe
from unsegcli.views.backdrop import find_places, regions_behind
from unsegcli.views.categories import Categories, Matching, find_matching, legend_to_show, name_categories
from unsegcli.views.export import SUFFIXES
from unsegcli.views.export_folder import category_count, coded, pixel_size, write_exports
from unsegcli.views.exported_image import VECTOR, ExportPlan, ExportTask
from unsegcli.views.tensor_file import tensor_bytes, write_tensor_file

REVISION = 2
FORMATS = (*SUFFIXES, "csv", *VECTOR)
DEFAULT_FORMATS = ("png", "csv")
BACKBONE_OUTPUT = "weights.safetensors"
OF_MAPS = ("to", "values", "objects", "sieve", "simplify", "pixel_size", "legend", "metrics", "role")


def export(inputs: Inputs, params: Export | None = None, run: Run | None = None) -> Outcome:
    """Write a segmentation for other programs, or the weights of a model's backbone.

    Args:
        inputs: a segmentation, superpixels or a folder of label maps; or a model. And the folder of the images if they
            were moved, for means of bands.
        params: what to write.
        run: how to run, and the folder to write; for a model, the file.
    """
    params, run = params or Export(), run or Run()
    if len(inputs.paths) != 1:
        raise ConfigError(f"export needs exactly one input, but {len(inputs.paths)} are given")
    path = str(inputs.paths[0])
    if is_artifact(path) and store.kind_of(Path(path)) == "model":
        return _backbone(path, params, run if run.output else replace(run, output=BACKBONE_OUTPUT))
    return _files(inputs, params, run.of("export"))


# Label maps, tables and outlines


@dataclass(frozen=True)
class Exported:
    """What is exported, and what its categories mean."""

    run: Predictions
    params: Export
    matching: Matching | None
    legend: Legend | None
    digests: dict[str, str]

    @property
    def labels_used(self) -> str:
        """What labels were used for; empty = not used."""
        named = ["naming clusters"] if self.matching is not None and self.matching.assignment else []
        return " and ".join(filter(None, [self.run.labels_used, *named]))


def _files(inputs: Inputs, params: Export, how: Run) -> Outcome:
    found = _opened(inputs, params)
    _check_apart(Path(how.output), [*inputs.paths, inputs.source_folder, found.run.images])
    try:
        tasks = _tasks(found, inputs, how)
        settings = [recorded(found.params), {"limit": inputs.limit, "role": found.run.role}]
        used = found.labels_used
        recipe = make_recipe("export", REVISION, settings, found.digests, {"labels_used": used} if used else {})
        folder = OutputFolder(how.output, "exported files", recipe, force=how.force)
        done = folder.finished()
        if done is None:
            return write_exports(tasks, folder, how.workers, how.dry_run, used)
        if done.get("labels_used"):
            console.note(f"labels were used for {done['labels_used']}")
        return UpToDate(folder.path, int(done.get("skipped", 0)))
    finally:
        release_artifacts()


def _opened(inputs: Inputs, params: Export) -> Exported:
    """Open the label maps, and what names their categories."""
    run = open_predictions(inputs.paths[0], params.role)
    if not run.maps:
        raise DataError(f"{run.name}: has no label map")
    params = replace(params, to=_formats(params, run))
    matching = find_matching([] if params.metrics is None else [Path(params.metrics)], [run])[0]
    legend_path = legend_to_show(run, params.legend, [matching], inputs.source_folder)
    digests = dict(run.inputs)
    if matching is not None:
        digests["metrics"] = matching.fingerprint
    if legend_path is not None:
        digests["legend"] = file_digest(legend_path)
    legend = None if legend_path is None else read_legend(legend_path)
    return Exported(replace(run, maps=run.maps[: inputs.limit]), params, matching, legend, digests)


def _formats(params: Export, run: Predictions) -> tuple[str, ...]:
    """Return the formats to write, checked."""
    for one in params.to:
        if one not in FORMATS:
            raise ConfigError(not_among("--to", one, FORMATS))
    if run.role != "superpixels":
        return params.to or DEFAULT_FORMATS
    wrong = [one for one in params.to if one not in SUFFIXES]
    asked = [*(f"--to {one}" for one in wrong), *changed_options(params, (), ("objects", "sieve", "values"))]
    if asked:
        raise ConfigError(f"{asked[0]}: needs a segmentation, since superpixels have no categories")
    return params.to or DEFAULT_FORMATS[:1]


def _check_apart(path: Path, inputs: Sequence[str | Path | None]) -> None:
    """Raise an error if the output folder is one of the inputs."""
    place = Path(os.path.realpath(path))
    for given in inputs:
        if given is not None and Path(given).is_dir() and Path(os.path.realpath(given)) == place:
            raise ConfigError(f"-o {path}: is an input folder; use another one")


def _tasks(found: Exported, inputs: Inputs, how: Run) -> list[ExportTask]:
    """Plan the export of each image; the digests of images that are read are added to those of the inputs."""
    run, count = found.run, category_count(found.run, how.workers)
    named = None if run.role == "superpixels" else name_categories(run, count, found.legend, found.matching)
    plan = _plan(run.role, found.params, count, named)
    if not plan.objects:
        return [ExportTask(item, plan) for item in run.maps]
    regions = regions_behind(run)
    images = find_places(run, inputs.source_folder, found.digests, how.workers)
    return [ExportTask(item, plan, regions.get(item.name), images.get(item.name)) for item in run.maps]


def _plan(role: str, params: Export, count: int, named: Categories | None) -> ExportPlan:
    """Say what to make of each image; superpixels have no names."""
    names = () if named is None else named.names
    colors = () if named is None else tuple(map(_rgb, named.colors.tolist()))
    shared = role == "mask" and count > 2  # the numbers of a mask are objects of one class
    classes: Sequence[int] = [min(number, 1) for number in range(count)] if shared else range(count)
    class_names = (names[0], "object") if shared else names
    values = _values(params, class_names)
    numbers: Sequence[int] = [values[one] for one in classes] if values else range(count)
    listed = [class_names[one] for one in classes] if values else names
    types = {one: coded(count, values, one) for one in params.to if one in SUFFIXES}
    return ExportPlan(
        formats=params.to,
        dtypes={one: dtype for one, (dtype, _) in types.items()},
        numbers=numbers,
        voids={one: void for one, (_, void) in types.items()},
        colors=dict(zip(numbers, colors, strict=True)) if names and not values else None,
        listed=tuple(zip(numbers, listed, colors, strict=True)) if names else (),
        classes=classes,
        names=class_names,
        name_colors=colors[: len(class_names)],
        kept=tuple(number for number in range(len(class_names)) if number or role != "mask"),
        sieve=params.sieve,
        objects=params.objects,
        tolerance=params.simplify,
        pixel=pixel_size(params.pixel_size),
    )


def _rgb(color: Sequence[int]) -> tuple[int, int, int]:
    red, green, blue = color
    return red, green, blue


def _values(params: Export, names: Sequence[str]) -> tuple[int, ...]:
    """Return the values of the classes in label maps, checked; none = as they are numbered."""
    if params.values and len(params.values) != len(names):
        raise ConfigError(f"--values: {len(params.values)} values for {len(names)} categories: {', '.join(names)}")
    return params.values


# The weights of a model


def _backbone(path: str, params: Export, run: Run) -> Outcome:
    """Write the weights of the backbone; torch is imported here, so that help need not wait."""
    asked = changed_options(params, (), OF_MAPS)
    if asked:
        raise ConfigError(f"{asked[0]} is for a segmentation, but {path} is a model: leave it out")
    from unsegcli.segmenters.backbone_weights import backbone_of
    from unsegcli.segmenters.weights import state_to_arrays

    if Path(run.output).suffix.lower() != ".safetensors":
        raise ConfigError(f"-o {run.output}: the format is safetensors; give a name that ends in .safetensors")
    found = backbone_of(path, None if params.method is None else str(params.method))
    arrays, halves = state_to_arrays(found.state)
    about = {
        "format": "pt",
        "architecture": found.architecture,
        "method": found.method,
        "model": found.fingerprint,
        "made-by": f"unseg {__version__}",
    }
    for row in networks(carried({"model": {"path": str(path)}}, "model")):
        about |= {f"pretrained-{name}": text for name, text in row.items()}
    written = write_tensor_file(run.output, tensor_bytes(arrays, about, halves), force=run.force)
    names = list(arrays)
    console.note(
        f"{len(names)} tensors of {found.architecture} for {found.channels} bands, {names[0]} to {names[-1]}"
        f"{'' if written else ' (up to date)'}; torchvision's {found.architecture} loads them with strict=False and "
        "lacks only fc.weight and fc.bias"
    )
    return (Outcome if written else UpToDate)(Path(run.output))
