"""Open trained models: network, method, settings, and how the training images were read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from unsegcli import store
from unsegcli.core.nn.networks import widened
from unsegcli.core.nn.precision import full_float32
from unsegcli.dataflow.stored_vectors import StoredVectors, seen_by_network, vectors_of_model
from unsegcli.errors import ArtifactError, ConfigError, UnsegError, as_unseg_writes
from unsegcli.images.scaling import Limits
from unsegcli.images.working import Reading
from unsegcli.methods._contract import Batch
from unsegcli.methods._load import Loaded, config_from, find_method, method_names
from unsegcli.methods._older import NOT_USED, of_today
from unsegcli.segmenters.model_file import scaling_of
from unsegcli.segmenters.weights import arrays_to_state

DEVICES = ("auto", "cpu", "cuda", "mps")
MULTIPLE = 32  # image sides must be multiples of this, unless the method sets its own MULTIPLE


@dataclass(frozen=True)
class Trained:
    """A trained network and everything needed to apply it."""

    network: nn.Module  # in eval mode, without gradients
    method: Loaded
    config: Any
    reading: Reading  # how the training images were read
    scaling: Limits | None  # of each band of the training images; None if it differs between images
    device: torch.device
    vectors: StoredVectors | None = None  # of the file of features it was trained on; None = it takes none
    reaches: dict[tuple[int, bool], int] = field(default_factory=dict, repr=False)  # cache of `reach_of`

    @property
    def channels(self) -> int:
        """Number of bands; 0 = it takes no pixels."""
        return seen_by_network(self.vectors, self.reading.channels)[0]

    @property
    def classes(self) -> int:
        """Number of clusters."""
        return int(self.config.classes)

    @property
    def needs_regions(self) -> bool:
        """Whether the method sees images by their superpixels."""
        return bool(getattr(self.method.module, "SEES_REGIONS", False))

    @property
    def multiple(self) -> int:
        """The number that image sides must be multiples of."""
        return int(getattr(self.method.module, "MULTIPLE", MULTIPLE))


def device_of(name: str = "auto") -> torch.device:
    """Return the device of a name; auto = the fastest available: CUDA, MPS or CPU."""
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(device for device in ("cuda", "mps", "cpu") if there[device]))
    if name not in there:
        raise ConfigError(f"--device {name}: is not one of {', '.join(DEVICES)}")
    if not there[name]:
        raise ConfigError(f"--device {name}: not available to torch here; use --device auto")
    return torch.device(name)


def open_trained(path: str | Path, method_file: str | Path | None = None, device: str = "auto") -> Trained:
    """Open a model.

    Args:
        path: an artifact of kind model.
        method_file: the Python file of the user's own method, if any: code is never loaded from a path in a model.
        device: one of `DEVICES`.
    """
    place = device_of(device)
    with store.open_artifact(path, "model") as artifact:
        method = _method_of(artifact, None if method_file is None else str(method_file))
        reading = Reading.from_json(artifact.attributes["reading"])
        config, vectors = _config_of(artifact, method), vectors_of_model(artifact)
        network = _network_of(artifact.path, method, config, seen_by_network(vectors, reading.channels))
        _load(network, arrays_to_state(artifact), method, artifact.path)
        ready = network.to(place).eval().requires_grad_(False)
        return Trained(ready, method, config, reading, scaling_of(artifact), place, vectors)


def _network_of(path: Path, method: Loaded, config: Any, seen: tuple[int, Any]) -> Any:
    """Make the network of a model, with random weights; settings of a stranger may be any numbers."""
    try:
        with torch.random.fork_rng(devices=[]), nullcontext() if method.digest else as_unseg_writes(path, "settings"):
            return method.network(config, *seen)
    except (RuntimeError, MemoryError) as error:  # what torch says of sizes
        if method.digest:
            raise
        said = next(iter(str(error).splitlines()), "")[:100]
        raise ArtifactError(f"{path}: no network can be made by its settings ({said}); train it again") from error


def untrained_like(trained: Trained, seed: int, images: Sequence[NDArray[np.uint8]]) -> Trained:
    """Return the network of a model with random weights, as a floor; its batch statistics are those of some images.

    Args:
        trained: the model.
        seed: of the random weights.
        images: (height, width, bands), of equal or different sizes.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = trained.method.network(trained.config, *seen_by_network(trained.vectors, trained.channels))
    network = network.to(trained.device).requires_grad_(False)
    made = replace(trained, network=network, reaches={})
    if images and hasattr(trained.method.module, "dense_features"):
        _settle(made, images)
    return replace(made, network=network.eval())


