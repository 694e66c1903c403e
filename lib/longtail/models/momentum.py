"""Momentum branch of contrastive learning: encoders that follow the network slowly, and queues of their keys.

Momentum Contrast, He et al., CVPR 2020, arXiv 1911.05722; used by Nested Collaborative Learning, Li et al., CVPR 2022,
arXiv 2203.15359, with one queue per expert. Letters: E experts, B samples, P width of a projection, K keys in a queue.
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from yacs.config import CfgNode

from longtail.config import expert_backbones
from longtail.models.backbones import build_backbone
from longtail.models.experts import Expert, Network, backbone_options
from longtail.models.heads import l2_normalize
from longtail.models.pretrained import pretrained_weights
from longtail.models.projections import PROJECTIONS
from longtail.models.streams import in_streams
from longtail.models.weights import load_backbone_weights


class KeyEncoder(nn.Module):
    """Images to keys; its parameters follow those of a network, k <- a k + (1 - a) q (arXiv 1911.05722, eq. 2).

    Batch norm: in training mode the keys are normalized by the statistics of their own batch, and the running
    statistics are updated from these batches too, as in MoCo and in the release. They are not averaged with those of
    the network, because they describe the activations of these weights. They are used in evaluation mode: when SBCL
    clusters with this encoder, and under EVAL_MODE, where they keep their initial values.

    Args:
        network: Network to follow, with projection heads; not registered as a submodule.
        decay: Decay a.
        start: Initial experts, of the same shapes; None: copies of the network's.
        projection_follows: Update the projection heads, too; False: they keep their initial values.
    """

    _network: Network

    def __init__(
        self,
        network: Network,
        decay: float,
        *,
        start: list[Expert] | None = None,
        projection_follows: bool = True,
    ) -> None:
        super().__init__()
        self.decay = decay
        self.__dict__["_network"] = network  # not a submodule
        self.experts = nn.ModuleList(start or [_copy(expert) for expert in network.experts])
        self.requires_grad_(False)
        parts = ("backbone", "projection") if projection_follows else ("backbone",)
        self._own, self._followed = (
            [parameter for expert in experts for part in parts for parameter in getattr(expert, part).parameters()]
            for experts in (self.experts, network.experts)
        )

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Return keys of unit length, (E, B, P) float32, of images (B, 3, H, W)."""
        outputs = in_streams(self.experts, images, streams=self._network.streams)
        keys = [
            expert.get_submodule("projection")(features)
            for expert, (_, features) in zip(self.experts, outputs, strict=True)
        ]
        return l2_normalize(torch.stack(keys))

    @torch.no_grad()
    def follow(self) -> None:
        """Move the parameters toward the network's, all in one call."""
        torch._foreach_lerp_(self._own, self._followed, 1 - self.decay)


def _copy(expert: nn.Module) -> Expert:
    """Return an expert with copies of backbone and projection head, and no classifier."""
    assert isinstance(expert, Expert)
    projection = copy.deepcopy(expert.projection)
    twin = Expert(copy.deepcopy(expert.backbone), nn.Identity(), pool=expert.pool, projection=projection)
    twin.freeze_bn_stats = expert.freeze_bn_stats
    return twin


def independent_experts(cfg: CfgNode, network: Network) -> list[Expert]:
    """Build key experts with their own random weights, as the release starts (NETWORK.MOCO_RELEASED).

    Their backbones start from the pretrained weights of the config, if it names any.
    """
    pretrained = pretrained_weights(cfg)
    experts = []
    for number, (name, query) in enumerate(zip(expert_backbones(cfg), network.experts, strict=True)):
        assert isinstance(query, Expert)
        backbone = build_backbone(name, backbone_options(cfg))
        for _, weights in pretrained[name]:
            load_backbone_weights(backbone, weights, expert=number)
        projection = PROJECTIONS.get(cfg.CLASSIFIER.SEMI_TYPE)(cfg, backbone.out_features, cfg.NETWORK.MOCO_DIM)
        expert = Expert(backbone, nn.Identity(), pool=query.pool, projection=projection)
        experts.append(expert.to(memory_format=torch.channels_last) if cfg.TRAIN.CHANNELS_LAST else expert)
    return experts


class KeyQueue(nn.Module):
    """The newest K keys of every expert: a ring buffer for batches of any size, initially random directions.

    Args:
        experts: E.
        length: K.
        width: P.
    """

    keys: Tensor
    pointer: Tensor

    def __init__(self, experts: int, length: int, *, width: int) -> None:
        super().__init__()
        self.register_buffer("keys", F.normalize(torch.randn(experts, length, width), dim=2))
        self.register_buffer(
            "pointer", torch.zeros((), dtype=torch.int64)
        )  # a tensor, so that it advances without a host sync

    @torch.no_grad()
    def enqueue(self, keys: Tensor) -> None:
        """Replace the oldest keys by these, (E, B, P); if B > K, only the last K are kept."""
        slots, dropped = self._next_slots(keys.shape[1])
        self.keys.index_copy_(1, slots, keys[:, dropped:].to(self.keys.dtype))
        self.pointer.add_(keys.shape[1]).remainder_(self.keys.shape[1])

    def _next_slots(self, number: int) -> tuple[Tensor, int]:
        """Return the slots of the next keys, and the number of keys, the first ones, for which there is no slot."""
        length = self.keys.shape[1]
        dropped = max(number - length, 0)
        return (self.pointer + torch.arange(dropped, number, device=self.keys.device)) % length, dropped


class SampleQueue(KeyQueue):
    """A queue that stores the sample of each key, so that properties of a sample can be looked up when they are used.

    Attributes:
        samples: Indices in the training set, (K,); -1: an initial random direction.
    """

    samples: Tensor

    def __init__(self, experts: int, length: int, *, width: int) -> None:
        super().__init__(experts, length, width=width)
        self.register_buffer("samples", torch.full((length,), -1))

    @torch.no_grad()
    def enqueue_samples(self, keys: Tensor, samples: Tensor) -> None:
        """Replace the oldest keys by these, (E, B, P), of samples (B,)."""
        slots, dropped = self._next_slots(len(samples))
        self.samples.index_copy_(0, slots, samples[dropped:])
        self.enqueue(keys)
