"""`unseg evaluate`."""

from __future__ import annotations

import sys
from typing import Annotated, Any, Literal

import typer

from unsegcli import console
from unsegcli.cli import _options as options
from unsegcli.cli._guard import guarded
from unsegcli.cli._inputs import resolve_inputs
from unsegcli.params import Evaluate

PANEL = "Protocol"
CEILINGS = {"component": "each connected part of a cluster", "picture": "each cluster of each picture"}


@guarded
def evaluate(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="INPUT",
            show_default=False,
            help="Files of `unseg cluster` or `unseg superpixels`, or a folder of label maps of any tool. Several are "
            "runs of one method, such as its seeds: their mean is printed too. Without it: the paths on a pipe; else "
            "what the working folder has.",
        ),
    ] = None,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="The HDF5 file to write.")
    ] = "metrics.h5",
    labels: options.Labels = None,
    legend: options.LegendFile = None,
    hungarian: Annotated[
        bool,
        typer.Option(
            "--hungarian/--many-to-one",
            rich_help_panel=PANEL,
            help="Give each class to one cluster at most, which is what papers report; or give every cluster its best "
            "class, which rises with the number of clusters.",
        ),
    ] = True,
    match_by: Annotated[
        Literal["count", "iou"],
        typer.Option("--match-by", rich_help_panel=PANEL, help="What the matching maximises: pixels, or mean IoU."),
    ] = "count",
    per_image: Annotated[
        bool,
        typer.Option(
            "--per-image",
            rich_help_panel=PANEL,
            help="Print too what matching each picture by itself would give: an oracle that forgives inconsistent "
            "clusters, shown apart.",
        ),
    ] = False,
    ceiling: Annotated[
        bool,
        typer.Option(
            "--ceiling",
            rich_help_panel=PANEL,
            help="Print too what these segments allow at best: each one, as a whole, with the class that it has most "
            "of. An oracle, shown apart.",
        ),
    ] = False,
    background: Annotated[
        int | None,
        typer.Option(
            "--background",
            min=0,
            rich_help_panel=PANEL,
            metavar="CLUSTER",
            show_default=False,
            help="--ceiling: the cluster that is no object; it keeps the class it was matched to.",
        ),
    ] = None,
    ignore: Annotated[
        list[int] | None,
        typer.Option(
            "--ignore",
            rich_help_panel=PANEL,
            metavar="VALUE",
            show_default=False,
            help="Label value that is not scored, such as 255; may be given several times. A legend may list them too.",
        ),
    ] = None,
    protocol: Annotated[
        Literal["iic", "picie", "stego", "iem", "maskcontrast"] | None,
        typer.Option(
            "--protocol",
            rich_help_panel=PANEL,
            show_default=False,
            help="Match and average as this published code does; what it cannot reproduce is listed in the output. "
            "Take it to compare with that paper only.",
        ),
    ] = None,
    polarity: Annotated[
        Literal["given", "best-of-two"],
        typer.Option(
            "--polarity",
            rich_help_panel=PANEL,
            help="Object masks: as they are, or the better of mask and inverse in each picture, an oracle that some "
            "papers use.",
        ),
    ] = "given",
    grid: Annotated[
        Literal["source", "working"],
        typer.Option(
            "--grid",
            rich_help_panel=PANEL,
            help="Score every labelled pixel once; or on the smaller working grid, as papers do.",
        ),
    ] = "source",
    tolerance: Annotated[
        int | None,
        typer.Option(
            "--tolerance",
            min=0,
            rich_help_panel=PANEL,
            metavar="N",
            show_default="0.0025 of the diagonal",
            help="Superpixels: pixels by which a border may be missed in boundary recall.",
        ),
    ] = None,
    role: options.Role = None,
    replicates: Annotated[
        int,
        typer.Option(
            "--replicates",
            min=0,
            rich_help_panel=PANEL,
            metavar="N",
            help="Bootstrap samples of the pictures, for the 95 % interval. 0 = none.",
        ),
    ] = Evaluate.replicates,
    json: options.Json = False,
    workers: options.Workers = 0,
    force: options.Force = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Score label maps against ground truth.

    They may come from this or any other tool. The output says by which protocol they were scored.

    Example:  unseg evaluate segmentation.h5 --hungarian
    """
    from unsegcli.stages.evaluate import evaluate as run

    console.to_stderr(quiet=quiet, verbose=verbose)
    found = run(
        resolve_inputs(inputs, "unseg evaluate", kinds=("segmentation", "superpixels")),
        output,
        Evaluate(
            matching="one-to-one" if hungarian else "many-to-one",
            match_by=match_by,
            per_image=per_image,
            ceiling=ceiling,
            background=background,
            ignore=tuple(ignore or ()),
            protocol=protocol or "",
            polarity=polarity,
            grid=grid,
            tolerance=tolerance,
            replicates=replicates,
        ),
        labels=labels,
        legend=legend,
        role=role,
        workers=workers,
        force=force,
    )
    if json or not sys.stdout.isatty():
        import json as json_format

        print(json_format.dumps(found.scores, indent=2, ensure_ascii=False))
    else:
        show_scores(found.scores)
    console.note(f"kept in {found.path}")


def show_scores(result: dict[str, Any]) -> None:
    """Print scores as tables, for people."""
    from rich.console import Console
    from rich.table import Table

    out = Console(highlight=False, markup=False, emoji=False)
    runs = result.get("runs", [result])
    for run in runs:
        _show_run(run, out, Table)
    if len(runs) > 1:
        table = Table("score", "mean", "standard deviation", title=f"{len(runs)} runs", title_justify="left")
        for name, value in result["mean"].items():
            table.add_row(name.replace("_", " "), _number(value), _number(result["standard_deviation"][name]))
        out.print(table)


def _show_run(run: dict[str, Any], out: Any, table_type: Any) -> None:
    protocol = run["protocol"]
    out.print(f"{run['input']}: {console.pictures(run['images'])}; labels used for scoring only", style="bold")
    facts = ("matching", "cost", "level", "clusters", "classes", "polarity", "grid")
    said = [f"{name} {protocol[name]}" for name in facts if protocol[name] is not None]
    out.print(f"protocol {protocol['name']}: {', '.join(said)}")
    if protocol["not_reproduced"]:
        out.print(f"not reproduced: {'; '.join(protocol['not_reproduced'])}")
    if run.get("oracle_polarity"):
        out.print("polarity chosen by the labels in each picture: an oracle, no result")
    table = table_type("score", "value", "95 % interval")
    for name, value in run["scores"].items():
        low, high = run["interval"].get(name, (None, None))
        table.add_row(name.replace("_", " "), _number(value), "" if low is None else f"{low:.3f} to {high:.3f}")
    for name, value in run["chance"].items():
        table.add_row(f"chance: {name.replace('_', ' ')}", _number(value), "")
    out.print(table)
    if run["per_class"]:
        classes = table_type("class", "IoU", "precision", "recall", "share of pixels", "clusters")
        total = sum(row["pixels"] for row in run["per_class"]) or 1
        for number, row in enumerate(run["per_class"]):
            matched = ", ".join(str(cluster) for cluster, given in enumerate(run["assignment"]) if given == number)
            scores = [_number(row[name]) for name in ("iou", "precision", "recall")]
            classes.add_row(row["class"], *scores, f"{row['pixels'] / total:.3f}", matched)
        out.print(classes)
    if run.get("miou_over"):
        out.print(f"miou is over {len(run['miou_over'])} {protocol['miou_over']}")
    pixels = run["pixels"]
    out.print(", ".join(f"{value:,} pixels {name}" for name, value in pixels.items()))
    if "oracle_per_image" in run:
        oracle = run["oracle_per_image"]
        out.print(f"oracle, each picture matched by itself: accuracy {_number(oracle['accuracy'])}")
    if "oracle_ceiling" in run:
        for sort, what in CEILINGS.items():
            best = ", ".join(f"{name} {_number(value)}" for name, value in run["oracle_ceiling"][sort].items())
            out.print(f"oracle, {what} with its best class: {best}")
    if run["missing"]:
        out.print(f"{console.pictures(len(run['missing']))} without a label, not scored")


def _number(value: float | None) -> str:
    if value is None:
        return "none"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}" if abs(value) < 100 else f"{value:,.1f}"
