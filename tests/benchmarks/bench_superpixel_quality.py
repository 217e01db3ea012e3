"""Superpixels of an algorithm beside those of scikit-image's slic at the same real number; and how many it makes.

    python tests/benchmarks/bench_superpixel_quality.py PART ... [--data FOLDER] [--cache FOLDER] [options]
    UNSEG_BSDS=FOLDER UNSEG_SLIC_CACHE=FOLDER python tests/benchmarks/run.py superpixel_quality

Parts: `reference` computes the curves of scikit-image (slic_reference.py says what they and the scores are) and prints
which compactness is best; `quality` compares; `number` prints real over asked-for numbers; `outlines` draws both side
by side into the folder of --outlines. The folder of data is laid out as BSDS500: images/NAME.jpg and labels/NAME.mat;
without it, only `number` is measured, on images that are at hand. Curves of 100 images take half an hour of one
processor for all seven values of compactness. They are kept in the folder of --cache; from then on `quality` is quick.

An algorithm is a function (pixels, valid, segments, compactness) that returns a map of superpixels; --algorithm
MODULE:FUNCTION names another one than `unseg superpixels` uses.
"""

from __future__ import annotations

import argparse
import importlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from bench_common import Line
from numpy.typing import NDArray
from PIL import Image
from slic_reference import (
    HIGHER_IS_BETTER,
    MEASURES,
    Annotated,
    Floats,
    at_number,
    curves_of,
    names_in,
    nearest_request,
    number_of,
    read_annotated,
    scores_of,
    skimage_slic,
)
from superpixel_numbers import Asked, Cut, images_to_ask, ratio_of

from unsegcli.params import Superpixels

TARGETS = (100, 200, 300, 400)
COMPACTNESS = (1.0, 3.0, 5.0, 10.0, 20.0, 30.0, 40.0)
NUMBERS = (25, 100, 300, 1000)
DEFAULT = Superpixels().compactness
PERCENTILES = (5, 50, 95)
MARGIN = 1.3  # curves go on to the largest target times this
ENLARGED = 2  # times, in drawings
PARTS = ("reference", "quality", "number", "outlines")


@dataclass(frozen=True)
class Judged:
    """What is compared, and with what."""

    data: Path | None
    cache: Path
    names: tuple[str, ...]
    targets: tuple[int, ...] = TARGETS
    compactness: tuple[float, ...] = COMPACTNESS
    numbers: tuple[int, ...] = NUMBERS
    algorithm: str = "unsegcli.core.superpixels.slic:slic"
    processes: int = 2


@dataclass(frozen=True)
class Found:
    """Scores of all images; the axes are (images, targets, compactness of ours, ...)."""

    numbers: Floats  # of ours
    ours: Floats  # (..., measures)
    theirs: Floats  # (..., compactness of theirs, measures), at the numbers of ours
    milliseconds: Floats  # of ours, CPU


def measure(folder: Path, quick: bool) -> list[Line]:
    """What run.py prints: differences, best values of compactness, and ratios of numbers."""
    data = os.environ.get("UNSEG_BSDS")
    judged = Judged(
        Path(data) if data else None,
        Path(os.environ.get("UNSEG_SLIC_CACHE", folder / "curves")),
        tuple(names_in(Path(data))[: 4 if quick else None]) if data else (),
    )
    if quick:
        judged = replace(judged, targets=TARGETS[1:2], compactness=(DEFAULT,), numbers=NUMBERS[1:2])
    lines = []
    if judged.names:
        found = quality(judged)
        lines += [*_difference_lines(judged, found), *_best_lines(judged, found)]
    lines += _number_lines(judged, DEFAULT)
    if judged.names and os.environ.get("UNSEG_OUTLINES"):
        draw(judged, Path(os.environ["UNSEG_OUTLINES"]), 2 if quick else 8, DEFAULT)
    return lines


