"""The installed script in real processes: pipes, loops, signals, and what is left after each."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import MakeImages, four_quadrants
from PIL import Image
from reading_back import fingerprint

from unsegcli import store

UNSEG = str(Path(sys.executable).with_name("unseg"))
SEGMENTS = "--pixels-per-segment 100 --workers 1"


def shell(script: str, folder: Path, expect: int = 0) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail\n{script}"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == expect, done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The fingerprint of eight images that were cut in one go."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "data").mkdir()
    for number in range(8):
        Image.fromarray(four_quadrants(noise_seed=number)).save(folder / "data" / f"p{number}.png")
    shell(f"unseg superpixels data -o whole.h5 {SEGMENTS}", folder)
    return fingerprint(folder / "whole.h5")


@pytest.fixture
def here(make_images: MakeImages, tmp_path: Path) -> Path:
    make_images()
    return tmp_path


def test_script_is_installed(here: Path) -> None:
    assert Path(UNSEG).exists()
    assert shell("unseg --version && python -m unsegcli --version", here).stdout.count("unseg ") == 2


def test_pipe_hands_the_path_on(here: Path) -> None:
    done = shell(f"unseg superpixels data -o sp.h5 {SEGMENTS} | unseg cluster --classes 4 -o seg.h5", here)
    assert done.stdout == "seg.h5\n"
    with store.open_artifact(here / "seg.h5") as artifact:
        assert artifact.inputs["superpixels"]["path"] == "sp.h5"


def test_empty_pipe_stops_although_the_folder_has_candidates(here: Path) -> None:
    shell(f"unseg superpixels data {SEGMENTS}", here)
    done = shell("true | unseg cluster --classes 4", here, expect=1)
    assert "the pipe is empty" in done.stderr
    assert not (here / "segmentation.h5").exists()


def test_the_content_of_a_file_is_no_list_of_paths(here: Path) -> None:
    done = shell("cat data/*.png | unseg superpixels -o sp.h5", here, expect=1)
    assert done.stderr == (
        "error: standard input has the content of a file, not paths, one a line: name the file instead\n"
    )


def test_failure_runs_through_the_pipe(here: Path) -> None:
    done = shell("unseg superpixels nowhere -o sp.h5 | unseg cluster --classes 4", here, expect=1)
    assert "nowhere" in done.stderr
    assert not list(here.glob("*.h5"))


def test_while_read_loop_sees_every_line(here: Path) -> None:
    """With arguments the standard input is left to the loop."""
    script = f'ls data/*.png | while read -r f; do unseg superpixels "$f" -o "$(basename "$f").h5" {SEGMENTS}; done'
    done = shell(script, here)
    assert done.stdout.split() == ["p0.png.h5", "p1.png.h5", "p2.png.h5"]


def test_image_paths_through_a_pipe(here: Path) -> None:
    shell(f"find data -name '*.png' | unseg superpixels -o sp.h5 {SEGMENTS}", here)
    with store.open_artifact(here / "sp.h5") as artifact:
        assert len(artifact.table("sources/name")) == 3


def test_reader_that_stops_early_is_no_error(here: Path) -> None:
    shell(f"unseg superpixels data {SEGMENTS}", here)
    done = shell("unseg inspect superpixels.h5 | head -n 1; unseg inspect superpixels.h5 | true", here)
    assert "Broken pipe" not in done.stderr
    assert "Exception" not in done.stderr


def test_closed_standard_input_is_no_pipe(here: Path) -> None:
    shell(f"unseg superpixels {SEGMENTS} <&-", here)
    assert (here / "superpixels.h5").exists()


def test_completion_is_offered(here: Path) -> None:
    done = shell("_TYPER_COMPLETE_ARGS= unseg --show-completion bash || unseg --show-completion", here)
    assert "_UNSEG_COMPLETE" in done.stdout


def test_unreadable_output_folder(here: Path) -> None:
    done = shell(f"unseg superpixels data -o /proc/nowhere/sp.h5 {SEGMENTS}", here, expect=1)
    assert done.stderr.count("\n") == 1
    assert "-o" in done.stderr


SLOW_RUN = """
import os, sys, time
import unsegcli.store.writing as writing
import unsegcli.segmenters.cutting as cutting
writing.SHARD_SECONDS = 0.0
slic = cutting.ALGORITHMS["slic"]
begun = []
def slowly(*arguments):
    begun.append(arguments)
    time.sleep(0.15)
    while len(begun) > 2 and os.path.exists("hold"):
        time.sleep(0.01)
    return slic(*arguments)
