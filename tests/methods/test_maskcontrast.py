"""MaskContrast beyond the contract: its views, its queue, the network that follows, and one step worked out again."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from toy import make_network, tiny, toy_batch, toy_batches, toy_pool

from unsegcli.core.draws import Draws
from unsegcli.errors import ConfigError
from unsegcli.methods import maskcontrast
from unsegcli.methods._contract import Batch
from unsegcli.methods._load import find_method
from unsegcli.methods._same_image import warn_of_single_image
from unsegcli.methods.maskcontrast import Config, Encoder, Network, after_step, loss, two_views
from unsegcli.presets import read_preset

METHOD = find_method("maskcontrast")
PLAIN = {"jittered": 0.0, "grey": 0.0, "flip": False}  # views are parts of the image, and nothing else


def small(**more: Any) -> Config:
    config: Config = tiny(METHOD, **more)
    return config


def network_of(config: Config, seed: int = 0) -> Network:
    network = make_network(METHOD, config, seed=seed)
    assert isinstance(network, Network)
    return network


def batch_of(images: Tensor, objects: Tensor, **more: Any) -> Batch:
    return Batch(images, torch.arange(len(images)), proposals=objects, **more)


def centre(height: int = 40, width: int = 40, side: int = 16) -> Tensor:
    """A mask of a square in the middle: (1, height, width)."""
    mask = torch.zeros(1, height, width, dtype=torch.bool)
    top, left = (height - side) // 2, (width - side) // 2
    mask[:, top : top + side, left : left + side] = True
    return mask


# ---------------------------------------------------------------------------------------- views


def test_images_and_masks_change_alike() -> None:
    """Where the mask is, the image is white."""
    objects = centre().expand(6, -1, -1)
    batch = batch_of(objects[:, None].expand(-1, 3, -1, -1).float(), objects)
    config = small(jittered=0.0, grey=0.0, view=32)
    for view in two_views(batch, Draws(0, 0, batch.index), config):
        assert view.images.shape == (6, 3, 32, 32)
        agree = (view.images[:, 0] > 0.5) == view.objects
        assert float(agree.double().mean()) > 0.97, "but for their smoothed border"
        shown = view.objects.double().mean((1, 2))
        assert float(shown.min()) > 0.005
        assert float(shown.max()) < 0.995
        assert bool(view.valid.all())


def test_views_differ_and_follow_from_seed_step_and_sample() -> None:
    batch = toy_batch(METHOD, small())
    first, second = two_views(batch, Draws(0, 0, batch.index), small())
    again, _ = two_views(batch, Draws(0, 0, batch.index), small())
    other, _ = two_views(batch, Draws(0, 1, batch.index), small())
    assert all(torch.equal(one, same) for one, same in zip(first, again, strict=True))
    assert not torch.equal(first.images, second.images)
    assert not torch.equal(first.images, other.images)


def test_half_of_the_views_are_mirrored() -> None:
    """Of images that are their own part: only the mirror can change them."""
    ramp = torch.linspace(0, 1, 16).expand(64, 3, 16, 16).contiguous()
    batch = batch_of(ramp, centre(16, 16, 8).expand(64, -1, -1))
    config = small(smallest=1.0, jittered=0.0, grey=0.0, view=16, tries=1)
    views = [
        two_views(batch, Draws(0, 0, batch.index), dataclasses.replace(config, flip=flip)) for flip in (True, False)
    ]
    mirrored = [view.images[:, 0, 0, 0] > view.images[:, 0, 0, -1] for view in views[0]]
    assert all(20 < int(some.sum()) < 44 for some in mirrored)
    assert not torch.equal(*mirrored)
    assert torch.equal(views[1][0].images, ramp)


def test_some_views_lose_their_colours() -> None:
    red = torch.zeros(64, 3, 16, 16)
    red[:, 0] = 1
    batch = batch_of(red, centre(16, 16, 8).expand(64, -1, -1))
    first, _ = two_views(batch, Draws(0, 0, batch.index), small(jittered=0.0, grey=0.25))
    grey = (first.images[:, 0] == first.images[:, 1]).all((1, 2))
    assert 8 < int(grey.sum()) < 26
    torch.testing.assert_close(first.images[grey][0].unique(), torch.tensor([0.299]))
    more = batch_of(torch.cat([red, red[:, :2]], 1), batch.proposals if batch.proposals is not None else red)
    plain, _ = two_views(more, Draws(0, 0, more.index), small(jittered=0.0, grey=1.0))
    assert not torch.equal(plain.images[:, 0], plain.images[:, 1]), "bands that are no colours are left alone"


def test_what_was_filled_up_is_not_looked_at() -> None:
    """An image of 20 x 30 in a crop of 40 x 40: no view shows the rest."""
    images = torch.zeros(8, 3, 40, 40)
    images[:, :, :20, :30] = 1
    mask = images[:, 0] > 0
    objects = torch.zeros_like(mask)
    objects[:, 5:15, 5:20] = True
    place = torch.tensor([[0.0, 0.0, 40 / 20, 40 / 30]]).expand(8, 4)
    batch = batch_of(images, objects, mask=mask, place=place)
    for view in two_views(batch, Draws(0, 0, batch.index), small(**PLAIN)):
        assert float(view.images.min()) == pytest.approx(1)
        assert bool(view.valid.all())


@pytest.mark.parametrize("side", [1, 40])
def test_search_for_views_ends_whatever_the_mask_is(side: int) -> None:
    """Nothing shows 1 to 99 % of these; the whole image is taken, and training goes on."""
    objects = centre(side=side).expand(2, -1, -1)
    batch = batch_of(torch.rand(2, 3, 40, 40), objects)
    config = small(**PLAIN, smallest=0.9, view=40)
    first, second = two_views(batch, Draws(0, 0, batch.index), config)
    assert torch.equal(first.objects, objects)
    assert torch.equal(second.images, batch.images)
    assert bool(loss(network_of(config), batch, config)["loss"].isfinite())


def test_masks_are_asked_for() -> None:
    with pytest.raises(ValueError, match="no object masks"):
        loss(network_of(small()), Batch(torch.rand(1, 3, 32, 32), torch.arange(1)), small())


# ---------------------------------------------------------------------------------------- one step


def test_loss_worked_out_again() -> None:
    """From the networks' maps, pixel by pixel, with the objects of the queue behind those of the batch."""
    config = small(**PLAIN, contrast=2.0, saliency=3.0)
    network, batch = network_of(config), toy_batch(METHOD, config)
    network.key.load_state_dict(network_of(config, seed=1).key.state_dict())
    first, second = two_views(batch, Draws(batch.seed, batch.step, batch.index), config)
    with torch.no_grad():
        vectors, logits = network.query(first.images)
        keys, _ = network.key(second.images)
    picked = torch.arange(8) * 4 + 2  # the pixel in the middle of each of 8 x 8
    masks = [view.objects[:, picked][:, :, picked] for view in (first, second)]
    means = torch.stack([functional.normalize(keys[at], dim=0)[:, masks[1][at]].sum(1) for at in range(4)])
    columns = torch.cat([functional.normalize(means, dim=1), network.queue]) / config.temperature
    shares = masks[0].sum((1, 2)) / masks[0].sum()
    above = below = 0.0
    for at in range(4):
        rows = functional.normalize(vectors[at], dim=0)[:, masks[0][at]].T @ columns.T
        weight = float(1 / torch.log(1.02 + shares[at]))
        above += weight * float(functional.cross_entropy(rows, torch.full((len(rows),), at), reduction="sum"))
        below += weight * len(rows)
    balance = float((~masks[0]).float().mean())
    odds = logits[:, 0].sigmoid()
    entropy = torch.where(masks[0], -balance * odds.log(), -(1 - balance) * (1 - odds).log()).mean()
    found = loss(network, batch, config)
    assert float(found["contrast"]) == pytest.approx(above / below, rel=1e-4)
    assert float(found["saliency"]) == pytest.approx(float(entropy), rel=1e-4)
    assert float(found["loss"].detach()) == pytest.approx(2 * above / below + 3 * float(entropy), rel=1e-4)


