"""Which crops a step has, and what is in them: from seed and step alone, whoever makes them."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from toy import squares, toy_pool, two_colours

from unsegcli.methods._contract import Batch
from unsegcli.training.batches import Batches, on_device
from unsegcli.training.data import Pool, TrainingImage, fill

CPU = torch.device("cpu")


def batches(pool: Pool | None = None, **more: object) -> Batches:
    given = {"size": 4, "crop": 12, "seed": 3, "steps": 9, "needs": ("superpixels",), **more}
    return Batches(pool or toy_pool(), **given)  # type: ignore[arg-type]


def differences(first: Batch, second: Batch) -> list[str]:
    """Names of what differs."""
    pairs = ((name, value, getattr(second, name)) for name, value in vars(first).items())
    return [
        name
        for name, one, other in pairs
        if not (
            torch.equal(one, other)
            if isinstance(one, Tensor) and isinstance(other, Tensor)
            else one is other or one == other
        )
    ]


def pixels_of(batch: Batch) -> list[bytes]:
    return [image.numpy().tobytes() for image in batch.images]


def test_what_a_batch_holds() -> None:
    batch = batches().at(5)
    assert (batch.images.shape, batch.images.dtype) == ((4, 3, 12, 12), torch.uint8)
    assert batch.index.tolist() == [20, 21, 22, 23]
    assert (batch.seed, batch.step, batch.epoch, batch.progress) == (3, 5, 3, 5 / 9)
    assert batch.mask is None
    assert batch.proposals is None
    assert batch.place is not None
    assert batches(needs=()).at(5).superpixels is None


def test_image_numbers_tell_the_images_apart() -> None:
    """Four crops of three images: one is there twice; every crop is found in the image of its number."""
    pool = toy_pool(3)
    batch = batches(pool, crop=20).at(0)
    assert batch.image_numbers is not None
    assert len(set(batch.image_numbers.tolist())) == 3
    for pixels, number in zip(batch.images, batch.image_numbers.tolist(), strict=True):
        assert torch.equal(pixels.permute(1, 2, 0), torch.from_numpy(np.array(pool.images[number].pixels)))


def test_pixels_and_superpixels_are_cut_alike() -> None:
    """The superpixels of each crop are those of one place in one image, numbered after those of the crop before."""
    pool = toy_pool(2)
    batch = batches(pool, size=2).at(0)
    assert batch.superpixels is not None
    assert batch.superpixel_count == 50
    for number in range(2):
        places = [
            (image, top, left)
            for image in range(2)
            for top in range(9)
            for left in range(9)
            if np.array_equal(
                pool.images[image].pixels[top : top + 12, left : left + 12].transpose(2, 0, 1), batch.images[number]
            )
        ]
        assert len(places) == 1
        assert batch.image_numbers is not None
        assert batch.image_numbers[number] == places[0][0]
        top, left = places[0][1:]
        np.testing.assert_array_equal(
            batch.superpixels[number] - 25 * number, squares(20, 20)[top : top + 12, left : left + 12]
        )


@pytest.mark.parametrize("ranks", [1, 2])
def test_one_pass_is_epoch_0_in_every_process(ranks: int) -> None:
    """Six images by four: the first four samples of epoch 0, then the last two."""
    first, last = batches(rank=ranks - 1, ranks=ranks).one_pass(CPU)
    assert (first.index.tolist(), last.index.tolist()) == ([0, 1, 2, 3], [4, 5])
    assert not differences(first, replace(on_device(batches().at(0), CPU), progress=0.0))
    second = on_device(batches().at(1), CPU)
    assert torch.equal(last.images, second.images[:2])
    assert (last.step, last.epoch, last.progress, last.superpixel_count) == (1, 0, 0.0, 50)
    assert {float(first.images.max()) <= 1, float(last.images.max()) <= 1} == {True}


def test_one_pass_makes_only_what_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    original = Batches._crop
    monkeypatch.setattr(Batches, "_crop", lambda self, number: made.append(number) or original(self, number))
    next(batches(size=2).one_pass(CPU))
    assert made == [0, 1]


@pytest.mark.parametrize("crop", [12, 20, 500])
def test_place_is_where_the_crop_was_cut(crop: int) -> None:
    """Of images whose pixels tell their row and column; in place x sides the crop is found again."""
    rows, columns = np.indices((40, 20), np.uint8)
    image = TrainingImage(np.stack([rows, columns, rows], 2), None, squares(40, 20))
    batch = batches(fill([image]), crop=crop).at(2)
    assert batch.place is not None
    assert batch.place.shape == (4, 4)
    for image, place in zip(batch.images, batch.place, strict=True):
        height, width = image.shape[1:]
        expected = [int(image[0, 0, 0]) / 40, int(image[1, 0, 0]) / 20, height / 40, width / 20]
        assert place.tolist() == pytest.approx(expected)


def test_place_of_a_filled_up_image_reaches_over_its_border() -> None:
    """The crop is 20 x 20 and the image 10 x 16: void lies beyond 1, the pixels from 0 to 1."""
    images = [TrainingImage(two_colours(0, 20, 20), None, None), TrainingImage(two_colours(1, 10, 16), None, None)]
    batch = batches(fill(images), crop=20, size=2, needs=()).at(0)
    assert batch.place is not None
    assert sorted(batch.place.tolist()) == [[0, 0, 1, 1], [0, 0, 2, 1.25]]


def test_ranks_share_the_batch_of_one() -> None:
    for step in (0, 4):
        whole = batches().at(step)
        parts = [batches(rank=rank, ranks=2).at(step) for rank in range(2)]
        assert torch.equal(whole.images, torch.cat([part.images for part in parts]))
        assert torch.equal(whole.index, torch.cat([part.index for part in parts]))
        assert torch.equal(whole.place, torch.cat([part.place for part in parts]))
        assert [(part.epoch, part.progress) for part in parts] == 2 * [(whole.epoch, whole.progress)]
        assert parts[0].superpixel_count + parts[1].superpixel_count == whole.superpixel_count


def test_all_ranks_are_in_the_same_epoch() -> None:
    """Also where the batch spans the end of one: heads that take turns must take the same ones."""
    for step in range(9):
        assert len({batches(rank=rank, ranks=4, size=4).at(step).epoch for rank in range(4)}) == 1


def test_every_image_comes_once_in_an_epoch() -> None:
    pool = toy_pool(6)
    plain = fill(
        replace(image, pixels=np.full((20, 20, 3), number, np.uint8)) for number, image in enumerate(pool.images)
    )
    found = [int(image[0, 0, 0]) for step in range(9) for image in batches(plain).at(step).images]
    epochs = [found[start : start + 6] for start in range(0, 36, 6)]
    assert all(sorted(epoch) == list(range(6)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_seed_and_step_decide() -> None:
    assert differences(batches().at(4), batches().at(4)) == []
    assert pixels_of(batches().at(4)) != pixels_of(batches(seed=4).at(4))
    assert pixels_of(batches().at(4)) != pixels_of(batches().at(3))
    wide = batches(size=8).at(1)  # the same samples in a larger batch
    assert pixels_of(wide) == pixels_of(batches().at(2)) + pixels_of(batches().at(3))


@pytest.mark.parametrize("first", [0, 5])
def test_ahead_gives_what_at_gives(first: int) -> None:
    made = list(batches().ahead(first, CPU))
    assert len(made) == 9 - first
    for step, batch in enumerate(made, first):
        assert differences(batch, on_device(batches().at(step), CPU)) == []
        assert batch.images.dtype == torch.float32
        assert 0 <= float(batch.images.min()) < float(batch.images.max()) <= 1


def threads() -> int:
    return threading.active_count()


def test_no_thread_is_left_when_the_loop_ends_early() -> None:
    before = threads()
    ahead = batches(steps=1000).ahead(0, CPU)
    next(ahead)
    assert threads() == before + 1
    ahead.close()
    assert threads() == before


class Broken(Batches):
    """Fails at the third batch."""

    def at(self, step: int) -> Batch:
        if step == 2:
            raise OSError("the disk is gone")
        return super().at(step)


def test_failure_ahead_is_raised_where_the_batch_is_asked_for() -> None:
    broken = Broken(toy_pool(), 4, 12, 0, 9)
    ahead = broken.ahead(0, CPU)
    assert [next(ahead).step, next(ahead).step] == [0, 1]
    with pytest.raises(OSError, match="disk is gone"):
        next(ahead)


def test_failure_ahead_does_not_hang_a_loop_that_ends_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unsegcli.training.batches.AHEAD", 1)
    ahead = Broken(toy_pool(), 4, 12, 0, 9).ahead(0, CPU)
    next(ahead)  # the second one waits, and the failure behind it
    ahead.close()


def test_smaller_images_are_filled_with_void() -> None:
    images = [
        TrainingImage(two_colours(0, 20, 20), None, squares(20, 20)),
        TrainingImage(two_colours(1, 10, 16), None, squares(10, 16), np.ones((10, 16), np.bool_)),
    ]
    batch = batches(fill(images), crop=18, size=2, needs=("superpixels", "proposals")).at(0)
    assert batch.images.shape == (2, 3, 18, 18)
    assert batch.mask is not None
    assert batch.superpixels is not None
    small = int(batch.mask[0].all())  # the image that is not wholly valid
    assert bool(batch.mask[1 - small].all())
    outside = ~batch.mask[small]
    assert int((~outside).sum()) == 10 * 16
    assert not batch.images[small][:, outside].any()
    assert bool((batch.superpixels[small][outside] == -1).all())
    assert int(batch.superpixels[small][~outside].min()) >= 0


def test_crop_is_never_larger_than_all_images() -> None:
    assert batches(crop=500).shape == (20, 20)
    assert batches(crop=500).at(0).mask is None


@pytest.mark.parametrize(
    ("crop", "multiple", "expected"), [(40, 8, (24, 32)), (20, 8, (16, 16)), (40, 1, (30, 37)), (40, 32, (30, 32))]
)
def test_sides_of_crops_are_multiples(crop: int, multiple: int, expected: tuple[int, int]) -> None:
    """Unless an image is smaller than one: then the map of the network is of one position."""
    batch = batches(toy_pool(5, 30, 37), crop=crop, multiple=multiple).at(0)
    assert batch.images.shape[2:] == expected
    assert batch.mask is None


def test_masks_are_cut_with_the_pixels() -> None:
    valid = np.ones((20, 20), np.bool_)
    valid[:, 10:] = False
    pixels = np.where(valid[..., None], two_colours(0) | 1, 0).astype(np.uint8)
    batch = batches(fill([TrainingImage(pixels, valid, None)]), needs=(), size=3).at(0)
    assert batch.mask is not None
    assert torch.equal(batch.mask, (batch.images > 0).all(1))
    assert 0 < int(batch.mask.sum()) < batch.mask.numel()


@pytest.mark.parametrize("room", [0, 3000, 10**9])
def test_spilled_images_give_the_same_batches(room: int, tmp_path: Path) -> None:
    spill = tmp_path / "pictures-0.bin"
    spill.write_bytes(b"left over")
    spilled = fill(toy_pool().images, room, spill)
    assert spilled.stored_bytes + spilled.spilled_bytes == toy_pool().stored_bytes
    assert spilled.stored_bytes <= room
    assert spill.exists() == (room < 10**9)
    assert not spill.exists() or spill.stat().st_size == spilled.spilled_bytes
    needs = ("superpixels", "proposals")
    for step in (0, 7):
        assert differences(batches(spilled, needs=needs).at(step), batches(needs=needs).at(step)) == []


def test_confidence_is_spilled_too(tmp_path: Path) -> None:
    sure = [replace(image, confidence=0.1 * number) for number, image in enumerate(toy_pool().images)]
    spilled = fill(sure, 0, tmp_path / "pictures-0.bin").images
    assert [image.confidence for image in spilled] == [image.confidence for image in sure]


def test_object_masks_are_cut_with_the_pixels() -> None:
    """What is added to a small image is no object."""
    for batch in (batches(needs=("proposals",)).at(1), batches(needs=("proposals",), pool=mixed()).at(0)):
        assert batch.proposals is not None
        assert batch.confidence is not None
        assert batch.confidence.tolist() == [1.0] * len(batch.images)
        inside = torch.ones_like(batch.proposals) if batch.mask is None else batch.mask
        assert torch.equal(batch.proposals, (batch.images[:, 0] < 130) & inside)
        assert 0 < int(batch.proposals.sum()) < int(inside.sum())


def mixed() -> Pool:
    """Images of two sizes."""
    return fill([*toy_pool(2).images, *toy_pool(2, 9, 11).images])


def test_pool_knows_its_images() -> None:
    pool = fill(
        [
            TrainingImage(two_colours(0, 8, 30, 5), None, None),
            TrainingImage(two_colours(0, 20, 9, 5), None, squares(20, 9)),
        ]
    )
    assert (pool.largest, pool.channels, len(pool.images)) == ((20, 30), 5, 2)
    assert [image.superpixels for image in pool.images] == [0, 15]
