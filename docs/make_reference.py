"""Writes docs/reference.md, the list of all commands and options, from the commands themselves.

python docs/make_reference.py
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

from unsegcli.cli import app
from unsegcli.params import READING, RUNNING

PAGE = Path(__file__).parent / "reference.md"
SHARED = {
    READING: "Of commands that are given images. An HDF5 file has its pixels already, and refuses most of these.",
    RUNNING: "Each command lists those that it takes.",
}
OPENING = """# Command reference

Written by `docs/make_reference.py` from the commands themselves; do not edit it. `unseg COMMAND --help` shows the same.
How to choose is said in the [guide](guide/index.md).
"""


def spellings(option: Any) -> list[str]:
    """Every way to type an option, short ones last."""
    found = [*option.opts, *option.secondary_opts]
    return sorted(found, key=lambda one: not one.startswith("--"))


def cell(text: str) -> str:
    """Text that stays in one cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def anchor(heading: str) -> str:
    """The anchor of a heading, as code hosts and the site name it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def row(option: Any) -> str:
    """One option as a row: spellings, value, default, help."""
    help, _, default = (option.help or "").partition("  [default: ")
    # "The folder to write." of an output is that of the command; a switch has no value
    value = "" if option.is_flag else option.metavar or ""
    typed = ", ".join(f"`{one}`" for one in spellings(option))
    shown = [f"`{cell(text)}`" if text else "" for text in (value, default.removesuffix("]"))]
    return f"| {typed} | {shown[0]} | {shown[1]} | {cell(help)} |"


def listed(options: list[Any]) -> Iterator[str]:
    """A table of options."""
    yield "| option | value | default | what it does |"
    yield "|---|---|---|---|"
    for option in options:
        yield row(option)
    yield ""


def by_group(command: Any) -> dict[str, list[Any]]:
    """The options of a command below the headings of its help."""
    found: dict[str, list[Any]] = {}
    for parameter in command.params:
        if parameter.param_type_name == "option" and parameter.name != "help":
            found.setdefault(parameter.rich_help_panel or "Options", []).append(parameter)
    return found


def description(command: Any) -> Iterator[str]:
    """What a command is for; its examples as a block."""
    for paragraph in (command.help or "").split("\n\n"):
        text = " ".join(paragraph.split())
        found = re.match(r"(.*?)(?:Examples?|Then):\s*(unseg .*)", text)
        if found and "unseg" in found[2]:
            if found[1].strip():
                yield from (found[1].strip(), "")
            yield from ("```text", *(line.strip() for line in found[2].split(" | unseg ")[:1]))
            yield from (f"unseg {line.strip()}" for line in found[2].split(" | unseg ")[1:])
            yield from ("```", "")
        else:
            yield from (text, "")


def section(name: str, command: Any) -> Iterator[str]:
    """All about one command."""
    yield from (f"## unseg {name}", "")
    yield from description(command)
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            yield from (f"`{parameter.metavar}`: {' '.join(parameter.help.split())}", "")
    groups = by_group(command)
    for group, options in groups.items():
        if group not in SHARED:
            if group != "Options":
                yield from (f"**{group}**", "")
            yield from listed(options)
    for group in SHARED:
        if group in groups:
            names = ", ".join(f"`{one}`" for option in groups[group] for one in spellings(option))
            yield from (f"[{group}](#{anchor(group)}): {names}.", "")


def reference() -> str:
    """The whole page."""
    root: Any = typer.main.get_command(app)
    lines = [OPENING]
    lines += [f"* [unseg {name}](#{anchor(f'unseg {name}')}): {brief(command)}" for name, command in commands(root)]
    lines += ["", "## unseg", "", *description(root), *listed(by_group(root)["Options"])]
    for name, command in commands(root):
        lines += section(name, command)
    for group, about in SHARED.items():
        options = {
            option.opts[0]: option for _, command in commands(root) for option in by_group(command).get(group, [])
        }
        lines += [f"## {group}", "", about, "", *listed(list(options.values()))]
    return "\n".join(lines).rstrip() + "\n"


def commands(root: Any) -> list[tuple[str, Any]]:
    """Names and commands, in the order of `unseg --help`."""
    return list(root.commands.items())


def brief(command: Any) -> str:
    """The first sentence of what a command says of itself."""
    return " ".join((command.help or "").split("\n\n")[0].split())


if __name__ == "__main__":
    PAGE.write_text(reference())
    print(PAGE)
