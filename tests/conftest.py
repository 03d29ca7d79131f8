"""No test depends on the clock: a busy machine must not fail a property."""

from hypothesis import settings

settings.register_profile("evospace", deadline=None)
settings.load_profile("evospace")
