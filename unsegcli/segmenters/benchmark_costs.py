"""Estimate how long the commands of a benchmark take, from the sizes of the images.

The figures are of tests/benchmarks/bench_benchmark.py: processor seconds of one thread, scaled by a trial of this
machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from unsegcli.params import Benchmark, Images, Inputs
from unsegcli.segmenters.map_costs import Sizes, sizes_of, slowness

# name -> seconds to start, of each image, and of each megapixel
COSTS: Mapping[str, tuple[float, float, float]] = {
    "superpixels": (2.5, 0.002, 0.18),
    "pixels": (1.5, 0.004, 0.38),
    "regions": (3.0, 0.01, 0.45),
    "features": (5.0, 0.01, 0.9),
    "vectors": (8.0, 0.02, 0.6),
    "network": (4.0, 0.01, 0.2),
    "proposals": (3.0, 0.06, 0.35),
    "probe": (4.0, 0.01, 3.2),
    "evaluate": (0.7, 0.003, 0.01),
}
# method -> seconds to start, and of each step
TRAININGS: Mapping[str, tuple[float, float]] = {
    "context": (19.0, 0.17),
    "iic": (6.0, 0.41),
    "infoseg": (14.0, 0.4),
    "inmars": (14.0, 0.54),
    "maskcontrast": (6.0, 2.7),
}
OWN = (10.0, 0.5)  # a guess
CROPS, EPOCHS, MIN_STEPS = 12, 15, 200  # of the trainings, by default
CONTEXT_STEPS = 300
START = 5.0  # seconds of a training limited by --minutes, besides these
# method -> processor seconds of one thread for a megapixel that is learned from, with the network of its paper: by a
# few steps of its preset; maskcontrast by its number of operations
PAPER_SECONDS: Mapping[str, float] = {
    "iic": 85.0,
    "infoseg": 70.0,
    "inmars": 60.0,
    "maskcontrast": 200.0,
    "iem-segnet": 18.0,
}
DEFAULT_SECONDS = 1.5  # for an image, of other methods and settings
HOURS_WITHOUT_GPU = 24.0  # of one processor; above, a GPU is needed


def hours_of(method: str, images: int, settings: Mapping[str, Any]) -> float | None:
    """Return about how many processor hours a published row takes with one seed, to two digits; None = not known.

    Args:
        method: what is trained.
        images: how many there are; 0 = not known.
        settings: those of the preset; empty = the defaults.
    """
    if not images:
        return None
    seconds = DEFAULT_SECONDS * images
    if method in PAPER_SECONDS and "epochs" in settings:
        side = settings.get("view", settings["crop"])
        seconds = images * settings["epochs"] * side**2 / 1e6 * PAPER_SECONDS[method]
    return _two_digits(seconds / 3600)


def hours_said(hours: float) -> str:
    """Format hours that are a guess, with two digits: "3.6 hours", "1,300 hours"."""
    return f"{_two_digits(hours):,g} hours"


def _two_digits(number: float) -> float:
    return float(f"{number:.2g}")


def sizes_in(images: Sequence[Path], limit: int | None) -> Sizes:
    """Measure the images of a set."""
    return sizes_of(Inputs(images, Images(), limit=limit))


def seconds_of(costs: Iterable[str], sizes: Sizes, params: Benchmark) -> float:
    """Return about how many processor seconds commands take.

    Args:
        costs: of each command: a name in COSTS, or `train` and a method.
        sizes: of the images.
        params: the length of trainings.
    """
    return sum(_seconds(cost, sizes, params) for cost in costs)


def _seconds(cost: str, sizes: Sizes, params: Benchmark) -> float:
    kind, _, method = cost.partition(" ")
    if kind != "train":
        start, image, megapixel = COSTS[kind]
        return start + image * sizes.windows + megapixel * sizes.pixels / 1e6
    if params.minutes:
        return START + 60 * params.minutes
    start, step = TRAININGS.get(method, OWN)
    least = CONTEXT_STEPS if method == "context" else MIN_STEPS
    return start + step * (params.steps or max(least, EPOCHS * sizes.windows / CROPS))


def said(seconds: Sequence[float]) -> str:
    """Describe processor time in all."""
    total = sum(seconds) * (slowness() or 1.0)
    if total < 90:
        return f"about {max(5, 5 * round(total / 5))} seconds of one processor"
    minutes = total / 60
    time = f"{minutes:.0f} minutes" if minutes < 90 else f"{minutes / 60:.1f} hours"
    return f"about {time} of one processor"
