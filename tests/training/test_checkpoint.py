"""The state between two steps: everything, to the bit, through the store and back."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sample_artifacts import RECIPE
from torch import nn
from toy import make_network, tiny, toy_batch

from unsegcli import store
from unsegcli.methods._load import find_method, method_names
from unsegcli.training.checkpoint import Training
from unsegcli.training.optim import make_optimizer


def begun(name: str, optimizer: str, momentum: float) -> tuple[Training, Any, Any]:
    loaded = find_method(name)
    config = tiny(loaded, optimizer=optimizer, momentum=momentum, learning_rate=1e-2)
    network = make_network(loaded, config)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    return Training(network, make_optimizer(network, config), scaler, 20), loaded, config


def go(training: Training, loaded: Any, config: Any, until: int) -> None:
    while training.step < until:
        terms = loaded.module.loss(training.network, toy_batch(loaded, config, training.step), config)
        training.optimizer.zero_grad()
        terms["loss"].backward()
        training.optimizer.step()
        training.step += 1
        training.record_terms(training.step, {name: float(term.detach()) for name, term in terms.items()})


@pytest.mark.parametrize(("optimizer", "momentum"), [("adam", 0.9), ("sgd", 0.9), ("sgd", 0.0)])
@pytest.mark.parametrize("name", method_names())
def test_a_training_goes_on_to_the_bit(name: str, optimizer: str, momentum: float, tmp_path: Path) -> None:
    whole, loaded, config = begun(name, optimizer, momentum)
    go(whole, loaded, config, 6)
    first, _, _ = begun(name, optimizer, momentum)
    go(first, loaded, config, 3)
    target = store.Target(tmp_path / "m.h5", "model", RECIPE)
    with target.writing():
        store.save_checkpoint(target, *first.pack())
        found = store.load_checkpoint(target)
    assert found is not None
    second, _, _ = begun(name, optimizer, momentum)
    torch.manual_seed(99)
    second.unpack(*found)
    assert (second.step, second.steps) == (3, 20)
    np.testing.assert_equal(second.history, first.history)  # NaN where a step had no such term
    go(second, loaded, config, 6)
    wanted = whole.network.state_dict()
    assert all(torch.equal(value, wanted[key]) for key, value in second.network.state_dict().items())
    np.testing.assert_equal(second.history, whole.history)
    for weight, twin in zip(whole.network.parameters(), second.network.parameters(), strict=True):
        states = whole.optimizer.state.get(weight, {}), second.optimizer.state.get(twin, {})
        assert states[0].keys() == states[1].keys()
        for key, value in states[0].items():
            assert value is None or torch.equal(value, states[1][key])


class Mixed(nn.Module):
    """Weights of several types, beside what is no weight."""

    def __init__(self) -> None:
        super().__init__()
        self.short = nn.Parameter(torch.linspace(0, 1, 6, dtype=torch.bfloat16).view(2, 3))
        self.frozen = nn.Parameter(torch.ones(2), requires_grad=False)
        self.register_buffer("queue", torch.zeros(0, 4, dtype=torch.float16))
        self.register_buffer("count", torch.tensor(7))
        self.register_buffer("used", torch.tensor([True, False]))


def test_numbers_of_every_type_come_back() -> None:
    network = Mixed()
    optimizer = torch.optim.Adam([network.short])
    network.short.grad = torch.ones_like(network.short)
    optimizer.step()
    training = Training(network, optimizer, torch.amp.GradScaler("cpu", enabled=False), 5, 1)
    other = Mixed()
    with torch.no_grad():
        other.short.zero_()
    found = Training(other, torch.optim.Adam([other.short]), torch.amp.GradScaler("cpu", enabled=False), 1)
    found.unpack(*training.pack())
    for name, value in network.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name
        assert value.dtype == other.state_dict()[name].dtype
    before, after = optimizer.state[network.short], found.optimizer.state[other.short]
    assert all(torch.equal(value, after[key]) and value.dtype == after[key].dtype for key, value in before.items())


def test_scaler_and_threads_come_back() -> None:
    training, _, _ = begun("inmars", "adam", 0.9)
    training.scaler = torch.amp.GradScaler("cpu", init_scale=512.0, enabled=True)
    torch.set_num_threads(2)
    packed = training.pack()
    torch.set_num_threads(1)
    other, _, _ = begun("inmars", "adam", 0.9)
    other.scaler = torch.amp.GradScaler("cpu", enabled=True)
    other.unpack(*packed)
    assert other.scaler.state_dict() == training.scaler.state_dict()
    assert torch.get_num_threads() == 2


def test_terms_that_only_some_steps_have_are_as_long_as_all() -> None:
    training, _, _ = begun("inmars", "adam", 0.9)
    training.record_terms(1, {"loss": 3})
    training.record({"watch-step": 1})
    training.record_terms(2, {"loss": 2, "noise": 5})
    training.record_terms(3, {"loss": 1})
    assert training.history["loss"] == [3, 2, 1]
    assert [math.isnan(value) for value in training.history["noise"]] == [True, False, True]
    assert training.history["watch-step"] == [1]
