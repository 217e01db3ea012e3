"""JSON and TOML of strangers."""

from __future__ import annotations

import pytest

from unsegcli.parsing import DEEPEST, json_of, toml_of


@pytest.mark.parametrize("depth", [DEEPEST + 1, 900, 100_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
def test_json_that_is_too_deep_is_refused(depth: int, opening: str, closing: str) -> None:
    with pytest.raises(ValueError, match="nested more than 100 levels"):
        json_of(opening * depth + "1" + closing * depth)


@pytest.mark.parametrize("text", ["1e999", "-1e999", "NaN", "Infinity", "[1", "", b"\xff", "9" * 5000])
def test_json_that_is_no_finite_value_is_refused(text: str | bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - in the words of Python
        json_of(text)


def test_json_that_is_deep_but_not_too_deep_is_read() -> None:
    depth = DEEPEST
    value = json_of("[" * depth + "1.5" + "]" * depth)
    for _ in range(depth):
        (value,) = value
    assert value == 1.5


@pytest.mark.parametrize(
    "text",
    ["a=" + "[" * 5000 + "]" * 5000, "a=" + "{b=" * 200 + "1" + "}" * 200, "a." * 500 + "b=1", "a=" + "9" * 5000],
)
def test_toml_that_is_too_deep_or_long_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"nested more than 100 levels|digits"):
        toml_of(text)


def test_toml_is_read() -> None:
    assert toml_of("[a]\nb = [1, {c = 2.5}]") == {"a": {"b": [1, {"c": 2.5}]}}
