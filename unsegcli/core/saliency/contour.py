"""The ascent of inpainting error maximisation: the mask moves at its contour by the sign of the exact gradient.

Compiled by numba. The gradient is derived by hand: the filter is linear and symmetric, so one filtered stack is used
for both sides, and it is updated pixel by pixel as the mask changes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unsegcli.core.compiling import compiled_loosely
from unsegcli.core.saliency.banded import filter_rows
from unsegcli.core.saliency.iem import EPSILON, Inpainter, Problem, under

CHUNK = 512  # pixels compared at once, so that intermediate results fit the fastest cache
FEWEST_NEIGHBOURS = 4  # foreground pixels in a 3 x 3 neighbourhood for a pixel to stay foreground in smoothing


@dataclass(frozen=True)
class Ascent:
    """Result of the ascent."""

    mask: NDArray[np.bool_]  # (height, width)
    steps: int  # until the mask was constant or alternated between two masks; at most the iterations
    emptied: bool  # whether a step would have left one side empty, so that the previous mask was kept


def ascend(
    problem: Problem, start: NDArray[np.bool_], iterations: int, *, smooth: bool = True, everywhere: bool = False
) -> Ascent:
    """Run gradient ascent on a mask (height, width) for a number of iterations.

    A mask that recurs after one or two steps always does: the result of the last iteration is then returned at once.

    Args:
        problem: the image.
        start: the first mask; both sides must have a valid pixel.
        iterations: steps, each of which moves the contour by at most one pixel.
        smooth: after each step, keep foreground only where enough neighbours are foreground.
        everywhere: update all pixels instead of those at the contour only.
    """
    inside = problem.valid & start
    rows, columns = (problem.inpainter.bands(length) for length in inside.shape)
    filtered = problem.inpainter.fill(under(problem.image, inside))
    mask, steps, emptied = _ascend(
        problem.image,
        np.pad(problem.valid.astype(np.uint8), 1),
        inside.astype(np.uint8),
        problem.whole,
        filtered,
        rows,
        columns,
        problem.diversity,
        iterations,
        smooth,
        everywhere,
    )
    return Ascent(mask.astype(np.bool_), int(steps), bool(emptied))


def prepare() -> None:
    """Compile the kernels, which takes some seconds, once per machine and for all processes."""
    image, start = np.zeros((1, 4, 4)), np.eye(4, dtype=np.bool_)
    ascend(Problem(image, np.ones((4, 4), np.bool_), Inpainter(), 0.0), start, 1)


def gradient(problem: Problem, mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Compute the gradient of the objective for every pixel (height, width); 0 where not valid."""
    inside = problem.valid & mask
    rows, columns = (problem.inpainter.bands(length) for length in inside.shape)
    filtered = problem.inpainter.fill(under(problem.image, inside))
    found: NDArray[np.float64] = _gradient(
        problem.image,
        np.pad(problem.valid.astype(np.uint8), 1),
        inside.astype(np.uint8),
        problem.whole,
        filtered,
        rows,
        columns,
        problem.diversity,
    )
    return found


# Below: `filtered` and `whole` are (bands + 1, height, width), filtered foreground and filtered valid pixels; their
# difference is the filtered background. `areas`, `sums` and `lost` have the foreground first, then the background.


