"""Read MATLAB files of data sets, in memory."""

from __future__ import annotations

import io
from typing import Any, Protocol

from unsegcli.errors import DataError
from unsegcli.images.decode import BROKEN


class Readable(Protocol):
    """A file in a data set."""

    def read(self) -> bytearray:
        """Return its content."""


def matlab_variables(file: Readable, where: str) -> dict[str, Any]:
    """Return the variables of a MATLAB file; `where` names it in errors."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    stream: Any = io.BytesIO(file.read())
    try:
        content: dict[str, Any] = loadmat(stream)
    except (MatReadError, MemoryError, *BROKEN) as error:  # a broken size may request any amount of memory
        raise DataError(f"{where} is not a readable MATLAB file: {error}") from error
    return content
