"""What every method must hold to, found by its file: nobody has to add it here."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from sample_artifacts import RECIPE
from torch import Tensor, nn
from toy import make_network, regions_of, tiny, toy_batch, toy_batches, toy_pool

from unsegcli import store
from unsegcli.dataflow.dataset import Dataset
from unsegcli.errors import ConfigError
from unsegcli.methods._contract import Batch, LoopSettings
from unsegcli.methods._load import Loaded, find_method, method_names, settings_of
from unsegcli.params import Train
from unsegcli.recipe import recipe_digest
from unsegcli.segmenters.weights import arrays_to_state, state_to_arrays
from unsegcli.training.batches import on_device
from unsegcli.training.job import TrainingJob
from unsegcli.training.job import recipe_of as recipe_of_job
from unsegcli.training.optim import check_settings, make_optimizer

METHODS = method_names()
CPU = torch.device("cpu")


@pytest.fixture(params=METHODS)
def loaded(request: pytest.FixtureRequest) -> Loaded:
    return find_method(request.param)


def test_the_methods_are_known() -> None:
    assert {"iic", "infoseg", "inmars", "maskcontrast", "segnet"} <= set(METHODS)


def test_settings_are_a_flat_frozen_dataclass(loaded: Loaded) -> None:
    config = loaded.module.Config()
    check_settings(config)
    assert hash(config) == hash(loaded.module.Config())
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.classes = 2
    assert all(isinstance(value, bool | int | float | str) for value in vars(config).values())
    assert issubclass(loaded.module.Config, LoopSettings)


def test_every_setting_has_a_comment(loaded: Loaded) -> None:
    for field in dataclasses.fields(loaded.module.Config):
        home = next(one for one in loaded.module.Config.__mro__ if field.name in vars(one).get("__annotations__", {}))
        line = rf"^    {field.name}: [^\n#]*  # \S"
        assert re.search(line, inspect.getsource(home), re.MULTILINE), f"{field.name} has no comment"


def recipe_of(loaded: Loaded, config: Any) -> str:
    job = TrainingJob(loaded, config, Train(classes=config.classes), CPU)
    return recipe_digest(recipe_of_job(job, 1, Dataset({"pictures": "ab"}, {})))


def other(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    return f"{value}x" if isinstance(value, str) else value + 1


def test_every_setting_changes_the_recipe(loaded: Loaded) -> None:
    config = loaded.module.Config()
    changed = [dataclasses.replace(config, **{name: other(value)}) for name, value in vars(config).items()]
    assert len({recipe_of(loaded, one) for one in [config, *changed]}) == len(changed) + 1
    assert recipe_of(loaded, config) == recipe_of(loaded, loaded.module.Config())


@pytest.mark.parametrize(
    ("name", "crop", "multiple"), [("iic", 64, None), ("iic", 66, 8), ("context", 66, None), ("maskcontrast", 66, None)]
)
def test_the_recipe_says_what_crops_are_cut_to(name: str, crop: int, multiple: int | None) -> None:
    loaded = find_method(name)
    config = dataclasses.replace(settings_of(loaded), crop=crop)
    job = TrainingJob(loaded, config, Train(classes=config.classes), CPU)
    assert recipe_of_job(job, 1, Dataset({"pictures": "ab"}, {})).get("multiple") == multiple


def test_every_weight_learns(loaded: Loaded) -> None:
    """Over two epochs, so that heads that take turns all have theirs."""
    config = tiny(loaded)
    network = make_network(loaded, config)
    for epoch in range(2):
        loaded.module.loss(network, toy_batch(loaded, config, epoch=epoch), config)["loss"].backward()
    for name, weight in network.named_parameters():
        if weight.requires_grad:
            assert weight.grad is not None, name
            assert float(weight.grad.abs().max()) > 0, name


def run(loaded: Loaded, config: Any, steps: int, seed: int = 0) -> tuple[nn.Module, list[float]]:
    """A network after some steps on the toy set, and the losses on the way."""
    network, losses = make_network(loaded, config, seed=seed), []
    optimizer = make_optimizer(network, config)
    for batch in map(toy_batches(loaded, config, toy_pool(8, 36, 36), seed=seed, steps=steps).at, range(steps)):
        optimizer.zero_grad()
        loss = loaded.module.loss(network, on_device(batch, CPU), config)["loss"]
        loss.backward()
        optimizer.step()
        if hasattr(loaded.module, "after_step"):
            loaded.module.after_step(network, on_device(batch, CPU), config)
        losses.append(float(loss.detach()))
    return network, losses


def trained(loaded: Loaded, config: Any, steps: int, seed: int = 0) -> nn.Module:
    return run(loaded, config, steps, seed)[0]


def test_loss_falls(loaded: Loaded) -> None:
    """From where a term that comes in late, such as InMARS's guide, is there.

    All objects of the toy set are alike, so that those of earlier steps cannot be told apart: no queue.
    """
    more = {
        name: value for name, value in {"queue": 0, "patch_noise": 0}.items() if hasattr(loaded.module.Config(), name)
    }
    losses = run(loaded, tiny(loaded, learning_rate=1e-2, crop=32, **more), 45)[1][5:]
    assert sum(losses[-10:]) / 10 < sum(losses[:10]) / 10 - 0.1


@pytest.mark.parametrize("bands", [1, 3, 5])
@pytest.mark.parametrize(("height", "width"), [(16, 16), (17, 23), (33, 40)])
def test_scores_sum_to_one_or_vectors_are_finite(loaded: Loaded, bands: int, height: int, width: int) -> None:
    config = tiny(loaded)
    network = make_network(loaded, config, bands).eval()
    images = torch.rand(2, bands, height, width, generator=torch.Generator().manual_seed(0))
    if loaded.embeds:
        with torch.no_grad():
            found = loaded.module.embeddings(network, Batch(images, torch.arange(2)), config)
        assert found.vectors.shape == (2, found.vectors.shape[1], height, width)
        assert found.objectness.shape == (2, height, width)
        assert bool(found.vectors.isfinite().all() & found.objectness.isfinite().all())
        assert float(found.vectors.norm(dim=1).min()) > 0
        return
    halves = torch.arange(height).mul(2).floor_divide(height)[:, None].expand(height, width)
    numbered = torch.stack([halves, halves + 2])
    known = regions_of(images, numbered, 4)
    whole = Batch(images, torch.arange(2), superpixels=numbered, superpixel_count=4, regions=known)
    plain = [] if "regions" in loaded.needs(config) else [Batch(images, torch.arange(2))]
    for batch in (whole, *plain):
        with torch.no_grad():
            scores = loaded.module.cluster_scores(network, batch, config)
        assert scores.shape == (2, config.classes, height, width)
        assert float(scores.min()) >= 0
        torch.testing.assert_close(scores.sum(1), torch.ones(2, height, width))


@pytest.mark.parametrize("bands", [1, 3, 5])
def test_loss_is_finite_for_any_number_of_bands(loaded: Loaded, bands: int) -> None:
    config = tiny(loaded)
    terms = loaded.module.loss(make_network(loaded, config, bands), toy_batch(loaded, config, bands=bands), config)
    assert terms["loss"].shape == ()
    assert len(terms) > 1
    assert all(bool(term.isfinite()) for term in terms.values())


def test_same_seed_gives_the_same_result(loaded: Loaded) -> None:
    config = tiny(loaded)
    first, again, different = (trained(loaded, config, 3, seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    assert any(not torch.equal(value, different[name]) for name, value in first.items())


def test_chance_follows_from_seed_step_and_sample_alone(loaded: Loaded) -> None:
    config = tiny(loaded)
    batch, network = toy_batch(loaded, config), make_network(loaded, config)
    torch.manual_seed(1)
    first = loaded.module.loss(network, batch, config)["loss"]
    torch.manual_seed(2)
    assert torch.equal(first, loaded.module.loss(network, batch, config)["loss"])
    moved = [dataclasses.replace(batch, **change) for change in ({"seed": 9}, {"step": 9}, {"index": batch.index + 9})]
    assert all(not torch.equal(first, loaded.module.loss(network, one, config)["loss"]) for one in moved)


def test_loss_changes_nothing_in_the_batch(loaded: Loaded) -> None:
    config = tiny(loaded)
    mask = torch.ones(4, 16, 16, dtype=torch.bool)
    mask[:, :3] = False
    batch = toy_batch(loaded, config, mask=mask)
    before = copy.deepcopy(batch)
    network = make_network(loaded, config)
    loaded.module.loss(network, batch, config)["loss"].backward()
    getattr(loaded.module, "embeddings" if loaded.embeds else "cluster_scores")(network, batch, config)
    for name, value in vars(before).items():
        now = getattr(batch, name)
        pairs = zip(value, now, strict=True) if isinstance(value, tuple) else [(value, now)]
        assert all(torch.equal(one, other) if isinstance(one, Tensor) else one == other for one, other in pairs), name
    assert not batch.images.requires_grad


def test_vectors_are_one_for_each_superpixel_and_change_nothing(loaded: Loaded) -> None:
    """At any size; a superpixel of one pixel too, and gradients, statistics and the batch stay as they were."""
    config = tiny(loaded)
    network = make_network(loaded, config).eval()
    images = torch.rand(2, 3, 17, 24, generator=torch.Generator().manual_seed(0))
    numbers = torch.arange(24).mul(3).floor_divide(24).expand(2, 17, 24) + 4 * torch.arange(2)[:, None, None]
    numbers[:, :2] = -1
    numbers[1, 9, 0] = 3
    regions = regions_of(images, numbers, 7)
    batch = Batch(
        images, torch.arange(2), mask=numbers >= 0, superpixels=numbers, superpixel_count=7, regions=regions
    )  # fmt: skip
    before, kept = copy.deepcopy(network.state_dict()), copy.deepcopy(batch)
    with torch.no_grad():
        found = loaded.module.region_vectors(network, batch, config)  # type: ignore[attr-defined]
    assert found.shape == (7, found.shape[1])
    assert found.dtype == torch.float32
    assert bool(found.isfinite().all())
    assert len(found.unique(dim=0)) > 3, "different superpixels have different vectors"
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(weight.grad is None for weight in network.parameters())
    assert torch.equal(batch.images, kept.images)
    assert torch.equal(numbers, kept.superpixels)


@pytest.mark.parametrize("side", [32, 64])
def test_dense_features_lie_on_an_even_grid(loaded: Loaded, side: int) -> None:
    """They are finite, have as many cells on each side, and change where the image changes."""
    if not hasattr(loaded.module, "dense_features"):
        assert hasattr(loaded.module, "SEES_REGIONS"), "only what sees no pixels has none"
        return
    config = tiny(loaded)
    network = make_network(loaded, config).eval()
    images = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = loaded.module.dense_features(network, Batch(images, torch.arange(1)), config)
        other = loaded.module.dense_features(network, Batch(images.flip(3), torch.arange(1)), config)
    assert (found.ndim, found.shape[0], found.shape[2]) == (4, 1, found.shape[3])
    assert 4 <= found.shape[2] <= side
    assert found.dtype == torch.float32
    assert bool(found.isfinite().all())
    assert not torch.equal(found, other)


def test_vectors_do_not_depend_on_the_numbering(loaded: Loaded) -> None:
    config = tiny(loaded)
    network = make_network(loaded, config).eval()
    images = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    numbers = torch.arange(16).floor_divide(4).expand(1, 16, 16).clone()
    batch = Batch(images, torch.arange(1), superpixel_count=4)
    with torch.no_grad():
        found = [
            loaded.module.region_vectors(  # type: ignore[attr-defined]
                network, dataclasses.replace(batch, superpixels=one, regions=regions_of(images, one, 4)), config
            )
            for one in (numbers, 3 - numbers)
        ]
    torch.testing.assert_close(found[0], found[1].flip(0))


def test_void_is_left_out_of_changes_of_light(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    if "regions" in loaded.needs(tiny(loaded)) and not hasattr(loaded.module, "jitter"):
        pytest.skip("sees regions, which have no void")
    jitter, shares = loaded.module.jitter, []

    def noted(images: Tensor, *arguments: Any, valid: Tensor | None = None, **more: Any) -> Tensor:
        assert valid is not None
        shares.append(float(valid.float().mean()))
        return jitter(images, *arguments, valid=valid, **more)

    monkeypatch.setattr(loaded.module, "jitter", noted)
    config = tiny(loaded)
    mask = torch.ones(4, 16, 16, dtype=torch.bool)
    mask[:, :, :6] = False
    loaded.module.loss(make_network(loaded, config), toy_batch(loaded, config, mask=mask), config)
    assert shares
    assert max(shares) < 1


def test_weights_come_back_from_the_store(loaded: Loaded, tmp_path: Path) -> None:
    config = tiny(loaded)
    network = trained(loaded, config, 2)
    weights, halves = state_to_arrays(network.state_dict())
    attributes = {"method": loaded.identity, "config": "{}", "reading": "{}", "bfloat16": str(halves)}
    store.write_whole(
        store.Target(tmp_path / "m.h5", "model", RECIPE), {}, attributes, {}, entries={"weights": weights}
    )
    with store.open_artifact(tmp_path / "m.h5", "model") as artifact:
        found = arrays_to_state(artifact)
    assert found.keys() == network.state_dict().keys()
    assert all(torch.equal(value, found[name]) for name, value in network.state_dict().items())
    make_network(loaded, config, seed=7).load_state_dict(found)


def test_wrong_settings_list_the_right_ones(loaded: Loaded) -> None:
    with pytest.raises(ConfigError, match=r"no setting nonsense: choose from .*classes.*rate"):
        tiny(loaded, nonsense=1)


# The first losses of a run, by sgd in small steps, so that processors agree: adam divides rounding by rounding where a
# gradient should be 0, and later steps multiply what is left. To make them anew:
#     python -c "import sys; sys.path.insert(0, 'tests'); from methods.test_contract import golden; golden()"
GOLDEN: dict[str, list[float]] = {
    "context": [2.02249, 2.15835, 2.00484, 2.03284],
    "iic": [-0.00229, -0.00108, -0.00237, -0.00112],
    "infoseg": [1.32267, 2.62678, 2.46920, 2.57114],
    "inmars": [0.00154, 1.15654, 1.14370, 1.15302],
    "maskcontrast": [3.53861, 4.57585, 4.78732, 3.58788],
    "segnet": [0.82760, 0.82716, 0.85069, 0.84506],
}
GUIDED_AT_ONCE = {"guide_batches": 1}


def losses_of(name: str) -> list[float]:
    loaded = find_method(name)
    more = GUIDED_AT_ONCE if hasattr(loaded.module.Config, "guide_batches") else {}
    return run(loaded, tiny(loaded, optimizer="sgd", learning_rate=3e-3, crop=32, **more), 4)[1]


def golden() -> None:
    """Print the table above."""
    for name in METHODS:
        print(f'    "{name}": [{", ".join(f"{value:.5f}" for value in losses_of(name))}],')


@pytest.mark.parametrize("name", METHODS)
def test_losses_are_what_they_were(name: str) -> None:
    assert losses_of(name) == pytest.approx(GOLDEN[name], abs=1e-4)
