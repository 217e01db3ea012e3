"""`unseg demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unsegcli.cli._command import Takes, command
from unsegcli.params import Demo, Inputs, Run, Terminal


def _show(folder: Path, run: Run, terminal: Terminal) -> None:
    import json

    from unsegcli import console
    from unsegcli.cli.evaluate import show_scores
    from unsegcli.stages.demo import REPORT, SCORED, compared
    from unsegcli.store import open_artifact

    found = {}
    for name, what in SCORED.items():
        with open_artifact(folder / name) as artifact:
            found[what] = json.loads(bytes(artifact.table("scores")))
        console.note(f"{what}:")
        show_scores(found[what])
    console.note(compared({what: one["scores"] for what, one in found.items()}))
    console.note(f"open {folder / REPORT / 'index.html'}")
    print(folder / REPORT)


@command("demo", Demo, Takes(argument="", run=("output",), terminal=("quiet", "verbose")), _show)
def demo(inputs: Inputs, params: Demo, run: Run) -> Any:
    """Run all main steps on generated data.

    Trains on mosaics of real photographs with known classes; takes about a minute.
    """
    from unsegcli.stages.demo import demo as stage

    return stage(params, run)