def main() -> None:
    """Print the tables that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=PARTS, metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--data", type=Path, default=os.environ.get("UNSEG_BSDS"), help="or UNSEG_BSDS")
    parser.add_argument("--cache", type=Path, default=os.environ.get("UNSEG_SLIC_CACHE"), help="or UNSEG_SLIC_CACHE")
    parser.add_argument("--targets", type=int, nargs="+", default=TARGETS)
    parser.add_argument("--compactness", type=float, nargs="+", default=COMPACTNESS)
    parser.add_argument("--numbers", type=int, nargs="+", default=NUMBERS, help="asked for by `number`")
    parser.add_argument("--at", type=float, default=DEFAULT, help="compactness of `number` and `outlines`")
    parser.add_argument("--algorithm", default=Judged.algorithm, metavar="MODULE:FUNCTION")
    parser.add_argument("--images", type=int, help="evenly spread ones alone")
    parser.add_argument("--outlines", type=Path, default=os.environ.get("UNSEG_OUTLINES"), help="or UNSEG_OUTLINES")
    parser.add_argument("--drawn", type=int, default=8, help="images that `outlines` draws")
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args()
    for needed, option in (("data", "--data"), ("cache", "--cache")):
        if set(asked.parts) - {"number"} and getattr(asked, needed) is None:
            parser.error(f"{option} is needed for {', '.join(asked.parts)}")
    if "outlines" in asked.parts and asked.outlines is None:
        parser.error("--outlines names the folder to draw into")
    names = _spread(names_in(asked.data), asked.images) if asked.data else []
    compactness = tuple(sorted(set(asked.compactness)))
    targets, numbers = tuple(sorted(set(asked.targets))), tuple(asked.numbers)
    judged = Judged(
        asked.data, asked.cache or Path(), tuple(names), targets, compactness, numbers, asked.algorithm, asked.processes
    )
    for part in asked.parts:
        started = time.monotonic()
        _print_part(part, judged, asked)
        print(f"({part}: {time.monotonic() - started:.0f} s)\n", flush=True)


def quality(judged: Judged) -> Found:
    """Score the algorithm and look up scikit-image at its numbers, image by image."""
    with _workers(judged.processes) as each:
        images = list(each(partial(_scores_of_image, judged), judged.names))
    return Found(*(np.stack(part) for part in zip(*images, strict=True)))


def reference(judged: Judged) -> Floats:
    """Scores of scikit-image at exactly each target: (images, targets, compactness, measures)."""
    with _workers(judged.processes) as each:
        return np.stack(list(each(partial(_even_scores, judged), judged.names)))


def draw(judged: Judged, folder: Path, count: int, compactness: float) -> None:
    """Write outlines of ours, left, and scikit-image's at the nearest number, right; file names tell the numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    cut = algorithm_of(judged.algorithm)
    for name in _spread(judged.names, count):
        assert judged.data is not None
        image = read_annotated(judged.data, name)
        for target in judged.targets:
            ours = cut(image.pixels, None, target, compactness)
            number = number_of(ours)
            rows = curves_of(judged.cache, image, {compactness: number})[compactness]
            theirs = _of_number(image, nearest_request(rows, number), number, compactness)
            sheet = np.concatenate([_outlined(image.pixels, regions) for regions in (ours, theirs)], axis=1)
            numbers = f"asked{target}-ours{number}-skimage{number_of(theirs)}"
            Image.fromarray(sheet).save(folder / f"{name}-compactness{compactness:g}-{numbers}.png")


def algorithm_of(name: str) -> Cut:
    """Import an algorithm by MODULE:FUNCTION."""
    module, function = name.split(":")
    cut: Cut = getattr(importlib.import_module(module), function)
    return cut


def _print_part(part: str, judged: Judged, asked: argparse.Namespace) -> None:
    if part == "reference":
        _print_reference(judged, reference(judged))
    elif part == "quality":
        found = quality(judged)
        _print_quality(judged, found)
        for line in _best_lines(judged, found):
            print(f"  {line.figure:<44} {line.what}")
    elif part == "number":
        _print_numbers(judged, asked.at)
    else:
        draw(judged, asked.outlines, asked.drawn, asked.at)


# ---- quality


def _scores_of_image(judged: Judged, name: str) -> tuple[Floats, Floats, Floats, Floats]:
    """The parts of `Found` of one image."""
    assert judged.data is not None
    image, cut = read_annotated(judged.data, name), algorithm_of(judged.algorithm)
    shape = len(judged.targets), len(judged.compactness)
    numbers, took, ours = np.zeros(shape), np.zeros(shape), np.zeros((*shape, len(MEASURES)))
    for at in np.ndindex(shape):
        before = time.process_time()
        regions = cut(image.pixels, None, judged.targets[at[0]], judged.compactness[at[1]])
        took[at] = 1e3 * (time.process_time() - before)
        numbers[at], ours[at] = number_of(regions), scores_of(regions, image.truths)
    most = max(MARGIN * max(judged.targets), numbers.max())
    curves = curves_of(judged.cache, image, dict.fromkeys(judged.compactness, most)).values()
    theirs = np.stack([[[at_number(rows, one) for rows in curves] for one in row] for row in numbers])
    return numbers, ours, theirs, took


