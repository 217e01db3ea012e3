"""How long a training is and how large its steps are, by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from unsegcli.errors import ConfigError
from unsegcli.methods.inmars import Config
from unsegcli.training.optim import check_settings, make_optimizer, rate_at, steps_of

PLAIN = Config(learning_rate=2.0, schedule="constant", warmup=0.0, epochs=3, batch=4, min_steps=0)


@pytest.mark.parametrize(
    ("images", "steps", "epochs", "expected"),
    [(8, None, None, 6), (9, None, None, 7), (9, 5, None, 5), (9, None, 1, 3), (9, None, 0.5, 2), (1, None, 0.01, 1)],
)
def test_number_of_steps(images: int, steps: int | None, epochs: float | None, expected: int) -> None:
    assert steps_of(PLAIN, images, steps, epochs) == expected


def test_few_images_are_shown_often_enough_unless_a_length_is_asked_for() -> None:
    config = replace(PLAIN, min_steps=50)
    assert [steps_of(config, images, None, None) for images in (1, 66, 68)] == [50, 50, 51]
    assert (steps_of(config, 1, 5, None), steps_of(config, 1, None, 1)) == (5, 1)


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        ("constant", [2, 2, 2, 2]),
        ("cosine", [2, 1 + math.sqrt(0.5), 1, 1 - math.sqrt(0.5)]),  # 1 + cos(pi step / 4)
        ("poly", [2, 2 * 0.75**0.9, 2 * 0.5**0.9, 2 * 0.25**0.9]),
    ],
)
def test_schedules_by_hand(schedule: str, rates: list[float]) -> None:
    config = replace(PLAIN, schedule=schedule)
    assert [rate_at(config, step, 4) for step in range(4)] == pytest.approx(rates)


def test_warm_up_is_a_straight_rise() -> None:
    """Of ten steps the first four rise: 1/5, 2/5, 3/5 and 4/5 of the rate; then the cosine over the other six."""
    config = replace(PLAIN, schedule="cosine", warmup=0.4)
    rates = [rate_at(config, step, 10) for step in range(10)]
    assert rates[:5] == pytest.approx([0.4, 0.8, 1.2, 1.6, 2.0])
    assert rates[7] == pytest.approx(1)
    assert all(rate > 0 for rate in rates)
    assert rates[4:] == sorted(rates[4:], reverse=True)


def test_stairs_are_as_many_as_epochs() -> None:
    """Twelve steps and three epochs: four steps at each of (1, 2/3, 1/3) ^ 0.9."""
    config = replace(PLAIN, schedule="poly_epochs")
    rates = [rate_at(config, step, 12) for step in range(12)]
    assert rates == pytest.approx([2.0] * 4 + [2 * (2 / 3) ** 0.9] * 4 + [2 * (1 / 3) ** 0.9] * 4)
    many = replace(config, epochs=40)
    assert len({rate_at(many, step, 6600) for step in range(6600)}) == 40
    assert rate_at(many, 165, 6600) == pytest.approx(2 * (39 / 40) ** 0.9)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "poly", "poly_epochs"])
@pytest.mark.parametrize("warmup", [0.0, 0.05, 0.9])
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_rates_are_never_negative_nor_too_high(schedule: str, warmup: float, steps: int) -> None:
    config = replace(PLAIN, schedule=schedule, warmup=warmup)
    assert all(0 < rate_at(config, step, steps) <= 2 for step in range(steps))


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_optimizer_by_hand(name: str) -> None:
    """A weight of 1 with gradient 1, two steps of rate 0.1, momentum 0.5, decay 0.

    sgd: 1 - 0.1 - 0.1 x 1.5 = 0.75. adam: each step is the rate: 0.8.
    """
    network = nn.Linear(1, 1, bias=False)
    network.weight.data.fill_(1)
    frozen = nn.Parameter(torch.ones(1), requires_grad=False)
    network.register_parameter("frozen", frozen)
    optimizer = make_optimizer(
        network, replace(PLAIN, optimizer=name, learning_rate=0.1, momentum=0.5, weight_decay=0.0)
    )
    assert [len(group["params"]) for group in optimizer.param_groups] == [1]
    for _ in range(2):
        network.weight.grad = torch.ones(1, 1)
        optimizer.step()
    assert network.weight.item() == pytest.approx({"sgd": 0.75, "adam": 0.8}[name])


def test_decay_is_added_to_the_gradient() -> None:
    network = nn.Linear(1, 1, bias=False)
    network.weight.data.fill_(2)
    network.weight.grad = torch.zeros(1, 1)
    make_optimizer(network, replace(PLAIN, optimizer="sgd", learning_rate=0.1, momentum=0.0, weight_decay=0.5)).step()
    assert network.weight.item() == pytest.approx(2 - 0.1 * 0.5 * 2)


@pytest.mark.parametrize(
    "wrong",
    [
        {"optimizer": "lion"}, {"schedule": "linear"}, {"classes": 0}, {"crop": 4}, {"batch": 0}, {"epochs": -1},
        {"learning_rate": 0.0}, {"warmup": 1.0}, {"warmup": -0.1}, {"momentum": 1.0},
        {"weight_decay": -1.0}, {"grad_clip": -1.0},
    ],
    ids=str,
)  # fmt: skip
def test_settings_that_no_training_can_go_by(wrong: dict[str, Any]) -> None:
    check_settings(PLAIN)
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        check_settings(replace(PLAIN, **wrong))
