"""One step of a training: forward, backward, and a change of the weights."""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor

from unsegcli.core.nn.precision import PRECISIONS
from unsegcli.methods._contract import Batch
from unsegcli.training.checkpoint import Training
from unsegcli.training.distributed import mean_gradients
from unsegcli.training.job import Order
from unsegcli.training.optim import rate_at


def take_step(order: Order, training: Training, batch: Batch) -> dict[str, Tensor]:
    """Change the weights by one batch, and give the terms of its loss."""
    method, config, network = order.method.module, order.config, training.network
    rate = rate_at(config, training.step, training.steps)
    for group in training.optimizer.param_groups:
        group["lr"] = rate
    training.optimizer.zero_grad(set_to_none=True)
    half = PRECISIONS[order.precision]
    with torch.autocast(order.device.type, half) if half else nullcontext():
        terms = method.loss(network, batch, config)
    training.scaler.scale(terms["loss"]).backward()
    mean_gradients(network)  # first, so that all processes see the same overflow of short numbers
    training.scaler.unscale_(training.optimizer)
    if config.clip:
        torch.nn.utils.clip_grad_norm_(network.parameters(), config.clip)
    training.scaler.step(training.optimizer)
    training.scaler.update()
    if hasattr(method, "after_step"):
        method.after_step(network, batch, config)
    return {name: term.detach() for name, term in terms.items()}
