"""A training of two processes in two network namespaces, which see of each other what two machines would."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from reading_back import weights_of
from toy import users_method, write_images

PORT = 29500
ADDRESSES = ("10.77.13.1", "10.77.13.2")
COVERING = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"')


@pytest.fixture
def machines() -> Iterator[list[str]]:
    """The names of two network namespaces that are connected by a cable of their own, and by nothing else."""
    if shutil.which("ip") is None or os.geteuid() != 0:
        pytest.skip("network namespaces need root and the program ip")
    names = [f"unseg-{os.getpid()}-{number}" for number in range(2)]
    cables = [f"un{os.getpid()}n{number}" for number in range(2)]
    try:
        for name in names:
            if ip("netns", "add", name, check=False):
                pytest.skip("network namespaces are not permitted here")
        ip("link", "add", cables[0], "type", "veth", "peer", "name", cables[1])
        for name, cable, address in zip(names, cables, ADDRESSES, strict=True):
            ip("link", "set", cable, "netns", name)
            ip("-n", name, "link", "set", cable, "name", "cable")
            ip("-n", name, "addr", "add", f"{address}/24", "dev", "cable")
            ip("-n", name, "link", "set", "cable", "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield names
    finally:
        for name in names:
            ip("netns", "delete", name, check=False)


def ip(*arguments: str, check: bool = True) -> int:
    return subprocess.run(["ip", *arguments], check=check, capture_output=True).returncode


def torchrun(*options: str, machine: str = "", covered: Path | None = None) -> subprocess.Popen[str]:
    """Start torchrun, in a network namespace, or where a folder is covered by an empty one, as on another machine."""
    command = [sys.executable, "-m", "torch.distributed.run", *options]
    inside = ["ip", "netns", "exec", machine] if machine else []
    inside += [] if covered is None else [*COVERING, str(covered)]  # "$0" is the folder
    network = {"GLOO_SOCKET_IFNAME": "cable"} if machine else {}
    return subprocess.Popen(
        [*inside, *command],
        env={**os.environ, "OMP_NUM_THREADS": "1", **network},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_two_machines_train_what_two_processes_of_one_train(machines: list[str], tmp_path: Path) -> None:
    data, method = write_images(tmp_path / "data"), users_method(tmp_path)
    given = ["-m", "unsegcli", "train", str(data), "--method", str(method), "--steps", "4", "--workers", "1", "-o"]
    nodes = [
        torchrun(
            *("--nnodes", "2", "--node-rank", str(number), "--nproc-per-node", "1"),
            *("--master-addr", ADDRESSES[0], "--master-port", str(PORT)),
            *given,
            str(tmp_path / "apart.h5"),
            machine=name,
        )
        for number, name in enumerate(machines)
    ]
    try:
        said = [node.communicate(timeout=240) for node in nodes]
    finally:
        for node in nodes:
            node.kill()
    assert [node.returncode for node in nodes] == [0, 0], said
    assert [output for output, _ in said] == [f"{tmp_path / 'apart.h5'}\n", ""], "only the first one prints"
    together = torchrun("--standalone", "--nproc-per-node", "2", *given, str(tmp_path / "together.h5"))
    _, errors = together.communicate(timeout=240)
    assert together.returncode == 0, errors
    found, wanted = weights_of(tmp_path / "apart.h5"), weights_of(tmp_path / "together.h5")
    assert {name: value.tobytes() for name, value in found.items()} == {n: v.tobytes() for n, v in wanted.items()}


@pytest.mark.slow
def test_a_machine_that_does_not_see_the_output_reads_all_images_by_itself(tmp_path: Path) -> None:
    covering = shutil.which("unshare") and subprocess.run([*COVERING, str(tmp_path), "true"], capture_output=True)
    if not covering or covering.returncode:
        pytest.skip("mount namespaces need root and the program unshare")
    data, method, output = write_images(tmp_path / "data"), users_method(tmp_path), tmp_path / "out"
    output.mkdir()
    given = [
        "-m",
        "unsegcli",
        "train",
        str(data),
        "--method",
        str(method),
        "--steps",
        "4",
        "--workers",
        "1",
        "-v",
        "-o",
    ]
    place = ("--nnodes", "2", "--nproc-per-node", "1", "--master-addr", "127.0.0.1", "--master-port", str(PORT + 1))
    nodes = [
        torchrun(*place, "--node-rank", str(number), *given, str(output / "apart.h5"), covered=covered)
        for number, covered in enumerate((None, output))
    ]
    try:
        said = [node.communicate(timeout=240)[1] for node in nodes]
    finally:
        for node in nodes:
            node.kill()
    assert [node.returncode for node in nodes] == [0, 0], said
    assert "share" not in said[0]
    assert [path.name for path in output.iterdir()] == ["apart.h5"]
    together = torchrun("--standalone", "--nproc-per-node", "2", *given, str(output / "together.h5"))
    _, errors = together.communicate(timeout=240)
    assert together.returncode == 0, errors
    assert "2 processes share 0.00 GB of images" in errors
    found, wanted = weights_of(output / "apart.h5"), weights_of(output / "together.h5")
    assert {name: value.tobytes() for name, value in found.items()} == {n: v.tobytes() for n, v in wanted.items()}
