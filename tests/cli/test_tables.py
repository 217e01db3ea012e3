"""Tables of scores as text, csv, Markdown and LaTeX, also where they are redirected."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typed import unseg

from unsegcli import console
from unsegcli.cli._tables import Interval, Spread, Table, print_parts

RESULTS = Table(
    [
        {"file": "a_b.h5", "clusters": 1200, "miou": Spread(0.51234, 0.0123), "accuracy": 0.5},
        {"file": "c|d.h5", "miou": 0.25, "accuracy": None},
    ],
    "2 runs & more",
    [{"file": "chance: 50 %", "accuracy_interval": Interval(0.1, 0.2)}],
)


def printed(capsys: pytest.CaptureFixture[str], *parts: Any, form: str) -> str:
    print_parts(parts, form)
    return capsys.readouterr().out


def test_csv_has_plain_numbers_in_columns_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "a line of text", RESULTS, Table([{"x": 1}]), form="csv")
    assert text == (
        "file,clusters,miou,miou_deviation,accuracy,accuracy_interval_low,accuracy_interval_high\n"
        "a_b.h5,1200,0.51234,0.0123,0.5,,\n"
        "c|d.h5,,0.25,,,,\n"
        "chance: 50 %,,,,,0.1,0.2\n"
        "\nx\n1\n"
    )


def test_a_text_of_a_table_cannot_tell_the_terminal_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    print_parts(["of \x1b[2J", Table([{"in\x1bput": "\x1b[31m", "iou": 0.5}], "\x9btitle")])
    printed = capsys.readouterr().out
    assert not console.CONTROL.search(printed.replace("\n", ""))
    assert all(name in printed for name in (r"\x1b[2J", r"\x1b[31m", r"in\x1bput", r"\x9btitle"))


def test_markdown_keeps_its_columns(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "a line of text", RESULTS, form="markdown")
    assert text == (
        "a line of text\n\n**2 runs & more**\n\n"
        "| file | clusters | miou | accuracy | accuracy 95 % interval |\n"
        "| --- | ---: | ---: | ---: | ---: |\n"
        "| a_b.h5 | 1,200 | 0.512 ± 0.012 | 0.500 |  |\n"
        "| c\\|d.h5 |  | 0.250 | none |  |\n"
        "| chance: 50 % |  |  |  | 0.100 to 0.200 |\n"
    )


def test_latex_is_escaped_and_has_a_line_above_chance(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "a line of text", RESULTS, form="latex")
    assert text == (
        "% a line of text\n"
        "\\begin{table}\n\\caption{2 runs \\& more}\n\\begin{tabular}{lrrrr}\n\\hline\n"
        "file & clusters & miou & accuracy & accuracy 95 \\% interval \\\\\n\\hline\n"
        "a\\_b.h5 & 1,200 & 0.512 $\\pm$ 0.012 & 0.500 &  \\\\\n"
        "c|d.h5 &  & 0.250 & none &  \\\\\n\\hline\n"
        "chance: 50 \\% &  &  &  & 0.100 to 0.200 \\\\\n\\hline\n"
        "\\end{tabular}\n\\end{table}\n"
    )


def test_text_in_a_file_is_as_wide_as_it_needs(capsys: pytest.CaptureFixture[str]) -> None:
    wide = Table([{f"column {number}": "x" * 30 for number in range(9)}], "t" * 400)
    lines = printed(capsys, wide, form="text").splitlines()
    assert "t" * 400 in lines[0]
    assert sum(f"{'x' * 30} │ {'x' * 30}" in line for line in lines) == 1


@pytest.fixture
def maps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with label maps of some tool, and labels."""
    values = np.repeat(np.array([[0, 1]], np.uint8), 8, axis=1).repeat(16, axis=0)
    for folder in ("maps", "labels"):
        (tmp_path / folder).mkdir()
        for number in range(3):
            Image.fromarray(values).save(tmp_path / folder / f"p{number}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_redirected_scores_are_a_table_on_request(maps: Path) -> None:
    scores = json.loads(unseg("evaluate", "maps", "--labels", "labels").stdout)
    assert scores["scores"]["miou"] == 1
    for typed in (["--table", "maps"], ["maps", "--table"]):
        shown = unseg("evaluate", *typed, "--labels", "labels").stdout
        assert "│ accuracy" in shown, typed
        assert "protocol unseg: matching one-to-one" in shown
    text = unseg("evaluate", "maps", "--labels", "labels", "--table", "csv").stdout
    first = list(csv.DictReader(io.StringIO(text.split("\n\n")[0])))
    assert [row["score"] for row in first][:2] == ["accuracy", "miou"]
    assert float(first[1]["interval_low"]) == float(first[1]["value"]) == 1


def test_wrong_forms_of_tables_are_refused(maps: Path) -> None:
    assert "--table xlsx: is not one of text, csv" in unseg("evaluate", "maps", "--table", "xlsx", expect=2).stderr
    both = unseg("evaluate", "maps", "--labels", "labels", "--table", "csv", "--json", expect=2).stderr
    assert "--table and --json cannot be used together" in both
