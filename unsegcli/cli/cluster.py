"""`unseg cluster`."""

from __future__ import annotations

from typing import Any

from unsegcli.cli._command import Takes, command
from unsegcli.params import K_MEANS, VECTORS, Cluster, Inputs, Run, changed_options


def _kinds(params: Cluster) -> tuple[str, ...]:
    """Prefer a model, unless options of k-means are given."""
    others = ("features", "superpixels")
    return others if changed_options(params, (K_MEANS, VECTORS), ("seed", "max_classes")) else ("model", *others)


TAKES = Takes(
    kinds=_kinds,
    images=True,
    finds_images=False,
    folded=True,
    inputs=("mask", "source_folder", "limit"),
    run=("output", "device", "workers", "dask", "force", "dry_run", "shard"),
    preset=True,
)


@command("cluster", Cluster, TAKES)
def cluster(inputs: Inputs, params: Cluster, run: Run) -> Any:
    """Assign every pixel to a cluster, by a model or by k-means.

    A model is applied to the images or superpixels that it was trained on, or to those named after it. Several models,
    such as those of several seeds, give one output each, with the name of the model added.
    With another --classes N than it was trained with, the superpixels are grouped by what the model knows about them.
    k-means needs no training: it is the baseline that every trained method must beat.
    With a maskcontrast model, --classes N gives N clusters of objects, plus background as cluster 0.

    Examples:  unseg cluster objects.h5 --preset maskcontrast-voc   |
    unseg cluster model.h5   |   unseg cluster model.h5 new/ -o new.h5   |
    unseg cluster sp.h5 --classes 5   |   unseg cluster features.h5 --colours   |
    unseg cluster photos/ --features bands --classes 5   |
    unseg cluster model-seed*.h5 | unseg evaluate   |
    unseg cluster sp.h5 --classes 8,16,24 | unseg evaluate --many-to-one --named-on even   |
    unseg cluster new/ --centres segmentation.h5 -o new.h5
    """
    from unsegcli.stages.cluster import cluster_each as stage

    return stage(inputs, params, run)
