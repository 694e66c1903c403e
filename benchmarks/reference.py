"""The baseline of every ratio: NCL trained as in the release, written for these benchmarks.

Eager float32, one expert after another; images augmented one by one with Pillow in two worker processes; an optimizer
with one parameter group per tensor that updates tensor by tensor; loss and accuracy read in every step. Networks, batch
size, images and loss are those of `longtail`.
"""

import random
from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import pillow_augmentation
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, get_worker_info
from torchvision import transforms

from longtail.data.normalization import NORMALIZATIONS

Loader = DataLoader[Any]  # yields (images, targets)


class WorkerRandom:
    """Random numbers that differ between worker processes and repeat with the seed.

    Args:
        seed: Seed of all workers.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._own: random.Random | None = None

    def get(self) -> random.Random:
        """Return the generator of this process, made at its first use in a worker."""
        if self._own is None:
            worker = get_worker_info()
            self._own = random.Random(self.seed * 1000 + (worker.id if worker else 999))
        return self._own


class SmallImages(Dataset[tuple[Tensor, int]]):
    """Images in memory, each augmented with Pillow when it is loaded.

    Every worker process has its own random numbers, in every epoch.

    Args:
        images: uint8 (N, 3, H, W).
        labels: Class ids, (N,).
        mean, std: Of each channel, pixels in [0, 1].
        seed: Of the random numbers.
    """

    def __init__(
        self, images: Tensor, labels: Tensor, *, mean: Sequence[float], std: Sequence[float], seed: int = 0
    ) -> None:
        self.arrays = images.permute(0, 2, 3, 1).contiguous().numpy()
        self.labels = labels.tolist()
        self.mean = torch.tensor(mean)[:, None, None]
        self.std = torch.tensor(std)[:, None, None]
        self.random = WorkerRandom(seed)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        array: np.ndarray = pillow_augmentation.small(self.arrays[index], self.random.get())
        image = pillow_augmentation.to_tensor(array).float().div(255)
        return image.sub_(self.mean).div_(self.std), self.labels[index]


class LargeImages(Dataset[tuple[Tensor, int]]):
    """Image files, each opened and augmented with Pillow when it is loaded, (3, size, size) uint8.

    Args:
        paths: The files.
        size: Side of the result in pixels.
    """

    def __init__(self, paths: Sequence[str], size: int) -> None:
        self.paths = paths
        self.size = size
        self.random = WorkerRandom(0)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        with Image.open(self.paths[index]) as image:
            array = pillow_augmentation.large(image, self.size, rng=self.random.get())
        return pillow_augmentation.to_tensor(array), 0


class ReleasedLargeImages(Dataset[tuple[Tensor, int]]):
    """Image files as the release loads them: OpenCV reads, torchvision augments Pillow images, float32 in the worker.

    Args:
        paths: The files.
        size: Side of the result in pixels.
    """

    def __init__(self, paths: Sequence[str], size: int) -> None:
        self.paths = paths
        self.random = WorkerRandom(0)
        self.transform = transforms.Compose(
            [
                transforms.ToPILImage(),
                transforms.RandomResizedCrop(size),
                transforms.RandomHorizontalFlip(),
                transforms.ColorJitter(0.4, 0.4, 0.4),
                lambda image: pillow_augmentation.randaugment(image, self.random.get()),
                transforms.ToTensor(),
                transforms.Normalize(*NORMALIZATIONS.get("imagenet")),
            ]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = cv2.imread(self.paths[index])
        assert image is not None, self.paths[index]
        pixels: Tensor = self.transform(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
        return pixels, 0


def reference_loader(dataset: Dataset[tuple[Tensor, int]], batch_size: int, *, workers: int = 2) -> Loader:
    """Return the loader; its workers persist between epochs, so that starting them is not counted."""
    return DataLoader(dataset, batch_size, shuffle=True, drop_last=True, num_workers=workers, persistent_workers=True)


def reference_optimizer(network: nn.Module, rate: float) -> torch.optim.SGD:
    """Return Nesterov's SGD with one group per tensor."""
    groups = [{"params": [parameter]} for parameter in network.parameters()]
    return torch.optim.SGD(groups, lr=rate, momentum=0.9, weight_decay=2e-4, nesterov=True, foreach=False)


def reference_loss(logits: list[Tensor], targets: Tensor, *, class_counts: Sequence[int], hard_number: int) -> Tensor:
    """Return NCL's loss with its released weights, expert by expert and pair by pair.

    Args:
        logits: Of each expert, (B, C).
        targets: Class ids, (B,).
        class_counts: Training images per class, (C,).
        hard_number: Hard classes per sample, including its class.
    """
    prior = torch.tensor(class_counts, dtype=torch.float32, device=targets.device).log()
    order = logits[0].detach().scatter(1, targets[:, None], torch.inf)
    mask = torch.zeros_like(order).scatter(1, order.topk(hard_number, dim=1).indices, 1.0)
    total = logits[0].new_zeros(())
    for view in ([one + prior for one in logits], [(one + prior) * mask for one in logits]):
        for one in view:
            total = total + F.cross_entropy(one, targets)
        for i, learner in enumerate(view):
            for j, teacher in enumerate(view):
                if i != j:
                    p, q = F.softmax(teacher, 1), F.softmax(learner, 1)
                    divergence = (p * (F.log_softmax(teacher, 1) - (q + 1e-9).log())).sum(1).mean()
                    total = total + 0.6 / (len(logits) - 1) * divergence
    return total


def reference_step(
    experts: Sequence[nn.Module],
    optimizer: torch.optim.Optimizer,
    images: Tensor,
    targets: Tensor,
    *,
    class_counts: Sequence[int],
    hard_number: int = 5,
    max_norm: float = 0.0,
) -> tuple[float, float]:
    """Train on one batch and return its loss and accuracy as numbers.

    Args:
        experts: Each maps images to (logits, features).
        optimizer: Over all of them.
        images: Normalized, (B, 3, H, W).
        targets: Class ids, (B,).
        class_counts: Training images per class, (C,).
        hard_number: Hard classes per sample.
        max_norm: Largest norm of all gradients; 0: no clipping, as released.
    """
    logits = [expert(images)[0] for expert in experts]
    loss = reference_loss(logits, targets, class_counts=class_counts, hard_number=hard_number)
    optimizer.zero_grad()
    loss.backward()
    if max_norm:
        nn.utils.clip_grad_norm_([one for expert in experts for one in expert.parameters()], max_norm)
    optimizer.step()
    predicted = torch.stack(logits).mean(0).argmax(1)
    return loss.item(), (predicted == targets).float().mean().item()


def reference_epoch(
    experts: Sequence[nn.Module],
    optimizer: torch.optim.Optimizer,
    loader: Loader,
    *,
    class_counts: Sequence[int],
    device: torch.device,
    max_norm: float = 0.0,
) -> Iterator[tuple[float, float]]:
    """Train an epoch, yielding loss and accuracy of each step; see `reference_step`."""
    for images, targets in loader:
        batch = images.to(device), targets.to(device)
        yield reference_step(experts, optimizer, *batch, class_counts=class_counts, max_norm=max_norm)
