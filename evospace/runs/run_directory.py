"""`runs/<name>/`: config, environment, database, checkpoints, front and pictures of one search."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from evospace.config import NOT_PART_OF_THE_RESULT, SearchConfig
from evospace.errors import DataError, UsageError
from evospace.reading import is_there, read_json
from evospace.runs.contents import compare_contents, environment, place_of, read_contents, require_contents
from evospace.runs.database import RunDatabase
from evospace.runs.files import replace_file, write_json
from evospace.runs.front import Front, read_front
from evospace.runs.lock import LOCK, claimed
from evospace.runs.sqlite_file import is_out_of_reach
from evospace.runs.stored_settings import read_config, store_settings
from evospace.settings_file import changed_settings


@dataclass(frozen=True)
class RunDirectory:
    """Paths and the rules for opening them."""

    path: Path

    @property
    def database(self) -> RunDatabase:
        """Rounds, ledger, evaluations."""
        return RunDatabase(self.path / "run.db")

    @property
    def begun(self) -> bool:
        """Whether it holds a run."""
        return is_there(self.path / "config.yaml")

    @property
    def front(self) -> Path:
        """The self-contained result."""
        return self.path / "front.json"

    @property
    def plan_file(self) -> Path:
        """What the search was estimated to cost before it began."""
        return self.path / "plan.json"

    def plan(self) -> dict[str, Any] | None:
        """The estimate; `None` where there is none, or a damaged one."""
        try:
            plan = read_json(self.plan_file, 1 << 20)
        except (OSError, ValueError):
            return None
        numbers = ("first_round", "rounds", "train_seconds", "score_seconds")
        whole = isinstance(plan, dict) and all(type(plan.get(n)) in (int, float) for n in numbers)
        return plan if whole and plan["rounds"] >= 1 else None

    def checkpoint(self, round: int) -> Path:
        """The supernet's weights at the end of a round."""
        return self.path / "checkpoints" / f"round-{round:02d}.safetensors"

    def member(self, round: int, index: int) -> Path:
        """The supernet's weights of one architecture of a round's front, BatchNorm calibrated for it."""
        return self.path / "front" / f"round-{round:02d}-{index}.safetensors"

    def contents(self) -> list[Path]:
        """What a user finds here."""
        names = ("front.json", "fronts.png", "space.png", "run.db", "front", "checkpoints", "tensorboard")
        return [path for name in names if (path := self.path / name).exists()]

    def open(self, config: SearchConfig, contents: Mapping[str, str]) -> None:
        """Create the directory, or check that a resumed run is the same search on the same data.

        `contents` says what the data and the user's operations are, by part. Raises `UsageError` for a directory in
        use without --resume, one that cannot be made or for changed settings, and `DataError` for changed contents;
        both list what differs.
        """
        try:
            self._open(config, contents)
        except OSError as error:
            raise UsageError(
                f"--out {self.path}: cannot be used as a run directory ({error.strerror}); choose another"
            ) from error

    def _open(self, config: SearchConfig, contents: Mapping[str, str]) -> None:
        if self.begun:
            if not config.resume:
                raise UsageError(
                    f"{self.path} is in use already; add --resume if the same command began it, or choose another --out"
                )
            self.check_settings(config)
            require_contents(self.path, contents)
            self._make_folders()
            return
        if self.path.exists() and any(not _of_ours(entry) for entry in self.path.iterdir()) and not self.begun:
            raise UsageError(f"{self.path} is not empty and holds no run; choose another --out")
        self._make_folders()
        with self._held():
            if self.begun:  # by another process, since we looked
                raise UsageError(
                    f"{self.path} is in use already; add --resume if the same command began it, or choose another --out"
                )
            self.database.create()
            seen = {"contents": dict(contents), "place": place_of(config.data)}
            write_json(self.path / "environment.json", environment(torch.get_num_threads()) | seen)
            store_settings(self.path, config.to_dict())  # last: now it is a run

    def _make_folders(self) -> None:
        for folder in _FOLDERS:
            (self.path / folder).mkdir(parents=True, exist_ok=True)

    @contextmanager
    def _held(self) -> Iterator[None]:
        with claimed(self.path) as ours:
            if not ours:
                raise UsageError(f"{self.path} is being searched by another process; wait for it, or end it")
            yield

    @contextmanager
    def alone(self, config: SearchConfig) -> Iterator[None]:
        """Hold the run, which `config` goes on with, and keep its settings: the directory alone goes on with them.

        Raises `UsageError` where another process holds it.
        """
        with self._held():
            store_settings(self.path, config.to_dict())
            yield

    def check_settings(self, config: SearchConfig) -> None:
        """Raise `UsageError`, listing what differs, where the run was begun with other settings."""
        changed = changed_settings(SearchConfig, read_config(self.path), config.to_dict(), NOT_PART_OF_THE_RESULT)
        if changed:
            raise UsageError(
                f"{self.path} was begun with other settings ({'; '.join(changed)}); use those, or another --out"
            )

    def check_contents(self, contents: Mapping[str, str], *, operations: bool, but: Sequence[str] = ()) -> None:
        """Raise `DataError`, listing what differs, where the run was begun with other operations, or on other data."""
        old, new = (
            {key: text for key, text in parts.items() if key.startswith("operation ") == operations and key not in but}
            for parts in (read_contents(self.path), contents)
        )
        compare_contents(self.path, old, new)

    def recover_database(self) -> str:
        """Check the database; put a damaged one aside and its last copy in its place. Returns what was done, if so.

        Raises `DataError` where the copy is damaged too, and where the database cannot be looked at.
        """
        database = self.database
        try:
            database.check()
            return ""
        except DataError as error:
            if is_out_of_reach(error):
                raise
            try:
                RunDatabase(database.previous).check()
            except DataError as other:
                raise DataError(f"{error}; nor is its copy of use: {other}; choose another --out") from error
            aside = self.path / "run-damaged.db"
            for suffix in ("", "-journal"):  # SQLite would apply a journal left behind to the copy
                if (damaged := self.path / f"run.db{suffix}").exists():
                    damaged.replace(f"{aside}{suffix}")
            replace_file(self.path / "run.db", lambda temporary: shutil.copyfile(database.previous, temporary))
            return f"warning: {error}; it is kept as {aside}, and {database.previous} is used in its place"

    def finished_front(self, max_rounds: int) -> Front | None:
        """The front of a run whose rounds are all done and published; `None` while there is something to do.

        `max_rounds` may end it earlier than planned, 0 does not.
        """
        if not self.front.exists() or not (self.path / "run.db").exists():
            return None
        try:
            states, front = self.database.states(), read_front(self.front)
        except DataError:  # something to mend, then
            return None
        done = bool(states) and states[-1].round >= states[-1].last(max_rounds) and states[-1].front == front.members
        unmeasured = bool(front.latency_of) and front.measured is None
        return front if done and not unmeasured else None


_FOLDERS = ("checkpoints", "front", "tensorboard")
_FILES = (LOCK, "environment.json", "run.db", "run.db-journal", "run-previous.db")


def _of_ours(entry: Path) -> bool:
    """Whether it may lie in a directory whose run was ended before it began."""
    if entry.name in _FOLDERS:
        return not any(entry.iterdir())
    return entry.name in _FILES or entry.name.startswith((".environment.json.", ".config.yaml.", ".run-previous.db."))
