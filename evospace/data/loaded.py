"""A split whose images stay on disk and are decoded while an epoch runs."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from evospace.data.images import decode, to_tensor
from evospace.data.splits import Batch, epoch_order, normalised, order_batches
from evospace.errors import DataError
from evospace.seeding import derive, torch_generator

Sample = tuple[Path, int]
"""An image file and its label."""

RGB_MEAN, RGB_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
GREY_MEAN, GREY_STD = (0.449,), (0.226,)


def _transform(size: int, augmented: bool) -> Callable[[Image.Image], Image.Image]:
    """What turns a decoded image into one of `size` x `size`; random draws use torch's global state."""
    from torchvision.transforms import v2

    if augmented:
        steps = [v2.RandomResizedCrop(size), v2.RandomHorizontalFlip(), v2.ColorJitter(0.2, 0.2, 0.2, 0.1)]
    else:
        steps = [v2.Resize(int(size * 256 / 224)), v2.CenterCrop(size)]
    transform: Callable[[Image.Image], Image.Image] = v2.Compose(steps)
    return transform


class _Decoder(Dataset[tuple[Tensor, int]]):
    """Decodes sample by sample; a sample's draws depend on `seed` and its index, not on the worker."""

    def __init__(self, samples: Sequence[Sample], channels: int, size: int, seed: int | None) -> None:
        self._samples, self._channels, self._seed = samples, channels, seed
        self._transform = _transform(size, augmented=seed is not None)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        path, label = self._samples[index]
        image = decode(path, self._channels)
        with torch.random.fork_rng(devices=[]):
            if self._seed is not None:
                torch.manual_seed(derive(self._seed, "sample", index))
            return to_tensor(self._transform(image)), label


class LoadedSplit:
    """Image files with labels, for sets too large for memory.

    Args:
        samples: file and label of each image.
        image_size: S; batches are B x C x S x S.
        channels: C, 3 for RGB or 1 for grey.
        workers: processes that decode; 0 decodes in this one. The batches do not depend on it.
        augmented: whether a seeded epoch crops, flips and recolours the images besides shuffling them.
        device: where batches are put.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        *,
        image_size: int,
        channels: int = 3,
        workers: int = 0,
        augmented: bool = False,
        device: str | torch.device = "cpu",
    ) -> None:
        self.samples, self.image_size, self.channels = tuple(samples), image_size, channels
        self.workers, self.augmented, self.device = workers, augmented, torch.device(device)

    def __len__(self) -> int:
        """Number of images."""
        return len(self.samples)

    def epoch(self, batch_size: int, *, seed: int | None = None, drop_last: bool = False) -> Iterator[Batch]:
        """Yield every image once (see `Split.epoch`); `drop_last` leaves out a last, smaller batch.

        Raises:
            UsageError: `batch_size` is below 1.
            DataError: an image cannot be read; the text names its file.
        """
        mean, std = (GREY_MEAN, GREY_STD) if self.channels == 1 else (RGB_MEAN, RGB_STD)
        try:
            for images, labels in self._loader(batch_size, seed, drop_last):
                images, labels = (t.to(self.device, non_blocking=True) for t in (images, labels))
                yield normalised(images, mean, std), labels
        except DataError as error:  # from a worker it comes wrapped in the text of a traceback
            raise DataError(str(error).rsplit("DataError: ", 1)[-1].strip()) from None

    def subset(self, indices: Tensor | Sequence[int]) -> "LoadedSplit":
        """The images at `indices` (int64 K), in that order."""
        chosen = torch.as_tensor(indices, dtype=torch.int64).tolist()
        return self._with([self.samples[i] for i in chosen], self.augmented)

    def without_augmentation(self) -> "LoadedSplit":
        """The same images, never augmented."""
        return self._with(self.samples, False)

    def _with(self, samples: Sequence[Sample], augmented: bool) -> "LoadedSplit":
        return LoadedSplit(
            samples,
            image_size=self.image_size,
            channels=self.channels,
            workers=self.workers,
            augmented=augmented,
            device=self.device,
        )

    def _loader(self, batch_size: int, seed: int | None, drop_last: bool) -> DataLoader[tuple[Tensor, int]]:
        order = epoch_order(len(self), seed)
        batches = [batch.tolist() for batch in order_batches(order, batch_size, drop_last)]
        return DataLoader(
            _Decoder(self.samples, self.channels, self.image_size, seed if self.augmented else None),
            batch_sampler=batches,
            num_workers=self.workers,
            pin_memory=self.device.type == "cuda",
            generator=torch_generator(seed or 0, "workers"),
        )
