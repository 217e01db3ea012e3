"""What one training was asked to be, and the recipe of its model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from unsegcli import console
from unsegcli.core.scoring.cluster_number import Curve
from unsegcli.dataflow.dataset import Supply
from unsegcli.methods._load import Loaded
from unsegcli.params import AUTO, Pictures, Train
from unsegcli.recipe import Recipe, make_recipe
from unsegcli.training.pretrained import Pretrained


@dataclass(frozen=True)
class Order:
    """One training, as it was asked for."""

    method: Loaded
    config: Any
    params: Train
    device: torch.device
    checkpoint_minutes: float  # between two states that can be gone on from
    weights: str = ""  # digest of those that the network begins with; empty = by chance
    pretrained: Pretrained | None = None  # these weights themselves
    curve: Curve | None = None  # how the number of clusters was chosen, if it was not given

    @property
    def precision(self) -> str:
        """Of the network's work: float32 bf16 fp16."""
        return self.params.precision


def upgraded_recipe(old: Recipe, wanted: Recipe) -> Recipe:
    """The recipe of a model as this version would have written it.

    Models were once stored with a precision of `auto`, and without a word on whether the network was compiled.
    """
    parameters = dict(old.get("parameters", {}))
    if parameters.get("precision") == "auto":
        parameters["precision"] = wanted["parameters"]["precision"]
        console.warn(
            "the model was trained before its recipe held the precision: it was float32, or bf16 where the processor "
            "has units for it; train it again with --force if that matters"
        )
    return {**old, "parameters": {"compile": False, **parameters}}


def recipe_of(order: Order, revision: int, reading: Sequence[Pictures], supply: Supply) -> Recipe:
    """All that the content of a model follows from; `revision` is that of the loop."""
    method, params, settings = order.method, asdict(order.params), asdict(order.config)
    more = {"gives": "embeddings"} if method.embeds else {}
    more |= {"weights": order.weights} if order.weights else {}
    if "proposals" not in supply.inputs:
        del params["min_confidence"]
    if order.params.restarts == 1:
        del params["restarts"]
    if order.params.classes == AUTO:
        settings["classes"] = AUTO  # what it comes to follows from the rest
    else:
        del params["most_classes"]
    return make_recipe(
        "train",
        revision,
        [params, *reading],
        supply.inputs,
        settings=settings,  # by themselves: a method may call them what we call ours
        method=method.identity,
        method_revision=method.revision,
        **more,
    )
