"""Export a trained network to a file that other software reads.

    longtail export RUN --format exported
    longtail export RUN --format torchscript --output deployed/ TEST.LOGIT_ADJUSTMENT 1.0
    longtail export RUN --format safetensors

RUN is a run directory or its config.yaml; its best_ensemble.pth is exported, unless TEST.MODEL_FILE names another. The
file takes normalized images and returns the logits of the ensemble TEST.ENSEMBLE, with TEST.TAU_NORM,
TEST.LOGIT_ADJUSTMENT, TEST.CLASS_OFFSETS, TEST.TEMPERATURE and TEST.PRIOR (also those of a calibrated.yaml) folded in;
safetensors holds the weights of the network under this project's names. labels.json and preprocessing.json are written
to the same folder. The file is run on ten images, and its largest difference from the network is printed.

Exit code: 0 done, 2 invalid command or config.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from longtail.cli.program import Parser, place_for, run_program

FORMATS = ("safetensors", "torchscript", "exported", "onnx")


def main(arguments: Sequence[str] | None = None, prog: str = "longtail export") -> int:
    """Parse the command line of `longtail export` and export."""
    parser = Parser(__doc__ or "", prog)
    parser.add_argument("run", metavar="RUN", help="run directory or config")
    parser.add_argument("--format", required=True, choices=FORMATS, help="exported: torch.export")
    parser.add_argument("--output", metavar="FOLDER", help="default: RUN/export/FORMAT")
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="keys of the config to set")
    options = parser.parse(arguments)

    def program() -> None:
        from longtail.config import load_config
        from longtail.runs.named import find_run

        folder, source = find_run(options.run)
        cfg = load_config(source, [*options.overrides, "TRAIN.AMP", "off", "TRAIN.CHANNELS_LAST", False])

        from longtail.predicting.export import check_format, export
        from longtail.predicting.trained import load_trained

        check_format(options.format)
        trained = load_trained(cfg, folder, place=place_for("cpu"))
        made = export(trained, options.format, Path(options.output or folder / "export" / options.format))
        sys.stdout.write(
            f"{made.path}: {made.path.stat().st_size / 1e6:.1f} MB, with labels.json and preprocessing.json\n"
            f"largest difference of the logits from the network on {made.images}: {made.difference:.2g}\n"
        )

    return run_program(program)
