"""Work on a Dask cluster gives what work in this process gives, in order, and errors say what to do."""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import workloads
from dask_cluster import Running, running_cluster

from unsegcli import dask_map
from unsegcli.dask_map import BATCHES_A_THREAD, Handling, Versions, differences, local_count, mapped_by_dask
from unsegcli.errors import ConfigError, DataError, UnsegError
from unsegcli.parallel import THREAD_VARIABLES, available_cores
from unsegcli.params import Run

HERE = Versions("0.1.0", "3.11", "x86_64", (("numpy", "2.0.0"),))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A scheduler with two workers."""
    with running_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


def odd(number: int) -> bool:
    return number % 2 == 1


def counted(count: int, taken: list[int]) -> Iterator[int]:
    for number in range(count):
        taken.append(number)
        yield number


# -- a cluster that is there -----------------------------------------------------------------------------------


def test_same_results_in_order_by_address_and_by_file(cluster: Running) -> None:
    wanted = list(range(17))
    assert list(mapped_by_dask(workloads.slow_at_first, range(17), cluster.address)) == wanted
    assert list(mapped_by_dask(workloads.slow_at_first, range(17), str(cluster.file))) == wanted


def test_short_tasks_are_sent_together_and_few_are_taken_ahead(cluster: Running) -> None:
    taken: list[int] = []
    heard: list[float] = []
    found = mapped_by_dask(workloads.square, counted(3000, taken), cluster.address, ahead=heard.append)
    assert next(found) == 0
    assert len(taken) <= BATCHES_A_THREAD * 2 + 1
    for number, result in enumerate(found, start=1):
        assert result == number**2
        assert len(taken) <= number + 1 + BATCHES_A_THREAD * 2 * dask_map.LARGEST_BATCH
    assert len(taken) == 3000
    assert 0 <= max(heard) <= BATCHES_A_THREAD * 2 * dask_map.LARGEST_BATCH


def test_no_task_no_result(cluster: Running) -> None:
    assert list(mapped_by_dask(workloads.square, [], cluster.address)) == []


def test_both_workers_work_but_on_tasks_that_stay(cluster: Running) -> None:
    found = list(mapped_by_dask(workloads.process_and_time, range(40), cluster.address, Handling(stays=odd)))
    assert {pid for pid in found[1::2]} == {os.getpid()}
    assert {pid for pid in found[::2]} == {worker.pid for worker in cluster.workers}


def test_what_a_worker_cannot_read_is_tried_here(cluster: Running, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "unseg")
    work = partial(workloads.readable_in, process=os.getpid())
    handling = Handling(doubted=lambda result: isinstance(result, str), name=lambda task: f"p{task}.png")
    assert list(mapped_by_dask(work, range(9), cluster.address, handling)) == list(range(9))
    said = [record.getMessage() for record in caplog.records if "could not read" in record.getMessage()]
    assert len(said) == 1
    assert re.search(r"Dask worker tcp://127.0.0.1:\d+ could not read p\d.png", said[0])


def test_what_nobody_can_read_is_not_said_to_be_the_fault_of_a_worker(
    cluster: Running, caplog: pytest.LogCaptureFixture
) -> None:
    work = partial(workloads.readable_in, process=-1)
    handling = Handling(doubted=lambda result: isinstance(result, str))
    assert set(mapped_by_dask(work, range(9), cluster.address, handling)) == {"cannot be read"}
    assert "could not read" not in caplog.text


def test_relative_paths_start_where_the_command_was_called(
    cluster: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert list(mapped_by_dask(workloads.folder_of, ["a.h5"], cluster.address)) == [str(tmp_path / "a.h5")]


def test_an_error_arrives_with_its_type_and_notes(cluster: Running) -> None:
    with pytest.raises(DataError) as caught:
        list(mapped_by_dask(workloads.fail_at_three, range(10), cluster.address))
    assert str(caught.value) == "p3.png: cannot be decoded (page 2)"


def test_a_bug_stays_a_bug(cluster: Running) -> None:
    with pytest.raises(ZeroDivisionError, match="three"):
        list(mapped_by_dask(workloads.bug_at_three, range(10), cluster.address))


def test_other_versions_are_refused(cluster: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    here = dask_map.versions_here()
    monkeypatch.setattr(dask_map, "versions_here", lambda: here._replace(unseg="9.8.7", packages=(("numpy", "0.1"),)))
    with pytest.raises(
        UnsegError, match=r"Dask worker tcp://\S+: has unseg \S+, not 9.8.7; numpy \S+, not 0.1 as here"
    ):
        list(mapped_by_dask(workloads.square, range(3), cluster.address))


def test_files_that_workers_do_not_see_are_named(cluster: Running) -> None:
    with pytest.raises(UnsegError, match=r"Dask worker tcp://\S+: sees no /nowhere/p0.png; files must have the same"):
        list(mapped_by_dask(workloads.square, range(3), cluster.address, Handling(needed=["/nowhere/p0.png"])))


def test_an_end_ahead_of_time_leaves_the_cluster_usable(cluster: Running) -> None:
    found = mapped_by_dask(workloads.square, range(1000), cluster.address)
    assert next(found) == 0
    found.close()  # type: ignore[attr-defined]
    assert list(mapped_by_dask(workloads.square, range(3), cluster.address)) == [0, 1, 4]


# -- clusters that are not as they should be -------------------------------------------------------------------


@pytest.mark.slow
def test_a_worker_with_several_threads_is_refused(tmp_path: Path) -> None:
    with running_cluster(tmp_path, workers=0) as running:
        running.add_worker(threads=2)
        with pytest.raises(UnsegError, match="has 2 threads; start workers with --nthreads 1"):
            list(mapped_by_dask(workloads.square, range(3), running.address))


@pytest.mark.slow
def test_the_first_worker_is_waited_for_and_a_scheduler_that_dies_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "unseg")
    with running_cluster(tmp_path, workers=0) as running:
        late = threading.Timer(2, running.add_worker)
        late.start()
        found = mapped_by_dask(workloads.slow_at_first, range(1000), running.address)
        assert next(found) == 0
        running.scheduler.kill()
        with pytest.raises(UnsegError, match="the Dask scheduler is gone; start it and run the same command again"):
            list(found)
    assert "has no Dask worker yet" in caplog.text


@pytest.mark.slow
def test_if_no_worker_is_left_the_next_one_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "unseg")
    monkeypatch.setattr(dask_map, "SECONDS_BETWEEN_COUNTS", 0.2)
    with running_cluster(tmp_path, workers=1) as running:
        found = mapped_by_dask(workloads.halfway, range(6), running.address)
        assert next(found) == 0
        running.workers[0].kill()  # while it works on the next task
        later = threading.Timer(3, running.add_worker)
        later.start()
        assert list(found) == [1, 2, 3, 4, 5]
        later.join()
    assert caplog.text.count("no Dask worker is left; waiting for one") == 1


@pytest.mark.slow
def test_a_task_that_kills_its_workers_is_named() -> None:
    handling = Handling(name=lambda task: f"p{task}.png")
    with pytest.raises(UnsegError, match=r"p3.png: each Dask worker that computed this died \(4 workers\): if memory"):
        list(mapped_by_dask(workloads.die_at_three, [3], "local:1", handling))


def test_nobody_at_the_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(UnsegError, match=rf"--dask tcp://127.0.0.1:{port}: no Dask scheduler answers there"):
        list(mapped_by_dask(workloads.square, range(3), f"tcp://127.0.0.1:{port}"))


@pytest.mark.parametrize("content", [None, "", "[]", "{}", json.dumps({"address": "tcp://127.0.0.1:1"})])
def test_files_that_name_no_scheduler(content: str | None, tmp_path: Path) -> None:
    file = tmp_path / "scheduler.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UnsegError, match=r"--dask \S+: (No such file|names no scheduler|no Dask scheduler answers)"):
        list(mapped_by_dask(workloads.square, range(3), str(file)))


def test_without_distributed_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UnsegError, match=r"--dask: needs the package distributed: pip install '.\[dask\]'"):
        list(mapped_by_dask(workloads.square, range(3), "local:1"))


# -- a cluster of this machine ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_local_processes_use_one_thread_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(THREAD_VARIABLES[0], "7")
    before = dict(os.environ)
    found = list(mapped_by_dask(workloads.variable, THREAD_VARIABLES, "local:1"))
    assert found == ["1"] * len(THREAD_VARIABLES)
    assert dict(os.environ) == before


@pytest.mark.parametrize(
    ("address", "count"), [("local", available_cores()), ("local:3", 3), ("tcp://a:1", None), ("a.json", None)]
)
def test_number_of_local_processes(address: str, count: int | None) -> None:
    assert local_count(address) == count


@pytest.mark.parametrize("text", ["local:", "local:0", "local:-1", "local:x", "localhost", "8786"])
def test_other_names_of_clusters_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=rf"--dask {text}: is not local, local:N, tcp://HOST:PORT or FILE.json"):
        Run(dask=text).of("superpixels")


def test_options_that_do_not_go_together() -> None:
    with pytest.raises(ConfigError, match="--dask and --workers cannot be used together"):
        Run(dask="local", workers=2).of("superpixels")
    with pytest.raises(ConfigError, match="leave out --device cuda"):
        Run(dask="local", device="cuda").of("superpixels")
    with pytest.raises(ConfigError, match="--dask local: a model computes in one process; leave out --dask"):
        Run(dask="local").in_this_process("a model")
    assert Run(dask="local").pool == "local"
    assert Run(workers=3).pool == 3


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (HERE, ""),
        (HERE._replace(python="3.12"), "has python 3.12, not 3.11 as here"),
        (
            HERE._replace(machine="aarch64", packages=()),
            "has machine aarch64, not x86_64; numpy none, not 2.0.0 as here",
        ),
    ],
)
def test_differences_of_versions(found: Versions, text: str) -> None:
    assert differences(HERE, found) == text