def test_maps_of_the_views_size_can_be_compared() -> None:
    config = small(full_resolution=True)
    network, batch = network_of(config), toy_batch(METHOD, config)
    coarse = loss(network, batch, small())["saliency"]
    assert not torch.equal(loss(network, batch, config)["saliency"], coarse)


def test_only_the_first_network_learns() -> None:
    config = small()
    network = network_of(config)
    loss(network, toy_batch(METHOD, config), config)["loss"].backward()
    assert all(weight.grad is not None for weight in network.query.parameters())
    assert all(weight.grad is None and not weight.requires_grad for weight in network.key.parameters())


def test_one_image_in_a_batch_works() -> None:
    config = small(batch=1)
    batch = toy_batch(METHOD, config)
    network = network_of(config)
    terms = loss(network, batch, config)
    terms["loss"].backward()
    after_step(network, batch, config)
    assert float(terms["contrast"]) > 0, "against the objects of the queue"
    assert bool(terms["loss"].isfinite())
    assert int(network.next) == 1


# ---------------------------------------------------------------------------------------- what moves by itself


def test_second_network_moves_before_it_is_used_again() -> None:
    """After a step it is its old self and a little of the changed first one, and the next loss sees it like that."""
    config = small(average=0.75)
    network, batch = network_of(config), toy_batch(METHOD, config)
    old = {name: weight.clone() for name, weight in network.key.named_parameters()}
    loss(network, batch, config)["loss"].backward()
    with torch.no_grad():
        for weight in network.query.parameters():
            weight += 0.1 * torch.randn_like(weight)
    after_step(network, batch, config)
    quick = dict(network.query.named_parameters())
    for name, weight in network.key.named_parameters():
        torch.testing.assert_close(weight, 0.75 * old[name] + 0.25 * quick[name])
    loss(network, batch, config)
    assert network.found is not None
    means = network.found[0].clone()
    network.key.load_state_dict({**network.key.state_dict(), **old})
    loss(network, batch, config)
    assert network.found is not None
    assert not torch.allclose(means, network.found[0])


