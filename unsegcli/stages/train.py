"""`unseg train`: train a network on images without labels; one loop for all methods."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from unsegcli import console, store
from unsegcli.core.nn.distributed_sums import ranks
from unsegcli.core.nn.precision import PRECISIONS, own_arithmetic, resolved_precision
from unsegcli.dataflow.commands import run_command
from unsegcli.dataflow.dataset import Dataset, find_dataset, release_artifacts
from unsegcli.dataflow.runner import Outcome, report_skipped, unchanged
from unsegcli.errors import ConfigError
from unsegcli.methods._contract import Batch
from unsegcli.methods._load import find_method, settings_of
from unsegcli.params import AUTO, Cluster, Inputs, Run, Train, as_typed
from unsegcli.segmenters import baselines
from unsegcli.segmenters.trained import device_of
from unsegcli.training.batches import Batches, on_device
from unsegcli.training.checkpoint import Training, content_of, save_step
from unsegcli.training.contract_check import check_method
from unsegcli.training.data import Bad, ObjectMasks, Pool, Reader, proposals_for, remove_spilled, vectors_for
from unsegcli.training.distributed import (
    agreed_signal,
    barrier,
    is_first,
    mean_gradients,
    on_one_machine,
    process_group,
)
from unsegcli.training.interrupts import StopRequest, delayed_interrupts
from unsegcli.training.job import TrainingJob, check_options, check_role, recipe_of, upgraded_recipe
from unsegcli.training.monitor import ClusterStats, Losses, ObjectStats, grouping_warning, measure
from unsegcli.training.optim import rate_at
from unsegcli.training.pretrained import find_weights, read_weights
from unsegcli.training.restarts import best_of
from unsegcli.training.setup import batches_of, estimate_training, finish, start_or_resume
from unsegcli.training.shared_images import pool_of_processes

REVISION = 1
WATCH_TIMES = 20  # how often the clusters are measured in a training
WATCH_CROPS = 32  # crops used for that
ENOUGH_STEPS = 50  # clusters of a shorter training are not judged
TIMED = 8  # steps by which the duration is estimated
CHECKED_EVERY = 20  # steps between reading the losses, which synchronizes a GPU


def train(inputs: Inputs, params: Train | None = None, run: Run | None = None) -> list[Outcome]:
    """Train one network, or several with consecutive seeds, and write the models.

    Args:
        inputs: an artifact of superpixels or features, or folders, files, globs or lists of images.
        params: the method and its settings, length and seeds.
        run: how to run, and the model to write; with several seeds, `-seed0` and so on are added to its stem.
    """
    params, run = params or Train(), (run or Run()).of("train")
    job, weights = _job(params, device_of(run.device))
    masks = proposals_for(job.method, job.config, params.proposals, params.min_confidence)
    dataset = find_dataset(inputs, kinds=("superpixels", "features"))
    job = replace(job, vectors=vectors_for(job.method, dataset))
    if dataset.kind == "pictures" and "superpixels" in job.method.needs(job.config):
        made = _superpixels_of(inputs, run)
        if made is None:
            return []
        return [one._replace(skipped=_skipped_in(made)) for one in train(Inputs([made]), params, run)]
    if params.classes is None and job.method.role == "clusters" and not job.method.embeds:
        console.note(f"{job.config.classes} clusters; use --classes N for another number")
    if masks is not None:
        dataset = dataset.with_input("proposals", masks.path, masks.fingerprint)
    if params.restarts > 1:
        several = replace(params, restarts=1, seeds=params.restarts)
        target = _target(job, dataset, run)
        return best_of(job, target, dataset, run, lambda path: train(inputs, several, replace(run, output=path)))
    jobs = [replace(job, params=replace(job.params, seed=params.seed + number)) for number in range(params.seeds)]
    targets = [_target(one, dataset, replace(run, output=_numbered(one, run.output))) for one in jobs]
    earlier = [unchanged(target) for target in targets]
    pending = [(one, target) for one, target, made in zip(jobs, targets, earlier, strict=True) if made is None]
    outcomes = [made or Outcome(target.path) for target, made in zip(targets, earlier, strict=True)]
    if not pending:
        return outcomes if is_first() else []
    dataset = _opened(job, dataset, masks, run.workers)
    try:
        pending = _completed(pending, weights, dataset, run.workers)
        reader = Reader(run.workers, masks, params.min_confidence, "regions" in job.method.needs(job.config))
        if run.dry_run:
            with own_arithmetic():
                console.note(estimate_training(pending[0][0], dataset, reader, len(pending), take_step))
            return outcomes
        bad = _train_all(pending, dataset, reader)
    finally:
        release_artifacts()  # crops of large images are read from them
    report_skipped(bad)
    return [outcome._replace(skipped=len(bad)) for outcome in outcomes] if is_first() else []


def _superpixels_of(inputs: Inputs, run: Run) -> Path | None:
    """Make the superpixels of images by the command that a user would type; None in a dry run, where there are none."""
    target = Path(run.output)
    made = target.with_name(f"{target.stem}-superpixels.h5")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError(f"{inputs.paths[0]}: make superpixels with `unseg superpixels` first, and give that file")
    options = [*as_typed(inputs.images), *as_typed(replace(inputs, paths=())), "-o", str(made)]
    options += ["--workers", str(run.workers), "--skip-bad"] if run.workers else ["--skip-bad"]
    run_command(["superpixels", *map(str, inputs.paths), *options, *(["--dry-run"] if run.dry_run else [])])
    if run.dry_run:
        console.note("the training is estimated once there are superpixels")
        return None
    return made


def _skipped_in(path: Path) -> int:
    with store.open_artifact(path, "superpixels") as artifact:
        return len(artifact.table("skipped/name"))


def _job(params: Train, device: torch.device) -> tuple[TrainingJob, Path | None]:
    """Build the training job from the options, and return it with the file of the initial weights, if any."""
    method = find_method(params.method)
    given = params.classes if isinstance(params.classes, int) else None
    config = settings_of(method, params.preset, params.config, params.sets, classes=given)
    check_options(params, config)
    check_role(method, config, params)
    if params.classes != AUTO:
        params = replace(params, classes=config.classes)
    params = replace(params, precision=resolved_precision(params.precision, device))
    digest, file = find_weights(params.weights, method)
    return TrainingJob(method, config, params, device, digest), file


def _target(job: TrainingJob, dataset: Dataset, run: Run) -> store.Target:
    own = [path for path in (job.params.proposals, job.params.weights) if path is not None]
    reads = [*dataset.named, *own]
    recipe = recipe_of(job, REVISION, dataset)
    return store.Target(run.output, "model", recipe, force=run.force, reads=reads, upgrade=upgraded_recipe)


def _opened(job: TrainingJob, dataset: Dataset, masks: ObjectMasks | None, workers: int) -> Dataset:
    """Open the dataset, and check the object masks and a user's own method."""
    dataset = dataset.opened(workers)
    if job.method.digest and dataset.reading is not None:
        check_method(job, dataset.reading.channels)
    if masks is not None:
        masks.check(dataset.sources)
    return dataset


