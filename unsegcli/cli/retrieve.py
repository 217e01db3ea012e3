"""`unseg retrieve`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unsegcli import console
from unsegcli.cli._command import Takes, command
from unsegcli.cli._guard import refuse_skipped
from unsegcli.cli._tables import print_rows, print_scores, with_spread
from unsegcli.params import Inputs, Retrieve, Run, Terminal

if TYPE_CHECKING:
    from unsegcli.stages.retrieve import RetrievalScores

ARGUMENT = (
    "Models, each on its training data or on the images or superpixels named after it; or, with --proposals, "
    "superpixels or files of features. Default: paths from a pipe, else a file in the working folder."
)
TAKES = Takes(
    kinds=("model", "features", "superpixels"),
    images=True,
    finds_images=False,
    folded=True,
    inputs=("mask", "source_folder", "limit"),
    run=("output", "device", "workers", "force"),
    terminal=("json", "skip_bad", "quiet", "verbose"),
    argument=ARGUMENT,
    preset=True,
)


def _show(found: RetrievalScores, run: Run, terminal: Terminal) -> None:
    print_scores(found.scores, terminal, show_retrieval)
    console.note(f"scores saved in {found.path}")
    refuse_skipped(found.skipped, skip_bad=terminal.skip_bad)


@command("retrieve", Retrieve, TAKES, _show)
def retrieve(inputs: Inputs, params: Retrieve, run: Run) -> Any:
    """Measure whether objects of one class lie together.

    Each object of one half of the images gets the class of the object of the other half whose vector is the most
    similar, both ways. Labels give the classes, so the scores are no result of a method without labels.

    Examples:  unseg retrieve model.h5 --floors   |   unseg retrieve features.h5 --proposals masks.h5
    """
    from unsegcli.stages.retrieve import retrieve as stage

    return stage(inputs, params, run)


def show_retrieval(result: dict[str, Any]) -> None:
    """Print one row for each file, and rows of floors, of what is possible, and of what one gets for nothing."""
    runs = result.get("runs", [result])
    rows = []
    for run in runs:
        rows.append(_row(run["input"], run, run["vectors"]["dimensions"]))
        rows += [_row(f"  floor: {floor['of']}", floor, floor["dimensions"]) for floor in run["floors"]]
        rows.append(_row("  ceiling", run["ceiling"]))
        rows.append(_row("  chance: most frequent class", run["chance"]))
    print_rows("retrieval, with the labels of the images that are looked up; mean and deviation over halves", rows)


def _row(name: str, found: dict[str, Any], dimensions: int | None = None) -> dict[str, Any]:
    shown = {"file": name} if dimensions is None else {"file": name, "dimensions": dimensions}
    return {**shown, **with_spread(found["scores"].items(), found["spread"])}
