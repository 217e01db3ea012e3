"""What each of two processes computes; started by test_processes.py with the place to meet and the place to write."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import distributed, nn
from toy import make_network, tiny, toy_batches, toy_pool

from unsegcli.core.nn.distributed_sums import rank, ranks, summed
from unsegcli.core.nn.networks import BatchNorm
from unsegcli.methods._load import find_method, method_names
from unsegcli.training.batches import on_device
from unsegcli.training.distributed import is_first, mean_gradients, mean_of

VARIANTS: dict[str, dict[str, Any]] = {  # what else sums over processes
    "infoseg": {"negatives": "roll", "guide": 1.0},
}


def gradients_of(name: str, **sets: Any) -> dict[str, torch.Tensor]:
    """Loss, running statistics and gradient of two steps of a method after some others, as this process sees them."""
    loaded = find_method(name)
    config = tiny(loaded, crop=16, **sets)
    network = make_network(loaded, config).double()
    batches = toy_batches(loaded, config, toy_pool(), rank=rank(), ranks=ranks(), steps=10)
    total = torch.zeros((), dtype=torch.float64)
    for step in (1, 4, 5, 6, 7, 8):  # a first grouping takes the first four; then an odd and an even one
        batch = on_device(batches.at(step), torch.device("cpu"))
        loss = loaded.module.loss(network, replace(batch, images=batch.images.double()), config)["loss"]
        if step > 6:
            loss.backward()
            total += loss.detach()
    mean_gradients(network)
    found = {key: weight.grad.clone() for key, weight in network.named_parameters() if weight.grad is not None}
    found |= {key: value.clone() for key, value in network.named_buffers()}
    return {**found, "loss": mean_of(total)}


def not_shorter(values: torch.Tensor) -> torch.Tensor:
    """Instead of `Tensor.float`: what makes short numbers longer shall not make double ones shorter."""
    return values if values.dtype == torch.float64 else values.to(torch.float32)


def parts() -> dict[str, torch.Tensor]:
    """Sums and batch statistics, forward and backward."""
    images = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 2
    share = len(images) // ranks()
    mine = images[rank() * share : (rank() + 1) * share].requires_grad_()
    norm = BatchNorm(3).double()
    total = summed(norm(mine).pow(3).sum((0, 2, 3)))
    total.square().sum().backward()
    assert mine.grad is not None
    return {"total": total.detach(), "gradient": mine.grad / ranks(), "running": norm.running_var.clone()}  # type: ignore[operator, union-attr]


def everything() -> dict[str, Any]:
    """All of it in float64, where rounding cannot hide a mistake."""
    before = torch.Tensor.float
    torch.Tensor.float = not_shorter  # type: ignore[method-assign, assignment]
    try:
        return _everything()
    finally:
        torch.Tensor.float = before  # type: ignore[method-assign]


def _everything() -> dict[str, Any]:
    uneven = nn.Linear(2, 1)  # of which only the first process has a gradient
    if rank() == 0:
        uneven.weight.grad = torch.tensor([[2.0, 4.0]])
    mean_gradients(uneven)
    return {
        "methods": {name: gradients_of(name) for name in method_names()},
        "variants": {name: gradients_of(name, **sets) for name, sets in VARIANTS.items()},
        "uneven": [None if weight.grad is None else weight.grad.clone() for weight in uneven.parameters()],
        "parts": parts(),
        "first": is_first(),
    }


def main(folder: str) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", world_size=2, rank=int(os.environ["RANK"])
    )
    torch.save(everything(), Path(folder) / f"{rank()}.pt")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1])
