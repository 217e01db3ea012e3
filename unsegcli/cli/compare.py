"""`unseg compare`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from unsegcli import console
from unsegcli.cli._command import Takes, command
from unsegcli.cli._tables import Cell, Interval, Part, Row, Spread, Table, networks_said, print_scores
from unsegcli.params import Compare, Inputs, Run, Terminal

if TYPE_CHECKING:
    from unsegcli.stages.compare import Compared

ARGUMENT = (
    "Two or more results of the same images: outputs of `unseg cluster`, or folders of label maps from any tool. Those "
    "whose recipes differ only in seeds are runs of one method. Default: paths from a pipe."
)
# Scores whose intervals and differences are in the tables; JSON has those of all scores.
SHOWN = ("accuracy", "miou", "iou", "boundary_recall", "undersegmentation_error")
TAKES = Takes(
    kinds=("segmentation", "superpixels"),
    inputs=("source_folder",),
    run=("output", "workers", "force"),
    terminal=("json", "table", "quiet", "verbose"),
    argument=ARGUMENT,
)


def _show(found: Compared, run: Run, terminal: Terminal) -> None:
    print_scores(found.scores, terminal, describe_comparison, found.path if found.unchanged else None)


@command("compare", Compare, TAKES, _show)
def compare(inputs: Inputs, params: Compare, run: Run) -> Any:
    """Score results on the same images, and test differences.

    All are scored by the same protocol on the images that all of them have. Differences are tested by a paired
    bootstrap over images, and over seeds where there are several runs of a method.

    Example:  unseg compare ours-seed*.h5 floor.h5 other-tool/ --labels truth/
    """
    from unsegcli.stages.compare import compare as stage

    return stage(inputs, params, run)


def describe_comparison(result: dict[str, Any]) -> Iterator[Part]:
    """Yield the scores of each method, the differences, and what is left out."""
    methods, several = result["methods"], any(len(method["runs"]) > 1 for method in result["methods"])
    matching = ", ".join(dict.fromkeys(method["matching"] for method in methods))
    runs = sum(len(method["runs"]) for method in methods)
    compared = f"{runs} results of {len(methods)} methods" if several else f"{runs} results"
    title = f"{compared} on {console.count_images(result['images'])}: {matching}"
    yield Table(
        [_row(method, several) for method in methods],
        f"{title}; labels used for {result['labels_used']}",
        _chance(result, "method" if several else "result"),
    )
    rows = [_difference(row) for row in result["differences"] if row["score"] in SHOWN]
    if rows:
        drawn = f"{result['bootstrap']['replicates']:,} times{', and seeds' if several else ''}"
        yield Table(rows, f"differences, first minus second; images drawn anew {drawn}")
    else:
        yield "all are runs of one method, so there is nothing to compare"
    yield from networks_said(result)
    for one in result["left_out"]:
        yield f"{one['input']}: {console.count_images(len(one['images']))} left out, which not all results have"
    if result["missing"]:
        yield f"{console.count_images(len(result['missing']))} without a label, not scored"


def _row(method: dict[str, Any], several: bool) -> Row:
    row: dict[str, Cell] = {"method" if several else "result": method["name"]}
    if several:
        row["runs"] = len(method["runs"])
    if method["clusters"] is not None:
        row["clusters"] = method["clusters"]
    deviations = method["standard_deviation"]
    for name in method["interval"]:
        value = method["scores"][name]
        row[name] = Spread(value, deviations[name]) if name in deviations else value
        if name in SHOWN:
            row[f"{name}_interval"] = Interval(*method["interval"][name])
    return row


def _chance(result: dict[str, Any], column: str) -> list[Row]:
    largest = result["runs"][0]["chance"].get("largest_class")
    return [] if largest is None else [{column: "chance: largest class", "accuracy": largest}]


def _difference(row: dict[str, Any]) -> Row:
    return {
        "first": row["first"],
        "second": row["second"],
        "score": row["score"].replace("_", " "),
        "difference": row["difference"],
        "interval": Interval(*row["interval"]),
        "p": row["p"],
        "more_than_chance": "yes" if row["more_than_chance"] else "no",
    }
