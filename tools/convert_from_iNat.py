#!/usr/bin/env python3
"""Turn a file of iNaturalist, 2017 to 2021, into an annotation file.

    python tools/convert_from_iNat.py --input_json_file train2018.json --image_path /data/inat18 \
        --output_json_file dataset/iNat18/train.json
    python tools/convert_from_iNat.py --input_json_file val2018.json --image_path /data/inat18 \
        --output_json_file dataset/iNat18/valid.json

The image paths in it start from --image_path (2018: train_val2018/Plantae/...). A list of iNaturalist 2018,
iNaturalist18_train.txt or iNaturalist18_val.txt with "path label" per line, will do as well.
"""

import argparse
import sys

from longtail.engine.command_line import run_program


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and convert."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input_json_file", required=True, help="COCO-style file of the competition, or a .txt list")
    parser.add_argument("--image_path", required=True, help="folder that the paths in it start from")
    parser.add_argument("--output_json_file", required=True, help="annotation file to write")
    parser.add_argument("--no-check", action="store_true", help="do not look whether the images exist")
    parser.add_argument("--force", action="store_true", help="replace the annotation file")
    options = parser.parse_args(arguments)

    def program() -> None:
        from longtail.data.convert.inat import convert_inat
        from longtail.engine.console import log_to_terminal

        log_to_terminal()
        check = not options.no_check
        convert_inat(options.input_json_file, options.image_path, options.output_json_file, check, options.force)

    return run_program(program)


if __name__ == "__main__":
    sys.exit(main())
