"""Entropies and the displacement loss: by hand, as properties, and each way of computing beside a naive loop."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from unsegcli.core.nn import information
from unsegcli.core.nn.information import (
    conditional_and_marginal_entropy,
    displaced_information,
    displacement_joints,
    entropy,
)

few = settings(max_examples=25)
LN2 = math.log(2)


def maps(seed: int, shape: tuple[int, ...], sharp: float = 3.0) -> Tensor:
    """Probabilities (batch, clusters, height, width)."""
    generator = torch.Generator().manual_seed(seed)
    return (sharp * torch.randn(shape, generator=generator, dtype=torch.float64)).softmax(1)


def naive_joints(first: Tensor, second: Tensor, mask: Tensor, reach: int) -> Tensor:
    """The definition, pixel by pixel."""
    _, clusters, height, width = first.shape
    shifts = range(-reach, reach + 1)
    joints = first.new_zeros(clusters, clusters, len(shifts), len(shifts))
    for y in shifts:
        for x in shifts:
            for row in range(max(0, -y), min(height, height - y)):
                for column in range(max(0, -x), min(width, width - x)):
                    here, there = (row, column), (row + y, column + x)
                    seen_twice = (mask[:, *here] * mask[:, *there])[:, None]
                    joints[:, :, reach + y, reach + x] += (first[:, :, *there] * seen_twice).T @ second[:, :, *here]
    return joints


def test_entropies_by_hand() -> None:
    # (.75, .25) and (.25, .75): each has entropy -.75 ln .75 - .25 ln .25 = .2157615 + .3465736; their mean is even.
    one, other = [0.75, 0.25], [0.25, 0.75]
    found = conditional_and_marginal_entropy(torch.tensor([one, other], dtype=torch.float64))
    assert float(found.conditional) == pytest.approx(0.5623351, abs=1e-7)
    assert float(found.marginal) == pytest.approx(LN2)


def test_weights_by_hand() -> None:
    # Two sure samples of weight 3 and 1: nothing is unsure, and the clusters are used .75 and .25.
    sure = torch.eye(2, dtype=torch.float64)
    found = conditional_and_marginal_entropy(sure, torch.tensor([3.0, 1.0]))
    assert float(found.conditional) == 0.0
    assert float(found.marginal) == pytest.approx(0.5623351, abs=1e-7)


def test_no_weight_gives_zero_and_finite_gradients() -> None:
    posteriors = torch.eye(2, requires_grad=True)
    found = conditional_and_marginal_entropy(posteriors, torch.zeros(2))
    (found.conditional - found.marginal).backward()  # type: ignore[no-untyped-call]
    assert float(found.conditional.detach()) == float(found.marginal.detach()) == 0.0
    assert posteriors.grad is not None
    assert bool(posteriors.grad.isfinite().all())


def test_entropy_is_finite_at_zero_and_takes_any_axis() -> None:
    probabilities = torch.tensor([[1.0, 0.5], [0.0, 0.5]], requires_grad=True)
    found = entropy(probabilities, axis=0)
    torch.testing.assert_close(found, torch.tensor([0.0, LN2]))
    found.sum().backward()  # type: ignore[no-untyped-call]
    assert probabilities.grad is not None
    assert bool(probabilities.grad.isfinite().all())


@few
@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(1, 8))
def test_mutual_information_is_between_zero_and_log_clusters(seed: int, samples: int, clusters: int) -> None:
    posteriors = maps(seed, (samples, clusters))
    weights = torch.rand(samples, generator=torch.Generator().manual_seed(seed)).double() + 0.1
    found = conditional_and_marginal_entropy(posteriors, weights)
    assert -1e-9 <= float(found.marginal - found.conditional) <= math.log(clusters) + 1e-9
    permuted = conditional_and_marginal_entropy(posteriors.flip(1), weights)
    torch.testing.assert_close(torch.stack(permuted), torch.stack(found))


def test_halves_of_a_batch_sum_to_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    posteriors, weights = maps(0, (10, 3)), torch.linspace(0.5, 1.5, 10, dtype=torch.float64)
    whole = conditional_and_marginal_entropy(posteriors, weights)
    sent: list[Tensor] = []

    def receive(values: Tensor) -> Tensor:
        sent.append(values)
        return values

    monkeypatch.setattr(information, "summed", receive)
    conditional_and_marginal_entropy(posteriors[4:], weights[4:])
    monkeypatch.setattr(information, "summed", lambda values: values + sent[0])
    torch.testing.assert_close(conditional_and_marginal_entropy(posteriors[:4], weights[:4]), whole)


def test_two_pixels_by_hand() -> None:
    # One row of two pixels, the left one in cluster 0, the right one in 1, in both views.
    # Unshifted, each cluster meets itself once: P = diag(1/2, 1/2), H = ln 2 = both marginals: ln 2 - 2 ln 2 = -ln 2.
    # Shifted sideways, one pair is left, (1, 0) or (0, 1); made symmetric, P is 1/2 off the diagonal: -ln 2 too.
    # Shifted up or down nothing meets: 0. So reach 0 gives -ln 2, and reach 1 three times that in nine shifts.
    view = torch.eye(2, dtype=torch.float64)[None, :, None, :]
    assert float(displaced_information(displacement_joints(view, view, None, 0))) == pytest.approx(-LN2)
    joints = displacement_joints(view, view, None, 1)
    assert joints[:, :, 1, 2].tolist() == [[0, 0], [1, 0]]  # first at p + 1 is the right pixel, second at p the left
    assert float(displaced_information(joints)) == pytest.approx(-LN2 / 3)
    # Collapsed, all four pairs are met once: independent, no information.
    assert float(displaced_information(joints, collapsed=True)) == pytest.approx(0, abs=1e-12)
    # Balance 1.5: ln 2 - 3 ln 2 where it was -ln 2.
    assert float(displaced_information(joints, 1.5)) == pytest.approx(-2 * LN2 / 3)


@pytest.mark.parametrize("reach", [0, 1, 2, 4, 7])
@pytest.mark.parametrize("by", ["convolution", "fft"])
def test_joints_equal_a_naive_loop(reach: int, by: information.By) -> None:
    first, second = maps(1, (2, 3, 5, 7)), maps(2, (2, 3, 5, 7))  # reach 7 is beyond the image
    mask = torch.rand(2, 5, 7, generator=torch.Generator().manual_seed(3)) > 0.3
    expected = naive_joints(first, second, mask, reach)
    torch.testing.assert_close(displacement_joints(first, second, mask, reach, by), expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("reach", [1, 2])
def test_joints_stay_exact_under_autocast(reach: int) -> None:
    first, second = maps(14, (2, 3, 6, 6)).float(), maps(15, (2, 3, 6, 6)).float()
    with torch.autocast("cpu", torch.bfloat16):
        found = displacement_joints(first, second, None, reach)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, displacement_joints(first, second, None, reach))


def test_gradients_are_equal_both_ways() -> None:
    gradients = []
    for by in ("convolution", "fft"):
        first, second = maps(4, (2, 3, 9, 8)).requires_grad_(), maps(5, (2, 3, 9, 8)).requires_grad_()
        displaced_information(displacement_joints(first, second, None, 3, by), 1.5).backward()  # type: ignore
        gradients.append((first.grad, second.grad))
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-12, rtol=0)


def test_gradient_is_that_of_the_value() -> None:
    first, second = maps(6, (1, 2, 2, 3)).requires_grad_(), maps(7, (1, 2, 2, 3)).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda *views: displaced_information(displacement_joints(*views, None, 2), 1.5), (first, second)
    )


@few
@given(st.integers(0, 10_000), st.integers(2, 5), st.integers(0, 3))
def test_information_of_views_has_its_bounds(seed: int, clusters: int, reach: int) -> None:
    first, second = maps(seed, (2, clusters, 6, 6)), maps(seed + 1, (2, clusters, 6, 6))
    joints = displacement_joints(first, second, None, reach)
    lost = float(displaced_information(joints))
    assert -math.log(clusters) - 1e-9 <= lost <= 1e-9
    order = torch.randperm(clusters, generator=torch.Generator().manual_seed(seed))
    permuted = displacement_joints(first[:, order], second[:, order], None, reach)
    assert float(displaced_information(permuted)) == pytest.approx(lost)


def test_constant_views_tell_nothing() -> None:
    view = maps(8, (1, 4, 1, 1)).expand(3, 4, 6, 6)
    assert float(displaced_information(displacement_joints(view, view, None, 2))) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_shifts_beyond_the_image_count_as_zero_both_ways(kind: torch.dtype) -> None:
    first, second = maps(12, (2, 3, 4, 5)).to(kind), maps(13, (2, 3, 4, 5)).to(kind)
    found = [displaced_information(displacement_joints(first, second, None, 6, by)) for by in ("convolution", "fft")]
    torch.testing.assert_close(found[0], found[1], atol=1e-5 if kind == torch.float32 else 1e-12, rtol=0)


def test_an_empty_mask_gives_a_finite_loss_and_gradient() -> None:
    view = maps(9, (2, 3, 6, 6)).float().requires_grad_()
    found = displaced_information(displacement_joints(view, view, torch.zeros(2, 6, 6, dtype=torch.bool), 2))
    found.backward()  # type: ignore[no-untyped-call]
    assert abs(float(found.detach())) < 1e-3
    assert view.grad is not None
    assert bool(view.grad.isfinite().all())


def test_halves_of_joints_sum_to_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = maps(10, (4, 3, 6, 6)), maps(11, (4, 3, 6, 6))
    whole = displaced_information(displacement_joints(first, second, None, 2), 1.5)
    there = displacement_joints(first[1:], second[1:], None, 2)
    monkeypatch.setattr(information, "summed", lambda values: values + there)
    torch.testing.assert_close(displaced_information(displacement_joints(first[:1], second[:1], None, 2), 1.5), whole)
