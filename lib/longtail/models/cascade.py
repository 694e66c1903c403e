"""Network of one trunk whose heads branch off at taps, the network of CADEL.

Heads are in cascade order, from the shallowest to the deepest; the last one is the main head, on the output of the
trunk. Defaults for each trunk, which NETWORK.CASCADE overrides:

| trunk                | taps                | branch (`longtail.models.branches`)                            |
|----------------------|---------------------|----------------------------------------------------------------|
| res50, resnext50     | layer2, layer3      | convolutions 2048 wide                                         |
| res152               | layer2, layer3      | the same, with 3x3 as the last kernel                          |
| res32_cifar          | layer2, layer3      | convolutions 128 wide: 0.5 M parameters, as many as the trunk; |
|                      |                     | not released                                                   |
| VisionTransformer    | blocks 7 and 9 of   | two transformer blocks                                         |
| of timm              | 12, or at the same  |                                                                |
|                      | relative depth      |                                                                |
| other convolutional  | layer2, layer3; or  | convolutions as wide as the features of the trunk              |
| networks of timm     | the two before the  |                                                                |
|                      | last                |                                                                |

A vision transformer averages its patch tokens and normalizes the average (`fc_norm`), instead of normalizing all tokens
and taking the class token. With pretrained weights the weight of its main head is initialized with std 2e-5, as
released; cosines do not depend on its length, but its direction changes fast in the first steps.

The release builds two layer norms in the branches of its vision transformer that are never used; they are not built
here. Its ResNets take images of 193 to 224 pixels only.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from yacs.config import CfgNode

from longtail.config import expert_backbones
from longtail.errors import UserError
from longtail.models.adapters import adapt
from longtail.models.backbones import Backbone, build_backbone, check_taps
from longtail.models.branches import Branch, ConvBody, TransformerBody, is_transformer
from longtail.models.experts import backbone_options
from longtail.models.heads import HEADS, CosNormHead, SecondStageHead, logits_of
from longtail.models.networks import NETWORKS
from longtail.models.output import Output
from longtail.models.pretrained import is_pretrained

CONV_DROPOUT = 0.5  # before the heads of convolutional branches
TINY_STD = 2e-5  # initial std of the main head on a pretrained vision transformer


@dataclass(frozen=True)
class ConvDesign:
    """How the branches of a convolutional trunk are built.

    Attributes:
        width: Width of the convolutions; 0: that of the trunk's features.
        last_kernel: Side of the last kernel.
        default_init: Use PyTorch's default initialization for the convolutions of the branches.
        trunk_by_fan_out: Initialize the convolutions of the trunk like those of the branches.
    """

    width: int = 0
    last_kernel: int = 1
    default_init: bool = False
    trunk_by_fan_out: bool = False


DESIGNS = {
    "res50": ConvDesign(trunk_by_fan_out=True),
    "res152": ConvDesign(last_kernel=3, default_init=True),
    "res32_cifar": ConvDesign(width=128),
}


class Cascade(nn.Module):
    """A trunk, its branches and its main head; see `Classifiers`.

    Args:
        trunk: Images to a feature map (B, D, h, w), or to vectors (B, D).
        branches: Branch at each tap, by the name of the tap, in cascade order.
        head: Main head.
        name: Name of the trunk.
        head_kind: Name of the heads in the registry of heads.
        dropout: Probability of dropping a feature before the main head.

    Attributes:
        lr_scales: Factor of the learning rate of the parameters whose names start with a prefix.
    """

    def __init__(
        self,
        trunk: Backbone,
        branches: Sequence[tuple[str, Branch]],
        head: nn.Module,
        *,
        name: str = "",
        head_kind: str = "cosnorm",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.branches = nn.ModuleList(branch for _, branch in branches)
        self.head = head
        self.dropout = nn.Dropout(dropout)
        self.taps = [tap for tap, _ in branches]
        self.name = name or type(trunk).__name__
        self.head_kinds = [head_kind] * (len(branches) + 1)
        self.lr_scales: dict[str, float] = {}
        self._frozen_statistics: list[nn.Module] = []

    @property
    def heads(self) -> list[nn.Module]:
        """Heads in the order of the logits."""
        return [*(branch.get_submodule("head") for branch in self.branches), self.head]

    @property
    def description(self) -> str:
        """Trunk, taps and heads in words."""
        branches = f" and branches at {', '.join(self.taps)}" if self.taps else ""
        return f"{self.name} with {self.head_kinds[0]} heads{branches}"

    @property
    def num_layers(self) -> int:
        """Layers of the trunk, and one for the main head."""
        return self.trunk.num_layers + 1

    def layer_of(self, name: str) -> int:
        """See `Classifiers`; a branch is in the layer below the one that it taps, as released."""
        part, _, rest = name.partition(".")
        if part == "trunk":
            return self.trunk.layer_of(rest)
        if part == "head":
            return self.num_layers - 1
        tap = self.taps[int(rest.split(".")[0])]
        inside = (name for name, _ in self.trunk.named_parameters() if name.startswith(f"{tap}."))
        return max(max(map(self.trunk.layer_of, inside), default=0) - 1, 0)

    def no_decay(self) -> set[str]:
        """See `Classifiers`."""
        return {f"trunk.{name}" for name in self.trunk.no_decay()}

    def freeze(self, *, bodies: bool, freeze_bn_stats: bool) -> None:
        """Stop training the trunk.

        Args:
            bodies: Also freeze the branches, without their heads.
            freeze_bn_stats: Keep the batch-norm statistics of the frozen parts, and normalize by them in training.
        """
        parts: list[nn.Module] = [self.trunk]
        if bodies:
            parts += [branch.get_submodule("body") for branch in self.branches]
        for part in parts:
            part.requires_grad_(False)
        self._frozen_statistics = parts if freeze_bn_stats else []
        self.train(self.training)

    def train(self, mode: bool = True) -> "Cascade":
        """Set training or evaluation mode; parts with frozen statistics are always in evaluation mode."""
        super().train(mode)
        for part in self._frozen_statistics:
            part.eval()
        return self

    def forward(self, images: Tensor) -> Output:
        """Return logits (E, B, C), and a tuple of the features (B, D_e) of each head, of images (B, 3, H, W)."""
        features, tapped = self.trunk.forward_taps(images, self.taps)
        if features.dim() == 4:
            features = features.mean((2, 3))
        results = [branch(tapped[tap]) for tap, branch in zip(self.taps, self.branches, strict=True)]
        results.append((logits_of(self.head, self.dropout(features)), features))
        logits, inputs = zip(*results, strict=True)
        return Output(torch.stack(logits), inputs)


@NETWORKS.register("cascade")
def build_cascade(cfg: CfgNode, num_classes: int) -> Cascade:
    """Build the network of BACKBONE, CLASSIFIER and NETWORK.CASCADE; without NETWORK.BRANCHES only its main head.

    Args:
        cfg: Config.
        num_classes: C.

    Raises:
        UserError: There is no such backbone, tap or head, or the config asks for several backbones or for projections.
    """
    names = expert_backbones(cfg)
    if len(names) > 1:
        raise UserError(f"NETWORK.TYPE cascade has one trunk; BACKBONE.MULTI_NETWORK_TYPE is {names}")
    if cfg.NETWORK.MOCO:
        raise UserError("NETWORK.TYPE cascade has no projection heads; NETWORK.MOCO must be False")
    options = backbone_options(cfg)
    fan_out = options.fan_out or DESIGNS.get(names[0], ConvDesign()).trunk_by_fan_out
    trunk = build_backbone(names[0], replace(options, mean_tokens=True, fan_out=fan_out))
    make_head = HEADS.get(cfg.CLASSIFIER.TYPE)
    branches = []
    for tap in _taps(cfg, trunk, names[0]) if cfg.NETWORK.BRANCHES else []:
        body, dropout = _body(cfg, trunk, tap=tap, name=names[0])
        branches.append((tap, Branch(body, make_head(cfg, body.out_features, num_classes), dropout=dropout)))
    head = make_head(cfg, trunk.out_features, num_classes)
    if is_pretrained(cfg) and is_transformer(trunk) and isinstance(head, CosNormHead):
        nn.init.trunc_normal_(head.weight, std=TINY_STD)
    kind, dropout = cfg.CLASSIFIER.TYPE, 0.5 if cfg.DROPOUT else 0.0
    network = Cascade(trunk, branches, head, name=names[0], head_kind=kind, dropout=dropout)
    network.lr_scales = {"trunk.": cfg.BACKBONE.LR_SCALE}
    if cfg.BACKBONE.FREEZE or isinstance(head, SecondStageHead):
        network.freeze(
            bodies=isinstance(head, SecondStageHead), freeze_bn_stats=cfg.BACKBONE.FROZEN_STATISTICS == "still"
        )
    adapt(cfg, trunk, num_classes)
    return network


def default_taps(trunk: Backbone) -> list[str]:
    """Return the taps of a trunk if the config names none, see the module."""
    names = list(trunk.taps)
    if is_transformer(trunk):
        return [names[len(names) * part // 12] for part in (7, 9)]
    stages = ["layer2", "layer3"]
    return stages if set(stages) <= set(names) else names[-3:-1]


def _taps(cfg: CfgNode, trunk: Backbone, name: str) -> list[str]:
    """Return the taps of the branches."""
    if hasattr(trunk, "num_prefix_tokens") and not is_transformer(trunk):
        raise UserError(
            f"NETWORK.TYPE cascade needs a convolutional network or a VisionTransformer of timm; {name} is neither"
        )
    taps = list(cfg.NETWORK.CASCADE.TAPS) or default_taps(trunk)
    check_taps(trunk, taps, key="NETWORK.CASCADE.TAPS")
    if not taps:
        raise UserError(f"NETWORK.TYPE cascade: {name} has no taps for branches")
    return taps


def _body(cfg: CfgNode, trunk: Backbone, *, tap: str, name: str) -> tuple[ConvBody | TransformerBody, float]:
    """Return the layers of the branch at a tap, and the dropout after them."""
    keys, design = cfg.NETWORK.CASCADE, DESIGNS.get(name, ConvDesign())
    if is_transformer(trunk):
        return TransformerBody(trunk, tap, depth=keys.DEPTH), 0.0
    width = keys.WIDTH or design.width or trunk.out_features
    body = ConvBody(trunk.taps[tap], width, last_kernel=design.last_kernel, default_init=design.default_init)
    return body, CONV_DROPOUT
