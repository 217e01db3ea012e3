"""Write and read 5,000 label maps: our format beside flat layouts of the same maps."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
from bench_common import Line
from numpy.typing import NDArray

from unsegcli import open_artifact
from unsegcli.recipe import make_recipe
from unsegcli.store import Target, encode

Maps = NDArray[np.uint16]
Layout = tuple[str, Callable[[Path, Maps], None], Callable[[Path], int]]


def measure(folder: Path, quick: bool) -> list[Line]:
    """Every layout writes all maps one by one, ends on the disk, and is read back map by map in order."""
    lines = []
    count = 500 if quick else 5000
    layouts: list[Layout] = [
        ("unseg artifact", _write_ours, _read_ours),
        ("one .npy, memory-mapped", _write_flat, _read_flat),
        ("one HDF5 dataset (map, height, width), shuffle + gzip-1 + fletcher32", _write_dataset, _read_dataset),
    ]
    for side in (64, 256):
        maps = superpixel_maps(count, side)
        check = int(maps.sum(dtype=np.int64))
        speeds = {}
        for name, write, read in layouts:
            path = folder / f"{side}.{'npy' if 'npy' in name else 'h5'}"
            path.unlink(missing_ok=True)
            started = time.perf_counter()
            write(path, maps)
            written = time.perf_counter()
            if read(path) != check:
                raise RuntimeError(f"{name}: what was read is not what was written")
            ended = time.perf_counter()
            megabytes = maps.nbytes / 1e6
            speeds[name] = (megabytes / (written - started), megabytes / (ended - written), path.stat().st_size / count)
            path.unlink()
        ours, flat = speeds[layouts[0][0]], speeds[layouts[1][0]]
        for name, (write_speed, read_speed, size) in speeds.items():
            lines.append(
                Line(
                    f"{count:,} maps {side} x {side} uint16, {name}: write MB/s, read MB/s, bytes a map",
                    f"{write_speed:.0f}, {read_speed:.0f}, {size:,.0f}",
                )
            )
        lines.append(
            Line(
                f"{side} x {side}: unseg / flat .npy in time to write, time to read, bytes",
                f"{flat[0] / ours[0]:.1f}, {flat[1] / ours[1]:.1f}, {ours[2] / flat[2]:.3f}",
            )
        )
    return lines


def superpixel_maps(count: int, side: int) -> Maps:
    """Maps (map, side, side) of ragged cells of about 200 pixels, numbered row by row; no two are alike."""
    random = np.random.default_rng(0)
    cells = max(2, round(side / 200**0.5))
    rows, columns = np.mgrid[:side, :side]
    maps = np.empty((count, side, side), np.uint16)
    for number in range(count):
        waves = random.uniform(0, 2 * np.pi, 4)
        bend = np.sin(columns / 5 + waves[0]) + np.sin(rows / 7 + waves[1]) + random.normal(0, 0.4, (side, side))
        sway = np.sin(rows / 5 + waves[2]) + np.sin(columns / 7 + waves[3])
        row = np.clip((rows + 1.5 * bend) * cells / side, 0, cells - 1).astype(np.uint16)
        column = np.clip((columns + 1.5 * sway) * cells / side, 0, cells - 1).astype(np.uint16)
        maps[number] = row * cells + column
    return maps


def _write_ours(path: Path, maps: Maps) -> None:
    count, side = len(maps), maps.shape[1]
    names = [f"{number:05d}.png" for number in range(count)]
    target = Target(path, "superpixels", make_recipe("benchmark", 1, [], {}))
    with target.writing() as writer:
        for one in maps:
            writer.append([{"superpixels": encode(one)}], None)
        writer.finish(
            {
                "sources/name": names,
                "sources/path": names,
                "sources/page": np.zeros(count, np.int32),
                "sources/digest": ["0" * 64] * count,
                "sources/bytes": np.zeros(count, np.int64),
                "sources/modified": np.zeros(count, np.int64),
                "sources/size": np.full((count, 2), side, np.int32),
                "sources/orientation": np.ones(count, np.uint8),
                "sources/bands": np.full(count, 3, np.int32),
                "sources/scaling": np.tile(np.array([0.0, 255.0]), (count, 3, 1)),
                "windows/source": np.arange(count, dtype=np.int32),
                "windows/box": np.tile(np.array([0, 0, side, side], np.int32), (count, 1)),
                "windows/grid": np.full((count, 2), side, np.int32),
                "windows/superpixels": maps.reshape(count, -1).max(axis=1).astype(np.int64) + 1,
                "skipped/name": [],
                "skipped/reason": [],
            },
            {"reading": "{}"},
            {},
        )


def _read_ours(path: Path) -> int:
    with open_artifact(path) as artifact:
        return sum(int(artifact.read("superpixels", n).sum(dtype=np.int64)) for n in range(artifact.window_count))


def _write_flat(path: Path, maps: Maps) -> None:
    flat = np.lib.format.open_memmap(path, mode="w+", dtype=maps.dtype, shape=maps.shape)
    for number, one in enumerate(maps):
        flat[number] = one
    flat.flush()
    _to_disk(path)


def _read_flat(path: Path) -> int:
    flat = np.load(path, mmap_mode="r")
    return sum(int(np.array(flat[number]).sum(dtype=np.int64)) for number in range(len(flat)))


def _write_dataset(path: Path, maps: Maps) -> None:
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset(
            "maps",
            shape=maps.shape,
            dtype=maps.dtype,
            chunks=(1, *maps.shape[1:]),
            shuffle=True,
            compression="gzip",
            compression_opts=1,
            fletcher32=True,
        )
        for number, one in enumerate(maps):
            dataset[number] = one
    _to_disk(path)


def _read_dataset(path: Path) -> int:
    with h5py.File(path, "r") as file:
        dataset = file["maps"]
        return sum(int(dataset[number].sum(dtype=np.int64)) for number in range(len(dataset)))


def _to_disk(path: Path) -> None:
    with path.open("rb") as handle:
        os.fsync(handle.fileno())
