#!/usr/bin/env python3
"""Convert folders of images, one per class, to annotation files.

    python tools/convert_from_folder.py --input_path photos --valid_per_class 20 --output_path dataset/photos
    python tools/convert_from_folder.py --input_path photos/train --valid_path photos/val --output_path dataset/photos
    python tools/convert_from_folder.py --input_path photos --valid_per_class 20 --imbalance_factor 100 \
        --output_path dataset/photos_im100

The classes are the folders in --input_path, in alphabetical order. Writes train.json and, with --valid_path or
--valid_per_class, valid.json.
"""

import argparse
import sys

from longtail.cli.program import run_program


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and convert."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input_path", required=True, help="folder with one folder per class")
    parser.add_argument("--output_path", required=True, help="folder for train.json and valid.json")
    valid = parser.add_mutually_exclusive_group()
    valid.add_argument("--valid_path", metavar="PATH", help="such a folder with the validation images")
    valid.add_argument(
        "--valid_per_class", metavar="N", type=int, help="hold out N images of each class for validation"
    )
    parser.add_argument("--imbalance_factor", metavar="F", type=float, help="make the training images long-tailed")
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the choice of images that are kept and held out; default: 0"
    )
    parser.add_argument("--force", action="store_true", help="replace annotation files")
    options = parser.parse_args(arguments)

    def program() -> None:
        from longtail.data.convert.folder import convert_folder
        from longtail.runs.console import log_to_terminal

        log_to_terminal()
        convert_folder(
            options.input_path,
            options.output_path,
            valid=options.valid_path if options.valid_path is not None else options.valid_per_class,
            imbalance_factor=options.imbalance_factor,
            seed=options.seed,
            force=options.force,
        )

    return run_program(program)


if __name__ == "__main__":
    sys.exit(main())
