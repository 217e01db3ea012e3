"""`unseg benchmark`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import typer

from unsegcli import console
from unsegcli.cli._command import Takes, command
from unsegcli.cli._tables import Cell, Part, Spread, Table, print_scores
from unsegcli.params import Benchmark, Inputs, Run, Terminal

if TYPE_CHECKING:
    from unsegcli.stages.benchmark import Benchmarked

ARGUMENT = (
    "Published rows, such as infoseg/potsdam-3, see --list. Without one: a table of methods for the sets in --data."
)
TAKES = Takes(
    finds_inputs=False,
    inputs=("limit",),
    run=("output", "device", "workers", "force", "dry_run"),
    terminal=("json", "table", "quiet", "verbose"),
    argument=ARGUMENT,
)


def _show(found: Benchmarked, run: Run, terminal: Terminal) -> None:
    if not found.result:
        return
    print_scores(found.result, terminal, describe)
    failed = found.result.get("failed", [])
    if failed:
        console.warn(f"{len(failed)} results are missing, since a command failed: {'; '.join(failed)}")
        raise typer.Exit(1)


@command("benchmark", Benchmark, TAKES, _show)
def benchmark(inputs: Inputs, params: Benchmark, run: Run) -> Any:
    """Compare methods on labelled images, or with published numbers.

    Trains, clusters and scores by the commands that you could type, in one folder. Run it again to resume.

    Examples:  unseg benchmark --data labelled/ --seeds 3   |   unseg benchmark --list infoseg   |
    unseg benchmark infoseg/potsdam-3 --data Potsdam.zip --seeds 3
    """
    from unsegcli.stages.benchmark import benchmark as stage

    return stage(inputs, params, run)


def describe(result: dict[str, Any]) -> Iterator[Part]:
    """Yield a list of rows, or published scores beside ours, or a table of methods and sets."""
    if "listed" in result:
        yield from _lists(result["listed"])
        return
    yield f"{result['made_by']}, {result['date']}, {result['machine']}; labels used for {result['labels_used']}"
    if "measures" in result:
        yield from _tables(result)
    else:
        for row in result["rows"]:
            yield from _compared(row)


def _lists(rows: Sequence[dict[str, Any]]) -> Iterator[Table]:
    """Yield the rows of each task."""
    for task in dict.fromkeys(row["task"] for row in rows):
        own = [row for row in rows if row["task"] == task]
        yield Table([_listed(row) for row in own], f"{task}: {own[0]['protocol']}")


def _listed(row: dict[str, Any]) -> dict[str, Cell]:
    known = row["published"] is not None
    return {
        "row": row["row"],
        "published": f"{row['published']} {row['score']}, {row['certainty']}" if known else f"none ({row['score']})",
        "preset": row["preset"] or "none: defaults",
        "hours_of_one_processor": "not known" if row["hours"] is None else f"{row['hours']:,.1f}",
        "needs_a_GPU": "yes" if row["needs_gpu"] else "no",
    }


def _compared(row: dict[str, Any]) -> Iterator[Part]:
    """Yield our scores and those of the same system, then those of others, and what differs in words."""
    ours, deviation = row["ours"], row["ours"]["deviation"]
    count = len(ours["seeds"])
    said = f"unseg, {f'mean of {count} seeds' if count > 1 else 'one run'}, last step"
    own: dict[str, Cell] = {
        "": said,
        row["score"]: ours["mean"] if deviation is None else Spread(ours["mean"], deviation),
    }
    published = [_published(one, row["score"]) for one in row["published"]]
    if row["difference"] is not None:
        published.insert(1, {"": "difference", row["score"]: row["difference"]})
    yield Table(
        [own, *published],
        f"{row['row']}, in percent: {row['protocol']}",
        [_published(one, row["score"]) for one in row["beside"]],
    )
    yield from (f"* {line}" for line in row["differences"])


def _published(one: dict[str, Any], score: str) -> dict[str, Cell]:
    return {
        "": one["system"],
        **({} if one["value"] is None else {score: float(one["value"])}),
        "protocol": one["protocol"],
        "weights": one["weights"],
        "certainty": one["certainty"],
    }


def _tables(result: dict[str, Any]) -> Iterator[Part]:
    """Yield a table for each measure, with what one gets for nothing and the ceiling below the others."""
    from unsegcli.dataflow.method_commands import PROBE
    from unsegcli.dataflow.result_rows import PRETRAINED

    measures = dict(result["measures"])
    ceiling = measures.pop(PROBE, "")
    for measure, words in (measures or {PROBE: ceiling}).items():
        yield _table(result["rows"], measure, f"{words}; {_over(result['seeds'])}")
    if ceiling and measures:
        yield f"ceiling: {ceiling}"
    said = {row["row"]: row[PRETRAINED] for row in result["rows"] if PRETRAINED in row}
    yield from (f"{method}: {words}" for method, words in said.items())


def _over(seeds: int) -> str:
    return f"mean and deviation over {seeds} seeds" if seeds > 1 else "one seed"


def _table(rows: Sequence[dict[str, Any]], measure: str, title: str) -> Table:
    from unsegcli.dataflow.method_commands import PROBE, title_of
    from unsegcli.dataflow.result_rows import MAJORITY, in_order

    ceiling, majority = title_of(PROBE), title_of(MAJORITY)
    shown = [{**row, measure: row[PROBE]} if row["row"] == ceiling else row for row in rows]
    shown = [row for row in shown if measure in row]
    methods = [name for name in in_order(shown, "row") if name not in (ceiling, majority)]
    others = [name for name in (majority, ceiling) if any(row["row"] == name for row in shown)]
    sets = in_order(shown, "set")
    return Table(
        [_cells(shown, name, sets, measure) for name in methods],
        title,
        [_cells(shown, name, sets, measure) for name in others],
    )


def _cells(rows: Sequence[dict[str, Any]], method: str, sets: Sequence[str], measure: str) -> dict[str, Cell]:
    """Return accuracy and mIoU of a method on each set."""
    from unsegcli.dataflow.result_rows import PAIR, mean_and_spread

    cells: dict[str, Cell] = {"method": method}
    for name in sets:
        own = [row for row in rows if (row["set"], row["row"]) == (name, method)]
        for number, score in enumerate(PAIR):
            found = mean_and_spread(own, measure, number)
            if found is not None:
                mean, deviation = found
                cells[f"{name} {score}"] = mean if deviation is None else Spread(mean, deviation)
    return cells
