"""What each value may be, checked before anything is read or written."""

from typing import Any

from yacs.config import CfgNode

from longtail.errors import UserError
from longtail.registry import nearest

CHOICES: dict[str, tuple[str, ...]] = {
    "COLOR_SPACE": ("RGB", "BGR"),
    "RESUME_MODE": ("all", "state_dict"),
    "MODULE.TYPE": ("GAP", "Identity"),
    "BACKBONE.FROZEN_STATISTICS": ("still", "moving"),
    "DATASET.IMBALANCECIFAR.KIND": ("exp", "step"),
    "DATASET.TEST_VIEW": ("", "none", "transforms"),
    "DATASET.ON_BAD_IMAGE": ("raise", "skip"),
    "DATASET.CACHE": ("none", "ram"),
    "LOSS.HCM_MODE": ("zero", "exclude"),
    "LOSS.HCM_PRIOR": ("counts", "frequencies"),
    "LOSS.CrossEntropyLabelAwareSmooth.SHAPE": ("concave", "linear", "convex"),
    "TRAIN.CUDA_GRAPH": ("off", "loop", "streams"),
    "TRAIN.AMP": ("off", "auto", "bf16", "fp16"),
    "TRAIN.OPTIMIZER.TYPE": ("SGD", "ADAM"),
    "TRAIN.LR_SCHEDULER.TYPE": ("multistep", "warmup", "cosine"),
    "TRAIN.SAMPLER.BBN_SAMPLER.TYPE": ("reverse",),
}

# Smallest and largest value, both allowed; None: no bound on that side.
RANGES: dict[str, tuple[float | None, float | None]] = {
    "RAND_SEED": (0, 2**32 - 1),
    "SHOW_STEP": (1, None),
    "DATASET.INTRA_N": (1, None),
    "DATASET.CAM_NUMBER_THRES": (0, None),
    "DATASET.BAD_IMAGE_LIMIT": (1, None),
    "DATASET.IMBALANCECIFAR.RANDOM_SEED": (0, 2**32 - 1),
    "TRANSFORMS.PROCESS_DETAIL.RANDOM_CROP.PADDING": (0, None),
    "LOSS.ClassBalanceCE.BETA": (0, 1),
    "LOSS.ClassBalanceFocal.BETA": (0, 1),
    "LOSS.ClassBalanceFocal.GAMMA": (0, None),
    "LOSS.FocalLoss.GAMMA": (0, None),
    "LOSS.CrossEntropyLabelSmooth.EPSILON": (0, 1),
    "LOSS.CrossEntropyLabelAwareSmooth.SMOOTH_HEAD": (0, 1),
    "LOSS.CrossEntropyLabelAwareSmooth.SMOOTH_TAIL": (0, 1),
    "LOSS.SEQL.GAMMA": (0, 1),
    "LOSS.SEQL.LAMBDA": (0, 1),
    "LOSS.DiVEKLD.ALPHA": (0, 1),
    "LOSS.HCM_N": (1, None),
    "LOSS.CE_RATIO": (0, None),
    "LOSS.HCM_RATIO": (0, None),
    "LOSS.CON_RATIO": (0, None),
    "LOSS.MULTI_CLASIIFIER_LOSS.DIVERSITY_FACTOR": (0, None),
    "LOSS.MULTI_CLASIIFIER_LOSS.DIVERSITY_FACTOR_HCM": (0, None),
    "LOSS.MULTI_CLASIIFIER_LOSS.RAMP_EPOCHS": (0, None),
    "TRAIN.BATCH_SIZE": (1, None),
    "TRAIN.MAX_EPOCH": (1, None),
    "TRAIN.NUM_WORKERS": (0, None),
    "TRAIN.CHECKPOINT_MINUTES": (0, None),
    "TRAIN.COMBINER.REMIX.TAU": (0, 1),
    "TRAIN.TWO_STAGE.START_EPOCH": (1, None),
    "TRAIN.SAMPLER.WEIGHTED_SAMPLER.EXPONENT": (0, 1),
    "TRAIN.OPTIMIZER.MOMENTUM": (0, 1),
    "TRAIN.OPTIMIZER.WEIGHT_DECAY": (0, None),
    "TRAIN.OPTIMIZER.CLIP_NORM": (0, None),
    "TRAIN.LR_SCHEDULER.WARM_EPOCH": (0, None),
    "TRAIN.LR_SCHEDULER.COSINE_DECAY_END": (0, None),
    "TEST.BATCH_SIZE": (1, None),
    "TEST.NUM_WORKERS": (0, None),
    "TEST.FEW_SHOT": (0, None),
    "TEST.TAU_NORM.TAU": (0, None),
    "TEST.LOGIT_ADJUSTMENT": (0, None),
    "NETWORK.MOCO_K": (1, None),
    "NETWORK.MOCO_DIM": (1, None),
    "NETWORK.MA_MODEL_ALPHA": (0, 1),
}

