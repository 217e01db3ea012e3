"""Stages as tests call them: keyword arguments are sorted into `Inputs`, settings and `Run` by their names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from unsegcli import params as settings
from unsegcli.dataflow.runner import Outcome
from unsegcli.params import Images, Inputs, Run

Paths = str | Path | Sequence[str | Path]


def split(paths: Paths, output: str | Path, params: Any, reading: Images | None, how: dict[str, Any]) -> Any:
    """The three arguments of a stage; `images` among the keywords is how they are read, or where they lie now."""
    if isinstance(how.get("images"), Images):
        reading = how.pop("images")
    how = {"source_folder" if name == "images" else name: value for name, value in how.items()}
    parts: dict[type, dict[str, Any]] = {Inputs: {}, Run: {}, type(params): {}}
    for name, value in how.items():
        owner = next(owner for owner in parts if name in {one.name for one in fields(owner)})
        parts[owner][name] = value
    inputs = Inputs(paths, reading or Images(), **parts[Inputs])  # type: ignore[arg-type]
    return inputs, replace(params, **parts[type(params)]), Run(output, **parts[Run])


def superpixels(
    paths: Paths,
    output: str | Path = "",
    params: settings.Superpixels | None = None,
    reading: Images | None = None,
    **how: Any,
) -> Outcome:
    from unsegcli.stages.superpixels import superpixels as stage

    return stage(*split(paths, output, params or settings.Superpixels(), reading, how))


def features(
    paths: Paths, output: str | Path = "", params: settings.Features | None = None, reading: Images | None = None,
    **how: Any,
) -> Outcome:  # fmt: skip
    from unsegcli.stages.features import features as stage

    return stage(*split(paths, output, params or settings.Features(), reading, how))


def train(
    paths: Paths, output: str | Path = "", params: settings.Train | None = None, reading: Images | None = None,
    **how: Any,
) -> list[Outcome]:  # fmt: skip
    from unsegcli.stages.train import train as stage

    return stage(*split(paths, output, params or settings.Train(), reading, how))


def cluster(
    paths: Paths, output: str | Path = "", params: settings.Cluster | None = None, reading: Images | None = None,
    **how: Any,
) -> Outcome:  # fmt: skip
    from unsegcli.stages.cluster import cluster as stage

    return stage(*split(paths, output, params or settings.Cluster(), reading, how))


def iem(
    paths: Paths, output: str | Path = "", params: settings.Iem | None = None, reading: Images | None = None,
    **how: Any,
) -> Outcome:  # fmt: skip
    from unsegcli.stages.iem import iem as stage

    return stage(*split(paths, output, params or settings.Iem(), reading, how))


def proposals(
    paths: Paths, output: str | Path = "", params: settings.Proposals | None = None, reading: Images | None = None,
    **how: Any,
) -> Outcome:  # fmt: skip
    from unsegcli.stages.proposals import proposals as stage

    return stage(*split(paths, output, params or settings.Proposals(), reading, how))


def evaluate(paths: Paths, output: str | Path = "", params: settings.Evaluate | None = None, **how: Any) -> Any:
    from unsegcli.stages.evaluate import evaluate as stage

    return stage(*split(paths, output, params or settings.Evaluate(), None, how))


def visualize(
    paths: Paths, output: str | Path | None = None, params: settings.Visualize | None = None, **how: Any
) -> Outcome:
    from unsegcli.stages.visualize import visualize as stage

    return stage(*split(paths, output or "", params or settings.Visualize(), None, how))


def export(paths: Paths, output: str | Path = "", params: settings.Export | None = None, **how: Any) -> Outcome:
    from unsegcli.stages.export import export as stage

    return stage(*split(paths, output, params or settings.Export(), None, how))


def relabel(path: Paths, rules: Sequence[str] = (), output: str | Path = "", **how: Any) -> Outcome:
    from unsegcli.stages.relabel import relabel as stage

    return stage(*split(path, output, settings.Relabel(rules), None, how))


def inspect(path: str | Path, **how: Any) -> dict[str, Any]:
    from unsegcli.stages.inspect import inspect as stage

    return stage(*split(path, "", settings.Inspect(), None, how))


def join(paths: Paths, output: str | Path = "", **how: Any) -> Outcome:
    from unsegcli.stages.join import join as stage

    return stage(*split(paths, output, settings.Join(), None, how))


def propagate(
    paths: Paths, output: str | Path = "", params: settings.Propagate | None = None, reading: Images | None = None,
    **how: Any,
) -> Outcome:  # fmt: skip
    from unsegcli.stages.propagate import propagate as stage

    return stage(*split(paths, output, params or settings.Propagate(), reading, how))
