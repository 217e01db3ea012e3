"""Measures what the project promises about speed and size, and prints one table.

    python tests/benchmarks/run.py                     everything; about half an hour on two processors
    python tests/benchmarks/run.py --quick             the same with few images: whether it works, not how fast
    python tests/benchmarks/run.py superpixels store   some of it
    UNSEG_IMAGES=a/images:b/images python tests/benchmarks/run.py iem   also on images of these folders
    UNSEG_BSDS=a python tests/benchmarks/run.py superpixel_quality      also on the annotated images of this folder

It needs what the package needs, the package installed with its script `unseg` beside this Python, and Linux
(/proc); no pytest, and no image that is not in scikit-image. The benchmarks:

    help                wall time of `unseg --help`
    iem                 `unseg iem` beside autograd of the same objective in torch, and its memory
    superpixels         CPU seconds of `unseg superpixels` beside plain loops of slic over the same images
    superpixel_quality  our superpixels beside scikit-image's at the same number, and the number that is made
    seams               superpixels along borders of windows; UNSEG_SEAMS names a folder of images and labels
    memory              peak memory of workers and parent, and whether it grows with the number of images
    estimate            peak memory of a process by the size of its image: what `--dry-run` should promise
    store               speed and size of label maps in an artifact, beside flat layouts
    guided              CPU seconds of the guided filter over many maps, beside one map after another
    outlines            CPU seconds of outlines of many parts, beside the same by loops in Python
    large_map           memory and time of exporting the label map of a large raster; needs rasterio
    evaluate            speed of scoring label maps, beside numpy.bincount
    train               the training loop beside bare steps of the same network, and images a second of each method
    step_cost           CPU seconds of a training step of each method, by the number of threads and how they wait
    spread              memory and time of reading training images, by one process and by two that share them
    raster              memory and time of a raster of 12,000 x 12,000 pixels that is read in parts
    otb                 superpixels beside segments of the Orfeo Toolbox; needs rasterio and otb-bin
    load                100,000 small images: speed, memory and open files from start to end, and reruns
    scale               what an image costs in each step, and what ten million cost on ten machines
    dask                CPU seconds an image on a local Dask cluster beside processes
    killed              runs that are killed at random moments, and run again
    faults              every command interrupted by SIGKILL, SIGTERM and Ctrl-C, and run again; about 40 minutes

Times differ between machines, and between minutes on a shared one; so what has a target is a ratio of two sides
measured in turns, or memory, or a count, wherever it can be. The exit code is 1 if a target was missed.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import shutil
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

from bench_common import Line

NAMES = (
    "help",
    "iem",
    "superpixels",
    "superpixel_quality",
    "seams",
    "memory",
    "estimate",
    "store",
    "train",
    "step_cost",
    "spread",
    "raster",
    "load",
    "scale",
    "dask",
    "killed",
    "faults",
    "evaluate",
    "guided",
    "outlines",
    "large_map",
    "otb",
)


def main() -> int:
    """Run the benchmarks that were asked for; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of: {', '.join(NAMES)}; none = all")
    parser.add_argument("--quick", action="store_true", help="few images and repetitions; targets mean little")
    parser.add_argument("--keep", action="store_true", help="keep the working folders, with the log of each child")
    chosen = parser.parse_args()
    unknown = set(chosen.names) - set(NAMES)
    if unknown:
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}; there are: {', '.join(NAMES)}")
    print(_machine())
    missed = 0
    for name in chosen.names or NAMES:
        missed += _benchmark(name, quick=chosen.quick, keep=chosen.keep)
    print(f"\n{missed} targets missed" if missed else "\nevery target is held")
    return 1 if missed else 0


def _benchmark(name: str, *, quick: bool, keep: bool) -> int:
    """Run one benchmark, print its part of the table, and return how many targets it missed."""
    folder = Path(tempfile.mkdtemp(prefix=f"unseg-{name}-"))
    started = time.monotonic()
    try:
        lines = importlib.import_module(f"bench_{name}").measure(folder, quick)
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
    kept = f"; kept in {folder}" if keep else ""
    option = " --quick" if quick else ""
    print(f"\n{name}: python tests/benchmarks/run.py {name}{option} ({time.monotonic() - started:.0f} s{kept})")
    _print_table(lines)
    return sum(line.held is False for line in lines)


def _print_table(lines: list[Line]) -> None:
    verdicts = {True: "held", False: "MISSED", None: ""}
    width = max(len(line.figure) for line in lines)
    target_width = max(len(line.target) for line in lines)
    for line in lines:
        verdict = verdicts[line.held]
        print(f"  {line.figure:>{width}}  {line.target:<{target_width}}  {verdict:<6}  {line.what}", flush=True)


def _machine() -> str:
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("numpy", "scikit-image", "h5py"))
    load = os.getloadavg()[0]
    return (
        f"Python {platform.python_version()}, {versions}; {os.cpu_count()} processors, load {load:.1f} at the start"
        " (columns: figure, target, verdict, what)"
    )


if __name__ == "__main__":
    sys.exit(main())
