"""What `unseg proposals --cue otsu` and `--cue kmeans` give on images of many small objects, and how many are counted.

    python tests/benchmarks/phase_masks.py data/dsb2018 [--only fluo]

Masks are scored by `unseg evaluate` against `labels/` of the folder: the mean IoU of the objects over all images, with
its interval. Objects are the components of a mask. They are counted where labels allow: labels of nuclei do not say
where one ends and its neighbour begins, so only images whose labelled components are all convex have a number. For
each value of --separate, the mean difference is a fraction of that number. Such images have few touching nuclei; so
labelled nuclei, one by one, are also moved until they touch, and the pairs that become two objects are counted, beside
the nuclei that stay one.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.measure import label, regionprops

from unsegcli import Inputs, Run
from unsegcli.core.saliency.touching import parted
from unsegcli.files import evaluate, proposals
from unsegcli.images.mask_files import read_object
from unsegcli.params import Evaluate, Images, Proposals
from unsegcli.store import open_artifact

CONVEX = 0.88  # share of its convex hull that a single nucleus fills
ROUND = 0.93  # the same, of the nuclei that are moved together
OVERLAP = (0.02, 0.08)  # share of the smaller nucleus that lies on the other
PAIRS = 200
SMALLEST = 13  # pixels of a nucleus that is counted
SEPARATE = (0.0, 0.5, 0.75, 1.0, 1.5, 2.0)
MASKS = {
    "consensus (the default cue)": Proposals(),
    "otsu": Proposals(cue="otsu"),
    "otsu --phases 3": Proposals(cue="otsu", phases=3),
    "kmeans": Proposals(cue="kmeans"),
    "kmeans --phases 3": Proposals(cue="kmeans", phases=3),
    "otsu --separate 0.75": Proposals(cue="otsu", separate=0.75),
}


def main() -> None:
    """Print a row for each setting, and one for each way to part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", default="", help="images whose names begin like this")
    asked = parser.parse_args()
    paths = sorted((asked.data / "images").glob(f"{asked.only}*"))
    labels = asked.data / "labels"
    print(f"{len(paths)} images")
    for name, params in MASKS.items():
        print(f"{name:30s} {_score(paths, params, labels)}", flush=True)
    print(f"{'otsu --contrast image':30s} {_score(paths, MASKS['otsu'], labels, Images(contrast='image'))}")
    known = dict(_countable(paths, labels))
    print(f"{len(known)} images with {sum(known.values())} nuclei that can be counted")
    nuclei = _single_nuclei(paths, labels)
    for separate in SEPARATE:
        found = _counts([path for path in paths if path.name in known], Proposals(cue="otsu", separate=separate))
        wrong = [abs(found[name] - number) / number for name, number in known.items()]
        line = f"--separate {separate:<4g} {sum(found.values())} objects, mean difference {np.mean(wrong):.3f}"
        print(f"{line}; {_shares_parted(nuclei, separate) if separate else ''}", flush=True)


def _score(paths: list[Path], params: Proposals, labels: Path, images: Images | None = None) -> str:
    with tempfile.TemporaryDirectory() as folder:
        made = proposals(Inputs(paths, images or Images()), params, Run(Path(folder) / "p.h5")).path
        found = evaluate(Inputs([made]), Evaluate(labels=labels), Run(Path(folder) / "m.h5")).scores
    low, high = found["interval"]["iou"]
    return f"IoU {found['scores']['iou']:.3f} ({low:.3f} to {high:.3f})"


def _countable(paths: list[Path], labels: Path) -> Iterator[tuple[str, int]]:
    """Yield the names of images whose labelled components are single nuclei, and how many those are."""
    for path in paths:
        parts = [part for part in regionprops(_components(read_object(labels / path.name, 0))) if part.area >= SMALLEST]
        if parts and min(part.solidity for part in parts) > CONVEX:
            yield path.name, len(parts)


def _counts(paths: list[Path], params: Proposals) -> dict[str, int]:
    """Count the components of the mask of each image."""
    with tempfile.TemporaryDirectory() as folder:
        made = proposals(Inputs(paths), params, Run(Path(folder) / "p.h5")).path
        with open_artifact(made) as artifact:
            maps = [artifact.read("segmentation", row) == 1 for row in range(len(artifact.table("sources/name")))]
            counts = [sum(part.area >= SMALLEST for part in regionprops(_components(one))) for one in maps]
            return dict(zip(artifact.table("sources/name"), counts, strict=True))


def _single_nuclei(paths: list[Path], labels: Path) -> list[NDArray[np.bool_]]:
    """Return the masks of labelled nuclei that are round and whole, in random order."""
    found = []
    for path in paths:
        mask = read_object(labels / path.name, 0)
        for part in regionprops(_components(mask)):
            top, left, bottom, right = part.bbox
            whole = min(top, left) > 0 and bottom < mask.shape[0] and right < mask.shape[1]
            if whole and part.area > SMALLEST and part.solidity > ROUND:
                found.append(np.pad(part.image, 1))
    return [found[place] for place in np.random.default_rng(0).permutation(len(found))[: 2 * PAIRS]]


def _shares_parted(nuclei: list[NDArray[np.bool_]], separate: float) -> str:
    """Describe how many single nuclei stay whole, and how many touching pairs are parted in two."""
    whole = np.mean([_components(parted(one, separate)).max() == 1 for one in nuclei])
    pairs = [
        np.mean(
            [
                _components(parted(_moved_together(one, other, overlap), separate)).max() == 2
                for one, other in zip(nuclei[::2], nuclei[1::2], strict=False)
            ]
        )
        for overlap in OVERLAP
    ]
    shown = ", ".join(f"{share:.3f} (overlap {overlap:g})" for share, overlap in zip(pairs, OVERLAP, strict=True))
    return f"whole {whole:.3f}; pairs parted {shown}"


def _moved_together(one: NDArray[np.bool_], other: NDArray[np.bool_], overlap: float) -> NDArray[np.bool_]:
    """Move a nucleus from the right to another one until it lies on this share of the smaller of them."""
    height, width = max(len(one), len(other)), one.shape[1] + other.shape[1]
    still, moved = np.zeros((2, height, width), np.bool_)
    still[(height - len(one)) // 2 :][: len(one), : one.shape[1]] = one
    for left in range(one.shape[1], -1, -1):
        moved[:] = False
        moved[(height - len(other)) // 2 :][: len(other), left : left + other.shape[1]] = other
        if np.count_nonzero(still & moved) >= overlap * min(one.sum(), other.sum()):
            break
    return np.asarray(still | moved)


def _components(mask: NDArray[np.bool_]) -> NDArray[Any]:
    return np.asarray(label(mask, connectivity=1))


if __name__ == "__main__":
    main()
