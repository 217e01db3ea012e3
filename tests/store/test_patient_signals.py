"""Signals that arrive while HDF5 calls our methods to write: the file is closed, and the run ends as it should."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sample_artifacts import INPUTS, RECIPE, sample

from unsegcli.cli._lost_signals import lost_signals_repeated
from unsegcli.store import Target, encode, open_artifact, problems_of, writing
from unsegcli.store.durable import PatientFile
from unsegcli.store.patient_signals import signals_wait_for

MANY, STEP = 1000, 11  # more writes than an artifact has; not all are tried


class Terminated(BaseException):
    """What the handler of SIGTERM raises."""


@pytest.fixture(autouse=True)
def _sigterm_raises(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def terminate(number: int, frame: Any) -> None:
        raise Terminated

    monkeypatch.setattr(writing, "SHARD_SECONDS", -1.0)
    before = signal.signal(signal.SIGTERM, terminate)
    yield
    signal.signal(signal.SIGTERM, before)


def write(path: Path) -> None:
    whole = sample("segmentation")
    with Target(path, "segmentation", RECIPE).writing() as writer:
        if not writer.notes:
            windows = [{name: encode(np.asarray(values)) for name, values in one.items()} for one in whole.windows]
            writer.append(windows, 0)
        writer.finish(whole.tables, whole.attributes, INPUTS)


def signalled_at(at: int, number: int) -> tuple[Callable[[PatientFile, Path], None], list[int]]:
    """How to open a file that sends a signal at the write with a number, and the list of writes."""
    calls: list[int] = []
    usual = PatientFile.__init__

    def opened(file: PatientFile, path: Path) -> None:
        usual(file, path)
        handle: Any = file._handle

        class Handle:
            def write(self, content: Any) -> int:
                calls.append(at)
                if len(calls) == at:
                    os.kill(os.getpid(), number)
                return int(handle.write(content))

            def __getattr__(self, name: str) -> Any:
                return getattr(handle, name)

        file._handle = Handle()  # type: ignore[assignment]

    return opened, calls


@pytest.mark.parametrize(("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)])
def test_a_signal_at_any_write_ends_the_run_and_is_not_lost(
    number: int, raised: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "whole.h5")
    with open_artifact(tmp_path / "whole.h5") as artifact:
        wanted = artifact.fingerprint
    for at in range(1, MANY, STEP):
        path = tmp_path / f"{at}.h5"
        opened, calls = signalled_at(at, number)
        with monkeypatch.context() as patch:
            patch.setattr(PatientFile, "__init__", opened)
            try:
                with lost_signals_repeated({raised: number}):  # as around every command
                    write(path)
                    time.sleep(len(calls) >= at)  # a signal that was dropped comes again
            except raised:
                assert len(calls) >= at
            else:
                assert len(calls) < at, "the signal is lost"
                break
        write(path)
        with open_artifact(path) as artifact:
            assert (artifact.fingerprint, problems_of(artifact)) == (wanted, [])
        assert list(tmp_path.glob("*.partial")) == []
    assert at > STEP


def test_handlers_are_as_before_at_the_end() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(Terminated), signals_wait_for({interrupting.__code__}):
        interrupting()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def interrupting() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
