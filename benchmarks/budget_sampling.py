"""Times 2000 distinct architectures of 300M +/- 1M MACs: 22 blocks, 5 operations of mobile27 in each.

Run as ``python benchmarks/budget_sampling.py [--operations 72] [--json]``; more than 27 operations come from grouped72.
The time is the median of three, with the set-up of the dynamic programme and without the counting of the cost table.
"""

import argparse
import json
import math
import statistics
import time

from evospace.cost.budget import Budget
from evospace.cost.network_cost import cost_tables
from evospace.cost.table import CostTable
from evospace.ops.pools import POOLS
from evospace.sampling.budget import WindowSampler
from evospace.sampling.gates import initial_probabilities
from evospace.seeding import numpy_generator
from evospace.space.search_space import SearchSpace
from evospace.space.skeleton import make_skeleton

WINDOW = Budget(metric="macs", low=299_000_000, high=301_000_000)
DISTINCT = 2000
OPERATIONS = 5


def setting(seed: int, operations: int) -> tuple[SearchSpace, CostTable]:
    skeleton = make_skeleton("mobile", image_size=224, image_channels=3)
    names = [spec.name for spec in POOLS["mobile27" if operations <= 27 else "grouped72"]]
    rng = numpy_generator(seed, "benchmark-candidates")
    full = SearchSpace.over(skeleton.blocks(), names)
    space = full.with_candidates(rng.permutation(names)[:operations].tolist() for _ in full.candidates)
    return space, cost_tables(skeleton, space, classes=1000)["macs"]


def measure(space: SearchSpace, table: CostTable, seed: int) -> dict[str, float]:
    start = time.perf_counter()
    sampler = WindowSampler(space, table, WINDOW, initial_probabilities(space))
    drawn = sampler.draw_distinct(DISTINCT, numpy_generator(seed, "benchmark-draws"))
    seconds = time.perf_counter() - start
    return {
        "distinct": len(set(drawn)),
        "outside": sum(table.cost(a) not in WINDOW or a not in space for a in drawn),
        "seconds": seconds,
        "rejection_acceptance": math.exp(sampler.log_mass),
        "log10_acceptance": sampler.log_mass / math.log(10),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--operations", type=int, default=OPERATIONS, help="active operations per block, up to 72")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    space, table = setting(args.seed, args.operations)
    runs = [measure(space, table, args.seed) for _ in range(3)]
    result = runs[0] | {"seconds": statistics.median(run["seconds"] for run in runs)}
    for name, value in result.items():
        print(f"{name:<22}{value:>14.6g}")
    if args.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
