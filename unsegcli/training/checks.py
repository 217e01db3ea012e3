"""Wishes for a training that cannot be met, found before any picture is read."""

from __future__ import annotations

from typing import Any

from unsegcli.core.nn.precision import PRECISIONS
from unsegcli.core.scoring.cluster_number import FEWEST
from unsegcli.dataflow.dataset import Supply
from unsegcli.errors import ConfigError
from unsegcli.methods._load import Loaded
from unsegcli.params import AUTO, Train
from unsegcli.training.optim import check_settings

MASK_CLUSTERS = 2  # background and object


def check_wishes(params: Train, config: Any, seeds: int) -> None:
    """Refuse what no training can be, and wishes that contradict each other."""
    check_settings(config)
    given = [name for name in ("steps", "epochs", "minutes") if getattr(params, name) is not None]
    if len(given) > 1:
        raise ConfigError(f"--{given[0]} and --{given[1]} both say how long the training is: give one of them")
    if any(not getattr(params, name) > 0 for name in given):
        raise ConfigError(f"--{given[0]} must be above 0")
    if params.precision not in ("auto", *PRECISIONS):
        raise ConfigError(f"--precision {params.precision}: is not one of auto, {', '.join(PRECISIONS)}")
    if not 0 <= params.min_confidence <= 1:
        raise ConfigError(f"--min-confidence {params.min_confidence:g}: must be from 0 to 1")
    if seeds < 1 or params.seed < 0 or params.keep_every < 0:
        raise ConfigError("--seeds must be at least 1, and --seed and --keep-every not below 0")
    if params.restarts < 1:
        raise ConfigError(f"--restarts {params.restarts}: must be at least 1")
    if params.restarts > 1 and (seeds > 1 or params.keep_every):
        other = "--seeds" if seeds > 1 else "--keep-every"
        raise ConfigError(f"--restarts keeps one model of several, and {other} keeps more than one: give one of them")
    if params.classes == AUTO and params.most_classes < FEWEST:
        raise ConfigError(f"--most-classes {params.most_classes}: must be at least {FEWEST}")


def check_role(method: Loaded, config: Any, params: Train) -> None:
    """Refuse wishes about clusters where the method has none, or two that are fixed."""
    afterwards = method.embeds or method.role == "mask"
    if afterwards and (params.restarts > 1 or params.classes == AUTO):
        option = "--restarts" if params.restarts > 1 else "--classes auto"
        raise ConfigError(f"{option}: --method {method.name} has no clusters while it learns; leave it out")
    if method.role == "mask" and config.classes != MASK_CLUSTERS:
        raise ConfigError(
            f"--classes {config.classes}: --method {method.name} parts objects from background; leave it out"
        )


def check_needs(method: Loaded, supply: Supply) -> None:
    """Refuse pictures without what the method needs of them."""
    if "superpixels" in method.needs and supply.kind != "superpixels":
        raise ConfigError(
            f"--method {method.name} needs superpixels; make them first with `unseg superpixels`, and give that file"
        )
