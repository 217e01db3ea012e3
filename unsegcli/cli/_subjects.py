"""What commands share that score models and files side by side, with labels: probe and retrieve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unsegcli.cli._command import Takes
from unsegcli.cli._tables import Cell, Described, networks_said, print_scores, with_spread
from unsegcli.params import Terminal

if TYPE_CHECKING:
    from unsegcli.dataflow.score_files import SubjectScores


def takes_subjects(argument: str) -> Takes:
    """Return what such a command takes, given the help of its argument."""
    return Takes(
        kinds=("model", "features", "superpixels"),
        images=True,
        finds_images=False,
        folded=True,
        inputs=("mask", "source_folder", "limit"),
        run=("output", "device", "workers", "force"),
        terminal=("json", "table", "skip_bad", "quiet", "verbose"),
        argument=argument,
        preset=True,
    )


def show_subjects(found: SubjectScores, terminal: Terminal, described: Described) -> None:
    """Print scores, as JSON or by a table."""
    print_scores(found.scores, terminal, described, found.path if found.unchanged else None)


def row_of_subject(run: dict[str, Any]) -> dict[str, Cell]:
    """Return the row of a subject."""
    return scored_row(run["input"], run, run["vectors"]["dimensions"])


def floors_of_subject(run: dict[str, Any], several: bool) -> list[dict[str, Cell]]:
    """Return the rows of the floors of a subject, which is named if there are several."""
    of = f"{run['input']}: " if several else ""
    return [scored_row(f"{of}floor: {floor['of']}", floor, floor["dimensions"]) for floor in run["floors"]]


def scored_row(name: str, found: dict[str, Any], dimensions: int | None = None) -> dict[str, Cell]:
    """Return a row of scores with their deviations."""
    shown: dict[str, Cell] = {"file": name} if dimensions is None else {"file": name, "dimensions": dimensions}
    return {**shown, **with_spread(found["scores"].items(), found["spread"])}


def divided_how(run: dict[str, Any]) -> str:
    """Say over what means are taken."""
    halves = run["protocol"]["halves"]
    return f"mean and deviation over {halves} random halves" if halves else "on the images of the lists"


def networks_of(runs: list[dict[str, Any]]) -> list[str]:
    """Return a line on the pretrained networks that went into each subject."""
    return [line for run in runs for line in networks_said(run, f"{run['input']}: " if len(runs) > 1 else "")]
