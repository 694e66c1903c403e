#!/usr/bin/env python3
"""Convert folders of images, one per class, to annotation files.

    python tools/convert_from_folder.py --input_path photos --valid_fraction 0.2 --output_path dataset/photos
    python tools/convert_from_folder.py --input_path photos --valid_per_class 20 --output_path dataset/photos
    python tools/convert_from_folder.py --input_path photos/train --valid_path photos/val --output_path dataset/photos
    python tools/convert_from_folder.py --input_path photos --valid_per_class 20 --imbalance_factor 100 \
        --output_path dataset/photos_im100

The classes are the folders in --input_path, in alphabetical order. If it contains train/ and val/ (and test/), these
are the splits. Writes train.json, and valid.json and test.json if there are such images.
"""

import argparse
import sys
from typing import TYPE_CHECKING

from longtail.cli.program import Parser, run_program

if TYPE_CHECKING:
    from longtail.data.convert.hold_out import HoldOut


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and convert."""
    options = _parser().parse(arguments)

    def program() -> None:
        from longtail.data.convert.folder import convert_folder
        from longtail.runs.console import log_to_terminal

        log_to_terminal()
        convert_folder(
            options.input_path,
            options.output_path,
            valid=options.valid_path if options.valid_path is not None else _hold_out(options),
            imbalance_factor=options.imbalance_factor,
            seed=options.seed,
            force=options.force,
        )

    return run_program(program)


def _parser() -> Parser:
    parser = Parser(__doc__ or "")
    parser.add_argument("--input_path", required=True, help="folder with one folder per class")
    parser.add_argument("--output_path", required=True, help="folder of the annotation files")
    valid = parser.add_mutually_exclusive_group()
    valid.add_argument("--valid_path", metavar="PATH", help="folder of the same layout with the validation images")
    valid.add_argument("--valid_per_class", metavar="N", type=int, help="hold out up to N images of each class")
    valid.add_argument("--valid_fraction", metavar="F", type=float, help="hold out this fraction of each class")
    test = parser.add_mutually_exclusive_group()
    test.add_argument("--test_per_class", metavar="N", type=int, help="also hold out up to N test images of each class")
    test.add_argument("--test_fraction", metavar="F", type=float, help="also hold out this fraction as test images")
    parser.add_argument(
        "--keep", metavar="K", type=int, default=1, help="training images to keep in each class; default: 1"
    )
    parser.add_argument("--imbalance_factor", metavar="F", type=float, help="make the training images long-tailed")
    parser.add_argument(
        "--seed", type=int, default=0, help="seed that selects the images to keep and to hold out; default: 0"
    )
    parser.add_argument("--force", action="store_true", help="replace annotation files")
    return parser


def _hold_out(options: argparse.Namespace) -> "HoldOut | None":
    """Return the images to hold out according to the command line; None: none."""
    from longtail.data.convert.hold_out import HoldOut
    from longtail.errors import UserError

    for name in ("valid", "test"):
        fraction, number = (getattr(options, f"{name}_{kind}") for kind in ("fraction", "per_class"))
        if fraction is not None and not 0 < fraction < 1:
            raise UserError(f"--{name}_fraction is {fraction:g}; it must be between 0 and 1")
        if number is not None and number < 1:
            raise UserError(f"--{name}_per_class is {number}; it must be 1 or more")
    valid = options.valid_fraction or options.valid_per_class
    test = options.test_fraction or options.test_per_class or 0
    if valid is None and test:
        raise UserError("--test_per_class and --test_fraction need --valid_per_class or --valid_fraction")
    return None if valid is None else HoldOut(valid, test, keep=options.keep, seed=options.seed)


if __name__ == "__main__":
    sys.exit(main())
