"""What needs an optional package is left out where it is missing."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("timm") else ["test_timm.py"]
