"""`unseg demo`."""

from __future__ import annotations

from typing import Annotated

import typer

from unsegcli.cli import _options as options
from unsegcli.cli._guard import guarded
from unsegcli.params import Demo


@guarded
def demo(
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FOLDER", help="The folder to work in.")
    ] = "unseg-demo",
    pictures: Annotated[
        int,
        typer.Option("--pictures", min=2, metavar="N", help="Mosaics to make. More take longer and say more."),
    ] = Demo.pictures,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Try everything, no data needed.

    It trains on mosaics of real photographs whose classes are known, and takes a few minutes.
    """
    import json

    from unsegcli import console
    from unsegcli.cli.evaluate import show_scores
    from unsegcli.stages import demo as stage
    from unsegcli.store import open_artifact

    console.to_stderr(quiet=quiet, verbose=verbose)
    folder = stage.demo(output, Demo(pictures=pictures))
    for name in stage.SCORED:
        with open_artifact(folder / name) as artifact:
            show_scores(json.loads(bytes(artifact.table("scores"))))
    console.note("pictures of the result, and a report as index.html, are in:")
    print(folder / stage.PICTURES)
