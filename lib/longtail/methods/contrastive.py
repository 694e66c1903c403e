"""Contrastive NCL: nested collaborative learning with momentum contrast beside it, expert by expert.

NCL, Li et al., arXiv 2203.15359; MoCo, He et al., arXiv 1911.05722. The first view of an image is the query: it is
classified by the experts (the nested loss, as in `nested`) and projected. The second view is the key, encoded by the
momentum copies of backbone and projection head. Each expert has to find the key of its own image among those in its
queue (`info_nce`). In one step:

1. network: logits and queries; key encoder: keys of the (shuffled) second view, without gradients;
2. loss, against the queue as it was before this batch;
3. the key encoder follows the network, as released before the optimiser's step: it is one step behind, which at a
   decay of 0.999 is nothing, and a training method needs no second call after the optimiser;
4. the keys of all processes enter the queue, which so stays the same in each of them.

What the release does otherwise (NETWORK.MOCO_RELEASED): the key encoder starts from random weights of its own, and its
projection head keeps them for ever.
"""

import logging
from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn
from yacs.config import CfgNode

from longtail.config import dataset_parts, method_name
from longtail.data import Batch
from longtail.errors import UserError
from longtail.losses import Loss
from longtail.losses.info_nce import info_nce
from longtail.methods.base import METHODS, Method, Step
from longtail.methods.nested import require_nested
from longtail.methods.shuffle import Shuffle
from longtail.models import (
    KeyEncoder,
    KeyQueue,
    LoadReport,
    Network,
    load_momentum_branch,
    momentum_branch,
    read_weights,
)
from longtail.models.heads import unit
from longtail.models.moco import independent_experts

logger = logging.getLogger(__name__)


class Contrastive(Method):
    """A nested loss on the first view, InfoNCE between the two views.

    Args:
        network: experts with projection heads; may be wrapped for several devices.
        loss: nested.
        key_encoder: follows the network.
        queue: of the keys.
        temperature: T of InfoNCE.
        ratio: weight of InfoNCE.
        seed: of the shuffling over several processes; the same in all of them.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: Loss,
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
        """Return the step for a batch of two views, images (2, B, 3, H, W); see `Method.training_step`."""
        query_view, key_view = batch.images
        output = self.network(query_view, project=True)
        assert output.projections is not None
        keys, everyones = self._keys(key_view)
        # The gradient needs the queue as it is now, and this step changes it: hence a copy.
        contrast = info_nce(unit(output.projections), keys, self.queue.keys.clone(), self.temperature)
        terms = {**self.loss.terms(output.logits, batch.labels), "contrastive": self.ratio * contrast}
        self.key_encoder.follow()
        self.queue.enqueue(everyones)
        loss = torch.stack(list(terms.values())).sum()
        return Step(loss, output.logits.detach(), batch.labels, {name: term.detach() for name, term in terms.items()})

    @torch.no_grad()
    def _keys(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the keys of this process's images, (E, B, P), and those of all processes."""
        dealt, permutation = self.shuffle.deal(images)
        return self.shuffle.collect(self.key_encoder(dealt), permutation)

    def load_released(self, state_dict: Mapping[str, Tensor]) -> LoadReport:
        """Set key encoder and queues from a released NCL file; the network is `load_released_weights`'s.

        Args:
            state_dict: names of NCL, with or without `module.`; the table is in `longtail.models.weights`.

        Returns:
            what was loaded, missing and unexpected, in the names of this method's state.

        Raises:
            UserError: the file has no momentum branch, or a shape differs; nothing is loaded then.
        """
        return load_momentum_branch(self, state_dict)


def check_contrastive(cfg: CfgNode) -> None:
    """Refuse a tree in which method, network and views do not go together.

    Raises:
        UserError: NETWORK.MOCO is set for another method or not set for this one, or there are not two views.
    """
    contrastive = method_name(cfg) == "contrastive"
    if contrastive != cfg.NETWORK.MOCO:
        wants = (
            "needs NETWORK.MOCO True" if contrastive else "needs NETWORK.MOCO False; contrastive is the method for it"
        )
        raise UserError(f"NETWORK.MOCO is {cfg.NETWORK.MOCO}; TRAIN.COMBINER.TYPE {cfg.TRAIN.COMBINER.TYPE} {wants}")
    views = dataset_parts(cfg).views
    if contrastive and len(views) != 2:
        raise UserError(
            f"DATASET.VIEWS gives {len(views)} views ({', '.join(views)}); TRAIN.COMBINER.TYPE "
            f"{cfg.TRAIN.COMBINER.TYPE} takes two, that of the query and that of the key, as [autoaugment, simclr]"
        )


@METHODS.register("contrastive")
def build(cfg: CfgNode, network: nn.Module, loss: Loss) -> Contrastive:
    """Build it, for losses that compare experts and networks with projection heads.

    The key encoder starts as a copy of the network as it is here, weights from files included. Where such a file is a
    released one with a momentum branch, that branch is taken over too.
    """
    check_contrastive(cfg)
    require_nested(cfg, loss)
    followed = cast(Network, getattr(network, "module", network))  # inside DataParallel or DistributedDataParallel
    settings = cfg.NETWORK
    method = Contrastive(
        network,
        loss,
        KeyEncoder(
            followed,
            settings.MA_MODEL_ALPHA,
            independent_experts(cfg, followed) if settings.MOCO_RELEASED else None,
            projection_follows=not settings.MOCO_RELEASED,
        ),
        KeyQueue(len(followed.experts), settings.MOCO_K, settings.MOCO_DIM),
        settings.MOCO_T,
        cfg.LOSS.CON_RATIO,
        cfg.RAND_SEED,
    )
    files = [settings.PRETRAINED_MODEL] * settings.PRETRAINED + [cfg.RESUME_MODEL] * (cfg.RESUME_MODE == "state_dict")
    for path in filter(None, files):
        weights = read_weights(path)
        if momentum_branch(weights):
            report = method.load_released(weights)
            logger.info("weights of %s: %d of the momentum branch loaded", path, len(report.loaded))
    return method