def test_statistics_of_the_second_network_are_its_own() -> None:
    config = small()
    network, batch = network_of(config), toy_batch(METHOD, config)
    loss(network, batch, config)
    after_step(network, batch, config)
    name = "backbone.layers.0.1.running_mean"
    assert network.key.state_dict()[name].abs().max() > 0
    assert not torch.equal(network.key.state_dict()[name], network.query.state_dict()[name])


def rows(*numbers: int) -> Tensor:
    """Objects that can be told by their first value."""
    return torch.tensor(numbers)[:, None] * torch.ones(1, 6)


def test_queue_is_filled_in_order_and_wraps_around() -> None:
    network = network_of(small(queue=5))
    torch.testing.assert_close(network.queue.norm(dim=1), torch.ones(5))
    network.enqueue(rows(1, 2, 3), torch.tensor([1, 2, 3]))
    assert network.queue[:3, 0].tolist() == [1, 2, 3]
    network.enqueue(rows(4, 5, 6), torch.tensor([4, 5, 6]))
    assert (network.queue[:, 0].tolist(), int(network.next)) == ([6, 2, 3, 4, 5], 1)
    network.enqueue(rows(), torch.tensor([], dtype=torch.int64))
    assert (network.queue[:, 0].tolist(), int(network.next)) == ([6, 2, 3, 4, 5], 1)
    network.enqueue(
        rows(*range(10, 22)), torch.arange(10, 22)
    )  # more than fit: the last ones, where they would have come to lie
    assert (sorted(network.queue[:, 0].tolist()), int(network.next)) == ([17, 18, 19, 20, 21], 3)
    assert network.queue[:, 0].tolist() == network.queue_images.tolist() == [19, 20, 21, 17, 18]


def test_objects_of_the_same_image_are_no_negatives() -> None:
    """Neither other crops of it in the batch nor its objects of earlier steps."""
    config = small(queue=4)
    network, batch = network_of(config), toy_batch(METHOD, config, image_numbers=torch.tensor([7, 7, 7, 7]))
    assert float(loss(network, batch, config)["contrast"]) > 0, "the queue is random"
    after_step(network, batch, config)
    assert network.queue_images.tolist() == [7, 7, 7, 7]
    assert float(loss(network, batch, config)["contrast"]) == pytest.approx(0, abs=1e-6)
    other = dataclasses.replace(batch, image_numbers=torch.tensor([7, 7, 7, 8]))
    assert float(loss(network, other, config)["contrast"]) > 0.1
    unknown = dataclasses.replace(batch, image_numbers=None)
    assert float(loss(network, unknown, config)["contrast"]) > 0.1
    after_step(network, unknown, config)
    assert network.queue_images.tolist() == [-1, -1, -1, -1]


@pytest.mark.parametrize("name", ["infoseg", "maskcontrast"])
@pytest.mark.parametrize(("count", "warnings"), [(1, 1), (2, 0)])
def test_a_single_image_is_warned_of(name: str, count: int, warnings: int, caplog: pytest.LogCaptureFixture) -> None:
    loaded = find_method(name)
    config = tiny(loaded)
    batches = toy_batches(loaded, config, toy_pool(count))
    module: Any = loaded.module
    module.prepare(make_network(loaded, config), batches.one_pass(torch.device("cpu")), config)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == warnings
    assert all("only one image" in text and "--patch" in text for text in said)


