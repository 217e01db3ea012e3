"""Segment images without a single label.

The Python interface has the names of the commands; each is imported only when it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from unsegcli._version import __version__

INTERFACE = {
    "superpixels": "unsegcli.stages.superpixels",
    "cluster": "unsegcli.stages.cluster",
    "evaluate": "unsegcli.stages.evaluate",
    "iem": "unsegcli.stages.iem",
    "inspect": "unsegcli.stages.inspect",
    "proposals": "unsegcli.stages.proposals",
    "relabel": "unsegcli.stages.relabel",
    "train": "unsegcli.stages.train",
    "visualize": "unsegcli.stages.visualize",
    "Inputs": "unsegcli.params",
    "Run": "unsegcli.params",
    "open_artifact": "unsegcli.store",
    "UnsegError": "unsegcli.errors",
}

__all__ = [
    "Inputs",
    "Run",
    "UnsegError",
    "__version__",
    "cluster",
    "evaluate",
    "iem",
    "inspect",
    "open_artifact",
    "proposals",
    "relabel",
    "superpixels",
    "train",
    "visualize",
]


def __getattr__(name: str) -> Any:
    if name in INTERFACE:
        return getattr(import_module(INTERFACE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
