"""`unseg superpixels`."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from unsegcli.cli import _options as options
from unsegcli.cli._guard import finish, guarded
from unsegcli.cli._inputs import resolve_inputs
from unsegcli.params import Pictures, Superpixels

PANEL = "Superpixels"


@guarded
def superpixels(
    inputs: options.Inputs = None,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="The HDF5 file to write.")
    ] = "superpixels.h5",
    algorithm: Annotated[
        Literal["slic", "felzenszwalb"],
        typer.Option(
            "--algorithm",
            rich_help_panel=PANEL,
            help="slic: even pieces of about one size. felzenszwalb: pieces as large as the picture is plain.",
        ),
    ] = "slic",
    segments: Annotated[
        int | None,
        typer.Option(
            "--segments",
            min=1,
            rich_help_panel=PANEL,
            metavar="N",
            show_default=False,
            help="Superpixels aimed at in each picture (or window). More follow finer outlines, and cost more in "
            "later steps; instead of --pixels-per-segment.",
        ),
    ] = None,
    pixels_per_segment: Annotated[
        int | None,
        typer.Option(
            "--pixels-per-segment",
            min=1,
            rich_help_panel=PANEL,
            metavar="N",
            show_default=str(Superpixels.pixels_per_segment),
            help="Mean size of a superpixel in pixels: the choice for pictures of different sizes. Take a quarter "
            "of the smallest thing that matters.",
        ),
    ] = None,
    compactness: Annotated[
        float,
        typer.Option(
            "--compactness",
            rich_help_panel=PANEL,
            metavar="X",
            help="slic: 1 follows colour, 100 makes squares; search in steps of three.",
        ),
    ] = Superpixels.compactness,
    pixels: Annotated[
        bool,
        typer.Option(
            "--pixels/--no-pixels",
            rich_help_panel=PANEL,
            help="Store the working pixels too, so that the file is complete; without them it is smaller and "
            "needs the pictures later.",
        ),
    ] = True,
    axes: options.Axes = Pictures.axes,
    bands: options.Bands = None,
    alpha: options.Alpha = "auto",
    nodata: options.Nodata = None,
    mask: options.Mask = None,
    percentiles: options.Percentiles = options.DEFAULT_PERCENTILES,
    scaling: options.Scaling = "folder",
    size: options.Size = None,
    scale: options.Scale = Pictures.scale,
    patch: options.Patch = Pictures.patch,
    stride: options.Stride = Pictures.stride,
    max_pixels: options.MaxPixels = Pictures.max_pixels,
    limit: options.Limit = None,
    workers: options.Workers = 0,
    force: options.Force = False,
    dry_run: options.DryRun = False,
    skip_bad: options.SkipBad = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Cut pictures into superpixels, the first step.

    Example:  unseg superpixels photos/ -o sp.h5 --segments 300
    """
    from unsegcli import console
    from unsegcli.errors import ConfigError
    from unsegcli.stages.superpixels import superpixels as run

    console.to_stderr(quiet=quiet, verbose=verbose)
    if segments is not None and pixels_per_segment is not None:
        raise ConfigError("--segments and --pixels-per-segment say the same thing: give one of them")
    outcome = run(
        resolve_inputs(inputs, "unseg superpixels", pictures=True),
        output,
        Superpixels(
            algorithm=algorithm,
            segments=segments or 0,
            pixels_per_segment=pixels_per_segment or Superpixels.pixels_per_segment,
            compactness=compactness,
            pixels=pixels,
        ),
        options.pictures_from(axes, bands, alpha, nodata, percentiles, scaling, size, scale, patch, stride, max_pixels),
        mask=mask,
        limit=limit,
        workers=workers,
        force=force,
        dry_run=dry_run,
    )
    finish(outcome, skip_bad=skip_bad, dry_run=dry_run)
