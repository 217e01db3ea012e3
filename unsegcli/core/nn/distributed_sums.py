"""Sums over all processes of a training that was started by torchrun, through which gradients flow.

With one process each function is the identity. Nothing here starts or ends processes.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as processes
from torch import Tensor


def ranks() -> int:
    """How many processes train together."""
    return processes.get_world_size() if processes.is_available() and processes.is_initialized() else 1


def rank() -> int:
    """Which of them this is, from 0."""
    return processes.get_rank() if ranks() > 1 else 0


def summed(values: Tensor) -> Tensor:
    """The sum over all processes, the same in each.

    Backward, the gradients of all processes are added up; together with taking the mean of the gradients over
    processes, as the loop does, that gives the gradient of the mean of their losses.
    """
    if ranks() == 1:
        return values
    apply: Any = _Summed.apply  # typed or not, by the version of torch
    result: Tensor = apply(values)
    return result


def gathered(rows: Tensor) -> Tensor:
    """The rows of all processes below each other, without gradient; each must have as many."""
    if ranks() == 1:
        return rows
    parts = [torch.empty_like(rows) for _ in range(ranks())]
    processes.all_gather(parts, rows.contiguous())
    return torch.cat(parts)


def gathered_with_gradient(rows: Tensor) -> Tensor:
    """The rows of all processes below each other; each must have as many. Backward as `summed`."""
    if ranks() == 1:
        return rows
    parts = rows.new_zeros(ranks(), *rows.shape)
    parts[rank()] = rows
    return summed(parts).flatten(0, 1)


def share_of_mean(values: Tensor, weights: Tensor) -> Tensor:
    """The share of this process in a weighted mean over all: the mean of it over processes is that mean.

    Without any weight it is 0. Through weights flows no gradient.
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
