#!/usr/bin/env python3
"""Convert a file of iNaturalist, 2017 to 2021, to an annotation file.

    python tools/convert_from_iNat.py --input_json_file train2018.json --image_path /data/inat18 \
        --output_json_file dataset/iNat18/train.json
    python tools/convert_from_iNat.py --input_json_file val2018.json --image_path /data/inat18 \
        --output_json_file dataset/iNat18/valid.json

The image paths in the file are relative to --image_path (2018: train_val2018/Plantae/...). The lists of iNaturalist
2018, iNaturalist18_train.txt and iNaturalist18_val.txt with "path label" per line, are also accepted.
"""

import sys

from longtail.cli.program import Parser, run_program


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and convert."""
    parser = Parser(__doc__ or "")
    parser.add_argument("--input_json_file", required=True, help="COCO-style file of the competition, or a .txt list")
    parser.add_argument("--image_path", required=True, help="folder to which the image paths are relative")
    parser.add_argument("--output_json_file", required=True, help="annotation file to write")
    parser.add_argument("--no-check", action="store_true", help="do not check that the images exist")
    parser.add_argument("--force", action="store_true", help="replace the annotation file")
    options = parser.parse(arguments)

    def program() -> None:
        from longtail.data.convert.inat import convert_inat
        from longtail.runs.console import log_to_terminal

        log_to_terminal()
        convert_inat(
            options.input_json_file,
            image_path=options.image_path,
            output_file=options.output_json_file,
            check=not options.no_check,
            force=options.force,
        )

    return run_program(program)


if __name__ == "__main__":
    sys.exit(main())
