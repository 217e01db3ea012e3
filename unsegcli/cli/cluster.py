"""`unseg cluster`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from unsegcli.cli._command import Takes, command
from unsegcli.cli._guard import finish
from unsegcli.params import K_MEANS, VECTORS, Cluster, Inputs, Run, Terminal, changed_options

if TYPE_CHECKING:
    from unsegcli.dataflow.runner import Outcome


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
    run=("output", "device", "workers", "force", "dry_run"),
    preset=True,
)


def _show(outcomes: Sequence[Outcome], run: Run, terminal: Terminal) -> None:
    finish(outcomes, skip_bad=terminal.skip_bad, dry_run=run.dry_run)


@command("cluster", Cluster, TAKES, _show)
def cluster(inputs: Inputs, params: Cluster, run: Run) -> Any:
    """Assign every pixel to a cluster, by a model or by k-means.

    A model is applied to the images or superpixels that it was trained on, or to those named after it.
    With another --classes N than it was trained with, the superpixels are grouped by what the model knows about them.
    k-means needs no training: it is the baseline that every trained method must beat.
    With a maskcontrast model, --classes N gives N clusters of objects, plus background as cluster 0.

    Examples:  unseg cluster objects.h5 --preset maskcontrast-voc   |
    unseg cluster model.h5   |   unseg cluster model.h5 new/ -o new.h5   |
    unseg cluster sp.h5 --classes 5   |   unseg cluster features.h5 --colours   |
    unseg cluster photos/ --features bands --classes 5   |
    unseg cluster sp.h5 --classes 8,16,24 | unseg evaluate --many-to-one --named-on even   |
    unseg cluster new/ --centres segmentation.h5 -o new.h5
    """
    from unsegcli.stages.cluster import cluster_each as stage

    return stage(inputs, params, run)
