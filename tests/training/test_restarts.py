"""Which of several runs is kept, and how it is told."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from unsegcli.training.restarts import PREFIX, as_history, best_run, clear, folder_of, table
from unsegcli.training.signs import SIGNS, Signals


def signals(**given: float) -> Signals:
    return {sign: given.get(sign.replace("-", "_"), 0.5) for sign in SIGNS}


def test_the_run_that_changes_least_is_kept() -> None:
    runs = [signals(beyond_chance=0.2, stability=0.9), signals(beyond_chance=0.7), signals(beyond_chance=0.4)]
    assert best_run(runs) == (1, "beyond-chance")


def test_between_equal_runs_something_else_decides() -> None:
    assert best_run([signals(silhouette=0.3), signals(silhouette=0.6)]) == (1, "silhouette")
    unknown = signals(beyond_chance=math.nan)
    assert best_run([unknown, {**unknown, "silhouette": 0.6}]) == (1, "silhouette")
    assert best_run([signals(), signals()])[0] == 0, "the first of equal ones"


def test_a_sign_that_is_no_number_is_never_the_best() -> None:
    runs = [signals(beyond_chance=math.nan), signals(beyond_chance=-0.1), signals(beyond_chance=-0.2)]
    assert best_run(runs)[0] == 1


def test_table_has_every_sign_and_says_which_is_kept() -> None:
    lines = table([signals(), signals(purity=0.25)], [4, 5], 1)
    assert lines[0].split() == ["seed", "4", "seed", "5"]
    assert [line.split()[0] for line in lines[1:-1]] == list(SIGNS)
    assert next(line for line in lines if line.startswith("purity")).split() == ["purity", "0.500", "0.250"]
    assert lines[-1].split() == ["kept"]
    assert lines[-1].index("kept") > lines[0].index("seed 5") - 4
    assert len({line == line.rstrip() for line in lines}) == 1


def test_history_has_all_signs_of_all_runs() -> None:
    found = as_history([signals(), signals(purity=0.25)], [4, 5], 1)
    assert found[f"{PREFIX}purity"] == [0.5, 0.25]
    assert found[f"{PREFIX}seed"] == [4, 5]
    assert found[f"{PREFIX}kept"] == [0, 1]
    assert len(found) == len(SIGNS) + 2


@pytest.mark.parametrize("stranger", [True, False])
def test_only_the_runs_are_removed(stranger: bool, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "m.h5")
    assert folder == tmp_path / "m.h5.restarts"
    folder.mkdir()
    runs = [folder / f"run-seed{number}.h5" for number in range(2)]
    for path in runs:
        path.touch()
    if stranger:
        (folder / "notes.txt").touch()
    clear(runs)
    assert folder.exists() is stranger
    assert [path.name for path in tmp_path.rglob("*.txt")] == ["notes.txt"] * stranger
