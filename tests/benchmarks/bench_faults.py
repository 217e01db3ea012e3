"""Every command that writes, interrupted at many moments by SIGKILL, SIGTERM and Ctrl-C, and run again."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from bench_common import Line

sys.path.append(str(Path(__file__).resolve().parents[1]))  # for what tests and this benchmark share

from interrupting import COMMANDS, faults_of, moments_of, undisturbed, write_inputs

TIMES, QUICK_TIMES = 20, 3


def measure(folder: Path, quick: bool) -> list[Line]:
    """Send each command its signals, in the order in which the commands need each other."""
    write_inputs(folder / "work")
    seed = int(time.time())
    lines = []
    for number, name in enumerate(COMMANDS):
        lines += _of_command(folder / "work", name, QUICK_TIMES if quick else TIMES, seed + number)
    return lines


def _of_command(folder: Path, name: str, times: int, seed: int) -> list[Line]:
    wanted = undisturbed(folder, name)
    faults, hits = faults_of(folder, name, wanted, moments_of(name, wanted, times, seed), first=seed)
    what = f"{name}: {wanted.seconds:.1f} s, interrupted (seed {seed}; {hits} of {times} before its end): faults"
    return [
        Line(what, f"{len(faults)}", "0", not faults),
        *(Line(f"{name}: {fault}", "", "none", False) for fault in faults),
    ]
