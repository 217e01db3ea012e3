"""Find data sets by name: every file of this folder whose name does not begin with _."""

from __future__ import annotations

import functools
import pkgutil
from importlib import import_module
from typing import cast

from unsegcli import datasets
from unsegcli.datasets._contract import DataSetFile, PublishedSet
from unsegcli.errors import ConfigError, not_among


@functools.cache
def known_sets() -> dict[str, tuple[PublishedSet, DataSetFile]]:
    """Return all data sets by name, with the file that prepares them."""
    names = sorted(one.name for one in pkgutil.iter_modules(datasets.__path__) if not one.name.startswith("_"))
    files = [cast(DataSetFile, import_module(f"{datasets.__name__}.{name}")) for name in names]
    return {one.name: (one, file) for file in files for one in file.SETS}


def find_set(name: str) -> tuple[PublishedSet, DataSetFile]:
    """Return a data set, and the file that prepares it."""
    known = known_sets()
    if name not in known:
        raise ConfigError(f"{not_among('data set', name, list(known))}; `unseg prepare --list` describes them")
    return known[name]
