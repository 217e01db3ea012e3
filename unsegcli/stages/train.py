"""`unseg train`: a network from pictures, without a label; one plain loop for all methods."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from unsegcli import console, store
from unsegcli.core.nn.distributed_sums import ranks
from unsegcli.core.nn.precision import PRECISIONS, own_arithmetic, resolved_precision
from unsegcli.dataflow.dataset import Supply, find_supply
from unsegcli.dataflow.runner import Outcome, report_skipped, unchanged
from unsegcli.methods._contract import Batch
from unsegcli.methods._load import find_method, settings_of
from unsegcli.params import AUTO, Cluster, Pictures, Train
from unsegcli.segmenters import baselines
from unsegcli.segmenters.trained import device_of
from unsegcli.training.batches import Batches, on_device
from unsegcli.training.checkpoint import Training, content_of, keep
from unsegcli.training.contract_check import check_method
from unsegcli.training.data import Bad, Pool, Reader, pool_of, proposals_for, remove_spilled
from unsegcli.training.distributed import is_first, joined, mean_gradients, together
from unsegcli.training.interrupts import Stopping, asked_to_stop
from unsegcli.training.job import Order, check_needs, check_role, check_wishes, recipe_of, upgraded_recipe
from unsegcli.training.monitor import Losses, ObjectSight, Sight, look
from unsegcli.training.optim import rate_at
from unsegcli.training.pretrained import NONE, find_weights, read_weights
from unsegcli.training.restarts import best_of
from unsegcli.training.setup import batches_of, begun, estimate_training

REVISION = 1
LOOKS = 20  # times that the clusters are looked at in a training
SEEN_AT_ONCE = 32  # crops that are looked at
CHECKED_EVERY = 20  # steps after which the losses are brought to this processor; on a GPU that makes it wait


def train(
    inputs: Sequence[str | Path],
    output: str | Path = "model.h5",
    params: Train | None = None,
    pictures: Pictures | None = None,
    *,
    method: str = "inmars",
    preset: str | None = None,
    config: str | Path | None = None,
    sets: Sequence[str] = (),
    seeds: int = 1,
    device: str = "auto",
    memory: float = 4.0,
    checkpoint_minutes: float = 3.0,
    weights: str | Path = NONE,
    proposals: str | Path | None = None,
    mask: str | Path | None = None,
    images: str | Path | None = None,
    limit: int | None = None,
    workers: int = 0,
    force: bool = False,
    dry_run: bool = False,
) -> list[Outcome]:
    """Train a network on pictures, and write it; or several, from seeds that follow each other.

    Args:
        inputs: an artifact of superpixels, or folders, files, globs or lists of pictures.
        output: the model to write; with several seeds `-seed0` and so on go before its suffix.
        params: length, seed and the like.
        pictures: how pictures are read, where they are not in an artifact already.
        method: its name, or a Python file.
        preset: settings of the method by name.
        config: a TOML file of further settings, which win over the preset.
        sets: `key=value`, which win over the file.
        seeds: how many models.
        device: auto cpu cuda mps.
        memory: gigabytes of pictures to hold; what is beyond lies in a file beside the output.
        checkpoint_minutes: time between two states that an interrupted training can go on from.
        weights: what the network begins with: none (chance), imagenet (torchvision's, which are downloaded), or a
            file that torch has saved.
        proposals: a segmentation of object masks of these pictures, for methods that learn from such.
        mask: folder of masks of valid pixels; for pictures only.
        images: folder where the pictures of an artifact without pixels lie now.
        limit: the first so many pictures only.
        workers: processes that read pictures; 0 = one for each processor.
        force: replace a model of another recipe, or an unfinished one.
        dry_run: only say what would be done.
    """
    params = params or Train()
    loaded = find_method(method)
    given = None if params.classes == AUTO else params.classes
    settings = settings_of(loaded, preset, config, sets, classes=given)
    if params.classes is None and loaded.role == "clusters" and not loaded.embeds:
        console.note(f"{settings.classes} clusters; say --classes N for another number")
    if params.classes != AUTO:
        params = replace(params, classes=settings.classes)
    check_wishes(params, settings, seeds)
    check_role(loaded, settings, params)
    masks = proposals_for(loaded, settings, proposals, params.min_confidence)
    supply, reading = find_supply(inputs, pictures or Pictures(), kinds=("superpixels",), mask=mask, images=images,
                                  limit=limit, known_from=None)  # fmt: skip
    supply = supply if masks is None else masks.named_in(supply)
    place = device_of(device)
    params = replace(params, precision=resolved_precision(params.precision, place))
    digest, file = find_weights(weights, loaded)
    order = Order(loaded, settings, params, place, checkpoint_minutes, digest)
    reads = [*inputs, *(path for path in (proposals, file) if path is not None)]

    def target_of(one: Order, path: Path) -> store.Target:
        recipe = recipe_of(one, REVISION, reading, supply)
        return store.Target(path, "model", recipe, force=force, reads=reads, upgrade=upgraded_recipe)

    if params.restarts > 1:
        runs = partial(
            train, inputs, params=replace(params, restarts=1), pictures=pictures, method=method, preset=preset,
            config=config, sets=sets, seeds=params.restarts, device=device, memory=memory,
            checkpoint_minutes=checkpoint_minutes, mask=mask, images=images, limit=limit, workers=workers, force=force,
            dry_run=dry_run, proposals=proposals, weights=weights,
        )  # fmt: skip
        return best_of(order, target_of(order, Path(output)), supply, runs, method, workers, dry_run)
    orders = [replace(order, params=replace(params, seed=params.seed + number)) for number in range(seeds)]
    targets = [target_of(one, _numbered(Path(output), one.params.seed, seeds)) for one in orders]
    earlier = [unchanged(target) for target in targets]
    left = [(one, target) for one, target, made in zip(orders, targets, earlier, strict=True) if made is None]
    outcomes = [made or Outcome(target.path) for target, made in zip(targets, earlier, strict=True)]
    if not left:
        return outcomes if is_first() else []
    pretrained = read_weights(digest, file, getattr(settings, "architecture", ""))
    left = [(replace(one, pretrained=pretrained), target) for one, target in left]
    supply = supply.opened(workers)
    check_needs(loaded, settings, supply)
    if loaded.digest and supply.reading is not None:
        check_method(order, supply.reading.channels)
    if masks is not None:
        masks.check(unit.source for unit in supply.units)
    if params.classes == AUTO:
        left = _with_number(left, supply, workers)
    reader = Reader(workers, masks, params.min_confidence)
    if dry_run:
        with own_arithmetic():
            console.note(estimate_training(left[0][0], supply, reader, take_step))
        return outcomes
    bad = _train_all(left, supply, memory, reader)
    report_skipped(bad)
    return [Outcome(outcome.path, len(bad)) for outcome in outcomes] if is_first() else []


def _train_all(left: Sequence[tuple[Order, store.Target]], supply: Supply, memory: float, reader: Reader) -> Bad:
    """Write one model after the other, all from the same pool; the pictures that cannot be read are given back."""
    bad = list(supply.bad)
    with own_arithmetic(), joined(left[0][0].device) as here:
        pool = None
        for one, target in left:
            with _held(target) as writer:
                pool = pool or pool_of(supply, target.partial, memory, reader, bad)
                order, read = replace(one, device=here), replace(supply, bad=tuple(bad))
                training = _learn(order, pool, target, partial(keep, order, read, target))
                if writer is not None:
                    writer.finish(**content_of(training, order, read, target))
            together()
    return bad


def _learn(order: Order, pool: Pool, target: store.Target, keep: Callable[[Training], None]) -> Training:
    """The loop."""
    method, config = order.method.module, order.config
    training = begun(order, pool, target, take_step)
    batches = batches_of(order, pool, training.steps)
    watched = _watched(batches, order.device)
    losses = Losses(training, target)
    saved = time.monotonic()
    with console.progress(training.steps * config.batch, "training") as bar, _interruptible() as stopping:
        bar.update(training.step * config.batch)
        for batch in batches.ahead(training.step, order.device):
            terms = take_step(order, training, batch)
            training.step += 1
            losses.add(terms)
            bar.update(config.batch)
            last = training.step == training.steps
            stop = bool(stopping)
            overdue = time.monotonic() - saved > 60 * order.checkpoint_minutes
            if last or stop or overdue or order.device.type == "cpu" or training.step % CHECKED_EVERY == 0:
                bar.set_postfix(losses.read(), refresh=False)
            if last or training.step % max(1, training.steps // LOOKS) == 0:
                _watch(order, training, look(method, training.network, watched, config), last)
            if (stop or overdue) and not last:
                _save(target, training)
                saved = time.monotonic()
            if order.params.keep_every and training.step % order.params.keep_every == 0 and not last:
                keep(training)
            if stop and not last:
                stopping.now()
    return training


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


def _watched(batches: Batches, device: torch.device) -> Batch:
    """The crops that are looked at, the same through the whole training."""
    few = replace(batches, size=min(SEEN_AT_ONCE, len(batches.pool.pictures)), rank=0, ranks=1)
    return on_device(few.at(0), device)


def _watch(order: Order, training: Training, sight: Sight | ObjectSight, last: bool) -> None:
    training.record({f"watch-{name}": value for name, value in {"step": training.step, **asdict(sight)}.items()})
    (console.note if last else console.detail)(f"step {training.step}: {sight.text(order.config.classes)}")
    if last and sight.warning(order.config.classes):
        console.warn(sight.warning(order.config.classes))


def _save(target: store.Target, training: Training) -> None:
    if is_first():
        store.save_checkpoint(target, *training.pack())
        console.detail(f"step {training.step} can be gone on from")


def _interruptible() -> AbstractContextManager[Stopping]:
    """Several processes cannot agree on the step to stop at: there a signal ends each of them at once."""
    return asked_to_stop() if ranks() == 1 else nullcontext(Stopping())


@contextmanager
def _held(target: store.Target) -> Iterator[store.Writer | None]:
    """The output, for the process that writes; all others wait until it is held."""
    with target.writing() if is_first() else nullcontext() as writer:
        together()
        try:
            yield writer
        finally:
            remove_spilled(target.partial)


def _with_number(
    left: Sequence[tuple[Order, store.Target]], supply: Supply, workers: int
) -> list[tuple[Order, store.Target]]:
    """The same trainings with the number of clusters that superpixels, or pixels, have of themselves."""
    params = left[0][0].params
    features = "regions" if supply.kind == "superpixels" else "rgb"
    asked = Cluster(classes=AUTO, most_classes=params.most_classes, features=features, seed=params.seed)
    curve = baselines.choose_number(baselines.draw_sample(supply, asked, workers), asked)
    return [
        (replace(one, config=replace(one.config, classes=curve.chosen), curve=curve), target) for one, target in left
    ]


def _numbered(path: Path, seed: int, seeds: int) -> Path:
    return path if seeds == 1 else path.with_stem(f"{path.stem}-seed{seed}")
