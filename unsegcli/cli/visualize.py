"""`unseg visualize`."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from unsegcli.cli import _options as options
from unsegcli.cli._guard import finish, guarded
from unsegcli.cli._inputs import resolve_inputs
from unsegcli.params import Visualize

PANEL = "Export"


@guarded
def visualize(
    given: Annotated[
        str | None,
        typer.Argument(
            metavar="INPUT",
            show_default=False,
            help="A file of `unseg cluster` or `unseg superpixels`, or a folder of label maps of any tool. Without it: "
            "the path on a pipe; else what the working folder has.",
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER",
            show_default="visualization, or export-labels, or export-csv",
            help="The folder to write.",
        ),
    ] = None,
    labels: options.Labels = None,
    no_labels: Annotated[
        bool, typer.Option("--no-labels", help="Leave ground truth out, even where it lies beside the pictures.")
    ] = False,
    legend: options.LegendFile = None,
    metrics: options.Metrics = None,
    images: options.Images = None,
    role: options.Role = None,
    export: Annotated[
        Literal["labels", "csv"] | None,
        typer.Option(
            "--export",
            rich_help_panel=PANEL,
            show_default=False,
            help="Instead of panels: label maps as plain grey files on the grid of each picture as shown, or a table "
            "with the area of each category in each picture.",
        ),
    ] = None,
    format: Annotated[
        Literal["png", "tiff"],
        typer.Option("--format", rich_help_panel=PANEL, help="Of exported label maps. tiff also holds more numbers."),
    ] = "png",
    limit: options.Limit = None,
    workers: options.Workers = 0,
    force: options.Force = False,
    dry_run: options.DryRun = False,
    skip_bad: options.SkipBad = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Show label maps: a panel for each picture, a contact sheet and a report; or export them for other programs.

    Examples:  unseg visualize segmentation.h5 --metrics metrics.h5   |   unseg visualize --export labels -o masks
    """
    from unsegcli import console
    from unsegcli.errors import ConfigError
    from unsegcli.stages.visualize import visualize as run

    console.to_stderr(quiet=quiet, verbose=verbose)
    inputs = resolve_inputs([given] if given else None, "unseg visualize", kinds=("segmentation", "superpixels"))
    if len(inputs) > 1:
        raise ConfigError(f"visualize takes one input at a time, {len(inputs)} are given")
    outcome = run(
        inputs[0],
        output,
        Visualize(export=export or "", format=format, truth=not no_labels, limit=limit),
        labels=labels,
        legend=legend,
        metrics=metrics,
        images=images,
        role=role,
        workers=workers,
        force=force,
        dry_run=dry_run,
    )
    finish(outcome, skip_bad=skip_bad, dry_run=dry_run)
