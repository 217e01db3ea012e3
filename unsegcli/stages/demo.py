"""`unseg demo`: make a map of mosaics with known classes, compare it with its floors, and name the best one.

The textures are photographs from scikit-image; each step runs a command that a user could type.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unsegcli import console, store
from unsegcli.core.mosaic import mosaic
from unsegcli.core.palette import palette
from unsegcli.dataflow.commands import run_command
from unsegcli.errors import DataError
from unsegcli.params import MAP_CLASSES, Demo, Run

# class -> function that loads its texture from scikit-image
TEXTURES: dict[str, Callable[[], NDArray[np.uint8]]] = {
    "brick": lambda: _photograph("brick"),
    "grass": lambda: _photograph("grass"),
    "gravel": lambda: _photograph("gravel"),
    "tissue": lambda: _photograph("immunohistochemistry"),
    "stars": lambda: _photograph("hubble_deep_field"),
    "fur": lambda: _photograph("chelsea")[:, 60:400],  # the cat without the background
}
COMMANDS = (
    "map data --seed {seed} -o map",
    "cluster map/superpixels.h5 --classes {classes} --seed {seed} -o regions.h5",
    "cluster data --features bands --classes {classes} --seed {seed} -o pixels.h5",
    "evaluate map/segmentation.h5 --many-to-one --named-on even -o metrics.h5",
    "evaluate regions.h5 --many-to-one --named-on even -o regions-metrics.h5",
    "evaluate pixels.h5 --many-to-one --named-on even -o pixels-metrics.h5",
)
OF_THE_BEST = ("relabel {map} --metrics {metrics} -o named.h5", "visualize named.h5 -o report")
# metrics -> what was scored
SCORED = {
    "metrics.h5": "learned",
    "regions-metrics.h5": "k-means on regions",
    "pixels-metrics.h5": "k-means on blurred pixels",
}
MAPS = {"metrics.h5": "map/segmentation.h5", "regions-metrics.h5": "regions.h5", "pixels-metrics.h5": "pixels.h5"}
REPORT = "report"


def demo(params: Demo | None = None, run: Run | None = None) -> Path:
    """Make labelled mosaics in a folder, run the main commands on them, and return the folder.

    Args:
        params: number and size of the mosaics, and their seed.
        run: the folder; created if needed; it must not hold files from anything but a demo.
    """
    params, folder = params or Demo(), Path((run or Run()).of("demo").output)
    _write_mosaics(folder / "data", params)
    for command in COMMANDS:
        run_command(shlex.split(command.format(classes=MAP_CLASSES, seed=params.seed)), folder)
    best = best_of(scores_in(folder))
    for command in OF_THE_BEST:
        run_command(shlex.split(command.format(map=MAPS[best], metrics=best)), folder)
    return folder


def scores_in(folder: Path) -> dict[str, Any]:
    """Read what `evaluate` wrote: metrics -> scores, protocol and all else."""
    found = {}
    for name in SCORED:
        with store.open_artifact(folder / name, "metrics") as artifact:
            found[name] = json.loads(bytes(artifact.table("scores")))
    return found


def best_of(found: Mapping[str, Any]) -> str:
    """Return the metrics of the most accurate map; of equal ones, the first."""
    return max(found, key=lambda name: float(found[name]["scores"]["accuracy"]))


def compared(scores: Mapping[str, Mapping[str, float]]) -> str:
    """Say in one sentence whether the first of several scored maps is better than the others, by accuracy and mIoU."""
    text = {what: f"{what} {one['accuracy']:.3f} / {one['miou']:.3f}" for what, one in scores.items()}
    (first, own), *others = scores.items()
    better = [what for what, one in others if all(own[name] > one[name] for name in ("accuracy", "miou"))]
    verdict = (
        "better than" if len(better) == len(others) else "not better than both of" if better else "not better than"
    )
    return f"accuracy / mIoU: {text[first]}, {verdict} {' and '.join(text[what] for what, _ in others)}"


def _write_mosaics(folder: Path, params: Demo) -> None:
    """Write images, labels and legend; raise an error if the folder holds other files."""
    textures = [make() for make in TEXTURES.values()]
    files = {"classes.toml": _legend()}
    with console.progress(params.mosaics, "mosaics") as bar:
        for number in range(params.mosaics):
            image, labels = mosaic(textures, params.side, np.random.default_rng([params.seed, number]))
            files[f"images/mosaic{number:03d}.png"] = _png(image)
            files[f"labels/mosaic{number:03d}.png"] = _png(labels)
            bar.update()
    strangers = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - files.keys()
    if strangers:
        raise DataError(f"{folder}: holds {min(strangers)}, which is not from a demo; use another folder with -o")
    for name, content in files.items():
        path = folder / name
        if path.exists() and path.read_bytes() == content:
            continue  # keep its modification time, so that later steps are not repeated
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    console.note(f"{params.mosaics} labelled mosaics are in {folder}")


def _photograph(name: str) -> NDArray[np.uint8]:
    from skimage import data

    pixels: NDArray[np.uint8] = getattr(data, name)()
    return pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)


def _legend() -> bytes:
    rows = [
        f'[[class]]\nname = "{name}"\ncolor = "#{red:02x}{green:02x}{blue:02x}"\nfrom = [{number}]\n'
        for number, (name, (red, green, blue)) in enumerate(zip(TEXTURES, palette(len(TEXTURES)).tolist(), strict=True))
    ]
    return "\n".join(rows).encode()


def _png(pixels: NDArray[np.uint8]) -> bytes:
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()
