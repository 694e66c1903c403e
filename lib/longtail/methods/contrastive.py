"""Contrastive NCL: nested collaborative learning with momentum contrast for each expert.

NCL, Li et al., arXiv 2203.15359; MoCo, He et al., arXiv 1911.05722. The first view of an image is the query: it is
classified by the experts (the loss over all heads) and projected. The second view is the key, encoded by the momentum
copies of backbone and projection head. Each expert must identify the key of the same image among those in its queue
(`info_nce`). One step:

1. Network: logits and queries; key encoder: keys of the (shuffled) second view, without gradients.
2. Loss, against the queue before this batch.
3. The key encoder follows the network. As released, this happens before the optimizer's step: the encoder lags by one
   step, which does not matter at a decay of 0.999.
4. The keys of all processes enter the queue, so it is the same in all processes.

In the release (NETWORK.MOCO_RELEASED) the key encoder starts from its own random weights, and its projection head is
never updated.
"""

from typing import cast

from torch import nn
from yacs.config import CfgNode

from longtail.data import Batch
from longtail.distributed.shuffle import Shuffle
from longtail.errors import UserError
from longtail.losses import Loss
from longtail.losses.info_nce import info_nce
from longtail.methods.base import Method, Step, TrainingData, loss_terms
from longtail.methods.momentum_files import load_momentum_files
from longtail.methods.registry import register
from longtail.models import (
    KeyEncoder,
    KeyQueue,
    Network,
)
from longtail.models.heads import l2_normalize
from longtail.models.momentum import independent_experts


class Contrastive(Method):
    """A loss over all heads on the first view, and InfoNCE between the two views.

    Args:
        network: Experts with projection heads.
        loss: Nested loss.
        key_encoder: Momentum copy of the network.
        queue: Keys of earlier images.
        temperature: Temperature T of InfoNCE.
        ratio: Weight of InfoNCE.
        seed: Seed of the shuffling over several processes; the same in all of them.
    """

    supports_cuda_graph = True  # on one GPU: nothing is shuffled

    def __init__(
        self,
        network: nn.Module,
        loss: Loss,
        *,
        key_encoder: KeyEncoder,
        queue: KeyQueue,
        temperature: float,
        ratio: float,
        seed: int = 0,
    ) -> None:
        super().__init__(network, loss)
        self.key_encoder = key_encoder
        self.queue = queue
        self.shuffle = Shuffle(seed)
        self.temperature = temperature
        self.ratio = ratio

    def training_step(self, batch: Batch) -> Step:
        """Return the step of a batch of two views, images (2, B, 3, H, W)."""
        query_view, key_view = batch.images
        output = self.network(query_view, project=True)
        assert output.projections is not None
        keys, all_keys = self.shuffle.encode(self.key_encoder, key_view)
        # The gradient needs the queue before this step changes it.
        queue = self.queue.keys.clone()
        contrast = info_nce(l2_normalize(output.projections), keys, queue=queue, temperature=self.temperature)
        terms = loss_terms(self.loss, output, targets=batch.labels)
        self.key_encoder.follow()
        self.queue.enqueue(all_keys)
        return Step.of({**terms, "contrastive": self.ratio * contrast}, output, targets=batch.labels)


def check(cfg: CfgNode) -> None:
    """Refuse a config that does not have exactly two views, or adapters in the query encoder only.

    Raises:
        UserError: It is such a config; the message names the keys.
    """
    views = list(cfg.DATASET.VIEWS)
    if len(views) != 2:
        raise UserError(
            f"DATASET.VIEWS has {len(views)} views ({', '.join(views)}); TRAIN.COMBINER.TYPE "
            f"{cfg.TRAIN.COMBINER.TYPE} needs two, for the query and for the key, for example [autoaugment, simclr]"
        )
    if cfg.NETWORK.MOCO_RELEASED and cfg.BACKBONE.ADAPTER != "none":
        raise UserError(
            "NETWORK.MOCO_RELEASED builds key encoders without adapters; set it to False, or BACKBONE.ADAPTER to none, "
            f"not {cfg.BACKBONE.ADAPTER}"
        )


@register("contrastive", check=check, needs_momentum=True)
def build(cfg: CfgNode, network: nn.Module, loss: Loss, data: TrainingData) -> Contrastive:
    """Build the method, for nested losses and networks with projection heads.

    The key encoder starts as a copy of the network in its current state, including weights from files. If such a file
    is a released one with a momentum branch, that branch is loaded too.
    """
    if not loss.nested:
        raise UserError(
            f"LOSS.LOSS_TYPE {cfg.LOSS.LOSS_TYPE} is a loss of one expert; TRAIN.COMBINER.TYPE "
            f"{cfg.TRAIN.COMBINER.TYPE} needs a nested loss such as NIL_NBOD"
        )
    settings, followed = cfg.NETWORK, cast(Network, network)
    method = Contrastive(
        network,
        loss,
        key_encoder=KeyEncoder(
            followed,
            settings.MA_MODEL_ALPHA,
            start=independent_experts(cfg, followed) if settings.MOCO_RELEASED else None,
            projection_follows=not settings.MOCO_RELEASED,
        ),
        queue=KeyQueue(len(followed.experts), settings.MOCO_K, width=settings.MOCO_DIM),
        temperature=settings.MOCO_T,
        ratio=cfg.LOSS.CON_RATIO,
        seed=cfg.RAND_SEED,
    )
    load_momentum_files(cfg, method)
    return method
