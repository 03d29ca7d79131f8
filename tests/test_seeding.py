import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from evospace.seeding import derive, numpy_generator, seed_cpu, torch_generator


def test_a_seed_stays_what_it_is() -> None:
    assert derive(0, "weights", 1, 2) == 4835931071163323820


@given(st.integers(), st.text(max_size=8), st.lists(st.integers(), max_size=3))
def test_seeds_fit_both_libraries_and_repeat(seed: int, purpose: str, indices: list[int]) -> None:
    assert 0 <= derive(seed, purpose, *indices) < 2**63
    assert derive(seed, purpose, *indices) == derive(seed, purpose, *indices)


@given(st.integers(0, 2**63 - 1))
def test_the_cpu_is_seeded_as_by_torch(seed: int) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        wanted = torch.rand(3)
        seed_cpu(seed)
        assert torch.equal(torch.rand(3), wanted)


def test_seed_purpose_and_indices_all_count() -> None:
    keys = [
        derive(0, "a"),
        derive(1, "a"),
        derive(0, "b"),
        derive(0, "a", 0),
        derive(0, "a", 1),
        derive(0, "a", 0, 1),
    ]
    assert len(set(keys)) == len(keys)


def test_generators_draw_the_same_again() -> None:
    assert np.array_equal(numpy_generator(0, "a", 3).random(4), numpy_generator(0, "a", 3).random(4))
    first, second = torch_generator(0, "a", 3), torch_generator(0, "a", 3)
    assert torch.equal(torch.rand(4, generator=first), torch.rand(4, generator=second))
