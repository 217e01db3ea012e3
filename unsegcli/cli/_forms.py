"""Parse option values, with errors that say what was expected."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import typer

from unsegcli.errors import not_among
from unsegcli.params import AUTO, Option

# (option, another name of a value) -> the value
ALIASES = {("--features", "rgb"): "bands"}
# (option, old value) -> current value
RENAMED_VALUES = {
    ("--scaling", "picture"): "image",
    ("--object-is", "picture"): "image",
}


def refuse(spelling: str, text: str, expected: str) -> typer.BadParameter:
    """Return the error for an invalid value."""
    return typer.BadParameter(f"{spelling} {text}: must be {expected}")


def value_from(spelling: str, typed: Any, option: Option, default_type: str) -> Any:
    """Convert what was typed to the value of a setting.

    Args:
        spelling: name of the option, for messages.
        typed: the text; a list of texts if the option may be repeated; or a bool for a switch.
        option: metadata of the setting.
        default_type: type annotation of the setting, as a string.
    """
    if option.form in FORMS:
        return FORMS[option.form](spelling, typed)
    if isinstance(typed, bool):
        return typed
    if option.choices:
        return _choice(spelling, typed, option.choices)
    kind = default_type.split(" | ")[0]
    if kind == "int":
        return _number(spelling, typed, option, whole=True)
    if kind == "float":
        return _number(spelling, typed, option, whole=False)
    return typed


def _choice(spelling: str, text: str, choices: Sequence[str]) -> str:
    asked = ALIASES.get((spelling, text.lower()), text.lower())
    if asked in choices:
        return asked
    renamed = RENAMED_VALUES.get((spelling, text.lower()))
    wrong = not_among(spelling, text, () if renamed else choices)
    if renamed:
        wrong = f"{spelling} {text}: is now called {renamed}"
    raise typer.BadParameter(wrong)


def _number(spelling: str, text: str, option: Option, *, whole: bool) -> int | float:
    expected = ("a whole number" if whole else "a number") + _range(option)
    try:
        value = int(text) if whole else float(text)
    except ValueError:
        raise refuse(spelling, text, expected) from None
    inside = (option.least is None or value >= option.least) and (option.most is None or value <= option.most)
    if not inside or not math.isfinite(value):
        raise refuse(spelling, text, expected)
    return value


def _range(option: Option) -> str:
    low = "" if option.least is None else f" from {option.least:g}"
    return low + ("" if option.most is None else f" to {option.most:g}")


def _counts_or_auto(spelling: str, text: str) -> int | str | tuple[int, ...]:
    if text.lower() == AUTO:
        return AUTO
    numbers = _numbers(spelling, text, ",", f"a whole number from 1, or {AUTO} (cluster takes several, such as 8,16)")
    return numbers if len(numbers) > 1 else numbers[0]


def _weight_or_auto(spelling: str, text: str) -> float | str:
    if text.lower() == AUTO:
        return AUTO
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < math.inf:
        raise refuse(spelling, text, f"a number from 0, or {AUTO}")
    return value


def _numbers(spelling: str, text: str, separator: str, expected: str, most: int | None = None) -> tuple[int, ...]:
    """Parse whole numbers from 1, such as 4,1,2 or 240x320."""
    parts = [part.strip() for part in text.lower().split(separator)]
    if any(not part.isdecimal() or int(part) == 0 for part in parts) or len(parts) > (most or len(parts)):
        raise refuse(spelling, text, expected)
    return tuple(map(int, parts))


def _bands(spelling: str, text: str) -> tuple[int, ...]:
    return _numbers(spelling, text, ",", "band numbers from 1, such as 4,1,2")


def _values(spelling: str, text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    numbers = tuple(int(part) for part in parts if part.isdecimal())
    if len(set(numbers)) < len(parts):
        raise refuse(spelling, text, "different whole numbers from 0, such as 0,255")
    return numbers


def _size(spelling: str, text: str) -> tuple[int, ...]:
    return _numbers(spelling, text, "x", "a number or HEIGHTxWIDTH, such as 256 or 240x320", most=2)


def _shard(spelling: str, text: str) -> tuple[int, int]:
    number, _, of = text.partition("/")
    if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise refuse(spelling, text, "I/N, from 1/N to N/N, such as 2/8")
    return int(number), int(of)


def _two(spelling: str, text: str, highest: float, example: str) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low, high = 0.0, 0.0
    if not 0 <= low < high <= highest:
        raise refuse(spelling, text, f"two increasing numbers from 0 to {highest:g}, such as {example}")
    return low, high


def _percentiles(spelling: str, text: str) -> tuple[float, float]:
    return _two(spelling, text, 100, "1,99")


def _shares(spelling: str, text: str) -> tuple[float, float]:
    return _two(spelling, text, 1, "0.01,0.99")


def _value_or_nan(spelling: str, text: str) -> float | None:
    """Parse a number; NaN becomes None, since NaN pixels are always void."""
    try:
        value = float(text)
    except ValueError:
        raise refuse(spelling, text, "a number") from None
    return None if math.isnan(value) else value


def _several(spelling: str, texts: Sequence[str]) -> tuple[str, ...]:
    return tuple(texts)


def _several_numbers(spelling: str, texts: Sequence[str]) -> tuple[int, ...]:
    return tuple(int(_number(spelling, text, Option(""), whole=True)) for text in texts)


def _names(spelling: str, text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip().lower() for part in text.split(",")))


def _several_names(spelling: str, texts: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip().lower() for text in texts for part in text.split(",")))


def _class_names(spelling: str, text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _matching(spelling: str, on: bool) -> str:
    return "one-to-one" if on else "many-to-one"


def _per(spelling: str, pooled: bool) -> str:
    return "superpixel" if pooled else "cell"


FORMS: dict[str, Callable[[str, Any], Any]] = {
    "count or auto": _counts_or_auto,
    "weight or auto": _weight_or_auto,
    "numbers": _bands,
    "values": _values,
    "names": _names,
    "several names": _several_names,
    "class names": _class_names,
    "size": _size,
    "percentiles": _percentiles,
    "shard": _shard,
    "shares": _shares,
    "value or nan": _value_or_nan,
    "several": _several,
    "several numbers": _several_numbers,
    "one-to-one many-to-one": _matching,
    "superpixel cell": _per,
}
