"""Paths and text files that nothing is trusted in: of any name; bounded in size and depth, plain values only."""

import json
import stat
from collections import Counter
from pathlib import Path
from typing import Any

import yaml


def is_folder(path: Path) -> bool:
    """Whether `path` is a folder; a name that the file system does not take, or closes, is none."""
    try:
        return path.is_dir()
    except OSError:
        return False


def is_file(path: Path) -> bool:
    """As `is_folder`, of a file."""
    try:
        return path.is_file()
    except OSError:
        return False


def is_there(path: Path) -> bool:
    """Whether there is anything at `path`; at a name that the file system does not take, or closes, is nothing."""
    try:
        return path.exists()
    except OSError:
        return False


def read_text(path: Path, limit: int) -> str:
    """The text of a regular file of at most `limit` bytes; raises `OSError` or `ValueError` for anything else.

    A FIFO, socket or device is refused before it can block or go on without end.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("it is not a regular file")
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"it is larger than {limit} bytes")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 text (byte {error.start})") from error


def read_json(path: Path, limit: int) -> Any:
    """Strict JSON: no key twice, no NaN; raises `OSError` or `ValueError`."""
    text = read_text(path, limit)
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (RecursionError, ValueError) as error:
        raise ValueError(_in_short(error)) from error


def _in_short(error: Exception) -> str:
    """Python's own words for two limits do not tell a user what is the matter."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return "a number has too many digits" if "set_int_max_str_digits" in str(error) else str(error)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        key, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise ValueError(f"{key!r:.80} stands there twice")
    return values


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number")


def read_yaml(path: Path, limit: int = 1 << 16) -> Any:
    """Plain YAML: no tags, no aliases, no key twice; raises `OSError` or `ValueError`."""
    text = read_text(path, limit)
    try:
        return yaml.load(text, Loader=_PlainLoader)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ValueError(f"{line}{error.problem}") from error
    except yaml.YAMLError as error:
        raise ValueError(str(error).splitlines()[0]) from error
    except (RecursionError, ValueError) as error:
        raise ValueError(_in_short(error)) from error


class _PlainLoader(yaml.SafeLoader):
    """A SafeLoader without aliases, through which a small file can ask for all of the memory, and without tags."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "aliases (*name) are not allowed; write the value out", mark)
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "tag", None) is not None:
            problem = f"tags ({event.tag!r:.60}) are not allowed; write the value alone"
            raise yaml.composer.ComposerError(None, None, problem, event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                problem = f"{key.value!r:.80} stands there twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)
