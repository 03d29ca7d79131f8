"""EvoSpace: neural architecture search in spaces too large to search."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from evospace.config import SearchConfig
    from evospace.ops.kinds import operation
    from evospace.ops.spec import BlockShape, OpSpec
    from evospace.result import FrontMember, SearchResult
    from evospace.search_command import search

_WHERE = {
    "search": "evospace.search_command",
    "SearchResult": "evospace.result",
    "FrontMember": "evospace.result",
    "SearchConfig": "evospace.config",
    "operation": "evospace.ops.kinds",
    "OpSpec": "evospace.ops.spec",
    "BlockShape": "evospace.ops.spec",
}

__all__ = ["BlockShape", "FrontMember", "OpSpec", "SearchConfig", "SearchResult", "operation", "search"]


def __getattr__(name: str) -> Any:
    """Import public names when they are first used, so that `evospace --help` does not load torch."""
    if name in _WHERE:
        value = getattr(import_module(_WHERE[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'evospace' has no attribute {name!r}")
