#!/usr/bin/env python3
"""Run verify, browse, report, compare, record, valid and its sweeps with unusual inputs; count tracebacks and hangs.

    python benchmarks/trust/commands.py --trials 270

An evaluation that ends without an error must have written finite results; the verifier must report all that it finds.
"""

import json
import os
import random
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from command_lines import CLASSES, command, fresh_copy, main_of, make_images
from common import Trials, options
from converters import NUMBERS, PATHS, damage_images, extra
from small import CPU, no_figures

from longtail.cli import compare, report, valid
from longtail.config import load_config
from longtail.stages import evaluate as evaluate_stage
from longtail.stages.train import train

SETTINGS = (
    *("DATASET.DATASET", "annotations", "DATASET.VIEWS", ["crop_flip"], "BACKBONE.TYPE", "tiny"),
    *("TRAIN.BATCH_SIZE", 4, "TRAIN.MAX_EPOCH", 2, "VALID_STEP", 1, "SAVE_STEP", -1, "TRAIN.TENSORBOARD.ENABLE", False),
    *("TRAIN.NUM_WORKERS", 0, "TEST.NUM_WORKERS", 0, "TEST.BATCH_SIZE", 8, "NAME", "run", "INPUT_SIZE", (32, 32)),
)
RUN_FILES = (
    "config.yaml",
    "models/best_ensemble.pth",
    "results.json",
    "metrics.jsonl",
    "environment.json",
    "inputs.json",
)
KEYS = {
    "TEST.MODEL_FILE": ("last.pth", "best_single.pth", "no.pth", *PATHS),
    "DATASET.VALID_JSON": ("valid.json", "other.json", "no.json", *PATHS),
    "TEST.LOGIT_ADJUSTMENT": NUMBERS,
    "TEST.TAU_NORM.TAU": NUMBERS,
    "TEST.TAU_NORM.USE_TAU_NORM": ("True", "False", "x"),
    "TEST.PRIOR": ("uniform", "train", "x"),
    "TEST.BATCH_SIZE": NUMBERS,
    "TEST.NUM_WORKERS": ("0", "-1", "x"),
    "TEST.ENSEMBLE": ("mean", "x", "[0]"),
    "TEST.MANY_SHOT": NUMBERS,
    "CLASSIFIER.TYPE": ("FCNorm", "cRT", "x"),
    "BACKBONE.TYPE": ("res32_cifar", "x"),
    "INPUT_SIZE": ("(16,16)", "(0,0)", "{[]:1}", "(1,1)"),
    "DATASET.DATASET": ("digits_lt", "x"),
    "DATASET.TEST_VIEW": ("transforms", "x"),
    "NO.KEY": ("1",),
}


def main(arguments: list[str] | None = None) -> int:
    """Run the trials and print their counts."""
    chosen = options(__doc__, 270, arguments)
    draw = random.Random(chosen.seed)
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as name, no_figures():
        template = Path(name) / "template"
        work = Path(name) / "work"  # always the same path: runs name their files by absolute ones
        make_images(template / "imgs")
        write_splits(template)
        os.rename(template, work)
        trained(work)
        os.rename(work, template)
        kinds = {"verify": verify, "browse": browse, "evaluation": evaluate, "pages": pages}
        order = ["verify", "evaluation", "pages", "evaluation", "browse", "evaluation"]
        all_trials = {kind: Trials(kind, limit=120) for kind in kinds}
        for number in range(chosen.trials):
            kind = order[number % len(order)]
            with fresh_copy(template, work), quick_figures(number % 10 > 0):
                main_function, words, allowed = kinds[kind](work, draw)
                trial = partial(run_and_check, main_function, words, work=work, allowed=allowed, wrong=wrong)
                all_trials[kind].run(trial, f"{kind} {words}"[:400])
    faults = sum(trials.report() for trials in all_trials.values()) + len(wrong)
    print(f"wrong without an error: {len(wrong)}")
    for text in wrong[:5]:
        print(f"  {text}")
    return 1 if faults else 0


def run_and_check(main: Any, words: list[Any], *, work: Path, allowed: tuple[int, ...], wrong: list[str]) -> None:
    """Run a command; if it is an evaluation, check its results."""
    command(main, words, folder=work, allowed=allowed)
    for path in work.glob("output/run/*/evaluation/*/results.json"):
        if not isinstance(json.loads(path.read_text()).get("loss"), float):
            wrong.append(f"{words}: the loss in {path.name} is no number")


def quick_figures(active: bool) -> Any:
    """Context manager without the figures and tables of evaluations, which take most of the time."""
    return patch.object(
        evaluate_stage, "_write_details", (lambda *a, **k: None) if active else evaluate_stage._write_details
    )


def write_splits(folder: Path) -> None:
    """Write train.json, valid.json and other.json, which has another number of classes."""
    for name, numbers, classes in (("train", (0, 1, 2), 3), ("valid", (3,), 3), ("other", (3,), 4)):
        entries = [
            {"fpath": f"imgs/{each}/{number}.png", "category_id": label}
            for label, each in enumerate(CLASSES)
            for number in numbers
        ]
        (folder / f"{name}.json").write_text(json.dumps({"annotations": entries, "num_classes": classes}))


def trained(work: Path) -> None:
    """Train once."""
    files = ["DATASET.TRAIN_JSON", str(work / "train.json"), "DATASET.VALID_JSON", str(work / "valid.json")]
    train(load_config(None, [*SETTINGS, *files, "OUTPUT_DIR", str(work / "output")]), "small", place=CPU)


