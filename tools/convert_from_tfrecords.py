#!/usr/bin/env python3
"""Convert the TFRecords of long-tailed CIFAR (Cui et al.) to images and annotation files.

    python tools/convert_from_tfrecords.py --input_path downloads --output_path dataset

Reads downloads/cifar-10-data-im-0.01/{train,eval}.tfrecords and all other such folders, and writes
dataset/cifar10_imbalance100/images/, cifar10_imbalance100_train.json and cifar10_imbalance100_valid.json. The
annotation files are written last: if they are missing, run the command again. Needs TensorFlow:
pip install -e '.[tfrecords]'
"""

import sys

from longtail.cli.program import Parser, run_program


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and convert."""
    parser = Parser(__doc__ or "")
    parser.add_argument("--input_path", required=True, help="folder of folders such as cifar-10-data-im-0.01")
    parser.add_argument("--output_path", default=".", help="folder to write to; default: the current folder")
    parser.add_argument("--jpeg", action="store_true", help="JPEG of quality 95, as released, instead of lossless PNG")
    parser.add_argument("--force", action="store_true", help="replace annotation files and images")
    options = parser.parse(arguments)

    def program() -> None:
        from longtail.data.convert.tfrecords import convert_tfrecords
        from longtail.runs.console import log_to_terminal

        log_to_terminal()
        convert_tfrecords(options.input_path, options.output_path, jpeg=options.jpeg, force=options.force)

    return run_program(program)


if __name__ == "__main__":
    sys.exit(main())