@compiled_loosely
def _ascend(image, valid, start, whole, filtered, rows, columns, diversity, iterations, smooth, everywhere):
    bands, height, width = image.shape
    rows_single, columns_single = rows.astype(np.float32), columns.astype(np.float32)
    backward = np.zeros((bands + 1, height, width), np.float32)
    half = np.zeros((bands + 1, height, width), np.float32)
    scratch = np.zeros((5, CHUNK), np.float32)
    backward_sums, lost = np.zeros(bands + 1), np.zeros(2)
    side, known = start.astype(np.float32), valid[1:-1, 1:-1].astype(np.float32)
    image_single = image.astype(np.float32)
    areas, sums = _totals(image, valid, start)
    # Masks are padded with zeros, so that the image border needs no special case.
    mask = np.zeros((height + 2, width + 2), np.uint8)
    mask[1:-1, 1:-1] = start
    moved, earlier = np.zeros_like(mask), np.full_like(mask, 2)
    line, counts = np.zeros(width, np.uint8), np.zeros(width + 2, np.uint8)
    steps, emptied = 0, False
    while steps < iterations:
        _flow_back(
            image_single.reshape(bands, -1), known.reshape(-1), whole.reshape(bands + 1, -1),
            filtered.reshape(bands + 1, -1), side.reshape(-1), areas, sums, scratch, lost,
            backward.reshape(bands + 1, -1), backward_sums,
        )  # fmt: skip
        filter_rows(backward, rows_single, half)
        moved[:] = mask
        for row in range(height):
            if everywhere:
                line[:] = valid[row + 1, 1:-1]
            else:
                _contour(mask, valid, row, line)
            for column in range(width):
                if line[column]:
                    slope = _slope(
                        row, column, image, whole, filtered, areas, sums, lost, half, backward_sums, columns_single,
                        diversity,
                    )  # fmt: skip
                    if slope > 0:
                        moved[row + 1, column + 1] = 1
                    elif slope < 0:
                        moved[row + 1, column + 1] = 0
        if smooth:
            _smooth(moved, valid, counts)
        area = _count(moved)
        if area == 0 or area == areas[0] + areas[1]:
            emptied = True
            break
        steps += 1
        still, returned = _same(moved, mask), _same(moved, earlier)
        earlier[:] = mask
        if still:
            break
        _move(image, moved, mask, side, filtered, areas, sums, rows, columns)
        if returned:
            if (iterations - steps) % 2:
                mask = earlier
            break
    return mask[1:-1, 1:-1].copy(), steps, emptied


@compiled_loosely
def _gradient(image, valid, start, whole, filtered, rows, columns, diversity):
    bands, height, width = image.shape
    backward = np.zeros((bands + 1, height, width), np.float32)
    half = np.zeros((bands + 1, height, width), np.float32)
    scratch = np.zeros((5, CHUNK), np.float32)
    backward_sums, lost = np.zeros(bands + 1), np.zeros(2)
    side, known = start.astype(np.float32), valid[1:-1, 1:-1].astype(np.float32)
    image_single = image.astype(np.float32)
    areas, sums = _totals(image, valid, start)
    mask = np.zeros((height + 2, width + 2), np.uint8)
    mask[1:-1, 1:-1] = start
    _flow_back(
            image_single.reshape(bands, -1), known.reshape(-1), whole.reshape(bands + 1, -1),
            filtered.reshape(bands + 1, -1), side.reshape(-1), areas, sums, scratch, lost,
            backward.reshape(bands + 1, -1), backward_sums,
        )  # fmt: skip
    filter_rows(backward, rows.astype(np.float32), half)
    slopes = np.zeros((height, width))
    columns_single = columns.astype(np.float32)
    for row in range(height):
        for column in range(width):
            if valid[row + 1, column + 1]:
                slopes[row, column] = _slope(
                    row, column, image, whole, filtered, areas, sums, lost, half, backward_sums, columns_single,
                    diversity,
                )  # fmt: skip
    return slopes


@compiled_loosely
def _totals(image, valid, inside):
    """Compute the area and the sum of each band on both sides."""
    bands, height, width = image.shape
    areas, sums = np.zeros(2), np.zeros((2, bands))
    for row in range(height):
        for column in range(width):
            if valid[row + 1, column + 1]:
                side = 1 - inside[row, column]
                areas[side] += 1
                for band in range(bands):
                    sums[side, band] += image[band, row, column]
    return areas, sums


