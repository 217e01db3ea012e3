"""Build commands from the dataclasses in `params.py`: each field becomes an option.

A command declares its settings and shared options; the values typed are passed to it as `Inputs`, settings and `Run`.
"""

from __future__ import annotations

import inspect
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unsegcli import console
from unsegcli.cli._ending import Ended, say_ending
from unsegcli.cli._forms import value_from
from unsegcli.cli._guard import guarded, refuse_skipped
from unsegcli.cli._inputs import resolve_inputs
from unsegcli.params import OUTPUTS, PRESET, READING, Images, Inputs, Option, Run, Terminal

if TYPE_CHECKING:
    from unsegcli.dataflow.runner import Outcome

INPUT = (
    "Folder (its images/ if there is one, else all of it), files, a quoted glob, a .txt list, or an HDF5 file from an "
    "earlier command. Default: paths from a pipe, else an input found in the working folder."
)
Body = Callable[[Inputs, Any, Run], Any]


@dataclass(frozen=True)
class Takes:
    """The inputs and options of a command besides its own settings."""

    # Kinds of artifact to look for in the working folder, in order of preference; or a function of the settings.
    kinds: tuple[str, ...] | Callable[[Any], tuple[str, ...]] = ()
    images: bool = False  # whether image files are accepted, with options for reading them
    finds_images: bool = True  # whether to look for images in the working folder as well
    finds_inputs: bool = True  # whether to look for inputs that are not typed: in a pipe, then in the working folder
    folded: bool = False  # hide those options in `--help`, since the usual input is an HDF5 file
    inputs: tuple[str, ...] = ()  # fields of Inputs that are options
    run: tuple[str, ...] = ("output", "workers", "force", "dry_run")  # fields of Run that are options
    terminal: tuple[str, ...] = ("skip_bad", "quiet", "verbose")  # fields of Terminal that are options
    argument: str = INPUT  # help of the positional argument; "" = no argument
    preset: bool = False  # whether the command has --preset; options that are typed override it
    divide: Callable[[list[str]], tuple[list[str], dict[str, Any]]] | None = None  # split arguments: paths, settings


@dataclass(frozen=True)
class _CommandOption:
    """An option of a command: the dataclass and field of its setting, and its spellings."""

    owner: type
    field: Field[Any]

    @property
    def option(self) -> Option:
        found: Option = self.field.metadata["option"]
        return found

    @property
    def name(self) -> str:
        """The parameter name, unique across the dataclasses."""
        return f"{self.owner.__name__.lower()}_{self.field.name}"

    @property
    def spellings(self) -> list[str]:
        flag = self.option.flag or f"--{self.field.name.replace('_', '-')}"
        return [flag, *([self.option.short] if self.option.short else [])]

    @property
    def is_switch(self) -> bool:
        return str(self.field.type).startswith("bool") or "/" in self.option.flag

    @property
    def turns_off(self) -> bool:
        """Whether the switch has only a --no- spelling."""
        return self.is_switch and self.option.flag.startswith("--no-")


def print_paths(result: Outcome | Sequence[Outcome], run: Run, terminal: Terminal) -> None:
    """Print the path of each output."""
    for outcome in () if run.dry_run else _outcomes(result):
        text = str(outcome.path)
        print(console.printable(text) if sys.stdout and sys.stdout.isatty() else text, flush=True)


def command(
    name: str, settings: type, takes: Takes, show: Callable[[Any, Run, Terminal], None] = print_paths
) -> Callable[[Body], Callable[..., None]]:
    """Turn a function of `Inputs`, settings and `Run` into a command.

    Args:
        name: name of the command.
        settings: dataclass whose fields become options.
        takes: other inputs and options.
        show: prints the result of the function.
    """
    typed = list(_options(settings, takes))

    def decorate(body: Body) -> Callable[..., None]:
        @guarded
        def run_command(**values: Any) -> None:
            given = {one: values[one.name] for one in typed if values[one.name] not in (None, [], ())}
            terminal = Terminal(**_values(given, Terminal))
            console.to_stderr(quiet=terminal.quiet, verbose=terminal.verbose)
            _check_alternatives(given)
            paths: list[str] = list(values.get("inputs") or [])
            among: dict[str, Any] = {}
            if takes.divide is not None:
                paths, among = takes.divide(paths)
            preset = _preset(name, values.get("preset"))
            params = settings(**{**preset, **_values(given, settings), **among})
            if takes.argument and takes.finds_inputs:
                kinds = takes.kinds(params) if callable(takes.kinds) else takes.kinds
                paths = resolve_inputs(paths, f"unseg {name}", kinds, takes.images and takes.finds_images)
            inputs = Inputs(paths, Images(**_values(given, Images)), **_values(given, Inputs))
            run = Run(**_values(given, Run))
            started = time.monotonic()
            result = body(inputs, params, run)
            show(result, run, terminal)
            outcomes = _outcomes(result)
            if not run.dry_run:
                say_ending(Ended(name, outcomes, inputs, params, time.monotonic() - started))
            if outcomes:
                refuse_skipped(outcomes[-1].skipped, skip_bad=terminal.skip_bad)

        run_command.__signature__ = _signature(typed, takes, name)  # type: ignore[attr-defined]
        run_command.__annotations__ = {}
        run_command.__name__, run_command.__doc__ = name, body.__doc__
        return run_command

    return decorate


