"""The commands as functions: files in, one new file out.

Each is `function(inputs, settings, run)`, with `unsegcli.Inputs`, the dataclass of `unsegcli.params` that is named like
it, and `unsegcli.Run`; for images in memory see `unsegcli.arrays`. Each is imported only when it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unsegcli.stages.benchmark import benchmark
    from unsegcli.stages.cluster import cluster
    from unsegcli.stages.compare import compare
    from unsegcli.stages.evaluate import evaluate
    from unsegcli.stages.export import export
    from unsegcli.stages.features import features
    from unsegcli.stages.iem import iem
    from unsegcli.stages.inspect import inspect
    from unsegcli.stages.join import join
    from unsegcli.stages.map import map
    from unsegcli.stages.prepare import prepare
    from unsegcli.stages.probe import probe
    from unsegcli.stages.propagate import propagate
    from unsegcli.stages.proposals import proposals
    from unsegcli.stages.relabel import relabel
    from unsegcli.stages.retrieve import retrieve
    from unsegcli.stages.superpixels import superpixels
    from unsegcli.stages.train import train
    from unsegcli.stages.visualize import visualize

__all__ = [
    "benchmark",
    "cluster",
    "compare",
    "evaluate",
    "export",
    "features",
    "iem",
    "inspect",
    "join",
    "map",
    "prepare",
    "probe",
    "propagate",
    "proposals",
    "relabel",
    "retrieve",
    "superpixels",
    "train",
    "visualize",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(f"unsegcli.stages.{name}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
