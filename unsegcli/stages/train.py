"""`unseg train`: a network from pictures, without a label; one plain loop for all methods."""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unsegcli import baselines, store, talk
from unsegcli.core.cluster_number import FEWEST, Curve
from unsegcli.core.ranks import rank, ranks
from unsegcli.errors import ArtifactError, ConfigError, DataError, UnsegError
from unsegcli.methods._contract import Batch
from unsegcli.params import AUTO, Cluster, Pictures, Train
from unsegcli.recipe import Recipe, make_recipe
from unsegcli.supply import Supply, Window, find_supply, relative_hints
from unsegcli.sweep import Outcome, gather, report_skipped, unchanged
from unsegcli.training import restarts
from unsegcli.training.batches import Batches, on_device
from unsegcli.training.interrupts import Stopping, asked_to_stop
from unsegcli.training.judging import judge
from unsegcli.training.loading import Loaded, find_method, settings_of
from unsegcli.training.pace import check_settings, make_optimizer, quick_precision, rate_at, steps_of
from unsegcli.training.pool import Picture, Pool, fill
from unsegcli.training.pretrained import NONE, Pretrained, find_weights, read_weights
from unsegcli.training.processes import is_first, joined, mean_gradients, mean_of, together
from unsegcli.training.proposals import Proposals, open_proposals, report_left_out, usable, with_proposal
from unsegcli.training.state import Training
from unsegcli.training.trained import device_of
from unsegcli.training.watch import ObjectSight, Sight, look
from unsegcli.training.weights import state_to_arrays

