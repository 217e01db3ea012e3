"""Memory and time of reading training images: by one process, by two that each read all, and by two that share them.

Memory is the proportional set size (PSS): a page that two processes map counts half for each.
Run by itself, this file is one of the processes: python bench_spread.py FOLDER alone|shared
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from bench_common import KILOBYTE, Line, write_photographs

IMAGES, SIDE = 100, 1000
FEW = 10
MEMORY_SHARE, TIME_SHARE = 0.6, 0.7  # of what two processes need that each read all; half would be ideal

Costs = dict[str, float]  # memory in bytes, CPU and wall time in seconds


def measure(folder: Path, quick: bool) -> list[Line]:
    """Read the same images in three ways."""
    count = FEW if quick else IMAGES
    write_photographs(folder / "images", count, SIDE)
    (folder / "m.h5.partial").mkdir()
    one = _costs(folder, "alone", 1)
    both = _costs(folder, "alone", 2)
    shared = _costs(folder, "shared", 2)
    pixels = f"{count} images, {3 * SIDE * SIDE * count / 1e6:.0f} MB of pixels"
    memory, cpu = shared["memory"] / both["memory"], shared["cpu"] / both["cpu"]
    return [
        _line(f"one process: {pixels}", one),
        _line("two processes that each read all", both),
        _line("two processes that share what they read", shared),
        Line("memory of two that share, beside two that do not", f"{memory:.2f}", f"<= {MEMORY_SHARE}",
             memory <= MEMORY_SHARE),
        Line("CPU time of two that share, beside two that do not", f"{cpu:.2f}", f"<= {TIME_SHARE}", cpu <= TIME_SHARE),
    ]  # fmt: skip


def _line(what: str, costs: Costs) -> Line:
    return Line(what, f"{costs['memory'] / 1e6:.0f} MB, {costs['cpu']:.1f} s CPU, {costs['wall']:.1f} s")


def _costs(folder: Path, way: str, count: int) -> Costs:
    """Memory that the images add to all processes together, their CPU time, and the time until the last is ready."""
    meeting = folder / f"meet-{way}-{count}"
    common = {**os.environ, "WORLD_SIZE": str(count), "MEETING": str(meeting), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, str(folder), way]
    children = [
        subprocess.Popen(command, env={**common, "RANK": str(n)}, stdout=subprocess.PIPE, text=True)
        for n in range(count)
    ]
    said = [child.communicate()[0] for child in children]
    if any(child.returncode for child in children):
        raise RuntimeError(f"{command} failed")
    found = [json.loads(one) for one in said]
    return {
        "memory": sum(one["memory"] for one in found),
        "cpu": sum(one["cpu"] for one in found),
        "wall": max(one["wall"] for one in found),
    }


def _read(folder: Path, way: str) -> Costs:
    """Read the images in this process, and look at all of their pixels as a training does."""
    from torch import distributed

    from unsegcli.dataflow.dataset import dataset_from_files
    from unsegcli.params import Inputs
    from unsegcli.training.data import Reader, TrainingImage, pool_of
    from unsegcli.training.distributed import barrier
    from unsegcli.training.shared_images import pool_of_processes

    distributed.init_process_group(
        "gloo",
        init_method=f"file://{os.environ['MEETING']}",
        world_size=int(os.environ["WORLD_SIZE"]),
        rank=int(os.environ["RANK"]),
    )
    dataset = dataset_from_files(Inputs([folder / "images"])).opened(1)
    read = pool_of_processes if way == "shared" else pool_of
    barrier()
    memory, cpu, wall = _proportional_bytes(), time.process_time(), time.perf_counter()
    pool = read(dataset, folder / "m.h5.partial", 100.0, Reader(1), [])
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    assert sum(int(image.pixels.max()) for image in pool.images if isinstance(image, TrainingImage))
    barrier()  # a page counts half once the other process has it as well
    memory = _proportional_bytes() - memory
    barrier()
    distributed.destroy_process_group()
    return {"memory": memory, "cpu": cpu, "wall": wall}


def _proportional_bytes() -> int:
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * KILOBYTE for line in lines if line.startswith("Pss:"))


if __name__ == "__main__":
    print(json.dumps(_read(Path(sys.argv[1]), sys.argv[2])))
