"""Map a function over tasks on the workers of a Dask cluster, with results in order and bounded memory.

Batches of tasks are sent, a few for each worker; if a worker dies, Dask gives its batches to others. The package
`distributed` is optional (extra `dask`): only this file imports it, and only when a cluster is used.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import logging
import os
import pickle
import platform
import signal
import socket
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import metadata, util
from multiprocessing import resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from unsegcli import console
from unsegcli._version import __version__
from unsegcli.errors import UnsegError
from unsegcli.parallel import THREAD_VARIABLES, Report, available_cores, say_nothing
from unsegcli.params import DASK_LOCAL

if TYPE_CHECKING:
    from distributed import Client

INSTALL = "pip install '.[dask]' in your copy of unseg"
COMPARED = ("numpy", "scipy", "scikit-image", "numba", "pillow", "imagecodecs", "tifffile", "h5py")
SECONDS_OF_A_BATCH = 1.0  # long beside the cost of sending it, about 5 ms; short beside what is lost with a worker
LARGEST_BATCH = 64
BATCHES_A_THREAD = 3  # sent and not yet received
RETRIES = 2  # of a batch that raises an error: a file server may have been away
SECONDS_BETWEEN_REPORTS = 0.2
SECONDS_BETWEEN_COUNTS = 10.0  # of workers, which come and go
SECONDS_TO_CONNECT = 10.0
SECONDS_TO_END = 5.0
SECONDS_TO_STOP = 0.3  # of running tasks, once the cluster is being closed
LOGGERS = ("distributed", "distributed.client", "distributed.nanny", "distributed.scheduler", "distributed.worker")
SILENT = logging.CRITICAL + 1
NAMED = 3  # images of a batch, in an error


def no_release() -> None:
    """Release nothing."""


@dataclass(frozen=True)
class Handling:
    """What is to be known about tasks beside the function that is applied to them."""

    name: Callable[[Any], str] = str  # what a task is called in messages
    stays: Callable[[Any], bool] = field(default=lambda task: False)  # tasks that are done in this process
    doubted: Callable[[Any], bool] = field(default=lambda result: False)  # results that are tried here as well
    release: Callable[[], None] = no_release  # called on each worker at the end
    needed: Sequence[str] = ()  # files that every worker must see


class Versions(NamedTuple):
    """What results may depend on."""

    unseg: str
    python: str
    machine: str
    packages: tuple[tuple[str, str], ...]


class BatchDone(NamedTuple):
    """What a worker returns."""

    results: list[Any]
    seconds: float
    worker: str  # its address


@dataclass
class _Sent:
    """Tasks of one batch, and the promise of their results; None = they are done in this process."""

    tasks: list[Any]
    future: Any


def mapped_by_dask(
    function: Callable[[Any], Any],
    tasks: Iterable[Any],
    address: str,
    handling: Handling | None = None,
    ahead: Report = say_nothing,
) -> Iterator[Any]:
    """Yield `function(task)` for each task, in order, computed by the workers of a Dask cluster.

    Args:
        function: a module-level function, or a `partial` of one; it and its tasks must be picklable.
        tasks: consumed lazily.
        address: `local` or `local:N`, for N processes of this machine; an address of a scheduler; or its JSON file.
        handling: what is to be known about the tasks.
        ahead: called now and then with how many tasks after the last result are done.
    """
    handling = handling or Handling()
    with _cluster(address) as client:
        crew = _Crew(client, address, function, handling)
        with crew.lost_named(()):
            crew.check()
        try:
            yield from crew.in_order(iter(tasks), ahead)
        finally:
            crew.end()


def library_of_dask() -> Any:
    """Import `distributed`, or say how to install it."""
    try:
        import distributed
    except ImportError as error:
        raise UnsegError(f"--dask: needs the package distributed: {INSTALL}") from error
    return distributed


def local_count(address: str) -> int | None:
    """Return the number of local processes that are asked for; None if it is another cluster."""
    word, _, number = address.partition(":")
    if word != DASK_LOCAL:
        return None
    return int(number) if number else available_cores()


# ---------------------------------------------------------------------------------------- in this process


class _Crew:
    """The workers of a cluster, and the batches that they work on."""

    def __init__(self, client: Client, address: str, function: Callable[[Any], Any], handling: Handling) -> None:
        self.client, self.address, self.function, self.handling = client, address, function, handling
        self.shared = pickle.dumps((versions_here(), str(Path.cwd()), function))
        self.sent: deque[_Sent] = deque()
        self.batch = 1
        self.threads, self.counted_at = 1, 0.0
        self.warned = self.alone = False
        self.arrived = threading.Event()

    def check(self) -> None:
        """Wait for a worker, and raise an error unless all of them can do what this process would do."""
        if not self.count():
            console.note(f"{self.address}: has no Dask worker yet; waiting for the first one")
            while not self.count():
                with contextlib.suppress(TimeoutError):
                    self.client.wait_for_workers(1, timeout=SECONDS_BETWEEN_COUNTS)
                self.check_scheduler()
        asked = (versions_here(), str(Path.cwd()), [str(Path(path).absolute()) for path in self.handling.needed])
        found = self.client.run(problem_of_worker, *asked, on_error="return")
        for worker, problem in sorted(found.items()):
            if isinstance(problem, OSError):
                continue  # it has gone meanwhile
            if isinstance(problem, Exception):
                if "unsegcli" not in str(problem):
                    raise problem
                problem = _other_unseg(problem)
            if problem:
                raise UnsegError(f"Dask worker {worker}: {problem}")

    def count(self) -> int:
        """Return the number of workers; they are counted anew now and then."""
        workers = self.client.nthreads()
        self.threads, self.counted_at = max(1, sum(workers.values())), time.monotonic()
        return len(workers)

    def look_around(self) -> None:
        """Count the workers now and then, and say so if none is left."""
        if time.monotonic() - self.counted_at < SECONDS_BETWEEN_COUNTS:
            return
        before, self.alone = self.alone, not self.count()
        if self.alone and not before:
            console.note(f"{self.address}: no Dask worker is left; waiting for one")

    def in_order(self, tasks: Iterator[Any], ahead: Report) -> Iterator[Any]:
        """Yield results in order, while a bounded number of batches is worked on."""
        batches = self.batches(tasks)
        while True:
            for stays, batch in itertools.islice(batches, max(0, BATCHES_A_THREAD * self.threads - len(self.sent))):
                self.sent.append(_Sent(batch, None if stays else self.submit(batch)))
            if not self.sent:
                return
            yield from self.results_of(self.sent[0], ahead)

    def batches(self, tasks: Iterator[Any]) -> Iterator[tuple[bool, list[Any]]]:
        """Divide tasks into batches that take about a second, with whether they stay in this process."""
        for stays, some in itertools.groupby(tasks, self.handling.stays):
            while batch := list(itertools.islice(some, self.batch)):
                yield stays, batch

    def submit(self, batch: list[Any]) -> Any:
        """Send a batch."""
        with self.lost_named(batch):
            future = self.promised(done_on_worker, self.shared, pickle.dumps(batch), retries=RETRIES)
        future.add_done_callback(lambda _: self.arrived.set())
        return future

    def promised(self, function: Callable[..., Any], *inputs: Any, retries: int = 0, worker: str = "") -> Any:
        """Let a worker call one of our functions. The scheduler sees bytes only, so it needs no unseg."""

        def call(payload: bytes) -> Any:  # sent as code, since it lies inside a function
            import pickle

            function, inputs = pickle.loads(payload)
            return function(*inputs)

        payload = pickle.dumps((function, inputs))
        key, workers = f"unseg-{os.urandom(12).hex()}", [worker] if worker else None
        return self.client.submit(call, payload, key=key, pure=False, retries=retries, workers=workers)

    def results_of(self, first: _Sent, ahead: Report) -> Iterator[Any]:
        """Wait for the first batch that was sent, and yield its results."""
        if first.future is None:
            self.sent.popleft()
            yield from map(self.function, first.tasks)
            return
        done = self.received(first, ahead)
        self.sent.popleft()
        each = max(done.seconds / len(first.tasks), SECONDS_OF_A_BATCH / LARGEST_BATCH)
        self.batch = max(1, min(2 * self.batch, int(SECONDS_OF_A_BATCH / each)))
        for task, result in zip(first.tasks, done.results, strict=True):
            yield self.tried_here(task, result, done.worker) if self.handling.doubted(result) else result

    def received(self, first: _Sent, ahead: Report) -> BatchDone:
        """Wait for a batch."""
        with self.lost_named(first.tasks):
            self.look_around()
            while not first.future.done():
                self.arrived.wait(SECONDS_BETWEEN_REPORTS)
                self.arrived.clear()
                ahead(sum(len(one.tasks) for one in self.sent if one.future is not None and one.future.done()))
                self.check_scheduler()
                self.look_around()
            found: BatchDone = first.future.result()
            return found

    def tried_here(self, task: Any, result: Any, worker: str) -> Any:
        """Compute a doubted result in this process: it may be wrong on the worker only."""
        here = self.function(task)
        if not self.handling.doubted(here) and not self.warned:
            self.warned = True
            console.warn(
                f"Dask worker {worker} could not read {self.handling.name(task)}, which this process can: "
                "such images are computed here"
            )
        return here

    @contextlib.contextmanager
    def lost_named(self, tasks: Sequence[Any]) -> Iterator[None]:
        """Convert errors of Dask into errors that say what to do."""
        from distributed import KilledWorker
        from distributed.client import FutureCancelledError
        from distributed.comm.core import CommClosedError

        try:
            yield
        except KilledWorker as error:
            raise UnsegError(
                f"{_some(tasks, self.handling.name)}: each Dask worker that computed this died "
                f"({error.allowed_failures + 1} workers): if memory ran out, use a smaller --size, or --patch, or "
                "workers with more memory"
            ) from None
        except (FutureCancelledError, CommClosedError):
            raise self.gone() from None
        except ImportError as error:
            if (error.name or "").startswith("unsegcli"):
                raise UnsegError(f"a Dask worker {_other_unseg(error)}") from error
            raise

    def check_scheduler(self) -> None:
        """Raise an error if the scheduler is gone."""
        if self.client.status != "running":
            raise self.gone()

    def gone(self) -> UnsegError:
        """Return the error for a scheduler that is gone."""
        return UnsegError(f"{self.address}: the Dask scheduler is gone; start it and run the same command again")

    def end(self) -> None:
        """Cancel what is not finished, and release what workers hold."""
        unfinished = [one.future for one in self.sent if one.future is not None]
        self.sent.clear()
        if self.client.status != "running":
            return
        if unfinished:
            self.client.cancel(unfinished)
        elif local_count(self.address) is None and self.handling.release is not no_release:
            self.release()

    def release(self) -> None:
        """Let each worker close its files, as a task, so that no other task of it reads them at that time."""
        asked = [
            self.promised(release_on_worker, self.handling.release, worker=worker) for worker in self.client.nthreads()
        ]
        with contextlib.suppress(TimeoutError):
            for one in asked:
                one.result(timeout=SECONDS_TO_END)


def _other_unseg(error: Exception) -> str:
    return f"has no unseg {__version__} ({error}); install the same version as here"


def _some(tasks: Sequence[Any], name: Callable[[Any], str]) -> str:
    names = ", ".join(name(task) for task in tasks[:NAMED])
    return names if len(tasks) <= NAMED else f"one of {names} and {len(tasks) - NAMED} more"


# ---------------------------------------------------------------------------------------- clusters


@contextlib.contextmanager
def _cluster(address: str) -> Iterator[Client]:
    """Connect to a cluster; one of this machine is started, and ends with this process, for whatever reason."""
    library_of_dask()
    count = local_count(address)
    with (
        _silence(),
        _one_thread_each() if count else contextlib.nullcontext(),
        _local_cluster(count) if count else contextlib.nullcontext(address) as found,
        contextlib.closing(_connected(found, address)) as client,
    ):
        if _has_dashboard():
            console.note(f"Dask shows what it does at {client.dashboard_link}")
        yield client


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep what Dask logs away from the progress bar: whatever a user has to know is said by us."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(SILENT)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def _sigint_blocked() -> Iterator[None]:
    """Start threads and processes that leave Ctrl-C to the main thread: they inherit the block."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let processes that are started use one thread each; Dask leaves other variables behind as well."""
    before = dict(os.environ)
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


