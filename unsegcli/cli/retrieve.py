"""`unseg retrieve`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from unsegcli.cli._command import command
from unsegcli.cli._subjects import (
    divided_how,
    floors_of_subject,
    networks_of,
    row_of_subject,
    scored_row,
    show_subjects,
    takes_subjects,
)
from unsegcli.cli._tables import Part, Table, print_parts
from unsegcli.params import Inputs, Retrieve, Run, Terminal

if TYPE_CHECKING:
    from unsegcli.dataflow.score_files import SubjectScores

ARGUMENT = (
    "Models, each on its training data or on the images or superpixels named after it; or, with --proposals, "
    "superpixels or files of features. Default: paths from a pipe, else a file in the working folder."
)
TAKES = takes_subjects(ARGUMENT)


def _show(found: SubjectScores, run: Run, terminal: Terminal) -> None:
    show_subjects(found, terminal, describe_retrieval)


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
    """Print scores as tables."""
    print_parts(describe_retrieval(result))


def describe_retrieval(result: dict[str, Any]) -> Iterator[Part]:
    """Yield one row for each file; and floors, what is possible, and what one gets for nothing."""
    runs = result.get("runs", [result])
    compare = []
    for run in runs:
        of = f"{run['input']}: " if len(runs) > 1 else ""
        compare += floors_of_subject(run, len(runs) > 1)
        compare.append(scored_row(f"{of}ceiling", run["ceiling"]))
        compare.append(scored_row(f"{of}chance: most frequent class", run["chance"]))
    title = f"retrieval, with the labels of the images that are looked up; {divided_how(runs[0])}"
    yield Table([row_of_subject(run) for run in runs], title, compare)
    yield from networks_of(runs)
