"""Show information about a config before it is trained: settings, size of the network, training time.

    longtail info cifar10_im100,ncl
    longtail info my_config.yaml --gpus 0 TRAIN.BATCH_SIZE 256

Prints the keys that differ from the defaults, the data, parameters and multiply-adds of the network, steps per epoch,
the duration of a step (measured after four steps of warm-up) and of the whole training. No run directory is written.

Exit code: 0 done, 2 invalid command, config or data.
"""

import sys
from collections.abc import Sequence

from longtail.cli.own_images import with_own_images
from longtail.cli.program import Parser, place_for, run_program


def main(arguments: Sequence[str] | None = None, prog: str = "longtail info") -> int:
    """Parse the command line of `longtail info` and print."""
    parser = Parser(__doc__ or "", prog)
    parser.add_argument(
        "config", metavar="CONFIG", help="YAML file or short names, joined by commas; or a folder of images"
    )
    parser.add_argument("--gpus", metavar="GPUS", help="cpu or 0; default: the first GPU, or the CPU")
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="keys of the config to set")
    options = parser.parse(arguments)
    return run_program(lambda: run(options.config, options.overrides, gpus=options.gpus))


def run(source: str, overrides: Sequence[str], *, gpus: str | None) -> None:
    """Print information about a config."""
    from longtail.config import is_recipe, load_config
    from longtail.errors import UserError

    source, overrides = with_own_images(source, overrides)
    if is_recipe(source):
        raise UserError(f"{source} is a recipe; info takes a config, for example that of one of its stages")
    cfg = load_config(source, overrides)

    from longtail.stages.info import info

    for line in info(cfg, source, place=place_for(gpus)):
        sys.stdout.write(f"{line}\n")