def test_batches_of_one_image_are_not_a_single_image(caplog: pytest.LogCaptureFixture) -> None:
    one = dataclasses.replace(toy_batch(METHOD, small()), images=torch.zeros(1, 3, 8, 8))
    warn_of_single_image(iter([one, one]))
    assert not caplog.records


def test_queue_takes_the_objects_of_the_second_views() -> None:
    config = small()
    network, batch = network_of(config), toy_batch(METHOD, config)
    loss(network, batch, config)
    assert network.found is not None
    means = network.found[0].clone()
    after_step(network, batch, config)
    torch.testing.assert_close(network.queue[:4], means)
    torch.testing.assert_close(means.norm(dim=1), torch.ones(4))
    assert network.found is None


def test_a_image_without_an_object_is_not_put_into_the_queue() -> None:
    config = small(**PLAIN)
    network, batch = network_of(config), toy_batch(METHOD, config)
    assert batch.proposals is not None
    batch = dataclasses.replace(batch, proposals=batch.proposals & (torch.arange(4) != 1)[:, None, None])
    before = network.queue.clone()
    loss(network, batch, config)
    after_step(network, batch, config)
    assert int(network.next) == 3
    assert torch.equal(network.queue[3:], before[3:])
    assert bool((network.queue[:3].norm(dim=1) > 0.99).all())


def test_no_queue_is_a_queue_of_none() -> None:
    config = small(queue=0)
    network, batch = network_of(config), toy_batch(METHOD, config)
    loss(network, batch, config)["loss"].backward()
    after_step(network, batch, config)
    assert network.queue.shape == (0, 6)


# ---------------------------------------------------------------------------------------- use, sizes, freezing


def test_zoom_changes_what_is_seen_and_not_the_size() -> None:
    network, batch = network_of(small()).eval(), toy_batch(METHOD, small())
    with torch.no_grad():
        found = [maskcontrast.embeddings(network, batch, small(zoom=zoom)) for zoom in (1.0, 0.5)]
    assert found[0].vectors.shape == found[1].vectors.shape
    assert not torch.allclose(found[0].vectors, found[1].vectors)


def test_freezing_is_for_resnets() -> None:
    with pytest.raises(ConfigError, match="freeze: needs a resnet"):
        Network(small(freeze=True), 3)


@pytest.mark.parametrize("name", ["voc-supervised", "voc-unsupervised"])
def test_published_settings(name: str) -> None:
    settings = read_preset("maskcontrast", name)
    config = Config(**settings)
    assert {key: type(value) for key, value in settings.items()} == {
        key: type(getattr(Config(), key)) for key in settings
    }
    supervised = name == "voc-supervised"
    assert (config.batch, config.queue, config.freeze) == ((64, 128, True) if supervised else (128, 256, False))
    assert (config.view, config.epochs, config.schedule, config.learning_rate) == (224, 40, "poly_epochs", 0.004)
    assert (config.temperature, config.average, config.optimizer, config.momentum) == (0.5, 0.999, "sgd", 0.9)
    assert (config.weight_decay, config.grad_clip, config.classes, config.dropout) == (1e-4, 0, 20, 0.5)


def test_published_network() -> None:
    """39.64 million weights; frozen parts of both networks neither learn nor forget, and the rest does."""
    pytest.importorskip("torchvision.models", exc_type=ImportError)
    config = dataclasses.replace(Config(**read_preset("maskcontrast", "voc-supervised")), batch=2, view=32, queue=8)
    network = Network(config, 3).train()
    assert sum(weight.numel() for weight in network.query.parameters()) / 1e6 == pytest.approx(39.64, abs=0.005)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    batch = batch_of(torch.rand(2, 3, 40, 40), centre().expand(2, -1, -1))
    loss(network, batch, config)["loss"].backward()
    after_step(network, batch, config)
    early = ("backbone.conv1", "backbone.bn1", "backbone.layer1", "backbone.layer2")
    for name, weight in network.query.named_parameters():
        assert (weight.grad is None) == name.startswith(early), name
    for name, value in network.state_dict().items():
        if name.endswith("running_mean"):
            frozen = name.split(".", 1)[1].startswith(early)
            assert torch.equal(value, before[name]) == frozen, name


def test_encoder_of_any_bands() -> None:
    for bands in (1, 5):
        vectors, logits = Encoder(small(), bands)(torch.rand(2, bands, 16, 16))
        assert (vectors.shape, logits.shape) == ((2, 6, 4, 4), (2, 1, 4, 4))
