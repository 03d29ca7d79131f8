"""A split whose images stay on disk and are decoded while an epoch runs."""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from evospace.data.images import decode, to_tensor
from evospace.data.policy import Policy
from evospace.data.splits import Batch, epoch_order, normalised, order_batches
from evospace.errors import DataError
from evospace.seeding import derive, seed_cpu, torch_generator

Sample = tuple[Path, int]
"""An image file and its label."""

RGB_MEAN, RGB_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CROP_PCT = 224 / 256
"""Usual for ImageNet: 256 pixels, of which the middle 224 are seen."""
RESTARTS = 3
GREY_MEAN, GREY_STD = (0.449,), (0.226,)


def _transform(size: int, augmented: bool, flip: bool) -> Callable[[Image.Image], Image.Image]:
    """What turns a decoded image into one of `size` x `size`; random draws use torch's global state."""
    from torchvision.transforms import v2

    if augmented:
        mirror = [v2.RandomHorizontalFlip()] if flip else []
        steps = [v2.RandomResizedCrop(size), *mirror, v2.ColorJitter(0.2, 0.2, 0.2, 0.1)]
    else:
        steps = [v2.Resize(int(size / CROP_PCT)), v2.CenterCrop(size)]
    transform: Callable[[Image.Image], Image.Image] = v2.Compose(steps)
    return transform


class _Decoder(Dataset[tuple[Tensor, int]]):
    """Decodes sample by sample; a sample's draws depend on `seed` and its index, not on the worker."""

    def __init__(self, split: "LoadedSplit", seed: int | None) -> None:
        self._samples, self._channels, self._seed = split.samples, split.channels, seed
        self._transform = _transform(split.image_size, augmented=seed is not None, flip=split.flip)
        self._policy = split.policy.transform(split.mean) if split.policy and seed is not None else None

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        path, label = self._samples[index]
        image = decode(path, self._channels)
        with torch.random.fork_rng(devices=[]):
            if self._seed is not None:
                seed_cpu(derive(self._seed, "sample", index))
            pixels = to_tensor(self._transform(image))
            return self._policy(pixels) if self._policy else pixels, label


