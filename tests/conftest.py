"""No test depends on the clock: a busy machine must not fail a property."""

import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

from evospace import experiment
from tests.interruptions import FORECAST, without_pictures

# A shell ignores Ctrl-C for what it starts with `&`, and every process below inherits that.
signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("evospace", deadline=None)
settings.load_profile("evospace")


@pytest.fixture(autouse=True)
def no_timed_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search's forecast is a fixed one, which saves seconds; tests/test_forecast.py puts the real one back."""
    monkeypatch.setattr(experiment, "forecast", lambda *args, **kwargs: FORECAST)


@pytest.fixture(autouse=True, scope="session")
def nothing_is_drawn() -> Iterator[None]:
    """Pictures take longer than these searches; tests/test_cli.py draws them, tests/report/test_figures.py too."""
    with pytest.MonkeyPatch.context() as patch:
        without_pictures(patch)
        yield
