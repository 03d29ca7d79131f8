"""What a supernet begins with: alike, softened, taken over, carried over."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from evospace.ops.kinds import KINDS
from evospace.ops.pools import pool_names
from evospace.ops.spec import BlockShape, OpSpec
from evospace.space.architecture import Architecture
from evospace.space.search_space import SearchSpace
from evospace.space.skeleton import make_skeleton
from evospace.supernet.choice_block import route_of
from evospace.supernet.network import deviation, drawn
from evospace.supernet.supernet import SuperNet
from evospace.training.initial_weights import (
    LAST_GAMMA,
    _draw_together,
    inherit_weights,
    initialised_supernet,
    last_norms,
    nearest,
    take_over,
    window,
)

SKELETON = make_skeleton(None, image_size=8, image_channels=1)
POOL = tuple(pool_names("mobile27", (), se=False))
LARGE = "mbconv_k7_e6"
IMAGES = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def made(names: tuple[str, ...], *, aligned: bool = True, seed: int = 0, round: int = 1) -> SuperNet:
    space = SearchSpace.over(SKELETON.blocks(), names)
    return initialised_supernet(lambda: SuperNet(SKELETON, space, 3), seed, round, "cpu", aligned=aligned)


def _alike(a: BlockShape, b: BlockShape) -> bool:
    return (a.in_channels, a.out_channels) == (b.in_channels, b.out_channels)


def operation(supernet: SuperNet, block: int, name: str) -> nn.Module:
    return supernet.get_submodule(f"blocks.{block}.ops.{name}")


def filters(supernet: SuperNet, block: int, name: str) -> dict[str, Tensor]:
    return {key: p.detach() for key, p in operation(supernet, block, name).named_parameters() if p.ndim >= 2}


def last_gamma(supernet: SuperNet, block: int, name: str) -> Tensor:
    return [m for m in operation(supernet, block, name).modules() if isinstance(m, nn.BatchNorm2d)][-1].weight


shapes = st.lists(st.integers(1, 7), min_size=2, max_size=4)


@given(shapes, st.data())
def test_a_window_has_the_inner_shape_and_lies_in_the_middle_of_the_pixels(
    outer: list[int], data: st.DataObject
) -> None:
    inner = [data.draw(st.integers(1, size)) for size in outer]
    chosen = window(outer, inner)
    assert list(torch.zeros(outer)[chosen].shape) == inner
    assert all(part.start == 0 for part in chosen[:2])
    for part, size in zip(chosen[2:], outer[2:], strict=True):
        assert abs((size - part.stop) - part.start) <= 1


def test_a_three_pixel_filter_is_the_middle_of_a_seven_pixel_one() -> None:
    assert window((32, 1, 7, 7), (16, 1, 3, 3)) == (slice(0, 16), slice(0, 1), slice(2, 5), slice(2, 5))


def test_operations_of_one_family_are_parts_of_one_draw() -> None:
    supernet = made(POOL)
    for block in range(len(SKELETON.blocks())):
        largest = filters(supernet, block, "mbconv_k11_e6")
        for name in ("mbconv_k3_e1", "mbconv_k5_e3", "mbconv_k9_e6"):
            for key, own in filters(supernet, block, name).items():
                part = largest[key][window(largest[key].shape, own.shape)]
                torch.testing.assert_close(own / deviation(own), part / deviation(largest[key]), rtol=1e-5, atol=1e-6)


def test_what_is_of_no_layer_is_not_redrawn() -> None:
    own, conv = nn.Module(), nn.Conv2d(2, 2, 1)
    own.conv, own.gain = conv, nn.Parameter(torch.full((2, 1, 1), 0.7))
    before = conv.weight.detach().clone()
    with torch.no_grad():
        _draw_together([own], torch.Generator().manual_seed(0))
    assert torch.equal(own.gain, torch.full((2, 1, 1), 0.7))
    assert not torch.equal(conv.weight, before)


def test_blocks_and_families_are_drawn_apart() -> None:
    supernet = made(("conv_k3_e1", "factorized_k5_e1", LARGE))
    first, second = (filters(supernet, 1, name)["0.0.weight"] for name in ("conv_k3_e1", "factorized_k5_e1"))
    assert first.shape == second.shape
    assert not torch.equal(first, second)
    shapes = SKELETON.blocks()
    one, other = next((i, j) for j in range(len(shapes)) for i in range(j) if _alike(shapes[i], shapes[j]))
    assert not torch.equal(filters(supernet, one, LARGE)["0.0.weight"], filters(supernet, other, LARGE)["0.0.weight"])


def test_every_filter_keeps_the_deviation_it_is_drawn_with() -> None:
    supernet = made(POOL)
    for block in range(len(SKELETON.blocks())):
        for name in POOL:
            for key, own in filters(supernet, block, name).items():
                if own.numel() > 1000:
                    assert float(own.std()) == pytest.approx(deviation(own), rel=0.15), (block, name, key)


def test_the_last_scale_is_small_where_the_block_keeps_shape_and_only_there() -> None:
    supernet, plain = made(POOL), made(POOL, aligned=False)
    for block, shape in enumerate(SKELETON.blocks()):
        for name in POOL:
            wanted = LAST_GAMMA if shape.keeps_shape else 1.0
            assert bool((last_gamma(supernet, block, name) == wanted).all())
            assert bool((last_gamma(plain, block, name) == 1.0).all())


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_can_begin_so(kind: str) -> None:
    """Shapes that differ between the operations of a kind, gates, branches, no weights or no BatchNorm at all."""
    names = tuple(dict.fromkeys(spec.name for spec in (KINDS[kind].specs[0], KINDS[kind].specs[-1])))
    supernet = made(names).train()
    for name in names:
        logits = supernet(IMAGES, route_of(Architecture.of([(name,)] * len(SKELETON.blocks()))))
        assert bool(logits.isfinite().all())
    take_over(made(names, round=2), made(names[:1]).weights())


def test_the_blocks_outputs_of_two_aligned_operations_are_near_one_another() -> None:
    """Cosine of what two operations make of the same image, less what two independent ones make of it."""

    def cosine(supernet: SuperNet) -> float:
        features = supernet.train().stem(IMAGES).detach()
        a, b = (operation(supernet, 0, name)(features).flatten() for name in ("mbconv_k3_e6", "mbconv_k5_e6"))
        return float(nn.functional.cosine_similarity(a, b, dim=0).detach())

    assert cosine(made(POOL)) > 0.3 > abs(cosine(made(POOL, aligned=False)))


def test_it_is_fixed_by_seed_and_round() -> None:
    first, second = made(POOL).state_dict(), made(POOL).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
    for other in (made(POOL, seed=1), made(POOL, round=2)):
        assert not torch.equal(other.state_dict()["stem.0.weight"], first["stem.0.weight"])
        assert not torch.equal(filters(other, 0, LARGE)["0.0.weight"], filters(made(POOL), 0, LARGE)["0.0.weight"])


class Drawing(torch.nn.Module):
    """Draws a buffer in its constructor, as a user's operation may."""

    def __init__(self) -> None:
        super().__init__()
        self.mask: Tensor
        self.register_buffer("mask", torch.rand(5))


