"""Work spread over processes, results in the order of the tasks, memory bounded by what is in flight.

Results never depend on the number of workers: every task is computed alone, by one thread.
"""

from __future__ import annotations

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
TASKS_WORTH_A_WORKER = 8  # starting a process costs about as much as a few small images


def available_cores() -> int:
    """Processors that this process may use."""
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
        tasks: taken one by one, at most two batches per worker ahead of the result that is awaited.
        workers: 0 = one for each processor; 1 = in this process.
        expected: how many tasks there are, if known: few tasks get few processes.
        batch: tasks sent to a process at once; more than 1 where a task takes only about a millisecond.
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
        for results in _in_order(pool, partial(_each, function), batches, in_flight=2 * workers):
            yield from results


def _each(function: Callable[[Task], Result], tasks: list[Task]) -> list[Result]:
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
    """Submit with Ctrl-C held back: a process that is started now inherits that, until it can ignore it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.submit(function, task)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Processes with one thread each, which end when this process ends, however it ends."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=_start_worker)
    others = set(multiprocessing.active_children())
    unwanted = True
    try:
        yield pool
        unwanted = False
    except Exception:
        unwanted = False
        raise
    finally:
        if unwanted:  # Ctrl-C, SIGTERM, or nobody takes further results: do not wait for the tasks at work
            for child in set(multiprocessing.active_children()) - others:
                child.terminate()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        # A future that is cancelled while its process is terminated makes Python print a traceback.
        pool.shutdown(wait=True, cancel_futures=not unwanted)


def _start_worker() -> None:
    """Leave Ctrl-C to the parent, and end as soon as the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