@contextlib.contextmanager
def _local_cluster(count: int) -> Iterator[Any]:
    """Start single-threaded processes on this machine, and end them."""
    import dask
    from distributed import LocalCluster

    settings = {
        # By default, Dask lets them give memory back at once, which costs as much time as felzenszwalb itself.
        "distributed.nanny.pre-spawn-environ": dict.fromkeys(THREAD_VARIABLES, "1"),
        "distributed.admin.tick.interval": "500ms",  # not 20 ms, which takes 3 % of a processor
        "distributed.scheduler.worker-ttl": None,  # a worker in compiled code may not answer for minutes
        "distributed.worker.profile.enabled": False,  # it looks at every worker a hundred times a second
    }
    resource_tracker.ensure_running()  # which would lift the block
    with dask.config.set(settings), _sigint_blocked():
        try:
            cluster = LocalCluster(
                n_workers=count,
                threads_per_worker=1,
                memory_limit=0,
                dashboard_address="127.0.0.1:0" if _has_dashboard() else None,
                silence_logs=SILENT,
            )
        except RuntimeError as error:
            raise UnsegError(
                "--dask local: no process could be started; a Python script must call unsegcli below "
                f'`if __name__ == "__main__":` ({next(iter(str(error).splitlines()), "")})'
            ) from error
    abandoned = True
    try:
        yield cluster
        abandoned = False
    finally:
        if abandoned:  # an error, Ctrl-C, or SIGTERM: do not wait for running tasks; before closing, they would restart
            killer = threading.Timer(SECONDS_TO_STOP, _kill_workers, [cluster])
            killer.daemon = True
            killer.start()
        with contextlib.suppress(TimeoutError):  # processes that are left end with this one
            cluster.close(timeout=SECONDS_TO_END)


