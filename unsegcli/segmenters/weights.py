"""Convert the state of a network to plain arrays and back, exactly; reading it never runs code."""

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
    """Copy the tensors of a state dict to arrays; also return the names of bfloat16 tensors.

    HDF5 and NumPy have no bfloat16: such tensors are stored as uint16 with the same bits.
    """
    halves = [name for name, value in state.items() if isinstance(value, Tensor) and value.dtype == torch.bfloat16]
    return {name: _array(name, value) for name, value in state.items()}, halves


def tensors_of(arrays: Mapping[str, NDArray[Any]], bfloat16: list[str]) -> dict[str, Tensor]:
    """Convert the arrays of `state_to_arrays` back to tensors."""
    tensors = {name: torch.from_numpy(np.array(value)) for name, value in arrays.items()}
    for name in bfloat16:
        tensors[name] = tensors[name].view(torch.bfloat16)
    return tensors


def arrays_to_state(artifact: store.Artifact) -> dict[str, Tensor]:
    """Read the state dict of a model."""
    arrays = {name: artifact.entry("weights", name) for name in artifact.entries("weights")}
    halves = _names(artifact)
    for name in halves:
        if name not in arrays or arrays[name].dtype != np.uint16:
            raise ArtifactError(
                f"{artifact.path}: {name} is listed as bfloat16, but is missing or not stored as uint16; train it again"
            )
    return tensors_of(arrays, halves)


def _array(name: str, value: Any) -> NDArray[Any]:
    if not isinstance(value, Tensor):
        raise ConfigError(f"the network's {name} is not a tensor and cannot be stored: leave it out of its state dict")
    if "/" in name:
        raise ConfigError(f"the network's {name} has / in its name, which HDF5 does not allow: rename it")
    tensor = value.detach().cpu().contiguous()
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.view(torch.uint16)
    try:
        array = np.array(tensor.numpy())
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
