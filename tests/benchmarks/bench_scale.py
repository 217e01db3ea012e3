"""What each step of a very large run costs an image, and what ten million images cost on ten machines.

    python tests/benchmarks/run.py scale

Photographs of 256 x 256 pixels, as PNG files, go through `superpixels`, in shards and whole, `join` and `cluster`. CPU
seconds are those of all processes of a command; costs of an image are the difference between two runs over few and many
images, so that what a command takes to start is left out. The last lines multiply these constants: they are no runs.
"""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench_common import UNSEG, Line, cost_of, peak_bytes, write_photographs

COUNTS, QUICK_COUNTS = (500, 2500), (100, 400)
SIDE, CLASSES, SEGMENTS = 256, 24, 200
IMAGES, NODES, CORES = 10_000_000, 10, 16
HOUR = 3600.0
EVERY = 0.02  # seconds between two looks at a process
LARGEST_FIT = 20_000  # images that k-means is fitted on
TWO = ("--workers", "2")


@dataclass(frozen=True)
class Constants:
    """CPU seconds and bytes that an image takes in each step."""

    listed: float  # a shard lists, hashes and reads headers of all images
    cut: float  # superpixels, all processes
    written: float  # of that, in the one process that writes
    stored: float  # bytes in the file
    joined: float
    bare: float  # bytes in a file without pixels
    bare_joined: float
    clustered: float  # k-means is fitted on it, and it is assigned
    assigned: float
    parent: float  # bytes of memory of the process that writes


def measure(folder: Path, quick: bool) -> list[Line]:
    few, many = QUICK_COUNTS if quick else COUNTS
    write_photographs(folder / "photographs", min(few, 200), SIDE)
    for count in (few, many):
        _repeated(folder / "photographs", folder / str(count), count)
    found = _constants(folder, few, many)
    return [*_lines(found), *_lines_of_large_run(found)]


def _repeated(few: Path, many: Path, count: int) -> None:
    """Fill a folder with copies of a few files, each of its own content: what follows the end of a PNG is not read."""
    many.mkdir()
    files = [file.read_bytes() for file in sorted(few.iterdir())]
    for number in range(count):
        (many / f"{number:06d}.png").write_bytes(files[number % len(files)] + str(number).encode())


def _constants(folder: Path, few: int, many: int) -> Constants:
    def cpu(*command: str) -> float:
        return cost_of([UNSEG, *command, "-q"], folder).cpu

    def slope(name: str, *command: str) -> float:
        """CPU seconds of an image more; `{}` stands for the number of images."""
        small, large = (cpu(*(word.format(count) for word in command)) for count in (few, many))
        print(f"  ({name}: {small:.2f} s for {few:,} images, {large:.2f} s for {many:,})", flush=True)
        return (large - small) / (many - few)

    cutting = ("superpixels", "{}", "--segments", str(SEGMENTS), *TWO)
    listed = slope("list", *cutting, "--shard", f"1/{few}", "-o", "one-{}.h5")
    cut = slope("superpixels", *cutting, "-o", "sp-{}.h5")
    for more, name in ((), "sp"), (("--no-pixels",), "bare"):
        for count, number in itertools.product((few, many), (1, 2)):
            shard = ["--shard", f"{number}/2", "-o", f"{name}-{count}-{number}.h5"]
            cpu(*(word.format(count) for word in cutting), *more, *shard)
    joined, bare_joined = (
        slope(f"join {name}", "join", f"{name}-{{}}-1.h5", f"{name}-{{}}-2.h5", "-o", f"joined-{name}-{{}}.h5")
        for name in ("sp", "bare")
    )
    clustered = slope("cluster", "cluster", "sp-{}.h5", "--classes", str(CLASSES), *TWO, "-o", "map-{}.h5")
    assigned = slope("assign", "cluster", "sp-{}.h5", "--centres", f"map-{few}.h5", *TWO, "-o", "more-{}.h5")
    parents = [_parent(folder, [cutting[0], str(count), *cutting[2:]]) for count in (few, many)]
    (first_cpu, first_peak), (last_cpu, last_peak) = parents
    own = many / few - 1  # of the images, so many more are cut by the larger of the two first shards
    return Constants(
        listed=listed - cut * own / (many - few),
        cut=cut,
        written=(last_cpu - first_cpu) / (many - few),
        stored=(folder / f"sp-{many}.h5").stat().st_size / many,
        joined=joined,
        bare=(folder / f"joined-bare-{many}.h5").stat().st_size / many,
        bare_joined=bare_joined,
        clustered=clustered,
        assigned=assigned,
        parent=(last_peak - first_peak) / (many - few),
    )


