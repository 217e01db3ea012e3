"""The HDF5 format: the content of artifacts, writing them atomically, and reading them safely.

The only package that imports h5py. It is independent of images, labels and methods.
"""

from __future__ import annotations

from unsegcli.store.checkpoints import load_checkpoint, save_checkpoint
from unsegcli.store.chunks import Encoded, encode
from unsegcli.store.kinds import KINDS, ROLES, Field, Kind
from unsegcli.store.reading import Artifact, kind_of, open_artifact
from unsegcli.store.verifying import problems_of
from unsegcli.store.writing import Target, Writer, write_whole

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