def _kill_workers(cluster: Any) -> None:
    for nanny in cluster.workers.values():
        if nanny.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(nanny.pid, signal.SIGKILL)


def _has_dashboard() -> bool:
    return util.find_spec("bokeh") is not None


def _connected(found: Any, address: str) -> Client:
    """Connect to a cluster that was started here, or to a scheduler."""
    from distributed import Client

    target = found if not isinstance(found, str) else _scheduler_of(found)
    with warnings.catch_warnings(), _sigint_blocked():
        # Versions that matter are compared by `problem_of_worker`.
        warnings.filterwarnings("ignore", category=UserWarning, module="distributed")
        try:
            return Client(target, timeout=SECONDS_TO_CONNECT, set_as_default=False, name="unseg")
        except (OSError, TimeoutError, ValueError, RuntimeError) as error:
            raise _nobody(address, error) from error


def _scheduler_of(text: str) -> str:
    """Return the address of a scheduler, which may be in a JSON file, if something answers there."""
    address = text if "://" in text else _address_in(Path(text))
    parts = urlsplit(address)
    try:
        with socket.create_connection((parts.hostname or "", parts.port or 0), SECONDS_TO_CONNECT):
            return address
    except (OSError, ValueError) as error:
        raise _nobody(address, error) from error


def _nobody(address: str, error: Exception) -> UnsegError:
    said = next(iter(str(error).splitlines()), "") or type(error).__name__
    return UnsegError(
        f"--dask {address}: no Dask scheduler answers there ({said}); start one with `dask scheduler`, or use "
        "--dask local"
    )


