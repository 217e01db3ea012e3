"""`unseg` and `python -m unsegcli`: nothing but the start, so that even the earliest Ctrl-C ends in one line."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of the console script."""
    if sys.platform == "win32":
        print("error: unseg does not run on Windows itself: use it inside WSL, as on Linux", file=sys.stderr)
        sys.exit(1)
    try:
        from unsegcli.cli import app
        from unsegcli.cli._lost_signals import end_at_signals
        from unsegcli.cli._starter import end_with_starter
        from unsegcli.cli._torch_processes import end_at_once_under_torchrun

        end_with_starter()
        try:
            app()
        except SystemExit as stop:
            end_at_once_under_torchrun(stop.code)
            raise
        finally:
            end_at_signals()
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
