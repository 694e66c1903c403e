"""Network of E experts that see the same images, each a backbone with its head.

With NETWORK.SHARED_TO the experts share the trunk (stem and first stages of their backbones), and each has its own
later stages and head, as in SHIKE, Jin et al., CVPR 2023, arXiv 2304.01279, and BalPoE, Sanchez Aimar et al., CVPR
2023, arXiv 2206.05260. docs/recipes.md shows the savings.
"""

from typing import Any

import torch
from torch import Tensor, nn
from yacs.config import CfgNode

from longtail.config import expert_backbones
from longtail.errors import UserError
from longtail.models.adapters import adapt
from longtail.models.backbones import Backbone, BackboneOptions, build_backbone, split
from longtail.models.heads import HEADS, SecondStageHead, logits_of
from longtail.models.networks import NETWORKS
from longtail.models.output import Output
from longtail.models.projections import PROJECTIONS, projection_width
from longtail.models.streams import in_streams


class Expert(nn.Module):
    """A backbone with its head.

    Args:
        backbone: Images to a feature map (B, D, h, w), or to vectors (B, D).
        head: Features (B, D) to logits (B, C).
        pool: Average a feature map over its pixels; vectors are not changed.
        dropout: Probability of dropping a feature before the head.
        projection: Features (B, D) to vectors (B, P), for contrastive learning.
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        *,
        pool: bool = True,
        dropout: float = 0.0,
        projection: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.pool = pool
        self.dropout = nn.Dropout(dropout)
        self.projection = projection
        self.freeze_bn_stats = False

    def freeze_backbone(self, freeze_bn_stats: bool = True) -> None:
        """Stop training the backbone.

        Args:
            freeze_bn_stats: Also keep its batch-norm statistics, and normalize by them in training; False: freeze only
                its parameters.
        """
        self.backbone.requires_grad_(False)
        self.freeze_bn_stats = freeze_bn_stats
        self.train(self.training)

    def train(self, mode: bool = True) -> "Expert":
        """Set training or evaluation mode; a backbone with frozen statistics is always in evaluation mode."""
        super().train(mode)
        if self.freeze_bn_stats:
            self.backbone.eval()
        return self

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (B, C) and features (B, D) of images (B, 3, H, W)."""
        features = self.backbone(images)
        if self.pool and features.dim() == 4:
            features = features.mean((2, 3))
        elif features.dim() > 2:
            raise UserError(
                "MODULE.TYPE Identity needs a backbone that returns vectors; this one returns maps: use GAP"
            )
        return logits_of(self.head, self.dropout(features)), features


