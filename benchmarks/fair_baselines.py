"""The best member of a front beside hand-made and random networks of the same cost, all trained by one recipe.

Baselines, fitted in width or drawn to lie in the run's own budget of MACs:
- MobileNetV2-like: inverted bottlenecks of kernel 3 in every block (Sandler et al., 2018);
- MobileNetV3-like: kernels 3 and 5 in turn, squeeze-excite and swish (Howard et al., 2019);
  both with expansion 6, or 3 or 1 where no width of the larger fits the budget;
- random: architectures of the run's pool, drawn by the run's initial gates given the budget.
Everything is trained on training and held-out images and tested once for each seed; nothing is chosen by the test.
Run: python benchmarks/fair_baselines.py RUN --out DIR [--seeds 3] [--random 3] [--epochs 30] [-b 128] [--lr 0.1]
"""

import argparse
import json
import statistics
from dataclasses import replace
from pathlib import Path

import torch

from evospace.config import SearchConfig, load_config
from evospace.cost.budget import parse_budget
from evospace.cost.network_cost import cost_tables
from evospace.errors import BudgetError
from evospace.evaluation.command import evaluate
from evospace.evaluation.settings import EvaluateSettings
from evospace.networks import find_network
from evospace.ops.pools import pool_names
from evospace.ops.user import load_ops
from evospace.problem import branches_of
from evospace.retraining.command import retrain
from evospace.retraining.config import load_recipe
from evospace.retraining.fitting import fitting_width
from evospace.runs.network_file import save_description
from evospace.sampling.budget import WindowSampler
from evospace.sampling.gates import initial_probabilities
from evospace.seeding import numpy_generator
from evospace.space.architecture import Architecture
from evospace.space.described import DescribedNetwork
from evospace.space.search_space import SearchSpace


def main() -> None:
    """Train and test all, going on where an earlier call was ended; print a table and one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--random", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch-size", "-b", type=int, default=128)
    parser.add_argument("--lr", type=float, default=0.1)
    args = parser.parse_args()
    torch.set_num_threads(1)
    config = load_config(args.run / "config.yaml", begun=True)
    kinds = load_ops(config.ops)
    best = find_network(str(args.run)).described
    budget = config.budget.split(",")[0]
    networks = {"searched": (best, ""), **baselines(best, budget, config, kinds, args.random)}
    found = {}
    for name, (described, fit) in networks.items():
        folder = args.out / name
        description = args.out / "networks" / name / "network.json"
        description.parent.mkdir(parents=True, exist_ok=True)
        save_description(description, replace(described, name=name))
        recipe = replace(load_recipe("small-images"), epochs=args.epochs, batch_size=args.batch_size, lr=args.lr)
        retrain(
            replace(
                recipe,
                network=str(description),
                data_dir=config.data_dir,
                flip=recipe.flip and config.flip,
                ops=config.ops,
                seeds=args.seeds,
                fit_budget=fit,
                out=str(folder),
                resume=(folder / "config.yaml").exists(),
            )
        )
        settings = EvaluateSettings(checkpoint=str(folder), data_dir=config.data_dir, ops=config.ops)
        tested = [e for e in evaluate(settings)[0]["evaluations"] if e["weights"] == "ema"]
        found[name] = {"macs": tested[0]["macs"], "params": tested[0]["params"], "top1": [e["top1"] for e in tested]}
    for name, entry in found.items():
        values = [100 * value for value in entry["top1"]]
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        mean = f"{statistics.mean(values):.2f} % (standard deviation {spread:.2f})"
        print(f"{name:<18} {entry['macs']:>12,} MACs {entry['params']:>10,} parameters  {mean}")
    print(json.dumps(found))


def baselines(
    best: DescribedNetwork, budget: str, config: SearchConfig, kinds: tuple[str, ...], count: int
) -> dict[str, tuple[DescribedNetwork, str]]:
    """Networks for the images of `best`, and the budget that their width is to be fitted to (empty where it fits)."""
    swish = replace(best, skeleton=replace(best.skeleton, activation="swish"))
    made = {
        "mobilenetv2-like": (widest(best, "mbconv_k3_e{e}", "mbconv_k3_e{e}", budget), budget),
        "mobilenetv3-like": (widest(swish, "mbconv_k3_e{e}_se", "mbconv_k5_e{e}_se", budget), budget),
    }
    names = pool_names(config.pool, kinds, se=config.se)
    space = SearchSpace.over(best.skeleton.blocks(), names, branches_of(config), config.initial_gates)
    window = parse_budget(budget)[0]
    table = cost_tables(best.skeleton, space, best.classes)[window.metric]
    sampler = WindowSampler(space, table, window, initial_probabilities(space))
    drawn = sampler.draw_distinct(count, numpy_generator(config.seed, "baselines"))
    return made | {f"random-{i}": (replace(best, architecture=a), "") for i, a in enumerate(drawn)}


def widest(described: DescribedNetwork, even: str, odd: str, budget: str) -> DescribedNetwork:
    """Two operations in turn over the blocks, with the largest expansion of 6, 3 and 1 that some width can afford."""
    blocks = range(len(described.skeleton.blocks()))
    for expansion in (6, 3, 1):
        named = [[(odd if i % 2 else even).format(e=expansion)] for i in blocks]
        found = replace(described, architecture=Architecture.of(named))
        try:
            fitting_width(found, parse_budget(budget)[0])
            return found
        except BudgetError:
            continue
    raise BudgetError(f"{budget}: no width of a MobileNet-like network costs so little; give a larger budget")


if __name__ == "__main__":
    main()
