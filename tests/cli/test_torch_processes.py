"""One of several processes of torchrun ends without what Python does at its end."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

ENDING = """
import atexit
from unsegcli.cli._torch_processes import end_at_once_under_torchrun
atexit.register(print, "what Python does at its end")
print("kept", flush=False)
end_at_once_under_torchrun({code!r})
"""


@pytest.mark.parametrize(("code", "ends_with"), [(None, 0), (0, 0), (143, 143), ("what is wrong", 1)])
@pytest.mark.parametrize("processes", ["", "1", "2"])
def test_several_processes_end_at_once(processes: str, code: object, ends_with: int) -> None:
    variables = {**os.environ, "WORLD_SIZE": processes}
    program = [sys.executable, "-c", ENDING.format(code=code)]
    done = subprocess.run(program, env=variables, capture_output=True, text=True, check=False)
    if processes == "2":
        assert (done.returncode, done.stdout) == (ends_with, "kept\n")
    else:
        assert (done.returncode, done.stdout) == (0, "kept\nwhat Python does at its end\n")
