"""What the commands of `unseg benchmark` cost, one by one, and how much the benchmark itself adds to their sum.

    python tests/benchmarks/bench_benchmark.py DATA ... [--options "--methods regions --seeds 2"]

Prints seconds and processor seconds of each command, and in the end the share that is spent between commands. Figures
of `unsegcli/segmenters/benchmark_costs.py` are processor seconds of one thread: set OMP_NUM_THREADS=1 for them.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import resource
import shlex
import sys
import tempfile
import time
from collections.abc import Sequence

from unsegcli import console
from unsegcli.cli import app
from unsegcli.dataflow import benchmark_runs, commands

SPENT: list[float] = []  # seconds of each command


def main() -> None:
    """Run and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+")
    parser.add_argument("--options", default="", help="more options of `unseg benchmark`, in one word")
    asked = parser.parse_args()
    benchmark_runs.run_command = _measured  # type: ignore[assignment]
    console.to_stderr(quiet=True)
    sets = [part for data in asked.data for part in ("--data", data)]
    with tempfile.TemporaryDirectory() as folder:
        for again in (False, True):
            SPENT.clear()
            started = time.monotonic()
            with contextlib.redirect_stdout(io.StringIO()):
                app(["benchmark", *sets, "-o", folder, "--quiet", *shlex.split(asked.options)], standalone_mode=False)
            whole = time.monotonic() - started
            added = whole - sum(SPENT)
            when = "all up to date" if again else "all new"
            print(f"{when}: {len(SPENT)} commands, {sum(SPENT):.1f} s; {added:.2f} s added, {added / sum(SPENT):.1%}")


def _measured(arguments: Sequence[str]) -> None:
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    commands.run_command(arguments)
    SPENT.append(time.monotonic() - started)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    output = arguments[arguments.index("-o") + 1]
    print(f"{arguments[0]} {output}: {SPENT[-1]:.1f} s, {spent:.1f} of processors", file=sys.stderr)


if __name__ == "__main__":
    main()
