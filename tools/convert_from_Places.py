#!/usr/bin/env python3
"""Turn the split lists of Places-LT into annotation files.

    python tools/convert_from_Places.py --input_path lists --image_path /data/places365

reads lists/Places_LT_train.txt, Places_LT_val.txt and Places_LT_test.txt ("path label" per line), those that
are there, and writes train.json, valid.json and test.json to dataset/Places_LT, where the configurations look. The
paths in the lists start from --image_path.
"""

import argparse
import sys

from longtail.engine.command_line import run_program


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and convert."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input_path", required=True, help="folder of the split lists")
    parser.add_argument("--image_path", required=True, help="folder that the paths in the lists start from")
    parser.add_argument(
        "--output_path", default="dataset/Places_LT", help="default: dataset/Places_LT, where configs look"
    )
    parser.add_argument("--no-check", action="store_true", help="do not look whether the images exist")
    parser.add_argument("--force", action="store_true", help="replace annotation files")
    options = parser.parse_args(arguments)

    def program() -> None:
        from longtail.data.convert.places import convert_places
        from longtail.engine.console import log_to_terminal

        log_to_terminal()
        check = not options.no_check
        convert_places(options.input_path, options.image_path, options.output_path, check, options.force)

    return run_program(program)


if __name__ == "__main__":
    sys.exit(main())
