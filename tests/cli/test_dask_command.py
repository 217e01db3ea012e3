"""Commands on a Dask cluster write what a local run writes, whatever dies meanwhile."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from conftest import MakeImages
from dask_cluster import APART, HIDE, Running, running_cluster
from distributed import Client
from interrupting import (
    Moment,
    Undisturbed,
    begin,
    content_of,
    disturbed,
    ends,
    remove,
    undisturbed,
    write_inputs,
)
from PIL import Image
from typed import one_line, unseg

BY_DASK = "superpixels by dask"
LONGEST = 120.0  # seconds
CUT = ("superpixels", "data", "--algorithm", "felzenszwalb")  # which is not compiled first
START = """
import unsegcli.store.writing as writing
writing.SHARD_SECONDS = 0.0
from unsegcli.__main__ import main
main()
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A scheduler with two workers."""
    with running_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture
def here(make_images: MakeImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with images in data/, one of which is broken."""
    folder = make_images(count=6)
    (folder / "p3.png").write_bytes((folder / "p3.png").read_bytes()[:200])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def made_both_ways(cluster: Running, *command: str) -> tuple[str, str]:
    """Run a command locally and on the cluster; return the fingerprints, after a check of every value."""
    outputs = Path(f"{command[0]}.h5"), Path(f"{command[0]}-dask.h5")
    unseg(*command, "-o", outputs[0], "--workers", "1", "--skip-bad")
    unseg(*command, "-o", outputs[1], "--dask", cluster.file, "--skip-bad")
    return content_of(outputs[0]), content_of(outputs[1])


def test_clusters_are_those_of_a_local_run(here: Path, cluster: Running) -> None:
    command = ("cluster", "data", "--features", "bands", "--classes", "4")
    one, other = made_both_ways(cluster, *command)
    assert one == other
    result = unseg(*command, "-o", "cluster-dask.h5", "--workers", "1", "--skip-bad")
    assert "up to date" in result.stderr  # who computed it is not in the recipe


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ["iem", "data", "--iterations", "2"],
        ["proposals", "data"],
        ["features", "data", "--backbone", "resnet18", "--weights", "none", "--device", "cpu"],
        ["features", "data", "--backbone", "resnet18", "--weights", "none", "--device", "cpu", "--pca", "4"],
        ["superpixels", "data", "--pixels-per-segment", "100"],
    ],
    ids=" ".join,
)
def test_other_commands_are_those_of_a_local_run(command: Sequence[str], here: Path, cluster: Running) -> None:
    one, other = made_both_ways(cluster, *command)
    assert one == other


@pytest.mark.slow
def test_clusters_of_superpixels_are_those_of_a_local_run(here: Path, cluster: Running) -> None:
    unseg("superpixels", "data", "-o", "sp.h5", "--pixels-per-segment", "100", "--dask", cluster.file, "--skip-bad")
    one, other = made_both_ways(cluster, "cluster", "sp.h5", "--classes", "4")
    assert one == other
    Path("cluster.h5").rename("centres.h5")
    Path("cluster-dask.h5").unlink()
    one, other = made_both_ways(cluster, "cluster", "sp.h5", "--centres", "centres.h5")
    assert one == other


def test_images_that_are_added_are_computed_and_the_others_are_copied(here: Path, cluster: Running) -> None:
    (here / "data" / "p3.png").unlink()
    unseg(*CUT, "-o", "sp.h5", "--dask", cluster.file)
    shutil.copy(here / "data" / "p1.png", here / "data" / "p10.png")
    Image.fromarray(np.full((30, 40, 3), 99, np.uint8)).save(here / "data" / "p11.png")
    result = unseg(*CUT, "-o", "sp.h5", "--dask", cluster.file)
    assert "are taken from the earlier sp.h5" in result.stderr
    unseg(*CUT, "-o", "whole.h5", "--workers", "1")
    assert content_of(Path("sp.h5")) == content_of(Path("whole.h5"))


def test_a_dry_run_needs_no_cluster(here: Path) -> None:
    result = unseg("superpixels", "data", "--dask", "tcp://127.0.0.1:1", "--dry-run", "--skip-bad")
    assert "on one worker" in result.stderr
    assert not Path("superpixels.h5").exists()


