"""All checks of a config that need no data."""

from yacs.config import CfgNode

from longtail.config import KEYS, RELEASED_DATASETS, describe_backbone, expert_backbones
from longtail.data import SOURCES, check_hold_out, check_test_time, configured_rule
from longtail.data.augment import POLICIES, build_policy, evaluation_transforms
from longtail.data.cam.annotations import check_generated
from longtail.data.normalization import channel_statistics
from longtail.data.samplers import check_sampling
from longtail.distributed import Place
from longtail.engine.compiling import check_compilable
from longtail.engine.cuda_graph import check_cuda_graph
from longtail.engine.optim import build_schedule, check_optimizer, check_sharpness
from longtail.errors import UserError
from longtail.evaluation import check_ensemble
from longtail.losses import LOSSES, Loss
from longtail.methods import METHODS, method_entry
from longtail.models import (
    BACKBONES,
    HEADS,
    NETWORKS,
    check_class_means,
    check_prior,
    check_shared,
    is_pretrained,
    needs_first_stage,
)
from longtail.runs.directory import check_writable
from longtail.runs.inputs import check_input_files
from longtail.runs.loggers import check_loggers


def check_network_and_data(cfg: CfgNode) -> None:
    """Check the names of data and network, for training and evaluation.

    Raises:
        UserError: A name is unknown; the message lists the known ones and the nearest match.
    """
    data = cfg.DATASET
    if KEYS["DATASET.DATASET"].default == data.DATASET:
        raise UserError(
            f"DATASET.DATASET is {data.DATASET!r}, its default, which is not a data set; name one before the method "
            f"(digits_lt,ce), or set it; available: {', '.join(SOURCES)}"
        )
    SOURCES.get(data.DATASET, RELEASED_DATASETS)
    check_prior(cfg.TEST.PRIOR)
    if data.DATASET == "own":
        configured_rule(cfg)
    if data.TRAIN_JSON and data.DATASET != "annotations":
        raise UserError(
            f"DATASET.TRAIN_JSON is {data.TRAIN_JSON!r}, but data set {data.DATASET!r} does not read annotation files; "
            "set DATASET.DATASET annotations, or leave TRAIN_JSON empty"
        )
    if data.ROOT and data.DATASET == "digits_lt" and not (data.VALID_JSON or data.TEST_JSON):
        raise UserError(f"DATASET.ROOT is {data.ROOT!r}, but data set 'digits_lt' does not read files; leave it empty")
    for view in data.VIEWS:
        POLICIES.get(view)
    channel_statistics(cfg)
    NETWORKS.get(cfg.NETWORK.TYPE)
    for backbone in expert_backbones(cfg):
        BACKBONES.get(backbone)
    check_shared(cfg)
    if cfg.BACKBONE.PRETRAINED_TAG:
        describe_backbone(cfg)  # refuses a tag that timm does not have
    HEADS.get(cfg.CLASSIFIER.TYPE)
    check_ensemble(cfg.TEST.ENSEMBLE)
    check_test_time(cfg)


def check_names(cfg: CfgNode) -> None:
    """Check all names of a training, and keys that cannot be combined.

    Raises:
        UserError: A check fails; the message names the key and what is allowed.
    """
    check_network_and_data(cfg)
    LOSSES.get(cfg.LOSS.LOSS_TYPE)
    check_optimizer(cfg)
    build_schedule(cfg)
    check_sampling(cfg)
    if "transforms" in cfg.DATASET.VIEWS:
        build_policy("transforms", cfg)
    if cfg.DATASET.TEST_VIEW == "transforms":
        evaluation_transforms(cfg)
    check_generated(cfg)
    check_class_means(cfg)
    _check_method(cfg)


def _check_method(cfg: CfgNode) -> None:
    """Check the training method by its own check and by its abilities."""
    method = method_entry(cfg)
    method.check(cfg)
    if method.needs_momentum not in (None, cfg.NETWORK.MOCO):
        users = ", ".join(name for name in METHODS if METHODS.get(name).needs_momentum is not False)
        wants = "needs NETWORK.MOCO True" if method.needs_momentum else f"needs NETWORK.MOCO False; it is for {users}"
        raise UserError(f"NETWORK.MOCO is {cfg.NETWORK.MOCO}; TRAIN.COMBINER.TYPE {cfg.TRAIN.COMBINER.TYPE} {wants}")
    if cfg.NETWORK.PROJECTION_DIM and not method.uses_projections:
        users = ", ".join(name for name in METHODS if METHODS.get(name).uses_projections)
        raise UserError(
            f"NETWORK.PROJECTION_DIM is {cfg.NETWORK.PROJECTION_DIM}; TRAIN.COMBINER.TYPE {cfg.TRAIN.COMBINER.TYPE} "
            f"needs 0; projection heads are for {users}"
        )
    if cfg.TRAIN.SAMPLER.TYPE == "bbn sampler" and not method.takes_partner:
        users = ", ".join(name for name in METHODS if METHODS.get(name).takes_partner)
        raise UserError(
            f"TRAIN.SAMPLER.TYPE is 'bbn sampler', which draws a partner for each image; TRAIN.COMBINER.TYPE "
            f"{cfg.TRAIN.COMBINER.TYPE} does not use it; allowed: {users}"
        )


