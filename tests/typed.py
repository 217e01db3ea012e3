"""Commands as a user types them, in this process."""

from __future__ import annotations

from typer.testing import CliRunner, Result

from unsegcli.cli import app

HOSTILE = "\x1b[2J\x1b[31mBAD\r\n\x9b0m\u202egnp.a"  # what a terminal would obey
HARMLESS = r"\x1b[2J\x1b[31mBAD\r\n\x9b0m\u202egnp.a"


def unseg(*arguments: object, expect: int = 0) -> Result:
    """Run `unseg` with these arguments; any exit code but the expected one fails, with what it said."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == expect, result.output
    return result


def one_line(result: Result) -> str:
    """The error message, which must be one line."""
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, result.stderr
    assert "Traceback" not in result.output
    return lines[0]
