"""Running the released main/train.py of Bag of Tricks in this process, with the changes that a CPU and bf16 need."""

import sys
from pathlib import Path
from typing import Any

import torch

from longtail.errors import UserError


def train(code: Path, *, seed: int, bf16: bool, arguments: list[str]) -> None:
    """Run the released main/train.py in this process.

    Args:
        code: Checkout of the release.
        seed: Seed.
        bf16: Whether to compute the network in bf16.
        arguments: Its arguments.

    Raises:
        UserError: It is not a checkout of the release.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    script = code.resolve() / "main" / "train.py"
    source = changed_source(script, {"seed(42)": f"seed({seed})", 'torch.device("cuda")': f'torch.device("{device}")'})
    sys.argv = [str(script), *arguments]
    sys.path[:0] = [str(script.parent), str(script.parent.parent / "lib")]
    import click
    from net.network import Network

    click.confirm = lambda *_, **__: True  # it asks whether to write into a folder that exists
    load_own_checkpoints(device)
    if device == "cpu":
        stay_on_cpu()
    if bf16:
        compute_in_bf16(Network, device)
    exec(compile(source, script, "exec"), {"__name__": "__main__", "__file__": str(script)})


def changed_source(script: Path, changes: dict[str, str]) -> str:
    """Return the text of a file with words replaced.

    Raises:
        UserError: The file is missing, or has not all of the words.
    """
    try:
        source = script.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{script}: {error.strerror}; it should be that of BagofTricks-LT") from None
    for old, new in changes.items():
        if old not in source:
            raise UserError(f"{script} has no {old}: it is not that of BagofTricks-LT")
        source = source.replace(old, new)
    return source


def load_own_checkpoints(device: str) -> None:
    """Let `torch.load` read the release's checkpoints, which hold more than weights, onto the device."""
    load = torch.load

    def load_whole(file: Any, **options: Any) -> Any:
        return load(file, **{**options, "map_location": device, "weights_only": False})

    torch.load = load_whole  # type: ignore[assignment]


def stay_on_cpu() -> None:
    """Make calls of `cuda` do nothing."""
    for kind in (torch.nn.Module, torch.Tensor):
        kind.cuda = lambda self, *_, **__: self  # type: ignore[method-assign]


def compute_in_bf16(network: Any, device: str) -> None:
    """Compute a class of networks under autocast, in channels-last layout; outputs are float32 again."""
    forward = network.forward

    def forward_in_bf16(self: Any, images: torch.Tensor, *arguments: Any, **options: Any) -> torch.Tensor:
        if images.dim() == 4:
            images = images.to(memory_format=torch.channels_last)
        with torch.autocast(device, torch.bfloat16):
            output: torch.Tensor = forward(self.to(memory_format=torch.channels_last), images, *arguments, **options)
        return output.float()

    network.forward = forward_in_bf16
