"""Load pretrained weights, from a file or from torchvision, into the backbones of a network.

Files are loaded as tensors only, so that they cannot run code. Weights that do not match are reported.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from torch import Tensor, nn

from unsegcli.core.nn.feature_networks import COLOURS, adapted
from unsegcli.errors import ConfigError, DataError
from unsegcli.methods._load import Loaded
from unsegcli.segmenters.weight_files import read_state, state_digest, stripped

NONE, IMAGENET = "none", "imagenet"
VERSION = "IMAGENET1K_V1"  # of torchvision's weights
IMAGENET_LABELS = "ImageNet-1k"  # torchvision gives no licence for the weights: terms of the data may apply
FIRST = "conv1.weight"  # the first convolution, whose input is the image
SHOWN = 3  # names in a message


@dataclass(frozen=True)
class Pretrained:
    """Pretrained weights by name."""

    name: str  # for people
    digest: str  # SHA-256 of the file, or over the weights
    state: Mapping[str, Tensor]
    labels: str = ""  # that it learned from; empty = not known

    def put_into(self, backbones: Sequence[nn.Module]) -> None:
        """Load the matching weights into each backbone."""
        for backbone in backbones:
            own = backbone.state_dict()
            backbone.load_state_dict({**own, **self._fit(own).good})

    def report(self, backbone: nn.Module) -> str:
        """Describe which weights of a backbone were loaded and which were not."""
        fit = self._fit(backbone.state_dict())
        text = f"{fit.total - len(fit.lacking)} of {fit.total} weights loaded from {self.name}"
        text += f"; missing or of another shape: {_some(fit.lacking)}" if fit.lacking else ""
        return text + (f"; unused: {_some(fit.unused)}" if fit.unused else "")

    def _fit(self, own: Mapping[str, Tensor]) -> _Fit:
        given = stripped(self.state, own)
        fitted = {name: _fitted(name, value, own[name]) for name, value in given.items() if name in own}
        good = {name: value for name, value in fitted.items() if value.shape == own[name].shape}
        wanted = [name for name in own if not name.endswith("num_batches_tracked")]
        lacking = [name for name in wanted if name not in good]
        if len(lacking) == len(wanted):
            raise ConfigError(
                f"--weights {self.name}: no weight matches the network; the file has {_some(sorted(self.state))}, the "
                f"network has {_some(wanted)}"
            )
        return _Fit(good, lacking, sorted(given.keys() - good.keys()), len(wanted))


@dataclass(frozen=True)
class _Fit:
    good: Mapping[str, Tensor]  # by the names in the network
    lacking: Sequence[str]  # weights of the network that stay random
    unused: Sequence[str]  # weights of the file that match none of the network
    total: int  # number of weights of the network


def find_weights(given: str | Path, method: Loaded) -> tuple[str, Path | None]:
    """Return the digest of the weights for the recipe (empty = random weights) and their file, if there is one."""
    if str(given) == NONE:
        return "", None
    if not hasattr(method.module, "backbones"):
        raise ConfigError(f"--weights {given}: --method {method.name} always starts from random weights; leave it out")
    if str(given) == IMAGENET:
        return f"{IMAGENET} {VERSION}", None
    try:
        with Path(given).open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest(), Path(given)
    except OSError as error:
        raise DataError(
            f"--weights {given}: cannot be read ({error.strerror}); give a file of weights, {IMAGENET} or {NONE}"
        ) from error


def read_weights(digest: str, path: Path | None, architecture: str) -> Pretrained | None:
    """Load the weights that `find_weights` found; torchvision's are chosen by the network architecture."""
    if not digest:
        return None
    if path is None:
        state = _download(architecture)
        return Pretrained(f"torchvision {architecture} {VERSION}", state_digest(state), state, IMAGENET_LABELS)
    return Pretrained(str(path), digest, read_state(path))


def _fitted(name: str, value: Tensor, like: Tensor) -> Tensor:
    """Adapt a first convolution over RGB to another number of bands."""
    wanted = like.shape[1] if like.ndim == 4 else COLOURS
    if name != FIRST or value.ndim != 4 or value.shape[1] != COLOURS or wanted == COLOURS:
        return value
    return adapted(value, wanted)


def _download(architecture: str) -> Mapping[str, Tensor]:
    try:
        published = import_module("torchvision.models").get_model_weights(architecture)
    except (ImportError, RuntimeError, ValueError) as error:
        raise ConfigError(
            f"--weights {IMAGENET}: torchvision has no weights for {architecture} ({_first_line(error)}); choose "
            "another network with --set architecture=resnet50, or leave it out"
        ) from error
    try:
        state: Mapping[str, Tensor] = published[VERSION].get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"--weights {IMAGENET}: cannot be downloaded ({_first_line(error)}); give a file of weights instead"
        ) from error
    return state


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
