"""Training methods: each registers itself with its checks, files and abilities."""

from longtail.methods.base import Draw, Method, Mixed, Step, TrainingData, loss_terms, stacked_views
from longtail.methods.bbn_mixup import BBNMixup
from longtail.methods.contrastive import Contrastive
from longtail.methods.cutmix import CutMix
from longtail.methods.distillation import Distillation
from longtail.methods.manifold_mixup import ManifoldMixup
from longtail.methods.mixup import Mixup
from longtail.methods.registry import METHODS, MethodEntry, build_method, method_entry, register
from longtail.methods.remix import Remix
from longtail.methods.subclass_contrastive import SubclassContrastive
from longtail.methods.supervised import Supervised

__all__ = [
    "METHODS",
    "BBNMixup",
    "Contrastive",
    "CutMix",
    "Distillation",
    "Draw",
    "ManifoldMixup",
    "Method",
    "MethodEntry",
    "Mixed",
    "Mixup",
    "Remix",
    "Step",
    "SubclassContrastive",
    "Supervised",
    "TrainingData",
    "build_method",
    "loss_terms",
    "method_entry",
    "register",
    "stacked_views",
]
