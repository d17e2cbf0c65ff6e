"""How CIFAR-10 is laid out: its classes, files and forms, and the error for images that are laid out otherwise."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attn_tutorial.errors import InputError

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
ARCHIVE_NAME = "cifar-10-python.tar.gz"
ARCHIVE_MD5 = "c58f30108f718f92721af3b95e74349a"
LEAST_PER_CLASS = 10
"""Fewest images of a class in train and in test, because a validation split and a fragment bank are cut from them."""
FOLDER_SPLITS = ("train", "test")
"""Names of the two folders that contain the class folders."""
BATCHES = {"train": tuple(f"data_batch_{number}" for number in range(1, 6)), "test": ("test_batch",)}
BATCH_NAMES = BATCHES["train"] + BATCHES["test"]
ARCHIVE_ENDINGS = (".tar.gz", ".tgz", ".tar", ".zip")

REQUIRED = (
    f"CIFAR-10 must be the official archive {ARCHIVE_NAME}, its unpacked folder cifar-10-batches-py, "
    f"class folders train/<class>/*.png|jpg|jpeg and test/<class>/*.png|jpg|jpeg, or the parquet files of Hugging Face "
    f"(train-*.parquet and test-*.parquet), as a folder or inside a {', '.join(ARCHIVE_ENDINGS)} archive"
)


class ImageSourceError(InputError):
    """The given images cannot be used. The message says what is required, what was given and what to do."""


@dataclass(frozen=True)
class Split:
    """The images of one file of a data set."""

    images: NDArray[np.uint8]
    """(N, 32, 32, 3)."""
    labels: NDArray[np.int64]
    """(N,)."""
