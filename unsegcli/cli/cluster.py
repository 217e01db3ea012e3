"""`unseg cluster`."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

import typer

from unsegcli.cli import _options as options
from unsegcli.cli._guard import finish, guarded
from unsegcli.cli._inputs import resolve_inputs
from unsegcli.params import Cluster, Learned, Objects, Pictures

BY_MODEL, BY_K_MEANS = "With a model", "Without a model: k-means"
BY_OBJECTS = "With a model of maskcontrast: objects are found, and then grouped"


@guarded
def cluster(
    inputs: options.Inputs = None,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="The HDF5 file to write.")
    ] = "segmentation.h5",
    classes: options.Classes = None,
    most_classes: options.MostClasses = Cluster.most_classes,
    features: Annotated[
        Literal["regions", "rgb"],
        typer.Option(
            "--features",
            rich_help_panel=BY_K_MEANS,
            help="regions: colour, texture and position of superpixels. rgb: the bands of blurred pixels, the floor "
            "that a learned method must beat; works on pictures directly.",
        ),
    ] = "regions",
    blur: Annotated[
        float,
        typer.Option(
            "--blur",
            min=0,
            rich_help_panel=BY_K_MEANS,
            metavar="SIGMA",
            help="rgb: Gaussian blur in pixels. More gives smoother maps and loses small things.",
        ),
    ] = Cluster.blur,
    samples: Annotated[
        int,
        typer.Option(
            "--samples",
            min=1,
            rich_help_panel=BY_K_MEANS,
            metavar="N",
            help="rgb: pixels drawn from each picture to fit the centres. More than a few hundred change little.",
        ),
    ] = Cluster.samples,
    starts: Annotated[
        int,
        typer.Option(
            "--starts",
            min=1,
            rich_help_panel=BY_K_MEANS,
            metavar="N",
            help="Runs of k-means from different seeds; the one of the lowest inertia is kept.",
        ),
    ] = Cluster.starts,
    seed: options.Seed = Cluster.seed,
    per: Annotated[
        Literal["pixel", "superpixel"] | None,
        typer.Option(
            "--per",
            rich_help_panel=BY_MODEL,
            show_default=False,
            help="What gets one cluster as a whole: each pixel, or each superpixel by its mean scores. Default: "
            "superpixel if the input has superpixels, else pixel.",
        ),
    ] = None,
    flips: Annotated[
        bool,
        typer.Option(
            "--flips",
            rich_help_panel=BY_MODEL,
            help="Mean of the scores of the picture and of its mirror image: a little better, at twice the time.",
        ),
    ] = False,
    refine: options.Refine = False,
    tile: Annotated[
        int,
        typer.Option(
            "--tile",
            min=64,
            rich_help_panel=BY_MODEL,
            metavar="N",
            help="Larger pictures go through the network in overlapping tiles of N x N pixels. Less needs less memory.",
        ),
    ] = Learned.tile,
    objects: Annotated[
        Literal["picture", "component"],
        typer.Option(
            "--objects",
            rich_help_panel=BY_OBJECTS,
            help="What gets one cluster as a whole: all that is object in a picture, or each connected part of it.",
        ),
    ] = "picture",
    threshold: Annotated[
        float,
        typer.Option(
            "--threshold",
            rich_help_panel=BY_OBJECTS,
            metavar="X",
            help="Probability above which a pixel is object. Published: 0.6225, a logit of 0.5.",
        ),
    ] = Objects.threshold,
    pooling: Annotated[
        Literal["mean", "logit"],
        typer.Option(
            "--pooling",
            rich_help_panel=BY_OBJECTS,
            help="The vector of an object: mean, of its pixels' directions; logit, of their vectors weighted by how "
            "much they look like an object, as published.",
        ),
    ] = "mean",
    confidence: options.Confidence = None,
    method: options.Method = None,
    device: options.Device = "auto",
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
    """Give every pixel a cluster, by a trained model or by k-means.

    A model is used on the pictures or superpixels that it learned from, or on those named after it.
    k-means learns nothing: it is the baseline that every trained method must beat.
    With a model of maskcontrast, --classes N gives N clusters of objects, and background as cluster 0 beside them.

    Examples:  unseg cluster model.h5   |   unseg cluster model.h5 new/ -o new.h5   |
    unseg cluster sp.h5 --classes 5   |   unseg cluster photos/ --features rgb --classes 5
    """
    from unsegcli import console
    from unsegcli.segmenters.model_file import is_model, read_model_file
    from unsegcli.stages.cluster import cluster as run

    console.to_stderr(quiet=quiet, verbose=verbose)
    number = options.classes_from(classes)
    k_means = Cluster(
        classes=Cluster.classes if number is None else number,
        most_classes=most_classes,
        features=features,
        blur=blur,
        samples=samples,
        starts=starts,
        seed=seed,
    )
    only_k_means = k_means != Cluster(classes=k_means.classes)
    kinds = ("features", "superpixels") if only_k_means else ("model", "features", "superpixels")
    found = resolve_inputs(inputs, "unseg cluster", kinds=kinds)
    by_model = is_model(found[0])
    if classes is None and by_model:
        k_means = replace(k_means, classes=read_model_file(found[0]).classes)
    elif classes is None:
        console.note(f"{Cluster.classes} clusters; say --classes N for another number")
    outcome = run(
        found,
        output,
        k_means if classes is not None or only_k_means or not by_model else None,
        options.pictures_from(axes, bands, alpha, nodata, percentiles, scaling, size, scale, patch, stride, max_pixels),
        learned=Learned(per=per or "", flips=flips, refine=refine, tile=tile, confidence=bool(confidence)),
        objects=Objects(objects, threshold, pooling),
        method=method,
        device=device,
        mask=mask,
        images=images,
        limit=limit,
        workers=workers,
        force=force,
        dry_run=dry_run,
    )
    finish(outcome, skip_bad=skip_bad, dry_run=dry_run)