def _outcomes(result: Any) -> Sequence[Outcome]:
    """Return what a stage wrote; some also return the scores that are in it."""
    from unsegcli.dataflow.runner import Outcome, UpToDate

    if isinstance(result, Outcome):
        return [result]
    if isinstance(result, list):
        return result
    if not hasattr(result, "scores"):
        return []
    kind = UpToDate if result.unchanged else Outcome
    return [kind(result.path, getattr(result, "skipped", 0))]


def _options(settings: type, takes: Takes) -> Iterator[_CommandOption]:
    """Yield the options of a command in the order of `--help`; its own settings hide shared ones of the same name."""
    own = [one.name for one in fields(settings)]
    chosen: list[tuple[type, Sequence[str]]] = [
        (Run, [name for name in ("output",) if name in takes.run]),
        (settings, own),
        (Terminal, [name for name in ("json",) if name in takes.terminal]),
    ]
    if takes.images:
        chosen.append((Images, [one.name for one in fields(Images) if one.name not in own]))
    chosen += [
        (Inputs, takes.inputs),
        (Run, [name for name in takes.run if name != "output"]),
        (Terminal, [name for name in takes.terminal if name != "json"]),
    ]
    for owner, names in chosen:
        for one in fields(owner):
            if one.name in names and "option" in one.metadata:
                yield _CommandOption(owner, one)


def _values(given: Mapping[_CommandOption, Any], owner: type) -> dict[str, Any]:
    """Parse the options that were typed and belong to one dataclass."""
    found = {}
    for one, typed in given.items():
        if one.owner is owner:
            value = not typed if one.turns_off else typed
            found[one.field.name] = value_from(one.spellings[0], value, one.option, str(one.field.type))
    return found


def _check_alternatives(given: Mapping[_CommandOption, Any]) -> None:
    """Raise an error if two alternative options are given."""
    by_name = {one.field.name: one for one in given}
    for one in given:
        other = by_name.get(one.option.instead_of)
        if other is not None:
            raise typer.BadParameter(
                f"{one.spellings[0]} and {other.spellings[0]} cannot be used together: give one of them"
            )


def _preset(name: str, preset: str | None) -> dict[str, Any]:
    from unsegcli.presets import read_preset

    return read_preset(name, preset)


def _signature(typed: Sequence[_CommandOption], takes: Takes, name: str) -> inspect.Signature:
    """Build the signature that typer inspects."""
    parameters = []
    if takes.argument:
        argument = typer.Argument(metavar="INPUT", show_default=False, help=takes.argument)
        parameters.append(_parameter("inputs", Annotated[list[str] | None, argument], None))
    for one in typed:
        parameters.append(_parameter(one.name, Annotated[_type_of(one), _typer_option(one, takes, name)], None))
    if takes.preset:
        option = typer.Option("--preset", metavar=PRESET.metavar, show_default=False, help=PRESET.help)
        parameters.append(_parameter("preset", Annotated[str | None, option], None))
    return inspect.Signature(parameters)


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _type_of(one: _CommandOption) -> Any:
    if one.is_switch:
        return bool | None
    return list[str] | None if one.option.form.startswith("several") else str | None


def _typer_option(one: _CommandOption, takes: Takes, name: str) -> Any:
    option = one.option
    metavar = "|".join(option.choices) if option.choices else option.metavar
    help, default = option.help, _shown_default(one, name)
    if one.owner is Run and one.field.name == "output":
        metavar, help = ("FILE", _file_help(OUTPUTS[name])) if "." in OUTPUTS[name] else ("FOLDER", option.help)
    return typer.Option(
        *one.spellings,
        metavar=None if one.is_switch else metavar or "TEXT",
        show_default=False,
        help=help + (f"  [default: {default}]" if default else ""),
        rich_help_panel=option.panel or None,
        hidden=takes.folded and option.panel == READING,
    )


def _file_help(output: str) -> str:
    return "The HDF5 file to write." if output.endswith(".h5") else "The file to write."


def _shown_default(one: _CommandOption, name: str) -> str:
    """Format the default for `--help`; empty = not shown."""
    option, default = one.option, one.field.default
    if one.owner is Run and one.field.name == "output":
        return OUTPUTS[name]
    if option.shown:
        return "" if option.shown == "-" else option.shown
    if default is MISSING or default is None or default is False or (default is True and "/" not in option.flag):
        return ""
    if one.is_switch:
        return option.flag.split("/")[0].removeprefix("--")
    if isinstance(default, tuple):
        return ",".join(f"{value:g}" for value in default)
    return f"{default:g}" if isinstance(default, float) else str(default)
