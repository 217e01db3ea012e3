"""Build the report as one HTML page without scripts or external resources; images are in files next to it.

Nothing here reads or writes files.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any
from urllib.parse import quote

from unsegcli.recipe import INPUTS

MOST_ROWS = 60  # rows of the table of areas; the rest is summed
EAGER = 2  # images loaded immediately; the others load lazily

STYLE = """
:root { color-scheme: light; --ink: #222; --faint: #666; --line: #ddd; --soft: #f6f6f4; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem; max-width: 90rem; background: #fff; color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; padding-bottom: .2rem; border-bottom: 1px solid var(--line); }
p { margin: .3rem 0 .8rem; max-width: 48rem; }
.faint { color: var(--faint); }
.labels { border-left: 4px solid #ccbb44; background: #fdfaea; padding: .6rem .9rem; }
.columns { display: flex; flex-wrap: wrap; gap: 0 3rem; align-items: flex-start; }
table { border-collapse: collapse; margin: .3rem 0 1rem; font-size: .92rem; }
th, td { text-align: left; padding: .22rem .9rem .22rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; overflow-wrap: anywhere; }
th { font-weight: 600; white-space: nowrap; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
.swatch { display: inline-block; width: .9em; height: .9em; border: 1px solid #888; vertical-align: -.1em;
  margin-right: .45em; }
.bar { display: inline-block; height: .7em; vertical-align: 0; background: #888; }
details summary { cursor: pointer; color: var(--faint); }
code { font: .88em ui-monospace, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
figure { margin: 0 0 1.6rem; }
figcaption { font-size: .92rem; margin-bottom: .25rem; overflow-wrap: anywhere; }
img { max-width: 100%; height: auto; border: 1px solid var(--line); display: block; }
@media print { figure { break-inside: avoid; } body { padding: 0; } }
"""


@dataclass(frozen=True)
class Area:
    """One row of the table of areas."""

    name: str
    color: tuple[int, int, int] | None  # None = void
    pixels: int
    number: int | None = None  # in exported maps; None = not shown


@dataclass(frozen=True)
class Figure:
    """One image of the report."""

    name: str
    file: str  # relative to the page, with / between the parts
    height: int
    width: int
    caption: str
    text: str  # alt text


@dataclass(frozen=True)
class Report:
    """The content of the page, as plain text and numbers."""

    title: str
    summary: str
    labels: Sequence[str]  # what labels were used for; empty = not used
    facts: Mapping[str, Any]
    provenance: Sequence[Mapping[str, Any]] = ()
    scores: Mapping[str, Any] | None = None  # as JSON of `evaluate`
    areas: Sequence[Area] = ()
    sheet: Figure | None = None
    panels: Sequence[Figure] = ()
    warnings: Sequence[str] = ()
    notes: Sequence[str] = field(default=())


def page(report: Report) -> str:
    """Return the page as HTML; all text is escaped."""
    parts = [
        f"<h1>{_text(report.title)}</h1>",
        f'<p class="faint">{_text(report.summary)}</p>',
        *(f'<p class="labels">{_text(line)}</p>' for line in report.labels),
        *(f"<p>{_text(line)}</p>" for line in report.notes),
        *_warnings(report.warnings),
        *_areas(report.areas),
        *(_scores(report.scores) if report.scores else []),
        *_section("All at a glance", [_figure(report.sheet, eager=True)] if report.sheet else []),
        *_section("Images", [_figure(panel, number < EAGER) for number, panel in enumerate(report.panels)]),
        *_section("What was run", [_facts(report.facts), _provenance(report.provenance)]),
    ]
    # The policy keeps the browser from loading or running anything, in case a text is not escaped.
    policy = "default-src 'none'; img-src 'self' file:; style-src 'unsafe-inline'"
    head = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{_text(report.title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>",
    ]
    return "\n".join([*head, *(part for part in parts if part), "</body>\n</html>\n"])


def _text(value: object) -> str:
    """Escape a text for tags and attributes; invalid UTF-8 becomes the replacement character."""
    plain = str(value).encode("utf-8", "surrogateescape" if _is_escaped(str(value)) else "replace")
    shown = plain.decode("utf-8", "replace")
    return escape("".join(letter if letter.isprintable() or letter == " " else "\ufffd" for letter in shown))


def _is_escaped(text: str) -> bool:
    return all(not "\ud800" <= letter <= "\udfff" or "\udc80" <= letter <= "\udcff" for letter in text)


def _section(heading: str, parts: Iterable[str]) -> list[str]:
    inner = [part for part in parts if part]
    return [f"<h2>{_text(heading)}</h2>", *inner] if inner else []


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    """Build a table from cells that are already HTML."""

    def cells(row: Sequence[str], tag: str) -> str:
        marked = ((' class="number"' if column in numbers else "", cell) for column, cell in enumerate(row))
        return "<tr>" + "".join(f"<{tag}{kind}>{cell}</{tag}>" for kind, cell in marked) + "</tr>"

    head = [cells([_text(cell) for cell in header], "th")] if header else []
    return "\n".join(["<table>", *head, *(cells(row, "td") for row in rows), "</table>"])


def _warnings(warnings: Sequence[str]) -> list[str]:
    if not warnings:
        return []
    items = "\n".join(f"<li>{_text(line)}</li>" for line in warnings)
    return [f"<details><summary>{len(warnings)} warnings</summary>\n<ul>\n{items}\n</ul></details>"]


def _areas(areas: Sequence[Area]) -> list[str]:
    total = sum(area.pixels for area in areas)
    if not total:
        return []
    shown = list(areas[:MOST_ROWS])
    left = sum(area.pixels for area in areas[MOST_ROWS:])
    rows = [
        [
            f"{_swatch(area.color)}{_text(area.name)}",
            "" if area.number is None else str(area.number),
            *_share(area.pixels, total, area.color),
        ]
        for area in shown
    ]
    if left:
        rows.append([f"{len(areas) - MOST_ROWS} more", "", *_share(left, total, None)])
    return _section("Area over all images", [_table(["", "number", "share", "", "pixels"], rows, (1, 2, 4))])


def _share(pixels: int, total: int, color: tuple[int, int, int] | None) -> list[str]:
    share = pixels / total
    bar = f'<span class="bar" style="width:{12 * share:.2f}rem;background:{_css(color)}"></span>'
    return [f"{share:.1%}" if pixels == 0 or share >= 0.0005 else "&lt; 0.1%", bar, f"{pixels:,}"]


def _swatch(color: tuple[int, int, int] | None) -> str:
    return f'<span class="swatch" style="background:{_css(color)}"></span>'


def _css(color: tuple[int, int, int] | None) -> str:
    if color is None:
        return "repeating-linear-gradient(135deg,#262626 0 2px,#5c5c5c 2px 4px)"
    return "#{:02x}{:02x}{:02x}".format(*color)


def _scores(scores: Mapping[str, Any]) -> list[str]:
    interval, chance = scores.get("interval") or {}, scores.get("chance") or {}
    rows = [
        [_text(_words(name)), _number(value), " to ".join(_number(edge) for edge in interval.get(name, ()))]
        for name, value in (scores.get("scores") or {}).items()
    ]
    rows += [[_text(f"chance: {_words(name)}"), _number(value), ""] for name, value in chance.items()]
    tables = [_table(["score", "value", "95 % interval"], rows, (1,))]
    if scores.get("per_class"):
        lines = [
            [_text(row["class"]), *(_number(row[name]) for name in ("iou", "precision", "recall"))]
            for row in scores["per_class"]
        ]
        tables.append(_table(["class", "IoU", "precision", "recall"], lines, (1, 2, 3)))
    protocol = scores.get("protocol") or {}
    said = ", ".join(f"{_words(name)} {value}" for name, value in protocol.items() if _is_short(value))
    return _section(
        "Scores",
        [
            f'<p class="faint">{_text(said)}; {_text(scores.get("images", "?"))} images scored</p>',
            '<div class="columns">',
            *tables,
            "</div>",
        ],
    )


def _is_short(value: Any) -> bool:
    return value is not None and not isinstance(value, list | dict)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _number(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) < 100 else f"{value:,.1f}"
    return _text(f"{value:,}" if isinstance(value, int) else value)


def _figure(panel: Figure | None, eager: bool) -> str:
    if panel is None:
        return ""
    address = quote(os.fsencode(panel.file))
    lazy = "" if eager else ' loading="lazy"'
    return (
        f"<figure>\n<figcaption><strong>{_text(panel.name)}</strong> {_text(panel.caption)}</figcaption>\n"
        f'<img{lazy} src="{address}" width="{panel.width}" height="{panel.height}" alt="{_text(panel.text)}">\n'
        "</figure>"
    )


def _facts(facts: Mapping[str, Any]) -> str:
    return _table(
        (), ([f"<strong>{_text(name)}</strong>", f"<code>{_text(value)}</code>"] for name, value in facts.items())
    )


def _provenance(chain: Sequence[Mapping[str, Any]]) -> str:
    if not chain:
        return ""
    rows = [
        [
            "&nbsp;" * 4 * int(step["depth"]) + _text(INPUTS.get(step["input"], step["input"])),
            f"<code>{_text(step['path'])}</code>",
            _text(step["state"]),
            f"<code>{_text(str(step['fingerprint'])[:12])}</code>",
        ]
        for step in chain
    ]
    return f"<h3>Made from</h3>\n{_table(['input', 'file', 'state', 'fingerprint'], rows)}"
