"""The ascent of IEM: gradient and masks of the compiled code against the plain reference, and what must always hold."""

from __future__ import annotations

from dataclasses import replace

import inpainting_reference as reference
import numpy as np
import pytest

from unsegcli.core.saliency.contour import Ascent, ascend, gradient
from unsegcli.core.saliency.iem import Inpainter, Problem, centred_square, problem_of

HALF = Inpainter(2.5, 7, 2)  # about what the published filter is on images of half the size
TINY = Inpainter(2.0, 5, 2)
SQUARE = 78 / 128
SAME = 0.995  # share of pixels


def noise_problem(seed: int, diversity: float = 1e-3, valid: np.ndarray | None = None) -> Problem:
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 12, 3)).astype(np.uint8)
    return problem_of(pixels, valid, TINY, diversity)


def one_by_one(problem: Problem, start: np.ndarray, iterations: int) -> np.ndarray:
    """The mask after so many ascents of one step each, which know nothing of each other."""
    mask = start
    for _ in range(iterations):
        mask = ascend(problem, mask, 1).mask
    return mask


# ---------------------------------------------------------------------------------------- the gradient


@pytest.mark.parametrize("name", reference.PHOTOGRAPHS)
def test_gradient_is_that_of_the_reference(name: str) -> None:
    problem = reference.photograph_problem(name)
    check_gradient(problem, centred_square(128, 128, SQUARE))


def check_gradient(problem: Problem, mask: np.ndarray) -> None:
    expected = reference.gradient(problem, mask)
    np.testing.assert_allclose(gradient(problem, mask), expected, rtol=0, atol=1e-6 * abs(expected).max())


@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("name", ["astronaut", "coffee", "coins"])
def test_gradient_of_ragged_masks_on_images_that_are_not_square(name: str, holes: bool) -> None:
    random = np.random.default_rng(1)
    valid = random.random((96, 150)) < 0.9
    valid[20:50, 100:] = False
    problem = reference.photograph_problem(name, 96, 150, valid=valid if holes else None)
    columns = np.arange(150)
    for mask in (
        random.random((96, 150)) < 0.5,
        np.hypot(np.arange(96)[:, None] - 40, columns - 70) < 25,
        columns < np.full((96, 1), 3),
    ):
        check_gradient(problem, mask)


@pytest.mark.parametrize("bands", [2, 5])
def test_gradient_for_other_numbers_of_bands(bands: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 48, bands)).astype(np.uint8)
    check_gradient(problem_of(pixels, None, HALF, 1e-3), centred_square(64, 48, 0.5))


def test_gradient_of_a_coarse_filter() -> None:
    problem = reference.photograph_problem("chelsea", 64, 96, Inpainter(2.5, 7, 2, factor=2))
    check_gradient(problem, centred_square(64, 96, 0.5))


def test_gradient_of_each_term_alone() -> None:
    mask = centred_square(64, 64, SQUARE)
    problem = reference.photograph_problem("retina", 64, 64, HALF)
    for diversity in (0.0, 1000.0):
        check_gradient(replace(problem, diversity=diversity), mask)


# ---------------------------------------------------------------------------------------- the masks


@pytest.mark.parametrize("name", reference.PHOTOGRAPHS)
def test_half_size_masks_are_those_of_the_reference(name: str) -> None:
    problem = reference.photograph_problem(name, 64, 64, HALF)
    start = centred_square(64, 64, SQUARE)
    found = ascend(problem, start, 150).mask
    assert (found != start).mean() > 0.02, "nothing has moved, so that nothing is tested"
    assert (found == reference.ascended(problem, start)).mean() >= SAME


@pytest.mark.slow
@pytest.mark.parametrize("name", reference.PHOTOGRAPHS)
def test_masks_are_those_of_the_reference(name: str) -> None:
    """The published settings: 128 x 128 pixels, 150 iterations."""
    problem = reference.photograph_problem(name)
    start = centred_square(128, 128, SQUARE)
    assert (ascend(problem, start, 150).mask == reference.ascended(problem, start)).mean() >= SAME


@pytest.mark.parametrize("settings", [{"smooth": False}, {"everywhere": True}, {"smooth": False, "everywhere": True}])
def test_variants_are_those_of_the_reference(settings: dict[str, bool]) -> None:
    problem = reference.photograph_problem("rocket", 64, 64, HALF)
    start = centred_square(64, 64, SQUARE)
    found = ascend(problem, start, 40, **settings).mask
    assert (found == reference.ascended(problem, start, 40, **settings)).mean() >= SAME
    assert (found != ascend(problem, start, 40).mask).any()


@pytest.mark.parametrize("name", ["astronaut", "moon"])
def test_masks_with_void_pixels_are_those_of_the_reference(name: str) -> None:
    valid = np.ones((60, 80), bool)
    valid[:20, :30] = False
    valid[40:44, 20:70] = False
    problem = reference.photograph_problem(name, 60, 80, HALF, valid)
    start = centred_square(60, 80, SQUARE)
    found = ascend(problem, start, 60).mask
    assert not found[~valid].any()
    assert (found == reference.ascended(problem, start, 60)).mean() >= SAME


