"""Weights in the layouts that projects publish them in; every weight lands, or one line says which does not."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from unsegcli.errors import DataError
from unsegcli.segmenters.pretrained_networks import Choice, labels_of, load_file

State = dict[str, Tensor]
TINY = {"embed_dim": 24, "depth": 2, "num_heads": 2, "num_classes": 0}


def randomised(network: nn.Module) -> State:
    """Other values for all weights of a network."""
    random = torch.Generator().manual_seed(1)
    return {
        name: torch.randn(value.shape, generator=random) if value.is_floating_point() else value
        for name, value in network.state_dict().items()
    }


def vit(name: str, **more: Any) -> nn.Module:
    network: nn.Module = timm.create_model(name, **{**TINY, **more})
    return network


def prefixed(prefix: str, state: State) -> State:
    return {f"{prefix}{name}": value for name, value in state.items()}


def dino(state: State) -> Any:
    """Names of main_dino.py and hubconf.py of facebookresearch/dino: full checkpoints have two networks with heads."""
    head = {"head.mlp.0.weight": torch.zeros(3, 24), "head.last_layer.weight_g": torch.ones(3, 1)}
    other = {name: torch.zeros_like(value) for name, value in state.items()}
    teacher = {**prefixed("backbone.", state), **head}
    return {"student": prefixed("module.backbone.", other), "teacher": teacher, "epoch": 3}


def dinov2(state: State) -> State:
    """Names of dinov2/models/vision_transformer.py of facebookresearch/dinov2; the class token has a position too."""
    state = dict(state)
    positions = state.pop("pos_embed")
    first = torch.full_like(positions[:, :1], 0.5)
    return {
        "cls_token": state.pop("cls_token") - first[:, 0],
        "pos_embed": torch.cat([first, positions], 1),
        "register_tokens": state.pop("reg_token"),
        "mask_token": torch.zeros(1, 24),
        **state,
    }


def dinov2_in_training(state: State) -> Any:
    """The same file chunks its blocks in training (BlockChunk), which adds a number to their names."""
    chunked = {re.sub(r"^blocks\.(\d+)", r"blocks.0.\1", name): value for name, value in dinov2(state).items()}
    return {"teacher": {**prefixed("backbone.", chunked), "dino_head.last_layer.weight": torch.zeros(3, 3)}}


def dinov3(state: State) -> State:
    """Names of dinov3/models/vision_transformer.py of facebookresearch/dinov3."""
    names = {"reg_token": "storage_tokens"}
    found = {}
    for name, value in state.items():
        name = re.sub(r"gamma_([12])$", r"ls\1.gamma", names.get(name, name))
        found[name] = value
    extra = {"mask_token": torch.zeros(1, 24), "rope_embed.periods": torch.ones(3)}
    biases = {f"blocks.{n}.attn.qkv.bias_mask": torch.ones(72) for n in range(2)}
    return {**found, **extra, **biases, **{f"blocks.{n}.attn.qkv.bias": torch.zeros(72) for n in range(2)}}


def moco_v3(state: State) -> Any:
    """Names of moco/builder.py and main_lincls.py of facebookresearch/moco-v3."""
    head = {"module.base_encoder.head.0.weight": torch.zeros(3, 24), "module.predictor.0.weight": torch.zeros(3, 3)}
    other = {name: torch.zeros_like(value) for name, value in state.items()}
    both = {**prefixed("module.momentum_encoder.", other), **prefixed("module.base_encoder.", state)}
    return {"epoch": 1, "arch": "vit_small", "state_dict": {**both, **head}}


def moco_v2(state: State) -> Any:
    """Names of moco/builder.py and main_lincls.py of facebookresearch/moco."""
    head = {"module.encoder_q.fc.0.weight": torch.zeros(3, 3), "module.queue": torch.zeros(3, 3)}
    other = {name: torch.zeros_like(value) for name, value in state.items()}
    both = {**prefixed("module.encoder_k.", other), **prefixed("module.encoder_q.", state)}
    return {"state_dict": {**both, **head}}


def resnet() -> nn.Module:
    network = torchvision.models.resnet18(weights=None)
    network.fc = nn.Identity()  # type: ignore[assignment]
    return network


LAYOUTS: dict[str, tuple[Callable[[], nn.Module], Callable[[State], Any]]] = {
    "timm": (lambda: vit("vit_small_patch16_224.dino"), dict),
    "dino": (lambda: vit("vit_small_patch16_224.dino"), dino),
    "dinov2": (lambda: vit("vit_small_patch14_reg4_dinov2", img_size=56), dinov2),
    "dinov2 in training": (lambda: vit("vit_small_patch14_reg4_dinov2", img_size=56), dinov2_in_training),
    "dinov3": (lambda: vit("vit_small_patch16_dinov3"), dinov3),
    "moco v3": (lambda: vit("vit_small_patch16_224"), moco_v3),
    "moco v2": (resnet, moco_v2),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_weight_of_a_published_layout_lands(layout: str, tmp_path: Path) -> None:
    make, publish = LAYOUTS[layout]
    wanted, network = randomised(make()), make()
    torch.save(publish(wanted), tmp_path / "w.pth")
    about = load_file(network, Choice("timm:x", str(tmp_path / "w.pth"), (), 3))
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, wanted[name], msg=name)
    assert about.name == "x w.pth"
    assert len(about.digest) == 64


def test_safetensors_are_read_too(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    wanted, network = randomised(resnet()), resnet()
    save_file(wanted, tmp_path / "w.safetensors")
    load_file(network, Choice("resnet18", str(tmp_path / "w.safetensors"), (), 3))
    torch.testing.assert_close(network.state_dict(), wanted)
    (tmp_path / "w.safetensors").write_bytes(b"no tensors")
    with pytest.raises(DataError, match="no whole file of safetensors"):
        load_file(network, Choice("resnet18", str(tmp_path / "w.safetensors"), (), 3))


def test_a_missing_weight_or_another_shape_is_named(tmp_path: Path) -> None:
    network = vit("vit_small_patch16_224.dino")
    state = randomised(network)
    choice = Choice("timm:vit_small_patch16_224", str(tmp_path / "w.pth"), (), 3)
    torch.save({name: value for name, value in state.items() if name != "blocks.1.norm2.bias"}, choice.weights)
    with pytest.raises(DataError, match=r"does not fit timm:vit_small_patch16_224: it lacks blocks\.1\.norm2\.bias;"):
        load_file(network, choice)
    torch.save({**state, "blocks.0.norm1.weight": torch.zeros(7)}, choice.weights)
    with pytest.raises(DataError, match=r"blocks\.0\.norm1\.weight is \(7,\), not \(24,\)$"):
        load_file(network, choice)
    torch.save(randomised(resnet()), choice.weights)
    with pytest.raises(DataError, match="it lacks cls_token") as error:
        load_file(network, choice)
    assert "\n" not in str(error.value)


def test_labels_are_read_from_tags() -> None:
    assert labels_of("augreg_in21k_ft_in1k") == "ImageNet-21k, ImageNet-1k"
    assert labels_of("lvd142m") == "none"
    assert labels_of("webli") == "image captions"
    assert labels_of("") == ""
