"""From a search's settings to its problem: the space, its costs, the budget."""

from dataclasses import replace

from evospace.config import SearchConfig, parse_window
from evospace.cost.budget import parse_budget
from evospace.cost.latency_table import LatencyTable
from evospace.cost.network_cost import cost_tables
from evospace.errors import UsageError
from evospace.ops.pools import pool_names
from evospace.sampling.limits import within_reach
from evospace.settings_file import flag
from evospace.space.search_space import Branches, SearchSpace
from evospace.space.skeleton import Skeleton
from evospace.strategies.contract import Problem
from evospace.strategies.queues import first_active, reach, require_limits, require_reachable, shuffled
from evospace.strategies.strategy import STRATEGIES


def make_problem(
    config: SearchConfig,
    skeleton: Skeleton,
    kinds: tuple[str, ...],
    classes: int,
    latency: LatencyTable | None = None,
) -> Problem:
    """The full space over the pool, its budget and its cost tables.

    Raises `DataError` where the latency table is for other networks or lacks an operation.
    """
    names = pool_names(config.pool, kinds, se=config.se)
    full = SearchSpace.over(skeleton.blocks(), names, branches_of(config), config.initial_gates)
    tables = cost_tables(skeleton, full, classes)
    if latency:
        latency.require(skeleton, classes)
        tables["latency"] = latency.cost_table(full)
    budget, limits = parse_budget(config.budget)
    problem = Problem(full=full, tables=tables, budget=budget, classes=classes, limits=limits)
    return replace(problem, full=part_of(problem, config)) if config.operations else problem


def branches_of(config: SearchConfig) -> Branches:
    """What the search's blocks may choose; raises `UsageError` where its strategy is not defined for that."""
    allowed = STRATEGIES[config.strategy].branches
    branches = allowed[0] if config.branches == "auto" else config.branches
    if branches not in allowed:
        raise UsageError(
            f"--branches {branches}: --strategy {config.strategy} is defined for {', '.join(allowed)} branches; leave"
            " the flag out"
        )
    return branches


def check_strategy(config: SearchConfig) -> None:
    """Raise `UsageError` for a strategy that is not known, or a setting that it does not read."""
    strategy = STRATEGIES[config.strategy]
    default = SearchConfig()
    for name in sorted(set[str]().union(*(s.honours for s in STRATEGIES.values())) - strategy.honours):
        if getattr(config, name) != getattr(default, name):
            readers = ", ".join(known for known, s in STRATEGIES.items() if name in s.honours)
            raise UsageError(
                f"{flag(name)} has no effect with --strategy {config.strategy}; leave it out (it belongs to {readers})"
            )
    if strategy.rule(config) is None and (config.train_gates, config.gates_window) != (
        default.train_gates,
        default.gates_window,
    ):
        raise UsageError("--train-gates and --gates-window have no effect where no supernet is trained; leave them out")
    if config.fitness_pairs != default.fitness_pairs and strategy.rule(config) != "nse":
        raise UsageError("--fitness-pairs has no effect with --shrink-by angle, which learns no fitness; leave it out")
    if config.train_gates == "fitness" and strategy.rule(config) == "uniform":
        raise UsageError(f"--train-gates fitness: --strategy {config.strategy} learns none; give in-budget or uniform")


def require_possible(problem: Problem) -> None:
    """Raise `BudgetError` where no architecture of the full space is in the budget, or none there keeps a limit."""
    require_reachable(problem.full, problem.table, problem.budget)
    require_limits(problem.full, problem.table, problem.budget, problem.upper)


def check_window(config: SearchConfig) -> None:
    """Raise `UsageError` for a --gates-window that nothing reads; runs that were begun with one go on."""
    rule = STRATEGIES[config.strategy].rule(config)
    read = config.train_gates == "in-budget" or (rule == "nse" and config.fitness_pairs == "in-budget")
    if not read and parse_window(config.gates_window) != parse_window(SearchConfig().gates_window):
        other = " and --fitness-pairs unconditional" if rule == "nse" else ""
        raise UsageError(f"--gates-window has no effect with --train-gates {config.train_gates}{other}; leave it out")


def part_of(problem: Problem, config: SearchConfig) -> SearchSpace:
    """The first `operations` of every block's shuffled pool, made to reach the budget.

    With one operation per block, where that can reach it at all: the part is the same for every strategy.
    """
    full, count = problem.full, config.operations
    if count > len(full.candidates[0]):
        raise UsageError(
            f"--operations {count}: the pool has {len(full.candidates[0])}; give at most that, or 0 for all"
        )
    require_possible(problem)
    order = shuffled(full.candidates, config.seed)
    single = replace(full, branches="single")
    reached = single if within_reach(single, problem.table, problem.budget, problem.upper) else full
    queues, _ = reach(first_active(order, count), reached, problem.table, problem.budget, problem.upper)
    chosen = map(set[str], queues.active())
    return full.with_candidates(
        [n for n in names if n in kept] for names, kept in zip(full.candidates, chosen, strict=True)
    )
