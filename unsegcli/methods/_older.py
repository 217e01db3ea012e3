"""Renamed and removed settings of methods, so that older models can still be read.

Pure data, and the functions that read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from unsegcli.errors import ConfigError

ANY = object()  # any value is accepted


@dataclass(frozen=True)
class Removed:
    """A removed setting."""

    value: Any  # the value that corresponds to the present code
    needs: str = ""  # another setting: if that is 0, `without` applies instead
    without: Any = ANY  # the value that corresponds to the present code if the other setting is 0


# Old names of settings of the loop.
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

# Settings that were added since, and do not change what a model is that was trained without them.
ADDED: Mapping[str, tuple[str, ...]] = {"context": ("beside",)}

# Method -> start of the names of weights that are not used once it is trained, and that older models lack or have in
# another form.
NOT_USED = {"inmars": "first.", "infoseg": "first.", "maskcontrast": "queue_images"}


def was_removed(method: str, name: str) -> bool:
    """Return whether a setting of a method (by its identity) was removed."""
    return name in REMOVED.get(method, {})


def of_today(method: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Convert the settings of an older model to the present names, without removed settings.

    A removed setting with an unsupported value is an error.
    """
    for name, gone in REMOVED.get(method, {}).items():
        wanted = gone.value if not gone.needs or settings.get(gone.needs) else gone.without
        if name in settings and wanted is not ANY and settings[name] != wanted:
            raise ConfigError(f"it was trained with {name} = {settings[name]}, which this version no longer supports")
    return with_todays_names({name: value for name, value in settings.items() if not was_removed(method, name)})


def with_todays_names(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Convert settings to their present names."""
    return {RENAMED.get(name, name): value for name, value in settings.items()}
