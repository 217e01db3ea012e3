"""Multi-process training with torchrun: process group, barriers and averaged gradients; no effect without it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as distributed
from torch import Tensor, nn

from unsegcli.core.nn.distributed_sums import ranks
from unsegcli.errors import UnsegError


def world_size() -> int:
    """Return the number of processes started by torchrun; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def on_one_machine() -> bool:
    """Whether all processes run on this machine, as far as torchrun says so."""
    return world_size() == 1 or os.environ.get("LOCAL_WORLD_SIZE") == os.environ["WORLD_SIZE"]


@contextmanager
def process_group(device: torch.device) -> Iterator[torch.device]:
    """Join the process group, if there is one, and yield the device of this process."""
    if world_size() == 1:
        yield device
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield device
    finally:
        distributed.destroy_process_group()


def barrier() -> None:
    """Wait for all processes."""
    if ranks() > 1:
        distributed.barrier()


def from_all(own: Any) -> list[Any]:
    """Return an object of each process, by rank; all processes must call this at the same time."""
    found: list[Any] = [None] * ranks()
    try:
        distributed.all_gather_object(found, own)
    except RuntimeError as error:
        raise UnsegError(
            "another process of this training has ended or does not answer, see above; run the same command again"
        ) from error
    return found


def is_first() -> bool:
    """Whether this is rank 0, which writes files and prints; also valid before the process group is set up."""
    return world_size() == 1 or int(os.environ.get("RANK", "0")) == 0


def agreed_signal(own: int | None, device: torch.device) -> int | None:
    """Return the signal that any process received; all processes must ask at the same step."""
    if ranks() == 1:
        return own
    number = torch.tensor(own or 0, device=device)
    distributed.all_reduce(number, distributed.ReduceOp.MAX)
    return int(number) or None


def mean_gradients(network: nn.Module) -> None:
    """Average the gradients over all processes."""
    if ranks() == 1:
        return
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    for weight in weights:
        if weight.grad is None:
            weight.grad = torch.zeros_like(weight)
    flat = torch.cat([weight.grad.reshape(-1) for weight in weights if weight.grad is not None])
    distributed.all_reduce(flat)
    flat /= ranks()
    for weight, part in zip(weights, flat.split([weight.numel() for weight in weights]), strict=True):
        weight.grad = part.view_as(weight)


def mean_of(value: Tensor) -> Tensor:
    """Average a number over all processes, for reporting."""
    if ranks() == 1:
        return value
    total = value.detach().clone()
    distributed.all_reduce(total)
    return total / ranks()