def _completed(
    pending: Sequence[tuple[TrainingJob, store.Target]], weights: Path | None, dataset: Dataset, workers: int
) -> list[tuple[TrainingJob, store.Target]]:
    """Add the initial weights to the jobs, and choose the number of clusters if it is `auto`."""
    job = pending[0][0]
    pretrained = read_weights(job.weights, weights, getattr(job.config, "architecture", ""))
    jobs = [(replace(one, pretrained=pretrained), target) for one, target in pending]
    if job.params.classes != AUTO:
        return jobs
    features = "bands" if dataset.kind == "pictures" else "regions"
    asked = Cluster(classes=AUTO, max_classes=job.params.max_classes, features=features, seed=job.params.seed)
    curve = baselines.choose_number(baselines.draw_sample(dataset, asked, workers), asked)
    return [
        (replace(one, config=replace(one.config, classes=curve.chosen), curve=curve), target) for one, target in jobs
    ]


def _train_all(pending: Sequence[tuple[TrainingJob, store.Target]], dataset: Dataset, reader: Reader) -> Bad:
    """Train and write the models one after the other on the same images; return the unreadable images."""
    bad = list(dataset.bad)
    with own_arithmetic(), process_group(pending[0][0].device) as here:
        pool = None
        for one, target in pending:
            with _locked_output(target) as writer:
                if pool is None or not on_one_machine():  # their files do not outlive the folder everywhere
                    bad = list(dataset.bad)
                    pool = pool_of_processes(dataset, target.partial, one.params.memory, reader, bad)
                job, read = replace(one, device=here), replace(dataset, bad=tuple(bad))
                training = _learn(job, pool, target, partial(save_step, job, read, target))
                barrier()  # writing removes the files of images
                if writer is not None:
                    writer.finish(**content_of(training, job, read, target))
            barrier()
    return bad


