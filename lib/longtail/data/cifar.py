"""The archives of CIFAR-10 and CIFAR-100."""

from pathlib import Path
from typing import Any

from longtail.errors import UserError

CLASSES = {"cifar10": 10, "cifar100": 100}


def read_archive(dataset: str, root: str | Path, *, train: bool, download: bool, off: str) -> Any:
    """Return one split of torchvision's CIFAR: `data` (N, 32, 32, 3) uint8, `targets` (N,) and `classes`.

    Args:
        dataset: "cifar10" or "cifar100".
        root: Folder of the archive, packed or unpacked.
        train: Training images, or test images.
        download: Download an archive that does not exist.
        off: How downloading is turned off, for the error message.

    Raises:
        UserError: The archive does not exist, is damaged, or cannot be downloaded.
    """
    from torchvision import datasets

    try:
        return getattr(datasets, dataset.upper())(root, train=train, download=download)
    except (RuntimeError, OSError) as error:  # URLError is an OSError
        reason = "could not be downloaded" if download else f"was not downloaded ({off})"
        raise UserError(
            f"the archive of {dataset} is missing or incomplete under {root} and {reason}: {error}"
        ) from None
