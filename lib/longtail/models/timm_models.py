"""The models of timm as backbones, called `timm/<name>`: `timm/resnet18`, `timm/vit_tiny_patch16_224`.

A model comes without its classifier and with its own pooling, so that it gives vectors (B, D): what the classifier
would have seen. A convolutional network's are the averages of its feature map, a vision transformer's its class token
or mean token. D is asked from the model. Weights are not fetched: they start at random, or from the file
BACKBONE.PRETRAINED_MODEL, whose parameter names are timm's. Images must have a size that the model accepts.
"""

import difflib
from typing import cast

from longtail.errors import UserError
from longtail.models.backbones import BACKBONES, Backbone, BackboneBuilder


@BACKBONES.libraries.register("timm")
def timm_backbone(name: str) -> BackboneBuilder:
    """Return the builder of one of timm's models.

    Args:
        name: of the architecture, without the tag of pretrained weights.

    Raises:
        UserError: timm has no such model; the message lists the nearest ones.
    """
    import timm  # takes seconds, which other backbones need not wait

    known = timm.list_models()
    if name not in known:
        near = ", ".join(f"timm/{match}" for match in difflib.get_close_matches(name, known, n=3))
        raise UserError(
            f"unknown backbone 'timm/{name}'; timm {timm.__version__} has {len(known)} models"
            + (f", the nearest are {near}" if near else ", none of a similar name")
        )

    def build() -> Backbone:
        model = timm.create_model(name, pretrained=False, num_classes=0)
        # The head's hidden layer belongs to the features where there is one (VGG, MobileNet v3).
        model.out_features = getattr(model, "head_hidden_size", None) or model.num_features
        return cast(Backbone, model)

    return build
