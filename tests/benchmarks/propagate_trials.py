"""How well `unseg propagate` follows an object through clips made of labelled photographs, beside floors.

Each photograph is moved, turned, scaled and lit a little more in each frame, and its mask with it. Floors: the first
mask in every frame, and each pixel by the nearest colour of the first frame.

python tests/benchmarks/propagate_trials.py FOLDER [--trials 6] [--features lite0]

FOLDER holds images/ and labels/ (0 = background, 255 = unknown, else object).
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import map_coordinates
from scipy.spatial import cKDTree

from unsegcli import files
from unsegcli.dataflow.commands import run_command
from unsegcli.params import Evaluate, Inputs, Propagate, Run

FRAMES = 20
VOID = 255
Pair = tuple[NDArray[Any], NDArray[Any]]


def clip(image: NDArray[Any], mask: NDArray[Any], seed: int) -> list[Pair]:
    """Return frames and masks; the last is turned, scaled, moved and lit by amounts drawn from the seed."""
    random = np.random.default_rng(seed)
    turn, zoom, light = np.deg2rad(random.uniform(-25, 25)), random.uniform(0.8, 1.25), random.uniform(0.75, 1.15)
    shift = random.uniform(-0.15, 0.15, 2) * mask.shape
    grid = np.mgrid[: mask.shape[0], : mask.shape[1]].astype(np.float64)
    middle = (np.array(mask.shape) - 1)[:, None, None] / 2
    found = []
    for share in np.linspace(0, 1, FRAMES):
        down, across = grid - middle - (share * shift)[:, None, None]
        cos, sin = np.cos(share * turn), np.sin(share * turn)
        there = np.stack([cos * down - sin * across, sin * down + cos * across]) / (1 + share * (zoom - 1)) + middle
        bands = [map_coordinates(image[..., band].astype(float), there, order=1, mode="reflect") for band in range(3)]
        pixels = np.clip(np.stack(bands, 2) * (1 + share * (light - 1)), 0, 255).astype(np.uint8)
        found.append((pixels, map_coordinates(mask, there, order=0, mode="reflect")))
    return found


def nearest_colours(frames: list[Pair]) -> list[NDArray[Any]]:
    """Label each pixel like that of the first frame that has the most similar colour."""
    first, mask = frames[0]
    known = mask != VOID
    tree = cKDTree(first[known])
    return [mask[known][tree.query(pixels.reshape(-1, 3))[1]].reshape(mask.shape) for pixels, _ in frames]


def write(folder: Path, arrays: list[NDArray[Any]]) -> Path:
    """Write one PNG for each frame."""
    folder.mkdir(parents=True)
    for number, values in enumerate(arrays):
        Image.fromarray(values).save(folder / f"{number:03d}.png")
    return folder


def scored(maps: Path, truth: Path, output: Path) -> tuple[float, float]:
    """Return J and F."""
    role = "" if maps.suffix else "mask"
    found = files.evaluate(Inputs(maps), Evaluate(protocol="davis", labels=truth, role=role), Run(output)).scores
    return found["scores"]["j_mean"], found["scores"]["f_mean"]


def tried(folder: Path, frames: list[Pair], network: str) -> dict[str, tuple[float, float]]:
    """Score every way to follow the object of one clip."""
    images = write(folder / "frames", [pixels for pixels, _ in frames])
    truth = write(folder / "truth", [mask for _, mask in frames])
    first = truth / "000.png"
    followed = files.propagate(Inputs(images), Propagate(first=first), Run(folder / "colours.h5")).path
    ways = {
        "first mask": write(folder / "copied", [np.where(frames[0][1] == VOID, 0, frames[0][1])] * FRAMES),
        "nearest colour": write(folder / "nearest", nearest_colours(frames)),
        "propagate, colours of cells": followed,
    }
    if network:
        dense = folder / "dense.h5"
        run_command(["features", str(images), "--backbone", network, "--dense", "-o", str(dense)])
        ways[f"propagate, {network}"] = files.propagate(
            Inputs(dense), Propagate(first=first), Run(folder / "network.h5")
        ).path
    return {name: scored(maps, truth, folder / f"{number}.h5") for number, (name, maps) in enumerate(ways.items())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--trials", type=int, default=6)
    parser.add_argument("--features", default="")
    given = parser.parse_args()
    images = sorted((given.folder / "images").iterdir())
    results: dict[str, list[tuple[float, float]]] = {}
    for trial, path in enumerate(images[:: max(1, len(images) // given.trials)][: given.trials]):
        mask = np.array(Image.open(given.folder / "labels" / f"{path.stem}.png"))
        mask = np.where((mask > 0) & (mask != VOID), 1, mask).astype(np.uint8)
        frames = clip(np.array(Image.open(path).convert("RGB")), mask, trial)
        with tempfile.TemporaryDirectory() as folder:
            for name, pair in tried(Path(folder), frames, given.features).items():
                results.setdefault(name, []).append(pair)
    print(f"{given.trials} clips of {FRAMES} frames: mean J, mean F, lowest J")
    for name, pairs in results.items():
        values = np.array(pairs)
        print(f"{name:32} {values[:, 0].mean():.3f} {values[:, 1].mean():.3f} {values[:, 0].min():.3f}")


if __name__ == "__main__":
    main()
