#!/usr/bin/env python3
"""Damage recipe files and outputs of stages; count tracebacks, late errors and states that cannot be repaired.

    python benchmarks/trust/recipes.py --trials 140 --states 45

A recipe file that is accepted is run: errors in it must be reported before the first training. The same command,
    started
at most twice, must repair a damaged state: the recipe ends with the results of an undamaged one.
"""

import argparse
import contextlib
import json
import logging
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import yaml
from common import Trials
from small import CPU, FIRST_CONFIG, no_figures, stopped_after

from longtail.engine.interrupts import Interrupted
from longtail.errors import UserError
from longtail.stages import recipe
from longtail.stages.recipe import run_recipe
from longtail.stages.recipe_file import load_recipe

RECIPE: dict[str, Any] = {
    "name": "damaged",
    "stages": [
        {"name": "first", "config": "first.yaml"},
        {
            "name": "images",
            "config": "first.yaml",
            "set": {"DATASET.GENERATE_CAM_BASED_DATASET": True, "NETWORK.PRETRAINED": True},
            "take": {"NETWORK.PRETRAINED_MODEL": "best of first"},
        },
        {
            "name": "second",
            "config": "first.yaml",
            "set": {
                "DATASET.USE_CAM_BASED_DATASET": True,
                "NETWORK.PRETRAINED": True,
                "TRAIN.SAMPLER.TYPE": "weighted sampler",
            },
            "take": {
                "NETWORK.PRETRAINED_MODEL": "last of first",
                "DATASET.CAM_DATA_JSON_SAVE_PATH": "data of images",
            },
        },
        {"name": "evaluated", "evaluate": "last of second", "set": {"TEST.LOGIT_ADJUSTMENT": 1.0}},
        {
            "name": "calibrated",
            "calibrate": "last of first",
            "over": "TEST.LOGIT_ADJUSTMENT",
            "values": [0, 1.0],
            "fit_on": "valid",
            "report_on": "test",
            "hold_out": 0.2,
        },
    ],
}
ODD: tuple[Any, ...] = (
    *(None, "", 0, -1, 1.5, True, [], {}, [1], {"a": 1}, "x" * 300, "a\0b", "\ud800", "..", "/", "~", "é", "a b"),
    *("last of first", "data of first", "last of images", "best of evaluated", "epoch_3 of first", "epoch_0 of first"),
    *("epoch_" + "9" * 5000 + " of first", "last of second", "last", "last of"),
    *("first.yaml", "no.yaml", "ce", "/dev/zero"),
    *("summary.json", ".lock", "first", "images", "second", "10" * 200, float("inf"), float("nan"), 10**30),
)
CUTS = (
    *("[", "\0", "&a ", "*a", "!!int ", "\t", ": ", "- ", "{", "9" * 5000, "[" * 3000, "<<: ", "? ", "---\n", "\ufeff"),
)
LIMIT = 300  # seconds: some trials train


