from typing import Any

import pytest
import torch
from torch import nn

from evospace.training.optimisers import forget, sgd, warmup_cosine


def test_learning_rate_by_hand() -> None:
    rates = [warmup_cosine(s, steps=12, warmup=2, peak=0.4) for s in range(13)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[1] == pytest.approx(0.25)
    assert rates[2] == pytest.approx(0.4)
    assert rates[7] == pytest.approx(0.2)
    assert rates[12] == pytest.approx(0.0)


def test_a_fused_step_equals_the_plain_one_and_unused_parameters_do_not_move() -> None:
    used, unused = nn.Linear(3, 2), nn.Linear(3, 2)
    plain = nn.Linear(3, 2)
    plain.load_state_dict(used.state_dict())
    before = unused.weight.detach().clone()
    fused = sgd(nn.ModuleList([used, unused]), lr=0.1)
    groups: list[dict[str, Any]] = [{"params": [plain.weight], "weight_decay": 4e-5}, {"params": [plain.bias]}]
    reference = torch.optim.SGD(
        groups,
        lr=0.1,
        momentum=0.9,
        nesterov=True,
        foreach=False,
    )
    for seed in range(3):
        images = torch.randn(4, 3, generator=torch.Generator().manual_seed(seed))
        for module, optimiser in ((used, fused), (plain, reference)):
            optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(module(images).square().sum())
            optimiser.step()
    torch.testing.assert_close(used.weight, plain.weight)
    torch.testing.assert_close(used.bias, plain.bias)
    assert torch.equal(unused.weight, before)


def test_forgotten_parameters_leave_groups_and_state() -> None:
    first, second = nn.Linear(2, 2), nn.Linear(2, 2)
    optimiser = sgd(nn.ModuleList([first, second]), lr=0.1)
    forget(optimiser, list(second.parameters()))
    assert {id(p) for g in optimiser.param_groups for p in g["params"]} == {id(p) for p in first.parameters()}
    assert not any(p in optimiser.state for p in second.parameters())
