#!/usr/bin/env python3
"""Convert the split lists of ImageNet-LT to annotation files.

    python tools/convert_from_ImageNet.py --input_path lists --image_path /data/ImageNet

Reads lists/ImageNet_LT_train.txt, ImageNet_LT_val.txt and ImageNet_LT_test.txt ("path label" per line), if they exist,
and writes train.json, valid.json and test.json to dataset/ImageNet_LT, where the configs expect them. The image paths
in the lists are relative to --image_path, which holds train/n01440764/... and val/ILSVRC2012_val_00000001.JPEG.
"""

import sys

from longtail.cli.program import Parser, run_program


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and convert."""
    from longtail.data.convert.lists import list_converter
    from longtail.runs.console import log_to_terminal

    convert = list_converter("ImageNet_LT", Parser(__doc__ or ""), arguments=arguments)

    def program() -> None:
        log_to_terminal()
        convert()

    return run_program(program)


if __name__ == "__main__":
    sys.exit(main())
