"""The start of a training: its length, its network, its batches; and an estimate of all that."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from unsegcli import console, store
from unsegcli.core.nn.distributed_sums import rank, ranks
from unsegcli.dataflow.dataset import Supply
from unsegcli.errors import ArtifactError, ConfigError
from unsegcli.methods._contract import Batch
from unsegcli.segmenters.weights import Arrays
from unsegcli.training.batches import Batches
from unsegcli.training.checkpoint import Training
from unsegcli.training.data import Pool, Reader
from unsegcli.training.distributed import mean_of, together
from unsegcli.training.job import Order
from unsegcli.training.optim import make_optimizer, steps_of

TIMED = 8  # steps that say how long one takes, where the length is given in minutes
FEW = 32  # pictures that an estimate is made with

Step = Callable[[Order, Training, Batch], dict[str, Tensor]]  # changes the weights, and gives the terms of the loss


def begun(order: Order, pool: Pool, target: store.Target, step: Step) -> Training:
    """A training at its start, or where an interrupted one stopped."""
    training = fresh(order, pool, steps_planned(order, pool, step))
    found = _checkpoint_of(training, target)
    if found is not None:
        training.unpack(*found)
        console.note(f"going on after step {training.step} of {training.steps}")
    else:
        _prepare(order, training, batches_of(order, pool, training.steps).one_pass(order.device))
        if order.pretrained is not None:
            module: Any = order.method.module
            console.note(order.pretrained.report(module.backbones(training.network)[0]))
        pictures = len(pool.pictures)
        console.note(
            f"{order.method.name} on {order.device} in {order.precision}: {training.steps} steps of "
            f"{order.config.batch} crops, "
            f"{training.steps * order.config.batch / pictures:.1f} times through {console.pictures(pictures)}, "
            f"seed {order.params.seed}"
        )
    together()
    return training


def _checkpoint_of(training: Training, target: store.Target) -> tuple[Arrays, str] | None:
    """The checkpoint to go on from, if there is one; it must be of this kind of device, which rounds otherwise."""
    found = store.load_checkpoint(target)
    if found is None:
        return None
    told = json.loads(found[1])
    device = told.get("device", training.device)  # older checkpoints do not say
    if device == training.device:
        return found
    where = f"{target.partial}: holds the checkpoint of step {told['step']} of a training on {device}"
    if not target.force:
        raise ArtifactError(
            f"{where}, and this is {training.device}, which rounds otherwise; go on with --device {device}, or start "
            "again with --force"
        )
    console.warn(f"{where}: it is thrown away, as --force says")
    return None


def fresh(order: Order, pool: Pool, steps: int) -> Training:
    """A training before its first step."""
    torch.manual_seed(order.params.seed)
    network = order.method.module.Network(order.config, pool.channels)
    if order.pretrained is not None:
        module: Any = order.method.module
        order.pretrained.put_into(module.backbones(network))
    move: Any = network.to  # torch's types know no memory format before 2.15
    move(order.device, memory_format=torch.channels_last)
    network.train()
    if order.params.compile:
        network.compile()
    scaler = torch.amp.GradScaler(order.device.type, enabled=order.precision == "fp16")
    return Training(network, make_optimizer(network, order.config), scaler, steps)


def _prepare(order: Order, training: Training, batches: Iterator[Batch]) -> None:
    """What the method does once before the first step, if it does."""
    method: Any = order.method.module
    if hasattr(method, "prepare"):
        method.prepare(training.network, batches, order.config)
        training.network.train()


def steps_planned(order: Order, pool: Pool, step: Step) -> int:
    """The number of steps; a length in minutes is turned into steps by timing some that are thrown away."""
    params, pictures = order.params, len(pool.pictures)
    if params.minutes is None:
        return steps_of(order.config, pictures, params.steps, params.epochs)
    seconds = seconds_a_step(order, pool, step)
    steps = max(1, int(60 * params.minutes / seconds))
    console.note(f"a step takes {seconds:.3g} s: {steps} steps in {params.minutes:g} minutes")
    return steps


def seconds_a_step(order: Order, pool: Pool, step: Step) -> float:
    """How long a step takes, by some that are thrown away."""
    training = fresh(order, pool, TIMED)
    batches = batches_of(order, pool, TIMED)
    _prepare(order, training, islice(batches.one_pass(order.device), TIMED))
    started = 0.0
    for batch in batches.ahead(0, order.device):
        started = started or time.monotonic()
        float(step(order, training, batch)["loss"])
        training.step += 1
        if training.step == 2:
            started = time.monotonic()  # the first ones also prepare
    return float(mean_of(torch.tensor((time.monotonic() - started) / (TIMED - 2), device=order.device)))


def estimate_training(order: Order, supply: Supply, reader: Reader, step: Step) -> str:
    """Time some steps on a few pictures, and say what the whole training would take."""
    pool = reader.fill(replace(supply, units=supply.units[:FEW]))
    seconds = seconds_a_step(order, pool, step)
    pictures = sum(unit.window_count for unit in supply.units)
    params = order.params
    steps = steps_of(order.config, pictures, params.steps, params.epochs)
    if params.minutes is not None:
        steps = max(1, int(60 * params.minutes / seconds))
    size = pool.stored_bytes / len(pool.pictures) * pictures
    return (
        f"would train {order.method.name} for {steps} steps, about {steps * seconds / 60:,.1f} minutes on "
        f"{order.device}, with {console.pictures(pictures)} in {size / 1e9:.2f} GB of memory"
    )


def batches_of(order: Order, pool: Pool, steps: int) -> Batches:
    """The batches of this process."""
    config, needs = order.config, order.method.needs(order.config)
    if config.batch % ranks():
        raise ConfigError(f"batch {config.batch}: must be a multiple of the {ranks()} processes")
    return Batches(pool, config.batch, config.crop, order.params.seed, steps, needs, rank(), ranks())
