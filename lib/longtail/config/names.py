"""Names of the released systems, replaced by this project's own when a config is loaded.

Every rule leaves this project's names unchanged, so that the config of a run can be loaded again.
"""

from typing import NamedTuple

from yacs.config import CfgNode

from longtail.errors import UserError
from longtail.registry import nearest


class DatasetParts(NamedTuple):
    """The meaning of a released data set name.

    Attributes:
        source: Name in the registry of data sources.
        views: Augmentation policy of each view of a training image.
        normalization: Name of the channel mean and std.
        test_view: View of a validation image.
    """

    source: str
    views: tuple[str, ...] = ("crop_flip",)
    normalization: str = "cifar"
    test_view: str = "none"


_LARGE = ("annotations", ("randaugment",), "imagenet", "transforms")
_LARGE_MOCO = ("annotations", ("randaugment", "simclr_imagenet"), "imagenet", "transforms")
_INAT = ("annotations", ("randaugment",), "inaturalist", "transforms")
_PLACES = ("annotations", ("simclr_imagenet",), "imagenet", "transforms")

# The pipelines of the data set classes of Bag of Tricks and NCL.
BAG_OF_TRICKS = {
    "IMBALANCECIFAR10": DatasetParts("cifar10_lt"),
    "IMBALANCECIFAR100": DatasetParts("cifar100_lt"),
    "CIFAR": DatasetParts("annotations", ("transforms",), "imagenet"),
    "iNaturalist": DatasetParts("annotations", ("transforms",), "imagenet", "transforms"),
}
NCL = {
    "MULTI_NETWORK_CIFAR_AUGPLIS": DatasetParts("annotations", ("autoaugment",)),
    "MULTI_NETWORK_CIFAR_MOCO_AUGPLIS": DatasetParts("annotations", ("autoaugment", "simclr")),
    "MULTI_NETWORK_CIFAR_AUGPLIS_NCL_PLUS": DatasetParts("annotations", ("autoaugment",)),
    "ImageNet_LT": DatasetParts(*_LARGE),
    "ImageNet_LT_NCL_PLUS": DatasetParts(*_LARGE),
    "iNaturalist": DatasetParts(*_INAT),
    "Places_LT_MOCO": DatasetParts("annotations", ("simclr_imagenet", "simclr_imagenet"), "imagenet", "transforms"),
    # Not released, named by the same pattern: each large data set with one view, with a view for the key, and for
    # NCL++.
    "ImageNet_LT_MOCO": DatasetParts(*_LARGE_MOCO),
    "iNaturalist_MOCO": DatasetParts("annotations", ("randaugment", "simclr_imagenet"), "inaturalist", "transforms"),
    "iNaturalist_NCL_PLUS": DatasetParts(*_INAT),
    "Places_LT": DatasetParts(*_PLACES),
    "Places_LT_NCL_PLUS": DatasetParts(*_PLACES),
}
RELEASED_DATASETS = (*BAG_OF_TRICKS, *NCL)
ARCHIVES = ("cifar10_lt", "cifar100_lt")  # sources that annotation files replace

METHODS = {
    "default": "supervised",
    "plain": "supervised",
    "nested": "supervised",
    "multi_network_default": "supervised",
    "multi_network_default_CON": "contrastive",
    "mix_up": "mixup",
    "manifold_mix_up": "manifold_mixup",
    "bbn_mix": "bbn_mixup",
    "dive": "distillation",
}
RELEASED_METHODS = tuple(METHODS)

# NCL's samplers: weighting, and exponent of `square`. Its code takes the square root of the class counts twice.
NCL_SAMPLERS = {
    "weighted_balance": ("balance", 0.5),
    "weighted_square": ("square", 0.25),
    "weighted_progressive": ("progressive", 0.5),
}


def resolve(cfg: CfgNode) -> None:
    """Replace released names by this project's, in place.

    Raises:
        UserError: The sampler in NCL's key is unknown, or contradicts another key.
    """
    _resolve_dataset(cfg)
    _resolve_sampler(cfg)
    cfg.TRAIN.COMBINER.TYPE = METHODS.get(cfg.TRAIN.COMBINER.TYPE, cfg.TRAIN.COMBINER.TYPE)
    if cfg.TRAIN.APEX and cfg.TRAIN.AMP == "off":
        cfg.TRAIN.AMP = "fp16"
    cfg.TRAIN.APEX = False  # TRAIN.AMP says it now, and may be set to off


def expert_backbones(cfg: CfgNode) -> list[str]:
    """Return the backbone of each expert."""
    return list(cfg.BACKBONE.MULTI_NETWORK_TYPE) or [cfg.BACKBONE.TYPE]


def _resolve_dataset(cfg: CfgNode) -> None:
    """Replace the name of a data set by source, views, normalization and test view, where these are not set.

    `iNaturalist` names two pipelines, one in each release; NCL's files are recognized by their training method.
    Annotation files are used instead of an archive, so that a config for the archive trains on them too.
    """
    data = cfg.DATASET
    tables = (NCL, BAG_OF_TRICKS) if cfg.TRAIN.COMBINER.TYPE.startswith("multi_network") else (BAG_OF_TRICKS, NCL)
    parts = tables[0].get(data.DATASET) or tables[1].get(data.DATASET) or DatasetParts(data.DATASET)
    if data.DATASET in RELEASED_DATASETS and parts.source in ARCHIVES:
        data.TRAIN_JSON = data.VALID_JSON = ""  # the release ignores them and reads the archive
    data.DATASET = "annotations" if parts.source in ARCHIVES and data.TRAIN_JSON else parts.source
    data.VIEWS = list(data.VIEWS) or list(parts.views)
    if len(data.VIEWS) == 1:
        data.VIEWS = data.VIEWS * data.INTRA_N
    data.NORMALIZATION = data.NORMALIZATION or parts.normalization
    data.TEST_VIEW = data.TEST_VIEW or parts.test_view


def _resolve_sampler(cfg: CfgNode) -> None:
    """Replace NCL's sampler key by TYPE and WEIGHTED_SAMPLER."""
    sampler = cfg.TRAIN.SAMPLER
    own = sampler.WEIGHTED_SAMPLER
    name = (*sampler.MULTI_NETWORK_TYPE, "default")[0]
    if name == "default":
        return
    where = f"TRAIN.SAMPLER.MULTI_NETWORK_TYPE is {list(sampler.MULTI_NETWORK_TYPE)}"
    if name not in NCL_SAMPLERS:
        known = ("default", *NCL_SAMPLERS)
        raise UserError(f"{where}; its first name must be one of {', '.join(known)}{nearest(name, known)}")
    weighting, exponent = NCL_SAMPLERS[name]
    # The other keys may have their defaults, or the same meaning.
    if sampler.TYPE not in ("default", "weighted sampler") or own.TYPE not in ("balance", weighting):
        raise UserError(
            f"{where}, but TRAIN.SAMPLER.TYPE is {sampler.TYPE!r} and its WEIGHTED_SAMPLER.TYPE {own.TYPE!r}; "
            "only one of them can choose the sampler"
        )
    if own.EXPONENT not in (0.5, exponent):
        raise UserError(
            f"{where}, but TRAIN.SAMPLER.WEIGHTED_SAMPLER.EXPONENT is {own.EXPONENT}; set TRAIN.SAMPLER.TYPE instead"
        )
    sampler.TYPE, own.TYPE, own.EXPONENT = "weighted sampler", weighting, exponent
    sampler.MULTI_NETWORK_TYPE = ["default"]
