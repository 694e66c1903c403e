#!/usr/bin/env python3
"""Train with the released code of Bag of Tricks on the images of an annotation file, also on a CPU.

    git clone https://github.com/zhangyongshun/BagofTricks-LT
    python benchmarks/short_runs/released_code.py BagofTricks-LT configs/cao_cifar/baseline/cifar10_im100.yaml \\
        train.json valid.json --bf16

The release does everything: it reads and augments the images, trains and evaluates, and prints its own log. What is
changed: without a GPU, its calls of CUDA do nothing; its seed, a constant, can be chosen; it evaluates every tenth
epoch; `--bf16` computes its network under autocast, in channels-last layout. The same command resumes, from the last
checkpoint, which is written every five epochs.

Needs click, opencv-python-headless and tensorboardX. Exit code: 0, or 2 for an invalid command or file.
"""

import os
import sys
from pathlib import Path
from typing import Any

import torch

from longtail.cli.program import Parser, run_program
from longtail.errors import UserError

SETTINGS = (
    *("DATASET.DATASET", "CIFAR", "TRAIN.NUM_WORKERS", "0", "TEST.NUM_WORKERS", "0", "TEST.BATCH_SIZE", "256"),
    *("VALID_STEP", "10", "PIN_MEMORY", "False", "TRAIN.APEX", "False", "TRAIN.TENSORBOARD.ENABLE", "False"),
)


def read_program(code: Path, *, seed: int) -> str:
    """Return the source of the released main/train.py with another seed and, without a GPU, another device.

    Raises:
        UserError: The file is missing, or is another one.
    """
    try:
        source = (code / "main" / "train.py").read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{code} is not a checkout of the release: main/train.py: {error.strerror}") from None
    changes = {"seed(42)": f"seed({seed})", 'torch.device("cuda")': f'torch.device("{device()}")'}
    for old, new in changes.items():
        if old not in source:
            raise UserError(f"{code}/main/train.py has no {old}: it is not that of BagofTricks-LT")
        source = source.replace(old, new)
    return source


def device() -> str:
    """Return the device to train on."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def load_own_checkpoints() -> None:
    """Let `torch.load` read the release's checkpoints, which hold more than weights, onto the device."""
    load = torch.load

    def load_whole(file: Any, **options: Any) -> Any:
        return load(file, **{**options, "map_location": device(), "weights_only": False})

    torch.load = load_whole  # type: ignore[assignment]


def stay_on_cpu() -> None:
    """Make calls of `cuda` do nothing."""
    for kind in (torch.nn.Module, torch.Tensor):
        kind.cuda = lambda self, *_, **__: self  # type: ignore[method-assign]


def compute_in_bf16(network: Any) -> None:
    """Compute a class of networks under autocast, in channels-last layout; outputs are float32 again."""
    forward = network.forward

    def forward_in_bf16(self: Any, images: torch.Tensor, *arguments: Any, **options: Any) -> torch.Tensor:
        if images.dim() == 4:
            images = images.to(memory_format=torch.channels_last)
        with torch.autocast(device(), torch.bfloat16):
            output: torch.Tensor = forward(self.to(memory_format=torch.channels_last), images, *arguments, **options)
        return output.float()

    network.forward = forward_in_bf16


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and train."""
    parser = Parser(__doc__ or "")
    parser.add_argument("code", type=Path, help="checkout of the release")
    parser.add_argument("config", help="one of its configs, a path in the checkout")
    parser.add_argument("train", type=Path, help="annotation file of the training images")
    parser.add_argument("valid", type=Path, help="annotation file of the validation images")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--output", type=Path, default=Path("output/released_code"), help="folder of log and weights")
    parser.add_argument("--bf16", action="store_true", help="compute the network in bf16")
    options = parser.parse(arguments)

    def program() -> None:
        source = read_program(options.code, seed=options.seed)
        files = [
            *("DATASET.TRAIN_JSON", options.train.resolve(), "DATASET.VALID_JSON", options.valid.resolve()),
            *("OUTPUT_DIR", options.output.resolve(), "NAME", f"{Path(options.config).stem}-seed{options.seed}"),
        ]
        script = str((options.code / "main" / "train.py").resolve())
        sys.argv = [script, "--cfg", options.config, "--ar", "True", *SETTINGS, *map(str, files)]
        sys.path[:0] = [str((options.code / folder).resolve()) for folder in ("main", "lib")]
        os.chdir(options.code)
        load_own_checkpoints()
        if device() == "cpu":
            stay_on_cpu()
        import click

        click.confirm = lambda *_, **__: True  # it asks whether to write into a folder that exists
        if options.bf16:
            from net.network import Network

            compute_in_bf16(Network)
        exec(compile(source, script, "exec"), {"__name__": "__main__", "__file__": script})

    return run_program(program)


if __name__ == "__main__":
    sys.exit(main())
