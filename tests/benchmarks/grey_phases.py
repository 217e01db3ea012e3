"""How well k-means finds the three phases of grey images: blurred bands beside regions.

    python tests/benchmarks/grey_phases.py [--noise 10,20,40] [--seeds 3]

The images are made here: a matrix, grains and small pores, each of one brightness (120, 180, 70), blurred by one pixel
as by a lens, with noise of the given standard deviation. Each seed gives another set of 12 images, and starts k-means.
The first row is the command of README.md. Scores are accuracy and mIoU of `unseg evaluate`, clusters matched one to
one: the mean over the seeds, with the lowest and the highest.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from unsegcli import Inputs, Run
from unsegcli.files import cluster, evaluate, superpixels
from unsegcli.params import Cluster, Evaluate, Superpixels

IMAGES, SIDE = 12, 256
BRIGHTNESS = (120, 180, 70)  # of matrix, grains and pores
GRAINS, PORES = (8.0, 0.40), (4.0, 0.15)  # pixels of the blur that makes them, and share of the image
LENS = 1.0  # pixels of its blur
BANDS = Cluster(classes=3, features="bands")
WAYS = {
    "--features bands --blur 1": replace(BANDS, blur=1.0),
    "--features bands": BANDS,
    "--features bands --blur 4": replace(BANDS, blur=4.0),
    "regions": Cluster(classes=3),
}


def main() -> None:
    """Print a row for each noise and each way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--noise", default="10,20,40", help="standard deviations, of 255 levels")
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    for noise in map(float, asked.noise.split(",")):
        found = [_scores(noise, seed) for seed in range(asked.seeds)]
        print(f"noise {noise:g}; largest phase {np.mean([one['largest phase'][0] for one in found]):.3f}")
        for way in WAYS:
            accuracy, miou = np.transpose([one[way] for one in found])
            print(f"    {way:26s} accuracy {_shown(accuracy)}   mIoU {_shown(miou)}", flush=True)


def _shown(values: NDArray[Any]) -> str:
    return f"{values.mean():.3f} ({values.min():.3f} to {values.max():.3f})"


def _scores(noise: float, seed: int) -> dict[str, tuple[float, float]]:
    """Return accuracy and mIoU of each way on one set of images."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        write_images(place, noise, seed)
        images = Inputs([place / "images"])
        found = {}
        for number, (way, params) in enumerate(WAYS.items()):
            inputs = images
            if params.features == "regions":
                inputs = Inputs([superpixels(images, Superpixels(), Run(place / "sp.h5")).path])
            made = cluster(inputs, replace(params, seed=seed), Run(place / f"{number}.h5")).path
            scored = evaluate(Inputs([made]), Evaluate(labels=place / "labels"), Run(place / f"m{number}.h5")).scores
            found[way] = (scored["scores"]["accuracy"], scored["scores"]["miou"])
        return {**found, "largest phase": (scored["chance"]["largest_class"], 0.0)}


def write_images(place: Path, noise: float, seed: int) -> None:
    """Write a set of images and their labels."""
    for folder in ("images", "labels"):
        (place / folder).mkdir()
    random = np.random.default_rng(seed)
    for number in range(IMAGES):
        phases = np.zeros((SIDE, SIDE), np.uint8)
        for phase, (size, share) in enumerate((GRAINS, PORES), 1):
            ground = gaussian_filter(random.normal(size=phases.shape), size)
            phases[ground > np.quantile(ground, 1 - share)] = phase
        seen = gaussian_filter(np.array(BRIGHTNESS, np.float64)[phases], LENS) + random.normal(0, noise, phases.shape)
        Image.fromarray(np.clip(seen.round(), 0, 255).astype(np.uint8)).save(place / "images" / f"{number:02d}.png")
        Image.fromarray(phases).save(place / "labels" / f"{number:02d}.png")


if __name__ == "__main__":
    main()
