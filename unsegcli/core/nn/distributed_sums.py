"""Differentiable sums over all processes of a training run started by torchrun.

With one process, each function is the identity. Processes are started elsewhere.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as processes
from torch import Tensor


def ranks() -> int:
    """Return the number of processes."""
    return processes.get_world_size() if processes.is_available() and processes.is_initialized() else 1


def rank() -> int:
    """Return the rank of this process, from 0."""
    return processes.get_rank() if ranks() > 1 else 0


def summed(values: Tensor) -> Tensor:
    """Sum over all processes, with the same result in each.

    In the backward pass, the gradients of all processes are summed; since the loop averages gradients over processes,
    this gives the gradient of the mean of their losses.
    """
    if ranks() == 1:
        return values
    apply: Any = _Summed.apply  # whether it is typed depends on the version of torch
    result: Tensor = apply(values)
    return result


def gathered(rows: Tensor) -> Tensor:
    """Concatenate the rows of all processes, without gradient; each must have the same number."""
    if ranks() == 1:
        return rows
    parts = [torch.empty_like(rows) for _ in range(ranks())]
    processes.all_gather(parts, rows.contiguous())
    return torch.cat(parts)


def gathered_with_gradient(rows: Tensor) -> Tensor:
    """Concatenate the rows of all processes; each must have the same number. Backward as in `summed`."""
    if ranks() == 1:
        return rows
    parts = rows.new_zeros(ranks(), *rows.shape)
    parts[rank()] = rows
    return summed(parts).flatten(0, 1)


def share_of_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Return the contribution of this process to a weighted mean: its mean over processes is the weighted mean.

    It is 0 if all weights are 0. No gradient flows through weights.
    """
    weights = weights.detach()
    total = summed(weights.sum())
    result: Tensor = (weights * values).sum() / torch.where(total > 0, total, 1) * ranks()
    return result


class _Summed(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        total = values.clone()
        processes.all_reduce(total)
        return total

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        processes.all_reduce(total)
        return total
