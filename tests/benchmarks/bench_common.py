"""What all benchmarks share: lines of the table, images to work on, and children whose cost is measured.

Nothing here is timed and nothing here is a test; no file of the package imports it.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

UNSEG = str(Path(sys.executable).with_name("unseg"))
KILOBYTE = 1024  # the unit of /proc


@dataclass(frozen=True)
class Line:
    """One row of the table."""

    what: str
    figure: str
    target: str = ""
    held: bool | None = None  # None = there is no target


@dataclass(frozen=True)
class Cost:
    """What a child and all of its own children took."""

    cpu: float  # seconds, user and system
    wall: float
    output: str


def cost_of(command: Sequence[str], folder: Path) -> Cost:
    """Run a command to its end in a folder; raise if it fails."""
    return finished(*start(command, folder))


def start(command: Sequence[str], folder: Path) -> tuple[subprocess.Popen[str], float]:
    """Start a command whose cost will be asked with `finished`."""
    started = time.perf_counter()
    with (folder / "child.log").open("a") as log:
        child = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True
        )
    return child, started


def finished(child: subprocess.Popen[str], started: float) -> Cost:
    """Wait for a child that `start` started. wait4 counts the child and the children that it waited for."""
    assert child.stdout is not None
    output = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{child.args} ended with {child.returncode}; see child.log in its folder (--keep)")
    return Cost(usage.ru_utime + usage.ru_stime, time.perf_counter() - started, output)


def processes_below(root: int) -> Iterator[int]:
    """A process and all that it started, directly or not."""
    yield root
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{root}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from processes_below(int(child))


def peak_bytes(process: int) -> int:
    """Largest resident memory that a process has had; 0 if it is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * KILOBYTE
    return 0


@dataclass(frozen=True)
class Peaks:
    """Largest resident memory of the process that was started, and of each worker, in bytes."""

    parent: int
    workers: tuple[int, ...]
    wall: float
    together: int  # at least what all processes that ran at the same time had


def peaks_of(command: Sequence[str], folder: Path, every: float = 0.05) -> Peaks:
    """Run a command, looking at the memory of all of its processes as it goes."""
    with (folder / "child.log").open("a") as log:
        started = time.perf_counter()
        child = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        seen: dict[int, int] = {}
        helpers: set[int] = set()
        together = 0
        while child.poll() is None:
            now = list(processes_below(child.pid))
            for process in now:
                if process not in seen and _is_tracker(process):
                    helpers.add(process)
                seen[process] = max(seen.get(process, 0), peak_bytes(process))
            together = max(together, sum(seen[process] for process in now))
            time.sleep(every)
    if child.returncode:
        raise RuntimeError(f"{child.args} ended with {child.returncode}; see child.log in its folder (--keep)")
    workers = [peak for process, peak in seen.items() if process != child.pid and process not in helpers]
    return Peaks(seen[child.pid], tuple(workers), time.perf_counter() - started, together)


def _is_tracker(process: int) -> bool:
    """Whether a process is multiprocessing's own, which computes nothing."""
    with contextlib.suppress(OSError):
        return b"resource_tracker" in Path(f"/proc/{process}/cmdline").read_bytes()
    return False


def photographs(count: int, side: int, seed: int = 0) -> Iterator[NDArray[np.uint8]]:
    """Images (side, side, 3) of realistic texture: scikit-image's photographs, cut, turned, lit and noised anew."""
    from skimage import data
    from skimage.transform import resize

    names = ("astronaut", "coffee", "chelsea", "rocket", "retina", "hubble_deep_field", "immunohistochemistry")
    whole = []
    for name in names:
        image = getattr(data, name)()
        factor = max(1.0, 1.2 * side / min(image.shape[:2]))
        shape = tuple(round(length * factor) for length in image.shape[:2])
        whole.append((255 * resize(image, shape, order=1, anti_aliasing=False)).astype(np.uint8))
    random = np.random.default_rng(seed)
    for number in range(count):
        image = whole[number % len(whole)]
        top, left = (int(random.integers(length - side + 1)) for length in image.shape[:2])
        cut = np.rot90(image[top : top + side, left : left + side], int(random.integers(4)))
        cut = cut[:, :: random.choice([-1, 1])] * random.uniform(0.8, 1.2)
        noised = cut + random.normal(0, 3, cut.shape)
        yield np.clip(noised, 0, 255).astype(np.uint8)


def write_photographs(folder: Path, count: int, side: int) -> Path:
    """Fill a folder with PNG files of little compression, which decode about as fast as photographs usually do."""
    folder.mkdir(parents=True)
    for number, image in enumerate(photographs(count, side)):
        Image.fromarray(image).save(folder / f"{number:04d}.png", compress_level=1)
    return folder


def median(values: Sequence[float]) -> float:
    """The median."""
    return float(np.median(values))


def listed(values: Sequence[float], form: str = ".3f") -> str:
    """Values for people, so that the spread can be seen."""
    return " ".join(f"{value:{form}}" for value in values)
