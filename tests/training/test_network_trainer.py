import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from evospace.data.splits import Augmentation, InMemorySplit
from evospace.errors import CollapseError, DataError, EvospaceError
from evospace.space.architecture import Architecture
from evospace.space.skeleton import make_skeleton
from evospace.supernet.network import Network, initialise
from evospace.training.network_trainer import NetworkState, NetworkTrainer, averaged
from evospace.training.recipe import Recipe

EVERYTHING = Recipe(
    epochs=3,
    batch_size=8,
    opt="adamw",
    lr=0.01,
    aa="trivial",
    reprob=0.3,
    mixup=0.4,
    cutmix=1.0,
    model_ema=True,
    drop_path=0.4,
    clip_grad=1.0,
    amp=True,
)


def small_network() -> Network:
    skeleton = make_skeleton(None, image_size=8, image_channels=1)
    network = Network(skeleton, Architecture.of([["mbconv_k3_e1"]] * len(skeleton.blocks())), 4)
    initialise(network, torch.Generator().manual_seed(0))
    return network


def images(count: int = 24) -> InMemorySplit:
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (count, 1, 8, 8), generator=generator, dtype=torch.uint8)
    crop = Augmentation(pad=1, flip=False)
    return InMemorySplit(pixels, torch.arange(count) % 4, mean=(0.5,), std=(0.3,), augmentation=crop)


def trainer(recipe: Recipe, **hooks: Any) -> NetworkTrainer:
    return NetworkTrainer(recipe=recipe, make=small_network, train=images(), classes=4, seed=5, **hooks)


def same(first: NetworkState, second: NetworkState) -> bool:
    (a, meta), (b, other) = first.copy(), second.copy()
    return meta == other and a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


class EndedError(EvospaceError):
    """Stands for any way in which a training ends between two steps."""


@pytest.mark.parametrize("recipe", [Recipe(epochs=3, batch_size=8), EVERYTHING], ids=["plain", "everything"])
@pytest.mark.parametrize("at", [1, 3, 4, 8])
def test_a_training_ended_after_any_step_goes_on_to_the_same_bits(recipe: Recipe, at: int) -> None:
    whole = trainer(recipe).run(trainer(recipe).start())
    stored: list[Any] = []

    def end(state: NetworkState) -> None:
        position = state.position
        if position.epoch * 3 + position.step == at:
            tensors, meta = state.copy()
            stored.append(({key: value.clone() for key, value in tensors.items()}, meta))
            raise EndedError

    with pytest.raises(EndedError):
        trainer(recipe, on_step=end).run(trainer(recipe).start())
    fresh = trainer(recipe).start()
    fresh.restore(*stored[0])
    assert same(trainer(recipe).run(fresh), whole)


def test_another_seed_gives_another_training() -> None:
    first = trainer(Recipe(epochs=1, batch_size=8))
    other = replace(first, seed=6)
    assert not same(first.run(first.start()), other.run(other.start()))


def test_a_checkpoint_of_another_recipe_is_refused() -> None:
    stored = trainer(EVERYTHING).start().copy()
    with pytest.raises(DataError, match="another network or recipe"):
        trainer(Recipe()).start().restore(*stored)


def test_the_average_follows_its_formula() -> None:
    network = nn.Linear(1, 1, bias=False)
    average = averaged(network, decay=0.3)
    values, expected = [1.0, 4.0, -2.0, 0.5, 7.0], 0.0
    for n, value in enumerate(values):
        nn.init.constant_(network.weight, value)
        average.update_parameters(network)
        decay = min(0.3, (1 + n) / (10 + n))
        expected = value if n == 0 else decay * expected + (1 - decay) * value
    assert float(average.module(torch.ones(1)).detach()) == pytest.approx(expected)


def test_the_average_is_updated_with_every_step() -> None:
    work = trainer(Recipe(epochs=1, batch_size=8, model_ema=True))
    state = work.run(work.start())
    assert state.average is not None
    assert int(state.average.n_averaged) == 3
    first = next(small_network().parameters())
    kept = next(state.average.module.parameters())
    assert not torch.equal(kept, first)
    assert not torch.equal(kept, next(state.network.parameters()))


def test_a_loss_that_is_not_finite_ends_the_training_with_advice() -> None:
    hot = trainer(Recipe(epochs=2, batch_size=8, lr=1e30, warmup_epochs=0))
    with pytest.raises(CollapseError, match="not finite; try a smaller --lr"):
        hot.run(hot.start())


