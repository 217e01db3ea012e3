"""Whether borders between windows show: superpixels there, and labels of images that are cut beside the same uncut.

    python tests/benchmarks/bench_seams.py superpixels --data FOLDER --cache FOLDER
    python tests/benchmarks/bench_seams.py labels --data FOLDER --cache FOLDER

The folder has images/NAME.* and, for `superpixels`, labels/NAME.png, whose borders are to be found; 255 = ignored.
Windows overlap as those of large rasters do, but are small, so that there are many borders: --patch 384 --stride 256.
A result is painted back by the middles of the windows, so borders lie in the middles of overlaps.

`superpixels` scores strips of 32 pixels on both sides of these borders, and the rest, on the image that was cut into
windows and on the same image as one window. The borders themselves, with the pixels within the tolerance, are left out:
there a superpixel ends in any case. `of one` paints each strip from the window to its left (or above) alone, so that no
superpixel ends at a border, and they are as many as in one window.

`labels` assigns clusters that were fitted once, on the uncut image, to the image as one window and in windows, and
prints the share of pixels that get another cluster, over the whole image, in the strips, and elsewhere. `fitted anew`
fits on the windows instead, and matches clusters one to one. `moved` assigns the same clusters to the image as one
window without its first 5 rows and columns: what any other division into superpixels changes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from bench_common import Line
from numpy.typing import NDArray
from PIL import Image

from unsegcli.core.geometry import Box, cores, paint_rows
from unsegcli.core.scoring.matching import one_to_one
from unsegcli.core.scoring.superpixel_scores import border_scores
from unsegcli.dataflow.dataset import dataset_from_artifact
from unsegcli.dataflow.label_maps import StoredMap, open_predictions
from unsegcli.store import open_artifact

PATCH, STRIDE = 384, 256
STRIP = 32  # pixels on both sides of a border
MOVED = 5  # rows and columns that are cut off
TOLERANCE = 2  # pixels, of the boundary recall
IGNORED = 255
NETWORKS = {  # options of training: few steps, since only what windows change is of interest
    "iic": ("--steps", "60", "--set", "crop=96", "--set", "batch=8"),
    "inmars": ("--steps", "60", "--set", "crop=128", "--set", "batch=4"),
    "infoseg": ("--steps", "60", "--set", "crop=128", "--set", "batch=4"),
    "context": ("--steps", "150"),
}
PER = {"iic": ("--per", "pixel")}  # others see superpixels, or give them one cluster
GIVEN = ("whole", "cut", "moved")  # the images, each of which gets the same clusters
METHODS = ("regions", "pixels", "features", *NETWORKS)
ALLOWED_LOSS = 0.01  # of recall and accuracy along borders, more than elsewhere

Map = NDArray[np.int64]


def measure(folder: Path, quick: bool) -> list[Line]:
    """What run.py prints: scores of superpixels along borders, if UNSEG_SEAMS names a folder of images and labels."""
    data = os.environ.get("UNSEG_SEAMS")
    if not data:
        return [Line("superpixels along borders: UNSEG_SEAMS names no folder of images and labels", "-")]
    return superpixels(Path(data), folder, 2 if quick else None)


def main() -> None:
    """Print the tables that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("superpixels", "labels"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True, help="folder for what is computed, which is kept")
    parser.add_argument("--images", type=int, help="the first ones alone")
    parser.add_argument("--classes", type=int, default=6)
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--train", type=Path, help="superpixels that networks learn from, instead of the images")
    asked = parser.parse_args()
    asked.cache.mkdir(parents=True, exist_ok=True)
    if asked.part == "superpixels":
        lines = superpixels(asked.data, asked.cache, asked.images)
    else:
        lines = labels(asked.data, asked.cache, asked.images, asked)
    for line in lines:
        print(f"{line.figure:>24}  {line.what}")


def unseg(*words: str | Path) -> None:
    """Run a command; raise if it fails."""
    command = [sys.executable, "-m", "unsegcli", *map(str, words), "--quiet"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)


def images_in(data: Path, count: int | None) -> list[Path]:
    """The images of a folder, in order."""
    return sorted((data / "images").iterdir())[:count]


# ---- superpixels