@compiled_loosely
def _flow_back(image, valid, whole, filtered, side, areas, sums, scratch, lost, backward, backward_sums):
    """Compute the error of each pixel against its prediction from the other side, and the gradient of the filter.

    `lost` becomes the summed error of each side. With s the sign of prediction minus pixel, over the prediction's
    weight, the area and the bands, negative in the foreground (whose prediction falls with the mask), `backward`
    becomes s for each band, and the sum of s x prediction in the last plane. All pixels lie in one row here:
    image, whole, filtered and backward are (planes, pixels), `valid` and `side` (1 = foreground) are (pixels,).
    """
    bands, pixels = image.shape
    weight, signed, errors, last = scratch[0], scratch[1], scratch[2], scratch[3]
    guess = scratch[4]
    outer_scale = np.float32(1.0 / (bands * areas[1]))
    both_scales = np.float32(1.0 / (bands * areas[0]) + 1.0 / (bands * areas[1]))
    one, nothing = np.float32(1.0), np.float32(0.0)
    lost[:] = 0.0
    backward_sums[:] = 0.0
    for start in range(0, pixels, scratch.shape[1]):
        end = min(pixels, start + scratch.shape[1])
        size = end - start
        inside, known = side[start:end], valid[start:end]
        near, all_near = filtered[bands, start:end], whole[bands, start:end]
        rest = EPSILON * areas[0]
        change = EPSILON * areas[1] - rest
        for x in range(size):  # in double precision, since the difference is tiny far from visible pixels
            weight[x] = near[x] + rest + inside[x] * (all_near[x] - 2 * near[x] + change)
        for x in range(size):
            weight[x] = one / weight[x]
            signed[x] = (known[x] * outer_scale - inside[x] * both_scales) * weight[x]
            last[x] = nothing
            errors[x] = nothing
        for band in range(bands):
            near, all_near, pixel = filtered[band, start:end], whole[band, start:end], image[band, start:end]
            back = backward[band, start:end]
            rest = EPSILON * sums[0, band]
            change = EPSILON * sums[1, band] - rest
            for x in range(size):
                guess[x] = near[x] + rest + inside[x] * (all_near[x] - 2 * near[x] + change)
            total = nothing
            for x in range(size):
                prediction = guess[x] * weight[x]
                difference = prediction - pixel[x]
                errors[x] += abs(difference)
                flow = signed[x] if difference > 0 else (-signed[x] if difference < 0 else nothing)
                back[x] = flow
                total += flow
                last[x] += flow * prediction
            backward_sums[band] += total
        back = backward[bands, start:end]
        total, inner, outer = nothing, nothing, nothing
        for x in range(size):
            back[x] = last[x]
            total += last[x]
            inner += inside[x] * errors[x]
            outer += (known[x] - inside[x]) * errors[x]
        backward_sums[bands] += total
        lost[0] += inner / bands
        lost[1] += outer / bands


@compiled_loosely
def _slope(row, column, image, whole, filtered, areas, sums, lost, half, backward_sums, columns, diversity):
    """Compute the gradient at a pixel from its error, the areas, the predictions of other pixels, and its colour."""
    bands, _, width = image.shape
    reach = columns.shape[1] // 2
    left, right = max(0, column - reach), min(width, column + reach + 1)
    weights = columns[column, left - column + reach : right - column + reach]
    near, all_near = filtered[bands, row, column], whole[bands, row, column]
    inner_inverse = 1.0 / (near + EPSILON * areas[0])
    outer_inverse = 1.0 / (all_near - near + EPSILON * areas[1])
    from_inside = 0.0
    from_outside = 0.0
    spread = 0.0
    flowed = 0.0
    for plane in range(bands + 1):
        line = half[plane, row, left:right]
        back = np.float32(0.0)
        for x in range(len(weights)):
            back += weights[x] * line[x]
        flow = back + EPSILON * backward_sums[plane]
        if plane == bands:
            flowed -= flow
        else:
            value, near, all_near = (
                image[plane, row, column], filtered[plane, row, column], whole[plane, row, column],
            )  # fmt: skip
            flowed += value * flow
            from_inside += abs((near + EPSILON * sums[0, plane]) * inner_inverse - value)
            from_outside += abs((all_near - near + EPSILON * sums[1, plane]) * outer_inverse - value)
            spread += (value - sums[0, plane] / areas[0]) ** 2 - (value - sums[1, plane] / areas[1]) ** 2
    own = from_outside / (bands * areas[0]) - from_inside / (bands * areas[1])
    return own - lost[0] / areas[0] ** 2 + lost[1] / areas[1] ** 2 + flowed - diversity * spread


