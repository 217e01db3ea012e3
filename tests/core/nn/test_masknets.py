"""Networks that draw a map as large as the image: shapes, the pyramid by hand, and what is known of ReDO's."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unsegcli.core.nn.masknets import FineNetwork, Pyramid, PyramidNetwork


def images(height: int, width: int, bands: int = 3) -> torch.Tensor:
    return torch.rand(2, bands, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("bands", [1, 3, 5])
@pytest.mark.parametrize("size", [(16, 16), (17, 23), (30, 21)])
def test_maps_are_as_large_as_the_image(bands: int, size: tuple[int, int]) -> None:
    for network in (FineNetwork(bands, 4), PyramidNetwork(bands, 8, 1)):
        assert network(images(*size, bands)).shape == (2, 1, *size)


def test_narrowest_network() -> None:
    assert FineNetwork(3, 1)(images(16, 16)).shape == (2, 1, 16, 16)


def test_pyramid_by_hand() -> None:
    pyramid = Pyramid(1, 1)
    for level in pyramid.levels:
        nn.init.ones_(level.weight)  # type: ignore[arg-type]
        nn.init.zeros_(level.bias)  # type: ignore[arg-type]
    maps = torch.arange(36.0).reshape(1, 1, 6, 6)
    found = pyramid(maps)
    assert found.shape == (1, 5, 6, 6)
    assert torch.equal(found[:, :1], maps)
    torch.testing.assert_close(found[0, 1], torch.full((6, 6), 17.5))  # the mean of 0 to 35
    # The means of the four quarters are 7, 10, 25 and 28; the corners show them alone.
    torch.testing.assert_close(found[0, 2, ::5, ::5], torch.tensor([[7.0, 10.0], [25.0, 28.0]]))
    torch.testing.assert_close(found[:, 4:], maps)  # squares of one pixel


def test_fine_network_sees_single_pixels_and_the_whole_image() -> None:
    torch.manual_seed(0)
    network, image = FineNetwork(3, 8).eval(), images(96, 96)[:1].requires_grad_()
    network(image)[0, 0, 3, 3].backward()
    assert image.grad is not None
    slopes = image.grad[0].abs().sum(0)
    row, column = divmod(int(slopes.argmax()), 96)
    assert max(abs(row - 3), abs(column - 3)) <= 1
    assert float(slopes[-4:, -4:].sum()) > 0


def test_weights_of_redos_network() -> None:
    # 64 features: 3x16 kernels of 7x7; 16x32 and 32x64 of 3x3; three blocks of two 64x64; four 64x1 with a bias;
    # 68x32 and 32x16 of 3x3; one 16x1 of 7x7 with a bias; two numbers for each of 16+32+64+6*64+32+16 normalised maps.
    kernels = 49 * 3 * 16 + 9 * (16 * 32 + 32 * 64 + 6 * 64 * 64 + 68 * 32 + 32 * 16) + 4 * 65 + 49 * 16 + 1
    found = sum(weight.numel() for weight in PyramidNetwork(3, 64, 3).parameters())
    assert found == kernels + 2 * (16 + 32 + 64 + 6 * 64 + 32 + 16)


def test_redos_network_knows_no_other_image_of_the_batch() -> None:
    network, batch = PyramidNetwork(3, 8, 1).train(), images(16, 16)
    torch.testing.assert_close(network(batch)[:1], network(batch[:1]))
