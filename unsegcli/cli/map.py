"""`unseg map`."""

from __future__ import annotations

from typing import Any

from unsegcli.cli._command import Takes, command
from unsegcli.params import Inputs, Map, Run

TAKES = Takes(
    images=True,
    folded=True,
    inputs=("mask", "limit"),
    run=("output", "device", "workers", "force", "dry_run"),
)


@command("map", Map, TAKES)
def map(inputs: Inputs, params: Map, run: Run) -> Any:
    """Make a map of images, and a page to name its clusters.

    Runs superpixels, train, cluster and visualize, and prints each command as you could type it.
    Run it again to resume. Prints the path of the segmentation, for a pipe.

    Examples:  unseg map photos/ -o map   |   unseg map photos/ --backbone lite0 -o map   |
    unseg map new/ --like map -o new-map
    """
    from unsegcli.stages.map import map as stage

    return stage(inputs, params, run)
