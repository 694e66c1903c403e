"""The registry of backbones: images to features."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from longtail.errors import UserError
from longtail.registry import Registry, nearest


@dataclass(frozen=True)
class BackboneOptions:
    """Options of a config for every backbone.

    Attributes:
        image_size: Image height and width in pixels, for backbones that are built for one size.
        drop_path: Probability of dropping a residual branch in the last block (stochastic depth), for backbones with
            it.
        mean_tokens: Vision transformers of timm: average the patch tokens and normalize the average, instead of taking
            the class token.
        fan_out: Draw the initial weights of convolutions as torchvision's ResNets do, see `initialize_by_fan_out`.
    """

    image_size: tuple[int, int] = (224, 224)
    drop_path: float = 0.0
    mean_tokens: bool = False
    fan_out: bool = False


class Backbone(nn.Module):
    """Images (B, 3, H, W) to a feature map (B, D, h, w), or to vectors (B, D) if it includes pooling.

    Attributes:
        out_features: Feature width D.
        taps: Width of each intermediate output that can be tapped, by name, from the images to the features.
    """

    out_features: int
    taps: Mapping[str, int]

    def forward_taps(self, images: Tensor, names: Sequence[str]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the output, and the intermediate outputs with the given names, of images (B, 3, H, W)."""
        raise NotImplementedError

    def layer_of(self, name: str) -> int:
        """Return the layer of a parameter for layer-wise decay, from 0 (next to the images) to `num_layers` - 1.

        A norm after the last layer belongs to the layer of the head, which is `num_layers`.
        """
        raise NotImplementedError

    @property
    def num_layers(self) -> int:
        """Number of layers."""
        raise NotImplementedError

    def no_decay(self) -> set[str]:
        """Return the names of parameters without weight decay, in addition to those with one dimension."""
        return set()


class StagedBackbone(Backbone):
    """A backbone of a stem and stages that run one after another.

    A subclass calls `set_stages` and implements `stem`.
    """

    def set_stages(self, widths: Mapping[str, int]) -> None:
        """Set the submodules that are the stages, with their output widths, in order."""
        self.taps = dict(widths)
        self.out_features = list(widths.values())[-1]

    def stem(self, images: Tensor) -> Tensor:
        """Return the input of the first stage."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> Tensor:
        """Return the feature map (B, D, h, w) of images (B, 3, H, W)."""
        return self.forward_taps(images, ())[0]

    def forward_taps(self, images: Tensor, names: Sequence[str]) -> tuple[Tensor, dict[str, Tensor]]:
        """See `Backbone`; the taps are the outputs of the stages."""
        x, tapped = self.stem(images), {}
        for name in self.taps:
            x = self.get_submodule(name)(x)
            if name in names:
                tapped[name] = x
        return x, tapped

    def layer_of(self, name: str) -> int:
        """See `Backbone`; the stem is layer 0, each stage a layer."""
        stages = list(self.taps)
        first = name.split(".")[0]
        return stages.index(first) + 1 if first in stages else 0

    @property
    def num_layers(self) -> int:
        """Stem and stages."""
        return len(self.taps) + 1


BackboneBuilder = Callable[[BackboneOptions], Backbone]


class BackboneRegistry(Registry[BackboneBuilder]):
    """The project's own backbones by name, and those of other libraries as `library/name`.

    Attributes:
        libraries: Library name -> function from a name in it to a builder, which raises `UserError` for unknown names.
    """

    def __init__(self) -> None:
        super().__init__("backbone")
        self.libraries: Registry[Callable[[str], BackboneBuilder]] = Registry("library of backbones")

    def get(self, name: str, aliases: Iterable[str] = ()) -> BackboneBuilder:
        """Return the builder of the backbone called `name`, see `Registry.get`."""
        library, slash, member = name.partition("/")
        return self.libraries.get(library)(member) if slash else super().get(name, aliases)


BACKBONES = BackboneRegistry()


def build_backbone(name: str, options: BackboneOptions) -> Backbone:
    """Build the backbone called `name`.

    Raises:
        UserError: There is no such backbone.
    """
    backbone = BACKBONES.get(name)(options)
    return backbone.apply(initialize_by_fan_out) if options.fan_out else backbone


def initialize_by_fan_out(module: nn.Module) -> None:
    """Draw the weight of a convolution from N(0, sqrt(2 / (k^2 out))); other modules are not changed."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def check_taps(backbone: Backbone, names: Sequence[str], *, key: str) -> None:
    """Refuse taps that a backbone does not have.

    Raises:
        UserError: A tap does not exist; the message names the key, the tap and the existing taps.
    """
    for name in names:
        if name not in backbone.taps:
            known = ", ".join(backbone.taps)
            raise UserError(f"{key}: the backbone has no {name!r}; available: {known}{nearest(name, backbone.taps)}")
