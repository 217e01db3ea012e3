"""Read a folder that `unseg prepare` made: what it holds, and how it was made."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unsegcli.images.find import find_images

ABOUT = "prepared.json"


def about_prepared(folder: Path) -> dict[str, Any]:
    """Return the description of a prepared folder; empty if it is none."""
    try:
        found = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def name_of_prepared(folder: Path) -> str:
    """Return the name of the data set in a prepared folder; empty if it is none."""
    return str(about_prepared(folder).get("name", ""))


def names_in(folder: Path, splits: Sequence[str]) -> list[str]:
    """Return the names of the images of some splits, below `images/`."""
    return [f"{split}/{file.name}" for split in splits for file in find_images([folder / "images" / split])]
