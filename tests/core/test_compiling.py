"""Compiled functions: without a writable cache, by several processes at once, and with exact arithmetic."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unsegcli.core.compiling import compiled, plain

CODE = """
    import numpy as np
    from unsegcli.core.superpixels.lattice import _cut
    cuts = np.empty(4, np.int64)
    _cut(np.ones(9, np.int64), 3, cuts)
    assert cuts.tolist() == [0, 3, 6, 9]
    print(sum(_cut.stats.cache_hits.values()), sum(_cut.stats.cache_misses.values()))
"""


def ran(code: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_without_a_writable_cache_functions_are_compiled_by_each_process() -> None:
    nowhere = "from numba.core.caching import CacheImpl\nCacheImpl._locator_classes = []\n"  # as on a read-only disk
    kind = "print(type(_cut._cache).__name__)"
    output, said = ran(nowhere + textwrap.dedent(CODE) + kind).communicate()
    assert (output, said) == ("0 1\nNullCache\n", "")


def test_processes_that_start_together_compile_once(tmp_path: Path) -> None:
    inside = "from unsegcli.core.compiling import one_process\nwith one_process():\n" + textwrap.indent(
        textwrap.dedent(CODE), "    "
    )
    together = [ran(inside, NUMBA_CACHE_DIR=str(tmp_path / "cache"), TMPDIR=str(tmp_path)) for _ in range(2)]
    assert sorted(process.communicate()[0] for process in together) == ["0 1\n", "1 0\n"]


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / f"unseg-compiles-{os.getuid()}").symlink_to(tmp_path / "target")
    process = ran("from unsegcli.core.compiling import one_process\nwith one_process(): pass", TMPDIR=str(tmp_path))
    assert process.communicate() == ("", "")
    assert not (tmp_path / "target").exists()


def test_products_and_sums_are_rounded_one_by_one() -> None:
    """A fused multiply-add would keep the rest of the product."""

    @compiled
    def rest(a, b):  # type: ignore[no-untyped-def]
        return a * a - b

    assert rest(np.float32(1 + 2**-12), np.float32(1 + 2**-11)) == 0  # the square is 2^-24 more, half a step


class Stopped(Exception):
    """What the handler of a signal raises here."""


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM])
def raising(request: pytest.FixtureRequest) -> Iterator[int]:
    """A signal whose handler raises."""

    def stop(*_: object) -> None:
        raise Stopped

    before = signal.signal(request.param, stop)
    yield request.param
    assert signal.getsignal(request.param) is stop
    signal.signal(request.param, before)


def test_a_signal_during_compiled_code_is_handled_afterwards(raising: int) -> None:
    """The exception of its handler would otherwise become a SystemError."""

    @compiled
    def spin(values, times):  # type: ignore[no-untyped-def]
        for _ in range(times):
            values[0] = np.sqrt(values[0] + 1.0)
        return values.copy(), times

    spin(np.zeros(1), 1)
    threading.Timer(0.05, os.kill, (os.getpid(), raising)).start()
    with pytest.raises(Stopped):
        spin(np.zeros(1), 25_000_000)


def test_a_signal_does_not_interrupt_the_compiler(raising: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its exception would otherwise be lost in the compiler, or leave a function without code."""
    from numba.core.registry import CPUDispatcher

    finished = []

    def compile_during_a_signal(self: Any, *given: Any) -> Any:
        os.kill(os.getpid(), raising)
        made = original(self, *given)
        finished.append(made)
        return made

    original = CPUDispatcher.compile
    monkeypatch.setattr(CPUDispatcher, "compile", compile_during_a_signal)

    @compiled
    def one():  # type: ignore[no-untyped-def]
        return 1

    with pytest.raises(Stopped):
        one()
    assert len(finished) == 1


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    @compiled
    def one():  # type: ignore[no-untyped-def]
        return 1

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert one() == 1
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_plain_copies_only_what_must_be_copied() -> None:
    array = np.zeros((3, 4))
    assert plain(array) is array
    frozen = array.copy()
    frozen.flags.writeable = False
    for other in (array.T, array[:, ::2], frozen):
        assert plain(other).flags.c_contiguous
        assert plain(other).flags.writeable
        np.testing.assert_array_equal(plain(other), other)