def test_masks_of_a_coarse_filter_are_those_of_the_reference() -> None:
    problem = reference.photograph_problem("chelsea", 64, 64, Inpainter(2.0, 5, 2, factor=2))
    start = centred_square(64, 64, SQUARE)
    assert (ascend(problem, start, 60).mask == reference.ascended(problem, start, 60)).mean() >= SAME


# ---------------------------------------------------------------------------------------- the early stop


@pytest.mark.parametrize("seed", range(0, 60, 3))
def test_stopping_early_gives_what_all_iterations_give(seed: int) -> None:
    """Half of these images end in a cycle of two masks or more, some stand still."""
    problem, start = noise_problem(seed), centred_square(12, 12, 0.6)
    mask = one_by_one(problem, start, 149)
    for iterations in (149, 150, 151):
        np.testing.assert_array_equal(ascend(problem, start, iterations).mask, mask, err_msg=str(iterations))
        mask = ascend(problem, mask, 1).mask


def test_cycle_of_two_masks_stops_early_and_keeps_the_parity() -> None:
    problem, start = noise_problem(13), centred_square(12, 12, 0.6)
    even, odd = ascend(problem, start, 150), ascend(problem, start, 151)
    assert even.steps == odd.steps < 20
    assert (even.mask != odd.mask).any()
    np.testing.assert_array_equal(ascend(problem, even.mask, 1).mask, odd.mask)
    np.testing.assert_array_equal(ascend(problem, odd.mask, 1).mask, even.mask)


def test_cycle_of_more_masks_runs_to_the_end() -> None:
    problem, start = noise_problem(4), centred_square(12, 12, 0.6)
    ends = [ascend(problem, start, iterations) for iterations in range(150, 156)]
    assert [end.steps for end in ends] == list(range(150, 156))
    assert (ends[0].mask != ends[1].mask).any()
    assert (ends[0].mask != ends[2].mask).any()


def test_no_iteration_is_the_first_mask() -> None:
    problem, start = noise_problem(0), centred_square(12, 12, 0.6)
    found = ascend(problem, start, 0)
    np.testing.assert_array_equal(found.mask, start)
    assert (found.steps, found.emptied) == (0, False)


# ---------------------------------------------------------------------------------------- what always holds


def test_only_the_contour_moves_in_a_step() -> None:
    problem = reference.photograph_problem("astronaut", 64, 64, HALF)
    before = centred_square(64, 64, 0.3)
    for _ in range(15):
        after = ascend(problem, before, 1, smooth=False).mask
        assert not ((before != after) & ~reference.contour(before) & ~reference.contour(~before)).any()
        before = after


def test_a_mask_can_be_born_at_the_border() -> None:
    """The border always counts as contour: of two objects the second lies there, and the first mask is far from it."""
    pixels = np.full((40, 40, 3), 60, np.uint8) + np.random.default_rng(0).integers(0, 20, (40, 40, 3), np.uint8)
    start = np.zeros((40, 40), bool)
    start[25:35, 25:35] = True
    pixels[:12, :14] = pixels[start] = 240
    found = ascend(problem_of(pixels, None, HALF, 1e-3), start, 60).mask
    assert found[:10, :12].all()


def test_what_stands_in_void_pixels_has_no_influence() -> None:
    valid = np.random.default_rng(5).random((60, 80)) < 0.8
    pixels = reference.photograph("coffee", 60, 80)
    other = np.where(valid[:, :, None], pixels, 255 - pixels)
    start = centred_square(60, 80, SQUARE)
    masks = [ascend(problem_of(one, valid, HALF, 1e-3), start, 60).mask for one in (pixels, other)]
    assert (masks[0] != (start & valid)).any()
    np.testing.assert_array_equal(*masks)


def test_a_frame_of_void_pixels_is_like_the_border_of_the_image() -> None:
    pixels = reference.photograph("chelsea", 50, 60)
    start = centred_square(50, 60, SQUARE)
    bare = ascend(problem_of(pixels, None, HALF, 1e-3), start, 60).mask
    frame = ((15, 15), (15, 15))
    framed = np.pad(pixels, (*frame, (0, 0)), constant_values=77)
    problem = problem_of(framed, np.pad(np.ones((50, 60), bool), frame), HALF, 1e-3)
    inner = ascend(problem, np.pad(start, frame), 60).mask[15:-15, 15:-15]
    assert (inner == bare).mean() >= SAME


@pytest.mark.parametrize("full", [False, True])
def test_no_side_is_emptied(full: bool) -> None:
    """Smoothing would take the last pixel of a side; the mask before it is kept."""
    start = np.full((12, 12), full)
    start[6, 6] ^= True
    found = ascend(noise_problem(0), start, 50)
    assert found.emptied
    np.testing.assert_array_equal(found.mask, start)


@pytest.mark.parametrize("shape", [(1, 2), (2, 2), (3, 3), (1, 40), (40, 1), (3, 200)])
@pytest.mark.parametrize("everywhere", [False, True])
def test_images_smaller_than_the_filter(shape: tuple[int, int], everywhere: bool) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (*shape, 3)).astype(np.uint8)
    problem = problem_of(pixels, None, Inpainter(), 1e-3)
    start = np.arange(shape[0] * shape[1]).reshape(shape) % 7 == 0
    check_gradient(problem, start)
    found: Ascent = ascend(problem, start, 20, everywhere=everywhere)
    assert found.mask.any()
    assert not found.mask.all()
