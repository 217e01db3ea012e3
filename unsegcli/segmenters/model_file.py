"""Read a model's metadata without loading its weights or torch."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unsegcli import store
from unsegcli.dataflow.dataset import is_artifact
from unsegcli.dataflow.stored_vectors import StoredVectors, vectors_of_model
from unsegcli.errors import ArtifactError
from unsegcli.images.scaling import Limits
from unsegcli.images.working import Reading


@dataclass(frozen=True)
class ModelFile:
    """Metadata of a model."""

    path: Path
    fingerprint: str
    method: str
    classes: int
    reading: Reading
    scaling: Limits | None
    embeds: bool  # whether it gives embeddings, which are clustered afterwards
    cutting: Mapping[str, Any] | None  # how its superpixels were made; None = trained on images, or not recorded
    learned_from: Mapping[str, Mapping[str, str]]  # name of the input -> absolute path and fingerprint
    vectors: StoredVectors | None = None  # of the file of features it was trained on; None = it takes none

    @property
    def hint(self) -> dict[str, str]:
        """Path and fingerprint, recorded in the result."""
        return {"path": str(self.path), "fingerprint": self.fingerprint}


def is_model(path: str | Path) -> bool:
    """Whether a path is a model file."""
    return is_artifact(path) and store.kind_of(path) == "model"


def read_model_file(path: str | Path) -> ModelFile:
    """Read the metadata of a model."""
    with store.open_artifact(path, "model") as artifact:
        folder = artifact.path.resolve().parent
        hints = {
            name: {**hint, "path": os.path.normpath(folder / hint["path"])} for name, hint in artifact.inputs.items()
        }
        return ModelFile(
            path=Path(path),
            fingerprint=artifact.fingerprint,
            method=artifact.attributes["method"],
            classes=_classes(artifact),
            reading=Reading.from_json(artifact.attributes["reading"]),
            scaling=scaling_of(artifact),
            embeds=artifact.recipe.get("gives") == "embeddings",
            cutting=json.loads(bytes(artifact.table("cutting"))) if artifact.has("cutting") else None,
            learned_from=hints,
            vectors=vectors_of_model(artifact),
        )


def scaling_of(artifact: store.Artifact) -> Limits | None:
    """Return the values scaled to 0 and 255 in each band of the training images, if all images share them."""
    if not artifact.has("scaling"):
        return None
    return tuple((float(low), float(high)) for low, high in artifact.table("scaling"))


def _classes(artifact: store.Artifact) -> int:
    try:
        return int(json.loads(artifact.attributes["config"])["classes"])
    except (ValueError, TypeError, KeyError) as error:
        raise ArtifactError(f"{artifact.path}: its settings lack the number of clusters; train it again") from error
