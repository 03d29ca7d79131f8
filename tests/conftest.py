"""No test depends on the clock: a busy machine must not fail a property."""

import signal

import pytest
from hypothesis import settings

from evospace import experiment
from tests.interruptions import FORECAST

# A shell ignores Ctrl-C for what it starts with `&`, and every process below inherits that.
signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("evospace", deadline=None)
settings.load_profile("evospace")


@pytest.fixture(autouse=True)
def no_timed_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search's forecast is a fixed one, which saves seconds; tests/test_forecast.py puts the real one back."""
    monkeypatch.setattr(experiment, "forecast", lambda *args, **kwargs: FORECAST)
