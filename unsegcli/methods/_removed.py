"""Settings that methods once had, and the values with which an old model is what this version makes of it.

Pure data, and two functions that read it.
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


def without_removed(method: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of an old model of a method, without those that are gone; one that was in use is an error."""
    for name, gone in REMOVED.get(method, {}).items():
        wanted = gone.value if not gone.needs or settings.get(gone.needs) else gone.without
        if name in settings and wanted is not ANY and settings[name] != wanted:
            raise ConfigError(
                f"it was trained with {name} = {settings[name]}, a setting that this version no longer has"
            )
    return {name: value for name, value in settings.items() if not was_removed(method, name)}
