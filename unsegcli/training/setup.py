"""Set up or resume a training: number of steps, network and batches; and estimate its duration."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import accumulate, islice
from typing import Any

import torch
from torch import Tensor

from unsegcli import console, store
from unsegcli.core.nn.distributed_sums import rank, ranks
from unsegcli.dataflow.dataset import Dataset, Unit, source_pixels
from unsegcli.dataflow.stored_vectors import seen_by_network
from unsegcli.errors import ArtifactError, ConfigError
from unsegcli.methods._contract import Batch
from unsegcli.methods._load import mistakes_named
from unsegcli.segmenters.weights import Arrays
from unsegcli.training.batches import Batches
from unsegcli.training.checkpoint import Training
from unsegcli.training.data import Pool, Reader
from unsegcli.training.distributed import barrier, mean_of
from unsegcli.training.job import TrainingJob
from unsegcli.training.optim import make_optimizer, steps_of

TIMED = 8  # steps to time
FEW, PIXELS_TRIED = 32, 50_000_000  # images used for an estimate, and of how many pixels

Step = Callable[[TrainingJob, Training, Batch], dict[str, Tensor]]  # updates the weights, returns the loss terms


def start_or_resume(job: TrainingJob, pool: Pool, target: store.Target, step: Step) -> Training:
    """Start a training, or resume it from its checkpoint."""
    training = new_training(job, pool, steps_planned(job, pool, step))
    found = _checkpoint_of(training, target)
    if found is not None:
        training.unpack(*found)
        console.note(f"resuming after step {training.step} of {training.steps}")
    else:
        _prepare(job, training, batches_of(job, pool, training.steps).one_pass(job.device))
        if job.pretrained is not None:
            module: Any = job.method.module
            console.note(job.pretrained.report(module.backbones(training.network)[0]))
        images = len(pool.images)
        console.note(
            f"{job.method.name} on {job.device} in {job.precision}: {training.steps} steps of "
            f"{job.config.batch} crops, "
            f"{training.steps * job.config.batch / images:.1f} epochs of {console.count_images(images)}, "
            f"seed {job.params.seed}"
        )
    barrier()
    return training


def _checkpoint_of(training: Training, target: store.Target) -> tuple[Arrays, str] | None:
    """Load the checkpoint to resume from, if there is one; the device type must match, since it affects rounding."""
    found = store.load_checkpoint(target)
    if found is None:
        return None
    about = json.loads(found[1])
    device = about.get("device", training.device)  # not recorded in older checkpoints
    if device == training.device:
        return found
    where = f"{target.partial}: holds a checkpoint saved at step {about['step']} on {device}"
    if not target.force:
        raise ArtifactError(
            f"{where}, but this run uses {training.device}, which rounds differently; resume with --device {device}, "
            "or start again with --force"
        )
    console.warn(f"{where}: it is discarded because of --force")
    return None


def new_training(job: TrainingJob, pool: Pool, steps: int) -> Training:
    """Make a training at step 0."""
    torch.manual_seed(job.params.seed)
    network = job.method.network(job.config, *seen_by_network(job.vectors, pool.channels))
    if job.pretrained is not None:
        module: Any = job.method.module
        job.pretrained.put_into(module.backbones(network))
    move: Any = network.to  # the type hints of torch lack memory_format before 2.15
    move(job.device, memory_format=torch.channels_last)
    network.train()
    if job.params.compile:
        network.compile()
    scaler = torch.amp.GradScaler(job.device.type, enabled=job.precision == "fp16")
    return Training(network, make_optimizer(network, job.config), scaler, steps)


def finish(job: TrainingJob, training: Training, batches: Batches) -> None:
    """Call the method's `finish` after the last step, or before a model is saved on the way, if it has one."""
    method: Any = job.method.module
    if hasattr(method, "finish"):
        training.network.eval()
        with mistakes_named(job.method, "finish"):
            method.finish(training.network, batches.one_pass(job.device), job.config)
        training.network.train()


def _prepare(job: TrainingJob, training: Training, batches: Iterator[Batch]) -> None:
    """Call the method's `prepare` before the first step, if it has one."""
    method: Any = job.method.module
    if hasattr(method, "prepare"):
        method.prepare(training.network, batches, job.config)
        training.network.train()


def steps_planned(job: TrainingJob, pool: Pool, step: Step) -> int:
    """Return the number of steps; a length in minutes is converted by timing a few steps."""
    params, images = job.params, len(pool.images)
    if params.minutes is None:
        return steps_of(job.config, images, params.steps, params.epochs)
    seconds = seconds_a_step(job, pool, step)
    steps = max(1, int(60 * params.minutes / seconds))
    console.note(f"{seconds:.3g} s per step: {steps} steps in {params.minutes:g} minutes")
    return steps


def seconds_a_step(job: TrainingJob, pool: Pool, step: Step) -> float:
    """Time a few steps of a training that is then discarded."""
    training = new_training(job, pool, TIMED)
    batches = batches_of(job, pool, TIMED)
    _prepare(job, training, islice(batches.one_pass(job.device), TIMED))
    started = 0.0
    with closing(batches.ahead(0, job.device)) as prefetched:
        for batch in prefetched:
            started = started or time.monotonic()
            float(step(job, training, batch)["loss"])
            training.step += 1
            if training.step == 2:
                started = time.monotonic()  # the first steps include initialization
    return float(mean_of(torch.tensor((time.monotonic() - started) / (TIMED - 2), device=job.device)))


def estimate_training(job: TrainingJob, dataset: Dataset, reader: Reader, models: int, step: Step) -> str:
    """Time some steps on a few images, and describe what the whole training would take."""
    pool = reader.fill(replace(dataset, units=_few_of(dataset.in_windows().units)))
    seconds = seconds_a_step(job, pool, step)
    images = sum(unit.window_count for unit in dataset.units)
    params = job.params
    steps = steps_of(job.config, images, params.steps, params.epochs)
    if params.minutes is not None:
        steps = max(1, int(60 * params.minutes / seconds))
    size = pool.stored_bytes / len(pool.images) * images
    duration = f"about {console.duration(steps * seconds)}"
    if models > 1:
        duration += f" for each of {models} models, {console.duration(models * steps * seconds)} in total,"
    return (
        f"would train {job.method.name} for {steps} steps, {duration} on "
        f"{job.device}, with {console.count_images(images)} in {size / 1e9:.2f} GB of memory"
    )


def _few_of(units: Sequence[Unit]) -> tuple[Unit, ...]:
    """Return the first units, fewer if they are large, at least one."""
    pixels = accumulate(map(source_pixels, units[:FEW]))
    return tuple(units[: max(1, sum(so_far <= PIXELS_TRIED for so_far in pixels))])


def batches_of(job: TrainingJob, pool: Pool, steps: int) -> Batches:
    """Return the batches of this process."""
    config, needs = job.config, job.method.needs(job.config)
    if config.batch % ranks():
        raise ConfigError(f"batch {config.batch}: must be a multiple of the {ranks()} processes")
    multiple = int(getattr(job.method.module, "MULTIPLE", 1))
    return Batches(pool, config.batch, config.crop, job.params.seed, steps, needs, rank(), ranks(), multiple)
