"""`unseg train`."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from unsegcli.cli import _options as options
from unsegcli.cli._guard import finish, guarded
from unsegcli.cli._inputs import resolve_inputs
from unsegcli.params import Pictures, Train

METHOD, LENGTH, PANEL = "Method", "Length", "Training"
DEFAULT_METHOD = "inmars"


@guarded
def train(
    inputs: options.Inputs = None,
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="The HDF5 file to write.")] = "model.h5",
    method: options.Method = None,
    classes: options.Classes = None,
    most_classes: options.MostClasses = Train.most_classes,
    preset: options.Preset = None,
    config: Annotated[
        str | None,
        typer.Option(
            "--config",
            rich_help_panel=METHOD,
            metavar="FILE",
            show_default=False,
            help="TOML file with settings of the method; they win over those of a preset.",
        ),
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            rich_help_panel=METHOD,
            metavar="KEY=VALUE",
            show_default=False,
            help="One setting of the method, such as rate=0.0003; may be given several times. A wrong name lists the "
            "right ones.",
        ),
    ] = None,
    weights: Annotated[
        str,
        typer.Option(
            "--weights",
            rich_help_panel=METHOD,
            metavar="none|imagenet|FILE",
            help="What the network begins with, for methods that can: none, chance; imagenet, weights of torchvision, "
            "which are downloaded; or a file that torch has saved, such as one of MoCo or DINO.",
        ),
    ] = "none",
    proposals: Annotated[
        str | None,
        typer.Option(
            "--proposals",
            rich_help_panel=METHOD,
            metavar="FILE",
            show_default=False,
            help="Object masks of these pictures, as `unseg iem` and `unseg proposals` write them: for methods that "
            "learn from such.",
        ),
    ] = None,
    min_confidence: Annotated[
        float,
        typer.Option(
            "--min-confidence",
            min=0,
            max=1,
            rich_help_panel=METHOD,
            metavar="X",
            help="Leave out pictures whose mask in --proposals has a lower confidence.",
        ),
    ] = Train.min_confidence,
    epochs: Annotated[
        float | None,
        typer.Option(
            "--epochs",
            rich_help_panel=LENGTH,
            metavar="N",
            show_default="by method",
            help="Length as passes over all pictures.",
        ),
    ] = None,
    steps: options.Steps = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            "--minutes",
            rich_help_panel=LENGTH,
            metavar="N",
            show_default=False,
            help="Length by the clock: some steps are timed, and then their number is fixed.",
        ),
    ] = None,
    seed: options.Seed = Train.seed,
    seeds: Annotated[
        int,
        typer.Option(
            "--seeds",
            min=1,
            rich_help_panel=PANEL,
            metavar="N",
            help="Train N models, from --seed on; each output has its seed in its name.",
        ),
    ] = 1,
    restarts: Annotated[
        int,
        typer.Option(
            "--restarts",
            min=1,
            rich_help_panel=PANEL,
            metavar="N",
            help="Train N models, from --seed on, and keep the one that looks best without labels.",
        ),
    ] = Train.restarts,
    device: options.Device = "auto",
    precision: Annotated[
        Literal["auto", "float32", "bf16", "fp16"],
        typer.Option(
            "--precision",
            rich_help_panel=PANEL,
            help="Numbers that the network works with: the same on every machine. auto = bf16 where the processor has "
            "units for it, which is about twice as quick; else float32.",
        ),
    ] = "float32",
    compile_: Annotated[
        bool,
        typer.Option("--compile", rich_help_panel=PANEL, help="Compile the network first: for hours on a GPU."),
    ] = False,
    keep_every: Annotated[
        int,
        typer.Option(
            "--keep-every",
            min=0,
            rich_help_panel=PANEL,
            metavar="N",
            help="Also keep the model after every N steps, with the step in its name. 0 = the last one only.",
        ),
    ] = Train.keep_every,
    memory: Annotated[
        float,
        typer.Option(
            "--memory",
            min=0,
            rich_help_panel=PANEL,
            metavar="GB",
            help="Pictures to hold in memory; what is beyond lies in a file beside the output.",
        ),
    ] = 4.0,
    checkpoint_minutes: Annotated[
        float,
        typer.Option(
            "--checkpoint-minutes",
            min=0,
            rich_help_panel=PANEL,
            metavar="N",
            help="Time between two states that a killed training can go on from.",
        ),
    ] = 3.0,
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
    """Train a network on pictures without a label.

    The same command goes on where it was interrupted.

    Examples:  unseg train sp.h5 --classes 5   |   unseg train photos/ --method iic --classes 5 --minutes 10
    """
    from unsegcli import console
    from unsegcli.stages.train import train as run
    from unsegcli.training.distributed import is_first

    console.to_stderr(quiet=quiet, verbose=verbose)
    if not is_first():
        console.errors_only()
    found = resolve_inputs(inputs, "unseg train", kinds=("superpixels",), pictures=True)
    outcomes = run(
        found,
        output,
        Train(
            classes=options.classes_from(classes),
            most_classes=most_classes,
            steps=steps,
            epochs=epochs,
            minutes=minutes,
            seed=seed,
            precision=precision,
            compile=compile_,
            min_confidence=min_confidence,
            keep_every=keep_every,
            restarts=restarts,
        ),
        options.pictures_from(axes, bands, alpha, nodata, percentiles, scaling, size, scale, patch, stride, max_pixels),
        method=method or DEFAULT_METHOD,
        preset=preset,
        config=config,
        sets=sets or (),
        seeds=seeds,
        device=device,
        memory=memory,
        checkpoint_minutes=checkpoint_minutes,
        weights=weights,
        proposals=proposals,
        mask=mask,
        images=images,
        limit=limit,
        workers=workers,
        force=force,
        dry_run=dry_run,
    )
    for outcome in outcomes[:-1]:
        print(outcome.path, flush=True)
    if outcomes:
        finish(outcomes[-1], skip_bad=skip_bad, dry_run=dry_run)
