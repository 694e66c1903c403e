"""Mixing the rows of a batch, also inside a network: after a named module of every expert.

Inside a network it is done by hooks, so `Network` and the backbones contain no code for it. While a `HiddenMixing` is
entered, the network takes two more arguments, `lam` and `partners`, and mixes the output of the named module:

    with HiddenMixing(network, "layer2"):
        output = wrapped_network(images, lam=lam, partners=partners)

Both are tensors with one row per image, so DataParallel splits them like the images, and the copy of the network on
each device mixes its own rows: `partners` are indices inside the chunk of that device (`chunks_of`). The copies share
the hooks and run in separate threads, so the arguments are kept in thread-local storage.
"""

import threading
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from longtail.errors import UserError
from longtail.models.experts import Expert, Network
from longtail.registry import nearest

KEY = "TRAIN.COMBINER.MANIFOLD_MIX_UP.LOCATION"


def mix(rows: Tensor, others: Tensor, *, lam: Tensor) -> Tensor:
    """Return lam * rows + (1 - lam) * others, in the dtype of the rows.

    Args:
        rows: (B, ...).
        others: Same shape.
        lam: Weight of `rows`, one for all () or one per row (B,).
    """
    lam = lam.view(-1, *[1] * (rows.dim() - 1)) if lam.dim() else lam
    return (rows * lam + others * (1 - lam)).to(rows.dtype)


def chunks_of(rows: Tensor, network: nn.Module) -> Sequence[Tensor]:
    """Return the rows (N, ...) in chunks, one per device of DataParallel; a single chunk for another network."""
    return rows.chunk(len(network.device_ids) or 1) if isinstance(network, nn.DataParallel) else (rows,)


class HiddenMixing:
    """A context in which a network mixes the rows after one module of each of its experts.

    Args:
        network: The unwrapped network; inside the context it may be called through a wrapper.
        location: pool (the input of the head), fc (the logits), or the name of a module of the backbone that is called
            once and returns a tensor (B, ...).

    Raises:
        UserError: A backbone has no such module; the message lists the allowed names. At the end of the context: the
            network did not call the module exactly once, or it returned something else. Not earlier, because an error
            raised in a thread of DataParallel carries that thread's traceback in its text.
    """

    def __init__(self, network: Network, location: str) -> None:
        self.network = network
        self.location = location
        self._local = threading.local()  # .lam, .partners, .waiting: the experts that have not mixed yet
        self._entered = ExitStack()
        self._errors: list[str] = []
        for expert in network.experts:
            assert isinstance(expert, Expert)
            _check(expert, location)

    def __enter__(self) -> "HiddenMixing":
        handles = [
            self.network.register_forward_pre_hook(self._begin, with_kwargs=True),
            self.network.register_forward_hook(self._end),
            *(self._register(number, expert) for number, expert in enumerate(self.network.experts)),
        ]
        for handle in handles:
            self._entered.callback(handle.remove)
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self._entered.close()
        errors, self._errors = self._errors, []
        if errors and kind is None:
            raise UserError(f"{KEY} is {self.location!r}, which {errors[0]}; name another module")

    def _register(self, number: int, expert: Any) -> RemovableHandle:
        if self.location == "pool":  # no module returns the features; they are the input of dropout
            return expert.dropout.register_forward_pre_hook(lambda _, inputs: self._mix(number, inputs[0]))
        module = expert.head if self.location == "fc" else expert.backbone.get_submodule(self.location)
        return module.register_forward_hook(lambda _, inputs, output: self._mix(number, output))

    def _begin(self, network: nn.Module, inputs: tuple[Any, ...], extra: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Store the arguments that the network does not take."""
        extra = dict(extra)
        self._local.lam, self._local.partners = extra.pop("lam"), extra.pop("partners")
        self._local.waiting = set(range(len(self.network.experts)))
        return inputs, extra

    def _mix(self, number: int, rows: Any) -> Any:
        partners = self._local.partners
        if number not in self._local.waiting:
            self._errors.append("the network calls more than once")
            return rows
        self._local.waiting.remove(number)
        if not isinstance(rows, Tensor) or len(rows) != len(partners):
            self._errors.append("does not return one tensor with a row per image")
            return rows
        return mix(rows, rows[partners], lam=self._local.lam)

    def _end(self, network: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if self._local.waiting:
            self._errors.append("the network never calls")


def _check(expert: Expert, location: str) -> None:
    modules = dict(expert.backbone.named_modules())
    if location in ("pool", "fc") or (location and location in modules):
        return
    parts = list(dict.fromkeys(["pool", "fc", *(name for name, _ in expert.backbone.named_children())]))
    raise UserError(
        f"{KEY} is {location!r}, which the backbone does not have; available: {', '.join(parts)}, and the modules "
        f"inside these by their dotted names{nearest(location, parts)}"
    )
