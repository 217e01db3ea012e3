"""Every command that writes, interrupted at many moments by SIGKILL, SIGTERM and Ctrl-C, and run again.

    python tests/benchmarks/run.py faults
    UNSEG_TIMES=40 UNSEG_COMMANDS=map,join python tests/benchmarks/run.py faults     some commands, more moments

Commands that others need are always run, but not always interrupted.
"""

from __future__ import annotations

import os
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
    times = int(os.environ.get("UNSEG_TIMES", QUICK_TIMES if quick else TIMES))
    chosen = [name for name in os.environ.get("UNSEG_COMMANDS", "").split(",") if name] or [*COMMANDS]
    lines: list[Line] = []
    for number, name in enumerate(COMMANDS):
        if name not in chosen:
            undisturbed(folder / "work", name)
            continue
        found = _of_command(folder / "work", name, times, seed + number)
        print("\n".join(f"  ({line.figure} {line.what})" for line in found), flush=True)
        lines += found
    return lines


def _of_command(folder: Path, name: str, times: int, seed: int) -> list[Line]:
    wanted = undisturbed(folder, name)
    faults, hits = faults_of(folder, name, wanted, moments_of(name, wanted, times, seed), first=seed)
    what = f"{name}: {wanted.seconds:.1f} s, interrupted (seed {seed}; {hits} of {times} before its end): faults"
    return [
        Line(what, f"{len(faults)}", "0", not faults),
        *(Line(f"{name}: {fault}", "", "none", False) for fault in faults),
    ]
