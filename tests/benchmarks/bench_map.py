"""What `unseg map` costs, step by step, beside its estimate.

    python tests/benchmarks/bench_map.py IMAGES ... [--options "--quick"]

Prints, for each folder of images, the estimate, and of each step seconds, seconds of all processors, peak memory of a
process and the size of its output.
"""

from __future__ import annotations

import argparse
import resource
import shlex
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from unsegcli import console
from unsegcli.cli import app
from unsegcli.dataflow import commands
from unsegcli.segmenters.map_costs import slowness
from unsegcli.stages import map as stage_file


def main() -> None:
    """Run and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="+")
    parser.add_argument("--options", default="", help="more options of `unseg map`, in one word")
    asked = parser.parse_args()
    stage_file.run_command = _measured  # type: ignore[assignment]
    for images in asked.images:
        with tempfile.TemporaryDirectory() as folder:
            console.to_stderr()
            print(f"{images}: trial {slowness():.2f}", flush=True)
            started = time.monotonic()
            app(["map", images, "-o", str(Path(folder) / "map"), *shlex.split(asked.options)], standalone_mode=False)
            size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
            print(f"in all {time.monotonic() - started:.0f} s, {size / 1e6:.0f} MB on disk", flush=True)


def _measured(arguments: Sequence[str]) -> None:
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    commands.run_command(arguments)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    memory = after.ru_maxrss / 1e6
    print(
        f"{arguments[0]}: {time.monotonic() - started:.1f} s, {spent:.1f} of processors, {memory:.2f} GB at most so far"
    )


if __name__ == "__main__":
    main()