class LoadedSplit:
    """Image files with labels, for sets too large for memory.

    Args:
        samples: file and label of each image.
        image_size: S; batches are B x C x S x S.
        channels: C, 3 for RGB or 1 for grey.
        workers: processes that decode; 0 decodes in this one. The batches do not depend on it.
        augmented: whether a seeded epoch crops and recolours the images besides shuffling them.
        flip: whether it mirrors half of them, too.
        policy: what it does to an image after that.
        mean, std: of each channel, for normalising; ImageNet's where they are not given.
        device: where batches are put.
    """

    crop_pct = CROP_PCT

    def __init__(
        self,
        samples: Sequence[Sample],
        *,
        image_size: int,
        channels: int = 3,
        workers: int = 0,
        augmented: bool = False,
        flip: bool = True,
        policy: Policy | None = None,
        mean: Sequence[float] = (),
        std: Sequence[float] = (),
        device: str | torch.device = "cpu",
    ) -> None:
        self.samples, self.image_size, self.channels = tuple(samples), image_size, channels
        usual = (GREY_MEAN, GREY_STD) if channels == 1 else (RGB_MEAN, RGB_STD)
        self.mean, self.std = tuple(mean or usual[0]), tuple(std or usual[1])
        self.policy = policy
        self.workers, self.augmented, self.flip, self.device = workers, augmented, flip, torch.device(device)

    def __len__(self) -> int:
        """Number of images."""
        return len(self.samples)

    def epoch(
        self, batch_size: int, *, seed: int | None = None, drop_last: bool = False, start: int = 0
    ) -> Iterator[Batch]:
        """Yield every image once (see `Split.epoch`); `drop_last` leaves out a last, smaller batch.

        A worker process that dies (the system takes those that use too much memory) is replaced, at most `RESTARTS`
        times an epoch; no batch is lost or changed by it.

        Raises:
            UsageError: `batch_size` is below 1.
            DataError: an image cannot be read (the text names its file), or workers keep dying.
        """
        batches = [b.tolist() for b in order_batches(epoch_order(len(self), seed), batch_size, drop_last, start)]
        for images, labels in self._decoded(batches, seed):
            images, labels = (t.to(self.device, non_blocking=True) for t in (images, labels))
            yield normalised(images, self.mean, self.std), labels

    def _decoded(self, batches: list[list[int]], seed: int | None) -> Iterator[Batch]:
        """Batches of decoded images, across the deaths of workers."""
        done = 0
        for _ in range(RESTARTS + 1):
            with _deaths_found_by_the_loader():
                loader = iter(self._loader(batches[done:], seed))
            while True:
                try:
                    batch = next(loader)
                except StopIteration:
                    return
                except DataError as error:  # from a worker it comes wrapped in the text of a traceback
                    raise DataError(str(error).rsplit("DataError: ", 1)[-1].strip()) from None
                except (RuntimeError, ConnectionError, EOFError) as error:
                    if not self.workers or not _tells_of_a_death(error):
                        raise
                    break
                yield batch
                done += 1
        raise DataError(
            f"worker processes that decode images died {RESTARTS + 1} times (often for lack of memory); give fewer"
            " --workers, or 0"
        )

    def subset(self, indices: Tensor | Sequence[int]) -> "LoadedSplit":
        """The images at `indices` (int64 K), in that order."""
        chosen = torch.as_tensor(indices, dtype=torch.int64).tolist()
        return self._with(samples=[self.samples[i] for i in chosen])

    def without_augmentation(self) -> "LoadedSplit":
        """The same images, never augmented."""
        return self._with(augmented=False, policy=None)

    def with_policy(self, policy: Policy) -> "LoadedSplit":
        """The same images, changed by `policy` too in seeded epochs."""
        return self._with(policy=policy)

    def normalised_by(self, mean: Sequence[float], std: Sequence[float]) -> "LoadedSplit":
        """The same images, normalised by another mean and standard deviation."""
        return self._with(mean=mean, std=std)

    def _with(self, **changed: Any) -> "LoadedSplit":
        names = ("samples", "image_size", "channels", "workers", "augmented", "flip", "policy", "mean", "std", "device")
        return LoadedSplit(**({name: getattr(self, name) for name in names} | changed))

    def _loader(self, batches: list[list[int]], seed: int | None) -> DataLoader[tuple[Tensor, int]]:
        return DataLoader(
            _Decoder(self, seed if self.augmented else None),
            batch_sampler=batches,
            num_workers=self.workers,
            pin_memory=self.device.type == "cuda",
            generator=torch_generator(seed or 0, "workers"),
            worker_init_fn=_leave_signals_to_the_parent,
        )


def _tells_of_a_death(error: Exception) -> bool:
    """Whether the loader says that a worker is gone, or its socket broke while it handed a batch over.

    What a living worker raised comes with a text that begins with "Caught", and is no death. With a GPU, the thread
    that pins batches ends where a socket breaks.
    """
    text = str(error)
    deaths = ("DataLoader worker", "Pin memory thread exited")
    of_loader = not isinstance(error, RuntimeError) or any(death in text for death in deaths)
    return of_loader and not text.startswith("Caught ")


@contextmanager
def _deaths_found_by_the_loader() -> Iterator[None]:
    """Keep PyTorch from raising wherever the main thread happens to be when a worker dies: in a training step, say.

    Without its handler of SIGCHLD the loader looks after its workers itself, every 5 seconds that it waits.
    """
    main = threading.current_thread() is threading.main_thread() and hasattr(signal, "SIGCHLD")
    before = signal.getsignal(signal.SIGCHLD) if main else None
    try:
        yield
    finally:
        if main:
            signal.signal(signal.SIGCHLD, before or signal.SIG_DFL)


def _leave_signals_to_the_parent(worker: int) -> None:
    """Ctrl-C reaches every process of a terminal, and handlers are inherited: the parent alone is to act on them."""
    for name, handler in (("SIGINT", signal.SIG_IGN), ("SIGUSR1", signal.SIG_IGN), ("SIGTERM", signal.SIG_DFL)):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), handler)
