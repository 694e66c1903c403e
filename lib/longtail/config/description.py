"""The images for which the weights of a timm model were trained, as timm describes them."""

from typing import NamedTuple

from yacs.config import CfgNode

from longtail.config.names import expert_backbones
from longtail.errors import UserError

FROM_BACKBONE = "backbone"  # value of DATASET.NORMALIZATION: mean and std of the description


class Description(NamedTuple):
    """Images that a model expects.

    Attributes:
        size: Height and width, in pixels.
        mean: Mean of the red, green and blue channel, for pixels in [0, 1].
        std: Standard deviation of the channels.
    """

    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]


def describe_backbone(cfg: CfgNode) -> Description:
    """Return timm's description of the backbone of a config, for the weights of BACKBONE.PRETRAINED_TAG.

    Raises:
        UserError: It is not a timm model, there is no such tag, or several backbones are described differently.
    """
    found = {name: _describe(name, cfg.BACKBONE.PRETRAINED_TAG) for name in expert_backbones(cfg)}
    if len(set(found.values())) > 1:
        raise UserError(f"timm describes {' and '.join(found)} differently; set INPUT_SIZE and DATASET.NORMALIZATION")
    return next(iter(found.values()))


def timm_name(name: str, tag: str) -> str:
    """Return timm's full name of a backbone `timm/<name>` with the weights of a tag; "" and "default": its default.

    Raises:
        UserError: It is not a timm model, or it has no such weights.
    """
    import timm  # takes seconds; other configs do not need it

    library, _, model = name.partition("/")
    if library != "timm" or not timm.is_model(model):
        raise UserError(f"{name} is not a timm model; INPUT_SIZE, DATASET.NORMALIZATION and weights need timm/<name>")
    if tag in ("", "default"):
        return model
    try:
        timm.get_pretrained_cfg(f"{model}.{tag}")
    except RuntimeError:
        tags = [full.partition(".")[2] for full in timm.list_pretrained(f"{model}.*")]
        known = ", ".join(tags) or "none"
        raise UserError(f"BACKBONE.PRETRAINED_TAG is {tag!r}; timm has these weights of {model}: {known}") from None
    return f"{model}.{tag}"


def _describe(name: str, tag: str) -> Description:
    import timm

    found = timm.get_pretrained_cfg(timm_name(name, tag))
    assert found is not None
    return Description((found.input_size[1], found.input_size[2]), tuple(found.mean), tuple(found.std))
