"""The names used by the released systems, mapped to this project's own parts."""

from dataclasses import dataclass
from typing import NamedTuple

from yacs.config import CfgNode

from longtail.errors import UserError
from longtail.registry import nearest


@dataclass(frozen=True)
class DatasetParts:
    """What a data set's name stands for.

    Attributes:
        source: where images and labels come from (a name in the data set registry).
        views: augmentation policy of each view of a training image.
        normalization: name of the channel means and deviations.
        test_view: policy of a validation image.
    """

    source: str
    views: tuple[str, ...] = ("crop_flip",)
    normalization: str = "cifar"
    test_view: str = "none"


# The pipelines of the releases: specs of Bag of Tricks' and NCL's data set classes.
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
    "ImageNet_LT": DatasetParts("annotations", ("randaugment",), "imagenet", "transforms"),
    "ImageNet_LT_NCL_PLUS": DatasetParts("annotations", ("randaugment",), "imagenet", "transforms"),
    "iNaturalist": DatasetParts("annotations", ("randaugment",), "inaturalist", "transforms"),
    "Places_LT_MOCO": DatasetParts("annotations", ("simclr_imagenet", "simclr_imagenet"), "imagenet", "transforms"),
    # Not released, by the same pattern: the pipeline of each large set with one view, with a key's view, for NCL++.
    "ImageNet_LT_MOCO": DatasetParts("annotations", ("randaugment", "simclr_imagenet"), "imagenet", "transforms"),
    "iNaturalist_MOCO": DatasetParts("annotations", ("randaugment", "simclr_imagenet"), "inaturalist", "transforms"),
    "iNaturalist_NCL_PLUS": DatasetParts("annotations", ("randaugment",), "inaturalist", "transforms"),
    "Places_LT": DatasetParts("annotations", ("simclr_imagenet",), "imagenet", "transforms"),
    "Places_LT_NCL_PLUS": DatasetParts("annotations", ("simclr_imagenet",), "imagenet", "transforms"),
}
METHODS = {
    "default": "plain",
    "mix_up": "mixup",
    "manifold_mix_up": "manifold_mixup",
    "remix": "remix",
    "bbn_mix": "bbn_mixup",
    "dive": "distillation",
    "multi_network_default": "nested",
    "multi_network_default_CON": "contrastive",
}

# NCL's samplers: weighting, and exponent of `square`. Its code takes the square root of the class counts twice.
NCL_SAMPLERS = {
    "weighted_balance": ("balance", 0.5),
    "weighted_square": ("square", 0.25),
    "weighted_progressive": ("progressive", 0.5),
}


RELEASED_DATASETS = (*BAG_OF_TRICKS, *NCL)
ARCHIVES = ("cifar10_lt", "cifar100_lt")  # own names; the released ones have keys that are not read
RELEASED_METHODS = tuple(METHODS)


def dataset_parts(cfg: CfgNode) -> DatasetParts:
    """Return the parts that DATASET.DATASET stands for, with what the tree sets explicitly in place.

    `iNaturalist` names two pipelines, one in each release; NCL's files are told by their training method. Annotation
    files go before an archive, so that a configuration for the archive trains on them too.
    """
    name = cfg.DATASET.DATASET
    tables = (NCL, BAG_OF_TRICKS) if cfg.TRAIN.COMBINER.TYPE.startswith("multi_network") else (BAG_OF_TRICKS, NCL)
    implied = tables[0].get(name) or tables[1].get(name) or DatasetParts(name)
    source = "annotations" if name in ARCHIVES and cfg.DATASET.TRAIN_JSON else implied.source
    views = tuple(cfg.DATASET.VIEWS) or implied.views
    if len(views) == 1:
        views *= cfg.DATASET.INTRA_N
    return DatasetParts(
        source=source,
        views=views,
        normalization=cfg.DATASET.NORMALIZATION or implied.normalization,
        test_view=cfg.DATASET.TEST_VIEW or implied.test_view,
    )


def method_name(cfg: CfgNode) -> str:
    """Return this project's name of the training method in TRAIN.COMBINER.TYPE."""
    return METHODS.get(cfg.TRAIN.COMBINER.TYPE, cfg.TRAIN.COMBINER.TYPE)


class Sampling(NamedTuple):
    """Which sampler draws the training images.

    Attributes:
        kind: a name in the sampler registry.
        weighting: of a weighted sampler, a name in its registry.
        exponent: of the weighting `square`.
    """

    kind: str
    weighting: str
    exponent: float


def sampling(cfg: CfgNode) -> Sampling:
    """Return the sampler that TRAIN.SAMPLER stands for; NCL's own key goes before the others.

    Raises:
        UserError: NCL's key names no sampler, or another key asks for another one.
    """
    keys = cfg.TRAIN.SAMPLER
    own = Sampling(keys.TYPE, keys.WEIGHTED_SAMPLER.TYPE, keys.WEIGHTED_SAMPLER.EXPONENT)
    name = (*keys.MULTI_NETWORK_TYPE, "default")[0]
    if name == "default":
        return own
    where = f"TRAIN.SAMPLER.MULTI_NETWORK_TYPE is {list(keys.MULTI_NETWORK_TYPE)}"
    if name not in NCL_SAMPLERS:
        known = ("default", *NCL_SAMPLERS)
        raise UserError(f"{where}; its first name must be one of {', '.join(known)}{nearest(name, known)}")
    weighting, exponent = NCL_SAMPLERS[name]
    # What may stand beside it: the keys' defaults, and what says the same.
    if own.kind not in ("default", "weighted sampler") or own.weighting not in ("balance", weighting):
        raise UserError(
            f"{where}, but TRAIN.SAMPLER.TYPE is {own.kind!r} and its WEIGHTED_SAMPLER.TYPE {own.weighting!r}; "
            "only one of them can choose the sampler"
        )
    if own.exponent not in (0.5, exponent):
        raise UserError(
            f"{where}, but TRAIN.SAMPLER.WEIGHTED_SAMPLER.EXPONENT is {own.exponent}; set TRAIN.SAMPLER.TYPE instead"
        )
    return Sampling("weighted sampler", weighting, exponent)


def expert_backbones(cfg: CfgNode) -> list[str]:
    """Return the backbone of each expert."""
    return list(cfg.BACKBONE.MULTI_NETWORK_TYPE) or [cfg.BACKBONE.TYPE]


def precision(cfg: CfgNode) -> str:
    """Return off, auto, bf16 or fp16: what TRAIN.AMP says, or else fp16 where an old file asks for apex."""
    if cfg.TRAIN.AMP != "off":
        return str(cfg.TRAIN.AMP)
    return "fp16" if cfg.TRAIN.APEX else "off"
