"""Models: backbones, heads, networks, and loading of weights."""

from longtail.models.backbones import BACKBONES, Backbone, BackboneOptions, check_shared
from longtail.models.cascade import Cascade
from longtail.models.class_means import check_class_means, start_from_class_means
from longtail.models.experts import Expert, Network
from longtail.models.heads import HEADS, needs_first_stage
from longtail.models.hidden_mixing import HiddenMixing, chunks_of, mix
from longtail.models.loading_report import LoadReport, check_depth, check_finite, check_loaded
from longtail.models.momentum import KeyEncoder, KeyQueue, SampleQueue
from longtail.models.networks import NETWORKS, build_model
from longtail.models.output import Classifiers, Output
from longtail.models.post_hoc import AdjustedHeads, PostHocClassifier, build_adjusted_heads, uses_post_hoc
from longtail.models.pretrained import is_pretrained, pretrained_weights
from longtail.models.priors import check_prior
from longtail.models.projections import PROJECTIONS, EncodedOutput, QueryEncoder
from longtail.models.released import momentum_branch
from longtail.models.test_time import FiveCrops, MeanLogits, StackedFeatures, Views, flip_views, one_view
from longtail.models.weight_files import read_weights, weights_in
from longtail.models.weights import (
    load_backbone_weights,
    load_momentum_branch,
    load_released_weights,
    start_from,
)
from longtail.models.wrapping import synchronize_batch_norm, unwrap, wrap

__all__ = [
    "BACKBONES",
    "HEADS",
    "NETWORKS",
    "PROJECTIONS",
    "AdjustedHeads",
    "Backbone",
    "BackboneOptions",
    "Cascade",
    "Classifiers",
    "EncodedOutput",
    "Expert",
    "FiveCrops",
    "HiddenMixing",
    "KeyEncoder",
    "KeyQueue",
    "LoadReport",
    "MeanLogits",
    "Network",
    "Output",
    "PostHocClassifier",
    "QueryEncoder",
    "SampleQueue",
    "StackedFeatures",
    "Views",
    "build_adjusted_heads",
    "build_model",
    "check_class_means",
    "check_depth",
    "check_finite",
    "check_loaded",
    "check_prior",
    "check_shared",
    "chunks_of",
    "flip_views",
    "is_pretrained",
    "load_backbone_weights",
    "load_momentum_branch",
    "load_released_weights",
    "mix",
    "momentum_branch",
    "needs_first_stage",
    "one_view",
    "pretrained_weights",
    "read_weights",
    "start_from",
    "start_from_class_means",
    "synchronize_batch_norm",
    "unwrap",
    "uses_post_hoc",
    "weights_in",
    "wrap",
]
