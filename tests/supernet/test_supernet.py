import torch
from torch import nn

from evospace.space.architecture import Architecture
from evospace.space.search_space import SearchSpace
from evospace.space.skeleton import make_skeleton
from evospace.supernet.choice_block import ChoiceBlock, Term, route_of
from evospace.supernet.network import initialise
from evospace.supernet.supernet import SuperNet

SKELETON = make_skeleton(None, image_size=8, image_channels=1)
SPACE = SearchSpace.over(SKELETON.blocks(), ("mbconv_k3_e1", "conv_k3_e1", "mbconv_k5_e3"))
ARCHITECTURE = Architecture.of(
    [
        ["conv_k3_e1", "mbconv_k3_e1"] if needed else ["mbconv_k5_e3"] * (b % 2)
        for b, needed in enumerate(SPACE.required)
    ]
)


def make() -> SuperNet:
    supernet = SuperNet(SKELETON, SPACE, 10)
    initialise(supernet, torch.Generator().manual_seed(0))
    return supernet


def test_the_extracted_network_computes_what_the_calibrated_supernet_does() -> None:
    supernet, images = make(), torch.randn(16, 1, 8, 8)
    supernet.calibrate(ARCHITECTURE, [images, images + 1])
    supernet.eval()
    network = supernet.extract(ARCHITECTURE).eval()
    torch.testing.assert_close(network(images), supernet(images, route_of(ARCHITECTURE)))


def test_calibration_is_the_mean_over_batches_and_forgets_what_came_before() -> None:
    supernet = make()
    batches = [torch.randn(8, 1, 8, 8), torch.randn(8, 1, 8, 8) * 3]
    supernet.calibrate(ARCHITECTURE, [torch.full((4, 1, 8, 8), 9.0)])
    supernet.calibrate(ARCHITECTURE, batches)
    conv, norm = supernet.stem[0], supernet.stem[1]
    means = torch.stack([conv(b).mean(dim=(0, 2, 3)) for b in batches])
    torch.testing.assert_close(norm.running_mean, means.mean(0))


def test_calibration_forgets_the_statistics_of_tokens_too() -> None:
    supernet, shape = make(), SKELETON.blocks()[0]
    tokens = nn.Sequential(
        nn.Conv2d(shape.in_channels, shape.out_channels, 1, shape.stride),
        nn.Flatten(2),
        nn.BatchNorm1d(shape.out_channels),
        nn.Unflatten(2, (shape.out_resolution, shape.out_resolution)),
    )
    block = supernet.blocks[0]
    assert isinstance(block, ChoiceBlock)
    block.ops["conv_k3_e1"] = tokens
    architecture = Architecture.of([["conv_k3_e1"]] * len(SKELETON.blocks()))
    images = torch.randn(4, 1, 8, 8)
    found = []
    for before in (images, 5 + images):
        supernet.calibrate(architecture, [before])
        supernet.calibrate(architecture, [images])
        norm = tokens[2]
        assert isinstance(norm, nn.BatchNorm1d)
        assert norm.running_mean is not None
        found.append(norm.running_mean.clone())
    assert torch.equal(*found)


def test_only_active_operations_exist_and_dropping_removes_them() -> None:
    supernet = make()
    before = len(list(supernet.parameters()))
    gone = supernet.drop([(0, "conv_k3_e1")])
    assert len(list(supernet.parameters())) == before - len(gone)
    assert not any(key.startswith("blocks.0.ops.conv_k3_e1") for key in supernet.state_dict())


def test_training_leaves_running_statistics_alone() -> None:
    supernet, images = make(), torch.randn(16, 1, 8, 8)
    supernet.train()
    supernet(images, route_of(ARCHITECTURE))
    assert torch.equal(supernet.get_buffer("stem.1.running_mean"), torch.zeros(16))


def test_terms_weigh_subsets_and_a_term_without_gradient_moves_no_weight() -> None:
    supernet, images = make(), torch.randn(4, 16, 8, 8)
    block = supernet.blocks[0]
    assert isinstance(block, ChoiceBlock)
    w = torch.tensor(0.25, requires_grad=True)
    terms = (Term(ops=("conv_k3_e1",), weight=1 - w), Term(ops=("mbconv_k3_e1",), weight=w, grad=False))
    output = block(images, terms)
    expected = 0.75 * (block.ops["conv_k3_e1"](images) + images) / 2
    expected = expected + 0.25 * (block.ops["mbconv_k3_e1"](images) + images) / 2
    torch.testing.assert_close(output, expected)
    torch.autograd.backward(output.sum())
    assert w.grad is not None
    assert all(p.grad is None for p in block.ops["mbconv_k3_e1"].parameters())
    assert all(p.grad is not None for p in block.ops["conv_k3_e1"].parameters())
