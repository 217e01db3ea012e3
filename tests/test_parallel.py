"""Work in processes gives what work in this process gives, in order, and leaves nothing behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import workloads

from unsegcli.errors import DataError, UnsegError
from unsegcli.parallel import TASKS_WORTH_A_WORKER, THREAD_VARIABLES, available_cores, ordered_map, report

TESTS = Path(workloads.__file__).parent


def counted(count: int, taken: list[int]) -> Iterator[int]:
    for number in range(count):
        taken.append(number)
        yield number


def environment() -> dict[str, str | None]:
    return {name: os.environ.get(name) for name in THREAD_VARIABLES}


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_same_results_in_order_for_any_number_of_workers(workers: int) -> None:
    assert list(ordered_map(workloads.slow_at_first, range(17), workers)) == list(range(17))


@pytest.mark.parametrize("batch", [1, 5, 17, 40])
def test_batches_change_nothing(batch: int) -> None:
    assert list(ordered_map(workloads.square, range(17), 2, batch=batch)) == [number**2 for number in range(17)]


def test_the_function_is_sent_once_to_each_process() -> None:
    """It may hold a table of all images: sent with every task, time would grow with the square of their number."""
    workloads.Sent.times = 0
    assert list(ordered_map(workloads.Sent(), range(20), 2)) == list(range(1, 21))
    assert 1 <= workloads.Sent.times <= 2


def test_no_task_no_result() -> None:
    assert list(ordered_map(workloads.square, [], 1)) == []
    assert list(ordered_map(workloads.square, [], 2)) == []


def test_all_processors_by_default() -> None:
    assert 1 <= available_cores() <= (os.cpu_count() or 1)


@pytest.mark.parametrize("expected", [0, 1, 2 * TASKS_WORTH_A_WORKER - 1])
def test_few_tasks_start_no_process(expected: int) -> None:
    """A function that cannot be sent to another process shows it."""
    assert list(ordered_map(lambda number: number + 1, range(expected), 4, expected)) == list(range(1, expected + 1))
    assert multiprocessing.active_children() == []


def test_tasks_are_not_taken_far_ahead() -> None:
    """What waits in memory is bounded by the workers, not by the number of tasks."""
    workers, taken = 2, []  # type: int, list[int]
    for result in ordered_map(workloads.square, counted(40, taken), workers):
        done = int(result**0.5) + 1
        assert len(taken) <= done + 2 * workers
    assert len(taken) == 40


def test_one_worker_takes_one_task_at_a_time() -> None:
    taken: list[int] = []
    for result in ordered_map(workloads.square, counted(5, taken), 1):
        assert len(taken) == int(result**0.5) + 1


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_arrives_with_its_type_and_notes(workers: int) -> None:
    results = ordered_map(workloads.fail_at_three, range(10), workers)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(DataError) as caught:
        next(results)
    assert str(caught.value) == "p3.png: cannot be decoded (page 2)"


def test_a_bug_stays_a_bug() -> None:
    with pytest.raises(ZeroDivisionError, match="three"):
        list(ordered_map(workloads.bug_at_three, range(10), 2))


def test_a_killed_worker_is_said_to_lack_memory() -> None:
    with pytest.raises(UnsegError, match="a worker process died: if memory ran out, use fewer --workers"):
        list(ordered_map(workloads.die_at_three, range(10), 2))


def test_workers_use_one_thread_each_and_the_parent_keeps_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(THREAD_VARIABLES[0], "7")
    for name in THREAD_VARIABLES[1:]:
        monkeypatch.delenv(name, raising=False)
    before = environment()
    assert list(ordered_map(workloads.variable, THREAD_VARIABLES, 2)) == ["1"] * len(THREAD_VARIABLES)
    assert environment() == before


@pytest.mark.parametrize("how", ["error", "stopped early"])
def test_nothing_is_left_after_a_bad_end(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(THREAD_VARIABLES[0], "7")
    before = environment()
    if how == "error":
        with pytest.raises(DataError):
            list(ordered_map(workloads.fail_at_three, range(10), 2))
    else:
        results = ordered_map(workloads.square, range(10), 2)
        assert next(results) == 0
        results.close()  # type: ignore[attr-defined]
    assert environment() == before
    assert multiprocessing.active_children() == []


def test_a_task_in_this_process_reports_at_once() -> None:
    heard: list[float] = []
    report(0.3)  # outside of a task, nobody listens
    assert list(ordered_map(thirds, [7, 8], 1, ahead=heard.append)) == [7, 8]
    assert heard == [1 / 3, 2 / 3, 1 / 3, 2 / 3]
    report(0.3)
    assert len(heard) == 4


def thirds(number: int) -> int:
    report(1 / 3)
    report(2 / 3)
    return number


def test_tasks_in_processes_are_heard_of_while_they_run() -> None:
    """Two run at once; what is done and waits for its turn counts as a whole."""
    heard: list[float] = []
    results = ordered_map(workloads.halfway, range(4), 2, ahead=heard.append)
    assert next(results) == 0
    first = [*heard]
    assert list(results) == [1, 2, 3]
    assert set(first) <= {0.0, 0.5, 1.0, 1.5}
    assert first == sorted(first)
    assert max(first) >= 0.5
    assert max(heard) <= 2 * 2


def test_without_a_listener_reports_are_lost() -> None:
    assert list(ordered_map(workloads.halfway, range(2), 2)) == [0, 1]


# -- real processes, killed ------------------------------------------------------------------------------------


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and is only not yet buried does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith("Z")


def wait_until(true: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.05)
    return true()


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process whose two workers are busy, in a process group of its own as in a terminal."""
    with subprocess.Popen(
        [sys.executable, str(TESTS / "workloads.py"), str(tmp_path)],
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def busy_workers(folder: Path) -> list[int]:
    assert wait_until(lambda: len(list(folder.iterdir())) == 2, 15), "the workers did not start"
    return [int(path.name) for path in folder.iterdir()]


def test_workers_end_when_their_parent_is_killed(parent: subprocess.Popen[str], tmp_path: Path) -> None:
    workers = busy_workers(tmp_path)
    assert all(alive(pid) for pid in workers)
    parent.kill()
    parent.wait(5)
    assert wait_until(lambda: not any(alive(pid) for pid in workers), 5)


def test_ctrl_c_ends_all_of_them_without_a_word(parent: subprocess.Popen[str], tmp_path: Path) -> None:
    """Ctrl-C reaches the whole group, as in a terminal; the parent alone answers."""
    workers = busy_workers(tmp_path)
    os.killpg(parent.pid, signal.SIGINT)
    _, said = parent.communicate(timeout=10)
    assert (parent.returncode, said) == (130, "")
    assert wait_until(lambda: not any(alive(pid) for pid in workers), 5)


def test_ctrl_c_while_workers_start(parent: subprocess.Popen[str]) -> None:
    """Python itself is not to complain from a worker that was not ready yet."""
    started = wait_until(lambda: bool(children_of(parent.pid)), 15)
    assert started
    time.sleep(0.1)
    os.killpg(parent.pid, signal.SIGINT)
    _, said = parent.communicate(timeout=30)
    assert "Traceback" not in said


def children_of(pid: int) -> list[int]:
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    pairs = (line.split() for line in listed.splitlines())
    return [int(child) for child, above in pairs if int(above) == pid]
