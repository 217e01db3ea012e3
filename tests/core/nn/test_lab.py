"""Lab of tensors against scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.color import rgb2lab

from unsegcli.core.nn.lab import lab


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_lab_is_that_of_scikit_image(dtype: torch.dtype) -> None:
    """All colours with values of a coarse grid, and the dark ones, where the root becomes a straight line."""
    steps = torch.cat([torch.linspace(0, 0.05, 7), torch.linspace(0.1, 1, 10)]).to(dtype)
    colours = torch.cartesian_prod(steps, steps, steps).T.reshape(1, 3, 17, 17 * 17)
    expected = rgb2lab(colours.double().numpy(), illuminant="D65", observer="2", channel_axis=1) / 100
    found = lab(colours)
    assert found.dtype == dtype
    # 1e-5 is 0.001 of Lab's own unit: the constants here have six digits.
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


def test_red_white_and_black_by_hand() -> None:
    colours = torch.tensor([[1.0, 0, 0], [1, 1, 1], [0, 0, 0]]).T.reshape(1, 3, 1, 3)
    expected = torch.tensor([[0.5324, 0.8009, 0.6720], [1, 0, 0], [0, 0, 0]])
    torch.testing.assert_close(lab(colours)[0, :, 0].T, expected, atol=2e-4, rtol=0)


def test_gradient_is_finite_at_black() -> None:
    colours = torch.zeros(1, 3, 2, 2, requires_grad=True)
    lab(colours).sum().backward()
    assert colours.grad is not None
    assert bool(colours.grad.isfinite().all())
