"""New numbers, names and colours for the categories of a segmentation."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from unsegcli import console
from unsegcli.core.palette import MOST_DISTINCT, class_colors, confusable, hex_color, palette, unlike_color, usual_color
from unsegcli.dataflow.label_maps import Predictions
from unsegcli.errors import ConfigError
from unsegcli.legend import Legend
from unsegcli.names import UNNAMED, ClusterName


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
        names[part] = f"cluster {part}" + (f" (was {number})" if part != number else "")
        if not UNNAMED.fullmatch(own):
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
    """Return the named groups in the order of the names, and each cluster that is not mentioned as one of its own."""
    named: dict[str, Group] = {}
    alone: dict[int, Group] = {}
    for one in names:
        if _is_its_number(run, one):
            alone[one.clusters[0]] = Group("", one.clusters, one.color)
            continue
        before = named.get(one.name, Group(one.name, ()))
        members = tuple(dict.fromkeys((*before.members, *one.clusters)))
        named[one.name] = Group(one.name, members, before.color or one.color)
    mentioned = {number for group in (*named.values(), *alone.values()) for number in group.members}
    own = names_of(run)
    for number in range(run.clusters or 0):
        if number in mentioned:
            continue
        if own[number] in named and not UNNAMED.fullmatch(own[number]):
            group = named[own[number]]
            named[group.name] = group._replace(members=(*group.members, number))
            console.note(f"category {number} is called {group.name}, too: they are merged")
        else:
            alone[number] = Group("", (number,))
    return [*named.values(), *(alone[number] for number in sorted(alone))]


def _is_its_number(run: Predictions, given: ClusterName) -> bool:
    """Whether a name is the one that a cluster has because of its number, which may change."""
    if len(given.clusters) != 1 or not UNNAMED.fullmatch(given.name):
        return False
    number = given.clusters[0]
    return given.name in (f"cluster {number}", names_of(run)[number])


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
    names = tuple(group.name or _kept_name(run, group.members[0], number) for number, group in enumerate(groups))
    numbers = tuple(new[old] for old in range(run.clusters or 0))
    return Naming(numbers, names, tuple(_colors(run, groups)), role)


def _kept_name(run: Predictions, old: int, new: int) -> str:
    """Return the name of a cluster that no rule mentions: its own if it has one, else its number, now and before."""
    name = run.categories[old] if old < len(run.categories) else ""
    if name and not UNNAMED.fullmatch(name):
        return name
    return f"cluster {new}" if new == old else f"cluster {new} (was {old})"


def _colors(run: Predictions, groups: Sequence[Group]) -> list[str]:
    """Choose the colour of each group: the given one, else the usual one of its name, else that of its first cluster.

    The usual colour is taken only if no other named group has one that could be confused with it. A cluster without a
    name keeps its colour unless a named group has it, or a usual one that could be confused with it.
    """
    old = colors_of(run)
    usual = [(usual_color(group.name) or "") if not group.color else "" for group in groups]
    found = [group.color or (old[group.members[0]] if group.members else "") for group in groups]
    settled = [
        found[number] for number, group in enumerate(groups) if not usual[number] and (group.name or group.color)
    ]
    taken: list[str] = []
    for number, wish in enumerate(usual):
        if wish and not confusable(wish, settled + taken):
            found[number] = wish
            taken.append(wish)
    for number, wish in enumerate(usual):
        others = found[:number] + found[number + 1 :]
        if wish and found[number] != wish and taken and confusable(found[number], taken):
            found[number] = unlike_color(others)
    used = [color for color, group in zip(found, groups, strict=True) if group.name]
    for number, group in enumerate(groups):
        if not group.name:
            if not group.color and (found[number] in used or confusable(found[number], taken)):
                found[number] = unlike_color([*used, *found[number + 1 :]])
            used.append(found[number])
    return found
