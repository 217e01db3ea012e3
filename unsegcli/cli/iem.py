"""`unseg iem`."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

import typer

from unsegcli.cli import _options as options
from unsegcli.cli._guard import finish, guarded
from unsegcli.cli._inputs import resolve_inputs
from unsegcli.params import Iem, Pictures, Refine

PANEL = "Masks"
# With --refine, options are handed on to the commands that know them.
OF_IEM = (
    *("preset", "size", "square", "init", "iterations", "diversity", "sigma", "kernel", "repeats", "scale_factor"),
    *("smooth", "update", "trace"),
)
OF_READING = ("axes", "bands", "alpha", "nodata", "percentiles", "scaling", "scale")
OF_ALL = ("mask", "patch", "stride", "max_pixels", "limit", "images", "workers", "force")


@guarded
def iem(
    context: typer.Context,
    inputs: options.Inputs = None,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="The HDF5 file to write.")
    ] = "segmentation.h5",
    preset: options.Preset = None,
    square: Annotated[
        float | None,
        typer.Option(
            "--square",
            rich_help_panel=PANEL,
            metavar="SHARE",
            show_default=f"{Iem.square:.3g}",
            help="Side of the centred square that the mask starts as, as a share of the picture's. It matters most: "
            "take about the size of your objects.",
        ),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(
            "--init",
            rich_help_panel=PANEL,
            metavar="square|superpixels|FILE",
            show_default=Iem.init,
            help="The first mask. superpixels: those that lie mostly in the square. FILE: masks made before, an HDF5 "
            "file or a folder of pictures named like yours, 0 = background.",
        ),
    ] = None,
    iterations: Annotated[
        int | None,
        typer.Option(
            "--iterations",
            min=0,
            rich_help_panel=PANEL,
            metavar="N",
            show_default=str(Iem.iterations),
            help="Steps, each of which moves the mask's outline by a pixel at most. 0 = the first mask itself.",
        ),
    ] = None,
    diversity: Annotated[
        float | None,
        typer.Option(
            "--diversity",
            rich_help_panel=PANEL,
            metavar="WEIGHT",
            show_default=f"{Iem.diversity:g}",
            help="Weight of uniform colours within each side (the paper's lambda); search in steps of two. 0 = the "
            "error of filling in alone, 1000 = colours alone.",
        ),
    ] = None,
    sigma: Annotated[
        float | None,
        typer.Option(
            "--sigma",
            rich_help_panel=PANEL,
            metavar="PIXELS",
            show_default=f"{Iem.sigma:g}",
            help="Width of the Gaussian that fills in. Wider sees coarser structure.",
        ),
    ] = None,
    kernel: Annotated[
        int | None,
        typer.Option(
            "--kernel",
            min=1,
            rich_help_panel=PANEL,
            metavar="N",
            show_default=str(Iem.kernel),
            help="Taps of that Gaussian along each axis, an odd number.",
        ),
    ] = None,
    repeats: Annotated[
        int | None,
        typer.Option(
            "--repeats",
            min=1,
            rich_help_panel=PANEL,
            metavar="N",
            show_default=str(Iem.repeats),
            help="Times that the Gaussian is applied.",
        ),
    ] = None,
    scale_factor: Annotated[
        int | None,
        typer.Option(
            "--scale-factor",
            min=1,
            rich_help_panel=PANEL,
            metavar="N",
            show_default=str(Iem.scale_factor),
            help="Fill in on pixels N times as large. Take a smaller --sigma and --kernel with it.",
        ),
    ] = None,
    smooth: Annotated[
        bool | None,
        typer.Option(
            "--smooth/--no-smooth",
            rich_help_panel=PANEL,
            show_default="smooth",
            help="After each step drop foreground pixels that stand alone, and fill small holes.",
        ),
    ] = None,
    update: Annotated[
        Literal["contour", "all"] | None,
        typer.Option(
            "--update",
            rich_help_panel=PANEL,
            show_default=Iem.update,
            help="Which pixels may change in a step: those at the mask's outline and the picture's border, or all.",
        ),
    ] = None,
    crop: Annotated[
        bool | None,
        typer.Option(
            "--crop",
            rich_help_panel=PANEL,
            help="Work on the centred square of each picture only, as the paper does; the rest is void.",
        ),
    ] = None,
    parts: Annotated[
        int | None,
        typer.Option(
            "--parts",
            min=2,
            rich_help_panel=PANEL,
            metavar="K",
            show_default=str(Iem.parts),
            help="Number of parts. Above 2 the part with the most varied colours is parted again; parts are numbered "
            "for each picture by itself.",
        ),
    ] = None,
    confidence: options.Confidence = None,
    refine: options.Refine = False,
    steps: options.Steps = None,
    seed: options.Seed = Refine.seed,
    device: options.Device = "auto",
    trace: Annotated[
        str | None,
        typer.Option(
            "--trace",
            rich_help_panel=PANEL,
            metavar="FOLDER",
            show_default=False,
            help="Also draw how each mask came about: one PNG file a picture.",
        ),
    ] = None,
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
    """Part each picture into foreground and background, by inpainting error maximisation.

    It learns nothing and needs no training: two sides are good when neither can be filled in from the other.

    With --refine a network then learns from all masks, and draws them anew.

    Examples:  unseg iem photos/ -o masks.h5   |   unseg iem photos/ --square 0.35 --trace ways/   |
    unseg iem photos/ --refine -o refined.h5
    """
    from unsegcli import console
    from unsegcli.errors import ConfigError
    from unsegcli.presets import read_preset
    from unsegcli.stages.iem import iem as run
    from unsegcli.stages.refine import Typed
    from unsegcli.stages.refine import refine as refined

    console.to_stderr(quiet=quiet, verbose=verbose)
    pictures = options.pictures_from(
        axes, bands, alpha, nodata, percentiles, scaling, size, scale, patch, stride, max_pixels
    )
    if size is not None and scale != Pictures.scale:
        raise ConfigError("--size and --scale both say how large the working picture is: give one of them")
    asked: dict[str, Any] = {
        "size": pictures.size or (() if scale != Pictures.scale else None),
        "square": square,
        "init": init,
        "iterations": iterations,
        "diversity": diversity,
        "sigma": sigma,
        "kernel": kernel,
        "repeats": repeats,
        "scale_factor": scale_factor,
        "smooth": smooth,
        "update": update,
        "crop": crop,
        "parts": parts,
        "confidence": confidence,
    }
    given = {name: value for name, value in asked.items() if value is not None}
    params = Iem(**{**read_preset("iem", preset), **given})
    if not refine and (steps is not None or seed != Refine.seed or device != "auto"):
        raise ConfigError("--steps, --seed and --device are of the training that goes with --refine: leave them out")
    found = resolve_inputs(inputs, "unseg iem", kinds=("superpixels",), pictures=True)
    if refine:
        finish(
            refined(
                found,
                output,
                Refine(steps=Refine.steps if steps is None else steps, seed=seed),
                params,
                pictures,
                typed=Typed(
                    iem=options.retyped(context, OF_IEM),
                    reading=options.retyped(context, OF_READING),
                    cluster=options.retyped(context, ("confidence",)),
                    every=options.retyped(context, OF_ALL),
                ),
                device=device,
                dry_run=dry_run,
            ),
            skip_bad=skip_bad,
            dry_run=dry_run,
        )
        return
    outcome = run(
        found,
        output,
        params,
        replace(pictures, size=()),
        trace=trace,
        mask=mask,
        images=images,
        limit=limit,
        workers=workers,
        force=force,
        dry_run=dry_run,
    )
    finish(outcome, skip_bad=skip_bad, dry_run=dry_run)
