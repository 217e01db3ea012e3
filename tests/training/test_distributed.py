"""Two processes with half of a batch each are one process with all of it: values, gradients and running statistics."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from training.two_processes import VARIANTS, everything

import unsegcli
from unsegcli.core.nn.distributed_sums import rank, ranks, summed
from unsegcli.methods._load import method_names
from unsegcli.training.distributed import barrier, is_first, mean_gradients, mean_of, world_size

SCRIPT = Path(__file__).with_name("two_processes.py")
FOLDERS = os.pathsep.join(str(path) for path in (SCRIPT.parent.parent, Path(unsegcli.__file__).parent.parent))


def start(number: int, folder: Path) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        **{"RANK": str(number), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1", "PYTHONPATH": FOLDERS},
    }
    command = [sys.executable, str(SCRIPT), str(folder)]
    return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("ranks")
    children = [start(number, folder) for number in range(2)]
    try:
        for child in children:
            said = child.communicate(timeout=600)[1]
            assert child.returncode == 0, said
    finally:
        for child in children:
            child.kill()
    return [torch.load(folder / f"{number}.pt", weights_only=True) for number in range(2)]


@pytest.fixture(scope="module")
def alone() -> dict[str, Any]:
    return everything()


@pytest.mark.parametrize(
    ("kind", "name"), [*(("methods", name) for name in method_names()), *(("variants", name) for name in VARIANTS)]
)
def test_gradients_are_those_of_the_whole_batch(
    kind: str, name: str, both: list[dict[str, Any]], alone: dict[str, Any]
) -> None:
    wanted = alone[kind][name]
    rounding = 1e-13 * max(float(value.double().abs().max()) for value in wanted.values())
    for one in both:
        assert one[kind][name].keys() == wanted.keys()
        for key, value in wanted.items():
            if "num_batches_tracked" not in key:
                # A bias that is normalised away has a gradient of rounding errors alone.
                close = {"rtol": 1e-6, "atol": max(rounding, 1e-9 * float(value.double().abs().max()))}
                torch.testing.assert_close(one[kind][name][key], value, **close, msg=key)


def test_sums_and_batch_statistics(both: list[dict[str, Any]], alone: dict[str, Any]) -> None:
    wanted = alone["parts"]
    for one in both:
        torch.testing.assert_close(one["parts"]["total"], wanted["total"], rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(one["parts"]["running"], wanted["running"], rtol=1e-9, atol=1e-9)
    gradient = torch.cat([one["parts"]["gradient"] for one in both])
    scale = float(wanted["gradient"].abs().max())
    torch.testing.assert_close(gradient, wanted["gradient"], rtol=1e-9, atol=1e-9 * scale)


def test_a_process_without_a_gradient_counts_as_zero(both: list[dict[str, Any]]) -> None:
    for one in both:
        assert [gradient.tolist() for gradient in one["uneven"]] == [[[1.0, 2.0]], [0.0]]


def test_one_of_them_is_the_first(both: list[dict[str, Any]]) -> None:
    assert [one["first"] for one in both] == [True, False]


def test_alone_nothing_happens() -> None:
    value = torch.ones(2, requires_grad=True)
    assert summed(value) is value
    assert mean_of(value) is value
    network = nn.Linear(2, 1)
    mean_gradients(network)
    assert network.weight.grad is None
    barrier()
    assert (rank(), ranks(), world_size(), is_first()) == (0, 1, 1, True)


@pytest.mark.parametrize(("world", "number", "first"), [("1", "3", True), ("2", "0", True), ("2", "1", False)])
def test_the_first_is_known_before_they_meet(
    world: str, number: str, first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", world)
    monkeypatch.setenv("RANK", number)
    assert is_first() is first
