"""`unseg train`."""

from __future__ import annotations

from typing import Any

from unsegcli.cli._command import Takes, command
from unsegcli.params import Inputs, Run, Train

TAKES = Takes(
    kinds=("superpixels", "features"),
    images=True,
    folded=True,
    inputs=("mask", "source_folder", "limit"),
    run=("output", "device", "workers", "force", "dry_run"),
)


@command("train", Train, TAKES)
def train(inputs: Inputs, params: Train, run: Run) -> Any:
    """Train a network on images without labels.

    Run the same command again to resume an interrupted training.

    Examples:  unseg train photos/ --classes 5   |   unseg train sp.h5 --method inmars --classes 5 --minutes 10
    """
    from unsegcli import console
    from unsegcli.stages.train import train as stage
    from unsegcli.training.distributed import is_first

    if not is_first():
        console.errors_only()
    return stage(inputs, params, run)
