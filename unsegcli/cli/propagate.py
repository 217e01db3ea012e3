"""`unseg propagate`."""

from __future__ import annotations

from typing import Any

from unsegcli.cli._command import Takes, command
from unsegcli.params import Inputs, Propagate, Run

ARGUMENT = (
    "Folder of the frames of a video (or of one subfolder for each video), in the order of their names; a model first, "
    "to compare frames by what it learned; or a file of dense features, or of superpixels. Default: paths from a pipe, "
    "else a file in the working folder."
)
TAKES = Takes(
    kinds=("features", "superpixels"),
    images=True,
    inputs=("mask", "source_folder", "limit"),
    run=("output", "device", "force", "dry_run"),
    argument=ARGUMENT,
)


@command("propagate", Propagate, TAKES)
def propagate(inputs: Inputs, params: Propagate, run: Run) -> Any:
    """Follow labelled objects through the frames of a video.

    The labels of the first frame are carried on from frame to frame, by the most similar places in earlier frames.
    So this uses labels, which the output says; nothing is trained.

    Example:  unseg propagate frames/ --first mask.png -o objects.h5
    """
    from unsegcli.stages.propagate import propagate as stage

    return stage(inputs, params, run)