@compiled_loosely
def _contour(mask, valid, row, out):
    """Mark the valid pixels of a row with a neighbour on the other side, in the void, or outside the image."""
    here, known = mask[row + 1], valid[row + 1]
    up, down, above, below = mask[row, 1:-1], mask[row + 2, 1:-1], valid[row, 1:-1], valid[row + 2, 1:-1]
    for x in range(len(out)):
        own = here[x + 1]
        differs = (up[x] ^ own) | (down[x] ^ own) | (here[x] ^ own) | (here[x + 2] ^ own)
        inner = above[x] & below[x] & known[x] & known[x + 2]
        out[x] = (differs | (inner ^ 1)) & known[x + 1]


@compiled_loosely
def _smooth(mask, valid, counts):
    """Keep foreground where enough neighbours are foreground; in place, but computed from the old rows."""
    height, width = valid.shape[0] - 2, valid.shape[1] - 2
    above, here = np.zeros(width + 2, np.uint8), np.zeros(width + 2, np.uint8)
    fewest = np.uint8(FEWEST_NEIGHBOURS)
    for row in range(height):
        target, below, known = mask[row + 1], mask[row + 2], valid[row + 1]
        here[:] = target
        for x in range(width + 2):
            counts[x] = above[x] + here[x] + below[x]
        above[:] = here
        for x in range(width):
            target[x + 1] = known[x + 1] if np.uint8(counts[x] + counts[x + 1] + counts[x + 2]) >= fewest else 0


@compiled_loosely
def _count(mask):
    total = 0
    for row in range(mask.shape[0]):
        for x in range(mask.shape[1]):
            total += mask[row, x]
    return total


@compiled_loosely
def _same(one, other):
    for row in range(one.shape[0]):  # noqa: SIM110 - numba does not support generators here
        if not _alike(one[row], other[row]):
            return False
    return True


@compiled_loosely
def _alike(one, other):
    """Return whether two rows are equal; without early exit, so that it is vectorised."""
    differs = np.uint8(0)
    for x in range(len(one)):
        differs |= one[x] ^ other[x]
    return differs == 0


@compiled_loosely
def _move(image, moved, mask, side, filtered, areas, sums, rows, columns):
    """Set `mask` to `moved`, and update everything that depends on it."""
    bands, height, width = image.shape
    tall, wide = rows.shape[1] // 2, columns.shape[1] // 2
    for row in range(height):
        if _alike(moved[row + 1], mask[row + 1]):
            continue
        for column in range(width):
            new = moved[row + 1, column + 1]
            if new == mask[row + 1, column + 1]:
                continue
            mask[row + 1, column + 1] = new
            side[row, column] = new
            sign = 1.0 if new else -1.0
            areas[0] += sign
            areas[1] -= sign
            left, right = max(0, column - wide), min(width, column + wide + 1)
            weights = columns[column, left - column + wide : right - column + wide]
            for plane in range(bands + 1):
                value = sign
                if plane < bands:
                    value *= image[plane, row, column]
                    sums[0, plane] += value
                    sums[1, plane] -= value
                for other in range(max(0, row - tall), min(height, row + tall + 1)):
                    factor = value * rows[row, other - row + tall]
                    target = filtered[plane, other, left:right]
                    for x in range(len(weights)):
                        target[x] += factor * weights[x]
