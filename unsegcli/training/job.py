"""A training job, the checks of its options, and the recipe of its model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch

from unsegcli import console
from unsegcli.core.nn.precision import PRECISIONS
from unsegcli.core.scoring.cluster_number import FEWEST, Curve
from unsegcli.dataflow.dataset import Dataset
from unsegcli.dataflow.stored_vectors import StoredVectors
from unsegcli.errors import ConfigError
from unsegcli.methods._load import Loaded
from unsegcli.methods._older import ADDED, of_today
from unsegcli.params import AUTO, Train, recorded
from unsegcli.recipe import Recipe, make_recipe
from unsegcli.training.optim import check_settings
from unsegcli.training.pretrained import Pretrained


@dataclass(frozen=True)
class TrainingJob:
    """The method, settings and device of one training."""

    method: Loaded
    config: Any
    params: Train
    device: torch.device
    weights: str = ""  # digest of the initial weights; empty = random
    pretrained: Pretrained | None = None  # the initial weights
    curve: Curve | None = None  # stability curve that chose the number of clusters; None = the number was given
    vectors: StoredVectors | None = None  # of the file of features it learns from; None = of images or superpixels

    @property
    def precision(self) -> str:
        """Floating-point precision: float32, bf16 or fp16."""
        return self.params.precision


def upgraded_recipe(old: Recipe, wanted: Recipe) -> Recipe:
    """Convert the recipe of an older model to the current form.

    Older recipes may have the precision `auto`, lack `compile` and settings that were added since, and have settings
    that were removed since.
    """
    parameters = dict(old.get("parameters", {}))
    if parameters.get("precision") == "auto":
        parameters["precision"] = wanted["parameters"]["precision"]
        console.warn(
            "the recipe of this older model does not record its precision, which was float32 or bf16 depending on the "
            "hardware; train it again with --force if that matters"
        )
    added = {name: wanted["settings"][name] for name in ADDED.get(old.get("method", ""), ())}
    settings = added | of_today(old.get("method", ""), old.get("settings", {}))
    return {**old, "parameters": {"compile": False, **parameters}, "settings": settings}


def recipe_of(job: TrainingJob, revision: int, dataset: Dataset) -> Recipe:
    """Build the recipe of a model; `revision` is that of the training loop."""
    method, params, settings = job.method, recorded(job.params), asdict(job.config)
    more: dict[str, Any] = {"gives": "embeddings"} if method.embeds else {}
    more |= {"weights": job.weights} if job.weights else {}
    multiple = int(getattr(method.module, "MULTIPLE", 1))
    more |= {"multiple": multiple} if job.config.crop % multiple else {}  # crops are cut to multiples of it
    if "proposals" not in dataset.inputs:
        del params["min_confidence"]
    if job.params.restarts == 1:
        del params["restarts"]
    if job.params.classes == AUTO:
        settings["classes"] = AUTO  # the chosen number is determined by the rest of the recipe
    else:
        del params["most_classes"]
    return make_recipe(
        "train",
        revision,
        [params, *dataset.recorded],
        dataset.inputs,
        {
            "settings": settings,  # separate: a method's setting may have the name of a parameter
            "method": method.identity,
            "method_revision": method.revision,
            **more,
        },
    )


MASK_CLUSTERS = 2  # background and object


def check_options(params: Train, config: Any) -> None:
    """Validate the training options, alone and in combination."""
    check_settings(config)
    if isinstance(params.classes, tuple):
        several = ",".join(map(str, params.classes))
        raise ConfigError(f"--classes {several}: a model is trained with one number; `unseg cluster` takes several")
    given = [name for name in ("steps", "epochs", "minutes") if getattr(params, name) is not None]
    if len(given) > 1:
        raise ConfigError(f"--{given[0]} and --{given[1]} both set the length of the training: give one of them")
    if any(not getattr(params, name) > 0 for name in given):
        raise ConfigError(f"--{given[0]} must be above 0")
    if params.precision not in ("auto", *PRECISIONS):
        raise ConfigError(f"--precision {params.precision}: is not one of auto, {', '.join(PRECISIONS)}")
    if not 0 <= params.min_confidence <= 1:
        raise ConfigError(f"--min-confidence {params.min_confidence:g}: must be from 0 to 1")
    if params.seeds < 1 or params.seed < 0 or params.keep_every < 0:
        raise ConfigError("--seeds must be at least 1, and --seed and --keep-every not below 0")
    if params.restarts < 1:
        raise ConfigError(f"--restarts {params.restarts}: must be at least 1")
    if params.restarts > 1 and (params.seeds > 1 or params.keep_every):
        other = "--seeds" if params.seeds > 1 else "--keep-every"
        raise ConfigError(f"--restarts keeps one model, but {other} keeps several: give one of them")
    if params.classes == AUTO and params.max_classes < FEWEST:
        raise ConfigError(f"--max-classes {params.max_classes}: must be at least {FEWEST}")


def check_role(method: Loaded, config: Any, params: Train) -> None:
    """Raise an error for cluster options if the method has no clusters, or a fixed number of two."""
    afterwards = method.embeds or method.role == "mask"
    if afterwards and (params.restarts > 1 or params.classes == AUTO):
        option = "--restarts" if params.restarts > 1 else "--classes auto"
        raise ConfigError(f"{option}: --method {method.name} has no clusters during training; leave it out")
    if method.role == "mask" and config.classes != MASK_CLUSTERS:
        raise ConfigError(
            f"--classes {config.classes}: --method {method.name} always has 2 (object and background); leave it out"
        )