def test_clipping_bounds_the_step() -> None:
    def moved(clip: float) -> float:
        recipe = Recipe(epochs=1, batch_size=24, clip_grad=clip, weight_decay=0.0, momentum=0.0, warmup_epochs=0)
        work = trainer(recipe)
        state = work.start()
        before = [p.detach().clone() for p in state.network.parameters()]
        work.run(state)
        after = [p.detach() for p in state.network.parameters()]
        return math.sqrt(sum(float((a - b).pow(2).sum()) for a, b in zip(after, before, strict=True)))

    assert moved(0.01) == pytest.approx(0.1 * 0.01, rel=1e-3)
    assert moved(0.0) > 0.01


def test_no_decay_on_norms_and_biases_with_either_optimiser() -> None:
    for opt in ("sgd", "adamw"):
        state = trainer(Recipe(opt=opt, weight_decay=0.5)).start()
        for group in state.optimiser.param_groups:
            assert {p.ndim > 1 for p in group["params"]} == {group["weight_decay"] == 0.5}


def test_the_position_tells_the_last_epoch() -> None:
    work = trainer(Recipe(epochs=2, batch_size=8))
    position = work.run(work.start()).position
    assert (position.epoch, position.step, position.seen) == (2, 0, 0)
    assert 0 < position.last_loss < 10
    assert 0 <= position.last_accuracy <= 1


def test_the_rate_rises_for_a_fifth_of_the_steps_at_most_and_falls_to_nothing() -> None:
    """Three steps an epoch; 20 epochs of warm-up would be all of them."""
    seen: list[float] = []
    recipe = Recipe(epochs=10, batch_size=8, lr=0.4, warmup_epochs=20.0)
    work = trainer(recipe, on_step=lambda state: seen.append(state.optimiser.param_groups[0]["lr"]))
    work.run(work.start())
    rising = [0.4 * (0.25 + 0.75 * step / 6) for step in range(6)]
    falling = [0.4 * 0.5 * (1 + math.cos(math.pi * step / 24)) for step in range(24)]
    assert seen == pytest.approx([*rising, *falling])


def test_each_epoch_has_another_order_and_other_crops(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = _inputs(Recipe(epochs=2, batch_size=24), monkeypatch)
    assert len(seen) == 2
    assert not torch.equal(*seen)
    assert not torch.equal(*(batch.flatten(1).sum(1).sort().values for batch in seen))  # whatever the order


@pytest.mark.parametrize("change", [{"aa": "trivial"}, {"reprob": 1.0}, {"mixup": 1.0}, {"cutmix": 1.0}])
def test_what_the_recipe_does_to_images_reaches_the_network(
    change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, changed = (_inputs(Recipe(epochs=1, batch_size=24, **more), monkeypatch)[0] for more in ({}, change))
    assert plain.shape == changed.shape
    assert not torch.equal(plain, changed)


def _inputs(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """What the network is given, batch by batch."""
    seen: list[torch.Tensor] = []
    forward = Network.forward

    def spy(self: Network, images: torch.Tensor) -> torch.Tensor:
        seen.append(images.clone())
        return forward(self, images)

    with monkeypatch.context() as patch:
        patch.setattr(Network, "forward", spy)
        work = trainer(recipe)
        work.run(work.start())
    return seen


def test_labels_are_smoothed_by_hand() -> None:
    """0.7 of the label's cross-entropy and 0.3 of the mean over all classes."""
    work = trainer(Recipe(epochs=1, batch_size=24, smoothing=0.3, lr=1e-7))
    state = work.start()
    batch, labels = next(images().epoch(24))
    loss, logits = work._step(state, batch, labels)
    logs = logits.log_softmax(1)
    own = -logs[torch.arange(24), labels].mean()
    assert loss == pytest.approx(float(0.7 * own - 0.3 * logs.mean()), rel=1e-5)


def test_the_average_has_batchnorms_statistics_too() -> None:
    work = trainer(Recipe(epochs=2, batch_size=8, model_ema=True))
    state = work.run(work.start())
    assert state.average is not None
    fresh, kept, now = (
        next(b for name, b in module.named_buffers() if name.endswith("running_mean"))
        for module in (small_network(), state.average.module, state.network)
    )
    assert not torch.equal(kept, fresh)
    assert not torch.equal(kept, now)


@pytest.mark.parametrize("amp", [True, False])
def test_amp_computes_in_bfloat16(amp: bool) -> None:
    seen: set[torch.dtype] = set()
    work = trainer(Recipe(epochs=1, batch_size=24, amp=amp))
    state = work.start()
    state.network.stem[0].register_forward_hook(lambda _, __, output: seen.add(output.dtype))
    work.run(state)
    assert seen == {torch.bfloat16 if amp else torch.float32}
