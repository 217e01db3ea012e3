"""SLIC of several packages over the same images on one core; run by bench_superpixels.py as a child.

    python bench_loop.py FOLDER SEGMENTS

Every image is decoded once and cut by each package in turns, so that none has the better minutes. The CPU seconds of
each part are printed as JSON. OpenCV (contrib), SimpleITK and fast-slic are measured if they are installed.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

os.environ["OMP_NUM_THREADS"] = "1"  # threads that wait would be counted

Cut = Callable[[NDArray[np.uint8], int], NDArray[Any]]
COMPACTNESS = 10


def main(folder: str, segments: int) -> None:
    """Decode and cut every image, one after another."""
    cuts: dict[str, Cut] = {"unsegcli": _own, "scikit-image": _skimage, **_peers()}
    for cut in cuts.values():
        cut(np.zeros((64, 64, 3), np.uint8), 9)  # imports and compiles what it needs
    took = {"decode": 0.0, **dict.fromkeys(cuts, 0.0)}
    counts = dict.fromkeys(cuts, 0.0)
    paths = sorted(Path(folder).iterdir())
    for number, path in enumerate(paths):
        before = time.process_time()
        pixels = np.asarray(Image.open(path).convert("RGB"))
        took["decode"] += time.process_time() - before
        names = list(cuts)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            before = time.process_time()
            found = cuts[name](pixels, segments)
            took[name] += time.process_time() - before
            counts[name] += len(np.unique(found)) / len(paths)
    print(json.dumps({"seconds": took, "counts": counts}))


def _own(pixels: NDArray[np.uint8], segments: int) -> NDArray[Any]:
    from unsegcli.core.superpixels.slic import slic

    return slic(pixels, None, segments, COMPACTNESS)


def _skimage(pixels: NDArray[np.uint8], segments: int) -> NDArray[Any]:
    from skimage.segmentation import slic

    found: NDArray[Any] = slic(pixels, n_segments=segments, compactness=COMPACTNESS, start_label=0)
    return found


def _peers() -> dict[str, Cut]:
    """The other packages that are installed."""
    found: dict[str, Cut] = {}
    for name, make in (("OpenCV contrib", _opencv), ("SimpleITK", _simpleitk), ("fast-slic", _fast_slic)):
        try:
            found[name] = make()
        except ImportError:
            print(f"{name} is not installed", file=sys.stderr)
    return found


def _opencv() -> Cut:
    import cv2

    cv2.setNumThreads(1)

    def cut(pixels: NDArray[np.uint8], segments: int) -> NDArray[Any]:
        lab = cv2.cvtColor(pixels, cv2.COLOR_RGB2Lab)
        side = round((pixels.shape[0] * pixels.shape[1] / segments) ** 0.5)
        superpixels = cv2.ximgproc.createSuperpixelSLIC(lab, cv2.ximgproc.SLIC, side, float(COMPACTNESS))
        superpixels.iterate(10)
        superpixels.enforceLabelConnectivity(25)  # percent of the mean size
        found: NDArray[Any] = superpixels.getLabels()
        return found

    return cut


def _simpleitk() -> Cut:
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)

    def cut(pixels: NDArray[np.uint8], segments: int) -> NDArray[Any]:
        from skimage.color import rgb2lab

        side = round((pixels.shape[0] * pixels.shape[1] / segments) ** 0.5)
        image = SimpleITK.GetImageFromArray(rgb2lab(pixels).astype(np.float32), isVector=True)
        found = SimpleITK.SLIC(
            image, superGridSize=[side, side], spatialProximityWeight=COMPACTNESS, maximumNumberOfIterations=10
        )
        labels: NDArray[Any] = SimpleITK.GetArrayFromImage(found)
        return labels

    return cut


def _fast_slic() -> Cut:
    from fast_slic.avx2 import SlicAvx2

    def cut(pixels: NDArray[np.uint8], segments: int) -> NDArray[Any]:
        made = SlicAvx2(num_components=segments, compactness=COMPACTNESS)
        made.num_threads = 1
        found: NDArray[Any] = made.iterate(np.ascontiguousarray(pixels))
        return found

    return cut


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