def check_start(cfg: CfgNode) -> None:
    """Refuse the head of a second stage without a first stage, and random weights where trained ones are needed.

    Raises:
        UserError: There is no first stage, or there are no weights; the message names the keys.
    """
    if needs_first_stage(cfg) and not cfg.NETWORK.PRETRAINED:
        raise UserError(
            f"CLASSIFIER.TYPE {cfg.CLASSIFIER.TYPE} is trained on a finished backbone; set NETWORK.PRETRAINED True and "
            "NETWORK.PRETRAINED_MODEL to a checkpoint of the first stage"
        )
    if is_pretrained(cfg) or cfg.NETWORK.PRETRAINED or cfg.RESUME_MODEL:
        return
    means = cfg.CLASSIFIER.START == "class_means"
    if cfg.BACKBONE.FREEZE or means:
        raise UserError(
            f"{'CLASSIFIER.START is class_means' if means else 'BACKBONE.FREEZE is True'}, but the backbone has random "
            "weights; set BACKBONE.PRETRAINED_TAG to a tag of timm (or default), or BACKBONE.PRETRAINED_MODEL to a "
            "weights file"
        )


def deferral_warning(cfg: CfgNode, loss: Loss) -> str:
    """Return a warning if deferred re-weighting or re-sampling changes nothing, else ""."""
    keys, epochs = cfg.TRAIN.TWO_STAGE, cfg.TRAIN.MAX_EPOCH
    deferred = " and ".join(f"TRAIN.TWO_STAGE.{name}" for name in ("DRW", "DRS") if keys[name])
    if deferred and epochs <= keys.START_EPOCH:
        return (
            f"{deferred} True changes nothing before the last epoch: TRAIN.TWO_STAGE.START_EPOCH is "
            f"{keys.START_EPOCH} and TRAIN.MAX_EPOCH {epochs}; START_EPOCH 0 is 80 % of the epochs"
        )
    if keys.DRW and not loss.defers:
        weights = "; set LOSS.CLASS_WEIGHTS.TYPE inverse to defer class weights" if loss.takes_class_weights else ""
        return (
            f"TRAIN.TWO_STAGE.DRW True changes nothing: LOSS.LOSS_TYPE {cfg.LOSS.LOSS_TYPE} has no part that can start "
            f"later{weights}"
        )
    return ""


def rate_warning(cfg: CfgNode) -> str:
    """Return a warning if all drops of the learning rate are after the last epoch, else ""."""
    keys, epochs = cfg.TRAIN.LR_SCHEDULER, cfg.TRAIN.MAX_EPOCH
    drops = keys.LR_STEP if keys.TYPE in ("multistep", "warmup") else ()
    if epochs < 10 or not drops or min(drops) <= epochs - 1 + keys.EPOCH_OFFSET:  # fewer epochs are a trial
        return ""
    fitting = [epochs * tenths // 10 for tenths in (8, 9)]
    return (
        f"the learning rate does not drop: TRAIN.LR_SCHEDULER.LR_STEP is {list(keys.LR_STEP)} and TRAIN.MAX_EPOCH "
        f"{epochs}; after 80 and 90 % of the epochs it drops with LR_STEP [{fitting[0]},{fitting[1]}]"
    )


def training_warnings(cfg: CfgNode, loss: Loss) -> list[str]:
    """Return what is probably not meant in a config."""
    return [warning for warning in (deferral_warning(cfg, loss), rate_warning(cfg)) if warning]


def check_training(cfg: CfgNode, place: Place) -> None:
    """Check everything about a training that can be checked before data is read.

    Raises:
        UserError: A check fails; the message names the cause and what is allowed.
    """
    check_names(cfg)
    check_hold_out(cfg)
    check_start(cfg)
    check_input_files(cfg)
    check_writable(cfg)
    check_abilities(cfg, place)


def check_abilities(cfg: CfgNode, place: Place) -> None:
    """Check that packages, processes and devices can do what a training asks for.

    Raises:
        UserError: They cannot; the message names the key and what is allowed.
    """
    place = place.with_precision(cfg.TRAIN.AMP)
    check_loggers(cfg)
    if cfg.TRAIN.SYNCBN and place.world.size > 1 and place.device.type == "cpu":
        raise UserError(
            f"TRAIN.SYNCBN is True, but the {place.world.size} processes are on CPUs; batch norm can be synchronized "
            "only on GPUs, so set it to False"
        )
    if cfg.TRAIN.COMPILE:
        check_compilable(place, compilable=method_entry(cfg).compilable)
    check_cuda_graph(cfg, place)
    check_sharpness(cfg, place)
