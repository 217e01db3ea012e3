"""`unseg export`."""

from __future__ import annotations

from typing import Any

from unsegcli.cli._command import Takes, command
from unsegcli.params import Export, Inputs, Run

TAKES = Takes(
    kinds=("segmentation", "model", "superpixels"),
    inputs=("source_folder", "limit"),
    argument="A segmentation, superpixels, or a folder of label maps from any tool; or a model. Default: the path from "
    "a pipe, else a file in the working folder.",
)


@command("export", Export, TAKES)
def export(inputs: Inputs, params: Export, run: Run) -> Any:
    """Write maps, tables, outlines or weights for other programs.

    Label maps, tables and outlines are on the grid of each image, in a folder that is written whole or not at all;
    classes.csv says what each number means. Of a model, the weights of its backbone are written with torchvision's
    names, into one file, weights.safetensors.

    Examples:  unseg export seg.h5 --to png,csv -o out   |   unseg export seg.h5 --to geojson --objects   |
    unseg export model.h5 -o weights.safetensors
    """
    from unsegcli.stages.export import export as stage

    return stage(inputs, params, run)
