"""`unseg demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unsegcli.cli._command import Takes, command
from unsegcli.params import Demo, Inputs, Run, Terminal


def _show(folder: Path, run: Run, terminal: Terminal) -> None:
    from unsegcli import console
    from unsegcli.cli.evaluate import show_scores
    from unsegcli.stages.demo import REPORT, SCORED, best_of, compared, scores_in

    found = scores_in(folder)
    best = best_of(found)
    console.note(f"{SCORED[best]}:")
    show_scores(found[best])
    console.note(compared({SCORED[name]: one for name, one in found.items()}))
    console.note("better = both scores are higher, and none lies inside the other's 95 % interval")
    console.note(f"open {folder / REPORT / 'index.html'}, which shows all three with their scores")
    console.note("then map images of your own:  unseg map PHOTOS -o map")
    print(folder / REPORT)


@command("demo", Demo, Takes(argument="", run=("output",), terminal=("quiet", "verbose")), _show)
def demo(inputs: Inputs, params: Demo, run: Run) -> Any:
    """Try `unseg map` on generated data with known classes.

    Mosaics of real photographs; their map is named and scored beside its floors. Takes about a minute.
    """
    from unsegcli.stages.demo import demo as stage

    return stage(params, run)
