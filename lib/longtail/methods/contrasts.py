"""The two contrasts of SBCL: between the views in a batch, and between an image and a queue of keys.

Hou et al., arXiv 2306.15925. Each is first used without subclasses (the warm-up), then with them; the losses are in
`longtail.losses.contrastive`.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from longtail.data import Batch
from longtail.distributed.gathering import gather
from longtail.distributed.shuffle import Shuffle
from longtail.losses.contrastive import (
    k_positive_contrastive,
    subclass_contrastive,
    subclass_contrastive_queue,
    supervised_contrastive,
)
from longtail.methods.base import stacked_views
from longtail.methods.subclasses import Subclasses
from longtail.models import KeyEncoder, QueryEncoder, SampleQueue


@dataclass(frozen=True, kw_only=True)
class Terms:
    """Settings of both terms of the loss.

    Attributes:
        temperature: T of the warm-up and of the subclass term.
        beta: Weight of the class term.
        one_denominator: Both terms compare with all others, at one temperature (a released variant).
    """

    temperature: float
    beta: float
    one_denominator: bool = False


class Contrast(nn.Module):
    """Loss of the projections of a batch; its `state_dict` holds the state between steps."""

    def rows(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the images that the network encodes, (R, 3, H, W), and their labels, (R,)."""
        raise NotImplementedError

    def forward(self, queries: Tensor, batch: Batch, *, subclasses: Subclasses, warming: bool) -> Tensor:
        """Return the loss, a scalar.

        Args:
            queries: Projections of the rows, unit length, (R, P).
            batch: The batch.
            subclasses: Subclasses of the training images.
            warming: Whether this is the warm-up, which does not use subclasses.
        """
        raise NotImplementedError

    def encoder(self, network: nn.Module) -> nn.Module:
        """Return the encoder of the images to cluster: images (B, 3, H, W) to unit vectors (1, B, P)."""
        raise NotImplementedError


class InBatch(Contrast):
    """Every view of every image against all other views of the global batch.

    Args:
        terms: Settings.
        base_temperature: The subclass term is multiplied by T / base_temperature; None: by 1.
    """

    def __init__(self, terms: Terms, *, base_temperature: float | None = None) -> None:
        super().__init__()
        self.terms = terms
        self.base_temperature = base_temperature

    def rows(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return all views of all images, view by view."""
        return stacked_views(batch)

    def forward(self, queries: Tensor, batch: Batch, *, subclasses: Subclasses, warming: bool) -> Tensor:
        """See `Contrast`; supervised contrastive loss in the warm-up."""
        features = queries.unflatten(0, batch.images.shape[:2]).transpose(0, 1)
        if warming:
            return supervised_contrastive(features, batch.labels, temperature=self.terms.temperature)
        return subclass_contrastive(
            features,
            batch.labels,
            subclasses.of(batch.indices)[1],
            temperature=self.terms.temperature,
            base_temperature=self.base_temperature,
            beta=self.terms.beta,
            class_temperatures=None if self.terms.one_denominator else subclasses.temperatures,
        )

    def encoder(self, network: nn.Module) -> nn.Module:
        """Return the network with its projection head."""
        return QueryEncoder(network)


class AgainstQueue(Contrast):
    """The first view of every image against the key of its second view and a queue of older keys (MoCo).

    A step, in the order of the release: the key encoder moves toward the network, the keys are encoded, the queries are
    compared with the queue before this batch, and the keys enter the queue. The queue stores the samples of its keys,
    so their subclasses are always those of the newest clustering.

    Args:
        terms: Settings.
        key_encoder: Momentum copy of the network.
        queue: Keys of earlier images.
        positives: Keys of the same class that the warm-up draws for each image; 0: all.
        seed: Seed of the shuffling over several processes; the same in all of them.
    """

    def __init__(
        self, terms: Terms, *, key_encoder: KeyEncoder, queue: SampleQueue, positives: int, seed: int = 0
    ) -> None:
        super().__init__()
        self.terms = terms
        self.key_encoder = key_encoder
        self.queue = queue
        self.positives = positives
        self.shuffle = Shuffle(seed)

    def rows(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the first view."""
        return batch.images[0], batch.labels

    def forward(self, queries: Tensor, batch: Batch, *, subclasses: Subclasses, warming: bool) -> Tensor:
        """See `Contrast`; k-positive contrastive loss in the warm-up."""
        self.key_encoder.follow()
        keys, all_keys = self.shuffle.encode(self.key_encoder, batch.images[1])
        older = self.queue.keys[0].clone()  # the gradient needs the queue before this step changes it
        queue_labels, queue_subclasses = subclasses.of(self.queue.samples)
        self.queue.enqueue_samples(all_keys, gather(batch.indices))
        if warming:
            return k_positive_contrastive(
                *(queries, keys[0], older, batch.labels, queue_labels),
                k=self.positives,
                temperature=self.terms.temperature,
            )
        return subclass_contrastive_queue(
            *(queries, keys[0], older, batch.labels, subclasses.of(batch.indices)[1], queue_labels, queue_subclasses),
            temperature=self.terms.temperature,
            beta=self.terms.beta,
            class_temperature=None if self.terms.one_denominator else subclasses.temperatures,
        )

    def encoder(self, network: nn.Module) -> nn.Module:
        """Return the key encoder."""
        return self.key_encoder
