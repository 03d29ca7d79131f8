import pytest

from evospace.errors import BudgetError, CollapseError, DataError, EvospaceError, UsageError, unknown_name


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
