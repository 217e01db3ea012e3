"""Weights that were trained elsewhere: read from a file, or torchvision's own, and put into the backbones of a network.

A file is read as tensors only, so that nothing in it can run. What does not fit is reported, never guessed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import torch
from torch import Tensor, nn

from unsegcli.errors import ConfigError
from unsegcli.methods._load import Loaded

NONE, IMAGENET = "none", "imagenet"
VERSION = "IMAGENET1K_V1"  # of torchvision's weights
INSIDE = ("state_dict", "teacher", "student", "model")  # where files keep the weights; the first that is there
AROUND = ("module", "encoder_q", "teacher", "student", "backbone")  # what their names may begin with, in any order
FIRST = "conv1.weight"  # sees the bands of the image
COLOURS = 3
SHOWN = 3  # names in a message


@dataclass(frozen=True)
class Pretrained:
    """Weights by name, and what a recipe says of them."""

    name: str  # as the user named them
    digest: str
    state: Mapping[str, Tensor]

    def put_into(self, backbones: Sequence[nn.Module]) -> None:
        """Replace the weights of each backbone by those of their names."""
        for backbone in backbones:
            own = backbone.state_dict()
            backbone.load_state_dict({**own, **self._fit(own).good})

    def report(self, backbone: nn.Module) -> str:
        """What fits a backbone, and what does not."""
        fit = self._fit(backbone.state_dict())
        text = f"{fit.total - len(fit.lacking)} of {fit.total} weights are taken from {self.name}"
        text += f"; not in it, or of another shape: {_some(fit.lacking)}" if fit.lacking else ""
        return text + (f"; left over: {_some(fit.left)}" if fit.left else "")

    def _fit(self, own: Mapping[str, Tensor]) -> _Fit:
        given = _stripped(self.state, own)
        fitted = {name: _fitted(name, value, own[name]) for name, value in given.items() if name in own}
        good = {name: value for name, value in fitted.items() if value.shape == own[name].shape}
        wanted = [name for name in own if not name.endswith("num_batches_tracked")]
        lacking = [name for name in wanted if name not in good]
        if len(lacking) == len(wanted):
            raise ConfigError(
                f"--weights {self.name}: nothing in it fits the network; it has {_some(sorted(self.state))}, "
                f"and {_some(wanted)} is wanted"
            )
        return _Fit(good, lacking, sorted(given.keys() - good.keys()), len(wanted))


@dataclass(frozen=True)
class _Fit:
    good: Mapping[str, Tensor]  # by the names of the network
    lacking: Sequence[str]  # weights of the network that keep their random values
    left: Sequence[str]  # weights of the file that have no place
    total: int  # weights of the network


def find_weights(given: str | Path, method: Loaded) -> tuple[str, Path | None]:
    """What a recipe says of the weights (empty = none), and the file that they are in."""
    if str(given) == NONE:
        return "", None
    if not hasattr(method.module, "backbones"):
        raise ConfigError(f"--weights {given}: --method {method.name} starts from random weights; leave it out")
    if str(given) == IMAGENET:
        return f"{IMAGENET} {VERSION}", None
    try:
        with Path(given).open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest(), Path(given)
    except OSError as error:
        raise ConfigError(
            f"--weights {given}: cannot be read ({error.strerror}); it is a file of weights, {IMAGENET} or {NONE}"
        ) from error


def read_weights(digest: str, path: Path | None, architecture: str) -> Pretrained | None:
    """The weights that `find_weights` found; those of torchvision for a network of this name."""
    if not digest:
        return None
    if path is None:
        return Pretrained(IMAGENET, digest, _download(architecture))
    return Pretrained(str(path), digest, read_state(path))


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors in a file that torch has saved."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a broken file makes torch fail in many ways
        raise ConfigError(
            f"--weights {path}: is not a file of weights alone, or broken; torch.save(net.state_dict(), FILE) makes one"
        ) from error
    for name in INSIDE:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
            break
    if not isinstance(content, Mapping):
        raise ConfigError(f"--weights {path}: holds no table of weights")
    state = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if not state:
        raise ConfigError(f"--weights {path}: holds no weights")
    return state


def _stripped(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights by their own names: what most names that fit begin with is taken away, and all others left out."""
    first = next(iter(own))
    prefixes = sorted({name.removesuffix(first) for name in state if name.endswith(first)})
    known = [prefix for prefix in prefixes if set(prefix.split(".")[:-1]) <= set(AROUND)]
    best = max(["", *known], key=lambda prefix: (sum(prefix + name in state for name in own), "student" not in prefix))
    return {name.removeprefix(best): value for name, value in state.items() if name.startswith(best)}


def _fitted(name: str, value: Tensor, like: Tensor) -> Tensor:
    """A first convolution over red, green and blue as one over other bands, whose answer is about as large."""
    wanted = like.shape[1] if like.ndim == 4 else COLOURS
    if name != FIRST or value.ndim != 4 or value.shape[1] != COLOURS or wanted == COLOURS:
        return value
    mean = value.mean(1, keepdim=True)
    bands = [value[:, band : band + 1] if band < COLOURS < wanted else mean for band in range(wanted)]
    return torch.cat(bands, 1) * (COLOURS / wanted)


def _download(architecture: str) -> Mapping[str, Tensor]:
    try:
        published = import_module("torchvision.models").get_model_weights(architecture)
    except (ImportError, RuntimeError, ValueError) as error:
        raise ConfigError(
            f"--weights {IMAGENET}: torchvision has none for {architecture} ({_first_line(error)}); choose a network "
            "with --set architecture=resnet50, or leave it out"
        ) from error
    try:
        state: Mapping[str, Tensor] = published[VERSION].get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise ConfigError(
            f"--weights {IMAGENET}: cannot be downloaded ({_first_line(error)}); give a file of weights instead"
        ) from error
    return state


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
