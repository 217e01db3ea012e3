"""Presets: named settings, one flat TOML file each, for a published result or a kind of image.

The dataclass of each command or method documents the settings.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from unsegcli.errors import ConfigError, closest

FOLDER = Path(__file__).parent


def preset_names(owner: str) -> list[str]:
    """Return the names of the presets of a command or method, without its prefix."""
    return sorted(path.stem.removeprefix(f"{owner}-") for path in FOLDER.glob(f"{owner}-*.toml"))


def read_preset(owner: str, name: str | None) -> dict[str, Any]:
    """Read the settings of a preset of a command or method; empty if no name is given.

    Args:
        owner: such as iem.
        name: with or without the owner as prefix, such as flowers or iem-flowers.
    """
    if name is None:
        return {}
    known = preset_names(owner)
    short = name.lower().removeprefix(f"{owner}-")
    if short not in known:
        others = [path.stem for path in FOLDER.glob("*.toml") if path.stem == name.lower()]
        elsewhere = f"; {others[0]} is for {others[0].partition('-')[0]}" if others else ""
        if not known:
            raise ConfigError(f"--preset {name}: {owner} has no presets{elsewhere}")
        raise ConfigError(f"--preset {name}: is not one of {', '.join(known)}{elsewhere or closest(short, known)}")
    settings = tomllib.loads((FOLDER / f"{owner}-{short}.toml").read_text(encoding="utf-8"))
    return {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}
