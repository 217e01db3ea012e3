"""`unseg join`."""

from __future__ import annotations

from typing import Any

from unsegcli.cli._command import Takes, command
from unsegcli.params import Inputs, Join, Run

ARGUMENT = "The HDF5 files of all shards of one run, in any order. Default: paths from a pipe."
TAKES = Takes(run=("output", "force"), terminal=("quiet", "verbose"), argument=ARGUMENT)


@command("join", Join, TAKES)
def join(inputs: Inputs, params: Join, run: Run) -> Any:
    """Make one file of the shards of a run.

    The file equals that of one run over all images. Shards that are missing, given twice, or of another run are named.

    Example:  unseg superpixels photos/ --shard 1/2 -o a.h5; unseg superpixels photos/ --shard 2/2 -o b.h5;
    unseg join a.h5 b.h5 -o superpixels.h5
    """
    from unsegcli.stages.join import join as stage

    return stage(inputs, params, run)
