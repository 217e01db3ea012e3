"""Read files of weights as tensors only, so that they cannot run code, and find the part that a network needs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from unsegcli.errors import DataError

CONTAINERS = ("state_dict", "teacher", "student", "model")  # keys that may hold the weights; the first one is used
# Possible parts of a prefix, in any order.
PREFIXES = ("module", "encoder_q", "base_encoder", "teacher", "student", "backbone")
SAFETENSORS = ".safetensors"


def read_state(path: Path) -> dict[str, Tensor]:
    """Read the tensors from a file saved by torch or safetensors."""
    content = _safetensors(path) if path.suffix.lower() == SAFETENSORS else _saved_by_torch(path)
    for name in CONTAINERS:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
            break
    if not isinstance(content, Mapping):
        raise DataError(f"--weights {path}: does not hold a state dict")
    state = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if not state:
        raise DataError(f"--weights {path}: holds no weights")
    return state


def _saved_by_torch(path: Path) -> object:
    try:
        found: object = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types of errors for a broken file
        raise DataError(
            f"--weights {path}: is broken or holds more than weights; make it with torch.save(net.state_dict(), FILE)"
        ) from error
    return found


def _safetensors(path: Path) -> object:
    try:
        from safetensors.torch import load_file
    except ImportError as error:
        raise DataError(
            f"--weights {path}: needs the package safetensors, which comes with pip install '.[timm]'"
        ) from error
    try:
        found: object = load_file(path)
    except Exception as error:  # of a type of its own
        raise DataError(f"--weights {path}: is no whole file of safetensors; download it again") from error
    return found


def stripped(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Strip the prefix that gives the most names of the network; weights with other prefixes are dropped."""
    first = next(iter(own))
    prefixes = sorted({name.removesuffix(first) for name in state if name.endswith(first)})
    known = [prefix for prefix in prefixes if set(prefix.split(".")[:-1]) <= set(PREFIXES)]
    best = max(["", *known], key=lambda prefix: (sum(prefix + name in state for name in own), "student" not in prefix))
    return {name.removeprefix(best): value for name, value in state.items() if name.startswith(best)}


def state_digest(state: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 over names, types, shapes and values."""
    whole = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        whole.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        whole.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return whole.hexdigest()
