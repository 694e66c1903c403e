"""Training methods: what one batch becomes."""

from longtail.methods.base import METHODS, Method, Mixed, Step, build_method, joined, stacked_views
from longtail.methods.bbn_mixup import BBNMixup
from longtail.methods.contrastive import Contrastive
from longtail.methods.distillation import Distillation
from longtail.methods.manifold_mixup import ManifoldMixup
from longtail.methods.mixup import Mixup
from longtail.methods.nested import Nested
from longtail.methods.plain import Plain
from longtail.methods.remix import Remix

__all__ = [
    "METHODS",
    "BBNMixup",
    "Contrastive",
    "Distillation",
    "ManifoldMixup",
    "Method",
    "Mixed",
    "Mixup",
    "Nested",
    "Plain",
    "Remix",
    "Step",
    "build_method",
    "joined",
    "stacked_views",
]
