"""A plain pool of processes that decode images and cut them with scikit-image; run by bench_superpixels.py as a child.

    python bench_pool.py FOLDER SEGMENTS PROCESSES

What a user would write without `unseg`; nothing is stored.
"""

from __future__ import annotations

import sys
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image


def cut(path: Path, segments: int) -> int:
    """Return the number of superpixels of an image."""
    from skimage.segmentation import slic

    pixels = np.asarray(Image.open(path).convert("RGB"))
    return int(slic(pixels, n_segments=segments, compactness=10, start_label=0).max()) + 1


if __name__ == "__main__":
    with get_context("spawn").Pool(int(sys.argv[3])) as pool:
        print(sum(pool.imap(partial(cut, segments=int(sys.argv[2])), sorted(Path(sys.argv[1]).iterdir()))))
