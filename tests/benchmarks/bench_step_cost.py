"""CPU seconds of a training step of each method with its defaults, and of a look at its clusters.

Threads of OpenMP that wait for each other count as busy, unless they sleep (OMP_WAIT_POLICY=PASSIVE, as `unseg` sets
it); on a shared machine that was most of what a step cost. So every method is measured in three processes: one thread,
two that sleep, two that stay awake.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from bench_common import Line, photographs

IMAGES, SIDE, SEGMENTS, CLASSES = 16, 256, 300, 5
METHODS = ("iic", "infoseg", "inmars")
EARLIER = {"infoseg": 1.3, "inmars": 0.7}  # with two threads that stay awake, beside other programs
WAYS = {
    "one thread": {"OMP_NUM_THREADS": "1"},
    "two threads that sleep": {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "PASSIVE"},
    "two that stay awake": {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "ACTIVE"},
}


def measure(folder: Path, quick: bool) -> list[Line]:
    """Each method in each way, in a process of its own."""
    steps, lines = (2 if quick else 6), []
    for way, variables in WAYS.items():
        command = [sys.executable, __file__, str(steps), *METHODS]
        output = subprocess.run(command, env={**os.environ, **variables}, check=True, capture_output=True, text=True)
        for name, (step, look) in json.loads(output.stdout).items():
            before = f"; {EARLIER[name]} before" if name in EARLIER else ""
            what = f"{name}, {way}: CPU seconds of a step, of a look at 32 crops"
            lines.append(Line(what, f"{step:.2f}, {look:.2f}{before}"))
    return lines


def main(steps: int, names: list[str]) -> None:
    """Measure in this process, and print JSON."""
    import torch

    from unsegcli.core.nn.precision import own_arithmetic
    from unsegcli.core.superpixels.slic import slic
    from unsegcli.methods._load import config_from, find_method
    from unsegcli.params import Train
    from unsegcli.stages.train import WATCH_CROPS, take_step
    from unsegcli.training.batches import Batches, on_device
    from unsegcli.training.data import TrainingImage, fill
    from unsegcli.training.job import TrainingJob
    from unsegcli.training.monitor import measure as look
    from unsegcli.training.setup import new_training

    pool = fill(TrainingImage(one, None, slic(one, None, SEGMENTS, 10.0)) for one in photographs(IMAGES, SIDE))
    device, found = torch.device("cpu"), {}
    for name in names:
        method = find_method(name)
        first = {"guide_batches": 1} if hasattr(method.module.Config, "guide_batches") else {}
        config = config_from(method, {"classes": CLASSES, **first})
        job = TrainingJob(method, config, Train(classes=CLASSES, precision="float32"), device)
        batches = Batches(pool, config.batch, config.crop, 0, steps + 2, method.needs(config))
        watched = on_device(Batches(pool, WATCH_CROPS, config.crop, 0, 1, method.needs(config)).at(0), device)
        with own_arithmetic():
            training = new_training(job, pool, steps + 2)
            costs = []
            for number in range(steps + 2):
                batch = on_device(batches.at(number), device)
                started = time.process_time()
                take_step(job, training, batch)
                training.step += 1
                costs.append(time.process_time() - started)
            started = time.process_time()
            look(method.module, training.network, watched, config)
            found[name] = (float(np.mean(costs[2:])), time.process_time() - started)
    print(json.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
