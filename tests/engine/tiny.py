"""A network with which a whole training takes a second, and the settings of three methods for it."""

import torch
from torch import nn

from longtail.models import BACKBONES
from longtail.models.backbones import Backbone


class Tiny(Backbone):
    """Two convolutions with batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.out_features = 8
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 4, stride=4), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.body(images)


BACKBONES.register("tiny")(Tiny)

CE = ["BACKBONE.TYPE", "tiny"]
NCL = [
    *("BACKBONE.MULTI_NETWORK_TYPE", ["tiny", "tiny", "tiny"], "TRAIN.COMBINER.TYPE", "nested"),
    *("LOSS.LOSS_TYPE", "NIL_NBOD", "LOSS.HCM_N", 3, "LOSS.CE_RATIO", 1.0, "LOSS.HCM_RATIO", 1.0),
    *("LOSS.MULTI_CLASIIFIER_LOSS.DIVERSITY_FACTOR", 0.6, "LOSS.MULTI_CLASIIFIER_LOSS.DIVERSITY_FACTOR_HCM", 0.6),
]
CONTRASTIVE = [
    *(*NCL, "TRAIN.COMBINER.TYPE", "contrastive", "DATASET.VIEWS", ["crop", "crop"], "LOSS.CON_RATIO", 1.0),
    *("NETWORK.MOCO", True, "NETWORK.MOCO_K", 100, "NETWORK.MOCO_DIM", 4, "NETWORK.MOCO_T", 0.2),
]
