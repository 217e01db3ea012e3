"""What a representation is measured on: models with their images, and files of superpixels or features.

Nothing here reads labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from unsegcli.dataflow.dataset import Dataset, find_dataset, is_artifact
from unsegcli.dataflow.label_maps import image_folder
from unsegcli.dataflow.provenance import carried, networks
from unsegcli.dataflow.runner import report_skipped
from unsegcli.errors import ConfigError, DataError
from unsegcli.images.find import file_digest
from unsegcli.params import Inputs, Superpixels
from unsegcli.segmenters.model_file import ModelFile, is_model, read_model_file
from unsegcli.segmenters.model_inputs import dataset_for
from unsegcli.segmenters.vectors import recorded_cutting

Directions = Sequence[tuple[Any, Any]]  # numbers of the images that are learned from, and of those that are scored
Divisions = Sequence[Directions]


@dataclass(frozen=True)
class Subject:
    """What is measured: the vectors of a model, of a file of features, or of superpixels."""

    name: str
    dataset: Dataset
    model: ModelFile | None
    cutting: Superpixels | None = None  # how images are cut into superpixels; None = not cut

    @property
    def pretrained(self) -> list[dict[str, str]]:
        """The pretrained networks that went in: name, licence and labels."""
        return networks(carried(self.dataset.hints, "metrics"))

    @property
    def what(self) -> str:
        """What the vectors are, for the output."""
        if self.model is not None:
            return f"vectors of {self.model.method.split()[0]}"
        return "features of the file" if self.dataset.kind == "features" else "features of k-means on regions"

    @property
    def names(self) -> list[str]:
        """Names of the images."""
        return [unit.source.name for unit in self.dataset.units] or [file.name for file in self.dataset.pending]

    @property
    def folder(self) -> Path | None:
        """The folder that the names are relative to."""
        if self.dataset.units:
            return image_folder([unit.source for unit in self.dataset.units])
        first = self.dataset.pending[0]
        return first.path.resolve().parents[len(PurePosixPath(first.name).parts) - 1]

    def recorded(self) -> dict[str, Any]:
        """Return the settings of its images, for the recipe."""
        cutting = [] if self.cutting is None else [recorded_cutting(self.cutting)]
        return {name: value for part in [*self.dataset.recorded, *cutting] for name, value in part.items()}


def open_subjects(inputs: Inputs, needs: str) -> list[Subject]:
    """Open the inputs of a command that measures models and files side by side.

    Args:
        inputs: models, each followed by the data that it is applied to; or artifacts by themselves.
        needs: what an input that is neither lacks, for the error.
    """
    return [_opened(inputs, *one, needs) for one in divided([str(path) for path in inputs.paths])]


def divided(paths: Sequence[str]) -> list[tuple[str | None, list[str]]]:
    """Divide the inputs into a model with what follows it, and artifacts by themselves: (model, data) each."""
    found: list[tuple[str | None, list[str]]] = []
    for path in paths:
        if is_model(path):
            found.append((path, []))
        elif found and found[-1][0] is not None:
            found[-1][1].append(path)
        else:
            found.append((None, [path]))
    return found


def _opened(inputs: Inputs, model: str | None, paths: Sequence[str], needs: str) -> Subject:
    given = replace(inputs, paths=paths)
    if model is not None:
        file = read_model_file(model)
        return Subject(model, dataset_for(file, given), file)
    if not is_artifact(paths[0]):
        raise ConfigError(f"{paths[0]}: {needs}")
    return Subject(paths[0], find_dataset(given, kinds=("superpixels", "features")), None)


def hints_of(subjects: Sequence[Subject]) -> dict[str, dict[str, str]]:
    """Return path and fingerprint of all inputs, as the output records them."""
    return {f"{name}.{at}": hint for at, one in enumerate(subjects) for name, hint in one.dataset.hints.items()}


def report_bad(subject: Subject, skipped: Sequence[Mapping[str, str]]) -> None:
    """Report the images that were skipped here, and those that an earlier stage skipped."""
    report_skipped([*subject.dataset.bad, *((one["name"], one["reason"]) for one in skipped)])


def subjects_recipe(subjects: Sequence[Subject]) -> tuple[dict[str, str], dict[str, Any]]:
    """Return the inputs and the settings of all subjects for a recipe, numbered."""
    inputs: dict[str, str] = {}
    settings: dict[str, Any] = {}
    for number, subject in enumerate(subjects):
        inputs |= {f"{name}.{number}": digest for name, digest in subject.dataset.inputs.items()}
        settings |= {f"{name}.{number}": value for name, value in subject.recorded().items()}
    return inputs, settings


# Which images are learned from


@dataclass(frozen=True)
class Lists:
    """Names of the images that are learned from, and of those that are scored."""

    fit_on: frozenset[str]
    score_on: frozenset[str]
    digests: Mapping[str, str]

    def numbers(self, names: Sequence[str]) -> Directions:
        """Return the numbers of both kinds of images among some names, as one division of one direction."""
        fit_on, score_on = ([at for at, name in enumerate(names) if _listed(name, part)] for part in self.both)
        return [(fit_on, score_on)]

    @property
    def both(self) -> tuple[frozenset[str], frozenset[str]]:
        """Both lists."""
        return self.fit_on, self.score_on


def read_lists(fit_on: str | Path | None, score_on: str | Path | None) -> Lists | None:
    """Read the two lists of names; None if neither is given."""
    if fit_on is None and score_on is None:
        return None
    if fit_on is None or score_on is None:
        raise ConfigError("--fit-on and --score-on: give both lists, or neither")
    first, second = _names_in(Path(fit_on)), _names_in(Path(score_on))
    shared = sorted(first & second)
    if shared:
        raise DataError(f"{shared[0]}: is in {fit_on} and in {score_on}; an image cannot be learned from and scored")
    return Lists(first, second, {"fit_on": file_digest(Path(fit_on)), "score_on": file_digest(Path(score_on))})


def _names_in(path: Path) -> frozenset[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as a list of names ({error})") from error
    names = frozenset(line.strip() for line in lines if line.strip())
    if not names:
        raise DataError(f"{path}: has no names of images; write one a line")
    return names


def _listed(name: str, names: frozenset[str]) -> bool:
    """Whether an image is in a list: by its name with folders, with or without the suffix, or by its stem."""
    path = PurePosixPath(name.partition("#")[0])
    return not names.isdisjoint({name, str(path), str(path.with_suffix("")), path.stem, path.name})


def check_lists(lists: Lists | None, names: Sequence[str], subject: str) -> None:
    """Raise an error if a list has no image of a subject."""
    if lists is None:
        return
    for option, part in zip(("--fit-on", "--score-on"), lists.both, strict=True):
        if not any(_listed(name, part) for name in names):
            raise DataError(f"{option}: names no image of {subject} that has a label, such as {names[0]}")
