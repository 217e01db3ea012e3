"""How long a newcomer waits for help."""

from __future__ import annotations

from pathlib import Path

from bench_common import UNSEG, Line, cost_of, listed, median

TARGET = 0.200  # seconds


def measure(folder: Path, quick: bool) -> list[Line]:
    """Wall time of the installed script, after one run that fills the caches."""
    lines = []
    for arguments in (["--help"], ["superpixels", "--help"], ["--version"]):
        command = [UNSEG, *arguments]
        cost_of(command, folder)
        walls = [cost_of(command, folder).wall for _ in range(3 if quick else 10)]
        lines.append(
            Line(
                f"unseg {' '.join(arguments)}: wall time, median of {len(walls)} "
                f"(from {min(walls) * 1e3:.0f} to {max(walls) * 1e3:.0f})",
                f"{median(walls) * 1e3:.0f} ms",
                f"< {TARGET * 1e3:.0f} ms",
                median(walls) < TARGET,
            )
        )
    bare = [cost_of([str(Path(UNSEG).with_name("python")), "-c", ""], folder).wall for _ in range(len(walls))]
    lines.append(Line(f"python -c '': wall time, the floor ({listed(bare)} s)", f"{median(bare) * 1e3:.0f} ms"))
    return lines