REVISION = 1
LOOKS = 20  # times that the clusters are looked at in a training
SEEN_AT_ONCE = 32  # crops that are looked at
TIMED = 8  # steps that say how long one takes, where the length is given in minutes
CHECKED_EVERY = 20  # steps after which the losses are brought to this processor; on a GPU that makes it wait
Bad = list[tuple[str, str]]  # name and reason of pictures that cannot be read
MASK_CLUSTERS = 2  # background and object
PRECISIONS = {"float32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Order:
    """One training, as it was asked for."""

    method: Loaded
    config: Any
    params: Train
    device: torch.device
    precision: str  # float32 bf16 fp16
    compile: bool  # let torch compile the network
    checkpoint_minutes: float  # between two states that can be gone on from
    weights: str = ""  # digest of those that the network begins with; empty = by chance
    pretrained: Pretrained | None = None  # these weights themselves
    curve: Curve | None = None  # how the number of clusters was chosen, if it was not given


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
    compile: bool = False,
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
        compile: let torch compile the network.
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
        talk.note(f"{settings.classes} clusters; say --classes N for another number")
    if params.classes != AUTO:
        params = replace(params, classes=settings.classes)
    _check(params, settings, seeds)
    _check_role(loaded, settings, params)
    masks = _masks(loaded, proposals, params)
    supply, reading = find_supply(inputs, pictures or Pictures(), kinds=("superpixels",), mask=mask, images=images,
                                  limit=limit, known_from=None)  # fmt: skip
    if masks is not None:
        supply = replace(supply, inputs={**supply.inputs, "proposals": masks.fingerprint},
                         hints={**supply.hints, "proposals": masks.hint})  # fmt: skip
    place = device_of(device)
    precision = quick_precision(place) if params.precision == "auto" else params.precision
    digest, file = find_weights(weights, loaded)
    order = Order(loaded, settings, params, place, precision, compile, checkpoint_minutes, digest)
    if params.restarts > 1:
        target = store.Target(output, "model", _recipe(order, reading, supply), force=force, reads=inputs)
        runs = partial(
            train, inputs, params=replace(params, restarts=1), pictures=pictures, method=method, preset=preset,
            config=config, sets=sets, seeds=params.restarts, device=device, compile=compile, memory=memory,
            checkpoint_minutes=checkpoint_minutes, mask=mask, images=images, limit=limit, workers=workers, force=force,
            dry_run=dry_run, proposals=proposals, weights=weights,
        )  # fmt: skip
        return _best_of(order, target, supply, runs, method, workers, dry_run)
    orders = [replace(order, params=replace(params, seed=params.seed + number)) for number in range(seeds)]
    targets = [
        store.Target(
            _numbered(Path(output), one.params.seed, seeds),
            "model",
            _recipe(one, reading, supply),
            force=force,
            reads=[*inputs, *(path for path in (proposals, file) if path is not None)],
        )
        for one in orders
    ]
    earlier = [unchanged(target) for target in targets]
    left = [(one, target) for one, target, made in zip(orders, targets, earlier, strict=True) if made is None]
    outcomes = [made or Outcome(target.path) for target, made in zip(targets, earlier, strict=True)]
    if not left:
        return outcomes if is_first() else []
    pretrained = read_weights(digest, file, getattr(settings, "architecture", ""))
    left = [(replace(one, pretrained=pretrained), target) for one, target in left]
    supply = supply.opened(workers)
    _check_needs(loaded, supply)
    if masks is not None:
        masks.check(unit.source for unit in supply.units)
    reader = Reader(workers, masks, params.min_confidence)
    if params.classes == AUTO:
        left = _with_number(left, supply, workers)
    if dry_run:
        with _own_arithmetic():
            talk.note(_estimate(left[0][0], supply, reader))
        return outcomes
    bad = list(supply.bad)
    with _own_arithmetic(), joined(order.device) as here:
        pool = None
        for one, target in left:
            with _held(target) as writer:
                pool = pool or _pool(supply, target, memory, reader, bad)
                here_order = replace(one, device=here)
                here_supply = replace(supply, bad=tuple(bad))
                training = _learn(here_order, pool, target, partial(_keep, here_order, here_supply, target))
                if writer is not None:
                    writer.finish(**_content(training, one, here_supply, target))
            together()
    report_skipped(bad)
    return [Outcome(outcome.path, len(bad)) for outcome in outcomes] if is_first() else []


def _best_of(
    order: Order,
    target: store.Target,
    supply: Supply,
    runs: Callable[..., list[Outcome]],
    method: str,
    workers: int,
    dry_run: bool,
) -> list[Outcome]:
    """Train several models by `runs`, keep the one that looks best without labels, and remove the others."""
    earlier = unchanged(target)
    if earlier is not None:
        return [earlier] if is_first() else []
    count = order.params.restarts
    made = runs(output=restarts.folder_of(target.path) / "run.h5")
    if dry_run:
        talk.note(f"and that {count} times")
        return [Outcome(target.path)]
    if not is_first():
        return []
    paths = [outcome.path for outcome in made]
    seeds = [order.params.seed + number for number in range(count)]
    with _own_arithmetic():
        found = judge(paths, supply.opened(workers), method=method, device=order.device.type, workers=workers)
    kept, sign = restarts.best_run(found)
    for line in restarts.table(found, seeds, kept):
        talk.note(line)
    talk.note(f"the run of seed {seeds[kept]} is kept, by {sign}; no label was read")
    content = restarts.content_of(paths[kept], restarts.as_history(found, seeds, kept))
    store.write_whole(target, **content, inputs=relative_hints(supply.hints, target.path))
    restarts.clear(paths)
    return [Outcome(target.path, made[kept].skipped)]


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


def _learn(order: Order, pool: Pool, target: store.Target, keep: Callable[[Training], None]) -> Training:
    """The loop."""
    method, config = order.method.module, order.config
    training = _begun(order, pool, target)
    batches = _batches(order, pool, training.steps)
    watched = _watched(batches, order.device)
    losses = Losses(training, target)
    saved = time.monotonic()
    with talk.progress(training.steps * config.batch, "training") as bar, _interruptible() as stopping:
        bar.update(training.step * config.batch)
        for batch in batches.ahead(training.step, order.device):
            terms = _step(order, training, batch)
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


def _interruptible() -> AbstractContextManager[Stopping]:
    """Several processes cannot agree on the step to stop at: there a signal ends each of them at once."""
    return asked_to_stop() if ranks() == 1 else nullcontext(Stopping())


def _step(order: Order, training: Training, batch: Batch) -> dict[str, Tensor]:
    """One change of the weights."""
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


def _begun(order: Order, pool: Pool, target: store.Target) -> Training:
    """A training at its start, or where an interrupted one stopped."""
    planned = _planned(order, pool)
    training = _fresh(order, pool, planned)
    found = store.load_checkpoint(target)
    if found is not None:
        training.unpack(*found)
        talk.note(f"going on after step {training.step} of {training.steps}")
    else:
        if order.pretrained is not None:
            module: Any = order.method.module
            talk.note(order.pretrained.report(module.backbones(training.network)[0]))
        pictures = len(pool.pictures)
        talk.note(
            f"{order.method.name} on {order.device} in {order.precision}: {training.steps} steps of "
            f"{order.config.batch} crops, "
            f"{training.steps * order.config.batch / pictures:.1f} times through {pictures} pictures, "
            f"seed {order.params.seed}"
        )
    together()
    return training


def _fresh(order: Order, pool: Pool, steps: int) -> Training:
    torch.manual_seed(order.params.seed)
    network = order.method.module.Network(order.config, pool.channels)
    if order.pretrained is not None:
        module: Any = order.method.module
        order.pretrained.put_into(module.backbones(network))
    move: Any = network.to  # torch's types know no memory format before 2.15
    move(order.device, memory_format=torch.channels_last)
    network.train()
    if order.compile:
        network.compile()
    scaler = torch.amp.GradScaler(order.device.type, enabled=order.precision == "fp16")
    return Training(network, make_optimizer(network, order.config), scaler, steps)


def _planned(order: Order, pool: Pool) -> int:
    """The number of steps; a length in minutes is turned into steps by timing some that are thrown away."""
    params, pictures = order.params, len(pool.pictures)
    if params.minutes is None:
        return steps_of(order.config, pictures, params.steps, params.epochs)
    seconds = _seconds_a_step(order, pool)
    steps = max(1, int(60 * params.minutes / seconds))
    talk.note(f"a step takes {seconds:.3g} s: {steps} steps in {params.minutes:g} minutes")
    return steps


def _seconds_a_step(order: Order, pool: Pool) -> float:
    training = _fresh(order, pool, TIMED)
    started = 0.0
    for batch in _batches(order, pool, TIMED).ahead(0, order.device):
        started = started or time.monotonic()
        float(_step(order, training, batch)["loss"])
        training.step += 1
        if training.step == 2:
            started = time.monotonic()  # the first ones also prepare
    return float(mean_of(torch.tensor((time.monotonic() - started) / (TIMED - 2), device=order.device)))


def _batches(order: Order, pool: Pool, steps: int) -> Batches:
    config = order.config
    if config.batch % ranks():
        raise ConfigError(f"batch {config.batch}: must be a multiple of the {ranks()} processes")
    return Batches(pool, config.batch, config.crop, order.params.seed, steps, order.method.needs, rank(), ranks())


def _watched(batches: Batches, device: torch.device) -> Batch:
    """The crops that are looked at, the same through the whole training."""
    few = replace(batches, size=min(SEEN_AT_ONCE, len(batches.pool.pictures)), rank=0, ranks=1)
    return on_device(few.at(0), device)


def _watch(order: Order, training: Training, sight: Sight | ObjectSight, last: bool) -> None:
    training.record({f"watch-{name}": value for name, value in {"step": training.step, **asdict(sight)}.items()})
    (talk.note if last else talk.detail)(f"step {training.step}: {sight.text(order.config.classes)}")
    if last and sight.warning(order.config.classes):
        talk.warn(sight.warning(order.config.classes))


@dataclass
class Losses:
    """The terms of the last steps, which a GPU may still be working on."""

    training: Training
    target: store.Target
    unread: list[dict[str, Tensor]] = field(default_factory=list)

    def add(self, terms: dict[str, Tensor]) -> None:
        """Take the terms of a step, without waiting for them."""
        self.unread.append({name: mean_of(term) for name, term in terms.items()})

    def read(self) -> dict[str, str]:
        """Wait for all terms, note them down, and give the last ones as text; stop if one is no number."""
        first = self.training.step - len(self.unread)
        for number, terms in enumerate(self.unread):
            values = {name: float(term) for name, term in terms.items()}
            if not all(map(math.isfinite, values.values())):
                raise UnsegError(self._broken(first + number + 1, values))
            self.training.record_terms(first + number + 1, values)
        last = {name: float(term) for name, term in self.unread[-1].items()} if self.unread else {}
        self.unread = []
        return {name: f"{value:.3f}" for name, value in last.items()}

    def _broken(self, step: int, values: Mapping[str, float]) -> str:
        terms = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
        found = store.load_checkpoint(self.target)
        kept = (
            f"the state of step {json.loads(found[1])['step']} is kept in {self.target.partial}"
            if found
            else ("no earlier state was kept")
        )
        return (
            f"the loss is no number at step {step} ({terms}); {kept}. Try a lower rate (--set rate=...), --set clip=1, "
            "or --precision float32"
        )


@contextmanager
def _own_arithmetic() -> Iterator[None]:
    """Numbers next to 0, which are slow, become 0; and as many threads as wanted: until the end, not for ever."""
    threads = torch.get_num_threads()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(threads)


@contextmanager
def _held(target: store.Target) -> Iterator[store.Writer | None]:
    """The output, for the process that writes; all others wait until it is held."""
    with target.writing() if is_first() else nullcontext() as writer:
        together()
        try:
            yield writer
        finally:
            for spill in target.partial.glob("pictures-*.bin"):
                spill.unlink(missing_ok=True)


@dataclass(frozen=True)
class Reader:
    """How windows become pictures of a training."""

    workers: int
    masks: Proposals | None = None
    min_confidence: float = 0.0

    def fill(self, supply: Supply, most_bytes: int = 0, spill: Path | None = None, bad: Bad | None = None) -> Pool:
        """All pictures that can be learned from."""
        pictures = gather(supply, partial(as_picture, masks=self.masks), "reading", self.workers, bad)
        if self.masks is None:
            return fill(pictures, most_bytes, spill)
        left_out: Counter[str] = Counter()
        pool = fill(usable(pictures, self.min_confidence, left_out), most_bytes, spill)
        report_left_out(left_out, len(pool.pictures), self.masks.path)
        return pool


def _pool(supply: Supply, target: store.Target, memory: float, reader: Reader, bad: Bad) -> Pool:
    pool = reader.fill(supply, int(memory * 1e9), target.partial / f"pictures-{rank()}.bin", bad)
    if not pool.pictures:
        raise DataError("not one picture could be read")
    if pool.spilled_bytes:
        talk.note(f"{pool.spilled_bytes / 1e9:.1f} GB of pictures lie in a file; more --memory would be quicker")
    return pool


def as_picture(window: Window, masks: Proposals | None = None) -> Picture:
    """What a training needs of a window."""
    regions = None
    if window.regions is not None:
        void = np.iinfo(window.regions.dtype).max
        regions = np.where(window.regions == void, -1, window.regions.astype(np.int32)).astype(np.int32)
    picture = Picture(window.pixels, window.valid, regions)
    return picture if masks is None else with_proposal(picture, masks.on(window))


def _save(target: store.Target, training: Training) -> None:
    if is_first():
        store.save_checkpoint(target, *training.pack())
        talk.detail(f"step {training.step} can be gone on from")


def _content(training: Training, order: Order, supply: Supply, target: store.Target) -> dict[str, Any]:
    """What the model's file holds."""
    if supply.reading is None:
        raise ValueError("open the supply first")
    weights, halves = state_to_arrays(training.network.state_dict())
    scaled = supply.reading.values != "bytes" and supply.reading.scaling == "folder"
    return {
        "tables": {
            **({"scaling": np.asarray(supply.units[0].source.scaling, np.float64)} if scaled else {}),
            "skipped/name": [name for name, _ in supply.bad],
            "skipped/reason": [reason for _, reason in supply.bad],
        },
        "attributes": {
            "method": order.method.identity,
            "config": json.dumps(asdict(order.config), sort_keys=True),
            "reading": supply.reading.to_json(),
            "bfloat16": json.dumps(halves),
        },
        "inputs": relative_hints(supply.hints, target.path),
        "entries": {
            "weights": weights,
            "history": {
                name: np.asarray(values, np.float64)
                for name, values in (training.history | _noted(order.curve)).items()
            },
        },
    }


def _noted(curve: Curve | None) -> dict[str, list[float]]:
    """How the number of clusters was chosen, as entries of the history."""
    if curve is None:
        return {}
    return {"classes-tried": [float(number) for number in curve.numbers], "classes-stability": list(curve.scores)}


def _keep(order: Order, supply: Supply, target: store.Target, training: Training) -> None:
    """Write the model as it is now, beside the one to come; what must not be replaced is let be."""
    if not is_first():
        return
    path = target.path.with_stem(f"{target.path.stem}-step{training.step}")
    kept = store.Target(path, "model", {**target.recipe, "step": training.step}, force=target.force)
    try:
        if kept.finished() is None:
            store.write_whole(kept, **_content(training, order, supply, kept))
            talk.note(f"step {training.step} is kept in {path}")
    except ArtifactError as error:
        talk.warn(f"step {training.step} is not kept: {error}")


def _recipe(order: Order, reading: Sequence[Pictures], supply: Supply) -> Recipe:
    method, params, settings = order.method, asdict(order.params), asdict(order.config)
    more = {"gives": "embeddings"} if method.embeds else {}
    more |= {"weights": order.weights} if order.weights else {}
    if "proposals" not in supply.inputs:
        del params["min_confidence"]
    if order.params.restarts == 1:
        del params["restarts"]
    if order.params.classes == AUTO:
        settings["classes"] = AUTO  # what it comes to follows from the rest
    else:
        del params["most_classes"]
    return make_recipe(
        "train",
        REVISION,
        [params, *reading],
        supply.inputs,
        settings=settings,  # by themselves: a method may call them what we call ours
        method=method.identity,
        method_revision=method.revision,
        **more,
    )


def _numbered(path: Path, seed: int, seeds: int) -> Path:
    return path if seeds == 1 else path.with_stem(f"{path.stem}-seed{seed}")


def _estimate(order: Order, supply: Supply, reader: Reader) -> str:
    """Time some steps on a few pictures, and say what the whole training would take."""
    pool = reader.fill(replace(supply, units=supply.units[:SEEN_AT_ONCE]))
    seconds = _seconds_a_step(order, pool)
    pictures = sum(unit.window_count for unit in supply.units)
    params = order.params
    steps = steps_of(order.config, pictures, params.steps, params.epochs)
    if params.minutes is not None:
        steps = max(1, int(60 * params.minutes / seconds))
    size = pool.stored_bytes / len(pool.pictures) * pictures
    return (
        f"would train {order.method.name} for {steps} steps, about {steps * seconds / 60:,.1f} minutes on "
        f"{order.device}, with {pictures} pictures in {size / 1e9:.2f} GB of memory"
    )


def _check(params: Train, config: Any, seeds: int) -> None:
    check_settings(config)
    given = [name for name in ("steps", "epochs", "minutes") if getattr(params, name) is not None]
    if len(given) > 1:
        raise ConfigError(f"--{given[0]} and --{given[1]} both say how long the training is: give one of them")
    if any(not getattr(params, name) > 0 for name in given):
        raise ConfigError(f"--{given[0]} must be above 0")
    if params.precision not in ("auto", *PRECISIONS):
        raise ConfigError(f"--precision {params.precision}: is not one of auto, {', '.join(PRECISIONS)}")
    if not 0 <= params.min_confidence <= 1:
        raise ConfigError(f"--min-confidence {params.min_confidence:g}: must be from 0 to 1")
    if seeds < 1 or params.seed < 0 or params.keep_every < 0:
        raise ConfigError("--seeds must be at least 1, and --seed and --keep-every not below 0")
    if params.restarts < 1:
        raise ConfigError(f"--restarts {params.restarts}: must be at least 1")
    if params.restarts > 1 and (seeds > 1 or params.keep_every):
        other = "--seeds" if seeds > 1 else "--keep-every"
        raise ConfigError(f"--restarts keeps one model of several, and {other} keeps more than one: give one of them")
    if params.classes == AUTO and params.most_classes < FEWEST:
        raise ConfigError(f"--most-classes {params.most_classes}: must be at least {FEWEST}")


def _check_role(method: Loaded, config: Any, params: Train) -> None:
    afterwards = method.embeds or method.role == "mask"
    if afterwards and (params.restarts > 1 or params.classes == AUTO):
        option = "--restarts" if params.restarts > 1 else "--classes auto"
        raise ConfigError(f"{option}: --method {method.name} has no clusters while it learns; leave it out")
    if method.role == "mask" and config.classes != MASK_CLUSTERS:
        raise ConfigError(
            f"--classes {config.classes}: --method {method.name} parts objects from background; leave it out"
        )


def _masks(method: Loaded, given: str | Path | None, params: Train) -> Proposals | None:
    """The masks that the method learns from."""
    if "proposals" in method.needs:
        if given is None:
            raise ConfigError(
                f"--method {method.name} learns from object masks: make them with `unseg iem PICTURES -o masks.h5`, "
                "and give them with --proposals masks.h5"
            )
        return open_proposals(given)
    if given is not None or params.min_confidence:
        name = "--proposals" if given is not None else "--min-confidence"
        raise ConfigError(f"{name}: --method {method.name} does not learn from object masks; leave it out")
    return None


def _check_needs(method: Loaded, supply: Supply) -> None:
    if "superpixels" in method.needs and supply.kind != "superpixels":
        raise ConfigError(
            f"--method {method.name} needs superpixels; make them first with `unseg superpixels`, and give that file"
        )
