"""SBCL: contrast that balances subclasses, the first stage of Hou et al., ICCV 2023, arXiv 2306.15925.

A warm-up contrasts classes. Then large classes are split into subclasses about as large as the smallest class, by
clustering the features of all training images, and the loss has a term for subclasses and one for classes. The
clustering is repeated every few epochs. Without NETWORK.MOCO the views of a batch are contrasted with each other; with
it, an image is contrasted with a queue of keys. See `longtail.methods.contrasts`.

The heads of the network are a linear probe: they are trained with LOSS.LOSS_TYPE on detached features, so they show
during training how well the features can be classified, without influencing them.
"""

import logging
import time
from collections.abc import Mapping
from functools import partial
from typing import NamedTuple, cast

import torch
from torch import nn
from yacs.config import CfgNode

from longtail.data import Batch
from longtail.errors import UserError
from longtail.evaluation import plot_feature_map, plot_subclass_sizes
from longtail.losses import Loss
from longtail.methods.base import Draw, Method, Step, TrainingData, loss_terms
from longtail.methods.contrasts import AgainstQueue, Contrast, InBatch, Terms
from longtail.methods.momentum_files import load_momentum_files
from longtail.methods.registry import register
from longtail.methods.subclasses import Subclasses
from longtail.methods.supervised import refuse_teacher
from longtail.models import EncodedOutput, KeyEncoder, Network, Output, SampleQueue, unwrap
from longtail.models.heads import l2_normalize, logits_of

logger = logging.getLogger(__name__)


class ClusteringPlan(NamedTuple):
    """The epochs in which the training images are clustered, and the view that is used.

    Attributes:
        warm_epochs: Epochs before the first clustering.
        every: Epochs from one clustering to the next.
        view: "clean" or "train", see `TrainingData.outputs`.
    """

    warm_epochs: int
    every: int
    view: str = "clean"

    def clusters(self, epoch: int) -> bool:
        """Return whether an epoch starts with a clustering."""
        return epoch > self.warm_epochs and (epoch - self.warm_epochs - 1) % self.every == 0


class SubclassContrastive(Method):
    """Contrast of classes, then of subclasses, and a linear probe on detached features.

    Args:
        network: One expert with a projection head.
        loss: Loss of the probe, of one head.
        contrast: Loss of the projections.
        subclasses: Subclasses of the training images.
        plan: Epochs in which the images are clustered.
    """

    def __init__(
        self, network: nn.Module, loss: Loss, *, contrast: Contrast, subclasses: Subclasses, plan: ClusteringPlan
    ) -> None:
        super().__init__(network, loss)
        self.contrast = contrast
        self.subclasses = subclasses
        self.plan = plan
        self.warming = True

    def set_epoch(self, epoch: int) -> None:
        """See `Method`."""
        super().set_epoch(epoch)
        self.warming = epoch <= self.plan.warm_epochs

    def on_epoch_start(self, epoch: int, data: TrainingData) -> None:
        """Cluster the training images if the plan says so."""
        if self.plan.clusters(epoch):
            started = time.monotonic()
            features = self._encoded(data)
            logger.info("epoch %d: %d images encoded in %.1f s", epoch, len(features), time.monotonic() - started)
            self.subclasses.cluster(features, epoch)

    def training_step(self, batch: Batch) -> Step:
        """Return the step of a batch of two or more views, images (V, B, 3, H, W)."""
        images, targets = self.contrast.rows(batch)
        output = self.network(images, project=True)
        assert output.projections is not None
        queries = l2_normalize(output.projections)[0]
        contrast = self.contrast(queries, batch, subclasses=self.subclasses, warming=self.warming)
        probe = self._probe(output)
        terms = loss_terms(self.loss, probe, targets=targets)
        return Step.of({"contrast": contrast, **terms}, probe, targets=targets)

    def figures(self, data: TrainingData) -> Mapping[str, Draw]:
        """Return a map of the features, and the sizes of the subclasses if there are any."""
        features = self._encoded(data)
        drawings: dict[str, Draw] = {"features.png": partial(plot_feature_map, features=features, labels=data.labels)}
        if not torch.equal(self.subclasses.ids, self.subclasses.labels):
            sizes = torch.bincount(self.subclasses.ids).tolist()
            drawings["subclasses.png"] = partial(
                plot_subclass_sizes, class_counts=data.class_counts, subclass_counts=sizes
            )
        return drawings

    def _encoded(self, data: TrainingData) -> torch.Tensor:
        """Return the vectors of all training images for the clustering, unit length, (N, P), in main memory."""
        encoder = EncodedOutput(self.contrast.encoder(unwrap(self.network)))
        return data.outputs(encoder, self.plan.view).features[0]

    def _probe(self, output: Output) -> Output:
        """Return the output of the heads for detached features."""
        assert isinstance(output.features, torch.Tensor)
        features = output.features.detach()
        heads = cast(Network, unwrap(self.network)).heads
        return Output(torch.stack([logits_of(head, own) for head, own in zip(heads, features, strict=True)]), features)


