"""Speed of superpixels: the function beside other packages on one core, and the command beside a pool."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from bench_common import UNSEG, Cost, Line, cost_of, listed, median, write_photographs

SIDE = 512
SEGMENTS = 1311  # what --pixels-per-segment 200 gives
PROCESSES = 2
OF_FUNCTION, OF_COMMAND = 5.0, 3.0  # lowest acceptable ratios
LOOP, POOL = (Path(__file__).with_name(name) for name in ("bench_loop.py", "bench_pool.py"))


def measure(folder: Path, quick: bool) -> list[Line]:
    """Sides in turns; ratios are taken round by round, so that a slow minute weighs on both."""
    count, rounds = (20, 1) if quick else (200, 3)
    write_photographs(folder / "images", count, SIDE)
    cost_of([UNSEG, "superpixels", "images", "--limit", "1", "-o", "warm.h5", "--force"], folder)  # compiles once
    loops = [json.loads(cost_of([sys.executable, str(LOOP), "images", str(SEGMENTS)], folder).output)]
    pool, unseg = [], []
    for number in range(rounds):
        sides = [(pool, _pool), (unseg, _unseg)]
        for costs, run in sides if number % 2 else sides[::-1]:
            costs.append(run(folder))
    what = f"{count} images of {SIDE} x {SIDE}, {SEGMENTS} segments"
    return [*_functions(loops[0], count), *_commands(pool, unseg, what)]


def _functions(loop: dict[str, dict[str, float]], count: int) -> list[Line]:
    """One line a package: milliseconds an image, superpixels made, and how many times ours is faster."""
    seconds, made = loop["seconds"], loop["counts"]
    lines = [Line("decoding, ms of CPU an image", f"{1000 * seconds['decode'] / count:.1f}")]
    for name in made:
        ratio = seconds[name] / seconds["unsegcli"]
        figure = f"{1000 * seconds[name] / count:.1f} ({made[name]:.0f}), {ratio:.2f}"
        what = f"slic of {name} on one core: ms of CPU an image (superpixels), over that of unsegcli"
        if name == "scikit-image":
            lines.append(Line(what, figure, f">= {OF_FUNCTION:g}", ratio >= OF_FUNCTION))
        else:
            lines.append(Line(what, figure))
    return lines


def _commands(pool: list[Cost], unseg: list[Cost], what: str) -> list[Line]:
    """Wall and CPU seconds of both sides, and their ratio."""
    ratios = [one.wall / other.wall for one, other in zip(pool, unseg, strict=True)]
    return [
        Line(f"pool of scikit-image's slic, {PROCESSES} processes; {what}; wall s", _listed(pool, "wall")),
        Line(f"unseg superpixels --workers {PROCESSES}; the same", _listed(unseg, "wall")),
        Line("the pool in CPU s with all children", _listed(pool, "cpu")),
        Line("unseg in CPU s with all children", _listed(unseg, "cpu")),
        Line(
            "pool / unseg, wall",
            f"{median(ratios):.2f} ({listed(ratios, '.2f')})",
            f">= {OF_COMMAND:g}",
            median(ratios) >= OF_COMMAND,
        ),
    ]


def _listed(costs: list[Cost], field: str) -> str:
    return listed([getattr(cost, field) for cost in costs], ".1f")


def _pool(folder: Path) -> Cost:
    return cost_of([sys.executable, str(POOL), "images", str(SEGMENTS), str(PROCESSES)], folder)


def _unseg(folder: Path) -> Cost:
    cost = cost_of([UNSEG, "superpixels", "images", "-o", "out.h5", "--workers", str(PROCESSES)], folder)
    (folder / "out.h5").unlink()
    return cost