def test_errors_are_one_line(here: Path) -> None:
    result = unseg("superpixels", "data", "--dask", "tcp://127.0.0.1:1", expect=1)
    assert one_line(result).startswith("error: --dask tcp://127.0.0.1:1: no Dask scheduler answers there")
    assert "--dask and --workers cannot be used together" in one_line(
        unseg("superpixels", "data", "--dask", "local:2", "--workers", "2", expect=2)
    )


@pytest.mark.slow
def test_a_machine_that_does_not_see_the_images_is_refused(here: Path, tmp_path: Path) -> None:
    data = here / "data"
    (data / "p3.png").unlink()
    if subprocess.run([*APART, HIDE, str(data), "true"], check=False, capture_output=True).returncode:
        pytest.skip("this user may not mount anything")
    folder = tmp_path / "cluster"
    folder.mkdir()
    with running_cluster(folder, workers=0) as cluster:
        cluster.add_worker(hidden=data)
        said = one_line(unseg(*CUT, "-o", "sp.h5", "--dask", cluster.file, expect=1))
        assert re.search(r"Dask worker tcp://\S+: sees no \S+/data/p0.png; files must have the same paths", said)


# -- real processes, killed ------------------------------------------------------------------------------------


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONGEST
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_nothing_but_time(tmp_path: Path) -> None:
    """At the kill, some images are stored, some are not, and the worker has work."""
    images = tmp_path / "data"
    images.mkdir()
    count = 16
    for number in range(count):
        noise = np.random.default_rng(number).integers(0, 255, (300, 300, 3)).astype(np.uint8)
        Image.fromarray(noise).save(images / f"p{number:02}.png")
    command = ["superpixels", "data", "--algorithm", "felzenszwalb", "-o"]
    subprocess.run([sys.executable, "-m", "unsegcli", *command, "local.h5"], cwd=tmp_path, check=True)
    with running_cluster(tmp_path) as cluster:
        typed = [sys.executable, "-c", START, *command, "dask.h5", "--dask", cluster.address]
        run = subprocess.Popen(typed, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        partial = tmp_path / "dask.h5.partial"
        wait_until(lambda: any(partial.glob("shard-*.h5")))
        with Client(cluster.address, set_as_default=False) as client:
            known = client.scheduler_info(n_workers=-1)["workers"]
            busy = {known[address]["name"] for address, keys in client.processing().items() if keys}
            victim = next(worker for number, worker in enumerate(cluster.workers) if f"worker-{number}" in busy)
            victim.kill()
            stored = len(list(partial.glob("shard-*.h5")))
            victim.wait()
        said = run.communicate(timeout=LONGEST)[1]
        assert run.returncode == 0, said
        assert victim.returncode == -signal.SIGKILL
    assert 1 <= stored < count
    assert content_of(tmp_path / "dask.h5") == content_of(tmp_path / "local.h5")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with small images."""
    folder = tmp_path_factory.mktemp("interrupted") / "work"
    write_inputs(folder)
    return folder


@pytest.fixture(scope="module")
def wanted(inputs: Path) -> Undisturbed:
    """What a local run makes."""
    return undisturbed(inputs, "superpixels")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_command_that_is_stopped_goes_on_when_it_is_run_again(
    number: signal.Signals, inputs: Path, wanted: Undisturbed
) -> None:
    """No process is left, and nothing of Dask is said."""
    found, hit = disturbed(inputs, BY_DASK, number, Moment("half", 0.0), wanted)
    remove(inputs / "disturbed.h5")
    assert (found, hit) == ([], True)


@pytest.mark.slow
@pytest.mark.parametrize(("first", "then"), [("superpixels", BY_DASK), (BY_DASK, "superpixels")])
def test_a_run_that_began_elsewhere_is_resumed(first: str, then: str, inputs: Path, wanted: Undisturbed) -> None:
    output = inputs / "moved.h5"
    run = begin(inputs, first, output.name)
    partial = inputs / "moved.h5.partial"
    wait_until(lambda: any(partial.glob("shard-*.h5")) or run.poll() is not None)
    run.kill()
    run.communicate()
    assert ends(run.pid)
    kept = {path.name: path.stat().st_ino for path in partial.glob("shard-*.h5")}
    assert kept
    again = begin(inputs, then, output.name)
    said = again.communicate(timeout=LONGEST)[1]
    assert again.returncode == 0, said
    assert content_of(output) == wanted.content
    remove(output)
