"""What holds for every data set, and for the command that prepares them."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import pytest
from typed import unseg

from unsegcli.cli import _tables
from unsegcli.core.scoring.protocols import PROTOCOLS
from unsegcli.datasets._load import find_set, known_sets
from unsegcli.errors import ConfigError
from unsegcli.params import Inputs, Prepare, Run
from unsegcli.stages.prepare import prepare

SETS = [published for published, _ in known_sets().values()]


@pytest.mark.parametrize("name", known_sets())
def test_a_set_keeps_the_contract(name: str) -> None:
    one, file = find_set(name)
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", one.name)
    assert callable(file.plan)
    assert one.what, f"{name} does not say what it is"
    assert one.licence, f"{name} has no licence"
    assert re.match(r"https?://", one.link) or name == "folder", f"{name} has no link"
    values = [value for each in one.classes for value in each.values] + list(one.ignore)
    assert not [value for value, times in Counter(values).items() if times > 1], f"{name} uses a value twice"
    assert all(re.fullmatch("#[0-9a-f]{6}", each.color) for each in one.classes)
    assert len({each.name for each in one.classes}) == len(one.classes)
    assert set(one.takes) <= {each.name for each in fields(Prepare)}


@pytest.mark.parametrize("name", known_sets())
def test_rules_name_splits_and_a_protocol_that_are_there(name: str) -> None:
    one = find_set(name)[0]
    splits = {split.name for split in one.splits}
    assert splits
    assert {*one.rules.trained_on, *one.rules.scored_on} <= splits
    assert one.rules.protocol in ("", *PROTOCOLS)
    assert one.rules.level in ("data set", "image")
    assert all(not note.endswith(".") for note in one.rules.notes)


@pytest.mark.parametrize("one", SETS, ids=lambda one: one.name)
def test_without_files_it_is_said_which_are_needed(one: object, tmp_path: Path) -> None:
    published = find_set(getattr(one, "name", ""))[0]
    with pytest.raises(ConfigError) as error:
        prepare(Inputs([]), Prepare(name=published.name), Run(output=tmp_path / "out"))
    for needed in (*published.needs, published.link):
        assert needed in str(error.value)


def test_the_list_has_every_set_with_licence_and_link() -> None:
    listed = json.loads(unseg("prepare", "--list").stdout)["sets"]
    assert [row["name"] for row in listed] == list(known_sets())
    assert all(row["licence"] and (row["link"] or row["name"] == "folder") for row in listed)


def test_a_person_sees_the_list_with_whole_names_and_links(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_tables, "sys", SimpleNamespace(stdout=SimpleNamespace(isatty=lambda: True)))
    shown = unseg("prepare", "--list").stdout
    assert "number of images not known" in shown  # of a stand-in
    lines = shown.splitlines()
    for one in SETS:
        assert any(line.startswith(f"{one.name}  ") for line in lines)
        assert any(line.strip() == one.link for line in lines) or not one.link
    assert max(len(line) for line in lines if "http" not in line) <= 80


def test_the_guide_names_every_set() -> None:
    page = (Path(__file__).parents[2] / "docs/guide/published-data.md").read_text()
    assert not [name for name in known_sets() if f"| `{name}` |" not in page]


def test_an_unknown_set_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"data set potsdm: is not one of .*did you mean potsdam\?"):
        find_set("potsdm")


def test_a_setting_that_a_set_has_not_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--unlabelled-as-sky: potsdam has no such setting"):
        prepare(Inputs([tmp_path]), Prepare(name="potsdam", unlabelled_as_sky=True), Run(output=tmp_path / "out"))
