"""Methods by name and by file, and their settings: which wins, and mistakes in one line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from toy import users_method

from unsegcli.errors import ConfigError, DataError
from unsegcli.methods._contract import LoopSettings
from unsegcli.methods._load import Loaded, config_from, find_method, method_names, settings_of


def error_of(call: Any, *arguments: Any, **named: Any) -> str:
    with pytest.raises((ConfigError, DataError)) as caught:
        call(*arguments, **named)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_folder_is_the_registry() -> None:
    assert method_names() == sorted(method_names())
    assert not [name for name in method_names() if name.startswith("_")]
    for name in method_names():
        loaded = find_method(name)
        assert (loaded.name, loaded.identity, loaded.digest) == (name, name, "")


@pytest.mark.parametrize("name", ["nonsense", "_contract", "iic.pyc", ""])
def test_unknown_method_lists_the_known(name: str) -> None:
    assert all(known in error_of(find_method, name) for known in method_names())


# ---------------------------------------------------------------------------------------- a user's file


def test_users_file(tmp_path: Path) -> None:
    loaded = find_method(
        str(users_method(tmp_path, more="\ndef needs(config): return ['superpixels'] * config.shy\nREVISION = 4\n"))
    )
    assert loaded.identity == f"mine {loaded.digest}"
    assert len(loaded.digest) == 16
    assert str(tmp_path) not in loaded.identity
    config = settings_of(loaded, sets=["learning_rate=1e-4", "shy=yes"], classes=7)
    assert (loaded.needs(config), loaded.needs(config_from(loaded, {})), loaded.revision) == (("superpixels",), (), 4)
    assert (config.learning_rate, config.shy, config.classes) == (1e-4, True, 7)


def test_needs_and_revision_may_be_left_out(tmp_path: Path) -> None:
    loaded = find_method(str(users_method(tmp_path)))
    assert (loaded.needs(settings_of(loaded)), loaded.revision, loaded.role) == ((), 1, "clusters")


def test_what_is_needed_is_said_by_a_function_and_is_known(tmp_path: Path) -> None:
    old = users_method(tmp_path / "a", more="\nNEEDS = ('superpixels',)\n")
    assert "write a function instead: `def needs(config): return ('superpixels',)`" in error_of(find_method, str(old))
    odd = find_method(str(users_method(tmp_path / "b", more="\ndef needs(config): return ('labels',)\n")))
    assert "needs(config) returned labels: choose from superpixels, regions, proposals" in error_of(
        odd.needs, settings_of(odd)
    )
    text = find_method(str(users_method(tmp_path / "c", more="\ndef needs(config): return 'superpixels'\n")))
    assert "must return a tuple of names" in error_of(text.needs, settings_of(text))


def test_role_is_one_that_is_known(tmp_path: Path) -> None:
    assert find_method(str(users_method(tmp_path / "a", more="\nROLE = 'mask'\n"))).role == "mask"
    wrong = users_method(tmp_path / "b", more="\nROLE = 'proposal'\n")
    assert "its ROLE 'proposal' is not one of clusters, mask" in error_of(find_method, str(wrong))


def test_two_files_of_one_name_are_two_methods(tmp_path: Path) -> None:
    first = find_method(str(users_method(tmp_path / "a")))
    second = find_method(str(users_method(tmp_path / "b", more="\nREVISION = 2\n")))
    assert first.name == second.name
    assert first.identity != second.identity
    assert (first.revision, second.revision) == (1, 2)
    assert find_method(str(tmp_path / "a" / "mine.py")).module is first.module


def test_digest_follows_the_content(tmp_path: Path) -> None:
    path = users_method(tmp_path)
    before = find_method(str(path))
    moved = users_method(tmp_path / "elsewhere")
    assert find_method(str(moved)).identity == before.identity
    users_method(tmp_path, more="# changed\n")
    assert find_method(str(path)).digest != before.digest


def test_what_is_no_method(tmp_path: Path) -> None:
    path = tmp_path / "half.py"
    path.write_text("Config = Network = None\n")
    assert "lacks loss, cluster_scores" in error_of(find_method, str(path))
    path.write_text("Config = Network = loss = cluster_scores = None\n")
    assert "frozen dataclass" in error_of(find_method, str(path))
    path.write_text(users_method(tmp_path).read_text().replace("(frozen=True)", ""))
    assert "frozen dataclass" in error_of(find_method, str(path))
    path.write_text(users_method(tmp_path).read_text().replace("    grad_clip: float = 0.0\n", ""))
    assert "its Config lacks grad_clip" in error_of(find_method, str(path))
    assert "cannot be read" in error_of(find_method, str(tmp_path / "missing.py"))


def test_the_settings_of_the_loop_may_be_inherited(tmp_path: Path) -> None:
    path = users_method(tmp_path)
    head, rest = path.read_text().split("    classes: int = 3\n")
    head = head.replace("class Config:", "class Config(LoopSettings):")
    head = head.replace("import torch\n", "import torch\nfrom unsegcli.methods._contract import LoopSettings\n")
    path.write_text(head + rest[rest.index("    breaks") :])
    loaded = find_method(str(path))
    config = settings_of(loaded, sets=["learning_rate=0.5", "breaks=3", "min_steps=7"])
    assert (config.learning_rate, config.breaks, config.min_steps) == (0.5, 3, 7)
    assert config.momentum == LoopSettings.momentum


def test_file_that_fails_can_be_mended(tmp_path: Path) -> None:
    path = users_method(tmp_path, more="\nraise ZeroDivisionError\n")
    line = len(path.read_text().splitlines())
    for _ in range(2):  # the half module must not be taken the second time
        assert f"mine.py: line {line}, in <module>: ZeroDivisionError" in error_of(find_method, str(path))


# ---------------------------------------------------------------------------------------- settings


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Loaded:
    presets = {"mine": {"learning_rate": 0.1, "batch": 10, "crop": 100, "classes": 4}}
    monkeypatch.setattr("unsegcli.methods._load.read_preset", lambda owner, name: presets[owner] if name else {})
    return find_method(str(users_method(tmp_path)))


def test_later_settings_win(mine: Loaded, tmp_path: Path) -> None:
    file = tmp_path / "more.toml"
    file.write_text("batch = 20\ncrop = 200\n")
    config = settings_of(mine, "some", file, ["crop=300"])
    assert (config.learning_rate, config.batch, config.crop, config.epochs) == (0.1, 20, 300, 2)
    assert settings_of(mine, None, file).learning_rate == 0.01
    assert settings_of(mine, "some", None, ["crop=1", "crop=2"]).crop == 2


def test_number_of_classes_is_what_is_said_last(mine: Loaded) -> None:
    assert settings_of(mine, classes=None).classes == 3
    assert settings_of(mine, "some", classes=None).classes == 4
    assert settings_of(mine, "some", sets=["classes=5"], classes=None).classes == 5
    assert settings_of(mine, "some", sets=["classes=5"], classes=6).classes == 6


def test_wrong_name_lists_the_right_ones(mine: Loaded) -> None:
    assert error_of(settings_of, mine, sets=["ratte=1"]).startswith(
        "mine has no setting ratte: choose from classes, crop"
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch", "four"), ("batch", 1.5), ("batch", True), ("batch", float("inf")), ("batch", [1]),
        ("learning_rate", "nan"), ("learning_rate", True), ("learning_rate", {}), ("learning_rate", "inf"),
        ("shy", "perhaps"), ("shy", 1), ("schedule", 3),
    ],
)  # fmt: skip
def test_wrong_type_is_named(mine: Loaded, name: str, value: Any) -> None:
    message = error_of(config_from, mine, {name: value})
    assert re.fullmatch(
        rf"{name} {re.escape(str(value))}: must be (true or false|a whole number|a number|text)", message
    )


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("batch", "12", 12), ("batch", 12.0, 12), ("learning_rate", "1e-3", 1e-3), ("learning_rate", 1, 1.0),
        ("schedule", "poly", "poly"), ("shy", "on", True), ("shy", "False", False), ("shy", "0", False),
        ("shy", True, True),
    ],
)  # fmt: skip
def test_values_are_brought_to_their_type(mine: Loaded, name: str, value: Any, expected: Any) -> None:
    found = getattr(config_from(mine, {name: value}), name)
    assert (found, type(found)) == (expected, type(expected))


def test_mistakes_in_a_pair_or_a_file(mine: Loaded, tmp_path: Path) -> None:
    assert "must be key=value" in error_of(settings_of, mine, sets=["learning_rate"])
    assert "must be key=value" in error_of(settings_of, mine, sets=["=1"])
    assert "cannot be read" in error_of(settings_of, mine, file=tmp_path / "missing.toml")
    (tmp_path / "bad.toml").write_text("learning_rate = = 1")
    assert "is not TOML" in error_of(settings_of, mine, file=tmp_path / "bad.toml")
    (tmp_path / "deep.toml").write_text("[rate]\nhigh = 1\n")
    assert "rate {'high': 1}: must be a number" in error_of(settings_of, mine, file=tmp_path / "deep.toml")


def test_fields_of_other_types_are_refused(tmp_path: Path) -> None:
    path = users_method(tmp_path, "odd.py")
    path.write_text(path.read_text().replace("    grad_clip: float", "    sizes: tuple = ()\n    grad_clip: float"))
    assert "not supported" in error_of(settings_of, find_method(str(path)), sets=["sizes=1"])


def test_names_without_case_and_one_guess() -> None:
    assert find_method("InfoSeg").identity == "infoseg"
    with pytest.raises(ConfigError, match=r"is not one of context, iic, .*; did you mean inmars\?"):
        find_method("inmar")