def check(cfg: CfgNode) -> None:
    """Refuse a config without a projection head, with too few views, or with several experts.

    Raises:
        UserError: It is one of these; the message names the key and what is allowed.
    """
    method, keys, views = cfg.TRAIN.COMBINER.TYPE, cfg.NETWORK, list(cfg.DATASET.VIEWS)
    if len(views) < 2 or (keys.MOCO and len(views) > 2):
        number = "two, for the query and for the key" if keys.MOCO else "two or more"
        raise UserError(f"DATASET.VIEWS has {len(views)} views ({', '.join(views)}); {method} needs {number}")
    if keys.TYPE != "experts" or len(cfg.BACKBONE.MULTI_NETWORK_TYPE) > 1:
        raise UserError(f"TRAIN.COMBINER.TYPE {method} trains one expert: NETWORK.TYPE experts with one backbone")
    projects = keys.PROJECTION_DIM > 0
    if projects == keys.MOCO:
        missing = f"{method} needs a projection head, for example of width 128"
        reason = "with NETWORK.MOCO, MOCO_DIM is the width" if projects else missing
        raise UserError(f"NETWORK.PROJECTION_DIM is {keys.PROJECTION_DIM}; {reason}")
    if keys.MOCO and (keys.MOCO_RELEASED or cfg.TRAIN.COMBINER.SUBCLASS.BASE_TEMPERATURE):
        raise UserError(
            f"NETWORK.MOCO_RELEASED and TRAIN.COMBINER.SUBCLASS.BASE_TEMPERATURE must be off for {method} with "
            "NETWORK.MOCO: the key encoder starts as a copy, and the subclass term has weight 1"
        )


@register("subclass_contrastive", check=check, needs_momentum=None, uses_projections=True)
def build(cfg: CfgNode, network: nn.Module, loss: Loss, data: TrainingData) -> SubclassContrastive:
    """Build the method, for losses of one head.

    The key encoder starts as a copy of the network in its current state, including weights from files. If such a file
    is a released one with a momentum branch, that branch is loaded too.
    """
    refuse_teacher(cfg, loss)
    if loss.nested:
        raise UserError(f"LOSS.LOSS_TYPE {cfg.LOSS.LOSS_TYPE} is a loss of several experts; the probe has one head")
    keys = cfg.TRAIN.COMBINER.SUBCLASS
    subclasses = Subclasses(
        data.labels,
        data.class_counts,
        delta=keys.DELTA,
        clustering=keys.CLUSTERING,
        temperature=keys.CLASS_TEMPERATURE,
        temperature_rule=keys.TEMPERATURE_RULE,
        seed=cfg.RAND_SEED,
    )
    plan = ClusteringPlan(keys.WARM_EPOCHS, keys.EVERY, keys.VIEW)
    return SubclassContrastive(network, loss, contrast=_contrast(cfg, network), subclasses=subclasses, plan=plan)


def _contrast(cfg: CfgNode, network: nn.Module) -> Contrast:
    """Build the contrast with a queue if NETWORK.MOCO is set, else the contrast in a batch."""
    keys, settings = cfg.TRAIN.COMBINER.SUBCLASS, cfg.NETWORK
    terms = Terms(temperature=keys.TEMPERATURE, beta=keys.BETA, one_denominator=keys.ONE_DENOMINATOR)
    if not settings.MOCO:
        return InBatch(terms, base_temperature=keys.BASE_TEMPERATURE or None)
    contrast = AgainstQueue(
        terms,
        key_encoder=KeyEncoder(cast(Network, network), settings.MA_MODEL_ALPHA),
        queue=SampleQueue(1, settings.MOCO_K, width=settings.MOCO_DIM),
        positives=keys.POSITIVES,
        seed=cfg.RAND_SEED,
    )
    load_momentum_files(cfg, contrast, queue_must_fit=False)
    return contrast
