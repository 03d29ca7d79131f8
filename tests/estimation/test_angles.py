"""How far weights were turned: by hand on a supernet of two operations, and by a search that hardly trains."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

import evospace
from evospace.config import SearchConfig
from evospace.estimation.angles import turned
from evospace.runs.run_directory import RunDirectory
from evospace.space.search_space import SearchSpace
from evospace.space.skeleton import make_skeleton
from evospace.supernet.network import initialise
from evospace.supernet.supernet import SuperNet

SKELETON = make_skeleton(None, image_size=8, image_channels=1)
NAMES = ("mbconv_k3_e1", "conv_k3_e1")


def make(names: tuple[str, ...] = NAMES) -> SuperNet:
    supernet = SuperNet(SKELETON, SearchSpace.over(SKELETON.blocks(), names), 10)
    initialise(supernet, torch.Generator().manual_seed(0))
    return supernet


def test_products_of_the_weights_of_every_operation_and_of_what_all_share() -> None:
    before, after = make(), make(NAMES[1:])
    weights = before.state_dict()
    with torch.no_grad():
        for key, value in after.state_dict().items():
            value.copy_(weights[key] * (-2.0 if key.startswith("blocks.1.") else 3.0))
    found = turned(before, after)
    assert set(found) == {(-1, ""), *((b, NAMES[1]) for b in range(len(SKELETON.blocks())))}
    for (block, _), (dot, first, last) in found.items():
        assert first > 0
        assert dot == pytest.approx((-2.0 if block == 1 else 3.0) * first)
        assert last == pytest.approx((4.0 if block == 1 else 9.0) * first)
    shared = [key for key, value in weights.items() if value.ndim >= 2 and not key.startswith("blocks.")]
    assert found[-1, ""][1] == pytest.approx(sum(float(weights[key].double().square().sum()) for key in shared))


def test_angles_of_a_search_are_those_to_its_own_first_weights(tmp_path: Path) -> None:
    """A learning rate that moves nothing turns nothing."""
    settings: dict[str, Any] = {"data": "digits", "budget": "macs=0.3M", "operations": 6, "candidates": 5}
    quick: dict[str, Any] = {"epochs": 1, "samples": 4, "batch_size": 512, "calibration_batches": 1, "lr": 1e-6}
    evospace.search(SearchConfig(strategy="shrinking", **settings, **quick, out=str(tmp_path / "run")))
    rows = RunDirectory(tmp_path / "run").database.ledger()
    said = [found[1] for row in rows if (found := re.match(r"its angle (\S+) is", row.reason))]
    assert said
    assert max(map(float, said)) < 0.01