def superpixels(data: Path, work: Path, count: int | None) -> list[Line]:
    """Boundary recall, undersegmentation error and accuracy along borders and elsewhere, means over images."""
    found = np.array([_scores(data, image, work) for image in images_in(data, count)])  # (image, place, way, measure)
    lines = []
    for number, name in enumerate(("boundary recall", "undersegmentation error", "achievable accuracy", "a megapixel")):
        means = np.nanmean(found[..., number], axis=0)
        for place, where in enumerate((f"strips of {2 * STRIP} px along borders of windows", "the rest")):
            lines.append(
                Line(f"{name}, {where}: one window, windows, of one", "{:.4f}  {:.4f}  {:.4f}".format(*means[place]))
            )
        each = found[:, :, 1, number] - found[:, :, 0, number]
        apart = each[:, 0] - each[:, 1]
        error = np.nanstd(apart) / np.sqrt(len(apart))
        worse = np.nanmean(apart) * (1 if number == 1 else -1)
        held = bool(worse <= ALLOWED_LOSS) if number < 3 else None
        target = f"<= {ALLOWED_LOSS} worse" if number < 3 else ""
        lines.append(
            Line(
                f"{name}: change along borders less that elsewhere",
                f"{np.nanmean(apart):+.4f} ±{error:.4f}",
                target,
                held,
            )
        )
    return lines


def _scores(data: Path, image: Path, work: Path) -> NDArray[np.float64]:
    """Scores (place, way, measure) of one image: along borders or elsewhere; as one window, several, or `of one`."""
    truth = np.asarray(Image.open(data / "labels" / f"{image.stem}.png")).astype(np.int64)
    truth[truth == IGNORED] = -1
    windows = windows_of(image, work, PATCH, STRIDE)
    near = along_borders(windows, truth.shape)
    truth[along_borders(windows, truth.shape, TOLERANCE + 1)] = -1
    ways = [superpixels_of(image, work, *cut) for cut in ((0, 0, 0), (PATCH, STRIDE, 0), (PATCH, STRIDE, STRIP))]
    return np.array([[_scores_in(one, truth, place) for one in ways] for place in (near, ~near)])


def _scores_in(found: Map, truth: Map, place: NDArray[np.bool_]) -> tuple[float, ...]:
    one = border_scores(found, [np.where(place, truth, -1)], TOLERANCE)[0]
    density = len(np.unique(found[place])) / place.sum() * 1e6
    return one.boundary_recall, one.undersegmentation, one.achievable_accuracy, density


def artifact_of(image: Path, work: Path, patch: int, stride: int) -> Path:
    """Superpixels of an image that is cut into windows; they are kept."""
    output = work / f"{image.stem}-{patch}-{stride}.h5"
    unseg("superpixels", image, "--patch", str(patch), "--stride", str(stride), "--workers", "1", "-o", output)
    return output


def windows_of(image: Path, work: Path, patch: int, stride: int) -> list[Box]:
    return [window.box for window in dataset_from_artifact(artifact_of(image, work, patch, stride)).units[0].windows()]


def superpixels_of(image: Path, work: Path, patch: int, stride: int, moved: int) -> Map:
    """The superpixels of an image (height, width), painted by the middles of its windows, or beside them; -1 = none."""
    windows = dataset_from_artifact(artifact_of(image, work, patch, stride)).units[0].windows()
    maps, start = [], 0
    for window in windows:
        numbers = window.superpixels.astype(np.int64)
        maps.append(np.where(numbers < 0, -1, numbers + start))
        start += int(numbers.max()) + 1
    grid = windows[0].grid
    owned = [_moved(core, grid, moved) for core in cores([window.box for window in windows])]
    return paint_rows(maps, [window.box for window in windows], owned, np.arange(grid[0]), np.arange(grid[1]))


def _moved(core: Box, grid: tuple[int, int], pixels: int) -> Box:
    """Move the borders of a core that are not those of the image down and to the right."""
    top, left = core.top and core.top + pixels, core.left and core.left + pixels
    bottom, right = min(grid[0], core.bottom + pixels), min(grid[1], core.right + pixels)
    return Box(top, left, bottom - top, right - left)


def along_borders(boxes: Sequence[Box], shape: Sequence[int], reach: int = STRIP) -> NDArray[np.bool_]:
    """Where pixels lie at most so far from a border between the cores of windows."""
    near = np.zeros(tuple(shape), np.bool_)
    for core in cores(boxes):
        if core.top:
            near[max(0, core.top - reach) : core.top + reach] = True
        if core.left:
            near[:, max(0, core.left - reach) : core.left + reach] = True
    return near


# ---- labels


