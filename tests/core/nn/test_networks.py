"""Parts of networks: shapes, batch statistics, and bringing maps to a size."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
import torch
from torch import nn

from unsegcli.core.nn.networks import BatchNorm, Halving, Residual, grow, small_trunk, still_statistics, widened


def images(count: int = 3, bands: int = 4, side: int = 16) -> torch.Tensor:
    return torch.randn(count, bands, side, side, generator=torch.Generator().manual_seed(0)) * 2 + 1


@pytest.mark.parametrize("affine", [True, False])
def test_batch_norm_is_torchs(affine: bool) -> None:
    ours, theirs = BatchNorm(4, affine=affine), nn.BatchNorm2d(4, affine=affine)
    for training in (True, True, False):
        ours.train(training)
        theirs.train(training)
        torch.testing.assert_close(ours(images()), theirs(images()))
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    torch.testing.assert_close(ours.running_var, theirs.running_var)


def test_statistics_over_processes_are_those_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    # Two processes with the same half each: everything they sum up is doubled.
    ours, theirs = BatchNorm(4), nn.BatchNorm2d(4)
    expected = theirs(torch.cat([images(), images()]))[:3]
    monkeypatch.setattr("unsegcli.core.nn.networks.ranks", lambda: 2)
    monkeypatch.setattr("unsegcli.core.nn.networks.summed", lambda values: 2 * values)
    torch.testing.assert_close(ours(images()), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    torch.testing.assert_close(ours.running_var, theirs.running_var, atol=1e-5, rtol=1e-5)


def test_still_statistics_leaves_running_statistics_alone() -> None:
    network = small_trunk(4, 2)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with still_statistics(network):
        still = network(images())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    torch.testing.assert_close(network(images()), still)  # the batch's own statistics, both times
    assert any(not torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_still_statistics_end_with_an_error() -> None:
    norm = BatchNorm(2)
    with pytest.raises(ValueError, match="inside"), still_statistics(norm):
        raise ValueError("inside")
    assert not norm.still


@pytest.mark.parametrize("bands", [1, 3, 6])
def test_small_trunk_has_a_quarter_of_the_resolution(bands: int) -> None:
    assert small_trunk(bands, 4)(images(2, bands, 32)).shape == (2, 16, 8, 8)
    assert small_trunk(bands, 4)(images(2, bands, 33)).shape == (2, 16, 9, 9)


def test_residual_starts_from_the_way_around() -> None:
    block = Residual(4, 4)
    nn.init.zeros_(block.second[1].weight)  # type: ignore[arg-type]
    torch.testing.assert_close(block(images()), images().relu())


def test_grow_by_hand_and_to_the_same_size() -> None:
    row = torch.tensor([[[[0.0, 1.0]]]])
    # Centres of four pixels lie at -1/4, 1/4, 3/4 and 5/4 of the way between the two.
    assert grow(row, (1, 4))[0, 0, 0].tolist() == pytest.approx([0, 0.25, 0.75, 1])
    assert grow(row, (1, 2)) is row


def test_halving_by_hand() -> None:
    """Output i is the mean of inputs 2i and 2i + 1; an odd side is filled up with 0."""
    halving = Halving(1, 1, 2)
    nn.init.constant_(halving.weight, 0.25)
    found = halving(torch.tensor([[[[0.0, 4.0, 8.0], [4.0, 8.0, 12.0]]]]))
    assert found[0, 0].tolist() == [[4, 5]]


@pytest.mark.parametrize("side", [1, 6, 7])
@pytest.mark.parametrize("kernel", [1, 3])
def test_a_kernel_of_an_older_model_gives_the_same_result(side: int, kernel: int) -> None:
    older, halving = nn.Conv2d(4, 5, kernel, 2, kernel // 2, bias=False), Halving(4, 5, kernel + 1)
    halving.weight.data = widened(older.weight.data, halving.weight)
    torch.testing.assert_close(halving(images(side=side)), older(images(side=side)))
    assert widened(halving.weight, halving.weight) is halving.weight


def test_narrow_networks_train_in_channels_last() -> None:
    """In a process of its own: a strided 1x1 convolution of oneDNN kills the process (oneDNN issue 6035).

    It writes past its workspace in the backward pass, with fewer channels than a vector register holds.
    """
    code = """
        import torch
        from unsegcli.core.nn.networks import small_trunk
        images = torch.rand(8, 3, 96, 96).to(memory_format=torch.channels_last)
        for width in (4, 8):
            network = small_trunk(3, width).to(memory_format=torch.channels_last)
            for _ in range(5):
                network(images).square().mean().backward()
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)