Choice = tuple[Callable[[list[str]], int], list[Any], tuple[int, ...]]


def odd_annotations(work: Path, draw: random.Random) -> None:
    """Put unusual values into train.json."""
    odd: tuple[Any, ...] = (
        None,
        -1,
        3,
        1.5,
        True,
        "",
        "x",
        "a\0b",
        "\ud800",
        "new\nline",
        "x" * 300,
        [],
        {},
        10**30,
        "/dev/zero",
        "fifo",
        ".",
        "imgs/ant",
    )
    content = json.loads((work / "train.json").read_text())
    for _ in range(draw.choice((0, 1, 2, 4))):
        entry = draw.choice(content["annotations"])
        if isinstance(entry, dict):
            entry[draw.choice(("fpath", "category_id", "im_height", "im_width", "image_id"))] = draw.choice(odd)
    if draw.random() < 0.2:
        content[draw.choice(("num_classes", "annotations", "classes"))] = draw.choice((*odd, 10**8, ["a"], [1, 2, 3]))
    text = json.dumps(content)
    if draw.random() < 0.1:
        text = draw.choice(("", "[" * 5000, text[:-9], "\ufeff" + text))
    (work / "train.json").write_text(text)


def verify(work: Path, draw: random.Random) -> Choice:
    """Return a command line of verify_dataset.py."""
    os.mkfifo(work / "fifo")
    odd_annotations(work, draw)
    damage_images(work, draw)
    files = draw.choice(
        (["train.json"], ["train.json", "valid.json"], ["train.json", "train.json"], [draw.choice(PATHS)])
    )
    names = {"--root": PATHS, "--json": ("report.json", *PATHS)}
    words = [*files, "--workers", draw.choice(("0", "0", "0", "-1", "x")), *extra(draw, names)]
    return main_of("tools/verify_dataset.py"), words, (0, 1)


def browse(work: Path, draw: random.Random) -> Choice:
    """Return a command line of browse_dataset.py."""
    config = work / "browse.yaml"
    data = "DATASET: {DATASET: annotations, TRAIN_JSON: train.json, VALID_JSON: valid.json, VIEWS: [crop_flip]}"
    config.write_text(data + "\nTRAIN: {BATCH_SIZE: 4}\n")
    if draw.random() < 0.5:
        content = json.loads((work / "train.json").read_text())
        content["classes"] = [
            draw.choice(("$\\frac1$", "a\nb", "\ud800", "<b>", "", "x" * 500, "\x1b[31m", "é")) for _ in range(3)
        ]
        (work / "train.json").write_text(json.dumps(content))
    if draw.random() < 0.3:
        damage_images(work, draw)
    names = {"--samples": NUMBERS, "--output": ("a.png", "a.jpg", *PATHS), "--cfg": PATHS}
    overrides = ["NAME", draw.choice(("../x", "$x$", "a", "x" * 300))] if draw.random() < 0.3 else []
    return main_of("tools/browse_dataset.py"), ["--cfg", "browse.yaml", *extra(draw, names), *overrides], (0,)


def damage_run(work: Path, draw: random.Random) -> None:
    """Damage a file of the run."""
    (run,) = (work / "output" / "run").iterdir()
    path = run / draw.choice(RUN_FILES)
    content = path.read_bytes()
    action = draw.choice(("delete", "cut", "empty", "text", "list", "folder", "flip", "other"))
    path.unlink()
    if action == "folder":
        path.mkdir()
    elif action != "delete":
        middle = len(content) // 2
        flipped = content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :]
        contents = {"cut": content[:middle], "empty": b"", "text": b"no such thing", "list": b"[1, 2]", "flip": flipped}
        path.write_bytes(contents.get(action, b'{"total": 3, "finished": true, "seconds": 1, "last": [1], "best": 3}'))


def evaluate(work: Path, draw: random.Random) -> Choice:
    """Return a command line of `longtail valid`, perhaps with a sweep."""
    if draw.random() < 0.3:
        damage_run(work, draw)
    if draw.random() < 0.15:
        damage_images(work, draw)
    (run,) = (work / "output" / "run").iterdir()
    source = draw.choice((run, run, run, run / "config.yaml", draw.choice(PATHS)))
    sweep = draw.choice(("", "", "--tau-sweep", "--logit-adjustment-sweep"))
    values = [draw.choice(("0", "1", "0.5", "1e308", "nan", "-1", "1e30", "-inf")) for _ in range(draw.randrange(3))]
    swept = [sweep, *values] if sweep else []
    return (
        valid.main,
        [source, "--gpus", draw.choice(("cpu", "cpu", "cpu", "9", "x")), *extra(draw, KEYS), *swept],
        (0,),
    )


def pages(work: Path, draw: random.Random) -> Choice:
    """Return a command line that reads finished runs: report, compare or record.py."""
    if draw.random() < 0.8:
        damage_run(work, draw)
    (run,) = (work / "output" / "run").iterdir()
    which = draw.choice(("report", "report", "compare", "record"))
    where = draw.choice((run, run, "output", draw.choice(PATHS)))
    if which == "record":
        return main_of("tools/record.py"), [draw.choice(("digits_lt,ce", "x")), where, "--folder", "records"], (0,)
    if which == "compare":
        return compare.main, [where, *draw.choice(((), ("output",)))], (0,)
    return (
        report.main,
        [where, *extra(draw, {"--output": ("a.html", *PATHS), "--figures": (), "--no-images": ()})],
        (0,),
    )


if __name__ == "__main__":
    sys.exit(main())
