"""Very many small images: whether speed, memory and open files stay the same from the first image to the last.

    python tests/benchmarks/run.py load
    UNSEG_COUNT=20000 python tests/benchmarks/run.py load     another number of images

100,000 images of 32 x 32 pixels go through `superpixels`, `cluster` and `evaluate`; then the same commands are run
again, with nothing to do, and `superpixels` once more after 1,000 images were added. On a busy machine look at the CPU
seconds: seconds of the clock say how busy it was.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import resource
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from bench_common import KILOBYTE, UNSEG, Line, peak_bytes
from PIL import Image

COUNT, QUICK_COUNT, ADDED = 100_000, 2_000, 1_000
SIDE, CLASSES = 32, 3
EVERY = 0.1  # seconds between two looks
FLAT = 1.20  # the rate at the start over that at the end, and the reverse
SECONDS_OF_NOTHING = 5.0  # for a command that has nothing to do


@dataclass
class Watched:
    """What was seen of a process while it ran."""

    wall: float = 0.0
    resident: list[float] = field(default_factory=list)  # bytes, of the parent
    files: list[int] = field(default_factory=list)  # that the parent had open
    peak: int = 0
    cpu: float = 0.0  # seconds of all its processes
    # Of each shard, when it appears: the images before it, seconds, CPU seconds.
    done: list[tuple[int, float, float]] = field(default_factory=list)

    def rates(self, clock: int) -> list[float]:
        """Images a second of each shard: by the clock (1), or by the time of processors (2).

        The first shard is left out, with the start, and the last, which is stored when the tables are made.
        """
        pairs = list(itertools.pairwise(self.done))
        seconds = [after[clock] - before[clock] for before, after in pairs[:-1]]
        sizes = [after[0] - before[0] for before, after in pairs[1:]]
        return [size / time for size, time in zip(sizes, seconds, strict=True) if time > 0]


def measure(folder: Path, quick: bool) -> list[Line]:
    count = int(os.environ.get("UNSEG_COUNT", QUICK_COUNT if quick else COUNT))
    write_images(folder / "data", 0, count)
    commands = {
        "superpixels": ["superpixels", "data", "--segments", "16", "-o", "sp.h5"],
        "cluster": ["cluster", "sp.h5", "--classes", str(CLASSES), "-o", "map.h5"],
        "evaluate": ["evaluate", "map.h5", "--labels", "data/labels", "--hungarian", "-o", "metrics.h5"],
    }
    lines = []
    for name, command in commands.items():
        lines += _lines(f"{name}, {count:,} images", _watched(command, folder), count)
    for name, command in commands.items():
        found = _watched(command, folder)
        for of, seconds in (("seconds", found.wall), ("CPU seconds", found.cpu)):
            lines.append(
                Line(
                    f"{of} of {name} that has nothing to do, {count:,} images",
                    f"{seconds:.1f}",
                    f"< {SECONDS_OF_NOTHING:.0f}",
                    seconds < SECONDS_OF_NOTHING,
                )
            )
    write_images(folder / "data", count, count + ADDED)
    again = _watched(commands["superpixels"], folder)
    return [*lines, Line(f"seconds of superpixels after {ADDED:,} images were added", f"{again.wall:.0f}")]


def write_images(folder: Path, first: int, last: int) -> None:
    """Write images of three areas with their labels, each image with noise of its own."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "labels").mkdir(exist_ok=True)
    down, across = np.mgrid[:SIDE, :SIDE]
    for number in range(first, last):
        random = np.random.default_rng(number)
        cut, slope = random.uniform(8, 24, 2)
        labels = (across > cut).astype(np.uint8) + (down > slope).astype(np.uint8)
        pixels = 50 + 60 * labels[..., None] + random.normal(0, 12, (SIDE, SIDE, 3))
        image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
        image.save(folder / "images" / f"{number:07d}.png", compress_level=1)
        Image.fromarray(labels).save(folder / "labels" / f"{number:07d}.png", compress_level=1)


def _watched(command: Sequence[str], folder: Path) -> Watched:
    """Run a command, looking at its memory, its open files and its shards as it goes."""
    partial = folder / f"{command[command.index('-o') + 1]}.partial"
    found, shards = Watched(), set[int]()
    with (folder / "child.log").open("a") as log:
        started, before = time.perf_counter(), _cpu_of_ended()
        child = subprocess.Popen([UNSEG, *command], cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        while child.poll() is None:
            now = time.perf_counter() - started
            found.cpu = max(found.cpu, _cpu_of(child.pid))
            for shard in sorted(set(_shards(partial)) - shards):
                shards.add(shard)
                found.done.append((shard, now, found.cpu))
            with contextlib.suppress(OSError, IndexError):
                found.files.append(len([*Path(f"/proc/{child.pid}/fd").iterdir()]))
                pages = Path(f"/proc/{child.pid}/status").read_text().split("VmRSS:")[1]
                found.resident.append(int(pages.split()[0]) * KILOBYTE)
            found.peak = max(found.peak, peak_bytes(child.pid))
            time.sleep(EVERY)
        found.wall, found.cpu = time.perf_counter() - started, _cpu_of_ended() - before
    if child.returncode:
        raise RuntimeError(f"{child.args} ended with {child.returncode}; see child.log in its folder (--keep)")
    return found


def _cpu_of(process: int) -> float:
    """Return the CPU seconds of a process and its children, also of those that have ended."""
    seconds = 0.0
    for pid in (process, *_children(process)):
        with contextlib.suppress(OSError, IndexError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            seconds += sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return seconds


def _cpu_of_ended() -> float:
    """Return the CPU seconds of the children of this process that have ended, and of theirs."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime


def _children(process: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{process}/task").iterdir():
            found += map(int, (thread / "children").read_text().split())
    return found


def _shards(partial: Path) -> list[int]:
    """Return the number of images before each shard."""
    with contextlib.suppress(OSError):
        return [int(path.stem.removeprefix("shard-")) for path in partial.glob("shard-*.h5")]
    return []


def _lines(what: str, found: Watched, count: int) -> list[Line]:
    lines = [
        Line(f"images a second of {what}, all included", f"{count / found.wall:,.0f}"),
        Line(f"CPU seconds of all processes: {what}", f"{found.cpu:,.0f}"),
    ]
    for clock, of in ((1, "a second"), (2, "a CPU second")):
        rates = found.rates(clock)
        if len(rates) >= 3:
            some = max(1, len(rates) // 4)  # a quarter at each end: a busy machine makes single shards slow
            start, end = (sum(part) / some for part in (rates[:some], rates[-some:]))
            flat = 1 / FLAT <= start / end <= FLAT
            shown = " ".join(f"{rate:,.0f}" for rate in rates)
            lines.append(
                Line(
                    f"images {of} in the first quarter of the shards over the last ({shown}): {what}",
                    f"{start / end:.2f}",
                    f"<= {FLAT:.2f}",
                    flat,
                )
            )
    quarter, end = found.resident[len(found.resident) // 4], found.resident[-1]
    lines.append(
        Line(
            f"MB of the parent after a quarter of the time, at the end, and at most: {what}",
            f"{quarter / 1e6:,.0f} {end / 1e6:,.0f} {found.peak / 1e6:,.0f}",
        )
    )
    files = found.files[len(found.files) // 4 :]
    lines.append(
        Line(
            f"files that the parent has open, least and most after a quarter of the time: {what}",
            f"{min(files)} {max(files)}",
        )
    )
    return lines