POSITIVE = (
    "TRAIN.COMBINER.ALPHA",
    "TRAIN.COMBINER.REMIX.KAPPA",
    "TRAIN.OPTIMIZER.BASE_LR",
    "TRAIN.LR_SCHEDULER.LR_FACTOR",
    "DATASET.IMBALANCECIFAR.RATIO",
    "CLASSIFIER.COS_SCALE",
    "NETWORK.MOCO_T",
    "LOSS.LDAMLoss.SCALE",
    "LOSS.InfluenceBalancedLoss.ALPHA",
    "LOSS.DiVEKLD.TEMPERATURE",
)

NAMES = (
    "BACKBONE.MULTI_NETWORK_TYPE",
    "DATASET.VIEWS",
    "TRAIN.SAMPLER.MULTI_NETWORK_TYPE",
    "TRANSFORMS.TEST_TRANSFORMS",
    "TRANSFORMS.TRAIN_TRANSFORMS",
)


def value_of(cfg: CfgNode, key: str) -> Any:
    """Return the value under a dotted key."""
    node: Any = cfg
    for part in key.split("."):
        node = node[part]
    return node


def check_values(cfg: CfgNode) -> None:
    """Refuse values that no run could use.

    Raises:
        UserError: names the key, its value and what is allowed.
    """
    for key, choices in CHOICES.items():
        value = value_of(cfg, key)
        if value not in choices:
            allowed = ", ".join(repr(choice) for choice in choices)
            raise UserError(f"{key} is {value!r}; allowed: {allowed}{nearest(str(value), choices)}")
    for key, (low, high) in RANGES.items():
        value = value_of(cfg, key)
        if not ((low is None or value >= low) and (high is None or value <= high)):
            raise UserError(f"{key} is {value!r}; it must be {_range(low, high)}")
    for key in POSITIVE:
        if not value_of(cfg, key) > 0:
            raise UserError(f"{key} is {value_of(cfg, key)!r}; it must be greater than 0")
    for key in NAMES:
        if not all(isinstance(name, str) for name in value_of(cfg, key)):
            raise UserError(f"{key} is {value_of(cfg, key)!r}; it must be a list of names")
    for key in ("VALID_STEP", "SAVE_STEP"):
        if value_of(cfg, key) < 1 and value_of(cfg, key) != -1:
            raise UserError(f"{key} is {value_of(cfg, key)}; it must be at least 1, or -1 for never")
    if cfg.DATASET.IMBALANCECIFAR.RATIO > 1:
        raise UserError(f"DATASET.IMBALANCECIFAR.RATIO is {cfg.DATASET.IMBALANCECIFAR.RATIO}; it must be at most 1")
    if cfg.TEST.MANY_SHOT <= cfg.TEST.FEW_SHOT:
        raise UserError(f"TEST.MANY_SHOT is {cfg.TEST.MANY_SHOT}; it must be above TEST.FEW_SHOT ({cfg.TEST.FEW_SHOT})")
    steps = cfg.TRAIN.LR_SCHEDULER.LR_STEP
    if not all(type(step) is int for step in steps) or list(steps) != sorted(set(steps)):
        raise UserError(f"TRAIN.LR_SCHEDULER.LR_STEP is {list(steps)}; it must be a list of epochs that rise")
    if len(cfg.INPUT_SIZE) != 2 or not all(type(side) is int and side > 0 for side in cfg.INPUT_SIZE):
        raise UserError(f"INPUT_SIZE is {cfg.INPUT_SIZE}; it must be (height, width) in pixels")


def _range(low: float | None, high: float | None) -> str:
    if high is None:
        return f"at least {low}"
    if low is None:
        return f"at most {high}"
    return f"between {low} and {high}"
