"""The number of steps, the learning rate schedule and the optimizer."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from unsegcli.errors import ConfigError, not_among
from unsegcli.methods._contract import LoopSettings

OPTIMIZERS = ("adam", "adamw", "sgd")
SCHEDULES = ("constant", "cosine", "one_cycle", "poly", "poly_epochs")
POLY = 0.9  # power
CYCLE_START = 1 / 25  # of the one-cycle schedule, as a share of the maximum


def steps_of(config: LoopSettings, images: int, steps: int | None, epochs: float | None) -> int:
    """Return the number of steps: as given, else from the epochs; the default is at least the method's `min_steps`."""
    if steps is not None:
        return steps
    if epochs is not None:
        return max(1, math.ceil(epochs * images / config.batch))
    least = int(getattr(config, "min_steps", 1))
    return max(1, least, math.ceil(config.epochs * images / config.batch))


def rate_at(config: LoopSettings, step: int, steps: int) -> float:
    """Return the learning rate of a step: linear warm-up, then the schedule.

    In the one-cycle schedule both are half waves of a cosine: the rate rises from 1/25 of its maximum, then falls to 0.
    """
    rising = config.warmup * steps
    if config.schedule == "one_cycle" and step < rising:
        risen = 0.5 * (1 - math.cos(math.pi * step / rising))
        return config.learning_rate * (CYCLE_START + (1 - CYCLE_START) * risen)
    if step < rising:
        return config.learning_rate * (step + 1) / (math.floor(rising) + 1)
    done = (step - rising) / max(1.0, steps - rising)
    if config.schedule in ("cosine", "one_cycle"):
        return config.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
    if config.schedule == "poly_epochs":  # constant within each of `epochs` equal intervals, for any number of steps
        done = math.floor(done * config.epochs + 1e-9) / max(1, config.epochs)
        return config.learning_rate * float((1 - done) ** POLY)
    if config.schedule == "poly":
        return config.learning_rate * float((1 - done) ** POLY)
    return config.learning_rate


def make_optimizer(network: nn.Module, config: LoopSettings) -> torch.optim.Optimizer:
    """Make the optimizer of all trainable weights."""
    learning = [weight for weight in network.parameters() if weight.requires_grad]
    settings: dict[str, Any] = {"lr": config.learning_rate, "weight_decay": config.weight_decay}
    if config.optimizer == "sgd":
        return torch.optim.SGD(learning, momentum=config.momentum, **settings)
    kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    return kind(learning, betas=(config.momentum, 0.999), **settings)


def check_settings(config: LoopSettings) -> None:
    """Validate the settings of the training loop."""
    if config.optimizer not in OPTIMIZERS:
        raise ConfigError(not_among("optimizer", config.optimizer, OPTIMIZERS))
    if config.schedule not in SCHEDULES:
        raise ConfigError(not_among("schedule", config.schedule, SCHEDULES))
    for name, least in (("classes", 1), ("crop", 8), ("batch", 1), ("epochs", 0)):
        if getattr(config, name) < least:
            raise ConfigError(f"{name} {getattr(config, name)}: must be at least {least}")
    if not (config.learning_rate > 0 and 0 <= config.warmup < 1 and 0 <= config.momentum < 1):
        raise ConfigError("learning_rate must be above 0, and warmup and momentum from 0 to below 1")
    if config.weight_decay < 0 or config.grad_clip < 0:
        raise ConfigError("weight_decay and grad_clip must not be below 0")
