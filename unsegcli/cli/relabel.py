"""`unseg relabel`."""

from __future__ import annotations

from typing import Annotated

import typer

from unsegcli.cli import _options as options
from unsegcli.cli._guard import finish, guarded
from unsegcli.cli._inputs import resolve_inputs


@guarded
def relabel(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="INPUT",
            show_default=False,
            help="A segmentation, then rules: 3=water names cluster 3, 1+4=roof merges two. Without a file: the path "
            "on a pipe; else what the working folder has.",
        ),
    ] = None,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="The HDF5 file to write.")
    ] = "relabelled.h5",
    legend: options.LegendFile = None,
    metrics: options.Metrics = None,
    like: Annotated[
        str | None,
        typer.Option(
            "--like",
            metavar="FILE",
            show_default=False,
            help="Keep the numbers and names of an older segmentation of the same pictures, where clusters overlap.",
        ),
    ] = None,
    force: options.Force = False,
    skip_bad: options.SkipBad = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Name, merge or renumber clusters.

    Examples:  unseg relabel segmentation.h5 3=water 1+4=roof   |   unseg relabel --metrics metrics.h5
    """
    from unsegcli import console
    from unsegcli.errors import ConfigError
    from unsegcli.stages.relabel import relabel as run

    console.to_stderr(quiet=quiet, verbose=verbose)
    rules = [text for text in inputs or [] if "=" in text]
    files = resolve_inputs([text for text in inputs or [] if "=" not in text], "unseg relabel", kinds=("segmentation",))
    if len(files) > 1:
        raise ConfigError(f"relabel takes one segmentation at a time, {len(files)} are given")
    outcome = run(files[0], rules, output, legend=legend, metrics=metrics, like=like, force=force)
    finish(outcome, skip_bad=skip_bad)
