"""How fast `unseg prepare potsdam` streams tiles of the published size, and how much memory it takes.

    python tests/benchmarks/bench_prepare.py [--tiles 38] [--zipped] [--workers 0]

Synthesises tiles of 6000 x 6000 x 4 in the published layout (8 GB for all 38 with their labels), prepares them, then
reads as many bytes and writes as many files as plain copies, as the disk's own rate. Files are dropped from the cache
of the system before either. --zipped puts the tiles into archives inside of an archive, as they are offered.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
import tifffile
from bench_common import peaks_of

from unsegcli.datasets.potsdam import LABELLED, OTHER, PALETTE, TILE

BLOCK = 1 << 22
SIDE = 50  # pixels of a square of one class


def main() -> None:
    """Make tiles, prepare them, and copy as much."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiles", type=int, default=38)
    parser.add_argument("--zipped", action="store_true")
    parser.add_argument("--workers", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = _write_tiles(folder / "source", asked.tiles)
        if asked.zipped:
            source = _zipped(source, folder / "Potsdam.zip")
        _flush(folder)
        command = [sys.executable, "-m", "unsegcli", "prepare", "potsdam", str(source), "-o", "out", "--incomplete"]
        before = _children_seconds()
        peaks = peaks_of([*command, "--workers", str(asked.workers)], folder)
        read, written = _bytes_in(source), _bytes_in(folder / "out")
        print(f"{asked.tiles} tiles: reads {read / 1e9:.2f} GB, writes {written / 1e9:.2f} GB")
        cpu = _children_seconds() - before
        print(f"prepare: {peaks.wall:.1f} s, {(read + written) / 1e6 / peaks.wall:,.0f} MB/s, {cpu:.1f} CPU seconds")
        largest = peaks.parent + sum(peaks.workers)
        each = ", ".join(f"{one / 1e6:.0f}" for one in peaks.workers)
        print(f"memory: {largest / 1e6:.0f} MB in all: {peaks.parent / 1e6:.0f} MB, workers {each} MB")
        _flush(folder)
        took = _copied(source, folder / "out", folder / "copy")
        print(f"plain copies: {took:.1f} s, {(read + written) / 1e6 / took:,.0f} MB/s")


def _write_tiles(folder: Path, count: int) -> Path:
    """Write tiles that look like nothing, but compress like photographs, and labels in squares."""
    random = np.random.default_rng(0)
    noise = random.integers(0, 12, (TILE, TILE, 4), np.uint8)
    palette = np.array([list(bytes.fromhex(one.color[1:])) for one in PALETTE], np.uint8)
    (folder / "4_Ortho_RGBIR").mkdir(parents=True)
    for tile in (*LABELLED, *OTHER)[:count]:
        coarse = random.integers(0, 240, (TILE // SIDE, TILE // SIDE, 4), np.uint8)
        pixels = coarse.repeat(SIDE, 0).repeat(SIDE, 1) + noise
        path = folder / f"4_Ortho_RGBIR/top_potsdam_{tile}_RGBIR.tif"
        tifffile.imwrite(path, pixels, photometric="rgb", extrasamples=["unspecified"], metadata=None)
        if tile in LABELLED:
            classes = palette[random.integers(0, 6, coarse.shape[:2])].repeat(SIDE, 0).repeat(SIDE, 1)
            tifffile.imwrite(folder / f"top_potsdam_{tile}_label.tif", classes, photometric="rgb", metadata=None)
    return folder


def _zipped(folder: Path, path: Path) -> Path:
    """Put the tiles into one archive, the labels into another, both into a third, compressed once."""
    inside = {"4_Ortho_RGBIR.zip": "4_Ortho_RGBIR/*.tif", "5_Labels_for_participants.zip": "*.tif"}
    with zipfile.ZipFile(path, "w") as whole:
        for name, pattern in inside.items():
            with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
                for file in sorted(folder.glob(pattern)):
                    archive.write(file, file.relative_to(folder))
            whole.write(folder / name, f"Potsdam/{name}")
    shutil.rmtree(folder)
    return path


def _children_seconds() -> float:
    """Return the CPU seconds of all processes that were started and have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _flush(folder: Path) -> None:
    """Write everything to disk, and drop it from the cache."""
    subprocess.run(["sync"], check=True)
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _bytes_in(path: Path) -> int:
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
    return sum(one.stat().st_size for one in files)


def _copied(source: Path, made: Path, copy: Path) -> float:
    """Read all bytes of the source, and write as many files of the same sizes as were made."""
    started = time.perf_counter()
    for path in [source] if source.is_file() else sorted(one for one in source.rglob("*") if one.is_file()):
        with path.open("rb") as file:
            while file.read(BLOCK):
                pass
    for path in sorted(one for one in made.rglob("*") if one.is_file()):
        target = copy / path.relative_to(made)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(bytes(path.stat().st_size))
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
