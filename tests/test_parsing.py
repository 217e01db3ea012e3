"""TOML of strangers."""

from __future__ import annotations

import pytest

from unsegcli.parsing import DEEPEST, toml_of


@pytest.mark.parametrize(
    "text",
    ["a=" + "[" * 5000 + "]" * 5000, "a=" + "{b=" * 200 + "1" + "}" * 200, "a." * 500 + "b=1", "a=" + "9" * 5000],
)
def test_what_is_too_deep_or_long_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"nested more than 40 levels|digits"):
        toml_of(text)


@pytest.mark.parametrize(("depth", "refused"), [(DEEPEST, False), (DEEPEST + 1, True)])
def test_depth_counts_tables_and_lists(depth: int, refused: bool) -> None:
    text = "a=" + "[" * (depth - 1) + "1" + "]" * (depth - 1)  # the outer table is a level, too
    if refused:
        with pytest.raises(ValueError, match="nested"):
            toml_of(text)
    else:
        assert list(toml_of(text)) == ["a"]


def test_tables_are_read() -> None:
    assert toml_of("[a]\nb = [1, {c = 2.5}]") == {"a": {"b": [1, {"c": 2.5}]}}
