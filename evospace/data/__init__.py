"""Images to search on: named data sets and folders, their splits and epochs."""

from evospace.data.datasets import DATASETS
from evospace.data.image_data import ImageData, SearchSplits, hold_out, require_enough, with_train_images
from evospace.data.loaded import LoadedSplit
from evospace.data.source import load_data
from evospace.data.splits import Augmentation, Batch, InMemorySplit, Split

__all__ = [
    "DATASETS",
    "Augmentation",
    "Batch",
    "ImageData",
    "InMemorySplit",
    "LoadedSplit",
    "SearchSplits",
    "Split",
    "hold_out",
    "load_data",
    "require_enough",
    "with_train_images",
]
