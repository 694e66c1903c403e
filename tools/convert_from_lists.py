#!/usr/bin/env python3
"""Convert lists of your own images to annotation files.

    python tools/convert_from_lists.py --train train.txt --valid val.txt --image_path photos --output_path dataset/mine
    python tools/convert_from_lists.py --train images.csv --image_path photos --output_path dataset/mine
    python tools/convert_from_lists.py --train images.csv --valid_fraction 0.2 --output_path dataset/mine

A list is text with one "path label" per line, or a .csv file whose first line names the columns path,label and, if the
file lists several splits, split (train, valid, test). Images with the same value in a column group are held out
together; a column weight is copied. Labels are numbers or names; they name the classes, are sorted and numbered from 0
to C - 1, and <split>_labels.csv lists the numbers.
"""

import sys

from longtail.cli.program import Parser, run_program


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and convert."""
    parser = Parser(__doc__ or "")
    parser.add_argument("--train", metavar="LIST", required=True, help="list of the training images")
    parser.add_argument("--valid", metavar="LIST", help="list of the validation images")
    parser.add_argument("--test", metavar="LIST", help="list of the test images")
    parser.add_argument("--valid_fraction", metavar="F", type=float, help="hold out this fraction of each class")
    parser.add_argument(
        "--group", metavar="COLUMN", default="group", help="column of the groups that are held out together"
    )
    parser.add_argument("--image_path", default="", help="folder of relative image paths; default: the current folder")
    parser.add_argument("--output_path", required=True, help="folder of the annotation files")
    parser.add_argument("--no-check", action="store_true", help="do not check that the images exist")
    parser.add_argument("--force", action="store_true", help="replace annotation files")
    options = parser.parse(arguments)

    def program() -> None:
        from longtail.data.convert.hold_out import HoldOut
        from longtail.data.convert.own_lists import convert_own_lists
        from longtail.errors import UserError
        from longtail.runs.console import log_to_terminal

        if options.valid_fraction is not None and not 0 < options.valid_fraction < 1:
            raise UserError(f"--valid_fraction is {options.valid_fraction:g}; it must be between 0 and 1")
        log_to_terminal()
        lists = {name: getattr(options, name) for name in ("train", "valid", "test") if getattr(options, name)}
        convert_own_lists(
            lists,
            image_path=options.image_path,
            output_path=options.output_path,
            hold_out=None if options.valid_fraction is None else HoldOut(options.valid_fraction),
            group=options.group,
            check=not options.no_check,
            force=options.force,
        )

    return run_program(program)


if __name__ == "__main__":
    sys.exit(main())
