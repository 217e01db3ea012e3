"""Help in plain text, with the options in named groups; and misuse of the command line as one line with one guess."""

from __future__ import annotations

import sys
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from unsegcli.errors import closest

WIDTH = 100
MISUSED = 2  # exit code
UsageError: Any = typer.BadParameter.__mro__[1]  # typer has no public name for it
# command -> option that once was -> what to say of it
RENAMED_OPTIONS = {
    "iem": {
        "--refine": "was removed: `unseg train --method segnet --proposals masks.h5` learns from the masks, and "
        "`unseg cluster --refine` draws them anew; examples/refine_masks.sh has the three commands"
    },
    "proposals": {"--method": "is now called --cue"},
    "train": {"--most-classes": "is now called --max-classes"},
    "cluster": {"--most-classes": "is now called --max-classes"},
    "demo": {"--images": "is now called --mosaics"},
}
FOLDED = "{} options on how images are read are left out here; `unseg superpixels --help` lists them"


class GroupedCommand(TyperCommand):
    """A command whose options are listed below the headings that they carry as `rich_help_panel`."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write one section for each heading, in the order in which the headings first appear."""
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


class Commands(TyperGroup):
    """All commands; what cannot be understood of a command line is said in one line, as every other error."""

    def main(self, args: Any = None, prog_name: Any = None, *, standalone_mode: bool = True, **more: Any) -> Any:  # type: ignore[override]
        """Run what was typed, and end the process as a program does."""
        if not standalone_mode:
            return super().main(args, prog_name, standalone_mode=False, **more)
        try:
            code = super().main(args, prog_name, standalone_mode=False, **more)
        except UsageError as error:
            if type(error).__name__ == "NoArgsIsHelpError":
                error.show()
            else:
                print(f"error: {_words(error)}", file=sys.stderr)
            sys.exit(MISUSED)
        sys.exit(code if isinstance(code, int) else 0)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find a command, or refuse with one guess."""
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            names = [name for name in self.commands if name == args[0].lower()] or list(self.commands)
            guess = closest(args[0], names) or f"; there are {', '.join(self.commands)}"
            ctx.fail(f"unseg {args[0]}: there is no such command{guess}")
        return super().resolve_command(ctx, args)


def _words(error: Any) -> str:
    """What is wrong, with one guess."""
    name = getattr(error, "option_name", None)
    if name is None:
        return _sentence(error)
    if not hasattr(error, "possibilities"):
        return f"{name}: needs a value after it"
    command = error.ctx.command
    renamed = RENAMED_OPTIONS.get(command.name or "", {}).get(name)
    if renamed:
        return f"{name}: {renamed}"
    known = [spelling for parameter in command.params for spelling in parameter.opts]
    help = f"; see `{error.ctx.command_path} --help`"
    return f"{name}: there is no such option{closest(name, known) or help}"


def _sentence(error: Any) -> str:
    """The message of the library without its full stop, or our own as it is."""
    text = str(error.message)
    return f"{text[0].lower()}{text[1:].rstrip('.')}" if text.endswith(".") else text
