"""The registry of backbones: images to features."""

from collections.abc import Callable, Iterable

from torch import nn

from longtail.registry import Registry


class Backbone(nn.Module):
    """Images (B, 3, H, W) to a feature map (B, D, h, w), or to vectors (B, D) where it pools by itself.

    Attributes:
        out_features: D.
    """

    out_features: int


BackboneBuilder = Callable[[], Backbone]


class BackboneRegistry(Registry[BackboneBuilder]):
    """The project's own backbones by name, and those of other libraries as `library/name`.

    Attributes:
        libraries: a library's name -> a function from a name in it to a builder, raising `UserError` for unknown names.
    """

    def __init__(self) -> None:
        super().__init__("backbone")
        self.libraries: Registry[Callable[[str], BackboneBuilder]] = Registry("library of backbones")

    def get(self, name: str, aliases: Iterable[str] = ()) -> BackboneBuilder:
        """Return the builder of the backbone called `name`, see `Registry.get`."""
        library, slash, member = name.partition("/")
        return self.libraries.get(library)(member) if slash else super().get(name, aliases)


BACKBONES = BackboneRegistry()
