"""New numbers, names and colours for the categories of a segmentation."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from unsegcli import console
from unsegcli.core.palette import (
    MOST_DISTINCT,
    class_colors,
    confusable,
    hex_color,
    nearest_distance,
    palette,
    unlike_color,
    usual_color,
)
from unsegcli.dataflow.label_maps import Predictions
from unsegcli.errors import ConfigError
from unsegcli.legend import Legend
from unsegcli.names import ClusterName, is_number, oldest_number

FARTHER = 1.5  # how many times as far from all others a colour must be that replaces one that can be confused


@dataclass(frozen=True)
class Naming:
    """The new number of each category, and the names and colours of the new categories."""

    numbers: tuple[int, ...]  # one for each old category
    names: tuple[str, ...]
    colors: tuple[str, ...]
    role: str  # clusters or classes


class Group(NamedTuple):
    """Old categories that become one new one."""

    name: str  # "" = none of its own, so that it is called by its number
    members: tuple[int, ...]
    color: str = ""  # "" = none given


def by_names(run: Predictions, names: Sequence[ClusterName], legend: Legend | None = None) -> Naming:
    """Give names to clusters; those that are not mentioned keep theirs, and follow in their old order.

    Categories are numbered in the order of the legend or of the names. If all clusters were given by their names, they
    keep their order.
    """
    groups = _groups(run, names)
    if legend is not None:
        return _numbered(run, _in_order_of(legend, groups), "classes")
    if names and all(one.by_name for one in names):
        groups = sorted(groups, key=lambda one: min(one.members))
    return _numbered(run, groups, "clusters")


def by_matching(run: Predictions, wanted: dict[int, str], names: Sequence[str], legend: Legend | None) -> Naming:
    """Name clusters after the classes that they were matched to; classes come first, in their order."""
    colors = class_colors(names, [""] * len(names)) if legend is None else legend_colors(legend)
    groups = [
        Group(name, tuple(number for number, one in wanted.items() if one == name), color)
        for name, color in zip(names, colors, strict=True)
    ]
    rest = [Group("", (number,)) for number in range(run.clusters or 0) if number not in wanted]
    return _numbered(run, [*groups, *rest], "classes")


def divided(run: Predictions, number: int, into: int) -> Naming:
    """Name the parts of a category; `numbers` are those of the parts.

    The first part keeps the number and colour of the category; the others follow after all others.
    """
    names, colors = list(names_of(run)), list(colors_of(run))
    count, own = len(names), names[number]
    numbers = (number, *range(count, count + into - 1))
    names += [""] * (into - 1)
    colors += [""] * (into - 1)
    taken = set(names)
    for part in numbers:
        names[part] = own if part == number else f"cluster {part} (was {oldest_number(own)})"
        if oldest_number(own) is None:
            names[part] = next(text for text in _numbered_names(own) if text not in taken)
            taken.add(names[part])
        colors[part] = colors[part] or unlike_color([color for color in colors if color])
    return Naming(numbers, tuple(names), tuple(colors), "clusters")


def _numbered_names(name: str) -> Iterator[str]:
    """Yield roof 1, roof 2, ...; of what has a number already roof 1.1, roof 1.2, ..."""
    between = "." if name[-1:].isdecimal() else " "
    return (f"{name}{between}{number}" for number in itertools.count(1))


def colors_of(run: Predictions) -> tuple[str, ...]:
    """Return the colours in which `visualize` shows the categories of a segmentation."""
    return (*run.colors, *palette_colors(run.clusters or 0)[len(run.colors) :])


def names_of(run: Predictions) -> tuple[str, ...]:
    """Return the names of the categories of a segmentation: their numbers, where they have none."""
    return (*run.categories, *(f"cluster {number}" for number in range(len(run.categories), run.clusters or 0)))


def palette_colors(count: int) -> tuple[str, ...]:
    """Return the colours of the palette as #rrggbb."""
    return tuple(hex_color(color) for color in palette(count).tolist())


def legend_colors(legend: Legend) -> list[str]:
    """Return the colours of a legend as #rrggbb; a class without one gets the usual one of its name, if it has one."""
    return class_colors(legend.names, ["" if one.color is None else hex_color(one.color) for one in legend.classes])


def unused_color(used: Sequence[str]) -> str:
    """Return the first colour of the palette that is not used yet, or the next one if all are."""
    own = palette_colors(max(MOST_DISTINCT, len(used) + 1))
    return next((color for color in own if color not in used), own[len(used)])


