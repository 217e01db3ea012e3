"""What storing and scheduling cost on top of the algorithm, in CPU seconds."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from bench_common import UNSEG, Line, cost_of, finished, listed, median, start, write_photographs

SIDE = 512
SEGMENTS = 1311  # what --pixels-per-segment 200 gives
TARGET = 1.08
LOOP = Path(__file__).with_name("bench_loop.py")


def measure(folder: Path, quick: bool) -> list[Line]:
    """Loops and command in turns; ratios are taken round by round, so that a slow minute weighs on both sides."""
    count, rounds = (40, 1) if quick else (400, 3)
    write_photographs(folder / "pictures", count, SIDE)
    user, own, unseg = [], [], []
    for number in range(rounds):
        if number % 2:
            unseg.append(_unseg(folder))
        loops = _both_loops(folder)
        user.append(loops["start"] + loops["decode"] + loops["skimage"])
        own.append(loops["start"] + loops["decode"] + loops["own"])
        if not number % 2:
            unseg.append(_unseg(folder))
    what = f"{count} images of {SIDE} x {SIDE}, {SEGMENTS} segments, {rounds} rounds, CPU s with all children"
    return [
        Line(f"loop of scikit-image's slic; {what}", listed(user, ".1f")),
        Line("loop of unsegcli.core.superpixels.slic; the same", listed(own, ".1f")),
        Line("unseg superpixels --workers 2; the same", listed(unseg, ".1f")),
        Line(
            "last round, CPU s of the loops: start of one process, decoding, scikit-image's slic, our slic",
            listed([loops[part] for part in ("start", "decode", "skimage", "own")], ".1f"),
        ),
        _ratio("unseg / loop of scikit-image's slic: what the user sees", unseg, user, TARGET),
        _ratio("unseg / loop of our slic: storing and scheduling alone", unseg, own, TARGET),
        _ratio("loop of our slic / loop of scikit-image's slic", own, user),
    ]


def _both_loops(folder: Path) -> dict[str, float]:
    """CPU seconds by part. Two processes with half of the images each, as `unseg` with two workers has them."""
    command = [sys.executable, str(LOOP), "pictures", str(SEGMENTS)]
    running = [start([*command, first, "2"], folder) for first in ("0", "1")]
    one, other = [json.loads(finished(*child).output) for child in running]
    # A plain loop starts one process only.
    return {part: one[part] + other[part] for part in one} | {"start": (one["start"] + other["start"]) / 2}


def _unseg(folder: Path) -> float:
    cost = cost_of([UNSEG, "superpixels", "pictures", "-o", "out.h5", "--workers", "2"], folder)
    (folder / "out.h5").unlink()
    return cost.cpu


def _ratio(what: str, above: list[float], below: list[float], target: float | None = None) -> Line:
    ratios = [a / b for a, b in zip(above, below, strict=True)]
    figure = f"{median(ratios):.3f} ({listed(ratios)})"
    if target is None:
        return Line(what, figure)
    return Line(what, figure, f"<= {target:.2f}", median(ratios) <= target)
