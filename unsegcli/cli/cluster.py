"""`unseg cluster`."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from unsegcli.cli import _options as options
from unsegcli.cli._guard import finish, guarded
from unsegcli.cli._inputs import resolve_inputs
from unsegcli.params import Cluster, Pictures

PANEL = "Clusters"


@guarded
def cluster(
    inputs: options.Inputs = None,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="The HDF5 file to write.")
    ] = "segmentation.h5",
    classes: Annotated[
        int | None,
        typer.Option(
            "--classes",
            min=1,
            rich_help_panel=PANEL,
            metavar="N",
            show_default=str(Cluster.classes),
            help="Number of clusters. A few more than the classes you expect keeps them apart; clusters can be "
            "merged later.",
        ),
    ] = None,
    features: Annotated[
        Literal["regions", "rgb"],
        typer.Option(
            "--features",
            rich_help_panel=PANEL,
            help="regions: colour, texture and position of superpixels. rgb: the bands of blurred pixels, the floor "
            "that a learned method must beat; works on pictures directly.",
        ),
    ] = "regions",
    blur: Annotated[
        float,
        typer.Option(
            "--blur",
            min=0,
            rich_help_panel=PANEL,
            metavar="SIGMA",
            help="rgb: Gaussian blur in pixels. More gives smoother maps and loses small things.",
        ),
    ] = Cluster.blur,
    samples: Annotated[
        int,
        typer.Option(
            "--samples",
            min=1,
            rich_help_panel=PANEL,
            metavar="N",
            help="rgb: pixels drawn from each picture to fit the centres. More than a few hundred change little.",
        ),
    ] = Cluster.samples,
    starts: Annotated[
        int,
        typer.Option(
            "--starts",
            min=1,
            rich_help_panel=PANEL,
            metavar="N",
            help="Runs of k-means from different seeds; the one of the lowest inertia is kept.",
        ),
    ] = Cluster.starts,
    seed: Annotated[
        int,
        typer.Option("--seed", min=0, rich_help_panel=PANEL, metavar="N", help="The same seed gives the same result."),
    ] = Cluster.seed,
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
    """Give every pixel a cluster, by k-means.

    It learns nothing: the baseline that every trained method must beat.

    Examples:  unseg cluster sp.h5 --classes 5   |   unseg cluster photos/ --features rgb --classes 5
    """
    from unsegcli import talk
    from unsegcli.stages.cluster import cluster as run

    talk.to_stderr(quiet=quiet, verbose=verbose)
    found = resolve_inputs(inputs, "unseg cluster", kinds=("features", "superpixels"))
    if classes is None:
        talk.note(f"{Cluster.classes} clusters; say --classes N for another number")
    outcome = run(
        found,
        output,
        Cluster(
            classes=Cluster.classes if classes is None else classes,
            features=features,
            blur=blur,
            samples=samples,
            starts=starts,
            seed=seed,
        ),
        options.pictures_from(axes, bands, alpha, nodata, percentiles, scaling, size, scale, patch, stride, max_pixels),
        mask=mask,
        images=images,
        limit=limit,
        workers=workers,
        force=force,
        dry_run=dry_run,
    )
    finish(outcome, skip_bad=skip_bad, dry_run=dry_run)
