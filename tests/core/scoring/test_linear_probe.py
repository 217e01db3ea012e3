"""A linear probe on cases known in advance: classes that a line parts, labels by chance, halves of images."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from unsegcli.core.scoring.linear_probe import DECAY, Labelled, Probed, fit_linear, halves, probe_divisions
from unsegcli.core.scoring.scores import accuracy

IMAGES, EACH = 6, 40


def labelled(seed: int = 0, dimensions: int = 3, gap: float = 4.0) -> Labelled:
    """Superpixels of 10 pixels, each of one of three classes, around a centre of its class."""
    random = np.random.default_rng(seed)
    classes = random.integers(0, 3, IMAGES * EACH)
    vectors = gap * np.eye(3, dimensions)[classes] + random.normal(0, 0.2, (len(classes), dimensions))
    return Labelled(
        vectors, 10 * np.eye(3, dtype=np.int64)[classes], np.repeat(np.arange(IMAGES), EACH),
        np.zeros((IMAGES, 3), np.int64),
    )  # fmt: skip


def probe_halves(given: Labelled, number: int, seed: int) -> list[Probed]:
    """Both ways, for several random halves."""
    drawn = halves(len(given.outside), number, seed)
    return probe_divisions(given, [[(one, other), (other, one)] for one, other in drawn])


def with_counts(given: Labelled, counts: NDArray[np.int64]) -> Labelled:
    return Labelled(given.vectors, counts, given.images, given.outside)


def test_classes_that_a_line_parts_are_told_apart() -> None:
    for found in probe_halves(labelled(), 3, 0):
        assert accuracy(found.probe) == 1
        assert accuracy(found.ceiling) == 1
        assert found.probe.sum() == IMAGES * EACH * 10


def test_labels_by_chance_give_the_largest_class() -> None:
    """Three of four superpixels are of class 0, whatever their vectors: nothing better can be learned."""
    random = np.random.default_rng(1)
    given = labelled()
    classes = np.where(random.random(len(given.counts)) < 0.75, 0, random.integers(1, 3, len(given.counts)))
    shuffled = with_counts(given, 10 * np.eye(3, dtype=np.int64)[classes])
    for found in probe_halves(shuffled, 3, 0):
        assert accuracy(found.largest) == pytest.approx((classes == 0).mean())
        assert accuracy(found.probe) == pytest.approx(accuracy(found.largest), abs=0.02)
        assert accuracy(found.ceiling) == 1


def test_halves_share_no_image_and_have_all() -> None:
    drawn = list(halves(7, 4, 0))
    for one, other in drawn:
        assert len(one) == 4
        assert sorted([*one, *other]) == list(range(7))
    assert len({tuple(one) for one, _ in drawn}) > 1
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(drawn, halves(7, 4, 0), strict=True))
    assert any(not np.array_equal(a[0], b[0]) for a, b in zip(drawn, halves(7, 4, 1), strict=True))


def test_nothing_is_learned_from_the_half_that_is_scored() -> None:
    """In each image a vector stands for another class: only who has seen the image itself can tell."""
    images = np.arange(IMAGES)
    counts = 10 * np.eye(IMAGES, dtype=np.int64)[images]
    each = Labelled(np.eye(IMAGES), counts, images, np.zeros((IMAGES, IMAGES), np.int64))
    for found in probe_halves(each, 3, 0):
        assert accuracy(found.probe) == 0


def test_soft_targets_are_the_shares_of_the_classes() -> None:
    """Two vectors: where one has 3 of 4 pixels of class 0, its probability is that, but for the decay."""
    vectors, counts = np.array([[-1.0], [1.0]]), np.array([[30, 10], [10, 30]])
    weights = fit_linear(vectors, counts).weights
    logit = np.diff(np.array([-1.0, 1.0]) @ weights)[0]
    assert 1 / (1 + np.exp(logit)) == pytest.approx(0.75, abs=10 * DECAY)


def test_weight_follows_labelled_pixels() -> None:
    """Two kinds of pixels at one place: the larger superpixel decides."""
    vectors = np.array([[0.0], [0.0], [1.0]])
    assert fit_linear(vectors, np.array([[5, 0], [0, 6], [1, 0]]))(vectors).tolist() == [1, 1, 0]


def test_scale_and_constant_dimensions_do_not_matter() -> None:
    given = labelled(gap=0.3)
    changed = Labelled(
        np.concatenate([1000 * given.vectors - 7, np.full((len(given.vectors), 1), 3.0)], axis=1),
        given.counts, given.images, given.outside,
    )  # fmt: skip
    first, second = (probe_halves(one, 1, 0)[0].probe for one in (given, changed))
    assert np.abs(first - second).sum() <= 40


def test_pixels_in_no_superpixel_are_wrong_and_mixed_superpixels_have_a_ceiling() -> None:
    given = labelled()
    outside = np.zeros((IMAGES, 3), np.int64)
    outside[:, 1] = 100
    mixed = Labelled(given.vectors, given.counts * 8 // 10 + 1, given.images, outside)
    found = probe_halves(mixed, 1, 0)[0]
    inside = IMAGES * EACH * 11
    assert accuracy(found.ceiling) == pytest.approx(IMAGES * EACH * 9 / (inside + 600))
    assert found.probe[-1].tolist() == [0, 600, 0]


def test_one_direction_alone_scores_the_other_images() -> None:
    given = labelled()
    found = probe_divisions(given, [[([0, 1, 2], [4])]])[0]
    assert found.probe.sum() == EACH * 10
    assert accuracy(found.probe) == 1
    assert found.largest.sum() == EACH * 10
