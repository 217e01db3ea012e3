"""Help in plain text, with the options in named groups: quick to print, easy to search, never cut off."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

WIDTH = 100


class GroupedCommand(TyperCommand):
    """A command whose options are listed below the headings that they carry as `rich_help_panel`."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write one section for each heading, in the order in which the headings first appear."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                default = "Input" if parameter.param_type_name == "argument" else "Options"
                heading = getattr(parameter, "rich_help_panel", None) or default
                sections.setdefault(heading, []).append(record)
        for heading, rows in sections.items():
            with formatter.section(heading):
                formatter.write_dl(rows)
