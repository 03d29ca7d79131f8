from pathlib import Path

import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from evospace.data.loaded import LoadedSplit
from evospace.data.policy import Policy, mixing
from evospace.data.splits import Augmentation, InMemorySplit
from evospace.errors import UsageError


def split(count: int = 12, channels: int = 1, policy: Policy | None = None) -> InMemorySplit:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, channels, 8, 8), generator=generator, dtype=torch.uint8)
    crop = Augmentation(pad=1, flip=True)
    mean, std = (0.5,) * channels, (0.25,) * channels
    return InMemorySplit(images, torch.arange(count), augmentation=crop, policy=policy, mean=mean, std=std)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("aa", ["trivial", "rand-m9-n2", "rand-m0-n1"])
def test_a_policy_changes_seeded_epochs_alone_and_a_seed_fixes_what_it_does(channels: int, aa: str) -> None:
    plain = split(channels=channels)
    changed = plain.with_policy(Policy(aa=aa, reprob=1.0))
    (before, _), (after, _) = next(plain.epoch(12, seed=1)), next(changed.epoch(12, seed=1))
    assert not torch.equal(before, after)
    assert torch.equal(after, next(changed.epoch(12, seed=1))[0])
    assert not torch.equal(after, next(changed.epoch(12, seed=2))[0])
    assert torch.equal(next(plain.epoch(12))[0], next(changed.epoch(12))[0])


def test_what_happens_to_an_image_does_not_depend_on_the_batch_size() -> None:
    changed = split(policy=Policy(aa="trivial", reprob=0.5))
    whole = next(changed.epoch(12, seed=3))[0]
    parts = torch.cat([images for images, _ in changed.epoch(5, seed=3)])
    assert torch.equal(whole, parts)
    later = torch.cat([images for images, _ in changed.epoch(5, seed=3, start=1)])
    assert torch.equal(whole[5:], later)


def test_every_image_gets_a_draw_of_its_own() -> None:
    images = torch.full((8, 1, 8, 8), 200, dtype=torch.uint8)
    images[:, :, :4] = 50
    same = InMemorySplit(images, torch.zeros(8, dtype=torch.int64), mean=(0.5,), std=(0.25,))
    changed = next(same.with_policy(Policy(aa="rand-m7-n2", reprob=1.0)).epoch(8, seed=0))[0]
    assert len({tuple(image.flatten().tolist()) for image in changed}) > 4


def test_an_epoch_leaves_the_global_generator_alone() -> None:
    state = torch.random.get_rng_state()
    list(split(policy=Policy(aa="trivial")).epoch(4, seed=0))
    assert torch.equal(state, torch.random.get_rng_state())


def test_erasing_fills_with_the_mean() -> None:
    images = next(split().with_policy(Policy(reprob=1.0)).epoch(12, seed=0))[0]
    grey = (128 / 255 - 0.5) / 0.25
    assert all(bool((image - grey).abs().lt(1e-5).sum() >= 1) for image in images)


def test_a_loaded_split_has_policies_too_whatever_the_workers(tmp_path: Path) -> None:
    for i in range(4):
        Image.effect_noise((16, 16), 40).convert("RGB").save(tmp_path / f"{i}.png")
    samples = [(tmp_path / f"{i}.png", i) for i in range(4)]
    changed = LoadedSplit(samples, image_size=8, augmented=True).with_policy(Policy(aa="rand-m9-n2", reprob=1.0))
    first = next(changed.epoch(4, seed=0))[0]
    assert torch.equal(first, next(changed.epoch(4, seed=0))[0])
    assert not torch.equal(first, next(LoadedSplit(samples, image_size=8, augmented=True).epoch(4, seed=0))[0])
    assert torch.equal(next(changed.epoch(4))[0], next(LoadedSplit(samples, image_size=8).epoch(4))[0])


@pytest.mark.parametrize("text", ["rand", "rand-m11-n2", "rand-m9-n0", "auto", "rand-m9-mstd0.5"])
def test_an_unknown_policy_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="write trivial, or rand-mM-nN"):
        Policy(aa=text)


def test_mixing_gives_soft_labels_that_sum_to_one() -> None:
    images, labels = torch.rand(8, 3, 8, 8), torch.arange(8)
    assert mixing(8, mixup=0, cutmix=0) is None
    for mixup, cutmix in ((0.5, 0.0), (0.0, 1.0), (0.5, 1.0)):
        mix = mixing(8, mixup=mixup, cutmix=cutmix)
        assert mix is not None
        torch.manual_seed(0)
        mixed, soft = mix(images, labels)
        assert mixed.shape == images.shape
        assert soft.shape == (8, 8)
        torch.testing.assert_close(soft.sum(1), torch.ones(8))
        assert not torch.equal(mixed, images)


def test_another_normalisation_changes_the_scale_alone() -> None:
    plain = split()
    images = next(plain.epoch(12))[0]
    other = next(plain.normalised_by((0.0,), (1.0,)).epoch(12))[0]
    torch.testing.assert_close(other, images * 0.25 + 0.5)


@pytest.mark.parametrize("m", [0, 4, 10])
def test_magnitudes_are_counted_as_timm_counts_them(m: int) -> None:
    """10 is the strongest, which torchvision calls 30."""
    policy = Policy(aa=f"rand-m{m}-n1").transform((0.5,))
    assert isinstance(policy, v2.Compose)
    assert policy.transforms[0].magnitude == 3 * m
