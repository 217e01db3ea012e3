"""Notes stay equal, and equal ones become one object."""

from __future__ import annotations

from typing import Any

import pytest

from unsegcli.dataflow import shared_notes
from unsegcli.dataflow.shared_notes import SharedNotes


def note_of(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"rows": [{"box": [0, 0, 32, 32], "grid": [32, 32], "warning": "", **row} for row in rows]}


NOTES = [
    note_of({"superpixels": 16}),
    note_of({"superpixels": 17}),
    note_of({"superpixels": 16}, {"superpixels": 17}),
    note_of({"superpixels": 17}, {"superpixels": 16}),
    note_of({"farthest": 0.5}),
    note_of({"farthest": 0.25, "cell": [2.0, 2.0]}),
    note_of({"warning": "odd", "box": [0, 0, 32, 16]}),
    {"failed": "cannot be read"},
]


@pytest.mark.parametrize("note", NOTES, ids=str)
def test_a_note_stays_as_it_is(note: dict[str, Any]) -> None:
    shared = SharedNotes()
    for other in NOTES:
        assert shared(other) == other
    assert shared(note) == note


def test_equal_notes_are_one() -> None:
    shared = SharedNotes()
    first, second = shared(note_of({"superpixels": 16})), shared(note_of({"superpixels": 16}))
    assert first is second
    other = shared(note_of({"superpixels": 16}, {"superpixels": 17}))
    assert other["rows"][0] is first["rows"][0]


def test_what_every_window_has_for_itself_is_not_kept() -> None:
    """Only box and grid are: a table of all distances would be as large as the notes."""
    shared = SharedNotes()
    notes = [shared(note_of({"farthest": number / 7})) for number in range(100)]
    assert len(shared._kept) == 2
    assert len({id(note["rows"][0]["box"]) for note in notes}) == 1


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_notes, "MOST_KEPT", 5)
    shared = SharedNotes()
    for number in range(20):
        note = note_of({"superpixels": number, "box": [0, 0, 1, number]})
        assert shared(note) == note
    assert len(shared._kept) == 5