def main(arguments: list[str] | None = None) -> int:
    """Run the trials and print their counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=140, metavar="N", help="recipe files; default: 140")
    parser.add_argument("--states", type=int, default=45, metavar="N", help="damaged states; default: 45")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    draw = random.Random(chosen.seed)
    with tempfile.TemporaryDirectory() as folder, no_figures(), without_log():
        faults = damaged_files(Path(folder) / "files", chosen.trials, draw=draw)
        faults += damaged_states(Path(folder) / "states", chosen.states, draw=draw)
    return 1 if faults else 0


@contextlib.contextmanager
def without_log() -> Iterator[None]:
    """Context manager without logging."""
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


# ---------------------------------------------------------------------- recipe files


def damaged_files(folder: Path, count: int, *, draw: random.Random) -> int:
    """Read damaged recipe files, run those that are accepted, and return the number of faults."""
    trials = Trials("recipe files", limit=LIMIT)
    late: list[str] = []
    for number in range(count):
        text = damaged_file(draw)
        work = folder / str(number)
        work.mkdir(parents=True)
        write_config(work)
        (work / "recipe.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
        trials.run(partial(read_and_run, work, late), text)
        shutil.rmtree(work)
    faults = trials.report()
    print(f"  reported only after a stage had run: {len(late)}")
    for message in late[:5]:
        print(f"    {message[:300]}")
    return faults + len(late)


def damaged_file(draw: random.Random) -> str:
    """Return the text of a damaged recipe."""
    content = json.loads(json.dumps(RECIPE))
    for _ in range(draw.choice((0, 1, 1, 2))):
        damage_entry(content, draw)
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    if draw.random() < 0.3:
        position = draw.randrange(len(text))
        text = text[:position] + draw.choice(CUTS) + text[position + draw.randrange(3) :]
    return text[: draw.randrange(len(text))] if draw.random() < 0.05 else text


def damage_entry(content: Any, draw: random.Random) -> None:
    """Change, delete, duplicate, rename or exchange one entry somewhere in nested dictionaries and lists."""
    where = draw.choice([node for node in nodes(content) if node])
    keys = list(range(len(where))) if isinstance(where, list) else list(where)
    key = draw.choice(keys)
    action = draw.choice(("change", "change", "change", "lose", "double", "exchange"))
    if action == "lose":
        del where[key]
    elif action == "double" and isinstance(where, list):
        where.append(json.loads(json.dumps(where[key])))
    elif action == "exchange" and len(keys) > 1:
        other = draw.choice(keys)
        where[key], where[other] = where[other], where[key]
    elif action == "double":
        where[draw.choice(("nam", "TRAIN.MAX_EPOC", 1, "over", "values", "calibrate", "evaluate", "take"))] = where[key]
    else:
        where[key] = draw.choice(ODD)


def nodes(content: Any) -> Iterator[Any]:
    """Yield all dictionaries and lists of nested ones."""
    if isinstance(content, (dict, list)):
        yield content
        for value in content.values() if isinstance(content, dict) else content:
            yield from nodes(value)


def read_and_run(work: Path, late: list[str]) -> None:
    """Read a recipe, and run it if it is accepted; note errors that are reported later."""
    source = str(work / "recipe.yaml")
    overrides = ["OUTPUT_DIR", str(work / "output")]
    load_recipe(source, overrides)
    try:
        run_recipe(source, place=CPU, overrides=overrides)
    except UserError as error:
        late.append(str(error))


# ---------------------------------------------------------------------- damaged states


def damaged_states(folder: Path, count: int, *, draw: random.Random) -> int:
    """Damage the outputs of a recipe, run it again, and return in how many states it did not recover."""
    folder.mkdir(parents=True)
    write_config(folder)
    (folder / "recipe.yaml").write_text(yaml.safe_dump(RECIPE, sort_keys=False))
    kept = make_states(folder)
    expected = outcome(folder, kept["finished"])
    every = states()
    chosen = every if count >= len(every) else draw.sample(every, count)
    trials = Trials("damaged states", limit=LIMIT)
    stuck: list[str] = []
    starts = Counter[int]()
    for name, state, damage in chosen:
        restore(folder, kept[state])
        damage(folder / "output" / "damaged")
        trials.run(partial(recover, folder, name, expected=expected, stuck=stuck, starts=starts), name)
    faults = trials.report() + len(stuck)
    left = len(chosen) - len(stuck)
    print(f"  repaired by the same command: {left} of {len(chosen)} (starts: {dict(sorted(starts.items()))})")
    for message in stuck:
        print(f"    {message[:400]}")
    return faults


def write_config(folder: Path) -> None:
    """Write the config that all stages have."""
    (folder / "first.yaml").write_text(FIRST_CONFIG)


def start(folder: Path) -> None:
    """Run the recipe."""
    run_recipe(str(folder / "recipe.yaml"), place=CPU, overrides=["OUTPUT_DIR", str(folder / "output")])


def make_states(folder: Path) -> dict[str, Path]:
    """Return copies of the recipe's folder: stopped in the first training, in the second, and finished."""
    kept = {}
    for name, steps in (("first", 9), ("images", 1), ("second", 9), ("finished", 0)):
        if name == "images":
            stopping: Any = patch.object(recipe, "_generate", interrupted)
        else:
            stopping = stopped_after(steps) if steps else contextlib.nullcontext()
        with stopping, contextlib.suppress(Interrupted):
            start(folder)
        kept[name] = folder / f"kept_{name}"
        shutil.copytree(folder / "output", kept[name])
    return kept


