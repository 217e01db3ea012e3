"""The weights of a model's backbone, under the names of torchvision."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from unsegcli import store
from unsegcli.core.nn.backbones import Small
from unsegcli.errors import ConfigError
from unsegcli.segmenters.trained import Trained, open_trained


@dataclass(frozen=True)
class BackboneWeights:
    """Weights that a torchvision network can load, and where they are from."""

    architecture: str
    channels: int  # bands of the images
    method: str
    fingerprint: str  # of the model
    state: Mapping[str, Tensor]


def backbone_of(path: str, method: str | None = None) -> BackboneWeights:
    """Return the weights of the backbone of a model.

    Args:
        path: the model.
        method: the Python file of the user's own method, if any.
    """
    trained = open_trained(path, method, "cpu")
    backbones = getattr(trained.method.module, "backbones", None)
    if backbones is None:
        raise ConfigError(f"{path}: its method {trained.method.name} has no backbone to export; {_listed(trained)}")
    first, architecture = backbones(trained.network)[0], str(getattr(trained.config, "architecture", ""))
    if isinstance(first, Small):
        raise ConfigError(
            f"{path}: its backbone is {architecture}, which torchvision does not have; a model trained with --set "
            f"architecture=resnet18 has one; {_listed(trained)}"
        )
    with store.open_artifact(path, "model") as artifact:
        fingerprint = artifact.fingerprint
    return BackboneWeights(architecture, trained.channels, trained.method.name, fingerprint, first.state_dict())


def _listed(trained: Trained) -> str:
    """List the parts of a network with their numbers of weights."""
    sizes: Counter[str] = Counter()
    for name, value in trained.network.state_dict().items():
        sizes[".".join(name.split(".")[:-1][:2]) or name] += value.numel()
    return "it has " + ", ".join(f"{name} ({size:,})" for name, size in sizes.items())
