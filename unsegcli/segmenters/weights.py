"""The state of a network as plain arrays, bit for bit, and back; nothing that is read here can run code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unsegcli import store
from unsegcli.errors import ArtifactError, ConfigError

Arrays = dict[str, NDArray[Any]]


def state_to_arrays(state: Mapping[str, Any]) -> tuple[Arrays, list[str]]:
    """Copies of all tensors of a state dictionary by name, and the names of those of type bfloat16.

    HDF5 and NumPy have no bfloat16: such a tensor becomes uint16 with the same bits.
    """
    halves = [name for name, value in state.items() if isinstance(value, Tensor) and value.dtype == torch.bfloat16]
    return {name: _array(name, value) for name, value in state.items()}, halves


def tensors_of(arrays: Mapping[str, NDArray[Any]], bfloat16: list[str]) -> dict[str, Tensor]:
    """What `state_to_arrays` made arrays of."""
    tensors = {name: torch.from_numpy(np.array(value)) for name, value in arrays.items()}
    for name in bfloat16:
        tensors[name] = tensors[name].view(torch.bfloat16)
    return tensors


def arrays_to_state(artifact: store.Artifact) -> dict[str, Tensor]:
    """The state dictionary in a model."""
    arrays = {name: artifact.entry("weights", name) for name in artifact.entries("weights")}
    halves = _names(artifact)
    for name in halves:
        if name not in arrays or arrays[name].dtype != np.uint16:
            raise ArtifactError(
                f"{artifact.path}: {name} is said to be bfloat16, but no such weight is there as uint16"
            )
    return tensors_of(arrays, halves)


def _array(name: str, value: Any) -> NDArray[Any]:
    if not isinstance(value, Tensor):
        raise ConfigError(f"the network's {name} is not a tensor, and cannot be stored: leave it out of its state")
    if "/" in name:
        raise ConfigError(f"the network's {name} has / in its name, which is not possible in HDF5: rename it")
    plain = value.detach().cpu().contiguous()
    if plain.dtype == torch.bfloat16:
        plain = plain.view(torch.uint16)
    try:
        array = np.array(plain.numpy())
    except TypeError as error:
        raise ConfigError(f"the network's {name} is of type {value.dtype}, which cannot be stored") from error
    if array.dtype.name not in store.KINDS["model"].fields["weights"].types.split():
        raise ConfigError(f"the network's {name} is of type {value.dtype}, which cannot be stored")
    return array


def _names(artifact: store.Artifact) -> list[str]:
    try:
        names = json.loads(artifact.attributes["bfloat16"])
    except ValueError:
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ArtifactError(f"{artifact.path}: the attribute bfloat16 is not a list of names; make it again")
    return names
