"""Compiled functions: without a writable cache, by several processes at once, and with exact arithmetic."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np

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


def test_plain_copies_only_what_must_be_copied() -> None:
    array = np.zeros((3, 4))
    assert plain(array) is array
    frozen = array.copy()
    frozen.flags.writeable = False
    for other in (array.T, array[:, ::2], frozen):
        assert plain(other).flags.c_contiguous
        assert plain(other).flags.writeable
        np.testing.assert_array_equal(plain(other), other)
