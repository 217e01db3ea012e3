"""The HDF5 format: what an artifact may hold, how it is written whole or not at all, and how it is read safely.

The only importer of h5py. It knows nothing of images, labels or methods.
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