def interrupted(*arguments: object) -> Path:
    """Stop before the images are generated."""
    raise Interrupted(15, "stopped")


def restore(folder: Path, kept: Path) -> None:
    """Put a copy into the output folder of the recipe."""
    shutil.rmtree(folder / "output")
    shutil.copytree(kept, folder / "output")


def outcome(folder: Path, output: Path) -> Any:
    """Return the results of the stages of a finished recipe."""
    stages = json.loads((output / "damaged" / "summary.json").read_text())["stages"]
    return [(stage["stage"], stage.get("last"), stage.get("best")) for stage in stages]


def recover(folder: Path, name: str, *, expected: Any, stuck: list[str], starts: Counter[int]) -> None:
    """Start the recipe at most twice; note a state in which it does not end like an undamaged one."""
    refusals = []
    for number in (1, 2):
        try:
            start(folder)
        except UserError as error:
            refusals.append(str(error))
            continue
        starts[number] += 1
        if outcome(folder, folder / "output") != expected:
            stuck.append(f"{name}: other results")
        return
    stuck.append(f"{name}: {refusals[-1]}")


def states() -> list[tuple[str, str, Callable[[Path], None]]]:
    """Return (name, copy that it starts from, damage to the recipe's folder)."""
    made = [
        ("finished", path)
        for path in (
            *("first/*/models/last.pth", "first/*/models/best_ensemble.pth", "second/*/models/last.pth"),
            *("first/*/results.json", "images/*/results.json", "second/*/results.json", "evaluated/*/results.json"),
            *("images/*/generated.json", "images/*/images/checksums.txt", "images/*/images/generation.json"),
            *("images/*/images/*_000003.png", "first/*/config.yaml", "first/*/inputs.json", "images/*/inputs.json"),
            *("evaluated/*/inputs.json", "summary.json", "second/*/metrics.jsonl"),
        )
    ]
    stopped = [
        *[("first", f"first/*/{path}") for path in ("models/last.pth", "results.json", "config.yaml", "metrics.jsonl")],
        *[("second", f"second/*/{path}") for path in ("models/last.pth", "inputs.json")],
        *[("second", path) for path in ("first/*/models/last.pth", "images/*/generated.json", "images/*/results.json")],
        ("images", "first/*/models/best_ensemble.pth"),
    ]
    found: list[tuple[str, str, Callable[[Path], None]]] = []
    for state, path in (*made, *stopped):
        for name, change in DAMAGES.items():
            if name != "swapped" or path.endswith((".pth", ".json", ".png")):
                found.append((f"{state}: {path} {name}", state, partial(damage_files, path=path, change=change)))
    both = partial(damage_files, path="first/*/models/*.pth", change=cut)
    return [
        *found,
        ("first: all checkpoints cut", "first", both),
        ("finished: all images lost", "finished", lose_images),
    ]


def damage_files(folder: Path, *, path: str, change: Callable[[Path], object]) -> None:
    """Damage the files that match a pattern."""
    for file in sorted(folder.glob(path)):
        change(file)


def cut(path: Path) -> None:
    """Keep the first half."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    """Flip a bit in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def empty(path: Path) -> None:
    """Keep nothing."""
    path.write_bytes(b"")


def swap(path: Path) -> None:
    """Replace the file by another valid one of the same kind."""
    if path.suffix == ".pth":
        from longtail.checkpoint_file import save_checkpoint

        save_checkpoint(path, {"model": {}})
    elif path.suffix == ".json":
        path.write_text('{"finished": true, "annotations": [], "total": 3}')
    else:
        other = next(file for file in sorted(path.parent.glob("*.png")) if file != path)
        shutil.copyfile(other, path)


def lose_images(folder: Path) -> None:
    """Delete the generated images with their folder."""
    for images in folder.glob("images/*/images"):
        shutil.rmtree(images)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "deleted": Path.unlink,
    "cut": cut,
    "flipped": flip,
    "emptied": empty,
    "swapped": swap,
}

if __name__ == "__main__":
    sys.exit(main())
