"""The command line: parse options, run one stage, print the path of its output.

Only this package imports typer. Heavy modules are imported when a command runs, so that `--help` is fast.
"""

from __future__ import annotations

from typing import Annotated

import typer

from unsegcli._version import __version__
from unsegcli.cli._help import WIDTH, Commands, GroupedCommand
from unsegcli.cli.benchmark import benchmark
from unsegcli.cli.cluster import cluster
from unsegcli.cli.compare import compare
from unsegcli.cli.demo import demo
from unsegcli.cli.evaluate import evaluate
from unsegcli.cli.export import export
from unsegcli.cli.features import features
from unsegcli.cli.iem import iem
from unsegcli.cli.inspect import inspect
from unsegcli.cli.join import join
from unsegcli.cli.map import map
from unsegcli.cli.prepare import prepare
from unsegcli.cli.probe import probe
from unsegcli.cli.propagate import propagate
from unsegcli.cli.proposals import proposals
from unsegcli.cli.relabel import relabel
from unsegcli.cli.retrieve import retrieve
from unsegcli.cli.superpixels import superpixels
from unsegcli.cli.train import train
from unsegcli.cli.visualize import visualize

app = typer.Typer(
    name="unseg",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDTH},
    help="Segment images without a single label.\n\n"
    "Each command reads images or an HDF5 file, writes one new HDF5 file and prints its path, so that "
    "commands can be piped:  unseg superpixels photos/ | unseg cluster --classes 5",
    epilog="Without an input, a command looks for one in the working folder and prints what it uses.",
)
LEARNING = (prepare, map, superpixels, features, train, cluster, iem, proposals, propagate, join)
READING = (evaluate, compare, benchmark, probe, retrieve, visualize, relabel, export, inspect, demo)
for _command in (*LEARNING, *READING):
    app.command(cls=GroupedCommand)(_command)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"unseg {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass
