"""Segment images without a single label.

At the top are functions on arrays (`unsegcli.arrays`); `files` has the commands, which go from files to files. Each is
imported only when it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from unsegcli._version import __version__

if TYPE_CHECKING:
    from unsegcli import files
    from unsegcli.arrays import Model, cluster, evaluate, iem, load_model, superpixels
    from unsegcli.errors import UnsegError
    from unsegcli.params import Inputs, Run
    from unsegcli.store import open_artifact

INTERFACE = {
    "superpixels": "unsegcli.arrays",
    "iem": "unsegcli.arrays",
    "cluster": "unsegcli.arrays",
    "evaluate": "unsegcli.arrays",
    "load_model": "unsegcli.arrays",
    "Model": "unsegcli.arrays",
    "Inputs": "unsegcli.params",
    "Run": "unsegcli.params",
    "open_artifact": "unsegcli.store",
    "UnsegError": "unsegcli.errors",
}
OF_FILES = ("inspect", "join", "proposals", "relabel", "train", "visualize")  # these are on files only

__all__ = [
    "Inputs",
    "Model",
    "Run",
    "UnsegError",
    "__version__",
    "cluster",
    "evaluate",
    "files",
    "iem",
    "load_model",
    "open_artifact",
    "superpixels",
]


def __getattr__(name: str) -> Any:
    if name == "files":
        return import_module("unsegcli.files")
    if name in INTERFACE:
        return getattr(import_module(INTERFACE[name]), name)
    hint = f"; it is unsegcli.files.{name}" if name in OF_FILES else ""
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}")


def __dir__() -> list[str]:
    return sorted(__all__)
