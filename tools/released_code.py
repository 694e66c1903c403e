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
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from longtail.cli.program import Parser, run_program
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
    from longtail.data.annotations import load_annotations
    from longtail.distributed import find_place
    from longtail.runs.environment import commit_of, describe, short_commit
    from tools.released_training import train
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
        "train_images": len(load_annotations(cfg.DATASET.TRAIN_JSON)["annotations"]),
        "images": options.images,
        "precision": precision,
        "environment": kept_environment(describe(find_place(None), {}) | {"precision": precision}),
        "began": logs[0].stem[-16:],
        "code": f"{options.code.resolve().name} {short_commit(commit_of(options.code))}".strip(),
    }
    write_record(released_record("".join(log.read_text(encoding="utf-8") for log in logs), facts), options.folder)


if __name__ == "__main__":
    sys.exit(main())