class Network(nn.Module):
    """E experts that are applied to the same images; see `Classifiers`.

    Args:
        experts: Experts with the same number of classes and the same feature width.
        names: Backbone name of each expert.
        head_kind: Name of the head in the registry of heads.
        trunk: Images to the feature map that is the input of all experts; None: their input is the images.
        shared_to: Name of the last stage of the trunk.

    Attributes:
        lr_scales: Factor of the learning rate of the parameters whose names start with a prefix.
    """

    def __init__(
        self,
        experts: list[Expert],
        *,
        names: list[str] | None = None,
        head_kind: str = "FC",
        trunk: Backbone | None = None,
        shared_to: str = "",
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.shared_to = shared_to
        self.experts = nn.ModuleList(experts)
        self.streams: list[Any] = []  # one per expert, to run them in parallel; empty: one after another
        self.names = names or [type(expert.backbone).__name__ for expert in experts]
        self.head_kinds = [head_kind] * len(experts)
        self.lr_scales: dict[str, float] = {}

    @property
    def heads(self) -> list[nn.Module]:
        """Heads in the order of the logits."""
        return [expert.get_submodule("head") for expert in self.experts]

    @property
    def description(self) -> str:
        """Backbones, heads and projections in words."""
        kinds = [f"{self.names.count(name)} x {name}" for name in dict.fromkeys(self.names)]
        shared = f" that share a trunk up to {self.shared_to}," if self.trunk else ""
        text = f"{' + '.join(kinds)}{shared} with {self.head_kinds[0]} heads"
        projects = any(expert.projection is not None for expert in self.experts)
        return f"{text} and projections" if projects else text

    @property
    def num_layers(self) -> int:
        """Layers of the deepest backbone, and one for the heads."""
        return max(int(expert.backbone.num_layers) for expert in self.experts) + 1  # type: ignore[union-attr, arg-type]

    def layer_of(self, name: str) -> int:
        """See `Classifiers`; heads and projections are the last layer."""
        if self.trunk and name.startswith("trunk."):
            return self.trunk.layer_of(name.removeprefix("trunk."))
        _, number, part, rest = name.split(".", 3)
        if part != "backbone":
            return self.num_layers - 1
        backbone: Any = self.experts[int(number)].backbone
        return int(backbone.layer_of(rest))

    def no_decay(self) -> set[str]:
        """See `Classifiers`."""
        return {
            f"experts.{number}.backbone.{name}"
            for number, expert in enumerate(self.experts)
            for name in expert.backbone.no_decay()  # type: ignore[union-attr, operator]
        }

    def whole_expert(self, number: int) -> Expert:
        """Return an expert that takes images, the trunk included."""
        expert = self.experts[number]
        assert isinstance(expert, Expert)
        if not self.trunk:
            return expert
        return Expert(nn.Sequential(self.trunk, expert.backbone), expert.head, pool=expert.pool)

    def train(self, mode: bool = True) -> "Network":
        """Set training or evaluation mode; a trunk with frozen statistics is always in evaluation mode."""
        super().train(mode)
        if self.trunk and all(expert.freeze_bn_stats for expert in self.experts):
            self.trunk.eval()
        return self

    def forward(self, images: Tensor, project: bool = False) -> Output:
        """Return logits (E, B, C) and features (E, B, D) of images (B, 3, H, W).

        Args:
            images: The same for all experts.
            project: Also return projections (E, B, P); every expert must have a projection head. Off by default,
                because evaluation does not need them.
        """
        if self.trunk:
            images = self.trunk(images)
        logits, features = zip(*in_streams(self.experts, images, streams=self.streams), strict=True)
        projections = None
        if project:
            pairs = zip(self.experts, features, strict=True)
            projections = torch.stack([expert.get_submodule("projection")(feature) for expert, feature in pairs])
        return Output(torch.stack(logits), torch.stack(features), projections)


@NETWORKS.register("experts")
def build_experts(cfg: CfgNode, num_classes: int) -> Network:
    """Build the network of BACKBONE, MODULE and CLASSIFIER, with projection heads for NETWORK.MOCO or PROJECTION_DIM.

    BACKBONE.FREEZE and the heads of a second stage freeze the backbones, including a shared trunk.

    Args:
        cfg: Config.
        num_classes: C.

    Raises:
        UserError: There is no such backbone, head or projection head, the experts' features differ in width, or their
            backbones cannot share a trunk.
    """
    options, shared = backbone_options(cfg), cfg.NETWORK.SHARED_TO
    names, experts, widths, trunks = expert_backbones(cfg), [], [], []
    for name in names:
        backbone = build_backbone(name, options)
        if shared:
            trunk, backbone = split(backbone, shared)
            trunks.append(trunk)
        widths.append(backbone.out_features)
        head = HEADS.get(cfg.CLASSIFIER.TYPE)(cfg, backbone.out_features, num_classes)
        expert = Expert(backbone, head, pool=cfg.MODULE.TYPE == "GAP", dropout=0.5 if cfg.DROPOUT else 0.0)
        if cfg.BACKBONE.FREEZE or isinstance(head, SecondStageHead):
            expert.freeze_backbone(cfg.BACKBONE.FROZEN_STATISTICS == "still")
        adapt(cfg, backbone, num_classes)
        experts.append(expert)
    if len(set(widths)) > 1:
        raise UserError(f"BACKBONE.MULTI_NETWORK_TYPE: features of all experts must have one width, not {widths}")
    projected = projection_width(cfg)
    if projected:  # after all experts, so that these start from the same weights without projection heads
        projection = PROJECTIONS.get(cfg.CLASSIFIER.SEMI_TYPE)
        for expert, width in zip(experts, widths, strict=True):
            expert.projection = projection(cfg, width, projected)
    common = trunks[0] if trunks else None
    if common and (cfg.BACKBONE.FREEZE or isinstance(experts[0].head, SecondStageHead)):
        common.requires_grad_(False)
    network = Network(experts, names=names, head_kind=cfg.CLASSIFIER.TYPE, trunk=common, shared_to=shared)
    prefixes = ["trunk.", *(f"experts.{number}.backbone." for number in range(len(experts)))]
    network.lr_scales = dict.fromkeys(prefixes, cfg.BACKBONE.LR_SCALE)
    return network.train()


def backbone_options(cfg: CfgNode) -> BackboneOptions:
    """Return the options of a config for every backbone.

    Raises:
        UserError: The config asks for stochastic depth or an initialization that a backbone does not have.
    """
    plain = [name for name in expert_backbones(cfg) if "/" not in name]
    timm = [name for name in expert_backbones(cfg) if "/" in name]
    if cfg.BACKBONE.DROP_PATH and plain:
        raise UserError(f"BACKBONE.DROP_PATH is {cfg.BACKBONE.DROP_PATH}; {plain[0]} has no stochastic depth")
    fan_out = cfg.BACKBONE.INITIALIZATION == "fan_out"
    if fan_out and timm:
        raise UserError(f"BACKBONE.INITIALIZATION is fan_out; {timm[0]} has its own: set it to default")
    return BackboneOptions((cfg.INPUT_SIZE[0], cfg.INPUT_SIZE[1]), cfg.BACKBONE.DROP_PATH, fan_out=fan_out)
