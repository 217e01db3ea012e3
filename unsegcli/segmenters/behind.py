"""Find what a segmentation was made from: its superpixels, features or images, and its model.

Files that only gave it other names are passed over.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

from unsegcli import store
from unsegcli.dataflow.dataset import (
    Dataset,
    ImageUnit,
    Unit,
    dataset_from_artifact,
    is_artifact,
    moved_sources,
    stored_sources,
)
from unsegcli.errors import DataError
from unsegcli.images.working import Reading
from unsegcli.segmenters.model_file import is_model

RENAMES = "relabel"  # the stage whose outputs show the same clusters under other names
DATA = ("features", "superpixels")


@dataclass(frozen=True)
class Behind:
    """What a segmentation was made from."""

    segmentation: Path
    inputs: Mapping[str, Mapping[str, str]]  # name -> path and fingerprint
    settings: Mapping[str, Any] = field(default_factory=dict)  # of the run that made it
    folder: Path | None = None  # where the images are now; None = where they were
    method: Path | None = None  # the user's own method of the model

    @property
    def model(self) -> Path | None:
        """The model, if there was one."""
        return Path(self.inputs["model"]["path"]) if "model" in self.inputs else None

    @property
    def data(self) -> Path | None:
        """The file of features or superpixels; None = the images themselves."""
        return next((Path(self.inputs[kind]["path"]) for kind in DATA if kind in self.inputs), None)

    def dataset(self) -> Dataset:
        """Open the data, with the images of the segmentation alone, in their order."""
        with store.open_artifact(self.segmentation, "segmentation") as artifact:
            sources = stored_sources(artifact)
            reading = Reading.from_json(artifact.attributes["reading"])
            skipped = zip(artifact.table("skipped/name"), artifact.table("skipped/reason"), strict=True)
        hints = {name: dict(hint) for name, hint in self.inputs.items()}
        if self.data is None:
            found = sources if self.folder is None else moved_sources(sources, self.folder)
            patch, stride = (int(self.settings.get(name, 0)) for name in ("patch", "stride"))
            images = [ImageUnit(source, reading, patch, stride).in_blocks() for source in found]
            return Dataset({}, hints, bad=tuple(skipped), units=tuple(chain(*images)), reading=reading)
        whole = dataset_from_artifact(self.data, source_folder=self.folder)
        there: dict[tuple[str, int], dict[str, list[Unit]]] = {}  # copies of an image differ by their names alone
        for unit in whole.units:
            copies = there.setdefault((unit.source.digest, unit.source.page), {})
            copies.setdefault(unit.source.name, []).append(unit)
        lost = [source.name for source in sources if (source.digest, source.page) not in there]
        if lost:
            raise DataError(f"{self.data}: lacks {lost[0]} of {self.segmentation}; give the file that it was made from")
        own = [(there[source.digest, source.page], source.name) for source in sources]
        units = tuple(chain(*(copies.get(name) or next(iter(copies.values())) for copies, name in own)))
        return replace(whole, hints=hints, bad=tuple(skipped), units=units)


def find_behind(path: Path, given: Sequence[str | Path], how: str) -> Behind:
    """Find what a segmentation was made from, and check that it is unchanged.

    Args:
        path: the segmentation.
        given: where its model, superpixels, features or images are now, and the method file of a model; those that are
            not given are where they were.
        how: what to type to give them, for errors.
    """
    found, named = _origin_if_there(path) if given else _origin(path, how), _by_kind(given)
    replaced = {"model"} & set(named.inputs) | (set(DATA) if set(DATA) & set(named.inputs) else set())
    kept = {name: hint for name, hint in found.inputs.items() if name not in replaced}
    for name in ("model", *DATA):
        if name in kept:
            _check_unchanged(path, kept[name], how)
    return Behind(path, {**kept, **named.inputs}, found.settings, named.folder, named.method)


def _check_unchanged(path: Path, hint: Mapping[str, str], how: str) -> None:
    if not Path(hint["path"]).exists():
        raise DataError(f"{_shown(hint)}: not found, but {path} was made from it; if it was moved, name it: {how}")
    with store.open_artifact(hint["path"]) as artifact:
        if artifact.fingerprint != hint["fingerprint"]:
            raise DataError(f"{_shown(hint)}: has been made again since {path} was made; name the one of then: {how}")


def _shown(hint: Mapping[str, str]) -> str:
    return os.path.relpath(hint["path"])


def _by_kind(given: Sequence[str | Path]) -> Behind:
    """Sort files by their kind; a folder is that of the images."""
    inputs, folder, method = {}, None, None
    for path in map(Path, given):
        if not path.exists():
            raise DataError(f"{path}: no such file or folder")
        if path.suffix == ".py":
            method = path
            continue
        if not path.is_dir() and not is_artifact(path):
            raise DataError(f"{path}: is neither a model, superpixels, features, nor the folder of the images")
        if path.is_dir():
            folder = path
            continue
        with store.open_artifact(path, "model", *DATA) as artifact:
            name = "model" if is_model(path) else artifact.kind
            inputs[name] = {"path": str(path), "fingerprint": artifact.fingerprint}
    return Behind(Path(), inputs, folder=folder, method=method)


def _origin_if_there(path: Path) -> Behind:
    try:
        return _origin(path, "")
    except DataError:
        return Behind(path, {})


def _origin(path: Path, how: str) -> Behind:
    """Follow the names of a segmentation back to the file that was clustered."""
    here, fingerprint, named = path, "", "relabelled from it; name what was clustered"
    visited: set[Path] = set()
    while here.resolve() not in visited:
        visited.add(here.resolve())
        with store.open_artifact(here, "segmentation") as artifact:
            if fingerprint and artifact.fingerprint != fingerprint:
                raise DataError(f"{os.path.relpath(here)}: has been made again since {path} was {named}: {how}")
            folder = artifact.path.resolve().parent
            hints = {
                name: {**hint, "path": os.path.normpath(folder / hint["path"])}
                for name, hint in artifact.inputs.items()
            }
            if artifact.recipe.get("stage") != RENAMES or "segmentation" not in hints:
                return Behind(path, hints, artifact.recipe.get("parameters", {}))
        here, fingerprint = Path(hints["segmentation"]["path"]), hints["segmentation"]["fingerprint"]
        if not here.exists():
            raise DataError(f"{os.path.relpath(here)}: not found, but {path} was {named}: {how}")
    raise DataError(f"{path}: was {named}, but the files that it came from lead back to themselves: {how}")
