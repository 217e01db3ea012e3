"""Random numbers depend on seed, step, sample and purpose, and on nothing else."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from unsegcli.core.draws import Draws


def drawn(kind: str, draws: Draws, purpose: str = "test") -> Tensor:
    if kind == "uniform":
        return draws.uniform(purpose, 3, low=-1, high=2)
    if kind == "normal":
        return draws.normal(purpose, 3)
    return draws.integers(purpose, 3, below=1000)


@pytest.mark.parametrize("kind", ["uniform", "normal", "integers"])
def test_a_sample_has_its_numbers_in_any_batch(kind: str) -> None:
    together = drawn(kind, Draws(5, 7, torch.tensor([10, 11, 12, 13])))
    alone = drawn(kind, Draws(5, 7, torch.tensor([12])))
    turned = drawn(kind, Draws(5, 7, torch.tensor([13, 12])))
    assert together.shape == (4, 3)
    assert torch.equal(together[2], alone[0])
    assert torch.equal(together[[3, 2]], turned)
    assert len(together.unique(dim=0)) == 4


@pytest.mark.parametrize("kind", ["uniform", "normal", "integers"])
def test_seed_step_and_purpose_change_the_numbers(kind: str) -> None:
    index = torch.tensor([3])
    base = drawn(kind, Draws(0, 0, index))
    for other in (Draws(1, 0, index), Draws(0, 1, index)):
        assert not torch.equal(base, drawn(kind, other))
    assert not torch.equal(base, drawn(kind, Draws(0, 0, index), "other"))
    assert torch.equal(base, drawn(kind, Draws(0, 0, index)))


def test_numbers_lie_where_they_should() -> None:
    draws = Draws(0, 0, torch.arange(500))
    even = draws.uniform("even", low=-1, high=3)
    assert even.shape == (500,)
    assert -1 <= float(even.min()) < -0.9
    assert 2.9 < float(even.max()) < 3
    assert set(draws.integers("few", below=3).tolist()) == {0, 1, 2}
    normal = draws.normal("normal", 20)
    assert float(normal.mean()) == pytest.approx(0, abs=0.03)
    assert float(normal.std()) == pytest.approx(1, abs=0.03)