cutting.ALGORITHMS["slic"] = slowly
from unsegcli.__main__ import main
main()
"""


def start_slow_run(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """A run that takes 0.15 s an image and stores each one at once; it stops before the third while `hold` exists."""
    command = [sys.executable, "-c", SLOW_RUN, "superpixels", "data", "-o", "sp.h5", *SEGMENTS.split(), *arguments]
    return subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def wait_for_shards(folder: Path, count: int) -> None:
    deadline = time.monotonic() + 30
    while len(list(folder.glob("sp.h5.partial/shard-*.h5"))) < count:
        assert time.monotonic() < deadline, "no shard appeared"
        time.sleep(0.01)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_run_says_so_and_goes_on(
    number: signal.Signals, code: int, undisturbed: str, make_images: MakeImages, tmp_path: Path
) -> None:
    make_images(count=8)
    run = start_slow_run(tmp_path)
    wait_for_shards(tmp_path, 2)
    run.send_signal(number)
    _, errors = run.communicate(timeout=30)
    assert run.returncode == code
    assert re.search(r"; \d images are finished and kept; run the same command again to continue\n$", errors)
    assert "Traceback" not in errors
    assert not (tmp_path / "sp.h5").exists()
    again = shell(f"unseg superpixels data -o sp.h5 {SEGMENTS}", tmp_path)
    assert "resuming after" in again.stderr
    assert fingerprint(tmp_path / "sp.h5") == undisturbed
    assert not (tmp_path / "sp.h5.partial").exists()


def test_killed_at_any_moment_nothing_half_is_left(undisturbed: str, make_images: MakeImages, tmp_path: Path) -> None:
    """SIGKILL three times, each later; benchmarks/ does it twenty times with workers."""
    make_images(count=8)
    for shards in (0, 2, 7):
        run = start_slow_run(tmp_path)
        if shards:
            wait_for_shards(tmp_path, shards)
        run.kill()
        run.communicate(timeout=30)
        assert run.returncode == -signal.SIGKILL
        assert not (tmp_path / "sp.h5").exists() or store.kind_of(tmp_path / "sp.h5") == "superpixels"
    shell(f"unseg superpixels data -o sp.h5 {SEGMENTS}", tmp_path)
    with store.open_artifact(tmp_path / "sp.h5") as artifact:
        assert artifact.fingerprint == undisturbed
        assert store.problems_of(artifact) == []


def test_second_run_on_the_same_output_waits_for_nobody(make_images: MakeImages, tmp_path: Path) -> None:
    make_images(count=8)
    (tmp_path / "hold").touch()
    run = start_slow_run(tmp_path)
    wait_for_shards(tmp_path, 1)
    done = shell(f"unseg superpixels data -o sp.h5 {SEGMENTS}", tmp_path, expect=1)
    assert "another unseg" in done.stderr
    (tmp_path / "hold").unlink()
    assert run.wait(timeout=600) == 0
    run.communicate()
    shell("unseg inspect sp.h5 --verify", tmp_path)


def test_closed_standard_output_is_no_error(here: Path) -> None:
    shell(f"unseg superpixels data {SEGMENTS} >&-", here)
    assert (here / "superpixels.h5").exists()


def test_file_that_may_not_grow_ends_in_one_line(make_images: MakeImages, tmp_path: Path) -> None:
    """As on a full disk: the system refuses to write more. The limit is 8 kB, a shard is larger."""
    make_images(count=8)
    done = shell(f"ulimit -f 8; unseg superpixels data -o sp.h5 -q {SEGMENTS}", tmp_path, expect=1)
    assert done.stderr.count("\n") == 1
    assert "File too large" in done.stderr
    assert not (tmp_path / "sp.h5").exists()
    shell(f"unseg superpixels data -o sp.h5 {SEGMENTS} && unseg inspect sp.h5 --verify", tmp_path)
