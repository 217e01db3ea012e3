"""Plain-text help with grouped options, and one-line usage errors with a suggestion."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from types import NoneType
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from unsegcli import console
from unsegcli.errors import closest
from unsegcli.params import TABLES

WIDTH = 100
MISUSED = 2  # exit code
UsageError: Any = typer.BadParameter.__mro__[1]  # typer has no public name for it
# command -> former option -> message
RENAMED_OPTIONS = {
    "iem": {
        "--refine": "was removed: use `unseg train --method segnet --proposals masks.h5` to learn from the masks and "
        "`unseg cluster --refine` to predict new ones; examples/refine_masks.sh has the three commands"
    },
    "proposals": {"--method": "is now called --cue"},
    "train": {"--most-classes": "is now called --max-classes"},
    "cluster": {"--most-classes": "is now called --max-classes", "--objects": "is now called --object-is"},
    "retrieve": {"--objects": "is now called --object-is"},
    "visualize": {
        "--export": "is now `unseg export --to png`, tiff or geotiff (labels) and `unseg export --to csv`",
        "--format": "is now `unseg export --to png`, tiff, geotiff or npy",
    },
    "demo": {"--images": "is now called --mosaics"},
}
FOLDED = "{} options for reading images are not shown here; `unseg superpixels --help` lists them"


TYPED = (NoneType, bool, str, tuple, list)  # values of options, as typed: `_forms.py` checks them


def _take_as_typed(parameter: Any, types: tuple[type, ...]) -> Any:
    """Let typer hand on values of these types as they are: to make text of text, it would load pydantic (100 ms)."""
    if "process_value" in vars(parameter):
        return parameter
    checked = parameter.process_value

    def process_value(ctx: Any, value: Any) -> Any:
        if parameter.required or not isinstance(value, types):
            return checked(ctx, value)
        return value if parameter.callback is None else parameter.callback(ctx, parameter, value)

    parameter.process_value = process_value
    return parameter


class GroupedCommand(TyperCommand):
    """A command whose help groups the options by their `rich_help_panel`."""

    def get_params(self, ctx: Any) -> Any:
        """Return the options, and `--help`."""
        return [_take_as_typed(parameter, TYPED) for parameter in super().get_params(ctx)]

    def parse_args(self, ctx: Any, args: Any) -> Any:
        """Parse the arguments; `--table` alone means `--table text`."""
        return super().parse_args(ctx, _with_table_form(args))

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write one section for each heading, in order of first appearance."""
        sections: dict[str, list[tuple[str, str]]] = {}
        folded = 0
        for parameter in self.get_params(ctx):
            folded += bool(getattr(parameter, "hidden", False))
            record = parameter.get_help_record(ctx)
            if record is not None:
                is_input = parameter.param_type_name == "argument"
                record = ("INPUT", record[1]) if is_input else record  # typer adds the type
                default = "Input" if is_input else "Options"
                heading = getattr(parameter, "rich_help_panel", None) or default
                sections.setdefault(heading, []).append(record)
        for heading, rows in sections.items():
            with formatter.section(heading):
                formatter.write_dl(rows)
        if folded:
            with formatter.section("Image files as input"):
                formatter.write_text(FOLDED.format(folded))


def _with_table_form(args: Sequence[str]) -> list[str]:
    """Add the form of tables where `--table` is followed by an option, an input or nothing."""
    found: list[str] = []
    for word, after in zip_longest(args, args[1:], fillvalue=""):
        found.append(word)
        is_form = after in TABLES or (after and not after.startswith("-") and not Path(after).exists())
        if word == "--table" and not is_form:
            found.append(TABLES[0])
    return found


class Commands(TyperGroup):
    """The group of all commands; usage errors are printed in one line like all other errors."""

    def get_params(self, ctx: Any) -> Any:
        """Return the options before the command, and `--help`; typer checks the names of shells, which are text."""
        return [_take_as_typed(parameter, (NoneType, bool)) for parameter in super().get_params(ctx)]

    def main(self, args: Any = None, prog_name: Any = None, *, standalone_mode: bool = True, **more: Any) -> Any:  # type: ignore[override]
        """Run the command and exit."""
        if not standalone_mode:
            return super().main(args, prog_name, standalone_mode=False, **more)
        try:
            code = super().main(args, prog_name, standalone_mode=False, **more)
        except UsageError as error:
            if type(error).__name__ == "NoArgsIsHelpError":
                error.show()
            else:
                print(console.printable(f"error: {_usage_message(error)}"), file=sys.stderr)
            sys.exit(MISUSED)
        sys.exit(code if isinstance(code, int) else 0)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find a command, or fail with a suggestion."""
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            names = [name for name in self.commands if name == args[0].lower()] or list(self.commands)
            guess = closest(args[0], names) or f"; commands are {', '.join(self.commands)}"
            ctx.fail(f"unseg {args[0]}: no such command{guess}")
        return super().resolve_command(ctx, args)


def _usage_message(error: Any) -> str:
    """Describe a usage error, with a suggestion if there is one."""
    name = getattr(error, "option_name", None)
    if name is None:
        return _our_style(error)
    if not hasattr(error, "possibilities"):
        return f"{name}: needs a value"
    command = error.ctx.command
    renamed = RENAMED_OPTIONS.get(command.name or "", {}).get(name)
    if renamed:
        return f"{name}: {renamed}"
    return f"{name}: {_no_such_option(error.ctx, name)}"


def _no_such_option(ctx: Any, name: str) -> str:
    """Suggest the most similar option, of this command or else of another."""
    owners = {spelling: "" for parameter in ctx.command.params for spelling in parameter.opts}
    for other, command in getattr(ctx.parent.command, "commands", {}).items() if ctx.parent else ():
        for parameter in command.params:
            for spelling in parameter.opts:
                owners.setdefault(spelling, other)
    if name in owners:
        return f"is an option of `unseg {owners[name]}`, not of `unseg {ctx.command.name}`"
    guess = closest(name, list(owners))
    owner = next((owners[spelling] for spelling in owners if f" {spelling}?" in guess), "")
    return f"no such option{guess or f'; see `{ctx.command_path} --help`'}" + (
        f" (of `unseg {owner}`)" if owner else ""
    )


def _our_style(error: Any) -> str:
    """Return typer's message in lower case without its full stop, or our own message unchanged."""
    text = str(error.message)
    return f"{text[0].lower()}{text[1:].rstrip('.')}" if text.endswith(".") else text
