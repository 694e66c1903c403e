#!/usr/bin/env python3
"""Draw the images that training uses: samples of head, middle and tail classes next to their augmented views.

    python tools/browse_dataset.py --cfg digits_lt,ncl
    python tools/browse_dataset.py --cfg cifar10_im100,ncl_plus --output sheet.png RAND_SEED 7
    python tools/browse_dataset.py --cfg imagenet_lt,ncl --samples 6 DATASET.ROOT /data/imagenet

The images come from the batches of the first epoch, with the samplers, loaders and policies of training, before
normalization. The same seed (RAND_SEED) gives the same sheet. A plot below the images shows the class counts.

Exit code: 0 drawn, 2 invalid command, config or data.
"""

import sys
from pathlib import Path

from longtail.cli.program import Parser, run_program

MOST_SAMPLES = 64  # image viewers fail to open larger sheets


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and draw the sheet."""
    parser = Parser(__doc__ or "")
    parser.add_argument(
        "--cfg", required=True, metavar="CONFIG", help="YAML file or short names, joined by commas; or own images"
    )
    parser.add_argument("--output", metavar="FILE.png", help="figure to write; default: NAME.png of the config")
    parser.add_argument("--samples", type=int, default=4, metavar="N", help="samples of each of head, middle and tail")
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="config keys to set")
    options = parser.parse(arguments)

    def program() -> None:
        from longtail.cli.own_images import with_own_images
        from longtail.config import load_config
        from longtail.data.inspect.browse import browse
        from longtail.errors import UserError
        from longtail.evaluation import Classes
        from longtail.evaluation.figures.sheet import Row, plot_sheet
        from longtail.runs.console import log_to_terminal
        from longtail.stages.checks import check_names
        from longtail.user_files import check_path, is_folder

        log_to_terminal()
        cfg = load_config(*with_own_images(options.cfg, options.overrides))
        check_names(cfg)
        if not 1 <= options.samples <= MOST_SAMPLES:
            raise UserError(f"--samples is {options.samples}; allowed: 1 to {MOST_SAMPLES}")
        output = Path(options.output or f"{Path(cfg.NAME).name}.png")
        check_path(output, "--output")
        if output.suffix.lower() != ".png" or not is_folder(output.parent):
            raise UserError(f"--output {output} must be a .png file in a folder that exists")
        sheet = browse(cfg, options.samples)
        rows = [
            Row(
                sample.part,
                sample.label,
                sample.name,
                sample.index,
                [image.permute(1, 2, 0).numpy() for image in (sample.original, *sample.views)],
            )
            for sample in sheet.samples
        ]
        title = f"{cfg.NAME}: {sheet.name}"
        classes = Classes(sheet.counts, sheet.class_names or (), many=cfg.TEST.MANY_SHOT, few=cfg.TEST.FEW_SHOT)
        plot_sheet(output, title, rows, views=sheet.views, classes=classes)
        print(f"{output}: {len(rows)} images, each with {len(sheet.views)} view{'s' if len(sheet.views) > 1 else ''}")

    return run_program(program)


if __name__ == "__main__":
    sys.exit(main())
