"""The plain loops that `unseg superpixels` is measured against; run by bench_superpixels.py as a child.

    python bench_loop.py FOLDER skimage|own SEGMENTS

Nothing is stored. The digest of the results is printed, so that it can be seen that they were computed.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def main(folder: str, algorithm: str, segments: int) -> None:
    """Decode and cut every picture, one after another."""
    from unsegcli.images.find import digest_files, find_pictures
    from unsegcli.images.reading import read_working, survey
    from unsegcli.params import Pictures

    # Digests are not part of a plain loop: nobody reads them here.
    found = survey(digest_files(find_pictures([Path(folder)]), {}), Pictures(), None, 1)
    total = 0
    cut = _skimage if algorithm == "skimage" else _own
    for source in found.sources:
        pixels, _ = read_working(source, found.reading)
        total += int(cut(pixels, segments).max()) + 1
    print(total)


def _skimage(pixels: NDArray[np.uint8], segments: int) -> NDArray[Any]:
    from skimage.segmentation import slic

    found: NDArray[Any] = slic(pixels, n_segments=segments, compactness=10, start_label=0)
    return found


def _own(pixels: NDArray[np.uint8], segments: int) -> NDArray[Any]:
    from unsegcli.core.slic import slic

    return slic(pixels, None, segments, 10.0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
