import pytest

from evospace.errors import UsageError
from evospace.registry import Registry


def test_entries_keep_their_order() -> None:
    registry: Registry[int] = Registry("number")
    registry.add("two", 2)
    registry.add("one", 1)
    assert dict(registry) == {"two": 2, "one": 1}
    assert list(registry) == ["two", "one"]
    assert len(registry) == 2
    assert "two" in registry
    assert "three" not in registry


def test_a_name_is_taken_once() -> None:
    registry: Registry[list[int]] = Registry("list")
    value = [1]
    registry.add("a", value)
    registry.add("a", value)
    with pytest.raises(UsageError, match="the list name 'a' is taken"):
        registry.add("a", [1])


def test_unknown_names_are_usage_errors() -> None:
    registry: Registry[int] = Registry("number")
    registry.add("seven", 7)
    with pytest.raises(UsageError, match="unknown number 'sevn'; did you mean seven"):
        registry["sevn"]
    with pytest.raises(UsageError):
        registry.remove("sevn")
    registry.remove("seven")
    assert not registry
