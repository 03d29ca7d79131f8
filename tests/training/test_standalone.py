import torch

from evospace.data import load_data
from evospace.space.architecture import Architecture
from evospace.space.skeleton import make_skeleton
from evospace.supernet.network import Network
from evospace.training.recipe import Recipe
from evospace.training.standalone import accuracy_of, train_network


def test_a_small_network_learns_digits_and_the_same_seed_gives_the_same_bits() -> None:
    data = load_data("digits")
    skeleton = make_skeleton(None, image_size=8, image_channels=1)
    architecture = Architecture.of([["mbconv_k3_e1"]] * len(skeleton.blocks()))
    networks = [Network(skeleton, architecture, 10) for _ in range(2)]
    for network in networks:
        train_network(network, data.train, Recipe(epochs=2, batch_size=32, lr=0.1), seed=5)
    first, second = (network.state_dict() for network in networks)
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert accuracy_of(networks[0], data.test) > 0.5
