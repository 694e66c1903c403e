"""Training methods: what one batch becomes."""

from longtail.methods.base import METHODS, Method, Step, build_method, joined, stacked_views
from longtail.methods.contrastive import Contrastive
from longtail.methods.nested import Nested
from longtail.methods.plain import Plain

__all__ = ["METHODS", "Contrastive", "Method", "Nested", "Plain", "Step", "build_method", "joined", "stacked_views"]
