"""Write smaller copies of the images of a data set, and their annotation files.

    longtail pack inat18,ce_r50 --folder dataset/inat18_256
    longtail pack inat18,ce_r50 --folder dataset/inat18_512 --side 512 --quality 90
    longtail pack imagenet_lt,ncl --folder dataset/imagenet_lt_pixels --format uint8
    longtail pack photos/ --folder photos_256

JPEG files take little space; uint8 writes one file of pixels per split, which training maps into memory without
decoding. The last line of the output is the command that trains on the copies. After an interruption, the same command
continues.

Exit code: 0 done, 2 invalid command, config or data, 130 interrupted.
"""

import argparse
import shlex
import sys
from collections.abc import Sequence

from longtail.cli.own_images import with_own_images
from longtail.cli.program import Parser, run_program
from longtail.errors import UserError


def main(arguments: Sequence[str] | None = None, prog: str = "longtail pack") -> int:
    """Parse the command line of `longtail pack` and pack."""
    parser = Parser(__doc__ or "", prog)
    parser.add_argument(
        "config", metavar="CONFIG", help="YAML file or short names, joined by commas; or a folder of images"
    )
    parser.add_argument("--folder", required=True, metavar="FOLDER", help="new or empty folder for the copies")
    parser.add_argument("--side", type=int, default=256, metavar="PIXELS", help="shorter side; default: 256")
    parser.add_argument("--quality", type=int, default=95, metavar="1-100", help="of the JPEG files; default: 95")
    parser.add_argument("--format", default="jpeg", metavar="NAME", help="jpeg or uint8; default: jpeg")
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="keys of the config to set")
    options = parser.parse(arguments)
    return run_program(lambda: run(options))


def run(options: argparse.Namespace) -> None:
    """Pack the images of a config."""
    from longtail.config import load_config

    source, overrides = with_own_images(options.config, options.overrides)
    cfg = load_config(source, overrides)
    if not 1 <= options.side <= 65_500:
        raise UserError(f"--side is {options.side}; allowed: 1 to 65,500 pixels")
    if not 1 <= options.quality <= 100:
        raise UserError(f"--quality is {options.quality}; allowed: 1 to 100")

    from longtail.data.images.packed_folder import packed_keys
    from longtail.data.pack import Settings, pack
    from longtail.data.pack.settings import FORMATS
    from longtail.runs.console import log_to_terminal

    if options.format not in FORMATS:
        raise UserError(f"--format is {options.format!r}; allowed: {', '.join(FORMATS)}")
    log_to_terminal()
    files = pack(cfg, options.folder, Settings(options.side, options.quality, options.format))
    command = shlex.join(["longtail", "train", source, *overrides, *packed_keys(files)])
    sys.stdout.write(f"to train on the copies: {command}\n")
