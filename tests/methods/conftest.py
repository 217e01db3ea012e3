"""One thread: these networks are too small for more, and the numbers do not depend on the machine then."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _always(one_thread: None) -> None:
    """Every test here has it."""
