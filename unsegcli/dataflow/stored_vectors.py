"""What vectors a file of features holds for its superpixels, and whether two files hold the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unsegcli import store
from unsegcli.core.vector_space import Layer
from unsegcli.errors import ArtifactError, DataError
from unsegcli.store.kinds import PRETRAINED


@dataclass(frozen=True)
class StoredVectors:
    """The layers that the vectors of superpixels are made of, and what made them."""

    names: tuple[str, ...]  # of the layers, in order; the only one has none if it is not known
    dimensions: tuple[int, ...]  # of each layer
    weights: tuple[float, ...]  # of each layer, where vectors are compared
    pixels: bool  # whether the file has the pixels, too
    pretrained: Mapping[str, tuple[str, ...]]  # the tables pretrained/*; empty = none, or not known

    @property
    def network(self) -> str:
        """The names of the pretrained networks; empty = none, or not known."""
        return ", ".join(self.pretrained.get("pretrained/name", ()))

    def __str__(self) -> str:
        layers = [f"{name} ({size})" if name else str(size) for name, size in self.layers]
        return f"{self.network or 'a network that is not recorded'}, dimensions of its layers: {', '.join(layers)}"

    @property
    def layers(self) -> list[tuple[str, int]]:
        """Name and number of dimensions of each layer."""
        return list(zip(self.names, self.dimensions, strict=True))

    @property
    def weighted(self) -> tuple[Layer, ...]:
        """Size and weight of each layer."""
        return tuple(map(Layer, self.dimensions, self.weights))

    def same_as(self, other: StoredVectors) -> bool:
        """Return whether vectors of both can be compared: the same layers of the same weights."""
        digests = [one.pretrained.get("pretrained/digest", ()) for one in (self, other)]
        return digests[0] == digests[1] and self.network == other.network and self.layers == other.layers

    def tables(self) -> dict[str, Any]:
        """Return the datasets by which a model records what it was trained on."""
        known = {"names": self.names, "dimensions": self.dimensions, "weights": self.weights, "pixels": self.pixels}
        text = json.dumps(known, sort_keys=True)
        return {"vectors": np.frombuffer(text.encode(), np.uint8)}


def read_stored_vectors(path: str | Path) -> StoredVectors:
    """Read what vectors of superpixels a file of features holds."""
    with store.open_artifact(path, "features") as artifact:
        if not artifact.has("features"):
            raise DataError(
                f"{path}: has vectors of cells, not of superpixels; make those with `unseg superpixels IMAGES -o "
                "sp.h5` and `unseg features sp.h5`"
            )
        names, layers = layers_in(artifact, "features")
        sizes, weights = tuple(layer.size for layer in layers), tuple(layer.weight for layer in layers)
        return StoredVectors(names, sizes, weights, artifact.has("images"), pretrained_of(artifact))


def layers_in(artifact: store.Artifact, field: str) -> tuple[tuple[str, ...], tuple[Layer, ...]]:
    """Return the names of the layers that vectors are joined from, and their sizes and weights, in order.

    Args:
        artifact: a file of features.
        field: features or dense, which holds the vectors.
    """
    found = int(artifact.read(field, 0).shape[-1]) if artifact.window_count else 0
    if not artifact.has("layers/dimensions"):
        return ("",), (Layer(found),)
    sizes = [int(size) for size in artifact.table("layers/dimensions")]
    if artifact.window_count and sum(sizes) != found:
        raise DataError(
            f"{artifact.path}: has vectors of {found} dimensions, but layers of {sum(sizes)}; make it again"
        )
    names = artifact.table("layers/name") if artifact.has("layers/name") else [""] * len(sizes)
    weights = artifact.table("layers/weight") if artifact.has("layers/weight") else [1.0] * len(sizes)
    return tuple(names), tuple(Layer(size, float(weight)) for size, weight in zip(sizes, weights, strict=True))


def seen_by_network(vectors: StoredVectors | None, bands: int) -> tuple[int, tuple[Layer, ...]]:
    """Return for how many bands and for what layers a network is made; vectors None = it sees pixels alone."""
    if vectors is None:
        return bands, ()
    return bands if vectors.pixels else 0, vectors.weighted


def vectors_of_model(artifact: store.Artifact) -> StoredVectors | None:
    """Return what vectors a model was trained on; None = on none."""
    if not artifact.has("vectors"):
        return None
    try:
        known = json.loads(bytes(artifact.table("vectors")))
        sizes = tuple(int(size) for size in known["dimensions"])
        names, weights = tuple(map(str, known["names"])), tuple(map(float, known["weights"]))
        return StoredVectors(names, sizes, weights, bool(known["pixels"]), pretrained_of(artifact))
    except (ValueError, TypeError, KeyError) as error:
        raise ArtifactError(f"{artifact.path}: does not say what vectors it was trained on ({error})") from error


def pretrained_of(artifact: store.Artifact) -> dict[str, tuple[str, ...]]:
    """Return the tables pretrained/* of an artifact; empty = none went in, or that is not known."""
    known = all(artifact.has(name) for name in PRETRAINED)
    return {name: tuple(artifact.table(name)) for name in PRETRAINED} if known else {}
