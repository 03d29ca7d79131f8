import pytest

from evospace.errors import (
    BudgetError,
    CollapseError,
    DataError,
    EvospaceError,
    UsageError,
    printable,
    reason,
    unknown_name,
)


@pytest.mark.parametrize(
    ("error", "code"),
    [(EvospaceError, 1), (UsageError, 2), (BudgetError, 3), (DataError, 4), (CollapseError, 1)],
)
def test_exit_codes(error: type[EvospaceError], code: int) -> None:
    assert error.exit_code == code
    assert issubclass(error, EvospaceError)


def test_an_unknown_name_gets_near_matches_first() -> None:
    error = unknown_name("pool", "mobile72", ["latency19", "mobile27", "grouped72"])
    assert str(error) == "unknown pool 'mobile72'; did you mean mobile27?"


def test_an_unknown_name_without_near_matches_gets_all_of_them() -> None:
    assert str(unknown_name("pool", "zzz", ["b", "a"])) == "unknown pool 'zzz'; known: a, b"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain caf\N{LATIN SMALL LETTER E WITH ACUTE} \N{HIRAGANA LETTER A}", None),
        ("a\nb\tc\x1b[31m\x7f\x85", "a\\nb\\tc\\x1b[31m\\x7f\\x85"),
        ("\udcff", "\\udcff"),
        ("\u2028\u202e", "\\u2028\\u202e"),
        ("\N{ZERO WIDTH JOINER}", None),
    ],
)
def test_what_cannot_be_shown_is_escaped(text: str, shown: str | None) -> None:
    assert printable(text) == (shown or text)
    assert printable(printable(text)) == printable(text)


def test_a_reason_is_one_line_without_the_files_name() -> None:
    assert reason(FileNotFoundError(2, "No such file", "/secret")) == "No such file"
    assert reason(ValueError("two\nlines")) == "two lines"
    assert reason(KeyError()) == "KeyError"