def test_what_a_constructor_draws_is_fixed_too_and_nothing_else_is_drawn_from() -> None:
    first, second, other = (drawn(Drawing, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert torch.equal(first.mask, second.mask)
    assert not torch.equal(first.mask, other.mask)
    torch.manual_seed(0)
    wanted = torch.rand(1)
    torch.manual_seed(0)
    drawn(Drawing, torch.Generator().manual_seed(3))
    assert torch.equal(torch.rand(1), wanted)


@pytest.mark.parametrize(
    ("name", "others", "wanted"),
    [
        (
            "mbconv_k3_e3",
            ("mbconv_k3_e1", "mbconv_k7_e3", "mbconv_k9_e3"),
            "mbconv_k3_e1",
        ),  # 2, 2 and 3: the first by name
        ("mbconv_k3_e6", ("mbconv_k5_e6", "mbconv_k3_e3"), "mbconv_k5_e6"),  # 1 and 3
        ("mbconv_k3_e1_d2", ("mbconv_k5_e1", "mbconv_k3_e1"), "mbconv_k5_e1"),  # the same reach, and 1
        ("mbconv_k7_e3", ("mbconv_k3_e3_d3", "mbconv_k7_e3"), "mbconv_k7_e3"),  # the same reach, and itself
        ("mbconv_k3_e3", ("conv_k3_e1", "mbconv_k3_e3_g1x2", "mbconv_k3_e3_se"), None),
        ("mbconv_k3_e3", (), None),
    ],
)
def test_the_nearest_differs_least_in_expansion_and_reach(
    name: str, others: tuple[str, ...], wanted: str | None
) -> None:
    assert nearest(name, others) == wanted
    assert nearest(name, others[::-1]) == wanted


@given(st.sampled_from(POOL), st.lists(st.sampled_from(POOL), max_size=6))
def test_the_nearest_is_of_the_same_kind_and_itself_where_it_can_be(name: str, others: list[str]) -> None:
    found = nearest(name, others)
    kinds = [OpSpec.parse(other).kind for other in others]
    assert (found is None) == (OpSpec.parse(name).kind not in kinds)
    if name in others:
        assert found == name


def test_a_new_operation_takes_over_what_the_nearest_reaches_and_nothing_else() -> None:
    old, new = made(("mbconv_k3_e3", "conv_k3_e1")), made(("mbconv_k5_e6", "conv_k3_e1"), round=2)
    with torch.no_grad():
        for p in old.parameters():
            p.fill_(7.0)
    before = {key: value.clone() for key, value in new.state_dict().items()}
    take_over(new, old.weights())
    for block in range(len(SKELETON.blocks())):
        wide = operation(new, block, "mbconv_k5_e6")
        depthwise, first = (before[f"blocks.{block}.ops.mbconv_k5_e6.{i}.0.weight"].clone() for i in (1, 0))
        hidden = depthwise.shape[0] // 2
        depthwise[:hidden, :, 1:4, 1:4] = 7.0
        first[:hidden] = 7.0
        assert torch.equal(wide.get_parameter("1.0.weight"), depthwise)
        assert torch.equal(wide.get_parameter("0.0.weight"), first)
        assert bool((wide.get_parameter("2.1.weight") == 7.0).all())  # the last scale, of all output channels
    for key, value in new.state_dict().items():
        if "mbconv" not in key:
            assert torch.equal(value, before[key]), key


def test_weights_that_fit_are_inherited_and_those_that_stay_are_no_newcomers() -> None:
    first, second = made(POOL[:3], seed=5), made(POOL[:5], round=2)
    assert inherit_weights(second, first.weights() | {"blocks.9.ops.gone.weight": torch.ones(1)}) == len(
        first.weights()
    )
    for key, value in first.weights().items():
        assert torch.equal(second.state_dict()[key], value)


def test_without_alignment_a_new_operation_stays_as_it_was_drawn() -> None:
    first, second = made(("mbconv_k3_e3",), aligned=False), made(("mbconv_k5_e3",), aligned=False, round=2)
    before = filters(second, 0, "mbconv_k5_e3")["0.0.weight"].clone()
    inherit_weights(second, first.weights(), aligned=False)
    assert torch.equal(filters(second, 0, "mbconv_k5_e3")["0.0.weight"], before)


def test_an_older_kind_that_is_stored_under_the_same_name_with_other_layers_is_passed_over() -> None:
    new = made(("mbconv_k5_e3",))
    before = {key: value.clone() for key, value in new.state_dict().items()}
    strange = {"blocks.0.ops.mbconv_k3_e3.0.0.weight": torch.ones(2), "blocks.0.ops.mbconv_k3_e3.odd": torch.ones(3, 3)}
    take_over(new, strange)
    assert all(torch.equal(value, before[key]) for key, value in new.state_dict().items())


def test_a_supernet_that_began_alike_computes_an_architecture() -> None:
    supernet = made(POOL).train()
    names = [("mbconv_k3_e1",)] * len(SKELETON.blocks())
    assert supernet(torch.zeros(2, 1, 8, 8), route_of(Architecture.of(names))).shape == (2, 3)


BATCH_NORMS = ("mbconv", "ghost", "repvgg", "mobileone", "replk", "shufflev2", "basic", "mixconv", "fasternet")


@pytest.mark.parametrize("kind", BATCH_NORMS)
def test_an_operation_begins_quiet_whatever_it_is_made_of(kind: str) -> None:
    """What it adds to its input, where its block keeps shape; 1 is what its BatchNorms would give unscaled."""
    name = KINDS[kind].specs[0].name
    supernet = made((name,))
    block = next(b for b, s in enumerate(SKELETON.blocks()) if s.keeps_shape)
    shape = SKELETON.blocks()[block]
    images = torch.randn(16, shape.in_channels, shape.resolution, shape.resolution)
    found = operation(supernet, block, name).train()(images).detach()
    passed = found[:, 1::2] if kind == "shufflev2" else found  # every other channel is the input's own
    assert 0.02 < float(passed.std()) < 0.25


def test_a_batch_norm_without_a_scale_has_none_that_could_be_small() -> None:
    norm = nn.BatchNorm2d(4, affine=False)
    assert last_norms(nn.Sequential(nn.Conv2d(4, 4, 1), norm)) == ([], False)