def _settle(trained: Trained, images: Sequence[NDArray[np.uint8]]) -> None:
    """Set the batch statistics of a network by one pass over some images, brought to the size of the smallest."""
    sides = [min(image.shape[axis] for image in images) // trained.multiple for axis in (0, 1)]
    size = [max(side, 1) * trained.multiple for side in sides]
    tensors = [torch.from_numpy(image.transpose(2, 0, 1).copy())[None].float() / 255 for image in images]
    batch = torch.cat([functional.interpolate(one, size=size, mode="bilinear") for one in tensors])
    norms = [norm for norm in trained.network.modules() if isinstance(norm, nn.BatchNorm2d)]
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    module: Any = trained.method.module
    with torch.no_grad(), full_float32():
        seen = Batch(batch.to(trained.device), torch.arange(len(batch), device=trained.device))
        module.dense_features(trained.network.train(), seen, trained.config)
    for norm, momentum in zip(norms, before, strict=True):
        norm.momentum = momentum


def _method_of(artifact: store.Artifact, given: str | None) -> Loaded:
    """Find the method that trained a model. A name stored in a model is looked up, never used as a file path."""
    name, _, digest = artifact.attributes["method"].partition(" ")
    if digest:
        return _users_method(artifact.path, name, digest, given)
    if name not in method_names():
        raise ArtifactError(f"{artifact.path}: was trained with the unknown method {name}; upgrade unseg")
    if given is not None and given.lower() != name:
        raise ConfigError(f"--method {given}: {artifact.path} was trained with the method {name}; leave --method out")
    return find_method(name)


def _users_method(path: Path, name: str, digest: str, given: str | None) -> Loaded:
    if given is None:
        raise ConfigError(f"{path}: was trained with your own method file {name}.py; give it with --method {name}.py")
    found = find_method(given)
    if found.digest != digest:
        what = "has changed since" if found.name == name else f"is not the {name}.py with which"
        raise ConfigError(
            f"--method {given}: {what} {path} was trained; give the file as it was then, or train again with this one"
        )
    return found


def _config_of(artifact: store.Artifact, method: Loaded) -> Any:
    try:
        values = json.loads(artifact.attributes["config"])
        if not isinstance(values, dict):
            raise ArtifactError("not a table")
        return config_from(method, of_today(method.identity, values))
    except (ValueError, UnsegError) as error:
        raise ArtifactError(
            f"{artifact.path}: its settings do not match the method {method.name} ({error}); train it again"
        ) from error


def _load(network: nn.Module, state: dict[str, Tensor], method: Loaded, path: Path) -> None:
    wanted = network.state_dict()
    if unused := NOT_USED.get(method.identity):
        state = {name: value for name, value in state.items() if not name.startswith(unused)}
        state |= {name: value for name, value in wanted.items() if name.startswith(unused)}
    state = {name: widened(value, wanted[name]) if name in wanted else value for name, value in state.items()}
    for what, names in (("lacks", wanted.keys() - state.keys()), ("has too many:", state.keys() - wanted.keys())):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise ArtifactError(f"{path}: its weights do not fit the network: it {what} {min(names)}{more}")
    for name, value in wanted.items():
        if value.shape != state[name].shape:
            shapes = f"{tuple(state[name].shape)}, not {tuple(value.shape)}"
            raise ArtifactError(f"{path}: its weights do not fit the network: {name} is {shapes}")
    network.load_state_dict(state)
