"""`unseg` and `python -m unsegcli`: nothing but the start, so that even the earliest Ctrl-C ends in one line."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of the console script."""
    try:
        from unsegcli.cli import app

        app()
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
