"""What can be refused before any data is read."""

from yacs.config import CfgNode

from longtail.config import dataset_parts, expert_backbones, method_name
from longtail.config.released import RELEASED_DATASETS, RELEASED_METHODS
from longtail.data import SOURCES
from longtail.data.augment import POLICIES
from longtail.data.cam.annotations import check_generated
from longtail.data.normalization import NORMALIZATIONS
from longtail.data.samplers import check_sampling
from longtail.engine.inputs import check_input_files
from longtail.engine.run_directory import check_writable
from longtail.errors import UserError
from longtail.losses import LOSSES
from longtail.methods import METHODS
from longtail.methods.bbn_mixup import check_partner
from longtail.methods.contrastive import check_contrastive
from longtail.methods.distillation import check_teacher
from longtail.models import BACKBONES, HEADS, needs_first_stage


def check_names(cfg: CfgNode) -> None:
    """Refuse names that stand for nothing, and keys that do not go together.

    Raises:
        UserError: says which, what there is, and the nearest match.
    """
    parts = dataset_parts(cfg)
    SOURCES.get(parts.source, RELEASED_DATASETS)
    name, file = cfg.DATASET.DATASET, cfg.DATASET.TRAIN_JSON
    if file and name in SOURCES and parts.source != "annotations":  # released names may carry keys they do not read
        raise UserError(
            f"DATASET.TRAIN_JSON is {file!r}, but data set {name!r} reads no annotation file; set DATASET.DATASET "
            "annotations, or leave TRAIN_JSON empty"
        )
    for view in parts.views:
        POLICIES.get(view)
    NORMALIZATIONS.get(parts.normalization)
    for backbone in expert_backbones(cfg):
        BACKBONES.get(backbone)
    HEADS.get(cfg.CLASSIFIER.TYPE)
    LOSSES.get(cfg.LOSS.LOSS_TYPE)
    METHODS.get(method_name(cfg), RELEASED_METHODS)
    check_sampling(cfg)
    check_contrastive(cfg)
    check_partner(cfg)
    check_teacher(cfg)
    check_generated(cfg)


def preflight(cfg: CfgNode) -> None:
    """Check names, that what the training starts from is there, and that the run directory can be written."""
    check_names(cfg)
    check_start(cfg)
    check_input_files(cfg)
    check_writable(cfg)


def check_start(cfg: CfgNode) -> None:
    """Refuse a second stage that starts from no first one.

    Raises:
        UserError: says which head needs it.
    """
    if needs_first_stage(cfg) and not cfg.NETWORK.PRETRAINED:
        raise UserError(
            f"CLASSIFIER.TYPE {cfg.CLASSIFIER.TYPE} is trained on a finished backbone; set NETWORK.PRETRAINED True and "
            "NETWORK.PRETRAINED_MODEL to a checkpoint of the first stage"
        )
