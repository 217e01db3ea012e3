"""Settings that methods once had: under other names, or no longer at all; so that older models are still read.

Pure data, and the functions that read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from unsegcli.errors import ConfigError

ANY = object()  # every value means the same


@dataclass(frozen=True)
class Removed:
    """One setting that is gone."""

    value: Any  # with which it did what the code now does
    needs: str = ""  # another setting, without which (0) this one did something else
    without: Any = ANY  # the value that did what the code now does where that other setting is 0


# Settings of the loop, as older versions called them.
RENAMED = {
    "rate": "learning_rate",
    "decay": "weight_decay",
    "clip": "grad_clip",
    "least_steps": "min_steps",
}
REMOVED: Mapping[str, Mapping[str, Removed]] = {
    "infoseg": {
        "prototype": Removed(0.0),
        "mix": Removed(0.0),
        "memory": Removed(0.0, needs="mix"),
        "consistency": Removed(0.0),
        "consistency_light": Removed(0.2, needs="consistency"),
        "turn": Removed(0.0, needs="consistency"),
        "zoom": Removed(0.0, needs="consistency"),
        "shift": Removed(0.0, needs="consistency"),
        "shear": Removed(0.0, needs="consistency"),
        "flip": Removed(False, needs="consistency"),
        "evenness": Removed(0.0),
        "hard": Removed(False),
        "detach_negatives": Removed(False),
        "sobel": Removed(False),
        "local_block": Removed("c"),
        "light": Removed(0.1, needs="context", without=0.0),
        "context_flip": Removed(True, needs="context"),
    },
    "inmars": {"by_area": Removed(True)},
}


def was_removed(method: str, name: str) -> bool:
    """Whether a method, by its identity, once had a setting of this name."""
    return name in REMOVED.get(method, {})


def of_today(method: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of an older model of a method by today's names, without those that are gone.

    One that is gone, and was in use, is an error.
    """
    for name, gone in REMOVED.get(method, {}).items():
        wanted = gone.value if not gone.needs or settings.get(gone.needs) else gone.without
        if name in settings and wanted is not ANY and settings[name] != wanted:
            raise ConfigError(
                f"it was trained with {name} = {settings[name]}, a setting that this version no longer has"
            )
    return with_todays_names({name: value for name, value in settings.items() if not was_removed(method, name)})


def with_todays_names(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by the names that they have now."""
    return {RENAMED.get(name, name): value for name, value in settings.items()}
