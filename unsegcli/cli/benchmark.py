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
        count = "1 result is" if len(failed) == 1 else f"{len(failed)} results are"
        console.warn(f"{count} missing, since a command failed: {'; '.join(failed)}")
        raise typer.Exit(1)


@command("benchmark", Benchmark, TAKES, _show)
def benchmark(inputs: Inputs, params: Benchmark, run: Run) -> Any:
    """Compare methods on labelled images or with published numbers.

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
        for task in dict.fromkeys(row["task"] for row in result["rows"]):
            yield from _compared([row for row in result["rows"] if row["task"] == task])


def _lists(rows: Sequence[dict[str, Any]]) -> Iterator[Table]:
    """Yield the rows of each task."""
    for task in dict.fromkeys(row["task"] for row in rows):
        own = [row for row in rows if row["task"] == task]
        yield Table([_listed(row) for row in own], f"{task}: {own[0]['protocol']}")


def _listed(row: dict[str, Any]) -> dict[str, Cell]:
    known = row["published"] is not None
    return {
        "row": row["row"],
        "published": f"{row['published']} {row['score_in_words']}, {row['certainty']}"
        if known
        else f"none ({row['score_in_words']})",
        "preset": row["preset"] or "none: defaults",
        "hours_of_one_processor": "not known" if row["hours"] is None else f"{row['hours']:,g}",
        "needs_a_GPU": "yes" if row["needs_gpu"] else "no",
    }


def _compared(rows: Sequence[dict[str, Any]]) -> Iterator[Part]:
    """Yield our scores on a task and those of the same systems, then those of others, and what differs in words."""
    first, score = rows[0], rows[0]["score_in_words"]
    same = {one["system"] for row in rows for one in row["published"]}
    others = {one["system"]: one for row in rows for one in row["beside"] if one["system"] not in same}
    yield Table(
        [line for row in rows for line in _ours(row, score)],
        f"{first['task']}, in percent: {first['protocol']}",
        [_published(one, score) for one in others.values()],
        decimals=1,
    )
    common = [line for line in first["differences"] if all(line in row["differences"] for row in rows)]
    yield from (f"* {line}" for line in common)
    yield from (f"* {row['row']}: {line}" for row in rows for line in row["differences"] if line not in common)


def _ours(row: dict[str, Any], score: str) -> Iterator[dict[str, Cell]]:
    """Yield our score, the published ones of the same system, and how far ours is from the first of them."""
    mean, deviation, count = row["ours"]["mean"], row["ours"]["deviation"], len(row["ours"]["seeds"])
    runs = f"mean of {count} seeds" if count > 1 else "one run"
    yield {
        "system": f"unseg {row['row']}, {runs}, last step",
        score: mean if deviation is None else Spread(mean, deviation),
    }
    for number, one in enumerate(row["published"]):
        yield _published(one, score)
        if number == 0 and row["difference"] is not None:
            yield {"system": f"difference of {row['row']}", score: row["difference"]}


def _published(one: dict[str, Any], score: str) -> dict[str, Cell]:
    return {
        "system": one["system"],
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
