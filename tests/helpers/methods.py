"""Training data and networks for tests of the training methods."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from longtail.methods import Step
from longtail.models import Output


class KnownData:
    """The training set of a method: class counts, and labels that have them."""

    def __init__(self, class_counts: Sequence[int]) -> None:
        self.class_counts = class_counts
        self.labels = torch.arange(len(class_counts)).repeat_interleave(torch.tensor(class_counts))

    def outputs(self, network: nn.Module, view: str = "clean") -> Output:
        """Fail: no method of these tests uses the outputs of all training images."""
        raise NotImplementedError


class LinearExperts(nn.Module):
    """E linear experts on the pixels of images (B, 3, 2, 2), four classes."""

    def __init__(self, experts: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.weight = nn.Parameter(torch.randn(experts, 12, 4))

    def forward(self, images: Tensor) -> Output:
        """Return logits (E, B, 4)."""
        features = images.flatten(1).expand(len(self.weight), -1, -1)
        return Output(features @ self.weight, features)


def check_step(step: Step, loss: Tensor, *, logits: Tensor, targets: Tensor) -> None:
    """Compare a step with what was computed by hand."""
    torch.testing.assert_close(step.loss, loss)
    torch.testing.assert_close(step.logits, logits)
    assert torch.equal(step.targets, targets)
    assert step.loss.requires_grad
    assert not step.logits.requires_grad
    assert not any(part.requires_grad for part in step.parts.values())
    torch.testing.assert_close(torch.stack(list(step.parts.values())).sum(), step.loss.detach())


def check_gradients(found: Tensor, expected: Tensor, network: nn.Module) -> None:
    """Compare the gradients of two losses for the trainable parameters of a network."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    pairs = zip(*(torch.autograd.grad(loss, parameters) for loss in (found, expected)), strict=True)
    for gradient, wanted in pairs:
        torch.testing.assert_close(gradient, wanted)
