"""Named settings, one flat TOML file each: a published row, or what is known to be good for a kind of image.

Only reads them; what the settings mean is said by the dataclass that they are for.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from unsegcli.errors import ConfigError, closest

FOLDER = Path(__file__).parent


def preset_names(owner: str) -> list[str]:
    """Names of the presets of a command or method, without its own name in front."""
    return sorted(path.stem.removeprefix(f"{owner}-") for path in FOLDER.glob(f"{owner}-*.toml"))


def read_preset(owner: str, name: str | None) -> dict[str, Any]:
    """The settings of a preset of a command or method; none without a name.

    Args:
        owner: such as iem.
        name: with or without the owner in front, such as flowers or iem-flowers.
    """
    if name is None:
        return {}
    known = preset_names(owner)
    short = name.lower().removeprefix(f"{owner}-")
    if short not in known:
        raise ConfigError(f"--preset {name}: is not one of {', '.join(known)}{closest(short, known)}")
    return tomllib.loads((FOLDER / f"{owner}-{short}.toml").read_text(encoding="utf-8"))
