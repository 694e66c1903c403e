"""What makes a recorded step invalid."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from longtail.engine.host_state import HostState


@dataclass
class Inner:
    factor: float


class Part(nn.Module):
    """A module with every kind of attribute."""

    weights: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.number, self.name, self.missing = 1, "a", float("inf")
        self.inner = Inner(0.5)
        self.entries = [1, {"two": (2, Inner(3.0))}]
        self.child = nn.Linear(2, 2)
        self.register_buffer("weights", torch.ones(3))
        self.itself = self


def other_type(part: Part) -> None:
    part.number = True  # equal to 1, but another type


def deeper(part: Part) -> None:
    part.entries[1]["two"][1].factor = 4.0  # type: ignore[index]


def rebound(part: Part) -> None:
    part.weights = torch.ones(3)


def moved(part: Part) -> None:
    part.child.weight.data = part.child.weight.data.clone()


def longer(part: Part) -> None:
    part.entries.append(None)


@pytest.mark.parametrize(
    "change",
    [
        other_type,
        deeper,
        rebound,
        moved,
        longer,
        lambda part: setattr(part, "name", "b"),
        lambda part: setattr(part.inner, "factor", 0.25),
        lambda part: part.child.eval(),
        lambda part: setattr(part, "added", 1),
        lambda part: setattr(part, "entries", tuple(part.entries)),
    ],
)
def test_every_change_of_an_attribute_is_noticed(change: Callable[[Part], object]) -> None:
    part = Part()
    before = HostState(part)
    assert HostState(part) == before
    change(part)
    assert HostState(part) != before


def test_changed_content_of_a_tensor_and_equal_values_are_no_change() -> None:
    part = Part()
    before = HostState(part)
    part.weights.mul_(2)
    part.child.load_state_dict(nn.Linear(2, 2).state_dict())
    part.inner.factor = 1 / 2
    part.entries[1] = {"two": (2, part.entries[1]["two"][1])}  # type: ignore[index]
    assert HostState(part) == before
    assert before != 1
