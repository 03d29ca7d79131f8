import pytest
import torch
from torch import nn

from evospace.errors import UsageError
from evospace.ops.spec import BlockShape, OpSpec
from evospace.space.architecture import Architecture
from evospace.space.skeleton import Skeleton, make_skeleton
from evospace.supernet.network import Block, Network, drop_paths, initialise, make_head, make_stem, mean_of

KEEPS = BlockShape(in_channels=8, out_channels=8, stride=1, resolution=5)
REDUCES = BlockShape(in_channels=8, out_channels=16, stride=2, resolution=5)
A, B = OpSpec.parse("mbconv_k3_e1"), OpSpec.parse("conv_k3_e1_se")


def skeleton(activation: str = "relu") -> Skeleton:
    return make_skeleton("small8", image_size=9, image_channels=1, activation=activation)


def architecture() -> Architecture:
    shapes = skeleton().blocks()
    return Architecture.of([[] if shape.keeps_shape else [A.name, B.name] for shape in shapes])


def test_stem_and_head_shapes() -> None:
    features = make_stem(skeleton())(torch.zeros(2, 1, 9, 9))
    assert features.shape == (2, 16, 9, 9)
    assert make_head(skeleton(), 7)(torch.zeros(2, 40, 3, 3)).shape == (2, 7)


def test_mean_of_one_is_itself() -> None:
    one, three = torch.full((2,), 1.0), torch.full((2,), 3.0)
    assert mean_of([one]) is one
    assert torch.equal(mean_of([one, three, three + 2]), torch.full((2,), 3.0))


def test_a_block_that_keeps_shape_averages_operations_and_input() -> None:
    images = torch.randn(2, 8, 5, 5)
    block = Block([A, B], KEEPS)
    outputs = [op(images) for op in block.ops.values()]
    assert torch.allclose(block(images), (outputs[0] + outputs[1] + images) / 3)


def test_a_reduction_block_averages_operations_alone() -> None:
    images = torch.randn(2, 8, 5, 5)
    block = Block([A, B], REDUCES)
    outputs = [op(images) for op in block.ops.values()]
    assert torch.allclose(block(images), (outputs[0] + outputs[1]) / 2)


def test_an_empty_block_is_the_identity_where_shape_is_kept() -> None:
    images = torch.randn(2, 8, 5, 5)
    assert Block([], KEEPS)(images) is images
    with pytest.raises(UsageError, match="at least one"):
        Block([], REDUCES)


@pytest.mark.parametrize("activation", ["relu", "swish"])
def test_a_network_maps_images_to_logits(activation: str) -> None:
    network = Network(skeleton(activation), architecture(), 7)
    assert network(torch.zeros(2, 1, 9, 9)).shape == (2, 7)


def test_an_architecture_of_another_length_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="blocks"):
        Network(skeleton(), Architecture.of([[]]), 7)


def test_initial_weights_come_from_the_generator_alone() -> None:
    states = []
    for _ in range(2):
        network = Network(skeleton(), architecture(), 7)
        initialise(network, torch.Generator().manual_seed(3))
        states.append(network.state_dict())
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_initial_weights_are_as_documented() -> None:
    network = Network(skeleton(), architecture(), 1000)
    initialise(network, torch.Generator().manual_seed(0))
    weights = network.state_dict()
    assert weights["stem.0.weight"].std().item() == pytest.approx((2 / (16 * 9)) ** 0.5, rel=0.2)
    assert torch.equal(weights["stem.1.weight"], torch.ones(16))
    assert torch.equal(weights["stem.1.bias"], torch.zeros(16))
    assert weights["head.4.weight"].std().item() == pytest.approx(0.01, rel=0.05)
    assert not weights["head.4.bias"].any()
    biases = [p for name, p in network.blocks.named_parameters() if name.endswith("bias")]
    assert biases
    assert all(bool((bias == 0).all()) for bias in biases)


class Own(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.act = nn.PReLU()
        self.gain = nn.Parameter(torch.full((3, 1, 1), 0.7))
        self.temperature = nn.Parameter(torch.tensor(2.0))


def test_what_is_of_no_layer_stays_as_its_constructor_made_it() -> None:
    own = Own()
    before = own.conv.weight.detach().clone()
    initialise(own, torch.Generator().manual_seed(0))
    assert not torch.equal(own.conv.weight, before)
    assert (float(own.act.weight.detach()), float(own.temperature.detach())) == (0.25, 2.0)
    assert bool((own.gain == 0.7).all())


def test_drop_path_drops_whole_images_late_more_than_early_and_nothing_in_evaluation() -> None:
    made = make_skeleton(None, image_size=8, image_channels=1)
    network, plain = (Network(made, Architecture.of([[A.name]] * len(made.blocks())), 4) for _ in range(2))
    plain.load_state_dict(network.state_dict())
    drop_paths(network, 0.9)
    batch = torch.rand(16, 1, 8, 8)
    torch.testing.assert_close(network.eval()(batch), plain.eval()(batch))
    torch.manual_seed(0)
    seen: list[list[float]] = []
    for block in network.blocks:
        assert isinstance(block, Block)
        if block.keeps_shape:
            (op,) = block.ops.values()
            op.register_forward_hook(
                lambda _, __, output: seen.append([float(image.abs().max() == 0) for image in output])
            )
    network.train()(batch)
    dropped = [sum(block) for block in seen]
    assert dropped[-1] > dropped[0]
    assert dropped[-1] >= 10
