"""`OUT/`: settings, database and a folder for each job of a study."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from evospace.errors import DataError, UsageError
from evospace.reading import is_file, read_json
from evospace.runs.contents import LARGEST, environment
from evospace.runs.files import write_json, write_text
from evospace.runs.lock import LOCK, locked
from evospace.settings_file import changed_settings, load_settings
from evospace.study.database import StudyDatabase
from evospace.study.plan import plan_jobs
from evospace.study.settings import MOST, NOT_PART_OF_THE_RESULT, StudySettings, merged, numbers

WAIT = 1_000
"""Tries of a hundredth of a second: planning the jobs of a large study takes a third of one."""
_BEGUN = ("environment.json", "study.db", "study.db-journal")


def _of_ours(entry: Path) -> bool:
    """Whether it may lie in a folder whose study was ended before it began."""
    if entry.name == "jobs":
        return not any(entry.iterdir())
    return entry.name in _BEGUN or entry.name.startswith((".environment.json.", ".study.yaml."))


def _require_size(path: Path, old: StudySettings, new: StudySettings) -> None:
    """Raise `UsageError` for an ablation of another size than that in `path`: its differences are of one size."""
    was, asked = (max(numbers("operations", settings.operations, MOST)) for settings in (old, new))
    if new.kind == "ablation" and was != asked:
        text = f"{path} holds an ablation of {was} operations per block, not of {asked}"
        raise UsageError(f"{text}; use those, or another --out")


@dataclass(frozen=True)
class StudyDirectory:
    """Paths and the rules for opening them."""

    path: Path

    @property
    def database(self) -> StudyDatabase:
        """What every finished job came to."""
        return StudyDatabase(self.path / "study.db")

    @property
    def jobs(self) -> Path:
        """Of a folder for each job."""
        return self.path / "jobs"

    def job(self, key: str) -> Path:
        """The folder of one job."""
        return self.jobs / key

    def settings(self) -> StudySettings | None:
        """What the study was begun with, and was given since, but for what is of one call; `None` where none is yet."""
        stored = self.path / "study.yaml"
        if not is_file(stored):
            return None
        return replace(load_settings(StudySettings, stored, str(stored), begun=True), minutes=0.0, debug=False)

    def require(self) -> StudySettings:
        """As `settings`; raises `UsageError` where the folder holds no study."""
        settings = self.settings()
        if settings is None:
            raise UsageError(f"{self.path}: holds no study; give the folder that `evospace study space-size` wrote")
        return settings

    def contents(self) -> dict[str, str]:
        """The images part by part, as the study was begun with; empty for one from before they were stored."""
        path = self.path / "environment.json"
        try:
            return dict(read_json(path, LARGEST).get("contents", {}))
        except (OSError, ValueError, AttributeError, TypeError) as error:
            raise DataError(f"{path}: missing or damaged ({error}); choose another --out") from error

    def open(self, settings: StudySettings, contents: Mapping[str, str]) -> None:
        """Create the folder, or check that it is the same study, which may be given more to do.

        `contents`: the images, for a study that is begun.

        Raises `UsageError` for a folder of something else, for changed settings, which are listed, and for more to do
        that does not go with what there is.
        """
        old = self.settings()
        if old is None:
            self._create(settings, contents)
            return
        if old.kind != settings.kind:
            raise UsageError(f"{self.path} holds a study of {old.kind}, not of {settings.kind}; choose another --out")
        changed = changed_settings(StudySettings, old.to_dict(), settings.to_dict(), NOT_PART_OF_THE_RESULT)
        if changed:
            raise UsageError(
                f"{self.path} was begun with other settings ({'; '.join(changed)}); use those, or another --out"
            )
        _require_size(self.path, old, settings)
        with locked(self.path / LOCK, tries=WAIT) as ours:
            if not ours:
                raise UsageError(f"{self.path}: other commands keep giving it more to do; give this one again")
            whole = merged(self.require(), settings)
            plan_jobs(whole)  # what both ask for together may be more than either: it has to go on, too
            self.database.create()
            self._write(whole)

    def _create(self, settings: StudySettings, contents: Mapping[str, str]) -> None:
        try:
            if self.path.exists() and any(not _of_ours(entry) for entry in self.path.iterdir()):
                raise UsageError(f"{self.path} is not empty and holds no study; choose another --out")
            self.jobs.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"--out {self.path}: cannot be used ({error.strerror}); choose another") from error
        write_json(self.path / "environment.json", environment(settings.threads) | {"contents": dict(contents)})
        self.database.create()
        self._write(settings)  # last: now it is a study

    def _write(self, settings: StudySettings) -> None:
        write_text(self.path / "study.yaml", yaml.safe_dump(settings.to_dict(), sort_keys=False))


def drop_large(folder: Path) -> None:
    """Remove the weights and curves of a finished job; database, fronts, settings and evaluations stay."""
    for path in list(folder.rglob("*.safetensors")):
        path.unlink(missing_ok=True)
    for path in list(folder.rglob("tensorboard")):
        shutil.rmtree(path, ignore_errors=True)
    (folder / "run/run-previous.db").unlink(missing_ok=True)
