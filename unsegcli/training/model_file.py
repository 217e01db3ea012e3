"""What a trained model's file holds, of the end of a training or of a step on the way."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np

from unsegcli import console, store
from unsegcli.core.scoring.cluster_number import Curve
from unsegcli.dataflow.dataset import Supply, relative_hints
from unsegcli.errors import ArtifactError
from unsegcli.segmenters.weights import state_to_arrays
from unsegcli.training.checkpoint import Training
from unsegcli.training.distributed import is_first
from unsegcli.training.job import Order


def content_of(training: Training, order: Order, supply: Supply, target: store.Target) -> dict[str, Any]:
    """What the model's file holds."""
    if supply.reading is None:
        raise ValueError("open the supply first")
    weights, halves = state_to_arrays(training.network.state_dict())
    scaled = supply.reading.values != "bytes" and supply.reading.scaling == "folder"
    return {
        "tables": {
            **({"scaling": np.asarray(supply.units[0].source.scaling, np.float64)} if scaled else {}),
            "skipped/name": [name for name, _ in supply.bad],
            "skipped/reason": [reason for _, reason in supply.bad],
        },
        "attributes": {
            "method": order.method.identity,
            "config": json.dumps(asdict(order.config), sort_keys=True),
            "reading": supply.reading.to_json(),
            "bfloat16": json.dumps(halves),
        },
        "inputs": relative_hints(supply.hints, target.path),
        "entries": {
            "weights": weights,
            "history": {
                name: np.asarray(values, np.float64)
                for name, values in (training.history | _noted(order.curve)).items()
            },
        },
    }


def keep(order: Order, supply: Supply, target: store.Target, training: Training) -> None:
    """Write the model as it is now, beside the one to come; what must not be replaced is let be."""
    if not is_first():
        return
    path = target.path.with_stem(f"{target.path.stem}-step{training.step}")
    kept = store.Target(path, "model", {**target.recipe, "step": training.step}, force=target.force)
    try:
        if kept.finished() is None:
            store.write_whole(kept, **content_of(training, order, supply, kept))
            console.note(f"step {training.step} is kept in {path}")
    except ArtifactError as error:
        console.warn(f"step {training.step} is not kept: {error}")


def _noted(curve: Curve | None) -> dict[str, list[float]]:
    """How the number of clusters was chosen, as entries of the history."""
    if curve is None:
        return {}
    return {"classes-tried": [float(number) for number in curve.numbers], "classes-stability": list(curve.scores)}
