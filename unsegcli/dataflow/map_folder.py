"""The files that `unseg map` makes in its folder, and an earlier such folder, whose clusters new images are given."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unsegcli import store
from unsegcli.dataflow.dataset import is_artifact
from unsegcli.dataflow.provenance import UNCHANGED, provenance
from unsegcli.errors import ArtifactError, ConfigError, DataError
from unsegcli.params import Map

SUPERPIXELS, MODEL, FEATURES = "superpixels.h5", "model.h5", "features.h5"
SEGMENTATION, PAGE = "segmentation.h5", "page"
RANDOM = "none"  # weights that learned nothing
NETWORKS = ("model", "features")  # inputs of a segmentation that tell superpixels apart by more than their pixels


@dataclass(frozen=True)
class EarlierMap:
    """A segmentation that `unseg map` made, or that was relabelled from it, and what it was made from."""

    segmentation: Path  # the newest one
    superpixels: Path
    model: Path | None = None
    features: tuple[str, ...] | None = None  # options of `unseg features` that make such features


def read_earlier(path: str | Path, weights: str | Path = Map.weights) -> EarlierMap:
    """Find the newest segmentation of an earlier folder, and the files behind it.

    Args:
        path: a folder that `unseg map` made, or one of the segmentations in it.
        weights: of the network, as given for the new images; needed where those of the earlier folder are in a file.
    """
    segmentation = Path(path) if is_artifact(path) else newest_of(Path(path))
    with store.open_artifact(segmentation, "segmentation") as artifact:
        # the nearest first: a model behind features has superpixels of its own
        behind = sorted(provenance(artifact), key=lambda entry: int(entry["depth"]))
    found: dict[str, Path] = {}
    for entry in behind:
        if entry["input"] not in ("superpixels", *NETWORKS) or entry["input"] in found:
            continue
        if entry["input"] in NETWORKS and found.keys() & set(NETWORKS):
            continue  # a model behind features, which their options name
        if entry["state"] != UNCHANGED:
            raise DataError(f"--like {path}: {entry['path']}, which {segmentation} came from, {entry['state']}")
        found[entry["input"]] = Path(_from_here(entry["path"]))
    if "superpixels" not in found:
        raise DataError(f"--like {path}: {segmentation} was not made from superpixels, as `unseg map` makes them")
    features = None if "features" not in found else options_of(found["features"], weights)
    if features is None and weights != Map.weights:
        raise ConfigError(f"--weights: {segmentation} was made without a network that others trained; leave it out")
    return EarlierMap(segmentation, found["superpixels"], found.get("model"), features)


def newest_of(folder: Path) -> Path:
    """Return the newest segmentation of a folder among those that came from its first one."""
    first = folder / SEGMENTATION
    if not first.is_file():
        raise DataError(f"--like {folder}: has no {SEGMENTATION}; give a folder that `unseg map` made")
    with store.open_artifact(first, "segmentation") as artifact:
        fingerprint = artifact.fingerprint
    later = [path for path in sorted(folder.glob("*.h5")) if path != first and _came_from(path, fingerprint)]
    return max([first, *later], key=lambda path: path.stat().st_mtime_ns)


def _came_from(path: Path, fingerprint: str) -> bool:
    try:
        with store.open_artifact(path, "segmentation") as artifact:
            chain: Iterator[dict[str, Any]] = provenance(artifact)
            return any(one["input"] == "segmentation" and one["fingerprint"] == fingerprint for one in chain)
    except ArtifactError:
        return False


def options_of(features: Path, weights: str | Path = Map.weights) -> tuple[str, ...]:
    """Return the options of `unseg features` that make the same features of other images.

    Args:
        features: the features of the earlier images.
        weights: as given for the other images; the options have those that need no file.
    """
    with store.open_artifact(features, "features") as artifact:
        models = [Path(one["path"]) for one in provenance(artifact) if one["input"] == "model"]
        if models:
            return ("--backbone", _from_here(models[0]))
        made, resize = artifact.recipe["parameters"], float(artifact.table("resize")[0])
        used = str(artifact.recipe.get("network", {}).get("weights", ""))
    if " " in used and weights == Map.weights:
        raise ConfigError(f"{features}: its network, {used}, has the weights of a file; give it with --weights FILE")
    random = ("--weights", used) if used == RANDOM and weights == Map.weights else ()
    return ("--backbone", str(made["backbone"]), *random, "--resize", repr(resize))


def _from_here(path: str | Path) -> str:
    """Return the shorter of the absolute path and that from the working folder."""
    return min(str(path), os.path.relpath(path), key=len)
