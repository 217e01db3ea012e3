"""Map a function over tasks in parallel processes, with results in order and bounded memory.

Results do not depend on the number of workers: each task is computed independently, in one thread.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import wait
from typing import TypeVar

from unsegcli.errors import UnsegError

Task = TypeVar("Task")
Result = TypeVar("Result")

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
PIPE_BYTES = 1 << 20  # what Linux allows every user
TASKS_WORTH_A_WORKER = 8  # starting a process takes as long as a few small images


def available_cores() -> int:
    """Return the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def ordered_map(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    workers: int = 0,
    expected: int | None = None,
    batch: int = 1,
) -> Iterator[Result]:
    """Yield `function(task)` for each task, in order, computed by up to `workers` processes.

    Args:
        function: a module-level function; it and its tasks must be picklable.
        tasks: consumed lazily, at most two batches per worker ahead of the next result.
        workers: 0 = one for each processor; 1 = in this process.
        expected: number of tasks, if known; few tasks use few processes.
        batch: tasks sent to a process at once; use more than 1 if a task takes only about a millisecond.
    """
    workers = workers or available_cores()
    if expected is not None:
        workers = min(workers, max(1, expected // TASKS_WORTH_A_WORKER))
    if workers == 1:
        yield from map(function, tasks)
        return
    source = iter(tasks)
    batches = iter(lambda: list(itertools.islice(source, batch)), [])
    with _pool(workers) as pool:
        for results in _in_order(pool, partial(_apply_all, function), batches, in_flight=2 * workers):
            yield from results


def _apply_all(function: Callable[[Task], Result], tasks: list[Task]) -> list[Result]:
    return [function(task) for task in tasks]


def _in_order(
    pool: ProcessPoolExecutor, function: Callable[[Task], Result], tasks: Iterator[Task], in_flight: int
) -> Iterator[Result]:
    waiting: deque[Future[Result]] = deque()
    try:
        for task in itertools.islice(tasks, in_flight):
            waiting.append(_submit(pool, function, task))
        while waiting:
            result = waiting.popleft().result()
            for task in itertools.islice(tasks, 1):
                waiting.append(_submit(pool, function, task))
            yield result
    except BrokenProcessPool as error:
        raise UnsegError(
            "a worker process died: if memory ran out, use fewer --workers or a smaller --size; "
            'a Python script must call unsegcli below `if __name__ == "__main__":`'
        ) from error


def _submit(pool: ProcessPoolExecutor, function: Callable[[Task], Result], task: Task) -> Future[Result]:
    """Submit with SIGINT blocked: a process started now inherits the block until it can ignore the signal."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.submit(function, task)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Start single-threaded processes that exit when this process exits, for whatever reason."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=_start_worker)
    _widen(pool)
    others = set(multiprocessing.active_children())
    abandoned = True
    try:
        yield pool
        abandoned = False
    except Exception:
        abandoned = False
        raise
    finally:
        if abandoned:  # Ctrl-C, SIGTERM, or the results are no longer needed: do not wait for running tasks
            for child in set(multiprocessing.active_children()) - others:
                child.terminate()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        # Cancelling a future while its process is being terminated makes Python print a traceback.
        pool.shutdown(wait=True, cancel_futures=not abandoned)


def _widen(pool: ProcessPoolExecutor) -> None:
    """Enlarge the pipe of the results where the system can: Python takes twice as long to read 64 KiB at a time."""
    with contextlib.suppress(AttributeError, OSError):
        fcntl.fcntl(pool._result_queue._reader.fileno(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)  # type: ignore[attr-defined]


def _start_worker() -> None:
    """Ignore Ctrl-C, which the parent handles, and exit as soon as the parent exits."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_exit_with_parent, args=(parent.sentinel,), daemon=True).start()


def _exit_with_parent(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