def _even_scores(judged: Judged, name: str) -> Floats:
    assert judged.data is not None
    image = read_annotated(judged.data, name)
    most = MARGIN * max(judged.targets)
    curves = curves_of(judged.cache, image, dict.fromkeys(judged.compactness, most)).values()
    return np.stack([[at_number(rows, target) for rows in curves] for target in judged.targets])


def _print_quality(judged: Judged, found: Found) -> None:
    """One row for each target and compactness. Images whose number lies on no curve are left out of all means."""
    print(
        f"{judged.algorithm}: ours, scikit-image's slic at the same number and compactness, and ours - scikit-image's"
    )
    print("  UE: lower is better; se: standard error of the mean difference; left: images left out, on no curve")
    both = "".join(f"{measure:>7}{'theirs':>8}{'diff':>8}{'se':>7}" for measure in MEASURES)
    print(f"  asked compact {'number':>7}{'5 %':>6}{'95 %':>6}{both}{'ms':>7} left")
    for target in range(len(judged.targets)):
        for place, compactness in enumerate(judged.compactness):
            mark = "*" if compactness == DEFAULT else " "
            print(f"  {judged.targets[target]:>5}{compactness:>7g}{mark}{_quality_row(found, target, place)}")
    print("  * the default compactness")


def _quality_row(found: Found, target: int, place: int) -> str:
    ours, theirs = found.ours[:, target, place], found.theirs[:, target, place, place]
    kept = np.isfinite(theirs).all(axis=1)
    numbers = found.numbers[:, target, place]
    text = f" {numbers.mean():>7.1f}{np.percentile(numbers, 5):>6.0f}{np.percentile(numbers, 95):>6.0f}"
    for one, other in zip(ours[kept].T, theirs[kept].T, strict=True):
        text += f"{one.mean():>7.4f}{other.mean():>8.4f}{(one - other).mean():>+8.4f}{_error(one - other):>7.4f}"
    return f"{text}{np.median(found.milliseconds[:, target, place]):>7.1f} {np.count_nonzero(~kept):>4}"


def _print_reference(judged: Judged, even: Floats) -> None:
    """Means of scikit-image at exactly each number; * is the best of its target."""
    print("scikit-image's slic at exactly these numbers of superpixels, by compactness (* the best)")
    titles = "".join(f"{compactness:>9g}" for compactness in judged.compactness)
    print(f"  number measure{titles}  images on all curves")
    for number, scores in zip(judged.targets, np.moveaxis(even, 1, 0), strict=True):
        kept = np.isfinite(scores).all(axis=(1, 2))
        means = scores[kept].mean(axis=0)
        for index, name in enumerate(MEASURES):
            best = _best(means[:, index], index)
            values = "".join(f"{v:>8.4f}{'*' if place == best else ' '}" for place, v in enumerate(means[:, index]))
            print(f"  {number:>6} {name:<7}{values}  {np.count_nonzero(kept)}")


def _difference_lines(judged: Judged, found: Found) -> Iterator[Line]:
    for target, number in enumerate(judged.targets):
        for place, compactness in enumerate(judged.compactness):
            apart = found.ours[:, target, place] - found.theirs[:, target, place, place]
            kept = np.isfinite(apart).all(axis=1)
            figure = " ".join(f"{value:+.4f}" for value in apart[kept].mean(axis=0))
            mean = found.numbers[:, target, place].mean()
            what = f"asked for {number}, compactness {compactness:g}, both at {mean:.1f} superpixels"
            yield Line(f"{what}: ours - scikit-image's, {' '.join(MEASURES)}, {np.count_nonzero(kept)} images", figure)


def _best_lines(judged: Judged, found: Found) -> Iterator[Line]:
    """Both at the compactness that is best for them, scikit-image's at the numbers of ours."""
    for target, number in enumerate(judged.targets):
        for index, name in enumerate(MEASURES):
            ours = _best(found.ours[:, target, :, index].mean(axis=0), index)
            theirs = _best(np.nanmean(found.theirs[:, target, ours, :, index], axis=0), index)
            number_of_ours = found.numbers[:, target, ours].mean()
            pair = found.ours[:, target, ours, index], found.theirs[:, target, ours, theirs, index]
            kept = np.isfinite(pair[1])
            apart = (pair[0] - pair[1])[kept]
            yield Line(
                f"asked for {number}, each at its best compactness, ours {judged.compactness[ours]:g}, "
                f"scikit-image's {judged.compactness[theirs]:g}, both at {number_of_ours:.1f} superpixels",
                f"{name} {pair[0][kept].mean():.4f} - {pair[1][kept].mean():.4f} = {apart.mean():+.4f} "
                f"(error {_error(apart):.4f})",
            )


