"""`unseg demo`: make a map of mosaics with known classes, show it beside its floors with scores, and name the best one.

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
from unsegcli.core.palette import class_colors
from unsegcli.dataflow.commands import run_command
from unsegcli.errors import DataError
from unsegcli.params import MAP_CLASSES, Demo, Run
from unsegcli.store.durable import make_folders, rename_durably

# class -> function that loads its texture from scikit-image
TEXTURES: dict[str, Callable[[], NDArray[np.uint8]]] = {
    "brick": lambda: _photograph("brick"),
    "grass": lambda: _photograph("grass"),
    "gravel": lambda: _photograph("gravel"),
    "tissue": lambda: _photograph("immunohistochemistry"),
    "stars": lambda: _photograph("hubble_deep_field"),
    "fur": lambda: _photograph("chelsea")[:, 60:400],  # the cat without the background
}
MAPS = {"metrics.h5": "map/segmentation.h5", "regions-metrics.h5": "regions.h5", "pixels-metrics.h5": "pixels.h5"}
REPORT = "report"
COMMANDS = (
    "map data --seed {seed} -o map",
    "cluster map/superpixels.h5 --classes {classes} --seed {seed} -o regions.h5",
    "cluster data --features bands --classes {classes} --seed {seed} -o pixels.h5",
    *(f"evaluate {result} --many-to-one --named-on even -o {metrics}" for metrics, result in MAPS.items()),
    f"visualize {' '.join(MAPS.values())} {' '.join(f'--metrics {metrics}' for metrics in MAPS)} -o {REPORT}",
)
NAMING = "relabel {map} --metrics {metrics} -o named.h5"  # of the most accurate map
# metrics -> what was scored
SCORED = {
    "metrics.h5": "learned",
    "regions-metrics.h5": "k-means on regions",
    "pixels-metrics.h5": "k-means on blurred pixels",
}
COMPARED = ("accuracy", "miou")
UNFINISHED = "unfinished.tmp"


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
    run_command(shlex.split(NAMING.format(map=MAPS[best], metrics=best)), folder)
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


def compared(found: Mapping[str, Any]) -> str:
    """Say in one sentence how the first of several scored maps compares with each of the others.

    Args:
        found: what was scored -> what `evaluate` wrote.
    """
    scores = {what: " / ".join(f"{one['scores'][name]:.3f}" for name in COMPARED) for what, one in found.items()}
    (first, own), *others = found.items()
    verdicts = [f"{_verdict(own, one)} {what} {scores[what]}" for what, one in others]
    return f"accuracy / mIoU: {first} {scores[first]}; {'; '.join(verdicts)}"


def _verdict(own: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Say which is better; neither is, unless it has the higher scores and no score is in the other's interval."""
    if any(_may_be(own, other, name) or _may_be(other, own, name) for name in COMPARED):
        return "about as good as"
    higher = {own["scores"][name] > other["scores"][name] for name in COMPARED}
    return "about as good as" if len(higher) == 2 else "better than" if higher.pop() else "worse than"


def _may_be(one: Mapping[str, Any], other: Mapping[str, Any], name: str) -> bool:
    """Whether the score of one lies inside the interval of the other, or there is no interval."""
    low, high = other["interval"].get(name) or (None, None)
    return low is None or high is None or bool(low <= one["scores"][name] <= high)


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
        make_folders(path.parent)
        temporary = folder.with_name(UNFINISHED)  # not among the images
        temporary.write_bytes(content)
        rename_durably(temporary, path)
    console.note(f"{params.mosaics} labelled mosaics are in {folder}")


def _photograph(name: str) -> NDArray[np.uint8]:
    from skimage import data

    pixels: NDArray[np.uint8] = getattr(data, name)()
    return pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)


def _legend() -> bytes:
    colors = class_colors(list(TEXTURES), [""] * len(TEXTURES))
    rows = [
        f'[[class]]\nname = "{name}"\ncolor = "{color}"\nfrom = [{number}]\n'
        for number, (name, color) in enumerate(zip(TEXTURES, colors, strict=True))
    ]
    return "\n".join(rows).encode()


def _png(pixels: NDArray[np.uint8]) -> bytes:
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()
