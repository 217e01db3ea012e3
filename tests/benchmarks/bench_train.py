"""The training loop: what it costs beside the network's own work, what it waits for, and images a second.

Both sides train the same network from the same start; the bare one has its batches ready-made.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench_common import Line, listed, median, photographs
from numpy.typing import NDArray

from unsegcli import store
from unsegcli.core.superpixels.slic import slic
from unsegcli.methods._contract import Batch
from unsegcli.methods._load import find_method, method_names
from unsegcli.params import Train
from unsegcli.segmenters.trained import device_of
from unsegcli.stages import train as stage
from unsegcli.training.batches import Batches, on_device
from unsegcli.training.data import Pool, TrainingImage, fill
from unsegcli.training.job import TrainingJob
from unsegcli.training.setup import new_training

IMAGES, SIDE, SEGMENTS = 64, 160, 128
OVERHEAD, WAITING = 1.05, 0.03  # targets


def measure(folder: Path, quick: bool) -> list[Line]:
    """Loop and bare steps in turns, for each method with its own defaults."""
    # So many steps that the clusters are looked at as rarely as in a training.
    count, steps, turns = (8, 3, 1) if quick else (IMAGES, 160, 3)
    pool = fill(
        TrainingImage(pixels, None, slic(pixels, None, SEGMENTS, 10.0), _middle(pixels))
        for pixels in photographs(count, 64 if quick else SIDE)
    )
    return [line for name in method_names() for line in _method(name, pool, steps, turns, folder, quick)]


def _middle(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """An object mask: the square in the middle."""
    height, width = pixels.shape[:2]
    mask = np.zeros((height, width), np.bool_)
    mask[height // 4 : -(height // 4), width // 4 : -(width // 4)] = True
    return mask


def _method(name: str, pool: Pool, steps: int, turns: int, folder: Path, quick: bool) -> Iterator[Line]:
    loaded = find_method(name)
    config = loaded.module.Config()
    if quick:
        config = dataclasses.replace(config, batch=4, crop=48, width=8)
    params = Train(classes=config.classes, steps=steps, checkpoint_minutes=60.0)
    job = TrainingJob(loaded, config, params, device_of())
    target = store.Target(folder / f"{name}.h5", "model", {"benchmark": name})
    batches = Batches(pool, config.batch, config.crop, 0, steps, loaded.needs(config))
    ready = [on_device(batches.at(step), job.device) for step in range(steps)]
    _bare(job, pool, ready)  # the first steps also prepare
    ratios, waits, seconds = [], [], []
    for turn in range(turns):
        sides = {"bare": lambda: _bare(job, pool, ready), "loop": lambda: _loop(job, pool, target)}
        took: dict[str, float] = {}
        for side in sorted(sides, reverse=bool(turn % 2)):
            started = time.perf_counter()
            found = sides[side]()
            took[side] = time.perf_counter() - started
            if side == "loop":
                waits.append(found / took[side])
        ratios.append(took["loop"] / took["bare"])
        seconds.append(took["loop"] / steps)
    where = f"{name} on {job.device}, {config.batch} crops of {batches.shape[0]} x {batches.shape[1]}"
    yield Line(
        f"{where}: {steps} steps of the loop over as many bare ones, median of {listed(ratios)}",
        f"{median(ratios):.3f}",
        f"<= {OVERHEAD}",
        median(ratios) <= OVERHEAD,
    )
    yield Line(
        f"{where}: share of the loop that waits for data",
        f"{median(waits):.1%}",
        f"< {WAITING:.0%}",
        median(waits) < WAITING,
    )
    yield Line(f"{where}: images a second", f"{config.batch / median(seconds):.1f}")


def _bare(job: TrainingJob, pool: Pool, ready: list[Batch]) -> float:
    """Forward, backward and optimiser, and nothing else."""
    config, method = job.config, job.method.module
    training = new_training(job, pool, len(ready))
    for batch in ready:
        training.optimizer.zero_grad(set_to_none=True)
        method.loss(training.network, batch, config)["loss"].backward()
        if config.grad_clip:
            torch.nn.utils.clip_grad_norm_(training.network.parameters(), config.grad_clip)
        training.optimizer.step()
    _finish(job.device)
    return 0.0


def _loop(job: TrainingJob, pool: Pool, target: store.Target) -> float:
    """The loop of `unseg train`; gives the seconds that it waited for batches."""
    waited = 0.0
    original = Batches.ahead

    def timed(self: Batches, *given: Any) -> Iterator[Batch]:
        nonlocal waited
        batches = original(self, *given)
        while True:
            started = time.perf_counter()
            batch = next(batches, None)
            waited += time.perf_counter() - started
            if batch is None:
                return
            yield batch

    looks = stage.WATCH_TIMES
    Batches.ahead = timed  # type: ignore[method-assign]
    stage.WATCH_TIMES = 1  # as often a step as in a training of some hundred steps
    try:
        stage._learn(job, pool, target, lambda training: None)
    finally:
        Batches.ahead = original  # type: ignore[method-assign]
        stage.WATCH_TIMES = looks
    _finish(job.device)
    return waited


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
