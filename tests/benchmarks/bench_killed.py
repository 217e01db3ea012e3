"""A run that is killed at a random moment leaves nothing half, and the next run ends as if nothing had happened."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from bench_common import UNSEG, Line, write_photographs

# Shards come every ten seconds in earnest; here so often that most runs are killed between two of them.
DRIVER = (
    "import sys, unsegcli.store.writing as writing; writing.SHARD_SECONDS = 0.05; "
    "from unsegcli.__main__ import main; sys.exit(main())"
)
IMAGES, SIDE = 40, 320  # enough pixels for two processes
GRACE = 10.0  # seconds in which orphaned workers must be gone


def measure(folder: Path, quick: bool) -> list[Line]:
    """SIGKILL to the parent alone, at moments spread over the length of an undisturbed run."""
    write_photographs(folder / "pictures", IMAGES, SIDE)
    started = time.monotonic()
    _run(folder / "whole.h5").wait()
    length = time.monotonic() - started
    wanted = _fingerprint(folder / "whole.h5")
    seed = int(time.time())
    moments = random.Random(seed)
    times = 5 if quick else 20
    good, faults = 0, []
    states = {"before the first shard": 0, "between shards": 0, "after the end": 0}
    for number in range(times):
        output = folder / f"killed{number}.h5"
        found, state = _once(output, moments.uniform(0.05, 1.0) * length, wanted)
        states[state] += 1
        good += not found
        faults += [f"{number}: {fault}" for fault in found]
        output.unlink(missing_ok=True)
        shutil.rmtree(output.with_name(output.name + ".partial"), ignore_errors=True)
    told = ", ".join(f"{count} {state}" for state, count in states.items())
    lines = [
        Line(
            f"killed at random in a run of {length:.1f} s (seed {seed}; {told}): no half file, no worker left, "
            "the rerun equals an undisturbed run",
            f"{good} of {times}",
            f"{times} of {times}",
            good == times,
        )
    ]
    return lines + [Line(f"fault in run {fault}", "", "none", False) for fault in faults]


def _once(output: Path, after: float, wanted: str) -> tuple[list[str], str]:
    """Kill one run; return what is wrong, and how far it had come."""
    child = _run(output)
    time.sleep(after)
    child.kill()
    child.wait()
    faults = []
    if not _group_ends(child.pid):
        faults.append(f"a worker is alive {GRACE:.0f} s after its parent was killed")
        os.killpg(child.pid, signal.SIGKILL)
    shards = len(list(output.with_name(output.name + ".partial").glob("shard-*.h5")))
    state = "after the end" if output.exists() else "between shards" if shards else "before the first shard"
    if output.exists() and _unseg("inspect", "--verify", str(output)).returncode:
        faults.append("the output exists and `inspect --verify` fails")
    again = _run(output, stderr=subprocess.PIPE)
    said = again.communicate()[1]
    if again.returncode:
        faults.append(f"the rerun fails: {said.strip()}")
        return faults, state
    if state == "between shards" and "going on after" not in said:
        faults.append("the rerun threw the shards away")
    if _fingerprint(output) != wanted:
        faults.append("the rerun has another fingerprint")
    if _unseg("inspect", "--verify", str(output)).returncode:
        faults.append("`inspect --verify` fails after the rerun")
    if output.with_name(output.name + ".partial").exists():
        faults.append("the partial folder is still there after the rerun")
    return faults, state


def _run(output: Path, stderr: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", DRIVER, "superpixels", str(output.parent / "pictures"), "-o", str(output)]
    return subprocess.Popen(
        [*command, "--workers", "2"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        text=True,
        start_new_session=True,
    )


def _group_ends(group: int) -> bool:
    """Whether every process of the group is gone, after at most GRACE seconds."""
    until = time.monotonic() + GRACE
    while time.monotonic() < until:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def _fingerprint(path: Path) -> str:
    return str(json.loads(_unseg("inspect", "--json", str(path)).stdout)["fingerprint"])


def _unseg(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([UNSEG, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
