"""Read legends: TOML files that define the classes of a dataset, their names and colours, and their label values.

A legend holds no ground truth; label files are read in `labels.py`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from unsegcli.errors import DataError
from unsegcli.images.find import data_folder, split_of
from unsegcli.parsing import toml_of

Color: TypeAlias = tuple[int, int, int]
Value: TypeAlias = int | Color

IGNORED = -1  # in a label map: a pixel that is not scored
LEGEND_NAME = "classes.toml"
LARGEST_VALUE = 2**63 - 1  # of a label: what int64 holds


@dataclass(frozen=True)
class LegendClass:
    """One class of a legend; its number is its position in the legend."""

    name: str
    color: Color | None
    sources: tuple[Value, ...]  # label values or colours that mean this class


@dataclass(frozen=True)
class Legend:
    """The mapping from label values or colours to classes, and the values that are not scored."""

    ignore: tuple[Value, ...]
    classes: tuple[LegendClass, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The class names in the order of their numbers."""
        return tuple(one.name for one in self.classes)

    @property
    def in_colors(self) -> bool:
        """Whether label files hold colours; otherwise they hold numbers."""
        return isinstance(self.classes[0].sources[0], tuple)

    def numbers(self) -> dict[Value, int]:
        """Return the class number of every value in the legend; -1 for values that are not scored."""
        found: dict[Value, int] = dict.fromkeys(self.ignore, IGNORED)
        for number, one in enumerate(self.classes):
            found |= dict.fromkeys(one.sources, number)
        return found


def find_legend(images_folder: Path) -> Path | None:
    """Return `classes.toml` beside `images/`, given the folder that contains them, `images/`, or a folder in it."""
    found = (data_folder(images_folder) / LEGEND_NAME, split_of(images_folder)[0] / LEGEND_NAME)
    return next((path for path in found if path.is_file()), None)


def legend_beside(images: Path | None, labels: Path | None) -> Path | None:
    """Return the legend beside the images, or else beside the folder of labels; None if there is none."""
    found = None if images is None else find_legend(images)
    if found is None and labels is not None and (labels.parent / LEGEND_NAME).is_file():
        return labels.parent / LEGEND_NAME
    return found


def given_legend(path: str | Path) -> Path:
    """Return the legend given by the user, after checking that it exists."""
    if not Path(path).is_file():
        raise DataError(f"--legend {path}: no such file")
    return Path(path)


def read_legend(path: Path) -> Legend:
    """Read a legend: `ignore = [...]`, and `[[class]]` tables with `name`, `from` and optionally `color`."""
    where = f"legend {path}"
    content = read_toml(path, where)
    check_keys(content, {"ignore", "class"}, where)
    tables = class_tables(content, where, "name and from")
    ignore = _read_values(content.get("ignore", []), f"ignore of legend {path}")
    classes = tuple(_read_class(table, f"class {n} of legend {path}") for n, table in enumerate(tables, 1))
    legend = Legend(ignore, classes)
    _check_unique(legend, path)
    return legend


def read_toml(path: Path, where: str) -> dict[str, Any]:
    """Read a TOML file; `where` names it in errors."""
    try:
        return toml_of(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise DataError(f"{where} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{where} is not UTF-8 text: save it as UTF-8") from error
    except ValueError as error:
        raise DataError(f"{where} is not valid TOML: {error}") from error


def check_keys(table: Mapping[str, object], known: set[str], where: str) -> None:
    """Raise an error if a table has a key that is not known."""
    unknown = sorted(set(table) - known)
    if unknown:
        raise DataError(f"{where} has the unknown key {unknown[0]!r}: known keys are {', '.join(sorted(known))}")


def class_tables(content: Mapping[str, Any], where: str, needed: str) -> list[dict[str, Any]]:
    """Return the [[class]] tables of a file; raise an error if it has none."""
    tables = content.get("class", [])
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        raise DataError(f"{where} has no classes: add a [[class]] with {needed} for each")
    return tables


def read_name(table: Mapping[str, object], where: str) -> str:
    """Read the name of a class."""
    name = table.get("name")
    if not isinstance(name, str) or not name.strip():
        raise DataError(f'{where} has no name: add name = "..."')
    return name.strip()


def _read_class(table: dict[str, object], where: str) -> LegendClass:
    check_keys(table, {"name", "color", "from"}, where)
    name = read_name(table, where)
    where = f"{where} ({name!r})"
    if "from" not in table:
        raise DataError(f"{where} has no from: add from = [...] with the label values of this class")
    sources = _read_values(table["from"], f"from of {where}")
    if not sources:
        raise DataError(f"from of {where} is empty: list the label values of this class")
    color = read_color(table["color"], f"color of {where}") if "color" in table else None
    return LegendClass(name, color, sources)


def _read_values(values: object, where: str) -> tuple[Value, ...]:
    if not isinstance(values, list):
        raise DataError(f"{where} is not a list: write it as [0, 2] or as ['#ff0000']")
    return tuple(_read_value(value, where) for value in values)


def _read_value(value: object, where: str) -> Value:
    if isinstance(value, str):
        return read_color(value, where)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST_VALUE:
        return value
    raise DataError(f"{where} holds {value!r}: label values are integers or '#rrggbb' colours")


def read_color(text: object, where: str) -> Color:
    """Read a colour written as #rrggbb."""
    if not isinstance(text, str) or not re.fullmatch(r"#[0-9a-fA-F]{6}", text):
        raise DataError(f"{where} is {text!r}, which is not a colour: write it as '#rrggbb'")
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def _check_unique(legend: Legend, path: Path) -> None:
    """Check that names and values are unique, and that values are all numbers or all colours."""
    for name, count in Counter(legend.names).items():
        if count > 1:
            raise DataError(f"legend {path} has {count} classes named {name!r}: names must be unique")
    owner: dict[Value, str] = {}
    claims = [(value, "ignore") for value in legend.ignore]
    claims += [(value, f"class {one.name!r}") for one in legend.classes for value in one.sources]
    for value, claimant in claims:
        if value in owner:
            raise DataError(
                f"legend {path} has the value {spell_value(value)} twice, in {owner[value]} and in {claimant}: "
                "keep one of them"
            )
        owner[value] = claimant
    if len({isinstance(value, tuple) for value in owner}) > 1:
        raise DataError(f"legend {path} mixes numbers and colours: use the one that the label files hold")


def spell_value(value: Value) -> str:
    return "#{:02x}{:02x}{:02x}".format(*value) if isinstance(value, tuple) else str(value)
