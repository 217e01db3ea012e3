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
from unsegcli.views.categories import Matching, find_matching, legend_to_show, name_categories
from unsegcli.views.export import SUFFIXES
from unsegcli.views.export_folder import category_numbers, coded, pixel_size, write_exports
from unsegcli.views.exported_image import VECTOR, ExportPlan, ExportTask
from unsegcli.views.geo_files import INSTALL, are_installed, check_installed, may_be_known
from unsegcli.views.map_sidecars import MEDIA_TYPES
from unsegcli.views.tensor_file import tensor_bytes, write_tensor_file

REVISION = 4
FORMATS = (*SUFFIXES, "csv", *VECTOR, "stac")
WITH_PLACES = ("geotiff", "gpkg", "stac")  # need rasterio
DEFAULT_FORMATS = ("png", "csv")
BACKBONE_OUTPUT = "weights.safetensors"
RGB = tuple[int, int, int]
OF_CATEGORIES = ("values", "objects", "sieve", "simplify", "coordinates", "pixel_size", "legend", "metrics")
OF_MAPS = ("to", *OF_CATEGORIES, "role")


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
        raise ConfigError(f"export needs exactly one input, but {len(inputs.paths)} are given{_cure(inputs.paths)}")
    path = str(inputs.paths[0])
    if is_artifact(path) and store.kind_of(Path(path)) == "model":
        return _backbone(path, params, run if run.output else replace(run, output=BACKBONE_OUTPUT))
    return _files(inputs, params, run.of("export"))


def _cure(paths: Sequence[str | Path]) -> str:
    """Say what was meant by several inputs, if that can be guessed."""
    formats = [str(path) for path in paths if str(path).lower() in FORMATS]
    if formats:
        return f"; formats are joined by commas: --to png,{formats[0]}"
    return "" if any(map(is_artifact, paths)) else "; of several label maps name the folder"


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
        _check_places(found.params, found.run)
        tasks = _tasks(found, inputs, how)
        measured = {"measured": True} if tasks[0].plan.measured else {}
        settings = [recorded(found.params), {"limit": inputs.limit, "role": found.run.role, **measured}]
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
    if params.method is not None:
        raise ConfigError(f"--method is for a model, but {run.name} is none: leave it out")
    if run.role != "superpixels":
        formats = params.to or DEFAULT_FORMATS
        _check_used(params, formats)
        return formats
    wrong = [one for one in params.to if one not in SUFFIXES]
    asked = [*(f"--to {one}" for one in wrong), *changed_options(params, (), OF_CATEGORIES)]
    if asked:
        raise ConfigError(f"{asked[0]}: needs a segmentation, since superpixels have no categories")
    return params.to or DEFAULT_FORMATS[:1]


def _check_used(params: Export, formats: Sequence[str]) -> None:
    """Raise an error for a setting that changes nothing in these formats."""
    tables = ("csv", "gpkg", *(formats if params.objects else ()))
    settings = {"values": tuple(SUFFIXES), "simplify": VECTOR, "coordinates": ("geojson",), "pixel_size": tables}
    for name, used in settings.items():
        for option in changed_options(params, (), (name,)):
            if not set(used) & set(formats):
                more = ", or --objects" if name == "pixel_size" else ""
                raise ConfigError(
                    f"{option}: changes nothing in {', '.join(formats)}; add {' or '.join(used)} to --to{more}"
                )


def _check_places(params: Export, run: Predictions) -> None:
    """Raise an error if a format cannot be written, since packages, places or other formats are missing."""
    if {"tiff", "geotiff"} <= set(params.to):
        raise ConfigError("--to tiff,geotiff: both would be NAME.tif; choose one")
    if "stac" in params.to and not set(params.to) & set(MEDIA_TYPES):
        raise ConfigError(f"--to stac: describes other files of an image: add {' or '.join(MEDIA_TYPES)} to --to")
    known = _has_systems(run)
    for one in WITH_PLACES:
        if one in params.to:
            check_installed(f"--to {one}")
    if "geojson" in params.to and known and params.coordinates != "pixels":
        check_installed("--to geojson of images with a place", "; or use --coordinates pixels")
    placed = any(item.place.transform for item in run.maps)
    lacking = [f"--to {one}" for one, there in (("gpkg", placed), ("stac", known)) if one in params.to and not there]
    lacking += ["--coordinates map"] if params.coordinates == "map" and not known else []
    if lacking:
        raise ConfigError(f"{lacking[0]}: no image of {run.name} has a known place on a map; geojson has pixels then")


def _has_systems(run: Predictions) -> bool:
    return any(item.place.transform and may_be_known(item.place.crs) for item in run.maps)


def _is_measured(params: Export, run: Predictions) -> bool:
    """Return whether areas in real units come from the places of the images."""
    wanted = params.objects or {"csv", "gpkg", "geojson"} & set(params.to)
    if params.pixel_size or not wanted or not _has_systems(run) or run.role == "superpixels":
        return False
    if not are_installed():
        console.warn(f"areas in m2 need --pixel-size, or rasterio, since the images have a place: {INSTALL}")
    return are_installed()


def _check_apart(path: Path, inputs: Sequence[str | Path | None]) -> None:
    """Raise an error if the output folder is one of the inputs."""
    place = Path(os.path.realpath(path))
    for given in inputs:
        if given is not None and Path(given).is_dir() and Path(os.path.realpath(given)) == place:
            raise ConfigError(f"-o {path}: is an input folder; use another one")


def _tasks(found: Exported, inputs: Inputs, how: Run) -> list[ExportTask]:
    """Plan the export of each image; the digests of images that are read are added to those of the inputs."""
    run, read = found.run, category_numbers(found.run, how.workers)
    plan = _plan(run.role, found.params, read, _named(found, read))
    plan = replace(plan, measured=_is_measured(found.params, run))
    if not plan.objects:
        return [ExportTask(item, plan) for item in run.maps]
    regions = regions_behind(run)
    images = find_places(run, inputs.source_folder, found.digests, how.workers)
    return [ExportTask(item, plan, regions.get(item.name), images.get(item.name)) for item in run.maps]


def _named(found: Exported, read: Sequence[int]) -> tuple[tuple[str, RGB], ...]:
    """Return name and colour of each category; superpixels have none."""
    run = found.run
    if run.role == "superpixels" or not read:
        return ()
    places = range(2) if run.role == "mask" and len(read) == 2 else read
    named = name_categories(run, places[-1] + 1, found.legend, found.matching)
    return tuple((named.names[place], _rgb(named.colors[place].tolist())) for place in places)


def _plan(role: str, params: Export, read: Sequence[int], named: Sequence[tuple[str, RGB]]) -> ExportPlan:
    """Say what to make of each image, whose maps have the numbers that are read."""
    names, colors = tuple(name for name, _ in named), tuple(color for _, color in named)
    shared = role == "mask" and len(read) > 2  # the numbers of a mask are objects of one class
    classes: Sequence[int] = [min(place, 1) for place in range(len(read))] if shared else range(len(read))
    class_names = (names[0], "object") if shared else names
    values = _values(params, class_names)
    kept: Sequence[int] = range(2) if role == "mask" and len(read) == 2 else read
    numbers: Sequence[int] = [values[one] for one in classes] if values else kept
    listed = [class_names[one] for one in classes] if values else names
    types = {one: coded(numbers, one) for one in params.to if one in SUFFIXES}
    return ExportPlan(
        read=read,
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
        measured=False,
        pixels_only=params.coordinates == "pixels" or not are_installed(),
    )


def _rgb(color: Sequence[int]) -> RGB:
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
