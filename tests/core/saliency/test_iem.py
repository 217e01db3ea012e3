"""The objective of IEM: against its equations, by hand, and where a quick reading of the paper goes wrong."""

from __future__ import annotations

import inpainting_reference as reference
import numpy as np
import pytest
import torch

from unsegcli.core.saliency.iem import (
    Inpainter,
    Problem,
    centred_square,
    colour_halves,
    diversity_weight,
    judge,
    problem_of,
    under,
)

SMALL = Inpainter(2.0, 5, 2)


def random_pixels(height: int, width: int, bands: int = 3, seed: int = 0) -> np.ndarray:
    """Noise that brightens to the right."""
    noise = np.random.default_rng(seed).integers(0, 100, (height, width, bands))
    return (noise + np.linspace(0, 150, width)[:, None]).astype(np.uint8)


def random_mask(height: int, width: int, share: float = 0.5, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((height, width)) < share


# ---------------------------------------------------------------------------------------- the filter


def test_filter_does_what_convolutions_with_zeros_beyond_do() -> None:
    stack = under(reference.photograph_problem("coffee", 50, 70).image, random_mask(50, 70))
    for inpainter in (Inpainter(), Inpainter(3.0, 7, 1), Inpainter(1.0, 3, 4), Inpainter(2.5, 7, 2, factor=2)):
        expected = reference.filtered(torch.from_numpy(stack), inpainter).numpy()
        np.testing.assert_allclose(inpainter.fill(stack), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("inpainter", [Inpainter(), Inpainter(1.0, 3, 5), Inpainter(2.5, 7, 2, factor=2)])
def test_filter_is_its_own_transpose(inpainter: Inpainter) -> None:
    """The gradient sends what flows back through the same filter, which is right only then."""
    matrix = inpainter.matrix(40)
    np.testing.assert_allclose(matrix, matrix.T, rtol=0, atol=1e-16)


def test_two_passes_are_not_one_pass_of_the_composed_taps_near_the_border() -> None:
    """What leaves the image in the first pass must not come back in the second."""
    taps = Inpainter(repeats=1).matrix(41)[20, 15:26]
    composed = np.convolve(taps, taps)
    twice = Inpainter(repeats=2).matrix(41)
    np.testing.assert_allclose(twice[20, 10:31], composed, rtol=1e-12)
    assert twice[0, 0] == pytest.approx((taps[5:] ** 2).sum(), rel=1e-12)
    assert twice[0, 0] < 0.65 * composed[10]


def test_what_cannot_be_seen_is_filled_in_from_the_mean_of_the_visible() -> None:
    """A column at the far left is all there is to see; beyond the filter's reach only its mean speaks."""
    image = np.zeros((1, 8, 40))
    image[0, :, 0] = np.linspace(-0.5, 0.7, 8)
    mask = np.zeros((8, 40), bool)
    mask[:, 0] = True
    found = judge(Problem(image, np.ones((8, 40), bool), SMALL, 0.0), mask)
    from_outside = abs(image[0, :, 0]).mean()  # all other pixels are 0
    near = [abs(reference.filled_in(*tensors(image, mask), SMALL)[0, :, column]).mean() for column in range(1, 5)]
    from_inside = (sum(float(one) for one in near) + 35 * 0.1) / 39
    assert found.error == pytest.approx(from_outside + from_inside, rel=1e-6)


def tensors(image: np.ndarray, mask: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(image), torch.from_numpy(mask)[None].double()


# ---------------------------------------------------------------------------------------- the objective


@pytest.mark.parametrize("bands", [1, 2, 3, 5])
@pytest.mark.parametrize("holes", [False, True])
def test_objective_is_that_of_the_equations(bands: int, holes: bool) -> None:
    valid = random_mask(40, 56, 0.8, seed=9) if holes else None
    problem = problem_of(random_pixels(40, 56, bands), valid, Inpainter(), 1e-3)
    for mask in (centred_square(40, 56, 0.6), random_mask(40, 56), random_mask(40, 56, 0.02)):
        assert judge(problem, mask).objective == pytest.approx(reference.value(problem, mask), rel=1e-9)


def test_objective_of_a_coarse_filter_is_that_of_the_equations() -> None:
    inpainter = Inpainter(2.5, 7, 2, factor=2)
    problem = reference.photograph_problem("chelsea", 64, 96, inpainter)
    mask = centred_square(64, 96, 0.5)
    assert judge(problem, mask).objective == pytest.approx(reference.value(problem, mask), rel=1e-9)


def test_spread_by_hand() -> None:
    """Two bands. Sides (0, 1) and (3, 7) of means 0.5 and 5; in the second band (2, 2) and (0, 1)."""
    image = np.array([[[0.0, 1.0, 3.0, 7.0]], [[2.0, 2.0, 0.0, 1.0]]])
    problem = Problem(image, np.ones((1, 4), bool), SMALL, 0.25)
    found = judge(problem, np.array([[1, 1, 0, 0]]))
    assert found.spread == pytest.approx(0.5 + 8.0 + 0.0 + 0.5)
    assert found.objective == pytest.approx(found.error - 0.25 * 9.0)


def test_error_by_hand() -> None:
    """Two plain halves: each is filled in with the other's colour, 1.2 away in one band of two."""
    image = np.zeros((2, 6, 20))
    image[0, :, :10], image[0, :, 10:] = -0.5, 0.7
    mask = np.arange(20) < np.full((6, 1), 10)
    found = judge(Problem(image, np.ones((6, 20), bool), SMALL, 1.0), mask)
    assert found.error == pytest.approx(0.6 + 0.6, rel=1e-6)
    assert found.spread == pytest.approx(0.0, abs=1e-9)
    assert found.objectness[:, 9:11].tolist() == [pytest.approx([1, 0], abs=1e-6)] * 6
    assert found.confidence == pytest.approx(1.0, abs=1e-6)


def test_confidence_is_highest_for_the_object_itself() -> None:
    pixels = np.full((60, 60, 3), 30, np.uint8) + np.random.default_rng(0).integers(0, 30, (60, 60, 3), np.uint8)
    disc = np.hypot(*np.mgrid[-30:30, -30:30]) < 15
    pixels[disc] += 150
    problem = problem_of(pixels, None, Inpainter(), 1e-3)
    right, moved, noise = (judge(problem, one) for one in (disc, np.roll(disc, 8, 1), random_mask(60, 60)))
    assert right.confidence > 0.8
    assert right.confidence > moved.confidence + 0.1
    assert noise.confidence < 0.1
    assert right.objectness[disc].min() > 0.5 > right.objectness[~disc].max()


@pytest.mark.parametrize("full", [False, True])
def test_mask_with_an_empty_side_has_no_error_and_no_confidence(full: bool) -> None:
    problem = problem_of(random_pixels(20, 20), random_mask(20, 20, 0.7), SMALL, 1e-3)
    found = judge(problem, np.full((20, 20), full))
    assert (found.error, found.confidence) == (0.0, 0.0)
    assert (found.objectness == 0.5).all()
    assert found.objective == -problem.diversity * found.spread


def test_bytes_become_minus_one_to_one_and_void_becomes_zero() -> None:
    pixels = np.array([[[0, 255], [51, 204]]], np.uint8)
    problem = problem_of(pixels, np.array([[True, False]]), SMALL, 1.0)
    assert problem.image.tolist() == [[[-1, 0]], [[1, 0]]]


def test_diversity_counts_the_same_for_any_size_and_number_of_bands() -> None:
    """Each pixel twice and each band thrice: D is six times as large, and must weigh the same beside E."""
    assert diversity_weight(1e-3, 128 * 128, 3) == 1e-3
    pixels = random_pixels(20, 30, 2)
    mask = centred_square(20, 30, 0.5)
    small = problem_of(pixels, None, SMALL, 1e-3)
    large = problem_of(pixels.repeat(2, axis=0).repeat(3, axis=2), None, SMALL, 1e-3)
    weighted = [
        problem.diversity * judge(problem, one).spread
        for problem, one in ((small, mask), (large, mask.repeat(2, axis=0)))
    ]
    assert weighted[0] == pytest.approx(weighted[1])


def test_diversity_weighs_by_valid_pixels() -> None:
    valid = np.arange(20) < np.full((10, 1), 5)
    assert problem_of(random_pixels(10, 20), valid, SMALL, 1.0).diversity == pytest.approx(128 * 128 / 50)


# ---------------------------------------------------------------------------------------- first masks


def test_centred_square_of_the_published_program() -> None:
    mask = centred_square(128, 128, 78 / 128)
    assert mask[25:103, 25:103].all()
    assert mask.sum() == 78 * 78


@pytest.mark.parametrize(("height", "width"), [(128, 200), (3, 50), (1, 1), (2, 9)])
@pytest.mark.parametrize("share", [0.1, 0.6, 0.95])
def test_centred_square_lies_in_the_middle(height: int, width: int, share: float) -> None:
    mask = centred_square(height, width, share)
    np.testing.assert_array_equal(mask, mask[::-1, ::-1])
    assert abs(mask.any(axis=1).sum() - share * height) <= 1
    assert abs(mask.any(axis=0).sum() - share * width) <= 1


def test_colour_halves_part_where_colours_vary_most() -> None:
    """Band 1 varies by much, band 0 by little and crosswise; void pixels are on no side."""
    pixels = np.zeros((20, 20, 2), np.uint8)
    pixels[:, 10:, 1] = 200
    pixels[::2, :, 0] = 40
    valid = random_mask(20, 20, 0.8)
    halves = colour_halves(problem_of(pixels, valid, SMALL, 1.0))
    np.testing.assert_array_equal(halves, valid & (np.arange(20) >= 10))
