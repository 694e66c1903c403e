#!/usr/bin/env python3
"""Train with the released code of Bag of Tricks on the images of a config, also on a CPU, and record the result.

    git clone https://github.com/zhangyongshun/BagofTricks-LT
    python tools/released_code.py BagofTricks-LT configs/cao_cifar/baseline/cifar10_im100.yaml cifar10_im100_json,ce

The release does everything: it reads and augments the images, trains and evaluates. What is changed: without a GPU, its
calls of CUDA do nothing; its seed, a constant, can be chosen; it evaluates every tenth epoch; `--bf16` computes its
network under autocast, in channels-last layout. CONFIG is that of the release, AS the composition of the same training
here, of which only the annotation files are used. The same command resumes, from the last checkpoint, which is written
every five epochs. Run `make docs` afterwards.

Needs click, opencv-python-headless and tensorboardX. Exit code: 0 done, 2 invalid command or file.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from longtail.cli.program import Parser, run_program
from longtail.errors import UserError
from tools.record import FOLDER, write_record

SETTINGS = (
    *("DATASET.DATASET", "CIFAR", "TRAIN.NUM_WORKERS", "0", "TEST.NUM_WORKERS", "0", "TEST.BATCH_SIZE", "256"),
    *("VALID_STEP", "10", "PIN_MEMORY", "False", "TRAIN.APEX", "False", "TRAIN.TENSORBOARD.ENABLE", "False"),
)


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and train."""
    parser = Parser(__doc__ or "")
    parser.add_argument("code", type=Path, help="checkout of the release")
    parser.add_argument("config", metavar="CONFIG", help="one of its configs, a path in the checkout")
    parser.add_argument("same", metavar="AS", help="composition of the same training here")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--bf16", action="store_true", help="compute the network in bf16")
    parser.add_argument("--output", type=Path, default=Path("output/released_code"), help="folder of log and weights")
    parser.add_argument("--images", default="", help="how the images differ from the data set; see tools/record.py")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="folder of the record; default: docs/records")
    options = parser.parse(arguments)
    return run_program(lambda: train_and_record(options))


def train_and_record(options: argparse.Namespace) -> None:
    """Train, and write the record."""
    from longtail.config import load_config
    from longtail.distributed import find_place
    from longtail.runs.environment import describe
    from tools.results_page import kept_environment, released_record

    cfg = load_config(options.same)
    name = f"{Path(options.config).stem}-seed{options.seed}"
    train(
        options.code,
        seed=options.seed,
        bf16=options.bf16,
        arguments=[
            *("--cfg", str(options.code / options.config), "--ar", "True", *SETTINGS),
            *("DATASET.TRAIN_JSON", cfg.DATASET.TRAIN_JSON, "DATASET.VALID_JSON", cfg.DATASET.VALID_JSON),
            *("OUTPUT_DIR", str(options.output.resolve()), "NAME", name),
        ],
    )
    precision = "bf16" if options.bf16 else "off"
    logs = sorted((options.output / name / "logs").glob("*.log"))
    facts = {
        "config": options.same,
        "seed": options.seed,
        "train_images": count_images(Path(cfg.DATASET.TRAIN_JSON)),
        "images": options.images,
        "precision": precision,
        "environment": kept_environment(describe(find_place(None), {}) | {"precision": precision}),
        "began": logs[0].stem[-16:],
        "code": f"{options.code.resolve().name} {commit(options.code)}".strip(),
    }
    write_record(released_record("".join(log.read_text(encoding="utf-8") for log in logs), facts), options.folder)


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
    import torch

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
    import torch

    load = torch.load

    def load_whole(file: Any, **options: Any) -> Any:
        return load(file, **{**options, "map_location": device, "weights_only": False})

    torch.load = load_whole  # type: ignore[assignment]


def stay_on_cpu() -> None:
    """Make calls of `cuda` do nothing."""
    import torch

    for kind in (torch.nn.Module, torch.Tensor):
        kind.cuda = lambda self, *_, **__: self  # type: ignore[method-assign]


def compute_in_bf16(network: Any, device: str) -> None:
    """Compute a class of networks under autocast, in channels-last layout; outputs are float32 again."""
    import torch

    forward = network.forward

    def forward_in_bf16(self: Any, images: torch.Tensor, *arguments: Any, **options: Any) -> torch.Tensor:
        if images.dim() == 4:
            images = images.to(memory_format=torch.channels_last)
        with torch.autocast(device, torch.bfloat16):
            output: torch.Tensor = forward(self.to(memory_format=torch.channels_last), images, *arguments, **options)
        return output.float()

    network.forward = forward_in_bf16


def count_images(annotations: Path) -> int:
    """Return the number of images of an annotation file."""
    from longtail.user_files import read_json

    return len(read_json(annotations, "annotation file")["annotations"])


def commit(code: Path) -> str:
    """Return the first digits of the commit of a checkout; "" if it is none."""
    command = ["git", "-C", str(code), "rev-parse", "--short=8", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
