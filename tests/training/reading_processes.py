"""Two real processes that share training images; started by test_shared_images.py, with a folder and what happens."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import distributed
from training.test_shared_images import alone, check_same

from unsegcli.cli._torch_processes import end_at_once_under_torchrun
from unsegcli.core.nn.distributed_sums import rank
from unsegcli.dataflow import dataset as datasets
from unsegcli.dataflow.dataset import Dataset, dataset_from_artifact, dataset_from_files, release_artifacts
from unsegcli.errors import UnsegError
from unsegcli.params import Inputs
from unsegcli.training.data import Bad, Reader, open_proposals
from unsegcli.training.shared_images import pool_of_processes

TERMINATED = 143


def end(number: int, frame: Any) -> None:
    sys.exit(TERMINATED)


def compare(folder: Path, dataset: Dataset, reader: Reader) -> int:
    """Check that the shared images are those of one process, and return how many there are."""
    bad: Bad = [("before.png", "skipped before")]
    pool = pool_of_processes(dataset, folder / "m.h5.partial", 4.0, reader, bad)
    check_same((pool, bad), alone(dataset, reader))
    return len(pool.images)


def same(folder: Path) -> None:
    datasets.PIXELS_OF_A_BLOCK = 3 * 24 * 44
    datasets.decodes_in_parts = lambda source, reading: source.name == "b.png"
    described = Reader(1, describe=True)
    counts = [compare(folder, dataset_from_artifact(folder / name), described) for name in ("sp.h5", "bare.h5")]
    masked = Reader(1, open_proposals(folder / "masks.h5"), 0.5)
    counts += [compare(folder, dataset_from_files(Inputs([folder / "data"])).opened(1), masked)]
    release_artifacts()
    (folder / f"counts-{rank()}").write_text(" ".join(map(str, counts)))


def interrupted(folder: Path, number: signal.Signals) -> None:
    """The second process gets a signal at its second image, while the first has many left."""
    read: list[str] = []
    original: Callable[..., Any] = datasets.read_working

    def noted(source: Any, reading: Any) -> Any:
        read.append(source.name)
        (folder / f"read-{rank()}").write_text(str(len(read)))
        if rank() == 1 and len(read) == 2:
            os.kill(os.getpid(), number)
        return original(source, reading)

    datasets.read_working = noted
    dataset = dataset_from_files(Inputs([folder / "many"])).opened(1)
    signal.signal(signal.SIGTERM, end)
    try:
        pool_of_processes(dataset, folder / "m.h5.partial", 4.0, Reader(1), [])
    except UnsegError as error:
        sys.exit(str(error))


def main(folder: Path, what: str) -> None:
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet-{what}", world_size=2, rank=int(os.environ["RANK"])
    )
    if what == "same":
        same(folder)
    else:
        interrupted(folder, signal.Signals[what])
    distributed.destroy_process_group()


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), sys.argv[2])
    except SystemExit as stop:
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)
        end_at_once_under_torchrun(stop.code)
