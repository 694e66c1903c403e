"""Output of a network, and the interface of every network shape."""

from typing import NamedTuple, Protocol

from torch import Tensor, nn


class Output(NamedTuple):
    """Output of a network for a batch.

    Attributes:
        logits: Logits of every head, (E, B, C).
        features: Input of every head, (E, B, D); a tuple of (B, D_e) if the heads have different widths.
        projections: Vectors for contrastive learning, (E, B, P); None if they were not asked for.
    """

    logits: Tensor
    features: Tensor | tuple[Tensor, ...]
    projections: Tensor | None = None


class Classifiers(Protocol):
    """A network with E >= 1 heads: the interface of every entry of `NETWORKS`, in addition to nn.Module.

    Attributes:
        heads: Heads in the order of the logits.
        num_layers: Number of layers for layer-wise decay, the heads included.
        description: Backbones and heads in words.
        head_kinds: Kind of each head, a name in the registry of heads.
        lr_scales: Factor of the learning rate of the parameters whose names start with a prefix.
    """

    num_layers: int
    description: str
    head_kinds: list[str]
    lr_scales: dict[str, float]

    @property
    def heads(self) -> list[nn.Module]:
        """Heads in the order of the logits."""

    def layer_of(self, name: str) -> int:
        """Return the layer of a parameter, 0 next to the images, for layer-wise decay."""

    def no_decay(self) -> set[str]:
        """Return the names of parameters without weight decay, in addition to those with one dimension."""
