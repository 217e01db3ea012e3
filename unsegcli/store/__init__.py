"""The HDF5 format: the content of artifacts, writing them atomically, and reading them safely.

The only package that imports h5py. It is independent of images, labels and methods.
Each name is imported only when it is asked for: worker processes only encode, and need not wait for h5py.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unsegcli.store.checkpoints import load_checkpoint, save_checkpoint
    from unsegcli.store.chunks import Encoded, encode
    from unsegcli.store.kinds import KINDS, ROLES, Field, Kind
    from unsegcli.store.reading import Artifact, kind_of, open_artifact
    from unsegcli.store.verifying import problems_of
    from unsegcli.store.writing import Target, Writer, write_whole

HOMES = {
    "checkpoints": ("load_checkpoint", "save_checkpoint"),
    "chunks": ("Encoded", "encode"),
    "kinds": ("KINDS", "ROLES", "Field", "Kind"),
    "reading": ("Artifact", "kind_of", "open_artifact"),
    "verifying": ("problems_of",),
    "writing": ("Target", "Writer", "write_whole"),
}

__all__ = [
    "KINDS",
    "ROLES",
    "Artifact",
    "Encoded",
    "Field",
    "Kind",
    "Target",
    "Writer",
    "encode",
    "kind_of",
    "load_checkpoint",
    "open_artifact",
    "problems_of",
    "save_checkpoint",
    "write_whole",
]


def __getattr__(name: str) -> Any:
    for home, names in HOMES.items():
        if name in names:
            return getattr(import_module(f"unsegcli.store.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
