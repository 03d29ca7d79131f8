"""Which operations a pool's text names: `mobile27,modern:kernel<=5:kind!=involution`. No torch here."""

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from evospace.errors import UsageError, unknown_name
from evospace.ops.spec import OpSpec

Condition = Callable[[OpSpec], bool]

SETTINGS = ("kind", "kernel", "expansion", "dilation", "se")
COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
    "==": operator.eq,
    "=": operator.eq,
    "!=": operator.ne,
}
_CONDITION = re.compile(r"\s*(?P<setting>\w*)\s*(?P<sign>[<>=!~]*)\s*(?P<value>[^<>=!~]*?)\s*")
_TRUTH = {"true": True, "false": False}


def parse_pools(text: str, pools: Mapping[str, tuple[OpSpec, ...]]) -> tuple[OpSpec, ...]:
    """The operations that a comma-separated list of pools names, each once and at its first position.

    An entry is a pool's name, then any number of conditions that all have to hold, each after a colon:
    a setting (kind, kernel, expansion, dilation, se), an operator (<=, >=, <, >, =, ==, !=) and a value. An
    operation without the setting does not match. Raises `UsageError` for anything else, or where nothing is left.
    """
    kinds = {spec.kind for specs in pools.values() for spec in specs}
    chosen = [spec for entry in text.split(",") for spec in _entry(entry.strip(), text, pools, kinds)]
    return tuple(dict.fromkeys(chosen))


def _entry(entry: str, text: str, pools: Mapping[str, tuple[OpSpec, ...]], kinds: Iterable[str]) -> tuple[OpSpec, ...]:
    if not entry:
        raise UsageError(f"pool {text!r}: an entry is empty; write pools with a comma between, e.g. mobile27,modern")
    name, *conditions = (part.strip() for part in entry.split(":"))
    if name not in pools:
        raise unknown_name("pool", name, pools)
    tests = [_condition(condition, entry, kinds) for condition in conditions]
    kept = tuple(spec for spec in pools[name] if all(test(spec) for test in tests))
    if not kept:
        raise UsageError(f"pool {entry!r}: no operation of {name} matches; see evospace pools {name}")
    return kept


def _condition(text: str, entry: str, kinds: Iterable[str]) -> Condition:
    match = _CONDITION.fullmatch(text)
    if match is None or not match["setting"] or not match["sign"]:
        raise UsageError(f"pool {entry!r}: {text!r} is no condition; write e.g. kernel<=5 or kind!=involution")
    setting, sign = match["setting"], match["sign"]
    if setting not in SETTINGS:
        raise unknown_name(f"setting in pool {entry!r}:", setting, SETTINGS)
    signs = ("=", "==", "!=") if setting in ("kind", "se") else tuple(COMPARE)
    if sign not in signs:
        raise UsageError(f"pool {entry!r}: {setting} takes {', '.join(signs)}, not {sign!r}")
    wanted, compare = _value(setting, match["value"], entry, kinds), COMPARE[sign]

    def holds(spec: OpSpec) -> bool:
        value = getattr(spec, setting)
        return value is not None and compare(value, wanted)

    return holds


def _value(setting: str, text: str, entry: str, kinds: Iterable[str]) -> str | int | bool:
    if setting == "kind":
        if text not in kinds:
            raise unknown_name(f"kind in pool {entry!r}:", text, kinds)
        return text
    if setting == "se":
        if text not in _TRUTH:
            raise UsageError(f"pool {entry!r}: se is true or false, not {text!r}")
        return _TRUTH[text]
    if not re.fullmatch("[0-9]{1,9}", text):
        raise UsageError(f"pool {entry!r}: {setting} is compared with a whole number, not {text!r}")
    return int(text)