def _groups(run: Predictions, names: Sequence[ClusterName]) -> list[Group]:
    """Return the named groups in the order of the names, then those that are called by their numbers."""
    found: dict[str, Group] = {}
    for one in names:
        before = found.get(one.name, Group(one.name, ()))
        members = tuple(dict.fromkeys((*before.members, *one.clusters)))
        found[one.name] = Group(one.name, members, before.color or one.color)
    mentioned = {number for group in found.values() for number in group.members}
    alone = [_without_name(run, group) for name, group in found.items() if is_number(name)]
    named = {name: group for name, group in found.items() if not is_number(name)}
    own = names_of(run)
    for number in range(run.clusters or 0):
        if number in mentioned:
            continue
        if own[number] in named:
            group = named[own[number]]
            named[group.name] = group._replace(members=(*group.members, number))
            console.note(f"category {number} is called {group.name}, too: they are merged")
        else:
            alone.append(Group("", (number,)))
    return [*named.values(), *sorted(alone, key=lambda group: min(group.members))]


def _without_name(run: Predictions, group: Group) -> Group:
    """Return a group that was given the number of a cluster as its name: numbers change, so it is called by its own."""
    first = group.members[0]
    if len(group.members) == 1 and group.name not in (f"cluster {first}", names_of(run)[first]):
        console.note(f"{group.name!r} is a number, not a name: cluster {first} is called by its own")
    return group._replace(name="")


def _in_order_of(legend: Legend, groups: Sequence[Group]) -> list[Group]:
    named = {group.name: group for group in groups if group.name}
    unknown = sorted(set(named) - set(legend.names))
    if unknown:
        raise ConfigError(f"the legend has no class {unknown[0]!r}; it has {', '.join(legend.names)}")
    colors = zip(legend.names, legend_colors(legend), strict=True)
    first = [named.get(name, Group(name, ()))._replace(color=color) for name, color in colors]
    return [*first, *(group for group in groups if not group.name)]


def _numbered(run: Predictions, groups: Sequence[Group], role: str) -> Naming:
    """Number groups in their order."""
    new = {old: number for number, group in enumerate(groups) for old in group.members}
    names = tuple(group.name or _kept_name(run, group.members, number) for number, group in enumerate(groups))
    numbers = tuple(new[old] for old in range(run.clusters or 0))
    return Naming(numbers, names, tuple(_colors(run, groups)), role)


def _kept_name(run: Predictions, old: tuple[int, ...], new: int) -> str:
    """Return the name of clusters that were given none: that of a single one if it has one, else the number.

    A single cluster has its oldest known number, too; it can be found by it as long as it has no name.
    """
    if len(old) > 1:
        return f"cluster {new}"
    name = names_of(run)[old[0]]
    before = oldest_number(name)
    if before is None:
        return name
    return f"cluster {new}" if new == before else f"cluster {new} (was {before})"


# Colours


def _colors(run: Predictions, groups: Sequence[Group]) -> list[str]:
    """Choose the colour of each group: the given one, else the usual one of its name, else that of its first cluster.

    What no rule mentions keeps its colour, unless it is that of a named group, or can be confused with the usual colour
    that a cluster gets with its first name. Then it changes only to one that is farther from all others.
    """
    old = colors_of(run)
    found = [group.color or (old[group.members[0]] if group.members else "") for group in groups]
    usual = [(usual_color(group.name) or "") if not group.color else "" for group in groups]
    had_name = [_had_name(run, group) for group in groups]
    taken = _take_usual(found, usual, groups, had_name)
    first = [found[at] for at in taken if not had_name[at]]
    named = [color for color, group in zip(found, groups, strict=True) if group.name or group.color]
    for number, group in enumerate(groups):
        if group.color or number in taken:
            continue
        color, others = found[number], found[:number] + found[number + 1 :]
        conflict = color in others if group.name else color in named
        if conflict or (not had_name[number] and confusable(color, first)):
            found[number] = _farther(color, others, old)
    return found


def _take_usual(found: list[str], usual: Sequence[str], groups: Sequence[Group], had_name: Sequence[bool]) -> list[int]:
    """Give groups the usual colours of their names in `found`, if no named group looks like it; return which have one.

    For a name that replaces another one, nothing else changes: so a colour that any group has is not taken.
    """
    settled = [
        found[number]
        for number, group in enumerate(groups)
        if not usual[number] and (group.name or group.color or had_name[number])
    ]
    taken: list[int] = []
    for number, wish in enumerate(usual):
        used = had_name[number] and wish in found[:number] + found[number + 1 :]
        if wish and not used and not confusable(wish, [*settled, *(found[at] for at in taken)]):
            found[number] = wish
            taken.append(number)
    return taken


def _had_name(run: Predictions, group: Group) -> bool:
    """Whether the first cluster of a group had a name of its own already."""
    return bool(group.members) and oldest_number(names_of(run)[group.members[0]]) is None


def _farther(color: str, others: Sequence[str], old: Sequence[str]) -> str:
    """Return a colour that is clearly farther from the others and that nothing had before; else the same."""
    better = unlike_color([*others, *old])
    return better if nearest_distance(better, others) > FARTHER * nearest_distance(color, others) else color
