"""The state of a training between two steps as arrays, so that it can be resumed with bit-identical results."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from unsegcli import console, store
from unsegcli.core.scoring.cluster_number import Curve
from unsegcli.dataflow.dataset import Dataset, relative_hints
from unsegcli.dataflow.provenance import carried, joined, network_tables
from unsegcli.errors import ArtifactError
from unsegcli.segmenters.centres import CUTTING
from unsegcli.segmenters.weights import Arrays, state_to_arrays, tensors_of
from unsegcli.training.distributed import is_first
from unsegcli.training.job import TrainingJob

WATCH_PREFIX = "watch-"  # of history entries recorded at intervals; the others are loss terms of every step


@dataclass
class Training:
    """The state of a training."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    steps: int  # total
    step: int = 0  # completed
    history: dict[str, list[float]] = field(default_factory=dict)

    @property
    def device(self) -> str:
        """The device type of the network: cpu, cuda or mps."""
        return next(self.network.parameters()).device.type

    def record(self, quantities: Mapping[str, float]) -> None:
        """Append one value of each quantity to the history."""
        for name, value in quantities.items():
            self.history.setdefault(name, []).append(value)

    def record_terms(self, step: int, terms: Mapping[str, float]) -> None:
        """Append the loss terms of a step to the history, with NaN for missing ones, so that all have equal length."""
        known = {name: math.nan for name in self.history if not name.startswith(WATCH_PREFIX)}
        for name, value in {**known, **terms}.items():
            self.history.setdefault(name, [math.nan] * (step - 1)).append(value)

    def pack(self) -> tuple[Arrays, str]:
        """Return the state as named arrays, and the rest as JSON."""
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        for number, values in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{key}": value for key, value in values.items() if value is not None}
        arrays, halves = state_to_arrays(tensors)
        arrays |= {f"history.{name}": np.asarray(values, np.float64) for name, values in self.history.items()}
        rest = {
            "step": self.step,
            "steps": self.steps,
            "threads": torch.get_num_threads(),
            "device": self.device,
            "scaler": self.scaler.state_dict(),
            "bfloat16": halves,
        }
        return arrays, json.dumps(rest)

    def unpack(self, arrays: Arrays, rest: str) -> None:
        """Restore the state from `pack`, including the number of threads, since it affects rounding."""
        about = json.loads(rest)
        self.step, self.steps = about["step"], about["steps"]
        torch.set_num_threads(about["threads"])
        self.scaler.load_state_dict(about["scaler"])
        numbers = {name: array for name, array in arrays.items() if not name.startswith("history.")}
        tensors = tensors_of(numbers, about["bfloat16"])
        self.network.load_state_dict(_below(tensors, "network."))
        self._unpack_optimizer(_below(tensors, "optimizer."))
        self.history = {
            name.removeprefix("history."): [float(value) for value in values]
            for name, values in arrays.items()
            if name.startswith("history.")
        }

    def _unpack_optimizer(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Restore the optimizer with the memory layout of each weight, since it may affect rounding."""
        weights = [weight for group in self.optimizer.param_groups for weight in group["params"]]
        state: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in tensors.items():
            number, key = name.split(".", 1)
            like = weights[int(number)]
            if value.shape == like.shape:
                value = torch.empty_like(like, dtype=value.dtype, requires_grad=False).copy_(value)
            state.setdefault(int(number), {})[key] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})


def _below(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def content_of(training: Training, job: TrainingJob, dataset: Dataset, target: store.Target) -> dict[str, Any]:
    """Return the content of the model file."""
    if dataset.reading is None:
        raise ValueError("open the dataset first")
    weights, halves = state_to_arrays(training.network.state_dict())
    scaled = dataset.reading.shares_scaling
    return {
        "tables": {
            **({"scaling": np.asarray(dataset.units[0].source.scaling, np.float64)} if scaled else {}),
            **_cutting(dataset),
            **_what_went_in(job, dataset),
            **({} if job.vectors is None else job.vectors.tables()),
            "skipped/name": [name for name, _ in dataset.bad],
            "skipped/reason": [reason for _, reason in dataset.bad],
        },
        "attributes": {
            "method": job.method.identity,
            "config": json.dumps(asdict(job.config), sort_keys=True),
            "reading": dataset.reading.to_json(),
            "bfloat16": json.dumps(halves),
        },
        "inputs": relative_hints(dataset.hints, target.path),
        "entries": {
            "weights": weights,
            "history": {
                name: np.asarray(values, np.float64)
                for name, values in (training.history | _curve_history(job.curve)).items()
            },
        },
    }


def _what_went_in(job: TrainingJob, dataset: Dataset) -> dict[str, list[str]]:
    """Return the tables of pretrained networks and used labels, of the initial weights and of the inputs."""
    start = job.pretrained
    own = {} if start is None else network_tables(Path(start.name).name, start.digest, "", start.labels)
    return joined(own, carried(dataset.hints, "model"))


def _cutting(dataset: Dataset) -> dict[str, NDArray[np.uint8]]:
    """Return how the superpixels were made, as a dataset, if that is known."""
    if dataset.kind != "superpixels":
        return {}
    with store.open_artifact(dataset.hints["superpixels"]["path"]) as artifact:
        made = artifact.recipe.get("parameters", {}) if artifact.recipe.get("stage") == "superpixels" else {}
    if any(name not in made for name in CUTTING):
        return {}
    text = json.dumps({name: made[name] for name in CUTTING}, sort_keys=True)
    return {"cutting": np.frombuffer(text.encode(), np.uint8)}


def save_step(job: TrainingJob, dataset: Dataset, target: store.Target, training: Training) -> None:
    """Save the model at the current step to a separate file, unless a protected file has that name."""
    if not is_first():
        return
    path = target.path.with_stem(f"{target.path.stem}-step{training.step}")
    kept = store.Target(path, "model", {**target.recipe, "step": training.step}, force=target.force)
    try:
        if kept.finished() is None:
            store.write_whole(kept, **content_of(training, job, dataset, kept))
            console.note(f"model at step {training.step} saved in {path}")
    except ArtifactError as error:
        console.warn(f"model at step {training.step} not saved: {error}")


def _curve_history(curve: Curve | None) -> dict[str, list[float]]:
    """Return the stability curve that chose the number of clusters, as history entries."""
    if curve is None:
        return {}
    return {"classes-tried": [float(number) for number in curve.numbers], "classes-stability": list(curve.scores)}