def _learn(job: TrainingJob, pool: Pool, target: store.Target, keep: Callable[[Training], None]) -> Training:
    """Run the training loop."""
    method, config = job.method.module, job.config
    training = start_or_resume(job, pool, target, take_step)
    batches = batches_of(job, pool, training.steps)
    watched = None if hasattr(method, "finish") else _watched(batches, job.device)  # else no clusters until then
    losses = Losses(training, target)
    saved, timed_from = time.monotonic(), training.step + 2  # the first steps include initialization
    started = saved
    total, done = training.steps * config.batch, training.step * config.batch
    several = ranks() > 1  # torchrun sends each of them every signal twice
    with (
        console.progress(total, "training", "crop", done) as bar,
        delayed_interrupts(patient=several) as stop_request,
        closing(batches.ahead(training.step, job.device)) as prefetched,  # its thread must not outlive this
    ):
        for batch in prefetched:
            terms = take_step(job, training, batch)
            training.step += 1
            losses.add(terms)
            bar.update(config.batch)
            last = training.step == training.steps
            if training.step == timed_from:
                started = time.monotonic()
            elif training.step == timed_from + TIMED:
                _say_duration(training, (time.monotonic() - started) / TIMED)
            stop = _asked_to_stop(stop_request, training.step, job.device)
            overdue = time.monotonic() - saved > 60 * job.params.checkpoint_minutes
            if last or stop or overdue or job.device.type == "cpu" or training.step % CHECKED_EVERY == 0:
                bar.show_terms(losses.read())
            if watched is not None and (last or training.step % max(1, training.steps // WATCH_TIMES) == 0):
                _watch(job, training, measure(method, training.network, watched, config), last)
            if (stop or overdue) and not last:
                _save(target, training)
                saved = time.monotonic()
            if job.params.keep_every and training.step % job.params.keep_every == 0 and not last:
                finish(job, training, batches)
                keep(training)
            if stop and not last:
                barrier()  # until the checkpoint is saved: torchrun kills all processes once one has ended
                stop_request.stop_now()
    finish(job, training, batches)
    return training


def _say_duration(training: Training, seconds: float) -> None:
    """Say how long the rest of the training takes at so many seconds a step, unless it is short."""
    rest = (training.steps - training.step) * seconds
    if rest > console.FIRST_LINE:
        console.note(f"the training takes about {console.duration(rest)}")


def take_step(job: TrainingJob, training: Training, batch: Batch) -> dict[str, Tensor]:
    """Update the weights on one batch, and return the terms of its loss."""
    method, config, network = job.method.module, job.config, training.network
    rate = rate_at(config, training.step, training.steps)
    for group in training.optimizer.param_groups:
        group["lr"] = rate
    training.optimizer.zero_grad(set_to_none=True)
    half = PRECISIONS[job.precision]
    with torch.autocast(job.device.type, half) if half else nullcontext():
        terms = method.loss(network, batch, config)
    training.scaler.scale(terms["loss"]).backward()
    mean_gradients(network)  # before unscaling, so that all processes detect the same fp16 overflow
    training.scaler.unscale_(training.optimizer)
    if config.grad_clip:
        torch.nn.utils.clip_grad_norm_(network.parameters(), config.grad_clip)
    training.scaler.step(training.optimizer)
    training.scaler.update()
    if hasattr(method, "after_step"):
        method.after_step(network, batch, config)
    return {name: term.detach() for name, term in terms.items()}


def _watched(batches: Batches, device: torch.device) -> Batch:
    """Return the crops used to measure the clusters, the same throughout the training."""
    few = replace(batches, size=min(WATCH_CROPS, len(batches.pool.images)), rank=0, ranks=1)
    return on_device(few.at(0), device)


def _watch(job: TrainingJob, training: Training, stats: ClusterStats | ObjectStats, last: bool) -> None:
    training.record({f"watch-{name}": value for name, value in {"step": training.step, **asdict(stats)}.items()})
    (console.note if last else console.detail)(f"step {training.step}: {stats.text(job.config.classes)}")
    if last and training.steps >= ENOUGH_STEPS and stats.warning(job.config.classes):
        console.warn(stats.warning(job.config.classes))
    if last and (unused := grouping_warning(training.network, training.steps)):
        console.warn(unused)


def _save(target: store.Target, training: Training) -> None:
    if is_first():
        store.save_checkpoint(target, *training.pack())
        console.detail(f"checkpoint saved at step {training.step} of {training.steps}")


def _asked_to_stop(request: StopRequest, step: int, device: torch.device) -> bool:
    """Return whether to stop after this step, the same in all processes; on a GPU several ask each other rarely."""
    if ranks() > 1 and device.type != "cpu" and step % CHECKED_EVERY:
        return False
    agreed = agreed_signal(request.signal, device)
    if agreed is None:
        return False  # a signal received meanwhile is kept for the next agreement
    request.signal = agreed
    return True


@contextmanager
def _locked_output(target: store.Target) -> Iterator[store.Writer | None]:
    """Lock the output in rank 0; other processes wait and get None."""
    with target.writing() if is_first() else nullcontext() as writer:
        barrier()
        try:
            yield writer
        finally:
            remove_spilled(target.partial)


def _numbered(job: TrainingJob, output: str | Path) -> Path:
    """Add the seed to the output path if there are several seeds."""
    path = Path(output)
    return path if job.params.seeds == 1 else path.with_stem(f"{path.stem}-seed{job.params.seed}")
