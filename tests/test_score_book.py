"""Scores that are stored are used only as far as they are those of the same architectures, in order."""

from pathlib import Path

import pytest

from evospace import score_book
from evospace.runs.database import RunDatabase
from evospace.score_book import ScoreBook
from evospace.space.architecture import Architecture

A, B, C, D = (Architecture.of([[name]]) for name in "abcd")


class Counts:
    """Scores an architecture by how many were scored before it."""

    def __init__(self) -> None:
        self.scored: list[Architecture] = []

    def __call__(self, position: int, architecture: Architecture) -> float:
        self.scored.append(architecture)
        return len(self.scored) / 10


@pytest.fixture
def database(tmp_path: Path) -> RunDatabase:
    made = RunDatabase(tmp_path / "run.db")
    made.create()
    return made


def book(database: RunDatabase, counts: Counts) -> ScoreBook:
    return ScoreBook(database, 1, counts, lambda asked, wanted: False, lambda asked, wanted: None)


def test_scoring_goes_on_after_the_stored_ones_and_begins_anew_where_they_differ(database: RunDatabase) -> None:
    database.add_scores(1, 0, [(A, 0.5), (B, "not finite")])
    counts = Counts()
    made = book(database, counts)
    assert made.ask([A, B, C]) == [0.5, "not finite", 0.1]
    assert counts.scored == [C]
    made.store()
    assert database.scores(1) == [(A, 0.5), (B, "not finite"), (C, 0.1)]
    # B and C are stored, but not in these places: only A's score stands.
    counts = Counts()
    made = book(database, counts)
    assert made.ask([A, C, B]) == [0.5, 0.1, 0.2]
    assert counts.scored == [C, B]
    made.store()
    assert database.scores(1) == [(A, 0.5), (C, 0.1), (B, 0.2)]


def test_after_a_difference_nothing_stored_stands(database: RunDatabase) -> None:
    database.add_scores(1, 0, [(A, 0.5), (B, 0.6), (C, 0.7)])
    counts = Counts()
    assert book(database, counts).ask([A, D, C]) == [0.5, 0.1, 0.2]
    assert counts.scored == [D, C]


def test_what_is_asked_one_by_one_is_stored_like_what_is_asked_at_once(database: RunDatabase) -> None:
    counts = Counts()
    made = book(database, counts)
    assert [made.ask([a])[0] for a in (A, B)] == [0.1, 0.2]
    made.store()
    again = book(database, counts)
    assert again.ask([A]) + again.ask([B, C]) == [0.1, 0.2, 0.3]
    again.store()
    assert [a for a, _ in database.scores(1)] == [A, B, C]


def test_what_was_spent_on_an_architecture_that_was_left_half_way_counts(
    database: RunDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(100))
    monkeypatch.setattr("evospace.score_book.time.monotonic", lambda: next(clock))
    monkeypatch.setattr(score_book, "SECONDS", 1e9)
    spent = []
    monkeypatch.setattr(RunDatabase, "add_seconds", lambda self, *row: spent.append(row))

    def ends(position: int, architecture: Architecture) -> float:
        if position == 1:
            raise KeyboardInterrupt
        return 0.5

    made = ScoreBook(database, 1, ends, lambda asked, wanted: False, lambda asked, wanted: None)
    with pytest.raises(KeyboardInterrupt):
        made.ask([A, B])
    assert [row[:2] for row in spent] == [(1, "score")]
    assert spent[0][2] >= 2
    assert database.scores(1) == [(A, 0.5)]


def test_a_signal_ends_it_only_when_all_is_stored(database: RunDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    def end(asked: int, wanted: int) -> None:
        assert (asked, wanted) == (2, 3)
        raise KeyboardInterrupt

    made = ScoreBook(database, 1, Counts(), lambda asked, wanted: asked == 2, end)
    monkeypatch.setattr(score_book, "SECONDS", 1e9)
    with pytest.raises(KeyboardInterrupt):
        made.ask([A, B, C])
    assert database.scores(1) == [(A, 0.1), (B, 0.2)]