def _parent(folder: Path, command: Sequence[str]) -> tuple[float, float]:
    """Run a command; return CPU seconds and largest memory of its first process, without its workers."""
    ticks = 100.0
    cpu, peak = 0.0, 0
    with (folder / "child.log").open("a") as log:
        child = subprocess.Popen([UNSEG, *command, "-q", "-o", "parent.h5"], cwd=folder, stdout=log, stderr=log)
        while child.poll() is None:
            with contextlib.suppress(OSError, IndexError):
                numbers = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
                cpu = max(cpu, (int(numbers[11]) + int(numbers[12])) / ticks)
            peak = max(peak, peak_bytes(child.pid))
            time.sleep(EVERY)
    if child.returncode:
        raise RuntimeError(f"{child.args} ended with {child.returncode}; see child.log in its folder (--keep)")
    (folder / "parent.h5").unlink()
    return cpu, float(peak)


def _lines(found: Constants) -> list[Line]:
    milliseconds = {
        "a shard lists, hashes and reads the header of each image of the whole": found.listed,
        "superpixels, all processes": found.cut,
        "superpixels, the process that writes": found.written,
        "join": found.joined,
        "join of files without pixels": found.bare_joined,
        "cluster, all processes": found.clustered,
        "cluster with centres that are given": found.assigned,
    }
    return [
        *(Line(f"CPU milliseconds an image: {what}", f"{1e3 * cost:.2f}") for what, cost in milliseconds.items()),
        Line("kB an image in a file of superpixels", f"{found.stored / 1e3:.0f}"),
        Line("kB an image in a file of superpixels without pixels", f"{found.bare / 1e3:.1f}"),
        Line("MB a CPU second through the process that writes", f"{found.stored / found.written / 1e6:.0f}"),
        Line("MB a CPU second through join", f"{found.stored / found.joined / 1e6:.0f}"),
        Line("kB an image in the memory of the process that writes", f"{found.parent / 1e3:.1f}"),
        Line("processors that keep one process that writes busy", f"{_kept_busy(found):.1f}"),
    ]


def _kept_busy(found: Constants) -> float:
    return found.cut / found.written


def _lines_of_large_run(found: Constants) -> list[Line]:
    shards = max(1, round(CORES / _kept_busy(found)))  # on each machine
    own = IMAGES / NODES
    hours = {
        f"each machine: list, hash and headers, by each of its {shards} shards": IMAGES * found.listed,
        f"each machine: superpixels in {shards} shards": own * found.cut / CORES,
        "one machine: join": IMAGES * found.joined,
        "one machine: join of files without pixels": IMAGES * found.bare_joined,
        "each machine: the sample of k-means, by each shard": shards * LARGEST_FIT * found.clustered / CORES,
        "each machine: cluster": own * found.assigned / CORES,
        "superpixels on one such machine, in one file by one process that writes": IMAGES
        * max(found.cut / CORES, found.written),
    }
    what = f"{IMAGES:,} images on {NODES} machines of {CORES} processors"
    return [
        *(Line(f"hours, {what}: {step}", f"{seconds / HOUR:.2f}") for step, seconds in hours.items()),
        Line(f"GB of the joined file, {what}", f"{IMAGES * found.stored / 1e9:,.0f}"),
        Line(f"GB of the joined file without pixels, {what}", f"{IMAGES * found.bare / 1e9:,.0f}"),
        Line(f"GB of memory to write one of its shards, {what}", f"{own / shards * found.parent / 1e9:.1f}"),
        Line(f"GB of memory to write the whole, {what}", f"{IMAGES * found.parent / 1e9:.1f}"),
    ]