def labels(data: Path, work: Path, count: int | None, settings: argparse.Namespace) -> list[Line]:
    """The share of pixels that get another cluster in windows than in one window, by method."""
    images = images_in(data, count)
    cuts = {"whole": ("0", "0"), "cut": (str(PATCH), str(STRIDE))}
    for name, (patch, stride) in cuts.items():
        unseg("superpixels", *images, "--patch", patch, "--stride", stride, "-o", work / f"{name}.h5")
    unseg("superpixels", *_moved_images(images, work / "moved"), "-o", work / "moved.h5")
    lines = []
    for method in settings.methods:
        _clusters_by(method, work, settings)
        lines.append(_changes(method, "", work / f"{method}-whole.h5", work / f"{method}-cut.h5"))
        lines.append(_change_by_moving(method, work / f"{method}-whole.h5", work / f"{method}-moved.h5"))
        anew = work / f"{method}-anew.h5"
        if anew.exists():
            lines.append(_changes(method, ", fitted anew", work / f"{method}-whole.h5", anew))
    return lines


def _clusters_by(method: str, work: Path, settings: argparse.Namespace) -> None:
    """Write METHOD-whole.h5, -cut.h5 and -moved.h5: clusters fitted once; and METHOD-anew.h5, fitted on the windows."""
    outputs = {name: work / f"{method}-{name}.h5" for name in (*GIVEN, "anew")}
    number = ("--classes", str(settings.classes))
    if method in NETWORKS:
        model = work / f"{method}-model.h5"
        learned = settings.train or work / "whole.h5"
        unseg("train", learned, "--method", method, *number, *NETWORKS[method], "--force", "-o", model)
        for name in GIVEN:
            unseg("cluster", model, work / f"{name}.h5", *PER.get(method, ()), "-o", outputs[name])
        return
    inputs = {name: work / f"{name}.h5" for name in GIVEN}
    if method == "features":
        for name in inputs:
            unseg("features", inputs[name], "--backbone", "lite0", "--resize", "1", "-o", work / f"{name}-features.h5")
        inputs = {name: work / f"{name}-features.h5" for name in inputs}
    how = ("--features", "bands") if method == "pixels" else ()
    unseg("cluster", inputs["whole"], *how, *number, "-o", outputs["whole"])
    for name in ("cut", "moved"):
        unseg("cluster", inputs[name], "--centres", outputs["whole"], "-o", outputs[name])
    unseg("cluster", inputs["cut"], *how, *number, "-o", outputs["anew"])


def _changes(method: str, how: str, whole: Path, cut: Path) -> Line:
    """The share of pixels of other clusters, matched one to one if they were fitted anew, over all images."""
    pairs = [
        (one.on(one.grid), other.on(one.grid), _near_borders(other))
        for one, other in zip(open_predictions(whole).maps, open_predictions(cut).maps, strict=True)
    ]
    first, second, near = (np.concatenate([pair[at].ravel() for pair in pairs]) for at in range(3))
    known = (first >= 0) & (second >= 0)
    first, second, near = first[known], second[known], near[known]
    most = int(max(first.max(), second.max())) + 1
    matrix = np.bincount(second * most + first, minlength=most * most).reshape(most, most)
    if how:
        second = one_to_one(matrix)[second]
    other = first != second
    shares = [other.mean(), other[near].mean(), other[~near].mean(), matrix.sum(axis=0).max() / matrix.sum()]
    what = f"{method}{how}: other cluster, along borders, elsewhere; share of the largest cluster"
    return Line(what, "  ".join(f"{100 * share:.2f} %" for share in shares))


def _moved_images(images: Sequence[Path], folder: Path) -> list[Path]:
    """Write the images without their first rows and columns, under the same names."""
    folder.mkdir(exist_ok=True)
    found = [folder / f"{image.stem}.png" for image in images]
    for image, path in zip(images, found, strict=True):
        Image.fromarray(np.asarray(Image.open(image))[MOVED:, MOVED:]).save(path)
    return found


def _change_by_moving(method: str, whole: Path, moved: Path) -> Line:
    """The share of pixels of other clusters, over all images."""
    pairs = zip(open_predictions(whole).maps, open_predictions(moved).maps, strict=True)
    other = [(one.on(one.grid)[MOVED:, MOVED:] != two.on(two.grid)).ravel() for one, two in pairs]
    return Line(f"{method}, moved: other cluster", f"{100 * np.concatenate(other).mean():.2f} %")


def _near_borders(cut: StoredMap) -> NDArray[np.bool_]:
    with open_artifact(cut.path) as artifact:
        boxes = [Box(*map(int, artifact.table("windows/box")[row])) for row in cut.rows]
    return along_borders(boxes, cut.grid)


if __name__ == "__main__":
    main()