def _best(values: Floats, index: int) -> int:
    return int(np.nanargmax(values if HIGHER_IS_BETTER[index] else -values))


def _error(values: Floats) -> float:
    """Standard error of the mean; NaN for one value."""
    return float(values.std(ddof=1) / np.sqrt(values.size)) if values.size > 1 else float("nan")


# ---- number


def numbers_made(judged: Judged, compactness: float) -> dict[str, tuple[Floats, int]]:
    """Real / asked-for numbers (images, numbers asked for) of each group of images, and the maps that are not sound."""
    images = list(images_to_ask(judged.data, list(judged.names)))
    with _workers(judged.processes) as each:
        found = list(each(partial(_ratios, judged, compactness), images))
    groups = {}
    for group in dict.fromkeys(image.group for image in images):
        inside = np.array([one for image, one in zip(images, found, strict=True) if image.group == group])
        groups[group] = inside[:, :, 0], int(np.count_nonzero(inside[:, :, 1] == 0))
    return groups


def _print_numbers(judged: Judged, compactness: float) -> None:
    print(f"{judged.algorithm}, compactness {compactness:g}: real / asked-for number of superpixels,")
    print(f"  {_ordinals()} percentile; bad: maps with gaps, or with a superpixel in two places")
    print(f"  {'images':<41}{''.join(f'{number:>9} asked for' for number in judged.numbers)}  bad")
    for group, (ratios, wrong) in numbers_made(judged, compactness).items():
        cells = "".join(f"{_percentiles(column):>19}" for column in ratios.T)
        print(f"  {len(ratios):>3} {group:<37}{cells}  {wrong:>3}")


def _number_lines(judged: Judged, compactness: float) -> Iterator[Line]:
    for group, (ratios, wrong) in numbers_made(judged, compactness).items():
        for number, column in zip(judged.numbers, ratios.T, strict=True):
            what = f"real / asked-for number, {_ordinals()} percentile: {len(ratios)} x {group}, {number} asked for"
            yield Line(what, _percentiles(column))
        if wrong:
            yield Line(f"maps of {group} with gaps, or with a superpixel in two places", f"{wrong}", "0", False)


def _percentiles(ratios: Floats) -> str:
    return " ".join(f"{value:.2f}" for value in np.percentile(ratios, PERCENTILES))


def _ordinals() -> str:
    return f"{PERCENTILES[0]}th, {PERCENTILES[1]}th, and {PERCENTILES[2]}th"


def _ratios(judged: Judged, compactness: float, asked: Asked) -> list[tuple[float, bool]]:
    cut = algorithm_of(judged.algorithm)
    return [ratio_of(cut, asked, number, compactness) for number in judged.numbers]


# ---- outlines


def _of_number(image: Annotated, request: int, number: int, compactness: float) -> NDArray[np.integer[Any]]:
    """Superpixels of scikit-image, asked for a little more or less until their number is nearest."""
    tried: dict[int, NDArray[np.integer[Any]]] = {}
    while request not in tried and len(tried) < 8:
        tried[request] = skimage_slic(image.pixels, None, request, compactness)
        request = max(1, round(request * number / number_of(tried[request])))
    return min(tried.values(), key=lambda regions: abs(number_of(regions) - number))


def _outlined(pixels: NDArray[np.uint8], regions: NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
    from skimage.segmentation import mark_boundaries

    large = [array.repeat(ENLARGED, axis=0).repeat(ENLARGED, axis=1) for array in (pixels, regions)]
    outlined = mark_boundaries(large[0], large[1], color=(1, 0.9, 0), mode="inner")
    return np.pad((255 * outlined).astype(np.uint8), ((0, 0), (0, 4), (0, 0)))


# ---- shared


@contextmanager
def _workers(count: int) -> Iterator[Callable[..., Iterable[Any]]]:
    """A map over processes; over this one for one process."""
    if count <= 1:
        yield map
        return
    with ProcessPoolExecutor(count, get_context("spawn")) as pool:
        yield partial(pool.map, chunksize=1)


def _spread(names: Sequence[str], count: int | None) -> list[str]:
    """Evenly spread ones; None = all."""
    if count is None or count >= len(names):
        return list(names)
    return [names[place * len(names) // count] for place in range(count)]


if __name__ == "__main__":
    main()
