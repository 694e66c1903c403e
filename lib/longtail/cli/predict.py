"""Predict the classes of images with a trained network.

    longtail predict output/photos/2026-01-31-12-00-00 new.jpg
    longtail predict RUN holiday/ --top 5 --output predictions.csv
    longtail predict RUN list.txt more/ --all --experts --output predictions.json
    longtail predict RUN holiday/ TEST.LOGIT_ADJUSTMENT 1.0 TEST.PRIOR train

RUN is a run directory or its config.yaml; its best_ensemble.pth is used, unless TEST.MODEL_FILE names another. IMAGES
are files, folders (with all images below them), and lists: a .txt file with one path per line, or an annotation file.
Preprocessing and corrections of the logits are those of `longtail valid`, with calibrated.yaml if there is one;
TEST.PRIOR sets the class frequencies of the images.

Without --output a CSV table is written to standard output. Files that cannot be read are listed at the end.

Exit code: 0 done, 1 some files cannot be read, 2 invalid command or config.
"""

import sys
from collections.abc import Sequence

from longtail.cli.program import Parser, place_for, run_program
from longtail.user_files import is_file, is_folder

SHOWN = 20  # unreadable files that are listed


def main(arguments: Sequence[str] | None = None, prog: str = "longtail predict") -> int:
    """Parse the command line of `longtail predict` and predict."""
    parser = Parser(__doc__ or "", prog)
    parser.add_argument("run", metavar="RUN", help="run directory or config")
    parser.add_argument("words", nargs="+", metavar="IMAGES [KEY VALUE]", help="what to predict; keys of the config")
    parser.add_argument("--output", default="", metavar="FILE", help=".csv or .json; default: CSV on standard output")
    parser.add_argument("--top", type=int, default=1, metavar="K", help="write the K most probable classes; default: 1")
    parser.add_argument("--all", action="store_true", help="write the probabilities of all classes")
    parser.add_argument("--experts", action="store_true", help="write the class that each expert predicts")
    parser.add_argument("--gpus", metavar="GPUS", help="cpu or 0; default: the first GPU, or the CPU")
    options = parser.parse(arguments)
    unreadable = 0

    def program() -> None:
        nonlocal unreadable
        from longtail.config import load_config
        from longtail.errors import UserError
        from longtail.runs.named import find_run

        names, overrides = split_words(options.words)
        if not names:
            raise UserError("there are no images to predict; expected files, folders or lists")
        folder, config = find_run(options.run)
        cfg = load_config(config, overrides)

        from longtail.predicting.predict import check_output, predict_files
        from longtail.predicting.trained import load_trained

        check_output(options.output)
        trained = load_trained(cfg, folder, place=place_for(options.gpus))
        outcome = predict_files(
            trained,
            names,
            output=options.output,
            top=options.top,
            everything=options.all,
            experts=options.experts,
        )
        unreadable = len(outcome.unreadable)
        if options.output:
            sys.stdout.write(f"{options.output}: {outcome.images} image{'' if outcome.images == 1 else 's'}\n")
        for image in outcome.unreadable[:SHOWN]:
            sys.stderr.write(f"not predicted: {image.error}\n")
        if unreadable > SHOWN:
            sys.stderr.write(f"not predicted: {unreadable - SHOWN} more\n")

    code = run_program(program)
    return code or int(unreadable > 0)


def split_words(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split words into images and the KEY VALUE pairs after them.

    The pairs begin with the first word that is a key of the config, or starts with the name of a section.
    """
    from longtail.config import KEYS

    sections = {key.partition(".")[0] for key in KEYS if "." in key}
    for index, word in enumerate(words):
        if word in KEYS or (
            word.partition(".")[0] in sections and "." in word and not (is_file(word) or is_folder(word))
        ):
            return list(words[:index]), list(words[index:])
    return list(words), []
