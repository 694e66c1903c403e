"""The models of timm as backbones, called `timm/<name>`: `timm/resnet18`, `timm/vit_tiny_patch16_224`.

A model is built without its classifier and with its own pooling, so it returns vectors (B, D), the input of the
classifier: the mean over the feature map for a convolutional network, the class token or mean token for a vision
transformer. D is read from the model. Weights are random, read from the file BACKBONE.PRETRAINED_MODEL with timm's
parameter names, or downloaded by timm for BACKBONE.PRETRAINED_TAG. Vision transformers are built for INPUT_SIZE.
"""

import difflib
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from longtail.config import timm_name
from longtail.errors import UserError
from longtail.models.backbones.base import BACKBONES, Backbone, BackboneBuilder, BackboneOptions

DEFAULT = BackboneOptions()


class TimmBackbone(Backbone):
    """The methods that make a model of timm a `Backbone`; mixed into the class of the model."""

    def forward_taps(self, images: Tensor, names: Sequence[str]) -> tuple[Tensor, dict[str, Tensor]]:
        """See `Backbone`; the taps of a vision transformer are all its tokens (B, L, D), the class token first."""
        if not names:
            return self(images), {}
        model = cast(Any, self)
        order = [name for name in self.taps if name in names]
        indices = [list(self.taps).index(name) for name in order]
        if not hasattr(model, "num_prefix_tokens"):
            final, tapped = model.forward_intermediates(images, indices=indices)
            return model.forward_head(final), dict(zip(order, tapped, strict=True))
        final, tapped = model.forward_intermediates(
            images, indices=indices, norm=False, output_fmt="NLC", return_prefix_tokens=True
        )
        tokens = [torch.cat([prefix, patches], dim=1) for patches, prefix in tapped]
        return model.forward_head(final), dict(zip(order, tokens, strict=True))

    def layer_of(self, name: str) -> int:
        """See `Backbone`; the layers are those of timm's layer-wise decay, except for the final norm."""
        return self.num_layers if _is_final_norm(name) else _layers(self)[name]

    @property
    def num_layers(self) -> int:
        """Number of layers."""
        return max(layer for name, layer in _layers(self).items() if not _is_final_norm(name)) + 1

    def no_decay(self) -> set[str]:
        """See `Backbone`."""
        listed = getattr(self, "no_weight_decay", None)
        return set(cast(Any, listed)()) if listed else set()


@BACKBONES.libraries.register("timm")
def timm_backbone(name: str) -> BackboneBuilder:
    """Return the builder of one of timm's models.

    Args:
        name: Name of the architecture, without the tag of pretrained weights.

    Raises:
        UserError: timm has no such model; the message lists the nearest ones.
    """
    import timm  # takes seconds; other backbones do not need it

    known = timm.list_models()
    if name not in known:
        near = ", ".join(f"timm/{match}" for match in difflib.get_close_matches(name, known, n=3))
        raise UserError(
            f"unknown backbone 'timm/{name}'; timm {timm.__version__} has {len(known)} models"
            + (f", the nearest are {near}" if near else ", none of a similar name")
        )

    def build(options: BackboneOptions = DEFAULT) -> Backbone:
        return _build(name, options)

    return build


def _build(name: str, options: BackboneOptions) -> Backbone:
    import timm

    extra: dict[str, Any] = {}
    if options.drop_path:
        extra["drop_path_rate"] = options.drop_path
    if options.mean_tokens and _takes_mean_tokens(name):
        extra["global_pool"] = "avg"
    if timm.get_pretrained_cfg_value(name, "fixed_input_size"):
        extra["img_size"] = options.image_size
    try:
        return as_backbone(timm.create_model(name, pretrained=False, num_classes=0, **extra))
    except TypeError as error:
        if not options.drop_path or "drop_path_rate" not in str(error):
            raise
        raise UserError(f"BACKBONE.DROP_PATH is {options.drop_path}; timm/{name} has no stochastic depth") from None


def downloaded_weights(name: str, tag: str) -> dict[str, Tensor]:
    """Return the weights of a backbone `timm/<name>` that timm publishes under a tag; timm downloads and caches them.

    Args:
        name: Name of the backbone, with `timm/`.
        tag: Tag of the weights, or "default".

    Raises:
        UserError: There are no such weights, or they cannot be downloaded.
    """
    import timm

    full = timm_name(name, tag)
    try:
        return dict(timm.create_model(full, pretrained=True).state_dict())
    except Exception as error:  # many exception classes: of the hub, the network, the file
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise UserError(
            f"BACKBONE.PRETRAINED_TAG is {tag!r}; the weights of timm/{full} could not be downloaded: {reason}; "
            "BACKBONE.PRETRAINED_MODEL reads them from a file"
        ) from None


def _takes_mean_tokens(name: str) -> bool:
    """Return whether a model is a vision transformer that can average its patch tokens."""
    import timm

    plain = timm.list_models(module="vision_transformer")
    return name in [*plain, *timm.list_models(module="deit", exclude_filters="*distilled*")]


def as_backbone(model: Any) -> Backbone:
    """Turn a model of timm that was built without a classifier into a `Backbone`, in place."""
    # The head's hidden layer belongs to the features if there is one (VGG, MobileNet v3).
    model.out_features = getattr(model, "head_hidden_size", None) or model.num_features
    model.taps = {info["module"]: info["num_chs"] for info in _feature_info(model)}
    # A subclass that only adds methods: a wrapper would change the names of all parameters.
    model.__class__ = type(type(model).__name__, (TimmBackbone, type(model)), {})
    return cast(Backbone, model)


def _is_final_norm(name: str) -> bool:
    """Return whether a parameter belongs to the norm between the last layer and the head."""
    return name.split(".")[0] in ("norm", "fc_norm")


def _feature_info(model: nn.Module) -> list[dict[str, Any]]:
    info = getattr(model, "feature_info", [])
    return list(info) if hasattr(model, "forward_intermediates") else []


def _layers(model: nn.Module) -> dict[str, int]:
    """Return the layer of every parameter by timm's rule."""
    from timm.models import group_parameters

    groups = group_parameters(model, cast(Any, model).group_matcher(coarse=False), reverse=True)
    return {str(name): int(layer) for name, layer in groups.items()}
