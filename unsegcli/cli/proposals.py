"""`unseg proposals`."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from unsegcli.cli import _options as options
from unsegcli.cli._guard import finish, guarded
from unsegcli.cli._inputs import resolve_inputs
from unsegcli.params import Pictures, Proposals

PANEL = "Masks"
DEFAULT_AREA = ",".join(f"{value:g}" for value in Proposals.area)


@guarded
def proposals(
    inputs: options.Inputs = None,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="The HDF5 file to write.")
    ] = "proposals.h5",
    method: options.Method = None,
    masks: Annotated[
        str | None,
        typer.Option(
            "--masks",
            rich_help_panel=PANEL,
            metavar="FOLDER",
            show_default=False,
            help="Instead of a method: masks of objects that another tool made, one file named like each picture, "
            "0 = background, 1 or 255 = object.",
        ),
    ] = None,
    clean: Annotated[
        bool | None,
        typer.Option(
            "--clean/--no-clean",
            rich_help_panel=PANEL,
            show_default="clean, but not with --masks",
            help="Fill holes, drop small pieces, and refuse masks of a senseless area.",
        ),
    ] = None,
    smallest: Annotated[
        float,
        typer.Option(
            "--smallest",
            rich_help_panel=PANEL,
            metavar="SHARE",
            help="Pieces of a mask below this share of the picture are dropped. Take less for many small objects.",
        ),
    ] = Proposals.smallest,
    area: Annotated[
        str,
        typer.Option(
            "--area",
            rich_help_panel=PANEL,
            metavar="LOW,HIGH",
            help="A mask with a smaller or a larger share of the picture is no object: it becomes empty.",
        ),
    ] = DEFAULT_AREA,
    confidence: options.Confidence = None,
    images: options.Images = None,
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
    """Propose one mask of an object for each picture, for methods that learn from such masks.

    Nothing is learned here: the object is what is unlike the border of the picture, or what cannot be filled in.

    Examples:  unseg proposals photos/ -o proposals.h5   |   unseg proposals photos/ --masks other-tool/
    """
    from unsegcli import console
    from unsegcli.errors import ConfigError
    from unsegcli.stages.proposals import proposals as run

    console.to_stderr(quiet=quiet, verbose=verbose)
    pictures = options.pictures_from(
        axes, bands, alpha, nodata, percentiles, scaling, size, scale, patch, stride, max_pixels
    )
    if size is not None and scale != Pictures.scale:
        raise ConfigError("--size and --scale both say how large the working picture is: give one of them")
    if masks is not None and method is not None:
        raise ConfigError("--masks and --method both say where the masks come from: give one of them")
    outcome = run(
        resolve_inputs(inputs, "unseg proposals", kinds=("superpixels",), pictures=True),
        output,
        Proposals(
            method=method or Proposals.method,
            size=pictures.size or (() if scale != Pictures.scale else None),
            clean=clean,
            smallest=smallest,
            area=_shares(area),
            confidence=bool(confidence),
        ),
        replace(pictures, size=()),
        masks=masks,
        mask=mask,
        images=images,
        limit=limit,
        workers=workers,
        force=force,
        dry_run=dry_run,
    )
    finish(outcome, skip_bad=skip_bad, dry_run=dry_run)


def _shares(text: str) -> tuple[float, float]:
    from unsegcli.errors import ConfigError

    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"--area {text}: must be two numbers from 0 to 1, such as {DEFAULT_AREA}") from None
    return low, high
