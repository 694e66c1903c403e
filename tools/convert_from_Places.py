#!/usr/bin/env python3
"""Convert the split lists of Places-LT to annotation files.

    python tools/convert_from_Places.py --input_path lists --image_path /data/places365

Reads lists/Places_LT_train.txt, Places_LT_val.txt and Places_LT_test.txt ("path label" per line), if they exist, and
writes train.json, valid.json and test.json to dataset/Places_LT, where the configs expect them. The image paths in the
lists are relative to --image_path.
"""

import sys

from longtail.cli.program import Parser, run_program


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and convert."""
    from longtail.data.convert.lists import list_converter
    from longtail.runs.console import log_to_terminal

    convert = list_converter("Places_LT", Parser(__doc__ or ""), arguments=arguments)

    def program() -> None:
        log_to_terminal()
        convert()

    return run_program(program)


if __name__ == "__main__":
    sys.exit(main())
