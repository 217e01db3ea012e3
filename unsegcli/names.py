"""Names that people give to clusters: by rules such as 3=water, or by a file that the page of a segmentation saves.

The file looks like a legend, but lists the clusters of one segmentation instead of label values.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from unsegcli.errors import ConfigError, DataError
from unsegcli.legend import check_keys, class_tables, read_color, read_name, read_toml, spell_value

KEYS = {"name", "color", "clusters", "mixed"}
NUMBERS = r"\d+(?:\s*\+\s*\d+)*"
BY_NUMBER = re.compile(rf"\s*{NUMBERS}\s*=.*", re.DOTALL)
LISTED = rf"{NUMBERS}(?:\s*[,;]\s*{NUMBERS})*"  # 0,1 instead of 0+1
NEXT_RULE = re.compile(rf"\s*[,;]\s*(?={LISTED}\s*[=:])")
WITH_COLON = re.compile(rf"\s*({NUMBERS})\s*:\s*(\S.*?)\s*")
ONLY_NUMBERS = re.compile(rf"\s*{NUMBERS}\s*")
FORM = "write 3=water, or 1+4=roof to merge"
UNNAMED = re.compile(r"cluster (\d+)(?: \(was (\d+)\))?")
MERGED_UNNAMED = re.compile(r"clusters \d+(, \d+)* and \d+")  # what the page calls them
MOST_LISTED = 30  # names in an error


@dataclass(frozen=True)
class ClusterName:
    """A name for one or several clusters, which it merges."""

    name: str
    clusters: tuple[int, ...]
    color: str = ""  # #rrggbb; "" = none given
    mixed: bool = False  # whether it shows several things, and is to be split
    by_name: bool = False  # whether the clusters were given by their names


def is_number(name: str) -> bool:
    """Return whether a name is made of numbers of clusters, so that it says nothing."""
    return bool(UNNAMED.fullmatch(name) or MERGED_UNNAMED.fullmatch(name))


def oldest_number(name: str) -> int | None:
    """Return the oldest known number of a cluster that has no name of its own; None if it has one."""
    found = UNNAMED.fullmatch(name)
    return int(found[2] or found[1]) if found else None


# Files


@dataclass(frozen=True)
class NamesFile:
    """A file of names: TOML with `[[class]]` tables of `name`, `clusters` and optionally `color` and `mixed`."""

    path: Path
    segmentation: str  # fingerprint of the file whose clusters it names; "" = not said
    tables: Sequence[Mapping[str, object]]  # not checked yet

    def names(self, count: int) -> tuple[ClusterName, ...]:
        """Read the names of the clusters of a segmentation that has `count` of them."""
        where = str(self.path)
        found = tuple(
            _read_class(table, f"class {number} of {where}", count) for number, table in enumerate(self.tables, 1)
        )
        _check_once(found, where)
        return found


def open_names(path: str | Path) -> NamesFile:
    """Open a file of names given by the user, after checking that it exists."""
    where = str(path)
    if not Path(path).is_file():
        raise DataError(f"--names {where}: no such file")
    content = read_toml(Path(path), where)
    check_keys(content, {"segmentation", "class"}, where)
    made_for = content.get("segmentation", "")
    if not isinstance(made_for, str):
        raise DataError(f"{where}: segmentation is {made_for!r}, not the fingerprint of a file: leave it out")
    return NamesFile(Path(path), made_for, class_tables(content, where, "name and clusters"))


def _read_class(table: Mapping[str, object], where: str, count: int) -> ClusterName:
    if "from" in table:
        raise DataError(
            f"{where} has from, which means label values in a legend: here it is clusters, such as clusters = [3, 7]"
        )
    check_keys(table, KEYS, where)
    name = read_name(table, where)
    where = f"{where} ({name!r})"
    if not name.isprintable():
        raise DataError(f"{where}: a name is one line of printable letters")
    mixed = table.get("mixed", False)
    if not isinstance(mixed, bool):
        raise DataError(f"{where}: mixed is {mixed!r}: write mixed = true, or leave it out")
    color = spell_value(read_color(table["color"], f"color of {where}")) if "color" in table else ""
    return ClusterName(name, _read_clusters(table.get("clusters"), where, count), color, mixed)


def _read_clusters(values: object, where: str, count: int) -> tuple[int, ...]:
    if not isinstance(values, list) or not values:
        raise DataError(f"{where} has no clusters: add clusters = [3, 7] with their numbers")
    for value in values:
        if not isinstance(value, int) or isinstance(value, bool):
            raise DataError(f"clusters of {where} holds {value!r}: write numbers of clusters, such as [3, 7]")
        if not 0 <= value < count:
            raise DataError(f"clusters of {where} holds {value}, but the clusters are 0 to {count - 1}")
    return tuple(values)


def _check_once(names: Sequence[ClusterName], where: str) -> None:
    """Check that each cluster has one name, and each name one colour."""
    owner: dict[int, int] = {}
    colors: dict[str, tuple[str, int]] = {}
    for number, one in enumerate(names, 1):
        for cluster in one.clusters:
            if cluster in owner:
                raise DataError(
                    f"{where} names cluster {cluster} twice, in class {owner[cluster]} and in class {number}: keep one"
                )
            owner[cluster] = number
        before, at = colors.setdefault(one.name, (one.color, number)) if one.color else (one.color, number)
        if before != one.color:
            raise DataError(f"{where} gives {one.name!r} two colours, in class {at} and in class {number}: keep one")


# Rules


def files_and_rules(words: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """Divide what was typed into files and rules; raise an error for a word that is neither."""
    files = [_is_file(word) for word in words]
    for at, is_file in enumerate(files):
        if not is_file:
            _check_word(words, files, at)
    return (
        [word for word, is_file in zip(words, files, strict=True) if is_file],
        tuple(word for word, is_file in zip(words, files, strict=True) if not is_file),
    )


def _is_file(word: str) -> bool:
    if not word or word.lower().endswith((".h5", ".hdf5")):
        return True
    return not BY_NUMBER.fullmatch(word) and Path(word).exists()


def _check_word(words: Sequence[str], files: Sequence[bool], at: int) -> None:
    """Raise an error for a part of a rule that a shell has divided at its spaces, and for what is no rule at all."""
    word = words[at]
    before = words[at - 1] if at and not words[at - 1].endswith(".h5") else ""
    after = words[at + 1] if at + 1 < len(words) and not files[at + 1] else ""
    left, right = (before if word.startswith("=") else ""), (after if word.endswith("=") else "")
    if (left or right) and "=" not in left + right:
        raise ConfigError(f"{word!r}: a rule is one word: write {_typed((left + word + right).strip())} without spaces")
    if "=" in word:
        return
    colon = WITH_COLON.fullmatch(word)
    if colon:
        raise ConfigError(f"{word!r}: a rule has = instead of a colon: write {_typed(f'{colon[1]}={colon[2]}')}")
    if "=" in before:
        raise ConfigError(
            f"{word}: no such file; a name with spaces is quoted, such as {shlex.quote(f'{before} {word}')}"
        )
    if after[:1] == "=" and len(after) > 1:
        raise ConfigError(f"{word!r}: a rule is one word: write {_typed(word + after)} without spaces")
    if after == "=":
        return  # whose own error shows the whole rule
    raise ConfigError(f"{word}: no such file; if it is meant as a rule: {FORM}")


def parse_rules(rules: Sequence[str], count: int, categories: Sequence[str]) -> tuple[ClusterName, ...]:
    """Parse rules such as 3=water, 1+4=roof or roof=building.

    Args:
        rules: as typed.
        count: number of clusters.
        categories: their names, if they have some.
    """
    found = tuple(_parse(rule, count, categories) for rule in rules)
    owner: dict[int, str] = {}
    for one in found:
        for number in one.clusters:
            if owner.setdefault(number, one.name) != one.name:
                raise ConfigError(f"cluster {number} is given two names, {owner[number]!r} and {one.name!r}")
    return found


def _parse(rule: str, count: int, categories: Sequence[str]) -> ClusterName:
    parts = NEXT_RULE.split(rule)
    if len(parts) > 1:
        several = _joined(parts)
        typed = " ".join(_typed(_with_equals(part)) for part in several)
        why = "each rule is a word of its own" if len(several) > 1 else "clusters that are merged are joined by +"
        raise ConfigError(f"{rule!r}: {why}: write {typed}")
    left, equals, right = (part.strip() for part in rule.partition("="))
    if not equals:
        instead = f"write {_typed(_with_equals(rule))}" if WITH_COLON.fullmatch(rule) else FORM
        raise ConfigError(f"{rule!r} is not a rule: {instead}")
    _check_sides(rule, left, right)
    return ClusterName(right, _numbers_of(rule, left, count, categories), by_name=not ONLY_NUMBERS.fullmatch(left))


def _joined(parts: Sequence[str]) -> list[str]:
    """Join numbers without a name to the rule after them: 0, 1=road means 0+1=road."""
    rules, waiting = [], ""
    for part in parts:
        waiting += part.strip()
        if ONLY_NUMBERS.fullmatch(part):
            waiting += "+"
        else:
            rules.append(waiting)
            waiting = ""
    return rules


def _check_sides(rule: str, left: str, right: str) -> None:
    if not left:
        name = "water" if not right or ONLY_NUMBERS.fullmatch(right) else right
        raise ConfigError(f"{rule!r} has no cluster before the =: write {_typed('3=' + name)}")
    if not right:
        raise ConfigError(f"{rule!r} has no name after the =: write {_typed(f'{left}=water')}")
    if "=" in right or not right.isprintable():
        raise ConfigError(f"{rule!r}: a name has no = and is one line; each rule is a word of its own: {FORM}")
    if ONLY_NUMBERS.fullmatch(right):
        both = ONLY_NUMBERS.fullmatch(left)
        instead = f"{left}+{right}=water to merge them" if both else _typed(f"{right}={left}")
        raise ConfigError(f"{rule!r}: the cluster stands before the =, its name after it: write {instead}")


def _with_equals(rule: str) -> str:
    colon = WITH_COLON.fullmatch(rule)
    return f"{colon[1]}={colon[2]}" if colon else rule.strip()


def _numbers_of(rule: str, left: str, count: int, categories: Sequence[str]) -> tuple[int, ...]:
    """Return the clusters that the left side of a rule means: numbers, names, or several of them joined by +."""
    names = [*categories, *(f"cluster {number}" for number in range(len(categories), count))]
    if left in names:
        return (find_category(left, count, names, rule),)
    found = dict.fromkeys(find_category(part.strip(), count, names, rule) for part in left.split("+"))
    return tuple(found)


def find_category(text: str, count: int, categories: Sequence[str], where: str) -> int:
    """Return the number of a category given by its number or name; the name exactly, else in any case.

    Args:
        text: number or name.
        count: number of categories.
        categories: their names.
        where: what was typed, for errors.
    """
    if text.isdecimal():
        if int(text) >= count:
            raise ConfigError(f"{where!r} names cluster {text}, but the clusters are 0 to {count - 1}")
        return int(text)
    same = [number for number, name in enumerate(categories) if name == text]
    same = same or [number for number, name in enumerate(categories) if name.casefold() == text.casefold()]
    if len(same) == 1:
        return same[0]
    if same:
        listed = ", ".join(f"{number} ({categories[number]})" for number in same)
        raise ConfigError(f"{where!r}: {text!r} can be {listed}: give the number")
    named = [name for name in categories if not is_number(name)]
    known = f", or one of {_some(named)}" if named else ""
    raise ConfigError(f"{where!r}: there is no category {text!r}: give a number, 0 to {count - 1}{known}")


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else ""
    return ", ".join(names[:MOST_LISTED]) + more


def _typed(rule: str) -> str:
    """Return a rule as it is typed in a shell, without spaces around its =."""
    return shlex.quote(re.sub(r"\s*=\s*", "=", rule))
