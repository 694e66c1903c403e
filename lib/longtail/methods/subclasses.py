"""State of SBCL: the subclass of each training image, and the temperature of each class."""

import logging
import time
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from longtail.clustering import class_temperatures, cluster_classes, subclass_numbers
from longtail.distributed import main_only

logger = logging.getLogger(__name__)


class Subclasses(nn.Module):
    """Subclasses and class temperatures, the same on all processes; both are state.

    Before the first clustering every class is one subclass.

    Args:
        labels: Class ids of all training images, (N,).
        class_counts: Training images per class, (C,).
        delta: Target for the smallest size of a subclass.
        clustering: capped | kmeans | balanced, see `cluster_classes`.
        temperature: T of `class_temperatures`.
        temperature_rule: released | paper | constant, see `class_temperatures`.
        seed: Seed of the clusterings; each epoch adds its number.

    Attributes:
        labels: Class ids, (N,).
        ids: Subclass of each image, (N,).
        temperatures: Temperature of each class, (C,).
    """

    labels: Tensor
    ids: Tensor
    temperatures: Tensor

    def __init__(
        self,
        labels: Tensor,
        class_counts: Sequence[int],
        *,
        delta: int,
        clustering: str,
        temperature: float,
        temperature_rule: str,
        seed: int,
    ) -> None:
        super().__init__()
        self.register_buffer("labels", labels.clone(), persistent=False)
        self.register_buffer("ids", labels.clone())
        self.register_buffer("temperatures", torch.full((len(class_counts),), temperature))
        self.numbers = subclass_numbers(class_counts, delta)
        self.clustering = clustering
        self.temperature = temperature
        self.temperature_rule = temperature_rule
        self.seed = seed

    def of(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        """Return labels and subclasses of samples (B,), each (B,); -1 for sample -1."""
        known, at = samples >= 0, samples.clamp(min=0)
        return torch.where(known, self.labels[at], -1), torch.where(known, self.ids[at], -1)

    def cluster(self, features: Tensor, epoch: int) -> None:
        """Compute new subclasses and temperatures from features, on process 0 for all processes.

        Args:
            features: Features of all training images, unit length, (N, P).
            epoch: Epoch that is about to start.
        """
        ids, temperatures = main_only(lambda: self._clustered(features, epoch))
        self.ids.copy_(ids)
        self.temperatures.copy_(temperatures)

    def _clustered(self, features: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
        """Return subclasses (N,) and temperatures (C,), in main memory."""
        started, device, labels = time.monotonic(), self.ids.device, self.labels.cpu()
        ids = cluster_classes(
            features.to(device), self.labels, self.numbers, rule=self.clustering, seed=self.seed + epoch
        ).cpu()
        sizes = torch.bincount(ids, minlength=sum(self.numbers))
        logger.info(
            "epoch %d: %d classes in %d subclasses of %d to %d images, clustered in %.1f s",
            *(epoch, len(self.numbers), len(sizes), int(sizes.min()), int(sizes.max()), time.monotonic() - started),
        )
        # On the CPU, because the order of additions on a GPU varies.
        return ids, class_temperatures(features.cpu(), labels, self.numbers, self.temperature, self.temperature_rule)
