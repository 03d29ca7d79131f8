import pytest

from evospace.cost.budget import Budget, parse_budget
from evospace.cost.network_cost import count_network
from evospace.errors import BudgetError
from evospace.retraining.config import RetrainConfig
from evospace.retraining.fitting import STEP, adapted, fitting_width, widened
from evospace.space.architecture import Architecture
from evospace.space.described import DescribedNetwork
from evospace.space.skeleton import make_skeleton


def cost(described: DescribedNetwork) -> dict[str, int]:
    return count_network(described.skeleton, described.architecture, described.classes)


@pytest.fixture(scope="module")
def small() -> DescribedNetwork:
    """Seven blocks: a network is built for every width that is tried."""
    skeleton = make_skeleton(None, image_size=8, image_channels=1)
    blocks = [["mbconv_k3_e3"]] * len(skeleton.blocks())
    return DescribedNetwork(
        name="small", skeleton=skeleton, architecture=Architecture.of(blocks), class_names=("a", "b")
    )


@pytest.mark.parametrize("budget", ["macs=3M", "macs=20M", "params=1M"])
def test_the_width_is_the_largest_that_fits(small: DescribedNetwork, budget: str) -> None:
    window = parse_budget(budget)[0]
    width = fitting_width(small, window)
    assert cost(widened(small, width))[window.metric] in window
    assert cost(widened(small, width + STEP))[window.metric] > window.high


def test_a_window_between_two_widths_is_refused_with_the_nearest_costs(small: DescribedNetwork) -> None:
    now = cost(widened(small, 1.0))["macs"]
    with pytest.raises(BudgetError, match="lies between two widths"):
        fitting_width(small, Budget(metric="macs", low=now + 1, high=now + 2))


def test_a_budget_above_the_widest_is_refused_and_one_at_the_widest_is_met(
    small: DescribedNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evospace.retraining.fitting.WIDEST", 1.5)
    widest = cost(widened(small, 1.5))["macs"]
    assert fitting_width(small, Budget(metric="macs", low=widest, high=widest)) == 1.5
    with pytest.raises(BudgetError, match=r"at width 1\.5 the network costs .* only"):
        fitting_width(small, Budget(metric="macs", low=widest + 1, high=2 * widest))


def test_the_network_fits_the_images_and_flags(small: DescribedNetwork) -> None:
    changed = adapted(small, RetrainConfig(se=True, activation="swish", width=0.5), channels=3, size=40)
    assert changed.skeleton.image_channels == 3
    assert changed.skeleton.image_size == 40
    assert changed.skeleton.activation == "swish"
    assert all(name.endswith("_se") for block in changed.architecture.blocks for name in block)
    assert changed.skeleton.final_channels < small.skeleton.final_channels
    assert adapted(small, RetrainConfig(), channels=1, size=8) == small
