"""`unseg superpixels`."""

from __future__ import annotations

from typing import Any

from unsegcli.cli._command import Takes, command
from unsegcli.params import Inputs, Run, Superpixels

RUN = ("output", "device", "workers", "dask", "force", "dry_run", "shard")


@command("superpixels", Superpixels, Takes(images=True, inputs=("mask", "limit"), run=RUN))
def superpixels(inputs: Inputs, params: Superpixels, run: Run) -> Any:
    """Divide images into superpixels, the first step.

    Example:  unseg superpixels photos/ -o sp.h5 --segments 300
    """
    from unsegcli.stages.superpixels import superpixels as stage

    return stage(inputs, params, run)
