"""Everything that a run directory holds for its page. Only read, never run: no operation of a user is imported."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evospace.cost.budget import Budget, parse_budget
from evospace.errors import DataError, UsageError
from evospace.estimation.evaluation import Evaluation
from evospace.reading import read_json, read_text
from evospace.report.page.ranking import Ranking, read_ranking
from evospace.report.page.retrained import Retrained, read_retrained
from evospace.report.page.traces import Curve, read_curves
from evospace.runs.contents import LARGEST
from evospace.runs.run_directory import RunDirectory
from evospace.runs.stored_settings import read_config, search_again
from evospace.strategies.contract import SearchState
from evospace.strategies.ledger import LedgerRow, pairs_of


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What the page tells."""

    name: str
    config: Mapping[str, Any]
    budget: Budget
    limits: Mapping[str, int]
    states: tuple[SearchState, ...]
    """After each finished round; at least one."""
    summaries: tuple[dict[str, Any], ...]
    ledger: tuple[LedgerRow, ...]
    plan: dict[str, Any] | None
    environment: dict[str, Any]
    published: dict[str, Any]
    """`front.json` where it is there and is that of the last round; empty otherwise."""
    measured: tuple[float | None, ...] = ()
    """Milliseconds of each network of the front measured end to end; empty where they were not."""
    scored: int
    """Networks, over all rounds."""
    curves: Mapping[str, Curve]
    retrained: tuple[Retrained, ...]
    ranking: Ranking | None = None
    """Where it was measured."""
    extended_from: str = ""
    """The run that it went on from, and after which round; empty for none."""
    extended_by: str = ""
    """The command; empty where the run's version did not store it."""
    notes: tuple[str, ...] = ()
    """What could not be read, and was passed over."""

    @property
    def front(self) -> tuple[Evaluation, ...]:
        """The last round's."""
        return self.states[-1].front

    @property
    def retrained_as_searched(self) -> tuple[Retrained, ...]:
        """Those tested on the data of the search; all where there are none."""
        name = str(self.config.get("data", ""))
        own = tuple(r for r in self.retrained if r.data in (name, Path(name).name) and not r.elsewhere)
        return own or self.retrained

    @property
    def alone(self) -> bool:
        """Whether each network was trained on its own to be scored: there was no supernet."""
        strategy, score_by = (str(self.config.get(name, "")) for name in ("strategy", "score_by"))
        return strategy == "random-draw" or score_by == "training"

    @property
    def learned(self) -> bool:
        """Whether a fitness of the operations was."""
        return any(row.fitness for row in self.ledger)

    @property
    def pairs(self) -> set[tuple[int, str]]:
        """(block, operation) of everything that the run's space holds: `--operations` leaves out part of the pool."""
        return pairs_of(self.ledger, self.states[-1].waiting, self.states[-1].inherited)

    @property
    def carries_weights(self) -> bool:
        """Whether a round goes on with the shared weights of the one before."""
        strategy, weights = (str(self.config.get(name, "")) for name in ("strategy", "weights"))
        return strategy == "shrinking" or (strategy == "nse" and weights != "fresh")

    @property
    def rounds(self) -> int:
        """So many were wanted."""
        return self.states[-1].last(int(self.config.get("max_rounds") or 0))


def gather(path: Path) -> RunFacts:
    """Read a run directory.

    Raises `UsageError` where `path` holds no run, and `DataError` where its database is damaged or holds no round yet.
    What is only told beside it (pictures of training, retrained networks) is noted and passed over where damaged.
    """
    config = read_config(path)
    run = RunDirectory(path)
    run.database.check()
    states = tuple(run.database.states())
    if not states:
        again = search_again(path)
        raise UsageError(f"{path}: the search has no finished round yet; go on with it first: {again}")
    notes: list[str] = []
    extended_from, extended_by = _extended(path)
    published = _published(run, states[-1].front, notes)
    budget, limits = parse_budget(str(config.get("budget", "")))
    if any(getattr(e, budget.metric) is None for state in states for e in state.front):
        raise DataError(f"{path}: config.yaml gives the budget {budget}, but its networks have no {budget.metric}")
    return RunFacts(
        name=path.resolve().name,
        config=config,
        budget=budget,
        limits=limits,
        states=states,
        summaries=tuple(run.database.summaries()),
        ledger=tuple(run.database.ledger()),
        plan=run.plan(),
        environment=_environment(path, notes),
        published=published,
        scored=sum(len(run.database.evaluations(state.round)) for state in states),
        measured=_measured(published),
        curves=read_curves(path / "tensorboard", notes),
        retrained=read_retrained(path / "retrained", states[-1].front, notes),
        ranking=read_ranking(path / "ranking.json", notes),
        extended_from=extended_from,
        extended_by=extended_by,
        notes=tuple(notes),
    )


def _published(run: RunDirectory, front: tuple[Evaluation, ...], notes: list[str]) -> dict[str, Any]:
    try:
        data = read_json(run.front, LARGEST)
        stored = tuple(map(Evaluation.from_json, data["front"]))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, DataError):
        notes.append("front.json is damaged; the front shown here is the database's.")
        return {}
    if stored != front:
        notes.append("front.json is not that of the last round; the front shown here is the database's.")
        return {}
    return data if isinstance(data, dict) else {}


def _measured(published: Mapping[str, Any]) -> tuple[float | None, ...]:
    times = [entry.get("latency_measured_ms") for entry in published.get("front", [])]
    numbers = tuple(float(ms) if type(ms) in (int, float) else None for ms in times)
    return numbers if any(ms is not None for ms in numbers) else ()


def _environment(path: Path, notes: list[str]) -> dict[str, Any]:
    try:
        data = read_json(path / "environment.json", LARGEST)
    except (OSError, ValueError):
        data = None
    if not isinstance(data, dict):
        notes.append("environment.json is missing or damaged.")
        return {}
    return data


def _extended(path: Path) -> tuple[str, str]:
    try:
        origin, _, command = read_text(path / "extended-from.txt", 1 << 16).strip().partition("\n")
    except (OSError, ValueError):
        return "", ""
    return origin.strip(), command.strip()
