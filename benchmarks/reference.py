"""The baseline of every ratio: the released way of training NCL, short and plain, written for these measurements.

Eager float32, one expert after another; images augmented one by one with Pillow in two worker processes; an optimiser
with one parameter group per tensor that updates tensor by tensor; loss and accuracy read in every step. Networks,
batch, images and loss are the same as in `longtail`.
"""

import random
from collections.abc import Iterator, Sequence

import numpy as np
import pillow_augmentation
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from longtail.data.normalization import NORMALIZATIONS


class SmallImages(Dataset):
    """Images in memory, each augmented with Pillow when it is asked for.

    Args:
        images: uint8 (N, 3, H, W).
        labels: class ids, (N,).
        mean, deviation: of each channel, pixels in [0, 1].
    """

    def __init__(self, images: Tensor, labels: Tensor, mean: Sequence[float], deviation: Sequence[float]) -> None:
        self.arrays = images.permute(0, 2, 3, 1).contiguous().numpy()
        self.labels = labels.tolist()
        self.mean = torch.tensor(mean)[:, None, None]
        self.deviation = torch.tensor(deviation)[:, None, None]
        self.rng = random.Random(0)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        array: np.ndarray = pillow_augmentation.small(self.arrays[position], self.rng)
        image = pillow_augmentation.to_tensor(array).float().div(255)
        return image.sub_(self.mean).div_(self.deviation), self.labels[position]


class LargeImages(Dataset):
    """Image files, each opened and augmented with Pillow when it is asked for, (3, size, size).

    Args:
        paths: the files.
        size: side of the result in pixels.
        normalized: give normalised float32, as released, and not uint8.
    """

    def __init__(self, paths: Sequence[str], size: int, normalized: bool = False) -> None:
        self.paths = paths
        self.size = size
        self.normalized = normalized
        self.mean, self.deviation = (torch.tensor(values)[:, None, None] for values in NORMALIZATIONS.get("imagenet"))
        self.rng = random.Random(0)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        with Image.open(self.paths[position]) as image:
            pixels = pillow_augmentation.to_tensor(pillow_augmentation.large(image, self.size, self.rng))
        if self.normalized:
            pixels = pixels.float().div(255).sub_(self.mean).div_(self.deviation)
        return pixels, 0


def reference_loader(dataset: Dataset, batch_size: int, workers: int = 2) -> DataLoader:
    """Return the loader; its workers live on between epochs, so that starting them is not counted."""
    return DataLoader(dataset, batch_size, shuffle=True, drop_last=True, num_workers=workers, persistent_workers=True)


def reference_optimizer(network: nn.Module, rate: float) -> torch.optim.SGD:
    """Return Nesterov's SGD with one group per tensor."""
    groups = [{"params": [parameter]} for parameter in network.parameters()]
    return torch.optim.SGD(groups, lr=rate, momentum=0.9, weight_decay=2e-4, nesterov=True, foreach=False)


def reference_loss(logits: list[Tensor], targets: Tensor, class_counts: Sequence[int], hard_number: int) -> Tensor:
    """Return NCL's loss with its released weights, expert by expert and pair by pair.

    Args:
        logits: of each expert, (B, C).
        targets: class ids, (B,).
        class_counts: training images of each class, (C,).
        hard_number: hard classes per sample, its own included.
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
    class_counts: Sequence[int],
    hard_number: int = 5,
    largest_norm: float = 0.0,
) -> tuple[float, float]:
    """Train on one batch and return its loss and accuracy as numbers.

    Args:
        experts: each maps images to (logits, features).
        optimizer: over all of them.
        images: normalised, (B, 3, H, W).
        targets: class ids, (B,).
        class_counts: training images of each class, (C,).
        hard_number: hard classes per sample.
        largest_norm: bound of the norm of all gradients; 0: none, as released.
    """
    logits = [expert(images)[0] for expert in experts]
    loss = reference_loss(logits, targets, class_counts, hard_number)
    optimizer.zero_grad()
    loss.backward()
    if largest_norm:
        nn.utils.clip_grad_norm_([one for expert in experts for one in expert.parameters()], largest_norm)
    optimizer.step()
    predicted = torch.stack(logits).mean(0).argmax(1)
    return loss.item(), (predicted == targets).float().mean().item()


def reference_epoch(
    experts: Sequence[nn.Module],
    optimizer: torch.optim.Optimizer,
    loader: DataLoader,
    class_counts: Sequence[int],
    device: torch.device,
    largest_norm: float = 0.0,
) -> Iterator[tuple[float, float]]:
    """Train an epoch, yielding loss and accuracy of each step; see `reference_step`."""
    for images, targets in loader:
        batch = images.to(device), targets.to(device)
        yield reference_step(experts, optimizer, *batch, class_counts, largest_norm=largest_norm)
