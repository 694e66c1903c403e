#!/usr/bin/env python3
"""Turn Cui et al.'s long-tailed CIFAR, TFRecords, into images and annotation files.

    python tools/convert_from_tfrecords.py --input_path downloads --output_path dataset

reads downloads/cifar-10-data-im-0.01/{train,eval}.tfrecords and every other such folder, and writes
dataset/cifar10_imbalance100/images/, cifar10_imbalance100_train.json and cifar10_imbalance100_valid.json. The
annotation files come last: a folder without them is that of a run that did not end; run the command again. Needs
TensorFlow: pip install -e '.[tfrecords]'
"""

import argparse
import sys

from longtail.engine.command_line import run_program


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and convert."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input_path", required=True, help="folder that holds cifar-10-data-im-0.01 and the like")
    parser.add_argument("--output_path", default=".", help="where the new folders go; default: here")
    parser.add_argument("--jpeg", action="store_true", help="JPEG of quality 95, as released, instead of lossless PNG")
    parser.add_argument("--force", action="store_true", help="replace annotation files and images")
    options = parser.parse_args(arguments)

    def program() -> None:
        from longtail.data.convert.tfrecords import convert_tfrecords
        from longtail.engine.console import log_to_terminal

        log_to_terminal()
        convert_tfrecords(options.input_path, options.output_path, options.jpeg, options.force)

    return run_program(program)


if __name__ == "__main__":
    sys.exit(main())
