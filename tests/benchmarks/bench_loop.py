"""The plain loops that `unseg superpixels` is measured against; run by bench_superpixels.py as a child.

    python bench_loop.py FOLDER SEGMENTS FIRST STEP

Every image is decoded once and cut by both algorithms in turns, so that neither has the better minutes or the
better processor. Nothing is stored. The CPU seconds of each part are printed as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsegcli.params import Images

Cut = Callable[[NDArray[np.uint8], int], NDArray[Any]]


def main(folder: str, segments: int, first: int, step: int) -> None:
    """Decode and cut every `step`th image, one after another."""
    from unsegcli.images.find import digest_files, find_images
    from unsegcli.images.survey import survey
    from unsegcli.images.working import read_working

    found = survey(digest_files(find_images([folder]), {}), Images(), None, 1)
    cuts: dict[str, Cut] = {"skimage": _skimage, "own": _own}
    for cut in cuts.values():
        cut(np.zeros((8, 8, 3), np.uint8), 4)  # imports what it needs
    took = {"start": time.process_time(), "decode": 0.0, "skimage": 0.0, "own": 0.0}
    for number, source in enumerate(found.sources[first::step]):
        before = time.process_time()
        pixels, _ = read_working(source, found.reading)
        took["decode"] += time.process_time() - before
        for name in sorted(cuts, reverse=number % 2 == 0):
            before = time.process_time()
            cuts[name](pixels, segments)
            took[name] += time.process_time() - before
    print(json.dumps(took))


def _skimage(pixels: NDArray[np.uint8], segments: int) -> NDArray[Any]:
    from skimage.segmentation import slic

    found: NDArray[Any] = slic(pixels, n_segments=segments, compactness=10, start_label=0)
    return found


def _own(pixels: NDArray[np.uint8], segments: int) -> NDArray[Any]:
    from unsegcli.core.superpixels.slic import slic

    return slic(pixels, None, segments, 10.0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