def _address_in(path: Path) -> str:
    """Return the address in the file that `dask scheduler --scheduler-file` writes."""
    try:
        found = json.loads(path.read_text())["address"]
    except OSError as error:
        raise UnsegError(
            f"--dask {path}: {error.strerror}; `dask scheduler --scheduler-file {path}` writes it"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise UnsegError(
            f"--dask {path}: names no scheduler; give the file that `dask scheduler --scheduler-file FILE` wrote"
        ) from error
    return str(found)


# ---------------------------------------------------------------------------------------- on a worker

_one_at_a_time = threading.Lock()  # open artifacts, and the folder that relative paths start from, are of a process


@functools.cache
def versions_here() -> Versions:
    """Return the versions of this process."""
    found = []
    for name in COMPARED:
        try:
            found.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            found.append((name, "none"))
    return Versions(__version__, ".".join(platform.python_version_tuple()[:2]), platform.machine(), tuple(found))


def problem_of_worker(wanted: Versions, folder: str, needed: Sequence[str], dask_worker: Any) -> str:
    """Say why a worker cannot do what the process of the command can; empty = it can. Dask gives it the worker."""
    differing = differences(wanted, versions_here())
    if differing:
        return f"{differing}; install the same versions, so that results are the same"
    threads = dask_worker.state.nthreads
    if threads != 1:
        return f"has {threads} threads; start workers with --nthreads 1, and more of them with --nworkers"
    unseen = [path for path in (folder, *needed) if not Path(path).exists()]
    if unseen:
        return f"sees no {unseen[0]}; files must have the same paths on all machines"
    return ""


def differences(wanted: Versions, found: Versions) -> str:
    """List the versions that differ, as "has numpy 1.26.4, not 2.1.0"; empty if there are none."""
    pairs = [(name, getattr(found, name), getattr(wanted, name)) for name in ("unseg", "python", "machine")]
    there = dict(found.packages)
    pairs += [(name, there.get(name, "none"), version) for name, version in wanted.packages]
    texts = [f"{name} {other}, not {version}" for name, other, version in pairs if other != version]
    return f"has {'; '.join(texts)} as here" if texts else ""


def done_on_worker(shared: bytes, batch: bytes) -> BatchDone:
    """Apply the shared function to the tasks of a batch, in the working folder of the command."""
    from distributed import get_worker

    worker = get_worker()
    with _one_at_a_time:
        wanted, folder, function = _unpickled(shared)
        problem = problem_of_worker(wanted, folder, (), worker)  # also of workers that came later
        if problem:
            raise UnsegError(f"Dask worker {worker.address}: {problem}")
        with contextlib.chdir(folder):
            started = time.monotonic()
            results = [function(task) for task in pickle.loads(batch)]
    return BatchDone(results, time.monotonic() - started, str(worker.address))


@functools.lru_cache(maxsize=1)
def _unpickled(shared: bytes) -> tuple[Versions, str, Callable[[Any], Any]]:
    wanted, folder, function = pickle.loads(shared)
    return wanted, folder, function


def release_on_worker(release: Callable[[], None]) -> None:
    """Call a function between batches."""
    with _one_at_a_time:
        release()
