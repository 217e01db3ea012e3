"""Weights go to arrays and back bit for bit, and what cannot is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from unsegcli import store
from unsegcli.errors import ArtifactError, ConfigError
from unsegcli.segmenters.weights import arrays_to_state, state_to_arrays, tensors_of

TYPES = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.uint16, torch.uint32,
         torch.uint64, torch.float16, torch.bfloat16, torch.float32, torch.float64)  # fmt: skip


def some_state() -> dict[str, torch.Tensor]:
    values = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)) * 100
    state = {f"block.0.{str(dtype).removeprefix('torch.')}": values.abs().to(dtype) for dtype in TYPES}
    state["count"] = torch.tensor(7)
    state["half"] = torch.tensor(-0.1, dtype=torch.bfloat16)
    state["special"] = torch.tensor([np.inf, -np.inf, np.nan, -0.0, 1e-45])
    state["half.special"] = state["special"].to(torch.bfloat16)
    state["none"] = torch.zeros(0, 3)
    state["turned"] = values.T
    return state


def written(path: Path, state: dict[str, torch.Tensor], bfloat16: str | None = None) -> Path:
    arrays, halves = state_to_arrays(state)
    attributes = {"method": "m", "config": "{}", "reading": "{}", "bfloat16": bfloat16 or json.dumps(halves)}
    store.write_whole(store.Target(path, "model", {"stage": "test"}), {}, attributes, {}, entries={"weights": arrays})
    return path


def bits(tensor: torch.Tensor) -> bytes:
    plain = tensor.contiguous().view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor.contiguous()
    return plain.numpy().tobytes()


def test_every_type_comes_back_bit_for_bit(tmp_path: Path) -> None:
    state = some_state()
    with store.open_artifact(written(tmp_path / "m.h5", state)) as artifact:
        assert store.problems_of(artifact) == []
        found = arrays_to_state(artifact)
    assert found.keys() == state.keys()
    for name, value in state.items():
        assert found[name].dtype == value.dtype, name
        assert found[name].shape == value.shape, name
        assert bits(found[name]) == bits(value), name


def test_arrays_are_copies() -> None:
    network = nn.Linear(2, 2)
    arrays, _ = state_to_arrays(network.state_dict())
    before = arrays["weight"].copy()
    network.weight.data += 1
    np.testing.assert_array_equal(arrays["weight"], before)
    tensors_of(arrays, [])["weight"].add_(1)
    np.testing.assert_array_equal(arrays["weight"], before)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"a/b": torch.zeros(1)}, "/ in its name"),
        ({"wave": torch.zeros(1, dtype=torch.complex64)}, "complex64"),
        ({"tiny": torch.zeros(1, dtype=torch.float8_e4m3fn)}, "float8"),
        ({"extra": {"a": 1}}, "not a tensor"),
    ],
)
def test_what_cannot_be_stored_is_refused(state: dict[str, torch.Tensor], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        state_to_arrays(state)


@pytest.mark.parametrize("names", ["nonsense", "{}", "[1]", '["missing"]', '["full"]'])
def test_a_false_list_of_names_is_refused(names: str, tmp_path: Path) -> None:
    with (
        pytest.raises(ArtifactError, match="bfloat16"),
        store.open_artifact(written(tmp_path / "m.h5", {"full": torch.zeros(2)}, names)) as artifact,
    ):
        arrays_to_state(artifact)
