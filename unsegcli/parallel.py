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
from concurrent.futures import wait as wait_for
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import wait
from typing import Any, TypeVar

from unsegcli.errors import UnsegError

Task = TypeVar("Task")
Result = TypeVar("Result")
Report = Callable[[float], None]
Shares = Any  # a shared array of floats, one for each batch that is submitted

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
PIPE_BYTES = 1 << 20  # what Linux allows every user
SECONDS_BETWEEN_REPORTS = 0.2
TASKS_WORTH_A_WORKER = 8  # starting a process takes as long as a few small images

CONTEXT = multiprocessing.get_context("spawn")


def say_nothing(share: float) -> None:
    """Report to nobody."""


_report: Report = say_nothing  # of the task that this process works on
_done: Shares = None  # in a worker
_function: Callable[[Any], Any] | None = None  # in a worker: what it computes of each task


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
    ahead: Report | None = None,
) -> Iterator[Result]:
    """Yield `function(task)` for each task, in order, computed by up to `workers` processes.

    Args:
        function: a module-level function; it and its tasks must be picklable. Each process gets it once.
        tasks: consumed lazily, at most two batches per worker ahead of the next result.
        workers: 0 = one for each processor; 1 = in this process.
        expected: number of tasks, if known; few tasks use few processes.
        batch: tasks sent to a process at once; use more than 1 if a task takes only about a millisecond.
        ahead: called now and then with how many tasks after the last result are done; a task that calls `report`
            counts in part.
    """
    workers = workers or available_cores()
    if expected is not None:
        workers = min(workers, max(1, expected // TASKS_WORTH_A_WORKER))
    if workers == 1:
        for task in tasks:
            with _reporting(ahead or say_nothing):
                result = function(task)
            yield result
        return
    source = iter(tasks)
    batches = iter(lambda: list(itertools.islice(source, batch)), [])
    done = CONTEXT.RawArray("d", 2 * workers)
    with _pool(workers, done, function) as pool:
        for results in _in_order(pool, _apply_all, batches, done, ahead or say_nothing):
            yield from results


def report(share: float) -> None:
    """Say which share of the present task is done, from 0 to 1, for the progress bar; a task may leave it out."""
    _report(share)


@contextmanager
def _reporting(to: Report) -> Iterator[None]:
    global _report
    before, _report = _report, to
    try:
        yield
    finally:
        _report = before


def _apply_all(place: int, tasks: list[Any]) -> list[Any]:
    """Compute all tasks of a batch in a worker, by the function that it was started with."""
    if _function is None:
        raise RuntimeError("only a process of the pool computes batches")
    results = []
    for number, task in enumerate(tasks):
        with _reporting(partial(_write_done, place, number)):
            results.append(_function(task))
        _write_done(place, number, 1.0)
    return results


def _write_done(place: int, before: int, share: float) -> None:
    """Tell the parent how many tasks of a batch are done; no lock is needed, as each batch has a place of its own."""
    _done[place] = before + share


def _in_order(
    pool: ProcessPoolExecutor,
    function: Callable[[int, Task], Result],
    tasks: Iterator[Task],
    done: Shares,
    ahead: Report,
) -> Iterator[Result]:
    """Yield results in order. At most as many tasks as `done` has places are submitted; their places repeat."""
    waiting: deque[Future[Result]] = deque()
    places = itertools.cycle(range(len(done)))
    try:
        for task in itertools.islice(tasks, len(done)):
            waiting.append(_submit(pool, partial(function, next(places)), task))
        for place in itertools.cycle(range(len(done))):
            if not waiting:
                return
            while not wait_for([waiting[0]], timeout=SECONDS_BETWEEN_REPORTS).done:
                ahead(sum(done))
            result = waiting.popleft().result()
            done[place] = 0.0
            for task in itertools.islice(tasks, 1):
                waiting.append(_submit(pool, partial(function, next(places)), task))
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
def _pool(workers: int, done: Shares, function: Callable[[Any], Any]) -> Iterator[ProcessPoolExecutor]:
    """Start single-threaded processes that exit when this process exits, for whatever reason.

    Each gets the function when it starts: with every task, a function that holds a table would be sent anew.
    """
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    pool = ProcessPoolExecutor(workers, mp_context=CONTEXT, initializer=_start_worker, initargs=(done, function))
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


def _start_worker(done: Shares, function: Callable[[Any], Any]) -> None:
    """Ignore Ctrl-C, which the parent handles, and exit as soon as the parent exits."""
    global _done, _function
    _done, _function = done, function
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_exit_with_parent, args=(parent.sentinel,), daemon=True).start()


def _exit_with_parent(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
