"""A Dask scheduler and workers as processes of their own, on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).parent
APART = ("unshare", "--mount", "sh", "-c")  # with mounts of its own, as on another machine
HIDE = 'mount -t tmpfs none "$0" && exec "$@"'
PATIENCE = 60.0  # seconds, on a busy machine


@dataclass
class Running:
    """A scheduler, and its workers."""

    file: Path  # which names the scheduler
    scheduler: subprocess.Popen[bytes]
    workers: list[subprocess.Popen[bytes]]

    @property
    def address(self) -> str:
        return str(json.loads(self.file.read_text())["address"])

    def add_worker(self, threads: int = 1, hidden: Path | None = None) -> subprocess.Popen[bytes]:
        """Start one more worker, which nobody starts again if it dies, and for which a folder may be empty."""
        name = f"worker-{len(self.workers)}"
        options = ["--scheduler-file", str(self.file), "--nthreads", str(threads), "--no-nanny", "--name", name]
        options += ["--no-dashboard", "--local-directory", str(self.file.parent), "--death-timeout", "60"]
        before = () if hidden is None else (*APART, HIDE, str(hidden))
        self.workers.append(_started("dask_worker", options, self.file.parent / name, before))
        return self.workers[-1]


@contextmanager
def running_cluster(folder: Path, workers: int = 2) -> Iterator[Running]:
    """Start a scheduler and workers, and kill them at the end."""
    file = folder / "scheduler.json"
    options = [
        "--host",
        "127.0.0.1",
        "--port",
        "0",
        "--dashboard-address",
        "127.0.0.1:0",
        "--scheduler-file",
        str(file),
    ]
    running = Running(file, _started("dask_scheduler", options, folder / "scheduler"), [])
    try:
        deadline = time.monotonic() + PATIENCE
        while not (file.exists() and file.read_text().endswith("}")):
            if time.monotonic() > deadline or running.scheduler.poll() is not None:
                raise RuntimeError(f"no scheduler: {(folder / 'scheduler.log').read_text()}")
            time.sleep(0.05)
        for _ in range(workers):
            running.add_worker()
        yield running
    finally:
        for process in (*running.workers, running.scheduler):
            process.kill()
            process.wait()


def _started(module: str, options: list[str], log: Path, before: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
    """Start a command of Dask in a folder of its own, so that relative paths mean something else there."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)]), "OMP_NUM_THREADS": "1"}
    with log.with_suffix(".log").open("wb") as said:
        return subprocess.Popen(
            [*before, sys.executable, "-m", f"distributed.cli.{module}", *options],
            cwd=log.parent,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
        )
