"""`evospace plan`: everything a search tells before it begins, and nothing more."""

from dataclasses import asdict
from typing import Any

import torch

from evospace.config import SearchConfig
from evospace.devices import rng_devices
from evospace.errors import BudgetError, CollapseError
from evospace.experiment import prepare
from evospace.report.plan_lines import forecast_lines


def plan(config: SearchConfig) -> tuple[list[str], dict[str, Any]]:
    """Lines for a person and an object for a program; a few steps are timed, nothing is trained or written.

    Where no time can be told, `no_forecast` says why. Raises what `evospace.experiment.prepare` does, so `BudgetError`
    where no architecture fits the budget.
    """
    experiment = prepare(config)
    state = experiment.first_state()
    lines = list(experiment.announcement(state))
    told = {"budget": str(experiment.problem.budget), **asdict(experiment.report)}
    if experiment.rule is None:
        return [*lines, f"time     not told: --strategy {config.strategy} trains no supernet"], told
    experiment.strategy.check(experiment.problem, experiment.config, state)
    rounds = state.last(config.max_rounds)
    with torch.random.fork_rng(devices=rng_devices(experiment.device)):
        try:
            found = experiment.forecast(state, rounds)
        except (BudgetError, CollapseError) as error:  # later rounds are guessed; the search goes on without
            return [*lines, f"warning: no forecast: {error}"], told | {"no_forecast": str(error)}
    return [*lines, *forecast_lines(found)], told | found.to_json()
